"""Rows of the journal, and the jobs that they stand for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from styler.batch.job import BatchJob, JobRecord
from styler.errors import OutputError

NAME = ".styler-batch.sqlite"
"""The journal, in the folder of the results."""
COLUMNS = "key, digest, job, state, attempts, owner, lease, seconds, result, error, finished"
"""What `record_of` reads, in this order."""


def job_text(job: BatchJob) -> str:
    """A job's sources and settings, in ASCII: paths that are no Unicode survive as escapes."""
    styles = [[str(style.path), style.weight] for style in job.styles]
    return json.dumps(
        {"content": str(job.content), "styles": styles, "overrides": dict(job.overrides)}
    )


def record_of(row: Sequence[Any], folder: Path) -> JobRecord:
    """What a row says.

    Args:
        row: values of `COLUMNS`.
        folder: of the results, so that it may be moved as a whole.

    Raises:
        OutputError: the row is damaged.
    """
    key, digest, job, state, attempts, owner, lease, seconds, result, error, finished = row
    try:
        made, got = json.loads(job), json.loads(result or "{}")
        return JobRecord(
            key=key,
            content=made["content"],
            styles=tuple((path, weight) for path, weight in made["styles"]),
            output=str(folder / key),
            digest=digest,
            overrides=made["overrides"],
            state=state,
            attempts=attempts,
            owner=owner,
            lease=lease,
            seconds=seconds,
            losses=got.get("losses", {}),
            trace=tuple((done, total) for done, total in got.get("trace", [])),
            size=(got["size"][0], got["size"][1]) if got else None,
            error=error,
            finished=finished,
        )
    except (ValueError, TypeError, LookupError, AttributeError) as fault:
        raise OutputError(
            f"the journal {folder / NAME} is damaged: the row of {key} is unreadable",
            "move it away to begin again; pictures that are done stay where they are",
        ) from fault
