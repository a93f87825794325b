"""One transfer from files to a file, with its recipe inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from styler.config import Resolved, TransferConfig, numbered, setting_files
from styler.engine import Callback
from styler.errors import OutputError
from styler.features import Extractor
from styler.guidance import Guidance
from styler.images import Picture, read_picture, shrink
from styler.network import extractor_for
from styler.regions.assign import assign
from styler.regions.read import check_selects, check_shape, mask_of
from styler.report.provenance import style_names
from styler.results import Finished, check_target, make_recipe, save, written_depth
from styler.styles.cache import StyleCache
from styler.styles.choice import StyleChoice, is_style_file
from styler.styles.file import StyleFile, read_style
from styler.styles.network import with_network_of
from styler.styles.source import PictureStyle, StyleShare, StyleSource
from styler.texture import SIDE, blank, without_content
from styler.timelapse import Film, Timelapse
from styler.transfer import Problem, TransferResult


@dataclass(frozen=True, kw_only=True)
class TransferJob:
    """What to make of which files.

    Args:
        content: the content picture; None for a texture.
        styles: pictures or saved styles, at least one, with their shares.
        output: where the result goes.
        resolved: all settings.
        canvas: (height, width) of a texture.
        timelapse: a film of how the picture came about.
        overwrite: replace an existing output.
        bit_depth: 8 or 16; None takes the content's.
    """

    content: Path | None
    styles: tuple[StyleChoice, ...]
    output: Path
    resolved: Resolved[TransferConfig]
    canvas: tuple[int, int] = (SIDE, SIDE)
    timelapse: Path | None = None
    overwrite: bool = False
    bit_depth: int | None = None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A job whose pictures are read and whose network is loaded.

    Args:
        job: the job.
        content: as read; None for a texture.
        styles: as read.
        named: pictures that the settings name, as read: see `styler.config.setting_files`.
        problem: ready to be solved.
        timelapse: takes the frames of the film, if there is to be one.
    """

    job: TransferJob
    content: Picture | None
    styles: tuple[Picture | StyleFile, ...]
    named: Mapping[str, Picture]
    problem: Problem
    timelapse: Timelapse | None = None


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
    files = {name: Path(path) for name, path in setting_files(config).items()}
    sources = {
        "content": job.content,
        **dict(zip(names, (style.path for style in job.styles), strict=True)),
        **files,
    }
    check_target(job.output, sources, overwrite=job.overwrite, bit_depth=job.bit_depth)
    film = None
    if job.timelapse is not None:
        taken = {"result": job.output, **sources}
        film = Timelapse(job.timelapse, overwrite=job.overwrite, taken=taken)
    content = read_picture(job.content) if job.content else None
    if content is None:
        config = without_content(config, job.canvas)
    styles = tuple(_read(style.path) for style in job.styles)
    named = {name: read_picture(path) for name, path in files.items()}
    config = with_network_of(config, [style for style in styles if isinstance(style, StyleFile)])
    shares = [
        StyleShare(source=_source(style, cache), weight=choice.weight)
        for style, choice in zip(styles, job.styles, strict=True)
    ]
    pixels = content.pixels if content else blank(job.canvas)
    guidance = _guidance(config, (pixels.shape[-2], pixels.shape[-1]), shares, named)
    start = named.get("start")
    problem = Problem(
        pixels,
        shares,
        config,
        load(config),
        start=start.pixels if start else None,
        guidance=guidance,
    )
    if film is not None:
        # Shrunk once: each step's frame is coloured.
        film.finish = partial(problem.coloured, content=shrink(pixels, film.side))
    return Prepared(
        job=job,
        content=content,
        styles=styles,
        named=named,
        problem=problem,
        timelapse=film,
    )


def _guidance(
    config: TransferConfig,
    size: tuple[int, int],
    styles: Sequence[StyleShare],
    named: Mapping[str, Picture],
) -> Guidance:
    """What masks and other pictures say."""
    contents, parts = (
        [named.get(name) for name in numbered(kind, paths)]
        for kind, paths in (
            ("content-mask", config.regions.content_masks),
            ("style-mask", config.regions.style_masks),
        )
    )
    protect, reference = named.get("protect"), named.get("color")
    if protect is not None:
        check_shape(protect.size, size, name=f"the mask {protect.path}", of="the content")
        check_selects(mask_of(protect), f"the mask {protect.path}")
    return Guidance(
        regions=assign(size, styles, contents, parts) if contents or parts else (),
        protect=None if protect is None else mask_of(protect),
        reference=None if reference is None else reference.pixels,
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
    film = prepared.timelapse
    if film is not None:
        film.start(prepared.problem.finished(prepared.problem.initial()))
        callbacks = [*callbacks, film]
    result = prepared.problem.solve(callbacks=callbacks, should_stop=should_stop)
    if result.run.stopped and result.run.done == 0:
        return None
    finished = finish(prepared, result)
    return finished if film is None else replace(finished, film=_filmed(film, finished, result))


def _filmed(film: Timelapse, finished: Finished, result: TransferResult) -> Film:
    try:
        return film.write(result.image)
    except OutputError as error:
        raise OutputError(error.message, f"the picture is safe in {finished.path}") from error


def finish(prepared: Prepared, result: TransferResult) -> Finished:
    """Write a picture that has been made.

    Raises:
        OutputError: it cannot be written where it should be; its hint says where it is.
    """
    job, image, content = prepared.job, result.image, prepared.content
    names = style_names(len(job.styles))
    recipe = make_recipe(
        "transfer" if content else "texture",
        output=job.output,
        pictures={
            "content": content,
            **dict(zip(names, prepared.styles, strict=True)),
            **prepared.named,
        },
        size=(image.shape[-2], image.shape[-1]),
        bit_depth=written_depth(job.output, job.bit_depth, content.bit_depth if content else 8),
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
        like=content,
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
