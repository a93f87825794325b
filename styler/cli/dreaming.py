"""Running a dream with everything a person wants to see meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from styler.cli import console
from styler.cli.interrupt import stop_on_signal
from styler.cli.running import (
    announce_network,
    announce_start,
    check_weights,
    run_watched,
    sample_step,
    work_of,
)
from styler.errors import ExitCode

if TYPE_CHECKING:
    from styler.dream_job import DreamJob, PreparedDream


def run_dream(
    job: DreamJob, *, stop_after: int | None = None, weights_sha256: str | None = None
) -> None:
    """Dream a picture with its progress shown.

    Args:
        job: what to make.
        stop_after: steps after which it ends, as a run did that was interrupted.
        weights_sha256: the weights that it must be made with; None for any.

    Raises:
        typer.Exit: with 130 when it was interrupted; what there was is saved.
    """
    from styler.dream_job import run

    prepared = _prepare(job, weights_sha256)
    run_watched(
        lambda show, stop: run(prepared, callbacks=[show], should_stop=stop),
        prepared.problem.levels,
        stop_after,
        "octave",
    )


def run_film(job: DreamJob) -> None:
    """Dream a film with its progress shown.

    Raises:
        typer.Exit: with 130 when it was interrupted; the frames that there were are saved.
    """
    from styler import dream_job

    prepared = _prepare(job, None)
    if prepared.image is not None and prepared.image.alpha is not None:
        console.note("a film has no transparency: what was clear is filled")
    further = (job.frames or 1) - 1
    steps = sum(level.steps for level in prepared.problem.levels)
    with (
        stop_on_signal(further * steps) as stop,
        console.progress([1.0] * max(1, further), "frame") as show,
    ):
        film = dream_job.run_film(prepared, callbacks=[show], should_stop=stop)
    stopped = film.frames < film.planned
    if stopped:
        console.note(f"interrupted: {console.counted(film.frames, 'frame')} saved")
    console.event("done", output=str(film.path), frames=film.frames, interrupted=stopped)
    console.result(film.path)
    if stop.asked and stopped:
        raise typer.Exit(int(ExitCode.INTERRUPTED))


def _prepare(job: DreamJob, weights_sha256: str | None) -> PreparedDream:
    from styler.dream_job import prepare
    from styler.network import extractor_for

    with console.downloads() as progress:
        prepared = prepare(job, lambda config: extractor_for(config, progress))
    check_weights(prepared.problem.extractor, weights_sha256)
    _announce(prepared)
    return prepared


def _announce(prepared: PreparedDream) -> None:
    """Say which network and layers were taken and what will be made."""
    from styler.dream_job import layers_text

    job, problem = prepared.job, prepared.problem
    config, finest = job.resolved.config, problem.levels[-1].size
    announce_network(problem.extractor, config.backbone.name)
    layers = layers_text(problem.layers)
    console.note(f"dreams of {layers}" + ("" if config.layers else "; --layers names others"))
    if problem.dropped:
        octaves = console.counted(problem.dropped, "octave")
        console.note(f"{octaves} left out, too small for {layers}")
    size = prepared.image.size if prepared.image else finest
    if job.frames is None and config.schedule.size is None and max(finest) < max(size):
        console.note(
            f"dreamt at {finest[1]}×{finest[0]} and enlarged to the picture's "
            f"{size[1]}×{size[0]}; --size {max(size)} dreams every pixel"
        )
    more = {} if job.frames is None else {"frames": job.frames}
    announce_start(problem.extractor, job.output, problem.levels, layers=problem.layers, **more)


def show_plan(job: DreamJob) -> None:
    """Print octaves and an estimated time, measured by a few steps at the coarsest octave."""
    from rich.table import Table

    prepared = _prepare(job, None)
    problem = prepared.problem
    seconds = sample_step(problem)
    if seconds is not None:
        coarsest = problem.levels[0].size
        seconds *= sum(work_of(problem.levels)) / (coarsest[0] * coarsest[1])
        seconds *= 1 if job.frames is None else job.frames - 1
    if console.mode.json:
        console.event("plan", seconds=seconds, output=str(job.output))
        return
    rows = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("octave", "size", "steps", "passes"):
        rows.add_column(heading, justify="right")
    for number, level in enumerate(problem.levels, start=1):
        height, width = level.size
        passes = problem.passes(level)
        rows.add_row(str(number), f"{width}×{height}", str(level.steps), str(passes))
    console.table(rows)
    if job.frames is not None:
        console.say(f"for each of {job.frames} frames but the first, which is the picture itself")
    if seconds is not None:
        console.say(f"about {console.duration(seconds)} on {problem.extractor.device}")
    console.say(f"output {job.output}")
