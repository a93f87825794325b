"""Running a transfer job with everything a person wants to see meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from styler.cli import console
from styler.cli.interrupt import Stop, stop_on_signal
from styler.errors import BackboneError, ExitCode
from styler.processes import keep_freed_memory

if TYPE_CHECKING:
    from styler.engine import Callback
    from styler.features import Extractor
    from styler.jobs import Prepared, TransferJob
    from styler.network import NetworkConfig
    from styler.results import Finished
    from styler.schedule import Level

SAMPLE_STEPS = 3
"""Steps that a dry run takes at the coarsest scale to see how fast the machine is."""


class Solvable(Protocol):
    """A picture to be made, whatever is wanted of it."""

    def solve(
        self,
        *,
        callbacks: Sequence[Callback] = (),
        should_stop: Callable[[int], bool] | None = None,
    ) -> object:
        """Go through all scales."""
        ...


def run_job(
    job: TransferJob,
    *,
    explained: bool = False,
    stop_after: int | None = None,
    weights_sha256: str | None = None,
) -> Finished:
    """Run a job with its progress shown.

    Args:
        job: what to make.
        explained: whether to show where the loss comes from in the end.
        stop_after: steps after which it ends, as a run did that was interrupted.
        weights_sha256: the weights that it must be made with; None for any.

    Raises:
        typer.Exit: with 130 when it was interrupted; what there was is saved.
    """
    from styler.jobs import run

    prepared = _prepare(job, weights_sha256)
    keep_freed_memory(prepared.problem.keeps_freed_memory)
    finished = run_watched(
        lambda show, stop: run(prepared, callbacks=[show], should_stop=stop),
        prepared.problem.levels,
        stop_after,
    )
    if explained:
        from styler.cli.explained import show_explanation
        from styler.explain import explain

        budget = explain(prepared.problem, finished.run.image)
        show_explanation(budget, finished.recipe.outcome)
    return finished


def run_watched(
    run: Callable[[Callback, Stop], Finished | None],
    levels: Sequence[Level],
    stop_after: int | None,
    noun: str = "scale",
) -> Finished:
    """Make a picture with its progress shown.

    Args:
        run: makes it, given what shows its steps and what ends them; None before the first step.
        levels: planned.
        stop_after: steps after which it ends; None for all.
        noun: what a level is called.

    Raises:
        typer.Exit: with 130 when it was interrupted; what there was is saved.
    """
    planned = sum(level.steps for level in levels)
    with (
        stop_on_signal(planned if stop_after is None else stop_after) as stop,
        console.progress(work_of(levels), noun) as show,
    ):
        finished = run(show, stop)
    if finished is None:
        console.note("interrupted before the first step: nothing to save")
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    report(finished)
    if stop.asked and finished.run.stopped:
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    return finished


def _prepare(job: TransferJob, weights_sha256: str | None = None) -> Prepared:
    from styler.jobs import prepare
    from styler.network import extractor_for

    with console.downloads() as progress:
        prepared = prepare(job, lambda config: extractor_for(config, progress))
    check_weights(prepared.problem.extractor, weights_sha256)
    _announce(prepared)
    return prepared


def check_weights(extractor: Extractor, wanted: str | None) -> None:
    """Make sure that a picture is made again with the weights of then.

    Args:
        extractor: the network.
        wanted: their digest; None for any.

    Raises:
        BackboneError: they are others.
    """
    found = extractor.weights_sha256
    if wanted not in (None, found):
        raise BackboneError(
            f"the weights of {extractor.name} are {found[:16]}, "
            f"the recipe was made with {str(wanted)[:16]}",
            "bring those with `styler weights import FILE`, or go on with --force",
        )


def announce_network(extractor: Extractor, wanted: str) -> None:
    """Say which network was taken, of a `wanted` one or of `auto`."""
    from styler.runtime import precision_name

    machine = f"{extractor.device.type}, {precision_name(extractor.dtype)}"
    console.note(f"backbone {extractor.name} ({machine})")
    if wanted == "auto" and extractor.name == "vgg-lite":
        console.note("for a better one: styler weights fetch vgg19, or --backbone vgg19")


def load_network(config: NetworkConfig, wanted: str | None = None) -> Extractor:
    """Load a network, with what a person should know of it said.

    Args:
        config: settings of any kind.
        wanted: its name as it was asked for; None for whatever was taken.
    """
    from styler.network import extractor_for

    with console.downloads() as progress:
        extractor = extractor_for(config, progress)
    announce_network(extractor, wanted or extractor.name)
    if extractor.notice:
        console.note(extractor.notice)
    return extractor


def announce_start(
    extractor: Extractor, output: Path, levels: Sequence[Level], **more: object
) -> None:
    """The first event: what will be made with what."""
    from styler.runtime import precision_name

    console.event(
        "start",
        backbone=extractor.name,
        device=str(extractor.device),
        precision=precision_name(extractor.dtype),
        output=str(output),
        scales=[{"size": level.size, "steps": level.steps} for level in levels],
        **more,
    )


def _announce(prepared: Prepared) -> None:
    """Say which network was taken and what will be made."""
    job, extractor, finest = prepared.job, prepared.problem.extractor, prepared.problem.levels[-1]
    announce_network(extractor, prepared.problem.config.backbone.name)
    content = prepared.content.size if prepared.content else finest.size
    if finest.size != content and job.resolved.config.schedule.size is None:
        console.note(
            f"optimised at {finest.size[1]}×{finest.size[0]} and enlarged to the content's "
            f"{content[1]}×{content[0]}; --size {max(content)} optimises every pixel"
        )
    for note in prepared.problem.layout.notes:
        console.note(note)
    plan = prepared.problem.plans[-1]
    if plan.tiled:
        console.note(
            f"{finest.size[1]}×{finest.size[0]} is worked out in tiles: "
            f"about {plan.bytes / 1e9:.1f} GB of memory"
        )
    announce_start(extractor, job.output, prepared.problem.levels)


def work_of(levels: Sequence[Level]) -> list[float]:
    """Relative cost of each scale."""
    return [float(level.steps * level.size[0] * level.size[1]) or 1.0 for level in levels]


def report(finished: Finished) -> None:
    """Say how a picture came out, and where it is."""
    outcome = finished.recipe.outcome
    for notice in finished.notices:
        console.note(notice)
    if outcome.recoveries:
        times = console.counted(outcome.recoveries, "time")
        console.note(f"the loss was not finite {times}; steps were made smaller")
    if finished.run.stopped:
        console.note(f"interrupted at step {outcome.done} of {outcome.planned}: saved as it was")
    losses = "  ".join(f"{name} {value:.3g}" for name, value in outcome.losses.items())
    steps = console.counted(outcome.done, "step")
    console.note(f"{steps} in {console.duration(outcome.seconds)}  {losses}")
    console.event(
        "done",
        output=str(finished.path),
        size=finished.recipe.size,
        seconds=outcome.seconds,
        losses=outcome.losses,
        interrupted=finished.run.stopped,
        **({"timelapse": str(finished.film.path)} if finished.film else {}),
    )
    console.result(finished.path)
    if finished.film is not None:
        film = finished.film
        console.note(f"{film.frames} frames in {console.duration(film.seconds)}")
        console.result(film.path)


def show_plan(job: TransferJob) -> None:
    """Print scales and an estimated time, measured by a few steps at the coarsest scale."""
    from rich.table import Table

    problem = _prepare(job).problem
    pace = sample_step(problem)
    coarsest = problem.levels[0].size
    seconds = [
        None if pace is None else pace * work / (coarsest[0] * coarsest[1])
        for work in problem.work()
    ]
    total = None if pace is None else sum(each or 0.0 for each in seconds)
    if console.mode.json:
        scales = [
            {
                "size": level.size,
                "steps": level.steps,
                "tiles": list(plan.sides),
                "bytes": plan.bytes,
                "seconds": own,
            }
            for level, plan, own in zip(problem.levels, problem.plans, seconds, strict=True)
        ]
        console.event("plan", seconds=total, scales=scales, output=str(job.output))
        return
    rows = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("scale", "size", "steps", "tiles", "memory", "time"):
        rows.add_column(heading, justify="right")
    whole = zip(problem.levels, problem.plans, seconds, strict=True)
    for number, (level, plan, own) in enumerate(whole, start=1):
        rows.add_row(
            str(number),
            f"{level.size[1]}×{level.size[0]}",
            str(level.steps),
            f"{plan.sides[0]}" if plan.tiled else "none",
            f"{plan.bytes / 1e6:,.0f} MB",
            "" if own is None else console.duration(own),
        )
    console.table(rows)
    if total is not None:
        console.say(f"about {console.duration(total)} on {problem.extractor.device}")
    console.say(f"output {job.output}")


def sample_step(problem: Solvable) -> float | None:
    """Seconds of a step at the coarsest scale, after the first, which warms up."""
    ends: list[float] = []
    problem.solve(
        callbacks=[lambda _: ends.append(time.perf_counter())],
        should_stop=lambda done: done >= SAMPLE_STEPS and len(ends) >= 2,
    )
    return (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else None
