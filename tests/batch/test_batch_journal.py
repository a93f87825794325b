"""The journal: who has which job, whatever happens to whom."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from styler.batch import journal_file
from styler.batch.job import BatchJob, JobRecord, StyleChoice
from styler.batch.journal import Counts, Journal
from styler.batch.journal_rows import NAME
from styler.errors import OutputError

LEASE = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    with Journal.open(tmp_path, clock=clock) as opened:
        yield opened


def job(folder: Path, key: str, digest: str = "1", **changes: Any) -> BatchJob:
    made = BatchJob(
        key=key,
        content=folder / "in" / f"{key}.jpg",
        styles=(StyleChoice(path=folder / "a.jpg", weight=0.7), StyleChoice(path=folder / "b.jpg")),
        output=folder / key,
        digest=digest,
        overrides={"style.scale": 2.0, "schedule.steps": [5, 3]},
    )
    return dataclasses.replace(made, **changes)


def jobs(folder: Path, keys: str | Sequence[str], digest: str = "1") -> list[BatchJob]:
    return [job(folder, key, digest) for key in keys]


def take(journal: Journal, owner: str = "ann", count: int = 1) -> list[str]:
    return [r.key for r in journal.claim(owner, lease_seconds=LEASE, count=count)]


def finish(journal: Journal, key: str, owner: str = "ann", *, write: bool = True) -> bool:
    if write:
        (journal.folder / key).write_bytes(b"picture")
    losses = {"style": 0.25, "total": 1.0}
    return journal.done(owner, key, seconds=3.5, losses=losses, trace=[(1, 2.0)], size=(48, 64))


def states(journal: Journal) -> dict[str, str]:
    return {record.key: record.state for record in journal.records()}


def test_a_job_goes_from_waiting_to_done(journal: Journal, clock: Clock, tmp_path: Path) -> None:
    assert journal.sync(jobs(tmp_path, "ba")) == Counts(waiting=2)
    (record,) = journal.claim("ann", lease_seconds=LEASE)
    assert record == JobRecord(
        key="a",
        content=str(tmp_path / "in/a.jpg"),
        styles=((str(tmp_path / "a.jpg"), 0.7), (str(tmp_path / "b.jpg"), 1.0)),
        output=str(tmp_path / "a"),
        digest="1",
        overrides={"style.scale": 2.0, "schedule.steps": [5, 3]},
        state="running",
        attempts=1,
        owner="ann",
        lease=1060.0,
    )
    clock.now += 5
    assert finish(journal, "a")
    assert journal.counts() == Counts(waiting=1, done=1)
    assert journal.records("done") == [
        dataclasses.replace(
            record,
            state="done",
            lease=None,
            seconds=3.5,
            losses={"style": 0.25, "total": 1.0},
            trace=((1, 2.0),),
            size=(48, 64),
            finished=1005.0,
        )
    ]
    assert [r.key for r in journal.records()] == ["a", "b"]


def test_nothing_is_claimed_before_there_is_a_plan(journal: Journal) -> None:
    assert (journal.plan, take(journal), journal.counts()) == (None, [], Counts())


def test_jobs_are_claimed_in_the_order_of_keys_and_once(journal: Journal, tmp_path: Path) -> None:
    journal.sync(jobs(tmp_path, "dcab"))
    assert (take(journal), take(journal, "bob", 2), take(journal, count=9)) == (
        ["a"],
        ["b", "c"],
        ["d"],
    )
    assert take(journal) == []


def test_a_silent_worker_loses_its_job_when_the_lease_ends(
    journal: Journal, clock: Clock, tmp_path: Path
) -> None:
    journal.sync(jobs(tmp_path, "a"))
    take(journal)
    clock.now += LEASE - 0.001
    assert take(journal, "bob") == []
    clock.now += 0.001
    (record,) = journal.claim("bob", lease_seconds=LEASE)
    assert (record.owner, record.attempts) == ("bob", 2)
    assert not finish(journal, "a", "ann")
    assert not journal.fail("ann", "a", "late")
    assert journal.renew("ann", ["a"], LEASE) == journal.release("ann", ["a"]) == set()
    assert journal.counts() == Counts(running=1)
    assert finish(journal, "a", "bob")
    assert not finish(journal, "a", "bob"), "only once"


def test_late_but_not_taken_over_counts(journal: Journal, clock: Clock, tmp_path: Path) -> None:
    journal.sync(jobs(tmp_path, "ab"))
    take(journal, count=2)
    clock.now += 2 * LEASE
    assert finish(journal, "a")
    assert journal.renew("ann", ["a", "b", "zzz"], LEASE) == {"b"}
    assert take(journal, "bob") == []


def test_a_renewed_lease_is_kept(journal: Journal, clock: Clock, tmp_path: Path) -> None:
    journal.sync(jobs(tmp_path, "a"))
    take(journal)
    for _ in range(5):
        clock.now += LEASE / 2
        assert journal.renew("ann", ["a"], LEASE) == {"a"}
        assert take(journal, "bob") == []


def test_released_jobs_wait_at_once(journal: Journal, tmp_path: Path) -> None:
    journal.sync(jobs(tmp_path, "abc"))
    take(journal, count=2)
    assert journal.release("ann", ["b", "c"]) == {"b"}
    assert take(journal, "bob", 9) == ["b", "c"]
    assert journal.release("ann", []) == set()


def test_failed_jobs_say_why_and_are_retried_when_asked(
    journal: Journal, clock: Clock, tmp_path: Path
) -> None:
    plan = jobs(tmp_path, "ab")
    journal.sync(plan)
    take(journal)
    assert journal.fail("ann", "a", "no such\n  file \udce9")
    (record,) = journal.records("failed")
    assert (record.error, record.finished) == ("no such file \\udce9", 1000.0)
    assert journal.sync(plan) == Counts(waiting=1, failed=1)
    assert journal.sync(plan, retry_failed=True) == Counts(waiting=2)
    record = journal.records()[0]
    assert (record.error, record.attempts, record.finished) == (None, 0, None)


def test_a_second_sync_keeps_what_is_done(journal: Journal, tmp_path: Path) -> None:
    plan = jobs(tmp_path, "abc")
    journal.sync(plan)
    for key in take(journal, count=3):
        finish(journal, key)
    (tmp_path / "a").unlink()
    (tmp_path / "b").write_bytes(b"")
    assert journal.sync(plan) == Counts(waiting=2, done=1)
    assert states(journal) == {"a": "waiting", "b": "waiting", "c": "done"}


def test_changed_jobs_wait_again(journal: Journal, tmp_path: Path) -> None:
    journal.sync(jobs(tmp_path, "abcd"))
    take(journal, count=2)
    finish(journal, "a")
    journal.fail("ann", "b", "bad")
    changed = [job(tmp_path, key, "2", overrides={"strength": 0.1}) for key in "abc"]
    assert journal.sync([*changed, job(tmp_path, "d")]) == Counts(waiting=4)
    record = journal.records()[0]
    assert (record.digest, record.overrides) == ("2", {"strength": 0.1})
    assert (record.seconds, record.losses, record.size) == (None, {}, None)


def test_what_changes_during_the_work_is_made_again(journal: Journal, tmp_path: Path) -> None:
    journal.sync(jobs(tmp_path, "a"))
    take(journal)
    assert journal.sync(jobs(tmp_path, "a", "2")) == Counts(running=1)
    assert take(journal, "bob") == [], "two would write one file"
    assert journal.renew("ann", ["a"], LEASE) == {"a"}
    assert not finish(journal, "a")
    (record,) = journal.claim("bob", lease_seconds=LEASE)
    assert (record.digest, record.attempts) == ("2", 1)
    assert finish(journal, "a", "bob")


def test_sync_sets_those_free_whose_worker_fell_silent(
    journal: Journal, clock: Clock, tmp_path: Path
) -> None:
    plan = jobs(tmp_path, "ab")
    journal.sync(plan)
    take(journal)
    clock.now += LEASE / 2
    take(journal, "bob")
    clock.now += LEASE / 2
    assert journal.sync(plan) == Counts(waiting=1, running=1)
    assert states(journal) == {"a": "waiting", "b": "running"}
    assert journal.records()[0].attempts == 1


def test_jobs_of_other_plans_are_kept_and_not_claimed(journal: Journal, tmp_path: Path) -> None:
    journal.sync(jobs(tmp_path, "abc"))
    finish(journal, *take(journal))
    assert journal.sync(jobs(tmp_path, "cd")) == Counts(waiting=2)
    assert take(journal, count=9) == ["c", "d"]
    assert states(journal) == {"a": "done", "b": "waiting", "c": "running", "d": "running"}
    assert journal.sync(jobs(tmp_path, "abc")) == Counts(waiting=1, running=1, done=1)


def test_each_opens_the_last_plan_or_the_one_it_names(journal: Journal, tmp_path: Path) -> None:
    journal.sync(jobs(tmp_path, "ac"))
    first = journal.plan
    with Journal.open(tmp_path) as other:
        other.sync(jobs(tmp_path, "bd"))
        assert other.plan != first == journal.plan
    with Journal.open(tmp_path) as last, Journal.open(tmp_path, plan=first) as named:
        assert take(last, "x", 9) == ["b", "d"]
        assert (take(named, "y"), take(journal, "z")) == (["a"], ["c"])
        journal.sync(jobs(tmp_path, "ac"))
        assert last.plan == first


def test_results_of_a_batch_are_known(journal: Journal, tmp_path: Path) -> None:
    journal.sync(jobs(tmp_path, "ab"))
    assert journal.known() == set()
    take(journal)
    journal.release("ann", ["a"])
    journal.sync(jobs(tmp_path, "ab", "2"))
    assert journal.known() == {"a"}


def test_paths_that_are_no_unicode_survive(journal: Journal, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(b"/in/caf\xe9 \xc3\xbc.jpg"))
    journal.sync([job(tmp_path, "ü/a", content=odd)])
    (record,) = journal.claim("ann", lease_seconds=LEASE)
    assert (Path(record.content), record.key) == (odd, "ü/a")


def test_the_folder_may_move(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    plan = jobs(tmp_path / "old", "a")
    with Journal.open(tmp_path / "old") as journal:
        journal.sync(plan)
        finish(journal, *take(journal))
    shutil.move(tmp_path / "old", tmp_path / "new")
    with Journal.open(tmp_path / "new") as journal:
        assert journal.records()[0].output == str(tmp_path / "new/a")
        assert journal.sync(plan) == Counts(done=1)


def test_one_file_is_left_and_writes_reach_the_disk(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        connection = journal._connection
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        journal.sync(jobs(tmp_path, "a"))
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    mounts = [("/", "ext4"), (str(tmp_path), "ext4"), (str(tmp_path / "net"), "nfs4")]
    found = [SimpleNamespace(mountpoint=m, fstype=f, opts="rw") for m, f in mounts]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: found)
    (tmp_path / "net").mkdir()
    return tmp_path / "net"


def test_network_file_systems_get_no_shared_memory(network: Path) -> None:
    assert journal_file.is_on_network(network)
    assert not journal_file.is_on_network(network.parent / "network")
    with Journal.open(network) as journal:
        journal.sync(jobs(network, "a"))
        assert not list(network.glob("*-shm"))
        with Journal.open(network) as other:
            assert take(other) == ["a"]


def test_a_journal_made_on_the_server_is_converted_when_nobody_has_it_open(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "PATIENCE", 0.1)
    local = network.parent
    with Journal.open(local) as journal:
        journal.sync(jobs(local, "a"))
        for name in os.listdir(local):
            if name.startswith(NAME):
                os.link(local / name, network / name)
        with pytest.raises(OutputError, match="another process holds it"):
            Journal.open(network)
    for name in os.listdir(network):
        if name != NAME:
            (network / name).unlink()
    with Journal.open(network) as journal:
        assert take(journal) == ["a"]
        assert not list(network.glob("*-shm"))


def test_without_a_batch_nothing_is_made_when_it_should_not(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no batch was made in"):
        Journal.open(tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []
    Journal.open(tmp_path).close()
    Journal.open(tmp_path, create=False).close()


def test_files_of_others_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / NAME
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE bookmarks (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(OutputError, match="is not the journal of a batch"):
        Journal.open(tmp_path)
    assert path.read_bytes() == before


def test_newer_journals_are_refused(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal._connection.execute("PRAGMA user_version = 2")
    with pytest.raises(OutputError, match="has schema 2, this version of styler knows 1"):
        Journal.open(tmp_path)


def fill(folder: Path) -> Path:
    with Journal.open(folder) as journal:
        journal.sync(jobs(folder, [f"{i:04}" for i in range(500)]))
    return folder / NAME


@pytest.mark.parametrize("damage", ["text", "tail", "middle", "cut"])
def test_damaged_journals_are_refused_with_advice(tmp_path: Path, damage: str) -> None:
    path = fill(tmp_path)
    whole = path.read_bytes()
    noise = random.Random(0).randbytes(20_000)
    path.write_bytes(
        {
            "text": b"this is no database, whatever its name says\n" * 50,
            "tail": whole[: len(whole) // 2] + noise,
            "middle": whole[:20_000] + noise + whole[40_000:],
            "cut": whole[: len(whole) // 3],
        }[damage]
    )
    with pytest.raises(OutputError, match="damaged") as caught:
        Journal.open(tmp_path)
    assert "move it away" in str(caught.value.hint)


def test_damaged_rows_are_refused(journal: Journal, tmp_path: Path) -> None:
    journal.sync(jobs(tmp_path, "a"))
    for text in ("{", "[]", "5", '{"content": "a", "styles": [1], "overrides": {}}'):
        journal._connection.execute("UPDATE jobs SET job = ?", (text,))
        with pytest.raises(OutputError, match="damaged: the row of a is unreadable"):
            journal.records()


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it cannot be opened") as caught:
        Journal.open(tmp_path / "none")
    assert "may write to" in str(caught.value.hint)


def test_a_full_disk_is_said_and_nothing_is_half_done(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.sync(jobs(tmp_path, "a"))
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OutputError, match="the disk is full") as caught:
            journal.sync(jobs(tmp_path, [f"{i:04}" for i in range(500)]))
        assert "free some space" in str(caught.value.hint)
        assert (states(journal), take(journal)) == ({"a": "waiting"}, ["a"])


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    import resource

    with Journal.open(tmp_path) as journal:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
        try:
            with pytest.raises(OutputError, match=r"the journal .*: the disk"):
                journal.sync(jobs(tmp_path, [f"{i:04}" for i in range(500)]))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert journal.sync(jobs(tmp_path, "a")) == Counts(waiting=1)


@pytest.mark.parametrize("mode", ["ro", "rwc"])
def test_a_journal_that_may_not_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    fill(tmp_path)
    connect = sqlite3.connect

    def connect_as(path: Path, **options: Any) -> sqlite3.Connection:
        return connect(f"{path.as_uri()}?mode={mode}", uri=True, **options)

    monkeypatch.setattr(journal_file.sqlite3, "connect", connect_as)
    with Journal.open(tmp_path) as journal:
        if mode == "rwc":
            assert take(journal) == ["0000"]
            return
        assert journal.counts().total == 500
        with pytest.raises(OutputError, match="it may not be written"):
            take(journal)


def test_a_journal_that_somebody_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "PATIENCE", 0.3)
    with Journal.open(tmp_path) as journal, Journal.open(tmp_path) as other:
        journal.sync(jobs(tmp_path, "abc"))
        other._connection.execute("BEGIN IMMEDIATE")
        assert journal.counts() == Counts(waiting=3), "readers need not wait"
        with pytest.raises(OutputError, match="another process holds it"):
            take(journal)
        timer = threading.Timer(0.1, lambda: other._connection.execute("ROLLBACK"))
        timer.start()
        assert take(journal) == ["a"]
        timer.join()


def test_threads_share_one_journal(journal: Journal, tmp_path: Path) -> None:
    journal.sync(jobs(tmp_path, [f"{i:03}" for i in range(60)]))
    taken: list[str] = []

    def work(owner: str) -> None:
        while keys := take(journal, owner, 2):
            taken.extend(keys)
            journal.renew(owner, keys, LEASE)

    threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [f"{i:03}" for i in range(60)]


WORKER = """
import os, random, sys, time
from pathlib import Path
from styler.batch.journal import Journal

folder, owner, lease, pause = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
chance = random.Random(owner)
log = os.open(folder / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

def say(*words):
    os.write(log, (" ".join(words) + "\\n").encode())

with Journal.open(folder) as journal:
    while True:
        claimed = journal.claim(owner, lease_seconds=lease, count=chance.randint(1, 3))
        for record in claimed:
            say("claim", record.key, owner)
        for record in claimed:
            time.sleep(pause * chance.random())
            Path(record.output).write_text(owner)
            if journal.done(owner, record.key, seconds=1, losses={}, trace=[], size=(1, 1)):
                say("done", record.key, owner)
        if not claimed:
            if journal.counts().running == 0:
                break
            time.sleep(0.02)
"""
"""A worker without a network: jobs go by in milliseconds."""


def start(folder: Path, owner: str, lease: float, pause: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WORKER, str(folder), owner, str(lease), str(pause)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def read_log(folder: Path) -> str:
    return (folder / "log").read_text() if (folder / "log").exists() else ""


def logged(folder: Path, word: str) -> Counter[str]:
    lines = [line.split() for line in read_log(folder).splitlines()]
    return Counter(line[1] for line in lines if line[0] == word)


def test_processes_get_each_job_exactly_once(tmp_path: Path) -> None:
    plan = jobs(tmp_path, [f"{i:03}" for i in range(200)])
    with Journal.open(tmp_path) as journal:
        journal.sync(plan)
    workers = [start(tmp_path, f"w{i}", 60, 0.002) for i in range(5)]
    for worker in workers:
        said = worker.communicate(timeout=60)[1]
        assert (worker.returncode, said) == (0, b"")
    once = Counter(item.key for item in plan)
    assert logged(tmp_path, "claim") == logged(tmp_path, "done") == once
    with Journal.open(tmp_path) as journal:
        records = journal.records()
        assert journal.sync(plan) == Counts(done=200)
    assert {record.attempts for record in records} == {1}
    assert all(Path(record.output).read_text() == record.owner for record in records)


def test_processes_may_make_the_journal_at_the_same_time(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from styler.batch.journal import Journal\n"
    code += "with Journal.open(Path(sys.argv[1])) as journal: print(journal.counts().total)"
    for attempt in range(2):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(folder)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(5)
        ]
        assert {worker.communicate(timeout=60) for worker in workers} == {(b"0\n", b"")}


def test_killed_processes_lose_no_job_and_do_none_twice(tmp_path: Path) -> None:
    chance = random.Random(0)
    plan = jobs(tmp_path, [f"{i:03}" for i in range(120)])
    with Journal.open(tmp_path) as journal:
        journal.sync(plan)
        alive = {f"w{i}": start(tmp_path, f"w{i}", 0.4, 0.05) for i in range(3)}
        killed = 0
        while journal.counts().done < 120 and any(w.poll() is None for w in alive.values()):
            time.sleep(0.1 * chance.random())
            at_work = [owner for owner in alive if f" {owner}\n" in read_log(tmp_path)]
            if at_work and killed < 8:
                victim = alive.pop(at_work[0])
                victim.send_signal(signal.SIGKILL)
                victim.communicate()
                killed += 1
                alive[f"v{killed}"] = start(tmp_path, f"v{killed}", 0.4, 0.05)
        for worker in alive.values():
            said = worker.communicate(timeout=60)[1]
            assert (worker.returncode, said) == (0, b"")
        assert journal.sync(plan) == Counts(done=120)
        attempts = sum(record.attempts for record in journal.records())
    done = logged(tmp_path, "done")
    assert killed >= 3
    assert attempts > 120, "some were killed at work"
    assert max(done.values()) == 1
    assert 120 - killed <= len(done) <= 120, "a killed process may not have got to say it"
