"""Run one program in a process of its own: time its iterations, watch its memory."""

from __future__ import annotations

import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WARM_UP = 2
"""Intervals left out at the start: buffers are allocated, kernels chosen, optimisers begun."""
EXTRA = WARM_UP + 2
"""Iterations beyond those measured: n of them have n − 1 intervals, and the last one is left out
because the peer saves its picture in it."""

_IMPORTED = re.compile(r"Imported (\d+) MB")
_ITERATION = re.compile(r"Iteration (\d+) / \d+")
_TOTAL = re.compile(r"\s*Total loss: (\S+)")
_RESIDENT_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one program.

    Args:
        seconds: of an iteration, median over those measured.
        peak: megabytes (10⁶ bytes) resident at most, start-up included.
        iterating: the same from the first iteration on; None where the system cannot tell.
        imported: megabytes resident when the libraries were imported and nothing done.
        loss: total loss of the first iteration.
    """

    seconds: float
    peak: float
    iterating: float | None
    imported: float
    loss: float


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run a program that prints `Imported`, `Iteration` and `Total loss` lines as `workers` says.

    The process that calls this must be small: on Linux a child's peak starts from its parent's.

    Raises:
        SystemExit: the program failed; its last words are shown.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
        with process:
            try:
                watch = _Watch(process)
                peak = wait(process)
            except BaseException:
                process.kill()
                raise
        if process.returncode or len(watch.times) <= EXTRA:
            errors.seek(0)
            raise SystemExit(
                f"{' '.join(command)}\nended with {process.returncode} after {len(watch.times)} "
                f"iterations:\n{errors.read()[-2000:]}"
            )
    intervals = [later - earlier for earlier, later in itertools.pairwise(watch.times)]
    return Run(
        seconds=statistics.median(intervals[WARM_UP:-1]),
        peak=max(watch.starting_peak, peak),
        iterating=peak if watch.starting_peak else None,
        imported=watch.imported,
        loss=watch.loss,
    )


def wait(process: subprocess.Popen[str]) -> float:
    """Let a program come to its end; its resident peak in megabytes since `restart_peak`."""
    # Only wait4 tells the memory of this one child.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


class _Watch:
    """Reads a program's output to its end; an `Iteration` line is timed when it arrives."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.times: list[float] = []
        self.starting_peak = self.imported = self.loss = 0.0
        assert process.stdout is not None
        for line in process.stdout:
            self._take(line, process.pid)

    def _take(self, line: str, pid: int) -> None:
        if _ITERATION.match(line):
            self.times.append(time.perf_counter())
            if len(self.times) == 1:
                self.starting_peak = restart_peak(pid)
        elif found := _TOTAL.match(line):
            self.loss = self.loss or float(found[1])
        elif found := _IMPORTED.match(line):
            self.imported = float(found[1])


def restart_peak(pid: int) -> float:
    """The resident peak of a process until now, in megabytes, and a new beginning for it.

    Linux alone can do this; 0.0 elsewhere.
    """
    folder = Path("/proc") / str(pid)
    try:
        found = _RESIDENT_PEAK.search((folder / "status").read_text())
        (folder / "clear_refs").write_text("5")
    except OSError:
        return 0.0
    return float(found[1]) * 1024 / 1e6 if found else 0.0
