"""One transfer from files to a file, with its recipe inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from styler.config import Resolved, TransferConfig
from styler.engine import Callback
from styler.features import Extractor
from styler.images import Picture, read_picture
from styler.network import extractor_for
from styler.report.provenance import style_names
from styler.results import Finished, check_target, make_recipe, save, written_depth
from styler.styles.cache import StyleCache
from styler.styles.choice import StyleChoice, is_style_file
from styler.styles.file import StyleFile, read_style
from styler.styles.network import with_network_of
from styler.styles.source import PictureStyle, StyleShare, StyleSource
from styler.transfer import Problem, TransferResult


@dataclass(frozen=True, kw_only=True)
class TransferJob:
    """What to make of which files.

    Args:
        content: the content picture.
        styles: pictures or saved styles, at least one, with their shares.
        output: where the result goes.
        resolved: all settings.
        overwrite: replace an existing output.
        bit_depth: 8 or 16; None takes the content's.
    """

    content: Path
    styles: tuple[StyleChoice, ...]
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
        styles: as read.
        start: as read, when the settings name one.
        problem: ready to be solved.
    """

    job: TransferJob
    content: Picture
    styles: tuple[Picture | StyleFile, ...]
    start: Picture | None
    problem: Problem


def prepare(
    job: TransferJob,
    load: Callable[[TransferConfig], Extractor] = extractor_for,
    *,
    cache: StyleCache | None = None,
) -> Prepared:
    """Read the pictures and load the network; everything that can be refused is refused here.

    Args:
        job: what to make.
        load: gives the extractor; called last.
        cache: statistics of style pictures that were measured for other jobs.

    Raises:
        UsageError: the bit depth is neither 8 nor 16.
        OutputError: the result could not be written, or would replace one of its sources.
        ImageError: a picture or saved style cannot be read, or is too small for the network.
        ConfigError: an unknown layer, or one that a saved style lacks.
        BackboneError: the network cannot be had, or a saved style was measured with another.
        DeviceError: from the network.
    """
    config, names = job.resolved.config, style_names(len(job.styles))
    image = config.init.image if config.init.kind == "image" else None
    start_file = Path(image) if image else None
    check_target(
        job.output,
        {
            "content": job.content,
            **dict(zip(names, (style.path for style in job.styles), strict=True)),
            "initial": start_file,
        },
        overwrite=job.overwrite,
        bit_depth=job.bit_depth,
    )
    content = read_picture(job.content)
    styles = tuple(_read(style.path) for style in job.styles)
    start = read_picture(start_file) if start_file else None
    config = with_network_of(config, [style for style in styles if isinstance(style, StyleFile)])
    return Prepared(
        job=job,
        content=content,
        styles=styles,
        start=start,
        problem=Problem(
            content.pixels,
            [
                StyleShare(source=_source(style, cache), weight=choice.weight)
                for style, choice in zip(styles, job.styles, strict=True)
            ],
            config,
            load(config),
            start=start.pixels if start else None,
        ),
    )


def _read(path: Path) -> Picture | StyleFile:
    return read_style(path) if is_style_file(path) else read_picture(path)


def _source(style: Picture | StyleFile, cache: StyleCache | None) -> StyleSource:
    if isinstance(style, StyleFile):
        return style
    return PictureStyle(style.pixels, digest=style.sha256, cache=cache)


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
    names = style_names(len(job.styles))
    recipe = make_recipe(
        "transfer",
        output=job.output,
        pictures={
            "content": prepared.content,
            **dict(zip(names, prepared.styles, strict=True)),
            "start": prepared.start,
        },
        size=(image.shape[-2], image.shape[-1]),
        bit_depth=written_depth(job.output, job.bit_depth, prepared.content.bit_depth),
        extractor=prepared.problem.extractor,
        run=result.run,
        resolved=job.resolved,
    )
    if len(names) > 1:
        shares = (style.weight for style in job.styles)
        recipe = replace(recipe, weights=dict(zip(names, shares, strict=True)))
    notices = save(
        job.output,
        image,
        like=prepared.content,
        recipe=recipe,
        bit_depth=job.bit_depth,
        overwrite=job.overwrite,
    )
    return Finished(
        path=job.output,
        recipe=recipe,
        run=result.run,
        notices=[*result.notices, *notices],
    )
