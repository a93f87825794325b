"""Running an inversion or caricature with everything a person wants to see meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from styler.cli import console
from styler.cli.interrupt import stop_on_signal
from styler.cli.running import announce_network, check_weights, sample_step
from styler.errors import ExitCode

if TYPE_CHECKING:
    from styler.reference_files import ReferenceJob
    from styler.reference_job import Made, PreparedReference

MEASURES = ("error", "cosine", "gain")
"""What is told of the features of each picture, see `styler.reference.Likeness`."""


def run_reference(
    job: ReferenceJob, *, stop_after: int | None = None, weights_sha256: str | None = None
) -> None:
    """Make the pictures with their progress shown.

    Args:
        job: what to make.
        stop_after: steps after which it ends, as a run did that was interrupted.
        weights_sha256: the weights that it must be made with; None for any.

    Raises:
        typer.Exit: with 130 when it was interrupted; what there was is saved.
    """
    prepared = _prepare(job, weights_sha256)
    if prepared.there:
        there = console.counted(len(prepared.there), "picture")
        console.note(f"{there} there already; --overwrite makes anew")
    made, asked = _made(prepared, stop_after)
    unfinished = [m for m in made if m.recipe.outcome.done < m.recipe.outcome.planned]
    for one in unfinished:
        outcome = one.recipe.outcome
        console.note(
            f"interrupted at step {outcome.done} of {outcome.planned} of {one.layer}: "
            "saved as it was"
        )
    interrupted = bool(unfinished) or len(made) < len(prepared.layers)
    _report(prepared, made, interrupted)
    if asked and interrupted:
        raise typer.Exit(int(ExitCode.INTERRUPTED))


def _made(prepared: PreparedReference, stop_after: int | None) -> tuple[list[Made], bool]:
    """The pictures, and whether somebody asked for an end."""
    from styler.reference_job import run

    if prepared.problem is None:
        return run(prepared), False
    console.note(_row(prepared, "layer", dict.fromkeys(MEASURES, "")))
    for one in prepared.there.values():
        _tell(prepared, one)
    planned = prepared.problem.planned
    with (
        stop_on_signal(planned if stop_after is None else stop_after) as stop,
        console.progress(prepared.problem.seconds(), "layer") as show,
    ):
        made = run(
            prepared,
            told=lambda one: _tell(prepared, one),
            callbacks=[show],
            should_stop=stop,
        )
    return made, stop.asked


def _prepare(job: ReferenceJob, weights_sha256: str | None) -> PreparedReference:
    from styler.network import extractor_for
    from styler.reference_job import prepare

    with console.downloads() as progress:
        prepared = prepare(job, lambda config: extractor_for(config, progress))
    extractor = prepared.extractor
    check_weights(extractor, weights_sha256)
    announce_network(extractor, job.resolved.config.backbone.name)
    if extractor.notice:
        console.note(extractor.notice)
    if not job.layers:
        console.note(f"layers {', '.join(prepared.layers)}; --layer names others")
    size = prepared.problem.size if prepared.problem else None
    console.event(
        "start",
        backbone=extractor.name,
        device=str(extractor.device),
        output=str(job.output),
        layers=prepared.layers,
        there=list(prepared.there),
        size=size,
        steps=job.resolved.config.schedule.steps,
    )
    return prepared


def _row(prepared: PreparedReference, layer: str, values: dict[str, str]) -> str:
    """A line of the table of likenesses."""
    wide = max(len("layer"), *(len(name) for name in prepared.layers))
    cells = [f"{value or name:>7}" for name, value in values.items()]
    return "  ".join([f"{layer:<{wide}}", *cells])


def _tell(prepared: PreparedReference, one: Made) -> None:
    """A line for each picture that is there."""
    losses = one.recipe.outcome.losses
    told = {name: losses[name] for name in MEASURES if name in losses}
    console.note(_row(prepared, one.layer, {k: f"{v:.4f}" for k, v in told.items()}))
    for notice in one.notices:
        console.note(notice)
    console.event(
        "layer",
        layer=one.layer,
        output=str(one.path) if one.path else None,
        steps=one.recipe.outcome.done,
        seconds=one.recipe.outcome.seconds,
        **told,
    )


def _report(prepared: PreparedReference, made: list[Made], interrupted: bool) -> None:
    new = [one.recipe.outcome for one in made if not one.earlier]
    recoveries = sum(outcome.recoveries for outcome in new)
    if recoveries:
        times = console.counted(recoveries, "time")
        console.note(f"the loss was not finite {times}; steps were made smaller")
    if not made:
        console.note("interrupted before the first step: nothing to save")
    seconds = sum(outcome.seconds for outcome in new)
    if new:
        steps = console.counted(sum(outcome.done for outcome in new), "step")
        console.note(f"{steps} in {console.duration(seconds)}")
    sheet = prepared.job.sheet if made else None
    console.event(
        "done",
        sheet=str(sheet) if sheet else None,
        pictures=len(made),
        seconds=round(seconds, 2),
        interrupted=interrupted,
    )
    for path in (*(one.path for one in made), sheet):
        if path is not None:
            console.result(path)


def show_plan(job: ReferenceJob) -> None:
    """Print the layers and an estimated time, measured by a few steps of each."""
    from rich.table import Table

    prepared = _prepare(job, None)
    steps = job.resolved.config.schedule.steps
    times = {layer: steps * (seconds or 0.0) for layer, seconds in _step_seconds(prepared).items()}
    if console.mode.json:
        console.event("plan", seconds=round(sum(times.values()), 1), layers=times)
        return
    rows = Table(box=None, padding=(0, 2, 0, 0))
    rows.add_column("layer", no_wrap=True)
    for heading in ("size", "steps", "time"):
        rows.add_column(heading, justify="right", no_wrap=True)
    rows.add_column("file")
    for layer in prepared.layers:
        path = job.file(layer)
        if prepared.problem is None or layer not in times:
            rows.add_row(layer, "", "0", "there", str(path))
            continue
        height, width = prepared.problem.size
        about = console.duration(times[layer])
        rows.add_row(layer, f"{width}×{height}", str(steps), about, str(path))
    console.table(rows)
    console.say(f"about {console.duration(sum(times.values()))} on {prepared.extractor.device}")
    if job.sheet is not None:
        console.say(f"sheet {job.sheet}")


def _step_seconds(prepared: PreparedReference) -> dict[str, float | None]:
    if prepared.problem is None:
        return {}
    problem = prepared.problem
    return {layer: sample_step(problem.alone(layer)) for layer in problem.layers}
