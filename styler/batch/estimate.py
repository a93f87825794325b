"""How long a batch would take, and how much room, from the sizes of its pictures alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from styler.batch.job import BatchJob
from styler.batch.settings import with_overrides
from styler.config import Resolved, ScheduleConfig, TransferConfig
from styler.errors import StylerError
from styler.features import Extractor
from styler.jobs import TransferJob, prepare
from styler.network import extractor_for
from styler.schedule import output_size, plan_levels

SAMPLE_STEPS = 3
"""Steps by which the speed of the machine is told; the first, which warms up, does not count."""
PNG_BYTES = 1.8
"""Bytes of a pixel of an 8-bit PNG of a painting, on the mean of the samples."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a batch would take.

    Args:
        seconds: with one worker; None when not one job could be tried.
        bytes: on the disk.
        unreadable: contents whose size could not be told.
    """

    seconds: float | None
    bytes: int
    unreadable: int


def estimate(
    jobs: Sequence[BatchJob],
    resolved: Resolved[TransferConfig],
    *,
    load: Callable[[TransferConfig], Extractor] = extractor_for,
) -> Estimate:
    """Tell what jobs would take.

    The first job that can be read is begun, for a few steps at its coarsest scale; all others are
    taken to cost as much for each pixel and step.

    Args:
        jobs: of a plan.
        resolved: their settings.
        load: gives a network.
    """
    work, room, unreadable = 0.0, 0.0, 0
    for job in jobs:
        schedule = with_overrides(resolved, job.overrides).config.schedule
        try:
            with Image.open(job.content) as picture:
                size = (picture.height, picture.width)
        except (OSError, ValueError, Image.DecompressionBombError):
            unreadable += 1
            continue
        work += _work(size, schedule)
        height, width = output_size(size, schedule)
        room += PNG_BYTES * height * width
    pace = _pace(jobs, resolved, load)
    return Estimate(
        seconds=None if pace is None else pace * work, bytes=int(room), unreadable=unreadable
    )


def _work(size: tuple[int, int], schedule: ScheduleConfig) -> float:
    """Pixels times steps, over all scales."""
    levels = plan_levels(size, schedule)
    return float(sum(level.steps * level.size[0] * level.size[1] for level in levels))


def _pace(
    jobs: Sequence[BatchJob],
    resolved: Resolved[TransferConfig],
    load: Callable[[TransferConfig], Extractor],
) -> float | None:
    """Seconds for each pixel and step."""
    with tempfile.TemporaryDirectory() as name:
        for job in jobs:
            transfer = TransferJob(
                content=job.content,
                styles=job.styles,
                output=Path(name) / "sample.png",
                resolved=with_overrides(resolved, job.overrides),
            )
            try:
                return _sample(transfer, load)
            except StylerError:
                continue
    return None


def _sample(job: TransferJob, load: Callable[[TransferConfig], Extractor]) -> float | None:
    ends: list[float] = []
    problem = prepare(job, load).problem
    problem.solve(
        callbacks=[lambda _: ends.append(time.perf_counter())],
        should_stop=lambda done: done >= SAMPLE_STEPS and len(ends) >= 2,
    )
    if len(ends) < 2:
        return None
    height, width = problem.levels[0].size
    return (ends[-1] - ends[0]) / (len(ends) - 1) / (height * width)
