"""What a batch tells while it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

EventKind = Literal["started", "step", "done", "failed", "paused", "resumed", "released", "note"]


@dataclass(frozen=True, kw_only=True)
class BatchEvent:
    """Something that happened to a job. It can be sent from process to process.

    Args:
        kind: what happened.
        owner: the worker.
        key: the job, empty where it concerns none.
        share: of the job's steps, from 0 to 1.
        seconds: that the job took, when it is done.
        losses: name → unweighted loss at the end, when it is done.
        message: a line for people.
    """

    kind: EventKind
    owner: str
    key: str = ""
    share: float = 0.0
    seconds: float = 0.0
    losses: Mapping[str, float] = field(default_factory=dict)
    message: str = ""


Emit = Callable[[BatchEvent], None]
"""Takes an event."""
