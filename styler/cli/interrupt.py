"""Ctrl-C ends an optimisation between two steps, so that what it has can be saved."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from styler.cli import console

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C, a polite kill, a terminal that was closed; the last is unknown to Windows."""


class Stop:
    """Tells an optimisation when to end.

    Args:
        after: steps after which it ends in any case.
    """

    def __init__(self, after: int) -> None:
        self.after = after
        self.asked = False
        self.saving = False

    def __call__(self, done: int) -> bool:
        """Whether to end now that so many steps are done; the picture is written next."""
        self.saving = self.asked or done >= self.after
        return self.saving

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal: the first asks for an end, the second ends the step that is under way.

        Once the picture is being written, which takes a moment, nothing may interrupt that.
        """
        if self.saving:
            return
        if self.asked:
            self.saving = True
            raise KeyboardInterrupt
        self.asked = True
        console.note("stopping after this step; once more to stop at once")


@contextlib.contextmanager
def stop_on_signal(after: int) -> Iterator[Stop]:
    """Yield a `Stop` that listens to Ctrl-C and its like."""
    stop = Stop(after)
    with listening(stop.handle):
        yield stop


@contextlib.contextmanager
def listening(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have Ctrl-C and its like taken by a handler, and by the former ones afterwards."""
    before = {}
    for name in SIGNALS:
        number = getattr(signal, name, None)
        # `nohup` has SIGHUP ignored, and that is to remain so.
        if number is not None and (name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN):
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
