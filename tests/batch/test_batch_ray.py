"""Batches on Ray: same pixels, killed workers, ends that are asked for, what is refused."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from styler.batch import ray_crew, ray_engine, ray_painter
from styler.batch.events import BatchEvent
from styler.batch.job import JobRecord
from styler.batch.journal import Journal
from styler.batch.plan import make_plan
from styler.batch.ray_engine import run_on_ray
from styler.batch.ray_painter import Hello, Painter
from styler.batch.ray_places import choose_place, places
from styler.batch.work import WorkOrder
from styler.config import Resolved, TransferConfig, resolve
from styler.errors import DeviceError, OutputError, StylerError, UsageError
from styler.images import read_picture
from styler.jobs import TransferJob, prepare, run
from styler.styles.choice import StyleChoice

slow = pytest.mark.slow
MANY = 100_000
"""Steps that no test waits for."""
SETTINGS = {
    "backbone.name": "vgg-lite",
    "schedule.size": 40,
    "schedule.steps": [3],
    "runtime.precision": "fp32",
    "runtime.device": "cpu",
}


def paint(path: Path, seed: int) -> Path:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((48, 40), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    for seed in range(4):
        paint(tmp_path / "photos" / f"{seed}.png", seed)
    paint(tmp_path / "styles" / "waves.png", 7)
    return tmp_path


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A Ray of two processors, which this process is connected to."""
    module = pytest.importorskip("ray", reason="ray is not installed")
    module.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="CRITICAL",
        object_store_memory=100 * 2**20,
    )
    yield module
    module.shutdown()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So that each worker takes one of the two processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(**values: object) -> Resolved[TransferConfig]:
    named = {key.replace("__", "."): value for key, value in values.items()}
    return resolve(("test", {**SETTINGS, **named}))


def planned(studio: Path, resolved: Resolved[TransferConfig], *contents: str) -> WorkOrder:
    plan = make_plan(
        [str(studio / name) for name in contents or ("photos",)],
        [] if contents else [str(studio / "styles")],
        studio / "out",
        resolved,
    )
    (studio / "out").mkdir(exist_ok=True)
    with Journal.open(studio / "out") as journal:
        journal.sync(plan.jobs)
    return WorkOrder(folder=studio / "out", resolved=resolved, owner="driver", linger=False)


def with_endless(studio: Path, *endless: int) -> WorkOrder:
    """A plan in which some contents' pictures never end."""
    jobs = [
        {"content": f"photos/{number}.png", "style": "styles/waves.png"}
        | ({"schedule.steps": [MANY]} if number in endless else {})
        for number in range(4)
    ]
    (studio / "jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    return planned(studio, settings(), "jobs.jsonl")


def records(studio: Path) -> dict[str, JobRecord]:
    with Journal.open(studio / "out") as journal:
        return {record.key: record for record in journal.records()}


def states(studio: Path) -> list[str]:
    return [record.state for record in records(studio).values()]


def kinds(events: list[BatchEvent], key: str) -> list[str]:
    return [event.kind for event in events if event.key == key and event.kind != "step"]


def single(studio: Path, number: int) -> torch.Tensor:
    """The picture of a plain transfer."""
    job = TransferJob(
        content=studio / "photos" / f"{number}.png",
        styles=(StyleChoice(path=studio / "styles" / "waves.png"),),
        output=studio / "single.png",
        resolved=settings(),
        overwrite=True,
    )
    run(prepare(job))
    return read_picture(job.output).pixels


def kill(owner: str) -> None:
    """End the process of a worker by its name."""
    os.kill(int(owner.rpartition("-")[2]), signal.SIGKILL)


def never() -> bool:
    return False


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)
    return holds()


def is_there(group: int) -> bool:
    """Whether a process group has any processes."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@slow
def test_pictures_are_those_of_single_transfers(ray: Any, studio: Path) -> None:
    order = planned(studio, settings())
    events: list[BatchEvent] = []
    run_on_ray(order, None, events.append, never)
    found = records(studio)
    assert set(found) == {f"{n}+waves.png" for n in range(4)}
    for number in range(4):
        key = f"{number}+waves.png"
        assert torch.equal(read_picture(studio / "out" / key).pixels, single(studio, number))
        assert found[key].state == "done"
        assert found[key].size == (33, 40)
        assert found[key].losses.keys() >= {"content", "style", "total"}
        assert found[key].trace
        assert kinds(events, key) == ["started", "done"]
    assert ray.is_initialized(), "a connection that was there before is left alone"


@slow
def test_one_bad_picture_fails_and_the_others_are_made(ray: Any, studio: Path) -> None:
    (studio / "photos" / "1.png").write_text("this is a text")
    order = planned(studio, settings())
    events: list[BatchEvent] = []
    run_on_ray(order, None, events.append, never)
    found = records(studio)
    assert "not a readable picture" in (found["1+waves.png"].error or "")
    assert kinds(events, "1+waves.png") == ["started", "failed"]
    assert sorted(states(studio)) == ["done", "done", "done", "failed"]


@slow
def test_the_job_of_a_killed_worker_is_done_by_another(ray: Any, studio: Path) -> None:
    order = planned(studio, settings(schedule__steps=[300]))
    events: list[BatchEvent] = []
    victims: list[BatchEvent] = []

    def emit(event: BatchEvent) -> None:
        events.append(event)
        if event.kind == "step" and not victims:
            victims.append(event)
            kill(event.owner)

    run_on_ray(order, None, emit, never)
    (victim,) = victims
    assert 0 < victim.share < 1
    assert states(studio) == ["done"] * 4
    assert kinds(events, victim.key) == ["started", "released", "started", "done"]
    done = next(e for e in events if e.kind == "done" and e.key == victim.key)
    assert done.owner != victim.owner
    assert any(e.kind == "note" and f"{victim.owner} died" in e.message for e in events)


@slow
def test_a_job_that_kills_its_workers_fails_and_takes_no_other_with_it(
    ray: Any, studio: Path
) -> None:
    order = with_endless(studio, 2)
    events: list[BatchEvent] = []

    def emit(event: BatchEvent) -> None:
        events.append(event)
        if event.kind == "step" and event.key == "photos/2+waves.png":
            kill(event.owner)

    run_on_ray(order, None, emit, never)
    found = records(studio)
    evil = found.pop("photos/2+waves.png")
    assert evil.state == "failed"
    assert f"{ray_crew.DEATHS} workers died of it" in (evil.error or "")
    assert {record.state for record in found.values()} == {"done"}
    started = [event.owner for event in events if event.kind == "started" and event.key == evil.key]
    assert len(set(started)) == ray_crew.DEATHS


@slow
def test_stopping_ends_the_steps_under_way_and_gives_back(ray: Any, studio: Path) -> None:
    order = with_endless(studio, 1, 2, 3)
    events: list[BatchEvent] = []
    run_on_ray(order, None, events.append, lambda: any(e.kind == "step" for e in events))
    assert set(states(studio)) <= {"waiting", "done"}
    assert states(studio).count("waiting") >= 3
    stepped = next(event.key for event in events if event.kind == "step")
    assert kinds(events, stepped) == ["started", "released"]
    assert within(30, lambda: ray.available_resources().get("CPU") == 2), "no worker is left"


@slow
def test_a_lost_lease_is_not_claimed_to_be_done(ray: Any, studio: Path) -> None:
    order = planned(studio, settings())
    events: list[BatchEvent] = []

    def emit(event: BatchEvent) -> None:
        events.append(event)
        if event.kind == "started" and event.key == "0+waves.png":
            with Journal.open(studio / "out") as journal:
                journal.release(order.owner, [event.key])
                journal.claim("thief", lease_seconds=3600)

    run_on_ray(order, None, emit, never)
    assert records(studio)["0+waves.png"].owner == "thief"
    assert kinds(events, "0+waves.png") == ["started", "note"]


@slow
@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"version": "0.0.0"}, StylerError, "styler is 0.0.0 on there and .* here"),
        ({"sees_folder": False}, OutputError, "out is not there on there"),
    ],
)
def test_a_machine_that_cannot_work_is_refused(
    ray: Any,
    studio: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
    error: type[StylerError],
    message: str,
) -> None:
    class Other(Painter):
        def hello(self) -> Hello:
            same = {"version": ray_crew.__version__, "sees_folder": True}
            return Hello(**{"host": "there", "process": 1, **same, **changed})

    monkeypatch.setattr(ray_crew, "Painter", Other)
    order = planned(studio, settings())
    with pytest.raises(error, match=message):
        run_on_ray(order, None, lambda _: None, never)
    assert set(states(studio)) == {"waiting"}


@slow
def test_workers_that_cannot_start_end_the_batch_with_the_reason(
    ray: Any, studio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Painter):
        def __init__(self, *_: object) -> None:
            raise ModuleNotFoundError("No module named 'imagecodecs'")

    monkeypatch.setattr(ray_crew, "Painter", Broken)
    order = planned(studio, settings())
    with pytest.raises(StylerError, match="No module named 'imagecodecs'") as caught:
        run_on_ray(order, None, lambda _: None, never)
    assert "\n" not in caught.value.message
    assert set(states(studio)) == {"waiting"}


@slow
def test_workers_that_die_at_once_are_not_hired_for_ever(
    ray: Any, studio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stillborn(Painter):
        def hello(self) -> Hello:
            os._exit(3)

    monkeypatch.setattr(ray_crew, "Painter", Stillborn)
    order = planned(studio, settings())
    with pytest.raises(StylerError, match="workers cannot be started") as caught:
        run_on_ray(order, None, lambda _: None, never)
    assert "\n" not in caught.value.message


def command(studio: Path, *more: str) -> subprocess.Popen[str]:
    """`styler batch` in a process group of its own, as a shell starts it."""
    arguments = ["photos", "styles", "-o", "out", "--engine", "ray", "--backbone", "vgg-lite"]
    return subprocess.Popen(
        [sys.executable, "-m", "styler", "batch", *arguments, "--size", "40", *more],
        cwd=studio,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert any(word in line for line in process.stdout), "it has ended"


@slow
def test_the_command_joins_a_cluster_and_leaves_it_running(ray: Any, studio: Path) -> None:
    address = ray.get_runtime_context().gcs_address
    process = command(studio, "--steps", "2", "--address", address)
    told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert states(studio) == ["done"] * 4
    assert not re.search(r"\bray\b|raylet|WARNING|INFO|pid=", told[1]), told[1]
    assert ray.get(ray.remote(lambda: 5).remote()) == 5


@slow
def test_ctrl_c_gives_back_and_ends_the_ray_that_the_command_began(studio: Path) -> None:
    module = pytest.importorskip("ray", reason="ray is not installed")
    module.shutdown()  # else the command would join it
    process = command(studio, "--steps", str(MANY), "--json")
    wait_for(process, '"started"')
    group = os.getpgid(process.pid)
    os.killpg(group, signal.SIGINT)
    told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert states(studio) == ["waiting"] * 4
    assert "Traceback" not in told[1]
    assert within(20, lambda: not is_there(group)), "nothing of it is left"


@slow
def test_a_machine_that_is_lost_is_done_without(studio: Path) -> None:
    module = pytest.importorskip("ray.cluster_utils", reason="ray is not installed")
    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = module.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    try:
        lost = cluster.add_node(num_cpus=1, **small)
        process = command(studio, "--steps", "400", "--json", "--address", cluster.address)
        wait_for(process, '"started"')
        cluster.add_node(num_cpus=1, **small)
        cluster.remove_node(lost, allow_graceful=False)
        told = process.communicate(timeout=200)
    finally:
        cluster.shutdown()
    assert process.returncode == 0, told
    assert states(studio) == ["done"] * 4
    happened = [json.loads(line) for line in told[0].splitlines()]
    assert any("died" in event.get("message", "") for event in happened)
    assert not re.search("ray", told[1]), told[1]


def test_without_ray_a_hint_says_how_to_install_it(
    studio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="needs Ray") as caught:
        run_on_ray(planned(studio, settings()), None, lambda _: None, never)
    assert "pip install 'styler[ray]'" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("127.0.0.1:9", StylerError, "no Ray cluster answers at 127.0.0.1:9"),
        ("ray://127.0.0.1:9", StylerError, "no Ray cluster answers at ray://127.0.0.1:9"),
        ("somewhere", UsageError, "the address 'somewhere' is not host:port"),
        ("10.0.0.5:70000", UsageError, "is not host:port"),
    ],
)
def test_an_address_that_does_not_answer(
    studio: Path, address: str, error: type[StylerError], message: str
) -> None:
    module = pytest.importorskip("ray", reason="ray is not installed")
    module.shutdown()
    order = planned(studio, settings())
    begun = time.monotonic()
    with pytest.raises(error, match=re.escape(message)):
        run_on_ray(order, address, lambda _: None, never)
    assert time.monotonic() - begun < 2 * ray_engine.REACH


def test_other_versions_on_the_cluster_are_named_in_one_line() -> None:
    text = (
        "Version mismatch: The cluster was started with:\n    Ray: 2.40.0\n    Python: 3.12.1\n"
        "This process on 10.0.0.5 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )
    refused = ray_engine._refused("10.0.0.5:6379", RuntimeError(text))
    assert refused.message == (
        "the Ray cluster at 10.0.0.5:6379 has Ray 2.40.0 and Python 3.12.1, "
        "here are Ray 2.60.0 and Python 3.11.7"
    )


def node(alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {"memory": 1e9, **resources}}


def test_workers_take_gpus_where_there_are_any() -> None:
    nodes = [node(CPU=16), node(CPU=4, GPU=8), node(alive=False, CPU=4, GPU=8)]
    for device in ("auto", "cuda", "cuda:3"):
        place = choose_place(device, nodes, threads=4)
        assert (place.needs, place.device, place.threads) == ({"GPU": 1}, "cuda", 4)
        assert places(nodes, place.needs) == 8
    assert places(nodes, choose_place("cpu", nodes, threads=4).needs) == 5


def test_gpus_that_are_not_there_are_refused() -> None:
    with pytest.raises(DeviceError, match="no machine of the Ray cluster has a GPU"):
        choose_place("cuda", [node(CPU=16), node(alive=False, GPU=1)], threads=4)


def test_small_machines_are_given_as_many_threads_as_the_driver_has() -> None:
    nodes = [node(CPU=2), node(CPU=4), node()]
    place = choose_place("auto", nodes, threads=16)
    assert (place.needs, place.device, place.threads) == ({"CPU": 4}, "cpu", 16)
    assert places(nodes, place.needs) == 1


def test_what_is_sent_to_other_machines_holds_in_any_directory(studio: Path) -> None:
    relative = settings(init__kind="image", init__image="start.png", backbone__weights="w.pth")
    order = WorkOrder(folder=Path("out"), resolved=relative, owner="driver")
    sent = choose_place("auto", [node(CPU=4)], threads=4).order_there(order)
    config = sent.resolved.config
    assert config.runtime.device == "cpu"
    assert sent.folder == Path.cwd() / "out"
    assert config.init.image == str(Path.cwd() / "start.png")
    assert config.backbone.weights == str(Path.cwd() / "w.pth")
    plain = WorkOrder(folder=Path("out"), resolved=settings(), owner="driver")
    assert choose_place("cpu", [node(CPU=4)], 4).order_there(plain).resolved == plain.resolved


def test_a_cluster_that_is_still_empty_is_asked_for_room() -> None:
    assert choose_place("cpu", [node()], threads=4).needs == {"CPU": 4}


def claimed(order: WorkOrder) -> JobRecord:
    with Journal.open(order.folder) as journal:
        (record,) = journal.claim("driver", lease_seconds=60)
    return record


def full_disk(monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> None:
    """Writing fails as on a full disk; `then` is called each time."""

    def finish(*_: object) -> None:
        then()
        raise OutputError("cannot write: no space") from OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(ray_painter, "finish", finish)


def test_a_painter_that_is_halted_while_the_disk_is_full_gives_the_job_back(
    studio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = planned(studio, settings())
    painter = Painter(order, 1)
    full_disk(monkeypatch, painter.halt)
    assert painter.paint(claimed(order)).stopped
    assert not list((studio / "out").glob("*.png"))


def test_a_disk_that_stays_full_is_told_apart_from_a_bad_picture(
    studio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = planned(studio, settings())
    painter = Painter(order, 1)
    monkeypatch.setattr("styler.batch.making.PATIENCE", (0.01, 0.01))
    full_disk(monkeypatch, lambda: None)
    painted = painter.paint(claimed(order))
    assert painted.disk
    assert "no space" in painted.error
    told = [event.kind for event in painter.news() if event.kind != "step"]
    assert told == ["paused", "resumed"] * 2
    assert painter.news() == []


def test_a_painter_that_was_halted_begins_nothing(studio: Path) -> None:
    order = planned(studio, settings())
    painter = Painter(order, 1)
    painter.halt()
    assert painter.paint(claimed(order)).stopped
    assert not list((studio / "out").glob("*.png"))


def test_a_painter_says_whether_it_sees_the_folder(studio: Path, tmp_path: Path) -> None:
    order = planned(studio, settings())
    assert Painter(order, 1).hello().sees_folder
    elsewhere = WorkOrder(folder=tmp_path / "elsewhere", resolved=settings(), owner="driver")
    assert not Painter(elsewhere, 1).hello().sees_folder
