"""One transfer from files to a file, with its recipe inside."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from styler import __version__
from styler.config import Resolved, TransferConfig
from styler.engine import Callback, RunResult
from styler.errors import OutputError, UsageError
from styler.features import Extractor
from styler.images import Picture, check_output, read_picture, resize, write_picture
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
from styler.transfer import Problem, TransferResult, extractor_for

TRACE_POINTS = 100
"""Losses kept in a recipe; a curve needs no more."""


@dataclass(frozen=True, kw_only=True)
class TransferJob:
    """What to make of which files.

    Args:
        content: the content picture.
        style: the style picture.
        output: where the result goes.
        resolved: all settings.
        overwrite: replace an existing output.
        bit_depth: 8 or 16; None takes the content's.
    """

    content: Path
    style: Path
    output: Path
    resolved: Resolved[TransferConfig]
    overwrite: bool = False
    bit_depth: int | None = None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A job whose pictures are read and whose network is loaded.

    Args:
        job: the job.
        content: as read.
        style: as read.
        start: as read, when the settings name one.
        problem: ready to be solved.
    """

    job: TransferJob
    content: Picture
    style: Picture
    start: Picture | None
    problem: Problem


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A written result.

    Args:
        path: the file.
        recipe: what it carries.
        run: how the optimisation went.
        notices: what a person should know about the file.
    """

    path: Path
    recipe: Recipe
    run: RunResult
    notices: list[str]


def prepare(
    job: TransferJob, load: Callable[[TransferConfig], Extractor] = extractor_for
) -> Prepared:
    """Read the pictures and load the network; everything that can be refused is refused here.

    Args:
        job: what to make.
        load: gives the extractor; called last.

    Raises:
        UsageError: the bit depth is neither 8 nor 16.
        OutputError: the result could not be written, or would replace one of its sources.
        ImageError: a picture cannot be read.
        BackboneError, DeviceError: from the network.
    """
    if job.bit_depth not in (None, 8, 16):
        raise UsageError(f"a bit depth of {job.bit_depth} is asked for", "choose 8 or 16")
    config = job.resolved.config
    image = config.init.image if config.init.kind == "image" else None
    start_file = Path(image) if image else None
    for name, source in (("content", job.content), ("style", job.style), ("initial", start_file)):
        if source is not None and os.path.realpath(job.output) == os.path.realpath(source):
            raise OutputError(f"the output is the {name} picture itself", "name another with -o")
    check_output(job.output, overwrite=job.overwrite)
    content, style = read_picture(job.content), read_picture(job.style)
    start = read_picture(start_file) if start_file else None
    return Prepared(
        job=job,
        content=content,
        style=style,
        start=start,
        problem=Problem(
            content.pixels,
            style.pixels,
            config,
            load(config),
            start=start.pixels if start else None,
        ),
    )


def run(
    prepared: Prepared,
    *,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> Finished | None:
    """Do the work and write the picture.

    Returns:
        What was written, or None when it was stopped before the first step.

    Raises:
        DivergedError, DeviceError: from the optimisation.
        OutputError: the picture cannot be written where it should be; its hint says where it is.
    """
    job = prepared.job
    result = prepared.problem.solve(callbacks=callbacks, should_stop=should_stop)
    if result.run.stopped and result.run.done == 0:
        return None
    recipe = _recipe(prepared, result)
    notices = _save(prepared, result.image, recipe)
    return Finished(path=job.output, recipe=recipe, run=result.run, notices=notices)


def _bit_depth(prepared: Prepared) -> int:
    """What the file will hold."""
    if prepared.job.output.suffix.lower() not in (".png", ".tif", ".tiff"):
        return 8
    return prepared.job.bit_depth or prepared.content.bit_depth


def _recipe(prepared: Prepared, result: TransferResult) -> Recipe:
    job, extractor, run_ = prepared.job, prepared.problem.extractor, result.run
    every = max(1, len(run_.trace) // TRACE_POINTS)
    # A run without steps has no losses; one that was stopped before a GPU's first report, neither.
    last = run_.trace[-1:]
    pictures = {"content": prepared.content, "style": prepared.style, "start": prepared.start}
    return Recipe(
        styler=__version__,
        kind="transfer",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        sources={name: _source(p, job.output) for name, p in pictures.items() if p},
        size=(result.image.shape[-2], result.image.shape[-1]),
        bit_depth=_bit_depth(prepared),
        backbone=extractor.name,
        weights_sha256=extractor.weights_sha256,
        machine=Machine(
            device=str(extractor.device),
            name=device_name(extractor.device),
            precision=precision_name(extractor.dtype),
            threads=torch.get_num_threads(),
            torch=str(torch.__version__),
        ),
        outcome=Outcome(
            done=run_.done,
            planned=run_.planned,
            evaluations=run_.evaluations,
            recoveries=run_.recoveries,
            seconds=round(run_.seconds, 2),
            losses=next(({**losses, "total": total} for _, total, losses in last), {}),
            trace=[(done, total) for done, total, _ in [*run_.trace[:-1:every], *last]],
        ),
        config=config_record(job.resolved),
        origins=job.resolved.origins,
    )


def _source(picture: Picture, output: Path) -> Source:
    return Source(
        path=relative_path(picture.path, output), sha256=picture.sha256, size=picture.size
    )


def _save(prepared: Prepared, image: Tensor, recipe: Recipe) -> list[str]:
    """Write the picture, and rather somewhere else than not at all."""
    job, content = prepared.job, prepared.content
    alpha = content.alpha
    if alpha is not None:
        alpha = resize(alpha, (image.shape[-2], image.shape[-1]))

    def write(path: Path, overwrite: bool) -> list[str]:
        return write_picture(
            path,
            image,
            alpha=alpha,
            bit_depth=job.bit_depth or recipe.bit_depth,
            icc_profile=content.icc_profile,
            exif=content.exif,
            recipe=encode(recipe),
            overwrite=overwrite,
        )

    try:
        return write(job.output, job.overwrite)
    except OutputError as error:
        rescued = _rescue(lambda folder: write(folder / job.output.name, False))
        if rescued is None:
            raise
        hint = f"the picture is safe in {rescued / job.output.name}"
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
