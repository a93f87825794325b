"""One line of `gradients.py`: takes its settings as JSON and says what it measured, likewise."""

from __future__ import annotations

import gc
import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

from styler.config import (
    BackboneConfig,
    OptimizerConfig,
    RuntimeConfig,
    ScheduleConfig,
    TransferConfig,
)
from styler.network import extractor_for
from styler.processes import keep_freed_memory
from styler.transfer import Problem

STATUS = Path("/proc/self/status")


def memory(key: str) -> int:
    """Bytes that the kernel counts for this process: VmRSS now, VmHWM at most."""
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"no {key} in {STATUS}: Linux is needed")


def settings(line: dict[str, Any], side: int, steps: int, limit: int) -> TransferConfig:
    return TransferConfig(
        backbone=BackboneConfig(name=line["network"], weights=line["weights"] or None),
        optimizer=OptimizerConfig(name=line["optimizer"]),
        schedule=ScheduleConfig(size=side, scales=1, steps=(steps,)),
        runtime=RuntimeConfig(precision=line["precision"], max_memory=limit or None),
    )


def main(line: dict[str, Any]) -> None:
    """Take the steps."""
    generator = torch.Generator().manual_seed(0)
    side = line["side"]
    content = torch.rand(1, 3, side, side, generator=generator)
    style = torch.rand(1, 3, 512, 512, generator=generator)
    config = settings(line, side, line["steps"], line["memory"])
    extractor = extractor_for(config)
    small = torch.rand(1, 3, 128, 128, generator=generator)
    Problem(small, style, settings(line, 128, 2, 0), extractor).solve()  # warms up
    problem = Problem(content, style, config, extractor)
    keep_freed_memory(problem.keeps_freed_memory)  # as the commands do
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    before = memory("VmRSS")
    ends: list[float] = []
    problem.solve(callbacks=[lambda _: ends.append(time.perf_counter())])
    plan = problem.plans[-1]
    found = {
        "sides": plan.sides,
        "predicted": plan.bytes,
        "measured": memory("VmHWM") - before,
        "seconds": median(b - a for a, b in pairwise(ends)),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
