"""Ctrl-C ends an optimisation between two steps, so that what it has can be saved."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from styler.cli import console


class Stop:
    """Tells an optimisation when to end.

    Args:
        after: steps after which it ends in any case; None for all that are planned.
    """

    def __init__(self, after: int | None = None) -> None:
        self.after = after
        self.asked = False

    def __call__(self, done: int) -> bool:
        """Whether to end now that so many steps are done."""
        return self.asked or (self.after is not None and done >= self.after)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal: the first asks for an end, the second interrupts at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        console.note("stopping after this step; once more to give up at once")


@contextlib.contextmanager
def stop_on_signal(after: int | None = None) -> Iterator[Stop]:
    """Yield a `Stop` that listens to Ctrl-C and SIGTERM."""
    stop = Stop(after)
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop.handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
