"""The machine that the numbers are from."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import prepare


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What decides about speed.

    Args:
        cpu: name of the processor.
        cores: that torch computes on.
        bf16: whether the processor multiplies bfloat16 natively.
        matmul_gflops: what torch's matrix product reaches, by precision.
        torch: version.
        python: version.
        system: operating system.
        date: day of the measurement, UTC.
    """

    cpu: str
    cores: int
    bf16: bool
    matmul_gflops: dict[str, float]
    torch: str
    python: str
    system: str
    date: str


def look_at_machine() -> Machine:
    """Ask the system, and torch in a process of its own."""
    found = json.loads(prepare.work("machine"))
    return Machine(
        cpu=cpu_name(),
        cores=found["threads"],
        bf16=found["bf16"],
        matmul_gflops=found["matmul_gflops"],
        torch=found["torch"],
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        date=datetime.now(UTC).date().isoformat(),
    )


def cpu_name() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
