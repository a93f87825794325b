"""Running a transfer job with everything a person wants to see meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from styler.cli import console
from styler.cli.interrupt import stop_on_signal
from styler.errors import BackboneError, ExitCode

if TYPE_CHECKING:
    from styler.engine import StepEvent
    from styler.jobs import Finished, Prepared, TransferJob
    from styler.schedule import Level

SAMPLE_STEPS = 3
"""Steps that a dry run takes at the coarsest scale to see how fast the machine is."""


def run_job(
    job: TransferJob, *, stop_after: int | None = None, weights_sha256: str | None = None
) -> Finished:
    """Run a job with its progress shown.

    Args:
        job: what to make.
        stop_after: steps after which it ends, as a run did that was interrupted.
        weights_sha256: the weights that it must be made with; None for any.

    Raises:
        typer.Exit: with 130 when it was interrupted; what there was is saved.
    """
    from styler.jobs import run

    prepared = _prepare(job, weights_sha256)
    with (
        stop_on_signal(stop_after) as stop,
        console.progress(_work(prepared.levels)) as show,
    ):
        finished = run(prepared, callbacks=[show], should_stop=stop)
    if finished is None:
        console.note("interrupted before the first step: nothing to save")
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    _report(finished)
    if stop.asked and finished.run.stopped:
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    return finished


def _prepare(job: TransferJob, weights_sha256: str | None = None) -> Prepared:
    from styler.jobs import prepare
    from styler.transfer import extractor_for

    with console.downloads() as progress:
        prepared = prepare(job, lambda config: extractor_for(config, progress))
    found = prepared.extractor.weights_sha256
    if weights_sha256 not in (None, found):
        raise BackboneError(
            f"the weights of {prepared.extractor.name} are {found[:16]}, "
            f"the recipe was made with {str(weights_sha256)[:16]}",
            "bring those with `styler weights import FILE`, or go on with --force",
        )
    _announce(prepared)
    return prepared


def _announce(prepared: Prepared) -> None:
    """Say which network was taken and what will be made."""
    from styler.runtime import precision_name

    job, extractor, finest = prepared.job, prepared.extractor, prepared.levels[-1]
    machine = f"{extractor.device.type}, {precision_name(extractor.dtype)}"
    console.note(f"backbone {extractor.name} ({machine})")
    if job.resolved.config.backbone.name == "auto" and extractor.name == "vgg-lite":
        console.note("for a better one: styler weights fetch vgg19, or --backbone vgg19")
    content = prepared.content.size
    if finest.size != content and job.resolved.config.schedule.size is None:
        console.note(
            f"optimised at {finest.size[1]}×{finest.size[0]} and enlarged to the content's "
            f"{content[1]}×{content[0]}; --size {max(content)} optimises every pixel"
        )
    console.event(
        "start",
        backbone=extractor.name,
        device=str(extractor.device),
        precision=precision_name(extractor.dtype),
        output=str(job.output),
        scales=[{"size": level.size, "steps": level.steps} for level in prepared.levels],
    )


def _work(levels: list[Level]) -> list[float]:
    return [float(level.steps * level.size[0] * level.size[1]) or 1.0 for level in levels]


def _report(finished: Finished) -> None:
    outcome = finished.recipe.outcome
    for notice in finished.notices:
        console.note(notice)
    if outcome.recoveries:
        console.note(f"the loss was not finite {outcome.recoveries} times; steps were made smaller")
    if finished.run.stopped:
        console.note(f"interrupted at step {outcome.done} of {outcome.planned}: saved as it was")
    losses = "  ".join(f"{name} {value:.3g}" for name, value in outcome.losses.items())
    console.note(f"{outcome.done} steps in {console.duration(outcome.seconds)}  {losses}")
    console.event(
        "done",
        output=str(finished.path),
        size=finished.recipe.size,
        seconds=outcome.seconds,
        losses=outcome.losses,
        interrupted=finished.run.stopped,
    )
    console.result(finished.path)


def show_plan(job: TransferJob) -> None:
    """Print scales and an estimated time, measured by a few steps at the coarsest scale."""
    from rich.table import Table

    from styler.memory import gradient_bytes

    prepared = _prepare(job)
    config = job.resolved.config
    layers = {**config.content.layers, **config.style.layers}
    rows = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("scale", "size", "steps", "memory"):
        rows.add_column(heading, justify="right")
    for number, level in enumerate(prepared.levels, start=1):
        height, width = level.size
        memory = gradient_bytes(prepared.extractor, layers, level.size) / 1e9
        rows.add_row(str(number), f"{width}×{height}", str(level.steps), f"{memory:.2f} GB")
    console.table(rows)
    seconds = _sample_step(prepared)
    if seconds is not None:
        work = _work(prepared.levels)
        coarsest = prepared.levels[0].size
        estimate = seconds * sum(work) / (coarsest[0] * coarsest[1])
        console.say(f"about {console.duration(estimate)} on {prepared.extractor.device}")
    console.say(f"output {job.output}")


def _sample_step(prepared: Prepared) -> float | None:
    """Seconds of a step at the coarsest scale, after the first, which warms up."""
    from styler.transfer import transfer

    ends: list[float] = []

    def tick(step: StepEvent) -> None:
        ends.append(time.perf_counter())

    transfer(
        prepared.content.pixels,
        prepared.style.pixels,
        prepared.job.resolved.config,
        start=prepared.start.pixels if prepared.start else None,
        extractor=prepared.extractor,
        callbacks=[tick],
        should_stop=lambda done: done >= SAMPLE_STEPS and len(ends) >= 2,
    )
    return (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else None
