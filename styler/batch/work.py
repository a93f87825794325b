"""One worker: takes jobs from the journal, makes their pictures, and says how it went."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from styler.batch.events import BatchEvent, Emit, EventKind
from styler.batch.job import JobRecord, StyleChoice
from styler.batch.journal import Journal
from styler.batch.making import Networks, is_disk, patiently, reports
from styler.batch.owners import release_of_the_dead
from styler.batch.settings import with_overrides
from styler.batch.threads import helper
from styler.config import Resolved, TransferConfig
from styler.errors import DeviceError, StylerError
from styler.features import Extractor
from styler.images.output import failing_as_output_error
from styler.jobs import Prepared, TransferJob, finish, prepare
from styler.network import extractor_for
from styler.processes import keep_freed_memory
from styler.results import Finished
from styler.styles.cache import StyleCache
from styler.transfer import TransferResult

T = TypeVar("T")

LEASE = 60.0
"""Seconds that a worker may be silent before others take its jobs over."""
POLL = 2.0
"""Seconds between two looks at the jobs of other workers, when nothing else is left."""
MOST_ATTEMPTS = 3
"""Times that a picture is begun; one that kills its workers must not go on doing so."""
STYLES = ".styles"
"""Folder of the style statistics that jobs share."""


@dataclass(frozen=True, kw_only=True)
class WorkOrder:
    """What a worker needs to know. It can be sent from process to process.

    Args:
        folder: of the results and the journal.
        resolved: the settings of all jobs.
        owner: the worker's name, unlike all others'.
        plan: which of the plans in the journal is worked off; None for the last one.
        bit_depth: 8 or 16; None takes each content's.
        lease: seconds that it may be silent.
        linger: whether to wait for the jobs of other workers, in case one of them dies.
    """

    folder: Path
    resolved: Resolved[TransferConfig]
    owner: str
    plan: str | None = None
    bit_depth: int | None = None
    lease: float = LEASE
    linger: bool = True


@dataclass
class _Writing:
    """A picture on its way to the disk."""

    record: JobRecord
    prepared: Prepared
    result: TransferResult
    seconds: float
    file: Future[Finished]


class Worker:
    """Works off the journal, one picture after another.

    While one picture is optimised, the next one is read and the last one written, in threads of
    their own. Each picture is made by the same code as a single transfer's.

    Args:
        order: what to do.
        emit: told of everything that happens.
        stop: asked often; True ends the work, and the job under way is given back.
        load: gives a network.
        sleep: waits.
    """

    def __init__(
        self,
        order: WorkOrder,
        emit: Emit,
        stop: Callable[[], bool],
        *,
        load: Callable[[TransferConfig], Extractor] = extractor_for,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.order = order
        self.emit = emit
        self.stop = stop
        self.sleep = sleep
        self._networks = Networks(load)
        self._styles = StyleCache(order.folder / STYLES)
        self._held: set[str] = set()

    def work(self) -> None:
        """Until nothing is left, or `stop` says so.

        Raises:
            OutputError: results cannot be written, for longer than the patience of `patiently`.
        """
        with (
            Journal.open(self.order.folder, plan=self.order.plan) as journal,
            self._heartbeat(),
            helper("read") as reader,
            helper("write") as writer,
        ):
            self.journal = journal
            try:
                self._work_off(reader, writer)
            finally:
                self._release()

    def _work_off(self, reader: ThreadPoolExecutor, writer: ThreadPoolExecutor) -> None:
        writing: _Writing | None = None
        coming = self._next(reader)
        while not self.stop():
            if coming is None:
                if writing is not None:
                    self._conclude(writing, writer)
                    writing = None
                coming = self._next(reader) or self._wait(reader)
                if coming is None:
                    return
            record, reading = coming
            coming = self._next(reader)
            made = self._make(record, reading)
            if writing is not None:
                self._conclude(writing, writer)
                writing = None
            if made is not None:
                prepared, result, seconds = made
                file = writer.submit(finish, prepared, result)
                writing = _Writing(record, prepared, result, seconds, file)
        if writing is not None:
            self._conclude(writing, writer)

    def _next(self, reader: ThreadPoolExecutor) -> tuple[JobRecord, Future[Prepared]] | None:
        """The next job, which is being read."""
        claimed = self.journal.claim(self.order.owner, lease_seconds=self.order.lease)
        if not claimed:
            return None
        (record,) = claimed
        self._held.add(record.key)
        if record.attempts > MOST_ATTEMPTS:
            self._fail(record, DeviceError(f"its workers died {MOST_ATTEMPTS} times"))
            return self._next(reader)
        return record, reader.submit(prepared_for, record, self.order, self._networks, self._styles)

    def _wait(self, reader: ThreadPoolExecutor) -> tuple[JobRecord, Future[Prepared]] | None:
        """A job of another worker that has fallen silent; None when all are done."""
        while self.order.linger and not self.stop() and self.journal.counts().running:
            release_of_the_dead(self.journal)
            self.sleep(POLL)
            coming = self._next(reader)
            if coming is not None:
                return coming
        return None

    def _make(
        self, record: JobRecord, reading: Future[Prepared]
    ) -> tuple[Prepared, TransferResult, float] | None:
        """Optimise one picture; None when that failed or was stopped."""
        started = time.monotonic()
        self._say("started", record.key)

        def tell(share: float) -> None:
            self._say("step", record.key, share=share)

        try:
            prepared = reading.result()
            keep_freed_memory(prepared.problem.keeps_freed_memory)
            result = prepared.problem.solve(
                callbacks=[reports(tell)], should_stop=lambda _: self.stop()
            )
        except Exception as error:  # one bad picture must not end the batch
            self._fail(record, error)
            return None
        if result.run.stopped:
            return None  # it is given back
        return prepared, result, time.monotonic() - started

    def _conclude(self, writing: _Writing, writer: ThreadPoolExecutor) -> None:
        """Wait until a picture is written, and note it in the journal."""
        record = writing.record
        try:
            finished = self._patiently(
                record,
                writing.file.result,
                lambda: writer.submit(finish, writing.prepared, writing.result).result(),
            )
        except Exception as error:
            if is_disk(error):
                raise  # the picture is given back: it is not to blame
            self._fail(record, error)
            return
        outcome = finished.recipe.outcome

        def note() -> bool:
            return self.journal.done(
                self.order.owner,
                record.key,
                seconds=writing.seconds,
                losses=outcome.losses,
                trace=outcome.trace,
                size=finished.recipe.size,
            )

        kept = self._patiently(record, note, note)
        self._held.discard(record.key)
        if kept:
            self._say("done", record.key, seconds=writing.seconds, losses=outcome.losses)
        else:
            self._say("note", record.key, message="another worker had taken it over")

    def _patiently(self, record: JobRecord, first: Callable[[], T], again: Callable[[], T]) -> T:
        """What an action gives; while the disk is full it waits and tries again."""

        def tell(kind: EventKind, message: str) -> None:
            self._say(kind, record.key, message=message)

        return patiently(first, again, tell, stop=self.stop, sleep=self.sleep)

    def _fail(self, record: JobRecord, error: Exception) -> None:
        message = explained(error)
        self.journal.fail(self.order.owner, record.key, message)
        self._held.discard(record.key)
        self._say("failed", record.key, message=message)

    def _release(self) -> None:
        """Give back what is not done."""
        for key in sorted(self._held):
            self._say("released", key)
        self.journal.release(self.order.owner, sorted(self._held))
        self._held.clear()

    @contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """Say now and then that the jobs in hand are being worked on."""
        over = threading.Event()

        def beat() -> None:
            with Journal.open(self.order.folder, plan=self.order.plan) as journal:
                while not over.wait(self.order.lease / 4):
                    journal.renew(
                        self.order.owner, sorted(self._held), lease_seconds=self.order.lease
                    )

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _say(self, kind: EventKind, key: str, **fields: Any) -> None:
        self.emit(BatchEvent(kind=kind, owner=self.order.owner, key=key, **fields))


def prepared_for(
    record: JobRecord, order: WorkOrder, networks: Networks, styles: StyleCache
) -> Prepared:
    """Read what a job of the journal needs; see `prepare` for what can be refused.

    Args:
        record: the job.
        order: whose job it is.
        networks: give the network.
        styles: statistics that jobs share.
    """
    job = job_of(record, order)
    with failing_as_output_error(job.output):
        job.output.parent.mkdir(parents=True, exist_ok=True)
    return prepare(job, networks, cache=styles)


def job_of(record: JobRecord, order: WorkOrder) -> TransferJob:
    """The transfer that a job of the journal stands for."""
    return TransferJob(
        content=Path(record.content),
        styles=tuple(StyleChoice(path=Path(path), weight=w) for path, w in record.styles),
        output=Path(record.output),
        resolved=with_overrides(order.resolved, record.overrides),
        overwrite=True,  # what must not be replaced was refused before the first job
        bit_depth=order.bit_depth,
    )


def explained(error: Exception) -> str:
    """One line for the journal.

    Example:
        >>> explained(DeviceError("no room", "make some")), explained(KeyError("x"))
        ('no room (make some)', "this is a bug: KeyError: 'x'")
    """
    if isinstance(error, StylerError):
        return error.message + (f" ({error.hint})" if error.hint else "")
    return f"this is a bug: {type(error).__name__}: {error}"
