"""A worker: its pictures, its failures, its patience."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from styler.batch import work as module
from styler.batch.events import BatchEvent
from styler.batch.job import JobRecord
from styler.batch.journal import Journal
from styler.batch.making import PATIENCE
from styler.batch.plan import Plan, make_plan
from styler.batch.work import Worker, WorkOrder, explained
from styler.config import Resolved, TransferConfig, resolve
from styler.errors import ImageError, OutputError
from styler.features import Extractor, load_extractor
from styler.images import read_picture
from styler.jobs import TransferJob, prepare, run
from styler.styles.choice import StyleChoice

SETTINGS = {
    "backbone.name": "vgg-lite",
    "schedule.size": 48,
    "schedule.steps": [3],
    "runtime.precision": "fp32",
    "runtime.device": "cpu",
}


def paint(path: Path, seed: int) -> Path:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((60, 50), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    for seed in range(3):
        paint(tmp_path / "photos" / f"{seed}.png", seed)
    paint(tmp_path / "styles" / "waves.png", 7)
    return tmp_path


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", pooling="average")


def settings(**values: object) -> Resolved[TransferConfig]:
    named = {key.replace("__", "."): value for key, value in values.items()}
    return resolve(("test", {**SETTINGS, **named}))


def planned(studio: Path, resolved: Resolved[TransferConfig]) -> Plan:
    plan = make_plan([str(studio / "photos")], [str(studio / "styles")], studio / "out", resolved)
    (studio / "out").mkdir(exist_ok=True)
    with Journal.open(studio / "out") as journal:
        journal.sync(plan.jobs)
    return plan


def order(studio: Path, resolved: Resolved[TransferConfig], owner: str = "me") -> WorkOrder:
    return WorkOrder(folder=studio / "out", resolved=resolved, owner=owner, linger=False)


def work(
    studio: Path,
    extractor: Extractor,
    resolved: Resolved[TransferConfig] | None = None,
    stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = lambda _: None,
) -> list[BatchEvent]:
    events: list[BatchEvent] = []
    worker = Worker(
        order(studio, resolved or settings()),
        events.append,
        stop,
        load=lambda _: extractor,
        sleep=sleep,
    )
    worker.work()
    return events


def records(studio: Path) -> dict[str, JobRecord]:
    with Journal.open(studio / "out") as journal:
        return {record.key: record for record in journal.records()}


def kinds(events: list[BatchEvent], key: str) -> list[str]:
    return [event.kind for event in events if event.key == key and event.kind != "step"]


def test_all_pictures_are_made_and_noted(studio: Path, extractor: Extractor) -> None:
    planned(studio, settings())
    events = work(studio, extractor)
    found = records(studio)
    assert set(found) == {f"{n}+waves.png" for n in range(3)}
    for key, record in found.items():
        assert record.state == "done"
        assert record.size == read_picture(studio / "out" / key).size
        assert record.losses.keys() >= {"content", "style", "total"}
        assert record.trace
        assert kinds(events, key) == ["started", "done"]


def test_a_picture_of_a_batch_is_that_of_a_single_transfer(
    studio: Path, extractor: Extractor
) -> None:
    resolved = settings()
    planned(studio, resolved)
    work(studio, extractor)
    for number in range(3):
        single = TransferJob(
            content=studio / "photos" / f"{number}.png",
            styles=(StyleChoice(path=studio / "styles" / "waves.png"),),
            output=studio / "single.png",
            resolved=resolved,
            overwrite=True,
        )
        run(prepare(single))
        alone = read_picture(studio / "single.png").pixels
        assert torch.equal(read_picture(studio / "out" / f"{number}+waves.png").pixels, alone)


def test_one_bad_picture_does_not_stop_the_others(studio: Path, extractor: Extractor) -> None:
    (studio / "photos" / "1.png").write_text("this is a text")
    (studio / "photos" / "empty.jpg").touch()
    planned(studio, settings())
    events = work(studio, extractor)
    found = records(studio)
    assert {key for key, r in found.items() if r.state == "failed"} == {
        "1+waves.png",
        "empty+waves.png",
    }
    assert "not a readable picture" in (found["1+waves.png"].error or "")
    assert "empty" in (found["empty+waves.png"].error or "")
    assert sum(r.state == "done" for r in found.values()) == 2
    assert kinds(events, "1+waves.png") == ["started", "failed"]


def test_a_bug_in_one_job_is_told_and_the_others_go_on(
    studio: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(studio, settings())
    plain = module.prepare

    def broken(job: TransferJob, *rest: object, **named: object) -> object:
        if job.content.stem == "0":
            raise ZeroDivisionError("by nothing")
        return plain(job, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "prepare", broken)
    work(studio, extractor)
    found = records(studio)
    assert found["0+waves.png"].error == "this is a bug: ZeroDivisionError: by nothing"
    assert found["2+waves.png"].state == "done"


def test_stopping_gives_back_what_is_under_way(studio: Path, extractor: Extractor) -> None:
    planned(studio, settings())
    seen: list[BatchEvent] = []
    worker = Worker(
        order(studio, settings()),
        seen.append,
        lambda: any(event.kind == "done" for event in seen),
        load=lambda _: extractor,
    )
    worker.work()
    states = [record.state for record in records(studio).values()]
    assert states.count("done") >= 1
    assert "running" not in states
    assert "waiting" in states
    assert all(record.attempts <= 1 for record in records(studio).values())
    work(studio, extractor)
    assert {record.state for record in records(studio).values()} == {"done"}
    assert {record.attempts for record in records(studio).values()} == {1}


def full_disk(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempts to write fail as on a full disk."""
    plain = module.finish
    left = [times]

    def finish(*arguments: object) -> object:
        if left[0]:
            left[0] -= 1
            raise OutputError("cannot write: no space") from OSError(errno.ENOSPC, "no space")
        return plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "finish", finish)


def test_a_full_disk_is_waited_for_and_nothing_is_made_twice(
    studio: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(studio, settings())
    full_disk(3, monkeypatch)
    slept: list[float] = []
    events = work(studio, extractor, sleep=slept.append)
    assert slept == list(PATIENCE[:3])
    assert {record.state for record in records(studio).values()} == {"done"}
    first = next(event.key for event in events if event.kind == "paused")
    assert kinds(events, first).count("started") == 1
    assert [event.kind for event in events].count("paused") == 3


def test_a_disk_that_stays_full_ends_the_work_with_a_reason(
    studio: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(studio, settings())
    full_disk(10_000, monkeypatch)
    with pytest.raises(OutputError, match="no space"):
        work(studio, extractor)
    states = [record.state for record in records(studio).values()]
    assert states == ["waiting"] * 3


def test_settings_of_one_job_alone(studio: Path, extractor: Extractor) -> None:
    manifest = studio / "jobs.jsonl"
    manifest.write_text(
        '{"content": "photos/0.png", "style": "styles/waves.png"}\n'
        '{"content": "photos/1.png", "style": "styles/waves.png", "schedule.size": 32}\n'
    )
    resolved = settings()
    plan = make_plan([str(manifest)], [], studio / "out", resolved)
    (studio / "out").mkdir()
    with Journal.open(studio / "out") as journal:
        journal.sync(plan.jobs)
    work(studio, extractor)
    sizes = {r.key: max(r.size or (0, 0)) for r in records(studio).values()}
    assert sorted(sizes.values()) == [32, 48]


def test_a_worker_that_lost_its_lease_does_not_claim_the_picture(
    studio: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "_heartbeat", lambda _: contextlib.nullcontext())
    planned(studio, settings())
    hasty = dataclasses.replace(order(studio, settings()), lease=1e-9)
    events: list[BatchEvent] = []
    thief = iter(range(1))

    def emit(event: BatchEvent) -> None:
        events.append(event)
        if event.kind == "started" and next(thief, None) is not None:
            with Journal.open(studio / "out") as journal:
                journal.claim("thief", lease_seconds=3600, count=10)

    Worker(hasty, emit, lambda: False, load=lambda _: extractor).work()
    notes = [event.message for event in events if event.kind == "note"]
    assert notes
    assert all("another worker" in note for note in notes)
    assert {r.owner for r in records(studio).values()} >= {"thief"}


def test_what_the_journal_keeps_of_an_error_is_one_line() -> None:
    assert explained(ImageError("no such file: x", "did you mean y?")) == (
        "no such file: x (did you mean y?)"
    )
