"""What every kind of picture needs to be made again: its sources, its settings, its machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from styler.errors import ImageError
from styler.styles.choice import is_style_file

if TYPE_CHECKING:
    from styler.config import Resolved
    from styler.report.provenance import Recipe, Source

FLAGS = {"start": "--init"}
"""Flags that tell where a source is now, where they are not called like the source; those of a
blend's styles are given by one flag, again and again."""


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """A picture to be made again.

    Args:
        recipe: what it carries.
        picture: its file.
        output: where the new one goes.
        sources: where the pictures that went in are now.
        weights: where the weights are now, if that was said.
        device: another one than then, if that was said.
        force: whether other weights will do.
        overwrite: replace an existing output.
    """

    recipe: Recipe
    picture: Path
    output: Path
    sources: Mapping[str, Path]
    weights: Path | None = None
    device: str | None = None
    force: bool = False
    overwrite: bool = False

    @property
    def stop_after(self) -> int | None:
        """Steps after which it ends, as a run did that was interrupted."""
        outcome = self.recipe.outcome
        return outcome.done if outcome.done < outcome.planned else None

    @property
    def weights_sha256(self) -> str | None:
        """The weights that it must be made with; None for any."""
        return None if self.force else self.recipe.weights_sha256

    def source(self, name: str) -> Path:
        """Where a picture is without which this kind cannot be.

        Raises:
            ImageError: the recipe names none.
        """
        if name not in self.sources:
            raise ImageError(
                f"the recipe in {self.picture} names no {name} picture",
                "another program wrote or changed it; the picture itself may still be fine",
            )
        return self.sources[name]

    def resolved(self, changes: Mapping[str, Any] | None = None) -> Resolved[Any]:
        """The settings, for the network and machine of then, and as many threads.

        Args:
            changes: dotted key → value, on top.
        """
        import torch

        from styler.config import CONFIGS, Resolved, resolve

        recipe, known = self.recipe, self.recipe.resolved()
        machine: dict[str, Any] = {
            "backbone.name": recipe.backbone,
            "backbone.weights": self._weights(known.config.backbone.weights),
            "runtime.device": self.device or recipe.machine.device,
            "runtime.precision": recipe.machine.precision,
            **(changes or {}),
        }
        root = CONFIGS[recipe.kind]
        config = resolve(("recipe", recipe.config), ("recipe", machine), root=root).config
        # More threads than there are cores would crawl; elsewhere the bits differ anyway.
        torch.set_num_threads(min(recipe.machine.threads, os.cpu_count() or 1))
        return Resolved(config=config, origins=known.origins)

    def _weights(self, then: str | None) -> str | None:
        """The weights file; None, which finds one by the network's name, if it is gone."""
        if self.weights is not None:
            return str(self.weights)
        return then if then and os.path.exists(os.path.expanduser(then)) else None


def find_sources(
    recipe: Recipe, picture: Path, given: Mapping[str, Path | None], *, force: bool
) -> dict[str, Path]:
    """Where the pictures of a recipe are now.

    Args:
        recipe: names them.
        picture: the file that carries the recipe, from whose folder they are named.
        given: name of a source → where it is said to be, if at all.
        force: take files that have changed, too.

    Raises:
        ImageError: one is missing, or not the file it was.
    """
    found = {}
    for name, source in recipe.sources.items():
        kind = name.split(" ")[0]
        together = numbered_sources(recipe, kind)
        how = f"{FLAGS.get(name, f'--{name}')} FILE"
        if len(together) > 1:
            how = f"{' '.join([f'--{kind} FILE'] * len(together))}, in the order of the recipe"
        found[name] = _find(source, given.get(name), picture, how, force)
    return found


def numbered_sources(recipe: Recipe, kind: str) -> list[str]:
    """The names of a recipe's sources of a kind, such as its styles, in their order."""
    return [name for name in recipe.sources if name.split(" ")[0] == kind]


def _find(source: Source, given: Path | None, picture: Path, how: str, force: bool) -> Path:
    path = given or picture.parent / source.path
    if given is None and not os.path.isfile(path):
        raise ImageError(f"{path} is not where the recipe says", f"say where it is: {how}")
    if not force and _sha256(path) != source.sha256:
        raise ImageError(
            f"{path} is not the file that {picture.name} was made from",
            f"name the right one with {how}, or go on with --force",
        )
    return path


def _sha256(path: Path) -> str:
    """Of a picture's bytes, or of those of a saved style.

    Raises:
        ImageError: it is missing, or is neither.
    """
    from styler.images.source import open_source, read_source

    if not is_style_file(path):
        return hashlib.sha256(read_source(path)[0]).hexdigest()
    with open_source(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
