"""When it is time to put on the disk what is known so far."""

from __future__ import annotations

import time
from collections.abc import Callable

SAVE_EVERY = 10.0
"""Seconds between two times that what is known is put on the disk."""
_SHARE = 20
"""Or as many times as long as that takes, where it takes long."""


class Clock:
    """Tells how long it has been, and when it is time to save.

    Example:
        >>> clock = Clock()
        >>> clock.save(lambda: print("saved")), clock.seconds < 5
        (None, True)
    """

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._pause = SAVE_EVERY

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._began

    def save(self, work: Callable[[], None]) -> None:
        """Do what saves, if it is time."""
        now = time.monotonic()
        if now - self._last >= self._pause:
            work()
            self._last = time.monotonic()
            self._pause = max(SAVE_EVERY, _SHARE * (self._last - now))
