"""Running a visualization with everything a person wants to see meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from styler.cli import console
from styler.cli.interrupt import stop_on_signal

if TYPE_CHECKING:
    from styler.features import Extractor
    from styler.report.units import Entry
    from styler.visualize import UnitsEvent
    from styler.visualize_job import VisualizeJob

SAMPLE_STEPS = 3
"""Steps that a dry run takes to see how fast the machine is."""
ALL_STEPS = 2**62
"""No limit."""


class UnitRun:
    """One `styler visualize`.

    Args:
        job: what to show.
        extractor: the network.
        stop_after: steps after which it ends, as a run did that was interrupted.
    """

    def __init__(
        self, job: VisualizeJob, extractor: Extractor, *, stop_after: int | None = None
    ) -> None:
        from styler.visualize_job import check_job

        self.job = job
        self.extractor = extractor
        self.stop_after = stop_after
        self.missing = check_job(job, extractor)
        self._note_field()

    def _note_field(self) -> None:
        """Say so when units see more than there is."""
        from styler.visualize import picture_side

        side = picture_side(self.extractor, self.job.resolved.config, self.job.units)
        layers = {layer for unit in self.job.units for layer in unit.layers}
        fields = {layer: self.extractor.receptive_field(layer) for layer in layers}
        sizes = {layer: max(f.y.size, f.x.size) for layer, f in fields.items() if f is not None}
        widest = max(sizes, key=lambda layer: sizes[layer], default="")
        if widest and sizes[widest] > side:
            console.note(
                f"{widest} sees {sizes[widest]} pixels, the pictures have {side}: "
                f"--size {sizes[widest]} would show all of it"
            )

    def go(self) -> bool:
        """Do it; False when it was interrupted."""
        from styler.report.units import GRID
        from styler.visualize_job import run

        there = len(self.job.units) - len(self.missing)
        if there:
            console.note(f"{console.counted(there, 'unit')} there already; --overwrite makes anew")
        started = time.monotonic()
        after = ALL_STEPS if self.stop_after is None else self.stop_after
        with stop_on_signal(after) as stop, _progress() as show:
            entries = run(
                self.job,
                self.extractor,
                self.missing,
                told=_tell,
                callbacks=[show],
                looked=_looked(),
                skipped=lambda path, fault: console.note(f"passed over: {fault.message}"),
                should_stop=stop,
            )
        seconds = time.monotonic() - started
        made = sum(1 for entry in entries if entry.finished) - there
        self._conclude(entries, made, seconds)
        if entries:
            console.result(self.job.output if self.job.single else self.job.output / GRID)
        if self.job.animation is not None and there:
            console.note("units that were there already are not in the film; --overwrite")
        if self.job.animation is not None and self.job.animation.exists():
            console.result(self.job.animation)
        return not stop.asked

    def _conclude(self, entries: list[Entry], made: int, seconds: float) -> None:
        unfinished = [entry.unit for entry in entries if not entry.finished]
        dead = [entry.unit for entry in entries if entry.quality and entry.quality.dead]
        if unfinished:
            console.note(f"not finished, saved as they were: {', '.join(unfinished)}")
        if dead:
            console.note(f"dead, nothing excites them: {', '.join(dead)}")
        if made > 0:
            rate = made / max(seconds, 1e-3)
            console.note(
                f"{console.counted(made, 'unit')} in {console.duration(seconds)}, "
                f"{rate:.2g} units per second"
            )
        console.event("done", units=len(entries), seconds=round(seconds, 2), dead=dead)

    def plan(self) -> None:
        """Say what would be done, and how long it would take."""
        from styler.transforms import view_size
        from styler.visualize import picture_side

        job, config = self.job, self.job.resolved.config
        seconds = self._seconds() if self.missing else 0.0
        if console.mode.json:
            names = [unit.name for unit in self.missing]
            console.event("plan", units=names, seconds=round(seconds, 1), output=str(job.output))
            return
        side = picture_side(self.extractor, config, job.units)
        view = view_size(config.view, (side, side))
        for unit in self.missing:
            for path in job.files(unit):
                console.say(f"{unit.name}  {path}")
        console.say(
            f"{console.counted(len(self.missing), 'unit')} of {side}×{side}, seen at "
            f"{view[1]}×{view[0]}, {console.counted(config.schedule.steps, 'step')} each at most"
        )
        console.say(f"about {console.duration(seconds)} on {self.extractor.device}")

    def _seconds(self) -> float:
        """For all units that are missing, from a few steps of the first ones."""
        from styler.visualize import visualize

        ends: list[tuple[float, float]] = []
        visualize(
            self.missing,
            self.extractor,
            self.job.resolved.config,
            callbacks=[lambda event: ends.append((event.seconds, event.share))],
            should_stop=lambda done: done >= SAMPLE_STEPS,
        )
        (first, begun), (last, share) = ends[0], ends[-1]
        return (last - first) / max(share - begun, 1e-9)


def _tell(entry: Entry) -> None:
    """A line for each unit that is done."""
    words = entry.quality.words() if entry.quality else ""
    console.note(f"{entry.unit}  {words}")
    console.event(
        "unit",
        unit=entry.unit,
        files=entry.files,
        steps=entry.steps,
        finished=entry.finished,
        clean=entry.quality.clean if entry.quality else None,
        dead=entry.quality.dead if entry.quality else None,
    )


def _looked() -> Callable[[int], None]:
    last = time.monotonic()

    def show(count: int) -> None:
        nonlocal last
        if time.monotonic() - last >= console.PLAIN_EVERY:
            last = time.monotonic()
            console.note(f"{console.counted(count, 'photograph')} looked at")

    return show


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[UnitsEvent], None]]:
    """A bar on a terminal, a line now and then elsewhere, events with ``--json``."""
    if console.mode.quiet:
        yield lambda event: None
    elif not console.mode.json and console.can_redraw():
        yield from _bar()
    else:
        yield _lines()


def _bar() -> Iterator[Callable[[UnitsEvent], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console.err, transient=True, refresh_per_second=4) as bars:
        task = bars.add_task("starting", total=1.0, count="")

        def show(event: UnitsEvent) -> None:
            if event.notice:
                console.note(event.notice)
            bars.update(
                task,
                completed=event.share,
                count=f"{event.finished}/{event.units} units",
                description=_working(event),
            )

        yield show


def _working(event: UnitsEvent) -> str:
    first, count = next(iter(event.working), ""), len(event.working)
    rate = event.share * event.units / max(event.seconds, 1e-3)
    more = f" and {count - 1} more" if count > 1 else ""
    return f"{first}{more}  {rate:.2g} units/s"


def _lines() -> Callable[[UnitsEvent], None]:
    last = time.monotonic()

    def show(event: UnitsEvent) -> None:
        nonlocal last
        if event.notice:
            console.note(event.notice)
        if time.monotonic() - last < console.PLAIN_EVERY:
            return
        last = time.monotonic()
        left = event.seconds * (1 - event.share) / max(event.share, 1e-6)
        console.event(
            "progress",
            finished=event.finished,
            units=event.units,
            share=round(event.share, 4),
            seconds=round(event.seconds, 2),
        )
        console.note(
            f"{event.finished}/{event.units} units  {_working(event)}  "
            f"{console.duration(left)} left"
        )

    return show
