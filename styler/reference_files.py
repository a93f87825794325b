"""The files of an inversion or caricature: where they go, and which are there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from styler.activation import Unit
from styler.config import Resolved, VisualizeConfig, flatten
from styler.errors import ConfigError, ImageError
from styler.features import Extractor
from styler.images import WRITABLE_EXTENSIONS, Picture, check_output, read_recipe
from styler.report.provenance import Recipe, decode
from styler.results import refuse_source
from styler.units import file_stem

ReferenceKind = Literal["invert", "caricature"]

WORDS: Mapping[ReferenceKind, str] = {"invert": "inverted", "caricature": "caricature"}
"""What the files of each kind are called after."""
SHEET = "sheet of "
"""What the subject of a sheet begins with, before its layers."""
SEPARATOR = ", "
"""Between those layers."""
_ELSEWHERE = ("runtime.device", "backbone.name", "backbone.weights", "schedule.batch")
"""Settings that may differ between two recipes of the same picture; weights are told apart by
their digest."""


@dataclass(frozen=True, kw_only=True)
class ReferenceJob:
    """What to make of which picture, and where to put it.

    Args:
        kind: what is made.
        image: the picture's file.
        output: a folder; or a file, for the picture of a single layer, or for the sheet alone.
        resolved: all settings.
        layers: names or aliases; empty for one of each depth.
        overwrite: replace existing files.
        resume: leave those as they are that were made with the same settings.
        sheet_only: the output is the sheet of all layers.
    """

    kind: ReferenceKind
    image: Path
    output: Path
    resolved: Resolved[VisualizeConfig]
    layers: tuple[str, ...] = ()
    overwrite: bool = False
    resume: bool = True
    sheet_only: bool = False

    @property
    def single(self) -> bool:
        """Whether the output is a picture's file."""
        return self.output.suffix.lower() in WRITABLE_EXTENSIONS

    @property
    def sheet(self) -> Path | None:
        """Where the sheet goes; None when there is none."""
        if self.single:
            return self.output if self.sheet_only else None
        return self.output / f"{self.image.stem}+{WORDS[self.kind]}.png"

    def file(self, layer: str) -> Path | None:
        """Where the picture of a layer goes, by its canonical name; None for nowhere."""
        if self.single:
            return None if self.sheet_only else self.output
        name = file_stem(Unit(layer, ()))
        return self.output / f"{self.image.stem}+{WORDS[self.kind]}_{name}.png"


def sheet_subject(layers: Sequence[str]) -> str:
    """What the recipe of a sheet says it shows.

    Example:
        >>> sheet_subject(["relu1_1", "relu2_1"])
        'sheet of relu1_1, relu2_1'
    """
    return SHEET + SEPARATOR.join(layers)


def layers_of(subject: str) -> tuple[tuple[str, ...], bool]:
    """The layers that a recipe's subject names, and whether it is a sheet's.

    Example:
        >>> layers_of("sheet of relu1_1, relu2_1"), layers_of("relu1_1")
        ((('relu1_1', 'relu2_1'), True), (('relu1_1',), False))
    """
    is_sheet = subject.startswith(SHEET)
    return tuple(subject.removeprefix(SHEET).split(SEPARATOR)), is_sheet


class Shelf:
    """What lies where a job's files go.

    Args:
        job: whose files.
        image: the picture it is about, as read.
        extractor: the network.
        layers: canonical names of its layers.
    """

    def __init__(
        self, job: ReferenceJob, image: Picture, extractor: Extractor, layers: Sequence[str]
    ) -> None:
        self.job = job
        self.image = image
        self.extractor = extractor
        self.layers = tuple(layers)

    def finished(self) -> dict[str, Recipe]:
        """The layers whose pictures need not be made again, with what these carry."""
        if self.job.overwrite or not self.job.resume:
            return {}
        known = {layer: self._carried(self.job.file(layer)) for layer in self.layers}
        return {
            layer: recipe
            for layer, recipe in known.items()
            if recipe is not None
            and recipe.subject == layer
            and _is_whole(recipe)
            and self._is_same(recipe)
        }

    def sheet_stands(self) -> bool:
        """Whether the sheet that is there is the one that would be written."""
        recipe = self._carried(self.job.sheet)
        return (
            recipe is not None
            and recipe.subject == sheet_subject(self.layers)
            and _is_whole(recipe)
            and self._is_same(recipe)
        )

    def replaceable(self, missing: Sequence[str]) -> frozenset[Path]:
        """Make sure that files can be written, and find those that may be replaced.

        Unless everything may be, those are pictures that were left unfinished, and a sheet.

        Args:
            missing: the layers whose pictures are to be written.

        Raises:
            OutputError: a file is in the way, or could not be written.
        """
        paths = {path: layer for layer in missing if (path := self.job.file(layer)) is not None}
        wanted: list[tuple[Path, str | None]] = [*paths.items()]
        if self.job.sheet is not None:
            wanted.append((self.job.sheet, None))
        found = set()
        for path, layer in wanted:
            if not path.parent.is_dir():
                continue
            refuse_source(path, {"image": self.job.image})
            free = self.job.overwrite or self._is_left(path, layer)
            check_output(path, overwrite=free)
            if free:
                found.add(path)
        return frozenset(found)

    def _is_left(self, path: Path, layer: str | None) -> bool:
        """Whether a file is an unfinished picture of a layer, or for None a sheet."""
        recipe = self._carried(path) if self.job.resume else None
        if recipe is None:
            return False
        if layer is None:
            return (recipe.subject or "").startswith(SHEET)
        return recipe.subject == layer and not _is_whole(recipe)

    def _carried(self, path: Path | None) -> Recipe | None:
        """The recipe in a file, if it is one of this kind for this picture."""
        try:
            text = read_recipe(path) if path is not None and path.exists() else None
            recipe = decode(text, path) if text is not None and path is not None else None
        except ImageError:
            return None
        source = None if recipe is None else recipe.sources.get("image")
        if recipe is None or source is None:
            return None
        same = recipe.kind == self.job.kind and source.sha256 == self.image.sha256
        return recipe if same else None

    def _is_same(self, recipe: Recipe) -> bool:
        """Whether a recipe is what would be used now."""
        try:
            known = dict(flatten(recipe.resolved().config))
        except ConfigError:  # of another version, with other settings
            return False
        wanted = dict(flatten(self.job.resolved.config))
        return recipe.weights_sha256 == self.extractor.weights_sha256 and all(
            known[key] == value for key, value in wanted.items() if key not in _ELSEWHERE
        )


def _is_whole(recipe: Recipe) -> bool:
    return recipe.outcome.done == recipe.outcome.planned
