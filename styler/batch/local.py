"""Workers on this machine: one in this process, or several in processes of their own."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Sequence
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any

from styler.batch.events import BatchEvent, Emit
from styler.batch.journal import Journal
from styler.batch.owners import owner_name, release_of_the_dead
from styler.batch.work import Worker, WorkOrder
from styler.errors import ExitCode, OutputError, StylerError
from styler.runtime import share_memory

RESPAWNS = 3
"""Times that a worker which died is started anew; more would be a loop of crashes."""
POLL = 0.2
"""Seconds between two looks at the workers."""
FAREWELL = 30.0
"""Seconds that workers have to end their step when asked to stop."""


def run_here(order: WorkOrder, emit: Emit, stop: Callable[[], bool]) -> None:
    """One worker, in this process.

    Raises:
        OutputError: results cannot be written.
    """
    Worker(order, emit, stop).work()


def run_processes(
    order: WorkOrder, devices: Sequence[str], emit: Emit, stop: Callable[[], bool]
) -> None:
    """A worker for each device, each in a process of its own.

    Processors are shared out among those on the CPU. One that dies gives its jobs to the others at
    once and is started again, at most `RESPAWNS` times in all.

    Args:
        order: what to do; each worker has a name of its own.
        devices: such as ``["cuda:0", "cuda:1"]`` or ``["cpu", "cpu"]``.
        emit: told of everything that happens.
        stop: asked often; True ends the work.

    Raises:
        OutputError: results cannot be written.
        StylerError: workers died again and again.
    """
    _Pool(order, devices, emit).run(stop)


class _Pool:
    """The processes, and what they tell."""

    def __init__(self, order: WorkOrder, devices: Sequence[str], emit: Emit) -> None:
        self.order = order
        self.devices = tuple(devices)
        self.emit = emit
        self.context: SpawnContext = multiprocessing.get_context("spawn")
        self.told: Queue[BatchEvent] = self.context.Queue()
        self.halt: Event = self.context.Event()
        self.running: dict[SpawnProcess, str] = {}
        self.deaths = 0

    def run(self, stop: Callable[[], bool]) -> None:
        """Until all workers have ended."""
        for device in self.devices:
            self._start(device)
        try:
            while self.running:
                if stop():
                    self.halt.set()
                self._listen()
                self._bury()
        finally:
            self.halt.set()
            for process in self.running:
                process.join(FAREWELL)
                if process.is_alive():
                    process.kill()
            self._listen()

    def _start(self, device: str) -> None:
        threads = (
            max(1, (os.cpu_count() or 1) // self.devices.count("cpu")) if device == "cpu" else 0
        )
        sharers = self.devices.count(device)
        arguments = (self.order, device, threads, sharers, self.told, self.halt)
        process = self.context.Process(target=_process, args=arguments, daemon=True)
        process.start()
        self.running[process] = device

    def _listen(self) -> None:
        """Pass on what workers have said."""
        try:
            while True:
                self.emit(self.told.get(timeout=POLL))
        except queue.Empty:
            return

    def _bury(self) -> None:
        """Workers that have ended: well, for want of room on the disk, or by accident."""
        for process, device in list(self.running.items()):
            if process.exitcode is None:
                continue
            del self.running[process]
            if process.exitcode == int(ExitCode.OUTPUT):
                raise OutputError(
                    f"results cannot be written to {self.order.folder}",
                    "make room there or mount it again; the same command goes on",
                )
            if process.exitcode != 0 and not self.halt.is_set():
                self._replace(process.exitcode, device)

    def _replace(self, code: int, device: str) -> None:
        with Journal.open(self.order.folder) as journal:
            release_of_the_dead(journal)
        self.deaths += 1
        message = f"a worker on {device} died ({_cause(code)}); its jobs are given out again"
        self.emit(BatchEvent(kind="note", owner="", message=message))
        if self.deaths > RESPAWNS:
            raise StylerError(
                f"workers died {self.deaths} times, the last one by {_cause(code)}",
                "fewer --workers need less memory; the same command goes on",
            )
        self._start(device)


def _cause(code: int) -> str:
    """Why a process ended.

    Example:
        >>> _cause(-9), _cause(3)
        ('SIGKILL', 'exit code 3')
    """
    if code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"


def _process(
    order: WorkOrder,
    device: str,
    threads: int,
    sharers: int,
    told: Queue[Any],
    halt: Event,
) -> None:
    """What a worker's process does."""
    import sys

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to hear
    share_memory(sharers)
    if threads:
        torch.set_num_threads(threads)
    config = order.resolved.config
    runtime = dataclasses.replace(config.runtime, device=device)
    resolved = dataclasses.replace(
        order.resolved, config=dataclasses.replace(config, runtime=runtime)
    )
    mine = dataclasses.replace(order, resolved=resolved, owner=owner_name())
    parent = multiprocessing.parent_process()

    def stop() -> bool:
        """Whether the parent wants it, or is gone, with the screen and the plan."""
        return halt.is_set() or (parent is not None and not parent.is_alive())

    try:
        Worker(mine, told.put, stop).work()
    except OutputError:
        sys.exit(int(ExitCode.OUTPUT))
