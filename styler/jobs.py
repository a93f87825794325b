"""One transfer from files to a file, with its recipe inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from styler.config import Resolved, TransferConfig
from styler.engine import Callback
from styler.features import Extractor
from styler.images import Picture, read_picture
from styler.network import extractor_for
from styler.results import Finished, check_target, make_recipe, save, written_depth
from styler.transfer import Problem, TransferResult


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
    config = job.resolved.config
    image = config.init.image if config.init.kind == "image" else None
    start_file = Path(image) if image else None
    check_target(
        job.output,
        {"content": job.content, "style": job.style, "initial": start_file},
        overwrite=job.overwrite,
        bit_depth=job.bit_depth,
    )
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
    result = prepared.problem.solve(callbacks=callbacks, should_stop=should_stop)
    if result.run.stopped and result.run.done == 0:
        return None
    return finish(prepared, result)


def finish(prepared: Prepared, result: TransferResult) -> Finished:
    """Write a picture that has been made.

    Raises:
        OutputError: it cannot be written where it should be; its hint says where it is.
    """
    job, image = prepared.job, result.image
    recipe = make_recipe(
        "transfer",
        output=job.output,
        pictures={
            "content": prepared.content,
            "style": prepared.style,
            "start": prepared.start,
        },
        size=(image.shape[-2], image.shape[-1]),
        bit_depth=written_depth(job.output, job.bit_depth, prepared.content.bit_depth),
        extractor=prepared.problem.extractor,
        run=result.run,
        resolved=job.resolved,
    )
    notices = save(
        job.output,
        image,
        like=prepared.content,
        recipe=recipe,
        bit_depth=job.bit_depth,
        overwrite=job.overwrite,
    )
    return Finished(path=job.output, recipe=recipe, run=result.run, notices=notices)
