"""What of a batch is done, kept where many processes can see it and none can lose it."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from styler.batch.job import BatchJob, JobRecord, State
from styler.batch.journal_file import failing, open_file, transaction
from styler.batch.journal_rows import COLUMNS, NAME, job_text, record_of
from styler.errors import OutputError

_RESET = """state = 'waiting', owner = NULL, lease = NULL, seconds = NULL, result = NULL,
    error = NULL, finished = NULL"""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many jobs of a plan are in which state.

    Example:
        >>> Counts(waiting=3, running=1, done=6).total
        10
    """

    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All jobs of the plan."""
        return self.waiting + self.running + self.done + self.failed


class Journal:
    """The state of all jobs of a folder. Use `open`, in a ``with`` statement.

    A worker claims a job for a time, the lease, and renews it while it works. When it falls silent
    the lease runs out and another may take the job over; what the first one reports after that is
    not taken. Times are compared between machines, so that their clocks must agree far better than
    a lease is long.

    A process opens its own; the threads of a process may share one. It must not be carried through
    a fork. See `styler.batch.journal_file` for what it needs of a file system.
    """

    def __init__(
        self,
        folder: Path,
        connection: sqlite3.Connection,
        plan: str | None,
        clock: Callable[[], float],
    ) -> None:
        self.folder = folder
        """absolute"""
        self.path = folder / NAME
        """the file"""
        self._connection = connection
        self._named = plan
        self._clock = clock
        self._lock = threading.RLock()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        plan: str | None = None,
        create: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> Journal:
        """Open the journal of a folder.

        Args:
            folder: of the results; must be there.
            plan: the one to claim from, as `plan` says after `sync`; None for the last one that
                anybody synced. Machines with different shards in one folder have different plans.
            create: make the journal if there is none.
            clock: tells the time, in seconds since 1970.

        Raises:
            OutputError: there is none and none may be made; it is damaged, another program's or a
                newer version's; or the disk refuses.
        """
        folder = Path(os.path.abspath(folder))
        path = folder / NAME
        if not create and not path.exists():
            raise OutputError(f"no batch was made in {folder}", "name the folder of its results")
        return cls(folder, open_file(path), plan, clock)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    @property
    def plan(self) -> str | None:
        """Name of the plan that jobs are claimed from; None before the first `sync`."""
        if self._named is not None:
            return self._named
        with self._reading() as connection:
            row = connection.execute(
                "SELECT plan FROM plans ORDER BY number DESC LIMIT 1"
            ).fetchone()
        return row[0] if row else None

    def sync(self, jobs: Sequence[BatchJob], *, retry_failed: bool = False) -> Counts:
        """Take in a plan: from now on its jobs are claimed, and no others.

        New jobs wait. Jobs whose digest is another than before wait again, and so do those that
        were done but whose result is gone or empty, and those whose worker fell silent. A job that
        is being worked on stays so; if its digest has changed, it waits again when it is done. Jobs
        that are in the journal but not in the plan are kept as they are.

        Args:
            jobs: of the plan, with results in this folder.
            retry_failed: let those wait again that failed.

        Returns:
            How many jobs of the plan are in which state.

        Raises:
            OutputError: the disk refuses.
        """
        lost = self._lost(jobs)
        now = self._clock()
        plan = hashlib.sha256("\0".join(sorted(job.key for job in jobs)).encode()).hexdigest()[:16]
        with self._writing() as connection:
            known = {
                row[0]: row[1:]
                for row in connection.execute(
                    "SELECT key, digest, state, lease, finished FROM jobs"
                )
            }
            for job in jobs:
                digest, state, lease, finished = known.get(job.key, (job.digest, None, None, None))
                at_work = state == "running" and lease > now
                again = (
                    state == "running"
                    or (state == "failed" and retry_failed)
                    or (state == "done" and lost.get(job.key) == finished)
                    or digest != job.digest
                )
                connection.execute(
                    """INSERT INTO jobs (key, digest, job, state) VALUES (:key, :digest, :job,
                    'waiting') ON CONFLICT (key) DO UPDATE SET digest = :digest, job = :job""",
                    {"key": job.key, "digest": job.digest, "job": job_text(job)},
                )
                if again and not at_work:
                    fresh = ", attempts = 0" if state != "running" else ""
                    connection.execute(f"UPDATE jobs SET {_RESET}{fresh} WHERE key = ?", (job.key,))
            connection.execute("DELETE FROM plans WHERE plan = ?", (plan,))
            connection.execute("INSERT INTO plans (plan) VALUES (?)", (plan,))
            connection.executemany(
                "INSERT OR IGNORE INTO planned VALUES (?, ?)", [(plan, job.key) for job in jobs]
            )
        self._named = plan
        return self.counts()

    def _lost(self, jobs: Iterable[BatchJob]) -> dict[str, float]:
        """Jobs that were done and whose result is gone or empty: key → when they were done.

        Looked up before the file is locked, because file systems can be slow.
        """
        with self._reading() as connection:
            done = dict(
                connection.execute("SELECT key, finished FROM jobs WHERE state = 'done'").fetchall()
            )
        return {
            job.key: done[job.key]
            for job in jobs
            if job.key in done and not _is_there(self.folder / job.key)
        }

    def claim(self, owner: str, *, lease_seconds: float, count: int = 1) -> list[JobRecord]:
        """Take jobs to work on: those that wait, and those whose worker fell silent, by key.

        Args:
            owner: a name that no other worker has.
            lease_seconds: that the worker may be silent.
            count: at most so many.

        Returns:
            The jobs; none when nothing is left to claim.

        Raises:
            OutputError: the disk refuses.
        """
        plan, now = self.plan, self._clock()
        with self._writing() as connection:
            rows = connection.execute(
                f"""SELECT {COLUMNS} FROM jobs
                WHERE state IN ('waiting', 'running') AND (state = 'waiting' OR lease <= ?)
                AND EXISTS (SELECT 1 FROM planned WHERE plan = ? AND planned.key = jobs.key)
                ORDER BY key LIMIT ?""",
                (now, plan, max(count, 0)),
            ).fetchall()
            keys = [row[0] for row in rows]
            connection.executemany(
                f"""UPDATE jobs SET {_RESET}, state = 'running', begun = digest,
                attempts = attempts + 1, owner = ?, lease = ? WHERE key = ?""",
                [(owner, now + lease_seconds, key) for key in keys],
            )
            select = f"SELECT {COLUMNS} FROM jobs WHERE key = ?"
            taken = [connection.execute(select, (key,)).fetchone() for key in keys]
        return [record_of(row, self.folder) for row in taken]

    def renew(self, owner: str, keys: Collection[str], lease_seconds: float) -> set[str]:
        """Say that jobs are being worked on.

        Args:
            owner: who works on them.
            keys: of the jobs.
            lease_seconds: that the worker may be silent from now on.

        Returns:
            The keys that are still the owner's; the others are lost.

        Raises:
            OutputError: the disk refuses.
        """
        lease = self._clock() + lease_seconds
        return self._update("lease = :lease", owner, keys, lease=lease)

    def release(self, owner: str, keys: Collection[str], *, died: bool = False) -> set[str]:
        """Give jobs back unfinished, so that others need not wait for the lease to run out.

        Args:
            owner: who holds them.
            keys: of the jobs.
            died: the owner is no more; else the attempt does not count.

        Returns:
            The keys that were the owner's.

        Raises:
            OutputError: the disk refuses.
        """
        undone = "" if died else ", attempts = max(0, attempts - 1)"
        return self._update(_RESET + undone, owner, keys)

    def done(
        self,
        owner: str,
        key: str,
        *,
        seconds: float,
        losses: Mapping[str, float],
        trace: Sequence[tuple[int, float]],
        size: tuple[int, int],
    ) -> bool:
        """Note that a result is written.

        Args:
            owner: who made it.
            key: of the job.
            seconds: that it took.
            losses: name → unweighted loss at the end.
            trace: (steps done, total) over the run.
            size: (height, width) of the result.

        Returns:
            Whether it counts. It does not if the job is no longer the owner's, or if its digest
            has changed since it was claimed; then it waits again.

        Raises:
            OutputError: the disk refuses.
        """
        result = {"losses": dict(losses), "trace": list(trace), "size": list(size)}
        with self._writing() as connection:
            row = connection.execute(
                "SELECT digest = begun FROM jobs WHERE key = ? AND owner = ? AND state = 'running'",
                (key, owner),
            ).fetchone()
            if row is None:
                return False
            if not row[0]:
                connection.execute(f"UPDATE jobs SET {_RESET}, attempts = 0 WHERE key = ?", (key,))
                return False
            connection.execute(
                """UPDATE jobs SET state = 'done', lease = NULL, seconds = ?, result = ?,
                finished = ? WHERE key = ?""",
                (seconds, json.dumps(result), self._clock(), key),
            )
            return True

    def fail(self, owner: str, key: str, error: str) -> bool:
        """Note that a job cannot be done.

        Args:
            owner: who tried.
            key: of the job.
            error: why, in one line.

        Returns:
            Whether it counts; it does not if the job is no longer the owner's.

        Raises:
            OutputError: the disk refuses.
        """
        line = " ".join(error.split()).encode(errors="backslashreplace").decode()
        assignments = "state = 'failed', lease = NULL, error = :error, finished = :now"
        return bool(self._update(assignments, owner, [key], error=line, now=self._clock()))

    def counts(self) -> Counts:
        """How many jobs of the plan are in which state."""
        with self._reading() as connection:
            found = connection.execute(
                """SELECT state, count(*) FROM planned JOIN jobs USING (key) WHERE plan = ?
                GROUP BY state""",
                (self.plan,),
            ).fetchall()
        return Counts(**dict(found))

    def known(self) -> set[str]:
        """Keys of all jobs, of whatever plan, that were ever begun: their results are a batch's."""
        with self._reading() as connection:
            rows = connection.execute("SELECT key FROM jobs WHERE begun IS NOT NULL").fetchall()
        return {key for (key,) in rows}

    def records(self, state: State | None = None) -> list[JobRecord]:
        """All jobs of all plans, by key.

        Args:
            state: only those in it.

        Raises:
            OutputError: the journal is damaged.
        """
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM jobs WHERE ?1 IS NULL OR state = ?1 ORDER BY key", (state,)
            ).fetchall()
        return [record_of(row, self.folder) for row in rows]

    def _update(
        self, assignments: str, owner: str, keys: Collection[str], **values: Any
    ) -> set[str]:
        """Change those of some jobs that the owner is working on; which ones they were."""
        if not keys:
            return set()
        with self._writing() as connection:
            return {
                key
                for key in keys
                if connection.execute(
                    f"""UPDATE jobs SET {assignments}
                    WHERE key = :key AND owner = :owner AND state = 'running'""",
                    {**values, "key": key, "owner": owner},
                ).rowcount
            }

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, failing(self.path):
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, failing(self.path), transaction(self._connection):
            yield self._connection


def _is_there(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
