"""The driver of a batch on Ray: it keeps the journal, and gives jobs to actors."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from styler import __version__
from styler.batch.events import BatchEvent, Emit, EventKind
from styler.batch.job import JobRecord
from styler.batch.journal import Journal
from styler.batch.making import STEP_EVERY
from styler.batch.owners import release_of_the_dead
from styler.batch.ray_painter import CALLS, Hello, Painted, Painter
from styler.batch.ray_places import Place, places
from styler.batch.work import POLL, WorkOrder
from styler.errors import OutputError, StylerError

HANDS = 2
"""Jobs that a worker has: the one it makes, and the next, which it reads meanwhile."""
DEATHS = 3
"""Workers that one job may take with it before it counts as failed."""
STILLBORN = 3
"""Workers, one after the other, that may die before they have said a word."""
TURN = 0.2
"""Seconds that the driver listens before it looks at other things."""
HIRE_EVERY = 10.0
"""Seconds between two looks at how many workers the cluster has room for."""
PATIENCE = 15.0
"""Seconds in which the first worker should have come; then it is told what is waited for."""
FAREWELL = 30.0
"""Seconds that workers have to end their step when asked to stop."""


@dataclass(eq=False)
class _Member:
    """An actor, as the driver sees it.

    Args:
        actor: its handle.
        name: empty until it has said hello.
        jobs: that it has, in the order it got them.
        begun: which of them it has begun, as far as the driver knows.
        asked: whether an answer to `news` is awaited.
    """

    actor: Any
    name: str = ""
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    asked: bool = False


class Crew:
    """Works off the journal with actors of a Ray cluster.

    The actors' placement, and the news of their deaths, are Ray's. One that has died is hired anew.
    What it had in hand is given out again, each job to a worker that has nothing else, so that one
    which kills its workers takes no other job's chances with it.

    Args:
        ray: the module, connected.
        journal: open, used by this process alone.
        order: what to do.
        place: what each worker takes of a machine, and how it is to work there.
        emit: told of everything that happens.
    """

    def __init__(
        self, ray: Any, journal: Journal, order: WorkOrder, place: Place, emit: Emit
    ) -> None:
        self.ray = ray
        self.journal = journal
        self.order = order
        self.place = place
        self.emit = emit
        self.members: list[_Member] = []
        self.again: deque[JobRecord] = deque()
        self.deaths: Counter[str] = Counter()
        self.stillborn = 0
        self._awaited: dict[Any, tuple[_Member, Callable[[Any], None]]] = {}
        self._due: dict[str, float] = {}
        self._quiet_until = time.monotonic() + PATIENCE
        self._deadly = (
            ray.exceptions.RayActorError,
            ray.exceptions.OutOfMemoryError,  # by Ray's watch over a machine's memory
            ray.exceptions.NodeDiedError,
            ray.exceptions.WorkerCrashedError,
        )

    def run(self, stop: Callable[[], bool]) -> None:
        """Until nothing is left, or `stop` says so.

        Raises:
            OutputError: results cannot be written, or a worker does not see the folder.
            StylerError: workers cannot be started, or have another version.
        """
        try:
            while not stop() and self._has_work():
                self._hire()
                self._give()
                self._listen()
                self._renew()
            if stop():
                self._take_leave()
        finally:
            self._dismiss()

    def _has_work(self) -> bool:
        """Whether jobs are left; those of others are waited for, in case one of them dies."""
        if self._held:
            return True
        counts = self.journal.counts()
        if counts.waiting:
            return True
        if counts.running and self.order.linger:
            if self._is_due("look", POLL):
                release_of_the_dead(self.journal)
            return True
        return False

    @property
    def _held(self) -> list[str]:
        """Keys of all jobs that this driver has claimed."""
        return [r.key for r in self.again] + [key for m in self.members for key in m.jobs]

    def _is_due(self, what: str, every: float) -> bool:
        """Whether something that is done now and then is to be done now."""
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every
        return True

    def _hire(self) -> None:
        """Ask Ray for as many actors as there are places and jobs."""
        if not self._is_due("hire", HIRE_EVERY):
            return
        jobs = self.journal.counts().waiting + len(self._held)
        # A cluster that has no room yet may be made to grow by what is asked of it.
        room = max(1, places(self.ray.nodes(), self.place.needs))
        for _ in range(min(room, jobs) - len(self.members)):
            self._start()
        if time.monotonic() > self._quiet_until and not any(m.name for m in self.members):
            self._quiet_until = math.inf
            self._say("note", message=f"waiting for Ray to find room: {self.place}")

    def _start(self) -> None:
        needs = self.place.needs
        painter = self.ray.remote(Painter).options(
            num_cpus=needs.get("CPU", 0),
            num_gpus=needs.get("GPU", 0),
            max_concurrency=CALLS,
            scheduling_strategy="SPREAD",
        )
        member = _Member(painter.remote(self.place.order_there(self.order), self.place.threads))
        self.members.append(member)
        self._await(member, member.actor.hello.remote(), partial(self._welcome, member))

    def _await(self, member: _Member, answer: Any, then: Callable[[Any], None]) -> None:
        self._awaited[answer] = (member, then)

    def _welcome(self, member: _Member, hello: Hello) -> None:
        if hello.version != __version__:
            raise StylerError(
                f"styler is {hello.version} on {hello.host} and {__version__} here",
                "install the same version on all machines of the cluster",
            )
        if not hello.sees_folder:
            raise OutputError(
                f"{self.order.folder} is not there on {hello.host}",
                "all machines must see the folder under the same path",
            )
        member.name = hello.name
        self.stillborn = 0

    def _give(self) -> None:
        """Give jobs to those who have a hand free, first to those who have none at all."""
        while (member := self._free()) is not None and (record := self._next()) is not None:
            member.jobs[record.key] = record
            painting = member.actor.paint.remote(record)
            self._await(member, painting, partial(self._conclude, member, record))
            self._begin_first(member)

    def _free(self) -> _Member | None:
        hands = 1 if self.again else HANDS  # what is given again is given to someone idle
        free = [
            member
            for member in self.members
            if member.name
            and len(member.jobs) < hands
            and not any(self.deaths[key] for key in member.jobs)
        ]
        return min(free, key=lambda member: len(member.jobs), default=None)

    def _next(self) -> JobRecord | None:
        if self.again:
            return self.again.popleft()
        if time.monotonic() < self._due.get("claim", 0.0):
            return None
        claimed = self.journal.claim(self.order.owner, lease_seconds=self.order.lease)
        if not claimed:
            self._is_due("claim", POLL)
            return None
        return claimed[0]

    def _begin_first(self, member: _Member) -> None:
        """The first job in hand is the one under way."""
        first = next(iter(member.jobs), None)
        if first is not None:
            self._begin(member, first)

    def _begin(self, member: _Member, key: str) -> None:
        if key not in member.begun:
            member.begun.add(key)
            self._say("started", key, member)

    def _listen(self) -> None:
        """Take the answers that have come, and wait a little where none has."""
        if self._is_due("news", STEP_EVERY):
            for member in self.members:
                if member.jobs and not member.asked:
                    member.asked = True
                    self._await(member, member.actor.news.remote(), partial(self._hear, member))
        if not self._awaited:
            time.sleep(TURN)
            return
        answers = list(self._awaited)
        ready, _ = self.ray.wait(answers, num_returns=1, timeout=TURN)
        if ready:  # and perhaps more of them
            ready, _ = self.ray.wait(answers, num_returns=len(answers), timeout=0)
        for answer in ready:
            if answer in self._awaited:
                self._take(answer)

    def _take(self, answer: Any) -> None:
        member, then = self._awaited.pop(answer)
        try:
            value = self.ray.get(answer)
        except self._deadly as error:
            self._bury(member, error)
        else:
            then(value)

    def _hear(self, member: _Member, news: list[BatchEvent]) -> None:
        member.asked = False
        for event in news:
            if event.key in member.jobs:  # of a job that has ended meanwhile nothing is to be said
                self._begin(member, event.key)
                self._say(event.kind, event.key, member, share=event.share, message=event.message)

    def _conclude(self, member: _Member, record: JobRecord, painted: Painted) -> None:
        """Note in the journal how it went with a job."""
        key = record.key
        if painted.stopped:
            self.journal.release(self.order.owner, [key])
            self._say("released", key, member)
            del member.jobs[key]
            return
        self._begin(member, key)
        if painted.disk:
            raise OutputError(
                painted.error, "make room or mount it again; the same command goes on"
            )
        if painted.error:
            self.journal.fail(self.order.owner, key, painted.error)
            self._say("failed", key, member, message=painted.error)
        elif self.journal.done(
            self.order.owner,
            key,
            seconds=painted.seconds,
            losses=painted.losses,
            trace=painted.trace,
            size=painted.size,
        ):
            self._say("done", key, member, seconds=painted.seconds, losses=painted.losses)
        else:
            self._say("note", key, member, message="another worker had taken it over")
        del member.jobs[key]
        self._begin_first(member)

    def _bury(self, member: _Member, error: Exception) -> None:
        """Let go of an actor that has died, and of what it had in hand."""
        self.members.remove(member)
        self._awaited = {a: (m, then) for a, (m, then) in self._awaited.items() if m is not member}
        self.ray.kill(member.actor)  # one that Ray has only lost sight of must not go on
        self._due.pop("hire", None)
        if not member.name:
            self.stillborn += 1
            if self.stillborn >= STILLBORN or "creation task" in str(error):
                raise StylerError(
                    f"workers cannot be started on the cluster: {last_line(error)}",
                    "styler must be installed on all its machines, in the same version",
                )
            return
        self._say("note", message=f"the worker {member.name} died; its jobs are given out again")
        for record in member.jobs.values():
            self._try_again(record, member)

    def _try_again(self, record: JobRecord, member: _Member) -> None:
        self.deaths[record.key] += 1
        if self.deaths[record.key] < DEATHS:
            self._say("released", record.key, member)
            self.again.append(record)
            return
        message = f"{DEATHS} workers died of it (a smaller --size needs less memory)"
        self.journal.fail(self.order.owner, record.key, message)
        self._say("failed", record.key, member, message=message)

    def _renew(self) -> None:
        """Say that the jobs in hand are being worked on."""
        if self._is_due("renew", self.order.lease / 4):
            self.journal.renew(self.order.owner, self._held, lease_seconds=self.order.lease)

    def _take_leave(self) -> None:
        """Let the steps under way end; pictures that are being written count."""
        for member in self.members:
            member.actor.halt.remote()
        end = time.monotonic() + FAREWELL
        while any(member.jobs for member in self.members) and time.monotonic() < end:
            self._listen()
            self._renew()

    def _dismiss(self) -> None:
        """End the actors, and give back what is not done."""
        for member in self.members:
            self.ray.kill(member.actor)
            for key in member.jobs:
                self._say("released", key, member)
        self.journal.release(self.order.owner, self._held)

    def _say(
        self,
        kind: EventKind,
        key: str = "",
        member: _Member | None = None,
        *,
        share: float = 0.0,
        seconds: float = 0.0,
        losses: Mapping[str, float] | None = None,
        message: str = "",
    ) -> None:
        self.emit(
            BatchEvent(
                kind=kind,
                owner=member.name if member else "",
                key=key,
                share=share,
                seconds=seconds,
                losses=losses or {},
                message=message,
            )
        )


def last_line(error: Exception) -> str:
    r"""What an error of Ray's ends with, which is what happened.

    Example:
        >>> last_line(RuntimeError("The actor died.\n\nModuleNotFoundError: No module\n"))
        'ModuleNotFoundError: No module'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
