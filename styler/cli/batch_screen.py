"""What a person sees of a batch: a dashboard on a terminal, plain lines elsewhere, JSON events."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from styler.cli import console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from styler.batch.events import BatchEvent

RECENT = 20
"""Finished jobs whose times give the rate."""
SHOWN_WORKERS = 12
"""Jobs under way that the dashboard has room for."""


class Tally:
    """What has happened so far.

    Args:
        total: jobs of this run.
        done: of them that were done before.
    """

    def __init__(self, total: int, done: int) -> None:
        self.total = total
        self.before = done
        self.done = done
        self.failed = 0
        self.started = time.monotonic()
        self.current: dict[str, tuple[str, float]] = {}
        self.trouble = ""
        self._ends: deque[float] = deque(maxlen=RECENT)

    def take(self, event: BatchEvent) -> None:
        """Note an event."""
        if event.kind in ("started", "step", "resumed"):
            self.current[event.owner] = (event.key, event.share)
        ended = event.kind in ("done", "failed", "released")
        if ended and self.current.get(event.owner, ("", 0.0))[0] == event.key:
            del self.current[event.owner]
        if event.kind == "done":
            self.done += 1
            self._ends.append(time.monotonic())
        elif event.kind == "failed":
            self.failed += 1
        if event.message:
            self.trouble = f"{event.key}: {event.message}" if event.key else event.message

    @property
    def left(self) -> int:
        """Jobs that nobody has finished."""
        return max(0, self.total - self.done - self.failed)

    @property
    def per_minute(self) -> float | None:
        """Pictures in a minute, by the last ones; None while there is nothing to go by."""
        made = self.done - self.before
        if not made:
            return None
        if len(self._ends) > 1:
            return 60 * (len(self._ends) - 1) / max(self._ends[-1] - self._ends[0], 1e-6)
        return 60 * made / max(time.monotonic() - self.started, 1e-6)

    @property
    def remaining(self) -> str:
        """Such as "1:10 h left"; empty while there is nothing to go by."""
        rate = self.per_minute
        return f"{console.duration(60 * self.left / rate)} left" if rate else ""

    def line(self) -> str:
        """All of it in one line."""
        rate = self.per_minute
        parts = [
            f"{self.done}/{self.total} done",
            *([f"{self.failed} failed"] if self.failed else []),
            *([f"{rate:.2g} pictures per minute"] if rate else []),
            *([self.remaining] if self.remaining else []),
        ]
        return "  ".join(parts)


class Screen:
    """Shows events as they come.

    Args:
        tally: counts them.

    Attributes:
        told: keys of jobs that failed, of which a person has been told.
    """

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.told: set[str] = set()
        self._last = time.monotonic()

    def __call__(self, event: BatchEvent) -> None:
        """Take an event."""
        self.tally.take(event)
        if console.mode.json:
            if event.kind != "step":
                fields = {k: v for k, v in asdict(event).items() if k != "kind"}
                console.event(event.kind, **{k: v for k, v in fields.items() if v not in ("", 0.0)})
            return
        if event.kind == "failed":
            self.told.add(event.key)
        if event.kind in ("failed", "paused", "note"):
            named = f"{event.key}: " if event.key else ""
            console.note(f"{event.kind}: {named}{event.message}")
        elif self._is_time(event):
            console.note(self.tally.line())

    def _is_time(self, event: BatchEvent) -> bool:
        """Whether a plain line is due, where there is no dashboard."""
        if console.can_redraw() or time.monotonic() - self._last < console.PLAIN_EVERY:
            return False
        self._last = time.monotonic()
        return True


@contextlib.contextmanager
def screen(total: int, done: int) -> Iterator[Screen]:
    """Show a batch; yields what takes its events.

    Args:
        total: jobs of this run.
        done: of them that were done before.
    """
    shown = Screen(Tally(total, done))
    if console.mode.quiet or console.mode.json or not console.can_redraw():
        yield shown
        return
    from rich.live import Live

    with Live(
        get_renderable=lambda: dashboard(shown.tally),
        console=console.err,
        transient=True,
        refresh_per_second=4,
    ):
        yield shown


def dashboard(tally: Tally) -> RenderableType:
    """The overall bar, the jobs under way, the last trouble."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2))
    begun = sum(share for _, share in tally.current.values())
    finished = tally.done + tally.failed + begun
    head.add_row(ProgressBar(total=max(1, tally.total), completed=finished, width=32), tally.line())
    rows = Table.grid(padding=(0, 2))
    for key, share in list(tally.current.values())[:SHOWN_WORKERS]:
        rows.add_row(Text(f"{share:4.0%}", "cyan"), Text(console.printable(key)))
    hidden = len(tally.current) - SHOWN_WORKERS
    if hidden > 0:
        rows.add_row("", Text(f"and {hidden} more", "dim"))
    parts: list[RenderableType] = [head, rows]
    if tally.trouble:
        parts.append(Text(console.printable(f"last: {tally.trouble}"), "yellow"))
    return Group(*parts)
