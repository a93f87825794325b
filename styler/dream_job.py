"""One dream from files to a file: a picture with its recipe inside, or a film."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from styler.config import DreamConfig, Resolved
from styler.dream import NOISE_SIDE, DreamProblem, noise_picture
from styler.dreaming.zoom import film_config, first_frame, zoom_frames
from styler.engine import Callback
from styler.errors import UsageError
from styler.features import Extractor
from styler.images import (
    ANIMATION_EXTENSIONS,
    WRITABLE_EXTENSIONS,
    AnimationWriter,
    Picture,
    read_picture,
)
from styler.network import extractor_for
from styler.regions.read import mask_of
from styler.results import (
    Finished,
    check_target,
    make_recipe,
    refuse_source,
    save,
    written_depth,
)


@dataclass(frozen=True, kw_only=True)
class DreamJob:
    """What to make of which files.

    Args:
        output: where the result goes.
        resolved: all settings.
        image: the picture to dream in; None for one of noise.
        guide: a picture whose features the dream follows.
        mask: white where the dream may be.
        frames: of a film; None for a single picture.
        overwrite: replace an existing output.
        bit_depth: 8 or 16; None takes the picture's.
    """

    output: Path
    resolved: Resolved[DreamConfig]
    image: Path | None = None
    guide: Path | None = None
    mask: Path | None = None
    frames: int | None = None
    overwrite: bool = False
    bit_depth: int | None = None


@dataclass(frozen=True, kw_only=True)
class PreparedDream:
    """A job whose pictures are read and whose network is loaded.

    Args:
        job: the job.
        image: as read; None for noise.
        guide: as read, if there is one.
        mask: as read, if there is one.
        start: (1, 3, H, W), the picture or the noise; of a film, its first frame.
        problem: ready to be solved; of a film, that of its second frame.
        writer: of a film.
    """

    job: DreamJob
    image: Picture | None
    guide: Picture | None
    mask: Picture | None
    start: Tensor
    problem: DreamProblem
    writer: AnimationWriter | None


@dataclass(frozen=True, kw_only=True)
class FinishedFilm:
    """A written film.

    Args:
        path: the file.
        frames: how many it has.
        planned: how many it was to have.
        size: (height, width).
    """

    path: Path
    frames: int
    planned: int
    size: tuple[int, int]


def prepare(
    job: DreamJob, load: Callable[[DreamConfig], Extractor] = extractor_for
) -> PreparedDream:
    """Read the pictures and load the network; everything that can be refused is refused here.

    Args:
        job: what to make.
        load: gives the extractor; called last.

    Raises:
        UsageError: a bit depth, number of frames or output that cannot be.
        OutputError: the result could not be written, or would replace one of its sources.
        ImageError: a picture cannot be read or does not fit.
        ConfigError: an unknown layer.
        BackboneError, DeviceError: from the network.
    """
    config = job.resolved.config
    writer = _check_output(job)
    image, guide, mask = (
        read_picture(path) if path else None for path in (job.image, job.guide, job.mask)
    )
    if image is not None:
        start = image.pixels
    else:
        start = noise_picture(config.schedule.size or NOISE_SIDE, config.runtime.seed)
    if writer is not None:
        start = first_frame(start, config)
    problem = DreamProblem(
        start,
        config if writer is None else film_config(config),
        load(config),
        guide=guide.pixels if guide else None,
        mask=mask_of(mask) if mask else None,
    )
    return PreparedDream(
        job=job, image=image, guide=guide, mask=mask, start=start, problem=problem, writer=writer
    )


def _check_output(job: DreamJob) -> AnimationWriter | None:
    """Refuse an output that cannot be; gives the writer of a film."""
    sources = {"dreamt": job.image, "guide": job.guide, "mask": job.mask}
    ending = job.output.suffix.lower()
    if job.frames is None:
        if ending in ANIMATION_EXTENSIONS and ending not in WRITABLE_EXTENSIONS:
            raise UsageError(f"{job.output} is the name of a film", "--zoom 120 makes one")
        check_target(job.output, sources, overwrite=job.overwrite, bit_depth=job.bit_depth)
        return None
    if job.frames < 1:
        raise UsageError(f"a zoom of {job.frames} frames is asked for", "for example --zoom 120")
    if job.bit_depth not in (None, 8):
        raise UsageError("a film has 8 bits", "leave --bit-depth out")
    if ending not in ANIMATION_EXTENSIONS:
        raise UsageError(
            f"a zoom is a film, and {job.output} is none",
            f"name it with -o, ending in {', '.join(ANIMATION_EXTENSIONS)}",
        )
    refuse_source(job.output, sources)
    fps = job.resolved.config.zoom.fps
    return AnimationWriter(job.output, fps=fps, overwrite=job.overwrite)


def run(
    prepared: PreparedDream,
    *,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> Finished | None:
    """Dream, and write the picture.

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
    own = prepared.image.bit_depth if prepared.image else 8
    recipe = make_recipe(
        "dream",
        output=job.output,
        pictures={"image": prepared.image, "guide": prepared.guide, "mask": prepared.mask},
        size=(result.image.shape[-2], result.image.shape[-1]),
        bit_depth=written_depth(job.output, job.bit_depth, own),
        extractor=prepared.problem.extractor,
        run=result.run,
        resolved=job.resolved,
    )
    recipe = dataclasses.replace(recipe, subject=layers_text(result.layers))
    notices = save(
        job.output,
        result.image,
        like=prepared.image,
        recipe=recipe,
        bit_depth=job.bit_depth,
        overwrite=job.overwrite,
    )
    return Finished(path=job.output, recipe=recipe, run=result.run, notices=notices)


def run_film(
    prepared: PreparedDream,
    *,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> FinishedFilm:
    """Dream frame after frame into a film; one that is stopped keeps the frames that it has.

    Raises:
        UsageError: the job is not one for a film.
        DivergedError, DeviceError: from the optimisation.
        OutputError: the film cannot be written.
    """
    job, writer = prepared.job, prepared.writer
    if writer is None or job.frames is None:
        raise UsageError("the job has no frames", "DreamJob(frames=120, …)")
    frames = zoom_frames(
        prepared.start,
        job.resolved.config,
        job.frames,
        extractor=prepared.problem.extractor,
        guide=prepared.guide.pixels if prepared.guide else None,
        mask=mask_of(prepared.mask) if prepared.mask else None,
        callbacks=callbacks,
        should_stop=should_stop,
    )
    size = (0, 0)
    with writer:
        for frame in frames:
            size = (frame.shape[-2], frame.shape[-1])
            writer.add(frame)
    return FinishedFilm(path=job.output, frames=writer.frames, planned=job.frames, size=size)


def layers_text(layers: dict[str, float]) -> str:
    """Layers for people; weights only where they differ.

    Example:
        >>> layers_text({"relu4_1": 1.0}), layers_text({"relu4_1": 1.0, "relu3_1": 0.5})
        ('relu4_1', 'relu4_1=1, relu3_1=0.5')
    """
    if len(set(layers.values())) == 1:
        return ", ".join(layers)
    return ", ".join(f"{layer}={weight:g}" for layer, weight in layers.items())
