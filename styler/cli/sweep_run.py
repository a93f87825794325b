"""Running a sweep with everything a person wants to see meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from styler.cli import console
from styler.cli.interrupt import stop_on_signal
from styler.cli.running import announce_network, sample_step
from styler.errors import ExitCode, StylerError
from styler.processes import keep_freed_memory

if TYPE_CHECKING:
    from styler.config import TransferConfig
    from styler.sweep import CellPlan, Made, PreparedSweep, SweepJob


def run_sweep(job: SweepJob) -> None:
    """Make the pictures and the sheet.

    Raises:
        typer.Exit: with 130 when it was interrupted; the sheet has what there was.
        StylerError: from the sweep; the sheet has what there was.
    """
    from styler.sweep import run

    prepared = _prepare(job)
    keep_freed_memory(prepared.keeps_freed_memory)
    made: list[Made] = []
    with (
        stop_on_signal(sum(plan.steps for plan in prepared.plans)) as stop,
        console.progress([plan.work or 1.0 for plan in prepared.plans], "picture") as show,
    ):
        try:
            for one in run(prepared, callbacks=[show], should_stop=stop):
                made.append(one)
                _tell(one)
        except KeyboardInterrupt:
            stop.asked = True
        except StylerError:
            _save(job, made)
            raise
        _save(job, made)
    _conclude(job, made)


def _prepare(job: SweepJob) -> PreparedSweep:
    """Refuse what can be refused, and say what will be made."""
    from styler.network import extractor_for
    from styler.sweep import prepare

    with console.downloads() as progress:
        prepared = prepare(job, lambda config: extractor_for(config, progress))
    announce_network(prepared.extractor, job.cells[0].resolved.config.backbone.name)
    steps = sum(plan.steps for plan in prepared.plans)
    pictures = console.counted(len(job.cells), "picture")
    console.note(f"{pictures}, {console.counted(steps, 'step')} in all")
    console.event(
        "start",
        backbone=prepared.extractor.name,
        device=str(prepared.extractor.device),
        output=str(job.output),
        pictures=len(job.cells),
        varied={each.name: list(each.values) for each in job.variations},
    )
    return prepared


def _tell(made: Made) -> None:
    """What there is to say of a picture."""
    for notice in made.notices:
        console.note(f"{made.cell.label}: {notice}")
    losses: dict[str, float] = made.run.trace[-1][2] if made.run and made.run.trace else {}
    console.event(
        "picture",
        number=made.cell.number + 1,
        values=made.cell.values,
        output=str(made.path) if made.path else None,
        seconds=round(made.run.seconds, 2) if made.run else None,
        losses=losses,
        diverged=made.image is None,
    )


def _save(job: SweepJob, made: Sequence[Made]) -> None:
    """Write the sheet, if there is anything on it."""
    from styler.images import write_picture
    from styler.sweep_sheet import sweep_sheet

    if made:
        write_picture(job.output, sweep_sheet(job, made), overwrite=job.overwrite)


def _conclude(job: SweepJob, made: Sequence[Made]) -> None:
    """Say what has come out, and where it is."""
    missing = len(job.cells) - len(made)
    if not made:
        console.note("interrupted before the first picture was done: nothing to save")
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    if missing:
        console.note(f"interrupted: {len(made)} of {len(job.cells)} pictures are on the sheet")
    if job.keep is not None:
        console.note(f"single pictures in {job.keep}")
    console.event(
        "done",
        output=str(job.output),
        pictures=len(made),
        planned=len(job.cells),
        interrupted=bool(missing),
    )
    console.result(job.output)
    if missing:
        raise typer.Exit(int(ExitCode.INTERRUPTED))


def show_plan(job: SweepJob) -> None:
    """Print the pictures and an estimated time, measured by a few steps of each kind of them."""
    from rich.table import Table

    prepared = _prepare(job)
    seconds = _seconds(prepared)
    known = [each for each in seconds if each is not None]
    total = sum(known) if len(known) == len(seconds) else None
    if console.mode.json:
        console.event("plan", pictures=len(job.cells), seconds=total, output=str(job.output))
        return
    rows = Table(box=None, padding=(0, 2, 0, 0))
    for heading in (*(each.name for each in job.variations), "size", "steps", "time"):
        rows.add_column(heading, justify="right")
    for cell, plan, own in zip(job.cells, prepared.plans, seconds, strict=True):
        rows.add_row(
            *map(console.printable, cell.values.values()),
            f"{plan.size[1]}×{plan.size[0]}",
            str(plan.steps),
            "" if own is None else console.duration(own),
        )
    console.table(rows)
    console.say(console.counted(len(job.cells), "picture"))
    if total is not None:
        console.say(f"about {console.duration(total)} on {prepared.extractor.device}")
    console.say(f"output {job.output}")


def _seconds(prepared: PreparedSweep) -> list[float | None]:
    """Of each picture; those that compute alike are tried once."""
    paces: dict[Any, float | None] = {}
    found: list[float | None] = []
    for cell, plan in zip(prepared.job.cells, prepared.plans, strict=True):
        kind = _kind(cell.resolved.config, plan)
        if kind not in paces:
            pace = sample_step(prepared.picture(cell).problem)
            paces[kind] = None if pace is None else pace / plan.coarsest
        per_pixel = paces[kind]
        found.append(None if per_pixel is None else per_pixel * plan.work)
    return found


def _kind(config: TransferConfig, plan: CellPlan) -> tuple[Any, ...]:
    """What the time of a step and pixel depends on."""
    return (
        config.backbone,
        config.content.loss,
        config.style.loss,
        tuple(config.content.layers),
        tuple(config.style.layers),
        config.optimizer.name,
        config.optimizer.line_search,
        plan.coarsest,
    )
