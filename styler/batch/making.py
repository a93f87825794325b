"""What all who make a batch's pictures do alike: keep networks, wait for disks, tell of steps."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from styler.batch.events import EventKind
from styler.config import TransferConfig
from styler.engine import StepEvent
from styler.errors import OutputError
from styler.features import Extractor
from styler.network import extractor_for

T = TypeVar("T")

PATIENCE = (5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0, 120.0, 120.0, 120.0)
"""Seconds to wait for a disk that is full or gone, again and again; ten minutes in all."""
EXTRACTORS = 2
"""Networks kept loaded; a manifest may name several."""
STEP_EVERY = 0.5
"""Seconds between two reports of how far a job is."""

_DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EPERM))
"""Troubles of the place that results go to, which end when somebody makes room or mounts it."""


class Networks:
    """Loads networks, and keeps the last `EXTRACTORS` of them for the next job.

    It is for one thread at a time.

    Args:
        load: gives a network.
    """

    def __init__(self, load: Callable[[TransferConfig], Extractor] = extractor_for) -> None:
        self._load = load
        self._kept: OrderedDict[Any, Extractor] = OrderedDict()

    def __call__(self, config: TransferConfig) -> Extractor:
        """The network of these settings.

        Raises:
            BackboneError: it cannot be had.
            DeviceError: there is no such device.
        """
        key = (config.backbone, config.runtime.device, config.runtime.precision)
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            self._kept[key] = self._load(config)
            while len(self._kept) > EXTRACTORS:
                self._kept.popitem(last=False)
        return self._kept[key]


def reports(tell: Callable[[float], None]) -> Callable[[StepEvent], None]:
    """A callback that says now and then how far a job is.

    Args:
        tell: takes the share of the steps that are done, from 0 to 1, every `STEP_EVERY` at most.
    """
    last = time.monotonic()

    def report(step: StepEvent) -> None:
        nonlocal last
        if time.monotonic() - last >= STEP_EVERY:
            last = time.monotonic()
            tell(step.done / step.planned)

    return report


def patiently(
    first: Callable[[], T],
    again: Callable[[], T],
    tell: Callable[[EventKind, str], None],
    *,
    stop: Callable[[], bool],
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """What an action gives; while the disk is full or gone it waits and tries again.

    Args:
        first: the action.
        again: the action, when it has failed before.
        tell: takes ``paused`` with a line for people, and ``resumed``.
        stop: asked before each wait; True ends the patience.
        sleep: waits for so many seconds.

    Raises:
        OutputError: something else is the matter, or it lasts longer than `PATIENCE`.
    """
    waits, action = iter(PATIENCE), first
    while True:
        try:
            return action()
        except OutputError as error:
            wait = next(waits, None) if is_disk(error) and not stop() else None
            if wait is None:
                raise
            tell("paused", f"{error.message}; trying again in {wait:.0f} s")
            sleep(wait)
            tell("resumed", "")
            action = again


def is_disk(error: Exception) -> bool:
    """Whether the place of the results is to blame, and not the picture."""
    cause = error.__cause__
    while cause is not None:
        if isinstance(cause, sqlite3.OperationalError):
            return True  # the journal's own
        if isinstance(cause, OSError) and isinstance(error, OutputError):
            return cause.errno in _DISK
        cause = cause.__cause__
    return False
