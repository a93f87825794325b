"""The worker of a Ray cluster: an actor that makes one picture after another."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch

from styler import __version__
from styler.batch.events import BatchEvent, EventKind
from styler.batch.job import JobRecord
from styler.batch.journal_rows import NAME
from styler.batch.making import Networks, is_disk, patiently, reports
from styler.batch.threads import helper
from styler.batch.work import STYLES, WorkOrder, explained, prepared_for
from styler.jobs import Prepared, finish
from styler.processes import keep_freed_memory
from styler.styles.cache import StyleCache
from styler.transfer import TransferResult

CALLS = 4
"""Methods of a `Painter` that may run at once: two pictures, `news` and `halt`."""


@dataclass(frozen=True, kw_only=True)
class Hello:
    """Who a worker is.

    Args:
        host: its machine.
        process: its number there.
        version: of styler.
        sees_folder: whether it sees the batch's journal, and so the folder.
    """

    host: str
    process: int
    version: str
    sees_folder: bool

    @property
    def name(self) -> str:
        """Unlike that of all other workers.

        Example:
            >>> Hello(host="node7", process=512, version="0.1.0", sees_folder=True).name
            'node7-512'
        """
        return f"{self.host}-{self.process}"


@dataclass(frozen=True, kw_only=True)
class Painted:
    """How it went with a picture.

    Args:
        stopped: it was stopped before its end; nothing is written.
        error: why it failed, in one line; empty where it did not.
        disk: the place of the results is to blame.
        seconds: that it took.
        losses: name → unweighted loss at the end.
        trace: (steps done, total) over the run.
        size: (height, width) of the result.
    """

    stopped: bool = False
    error: str = ""
    disk: bool = False
    seconds: float = 0.0
    losses: Mapping[str, float] = field(default_factory=dict)
    trace: tuple[tuple[int, float], ...] = ()
    size: tuple[int, int] = (0, 0)


class Painter:
    """Makes the pictures it is told to, with the network kept between them.

    Its methods run in threads, `CALLS` at once. When it is given two pictures, the second is read
    while the first is optimised, and optimised while the first is written. It never opens the
    journal.

    Args:
        order: what to know of the batch; its device is one of the worker's machine.
        threads: processors that torch uses; they are part of what decides the last bit of a result.
    """

    def __init__(self, order: WorkOrder, threads: int) -> None:
        torch.set_num_threads(threads)
        self.order = order
        self._networks = Networks()
        self._styles = StyleCache(order.folder / STYLES)
        self._reader, self._writer = helper("read"), helper("write")
        self._optimiser = ThreadPoolExecutor(1, "optimise")
        self._halted = threading.Event()
        self._said: list[BatchEvent] = []

    def hello(self) -> Hello:
        """Say who it is, and whether it can work."""
        return Hello(
            host=socket.gethostname(),
            process=os.getpid(),
            version=__version__,
            sees_folder=(self.order.folder / NAME).is_file(),
        )

    def paint(self, record: JobRecord) -> Painted:
        """Make a picture and write it."""
        try:
            prepared = self._reader.submit(
                prepared_for, record, self.order, self._networks, self._styles
            ).result()
            solved = self._optimiser.submit(self._solve, record.key, prepared).result()
            if solved is None:
                return Painted(stopped=True)
            return self._written(record.key, prepared, *solved)
        except Exception as error:  # one bad picture must not end the worker
            if is_disk(error) and self._halted.is_set():
                return Painted(stopped=True)  # there was no time for patience
            return Painted(error=explained(error), disk=is_disk(error))

    def _solve(self, key: str, prepared: Prepared) -> tuple[TransferResult, float] | None:
        """The picture and the seconds it took; None when it was stopped."""
        if self._halted.is_set():
            return None
        keep_freed_memory(prepared.problem.keeps_freed_memory)
        started = time.monotonic()
        result = prepared.problem.solve(
            callbacks=[reports(lambda share: self._say("step", key, share=share))],
            should_stop=lambda _: self._halted.is_set(),
        )
        return None if result.run.stopped else (result, time.monotonic() - started)

    def _written(
        self, key: str, prepared: Prepared, result: TransferResult, seconds: float
    ) -> Painted:
        def write() -> Painted:
            recipe = self._writer.submit(finish, prepared, result).result().recipe
            return Painted(
                seconds=seconds,
                losses=recipe.outcome.losses,
                trace=tuple(recipe.outcome.trace),
                size=recipe.size,
            )

        return patiently(
            write,
            write,
            lambda kind, message: self._say(kind, key, message=message),
            stop=self._halted.is_set,
            sleep=self._halted.wait,
        )

    def news(self) -> list[BatchEvent]:
        """What has happened since it was last asked; the owner of these events is empty."""
        said = list(self._said)
        del self._said[: len(said)]  # other threads may have said more meanwhile
        return said

    def halt(self) -> None:
        """End what is under way after its step; what is given later is not begun."""
        self._halted.set()

    def _say(self, kind: EventKind, key: str, share: float = 0.0, message: str = "") -> None:
        self._said.append(BatchEvent(kind=kind, owner="", key=key, share=share, message=message))
