"""A finished run becomes a file: its recipe, what it keeps of its source, and a place for it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from styler import __version__
from styler.config import Kind, Resolved
from styler.engine import RunResult
from styler.errors import OutputError, UsageError
from styler.features import Extractor
from styler.images import Picture, check_output, resize, write_picture
from styler.report.provenance import (
    Machine,
    Outcome,
    Recipe,
    Source,
    config_record,
    encode,
    relative_path,
)
from styler.runtime import device_name, precision_name
from styler.timelapse import Film

TRACE_POINTS = 100
"""Losses kept in a recipe; a curve needs no more."""
_TERM_DIGITS = 6
"""Significant ones of the terms' losses in a recipe, which are for plots alone."""
_DEEP_EXTENSIONS = (".png", ".tif", ".tiff")


class SourceFile(Protocol):
    """A file that something was made from, as read: a `Picture` or a saved style."""

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    @property
    def sha256(self) -> str:
        """Of its bytes, in hexadecimal."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture."""
        ...


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A written result.

    Args:
        path: the file.
        recipe: what it carries.
        run: how the optimisation went.
        notices: what a person should know about the file.
        film: of how the picture came about, if one was made.
    """

    path: Path
    recipe: Recipe
    run: RunResult
    notices: list[str]
    film: Film | None = None


def check_target(
    output: Path,
    sources: Mapping[str, Path | None],
    *,
    overwrite: bool,
    bit_depth: int | None = None,
) -> None:
    """Refuse what could not be written, before any work.

    Args:
        output: where the result goes.
        sources: what a picture is for → its file.
        overwrite: replace an existing output.
        bit_depth: asked for.

    Raises:
        UsageError: the bit depth is neither 8 nor 16.
        OutputError: the result could not be written, or would replace one of its sources.
    """
    if bit_depth not in (None, 8, 16):
        raise UsageError(f"a bit depth of {bit_depth} is asked for", "choose 8 or 16")
    refuse_source(output, sources)
    check_output(output, overwrite=overwrite)


def refuse_source(output: Path, sources: Mapping[str, Path | None]) -> None:
    """Make sure that a result replaces none of the pictures it is made from.

    Raises:
        OutputError: it would.
    """
    for name, source in sources.items():
        if source is not None and os.path.realpath(output) == os.path.realpath(source):
            raise OutputError(f"the output is the {name} picture itself", "name another with -o")


def check_folder(folder: Path) -> None:
    """Refuse a folder that results could not be written into; it need not be there yet.

    Raises:
        OutputError: it is a file, or what it would be made in may not be written to.
    """
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise OutputError(f"{above} is a file, expected a folder", "name another with -o")
    if not os.access(above, os.W_OK):
        raise OutputError(f"cannot write into {above}", "name another folder with -o")


def written_depth(output: Path, asked: int | None, own: int = 8) -> int:
    """Bits per value that a file will hold.

    Args:
        output: the file, whose format may have 8 only.
        asked: for, if at all.
        own: of the picture that it is made from.

    Example:
        >>> written_depth(Path("x.png"), None, 16), written_depth(Path("x.jpg"), 16)
        (16, 8)
    """
    return (asked or own) if output.suffix.lower() in _DEEP_EXTENSIONS else 8


def make_recipe(
    kind: Kind,
    *,
    output: Path,
    pictures: Mapping[str, SourceFile | None],
    size: tuple[int, int],
    bit_depth: int,
    extractor: Extractor,
    run: RunResult,
    resolved: Resolved[Any],
) -> Recipe:
    """The record of a run; a subject is added with `dataclasses.replace`.

    Args:
        kind: of work.
        output: where the result goes; sources are named from its folder.
        pictures: what each was for → as read; None for one that there was not.
        size: (height, width) of the result.
        bit_depth: of the result.
        extractor: the network.
        run: how the optimisation went.
        resolved: all settings.
    """
    return Recipe(
        styler=__version__,
        kind=kind,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        sources={
            name: Source(
                path=relative_path(picture.path, output), sha256=picture.sha256, size=picture.size
            )
            for name, picture in pictures.items()
            if picture is not None
        },
        size=size,
        bit_depth=bit_depth,
        backbone=extractor.name,
        weights_sha256=extractor.weights_sha256,
        machine=Machine(
            device=str(extractor.device),
            name=device_name(extractor.device),
            precision=precision_name(extractor.dtype),
            threads=torch.get_num_threads(),
            torch=str(torch.__version__),
        ),
        outcome=_outcome(run),
        config=config_record(resolved),
        origins=resolved.origins,
    )


def _outcome(run: RunResult) -> Outcome:
    every = max(1, len(run.trace) // TRACE_POINTS)
    # A run without steps has no losses; one that was stopped before a GPU's first report, neither.
    last = run.trace[-1:]
    kept = [*run.trace[:-1:every], *last]
    return Outcome(
        done=run.done,
        planned=run.planned,
        evaluations=run.evaluations,
        recoveries=run.recoveries,
        seconds=round(run.seconds, 2),
        losses=next(({**losses, "total": total} for _, total, losses in last), {}),
        trace=[(done, total) for done, total, _ in kept],
        terms=_terms([losses for _, _, losses in kept]),
    )


def _terms(points: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """The curves of the losses that every point knows; one point makes none."""
    if len(points) < 2:
        return {}
    names = [name for name in points[0] if all(name in losses for losses in points)]
    return {
        name: [float(f"{losses[name]:.{_TERM_DIGITS}g}") for losses in points] for name in names
    }


def save(
    path: Path,
    image: Tensor,
    *,
    like: Picture | None,
    recipe: Recipe,
    bit_depth: int | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write a result, and rather somewhere else than not at all.

    Args:
        path: where it should be.
        image: (1, 3, H, W) in [0, 1].
        like: whose transparency, colour profile and EXIF it gets.
        recipe: what it carries.
        bit_depth: asked for; None takes the recipe's.
        overwrite: replace an existing file.

    Returns:
        What a person should know about the file.

    Raises:
        OutputError: it cannot be written where it should be; its hint says where it is.
    """
    alpha = like.alpha if like else None
    if alpha is not None:
        alpha = resize(alpha, (image.shape[-2], image.shape[-1]))

    def write(path: Path, overwrite: bool) -> list[str]:
        return write_picture(
            path,
            image,
            alpha=alpha,
            bit_depth=bit_depth or recipe.bit_depth,
            icc_profile=like.icc_profile if like else None,
            exif=like.exif if like else None,
            recipe=encode(recipe),
            overwrite=overwrite,
        )

    try:
        return write(path, overwrite)
    except OutputError as error:
        rescued = _rescue(lambda folder: write(folder / path.name, False))
        if rescued is None:
            raise
        hint = f"the picture is safe in {rescued / path.name}"
        raise OutputError(error.message, hint) from error


def _rescue(write: Callable[[Path], object]) -> Path | None:
    """A new folder that holds what was written; None when there is no room anywhere."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="styler-"))
    except OSError:
        return None
    try:
        write(folder)
    except OutputError:
        folder.rmdir()
        return None
    return folder
