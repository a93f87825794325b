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

    Each `Iteration` line is timed when it arrives through the pipe. The process that calls this
    must be small: a child is charged with the memory of its parent until it has become its own.

    Raises:
        SystemExit: the program failed; its last words are shown.
    """
    times: list[float] = []
    imported = loss = 0.0
    before = 0.0
    with tempfile.TemporaryFile("w+") as errors:
        # Popen and wait4 instead of subprocess.run: only wait4 tells the memory of this one child.
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
        assert process.stdout is not None
        for line in process.stdout:
            if _ITERATION.match(line):
                times.append(time.perf_counter())
                if len(times) == 1:
                    before = _restart_peak(process.pid)
            elif found := _TOTAL.match(line):
                loss = loss or float(found[1])
            elif found := _IMPORTED.match(line):
                imported = float(found[1])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        if process.returncode or len(times) <= EXTRA:
            errors.seek(0)
            raise SystemExit(
                f"{' '.join(command)}\nended with {process.returncode} after {len(times)} "
                f"iterations:\n{errors.read()[-2000:]}"
            )
    after = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)
    intervals = [later - earlier for earlier, later in itertools.pairwise(times)]
    return Run(
        seconds=statistics.median(intervals[WARM_UP:-1]),
        peak=max(before, after),
        iterating=after if before else None,
        imported=imported,
        loss=loss,
    )


def _restart_peak(pid: int) -> float:
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
