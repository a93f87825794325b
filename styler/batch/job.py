"""What a batch consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from styler.styles.choice import StyleChoice

__all__ = ["BatchJob", "JobRecord", "State", "StyleChoice"]

State = Literal["waiting", "running", "done", "failed"]
"""Of a job in the journal."""


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """One picture to be made.

    Args:
        key: the output's path from the batch's folder, with ``/`` on every system: its name in the
            journal.
        content: the content picture.
        styles: at least one.
        output: where the result goes.
        overrides: settings of this job alone: dotted key → value.
        digest: of all that makes the picture: settings, and path, size and time of each source.
            Another digest means that the picture must be made again.
    """

    key: str
    content: Path
    styles: tuple[StyleChoice, ...]
    output: Path
    digest: str
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """What the journal knows of a job.

    Args:
        key: see `BatchJob`.
        content: path of the content picture.
        styles: path and weight of each style.
        output: path of the result.
        digest: see `BatchJob`.
        overrides: see `BatchJob`.
        state: where it stands.
        attempts: times that it was begun.
        owner: who works on it, or did last.
        lease: time, in seconds since 1970, until which the owner may be silent.
        seconds: that it took.
        losses: name → unweighted loss at the end.
        trace: (steps done, total) over the run, thinned.
        size: (height, width) of the result.
        error: why it failed, in one line.
        finished: time, in seconds since 1970, at which it was done or failed.
    """

    key: str
    content: str
    styles: tuple[tuple[str, float], ...]
    output: str
    digest: str
    overrides: Mapping[str, Any]
    state: State
    attempts: int
    owner: str | None = None
    lease: float | None = None
    seconds: float | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    trace: tuple[tuple[int, float], ...] = ()
    size: tuple[int, int] | None = None
    error: str | None = None
    finished: float | None = None
