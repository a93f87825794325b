"""Making a microscope's site with everything a person wants to see meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from styler.cli import console
from styler.cli.interrupt import Stop, stop_on_signal

if TYPE_CHECKING:
    from styler.features import Extractor
    from styler.microscope.build import Step
    from styler.microscope.plan import Plan
    from styler.microscope.record import Site

ALL_STEPS = 2**62
"""No limit."""
SAMPLE_STEPS = 3
"""Steps of the first pictures of each layer that a dry run takes to see how fast the machine is."""
LISTED = 10
"""Files that were not looked at are named up to this number; the site names all."""
_NOUNS = {
    "photographs": "photographs looked at",
    "fields": "fields of patches found",
    "pictures": "synthetic pictures made",
    "patches": "units' patches cut out",
    "thumbnails": "small photographs made",
}


class MicroscopeRun:
    """One `styler microscope`.

    Args:
        plan: what is to be shown.
        extractor: the network.
    """

    def __init__(self, plan: Plan, extractor: Extractor) -> None:
        from styler.microscope.build import Microscope

        self.plan = plan
        self.extractor = extractor
        self.microscope = Microscope(plan, extractor)
        for layer, channels in plan.units.items():
            count = extractor.channels(layer)
            if len(channels) < count:
                console.note(f"{layer}: {len(channels)} of {count} units; --units all for all")

    def go(self) -> bool:
        """Do it; False when it was interrupted."""
        started = time.monotonic()
        try:
            with stop_on_signal(ALL_STEPS) as stop, _progress() as show:
                site = self.microscope.build(_stopping(show, stop))
        except _StoppedError:
            anew = " without --overwrite" if self.plan.overwrite else ""
            console.note(f"interrupted: the same command{anew} goes on where it was")
            return False
        self._conclude(site, time.monotonic() - started)
        return True

    def _conclude(self, site: Site, seconds: float) -> None:
        from styler.report.microscope import PAGE

        for one in site.index.skipped[:LISTED]:
            console.note(f"not looked at: {one.file}: {one.reason}")
        if len(site.index.skipped) > LISTED:
            console.note(f"and {len(site.index.skipped) - LISTED} more, which the site names")
        states = [page.state(unit) for page in site.pages for unit in page.record.units]
        dead = f", {states.count('dead')} of them dead" if "dead" in states else ""
        console.note(
            f"{console.counted(len(states), 'unit')} of {console.counted(len(site.pages), 'layer')}"
            f"{dead}, in {console.duration(seconds)}"
        )
        console.event(
            "done",
            output=str(self.plan.output / PAGE),
            layers=list(self.plan.units),
            units=len(states),
            dead=states.count("dead"),
            silent=states.count("silent"),
            photographs=len(site.index.images),
            skipped=len(site.index.skipped),
            seconds=round(seconds, 2),
        )
        console.result(self.plan.output / PAGE)

    def plan_only(self) -> None:
        """Say what would be made, and how long it would take."""
        from styler.microscope.estimate import estimate

        found = estimate(self.microscope, SAMPLE_STEPS)
        seconds = found.looking + found.making
        if console.mode.json:
            console.event(
                "plan",
                units={layer: list(some) for layer, some in self.plan.units.items()},
                pictures=found.pictures,
                photographs=found.photographs,
                seconds=round(seconds, 1),
                bytes=found.bytes,
                output=str(self.plan.output),
            )
            return
        for layer, channels in self.plan.units.items():
            console.say(f"{layer}  {console.counted(len(channels), 'unit')}")
        console.say(
            f"{console.counted(found.photographs, 'photograph')} to look at, "
            f"about {console.duration(found.looking)}"
        )
        console.say(
            f"{console.counted(found.pictures, 'synthetic picture')} to make, "
            f"about {console.duration(found.making)}"
        )
        console.say(f"about {max(1, round(found.bytes / 1e6))} MB in {self.plan.output}")
        console.say(f"about {console.duration(seconds)} on {self.extractor.device}")


class _StoppedError(Exception):
    """Ends the work where a person asked for it."""


def _stopping(show: Callable[[Step], None], stop: Stop) -> Callable[[Step], None]:
    """Shows how far it is, and ends the work once that was asked for."""

    def told(step: Step) -> None:
        show(step)
        if stop.asked:
            raise _StoppedError

    return told


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[Step], None]]:
    """A bar on a terminal, a line now and then elsewhere, events with ``--json``."""
    if console.mode.quiet:
        yield lambda step: None
    elif not console.mode.json and console.can_redraw():
        yield from _bar()
    else:
        yield _lines()


def _left(step: Step) -> str:
    """Such as ", 1:10 min left"; empty while there is nothing to go by."""
    made = step.done - step.before
    if made <= 0 or step.done >= step.total:
        return ""
    return f", {console.duration(step.seconds * (step.total - step.done) / made)} left"


def _words(step: Step) -> str:
    return f"{int(step.done)}/{step.total} {_NOUNS.get(step.stage, step.stage)}{_rate(step)}"


def _rate(step: Step) -> str:
    made = step.done - step.before
    return f", {made / step.seconds:.2g} per second" if made > 0 and step.seconds > 1 else ""


def _bar() -> Iterator[Callable[[Step], None]]:
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
    with Progress(*columns, console=console.err, transient=True, refresh_per_second=4) as bars:
        task = bars.add_task("starting", total=None)

        def show(step: Step) -> None:
            words = _words(step) + _left(step)
            bars.update(task, completed=step.done, total=step.total, description=words)

        yield show


def _lines() -> Callable[[Step], None]:
    last = time.monotonic()
    stage = ""

    def show(step: Step) -> None:
        nonlocal last, stage
        ended = step.done >= step.total and step.stage != stage
        if not ended and time.monotonic() - last < console.PLAIN_EVERY:
            return
        last = time.monotonic()
        if ended:
            stage = step.stage
        console.event(
            "progress",
            stage=step.stage,
            done=round(step.done, 2),
            total=step.total,
            before=round(step.before, 2),
            seconds=round(step.seconds, 2),
        )
        console.note(_words(step) + _left(step))

    return show
