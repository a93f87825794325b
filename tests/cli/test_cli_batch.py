"""`styler batch` as a studio uses it: switched off, shared, misused."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from cli_desk import Desk, paint

from styler.batch.journal import Journal
from styler.images import read_picture

TINY = ("--size", "48", "--steps", "3", "--precision", "fp32")


@pytest.fixture
def studio(desk: Desk) -> Desk:
    """Three photographs, one of them in a folder below, and two styles."""
    for name in ("photos/a.png", "photos/b c.JPG", "photos/below/ä.png", "styles/x.png"):
        (desk.folder / name).parent.mkdir(parents=True, exist_ok=True)
        paint(desk.folder / name, len(name))
    paint(desk.folder / "styles" / "y.png", 77)
    return desk


def batch(desk: Desk, *words: object) -> tuple[object, ...]:
    return ("batch", "photos", "styles", "-o", "out", *TINY, *words)


def outputs(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.png")
        if not path.relative_to(folder).as_posix().startswith((".", "contact-sheet"))
    }


ALL = {
    "a+x.png",
    "a+y.png",
    "b c+x.png",
    "b c+y.png",
    "below/ä+x.png",
    "below/ä+y.png",
}


def test_every_content_meets_every_style_and_the_tree_is_mirrored(studio: Desk) -> None:
    ran = studio(*batch(studio))
    assert ran.code == 0, ran.err
    assert outputs(studio.folder / "out") == ALL
    assert "6 of 6 done, 0 failed" in ran.err
    assert ran.out.strip() == "out/index.html"
    assert "b c+x.png" in (studio.folder / "out" / "index.html").read_text(encoding="utf-8")


def test_the_same_command_again_makes_nothing_and_changes_are_made_anew(studio: Desk) -> None:
    studio(*batch(studio))
    before = {p: p.stat().st_mtime_ns for p in (studio.folder / "out").rglob("*+*.png")}
    again = studio(*batch(studio))
    assert again.code == 0
    assert "6 pictures done before" in again.err
    assert {p: p.stat().st_mtime_ns for p in before} == before
    paint(studio.folder / "photos" / "a.png", 123)
    changed = studio(*batch(studio))
    assert "2 pictures in" in changed.err
    stronger = studio(*batch(studio, "--strength", "0.9"))
    assert "6 pictures in" in stronger.err


def test_a_job_equals_the_single_command(studio: Desk) -> None:
    studio(*batch(studio))
    studio("transfer", "photos/a.png", "styles/x.png", *TINY, "-o", "single.png")
    single = read_picture(studio.folder / "single.png").pixels
    assert torch.equal(read_picture(studio.folder / "out" / "a+x.png").pixels, single)


def test_one_bad_file_is_told_and_the_exit_code_is_9(studio: Desk) -> None:
    (studio.folder / "photos" / "text.jpg").write_text("no picture")
    (studio.folder / "photos" / "void.png").touch()
    ran = studio(*batch(studio))
    assert ran.code == 9
    assert "6 of 10 done, 4 failed" in ran.err
    assert "failed: text+x.png: not a readable picture" in ran.err
    again = studio(*batch(studio))
    assert again.code == 9
    assert "0 pictures" in again.err
    (studio.folder / "photos" / "void.png").unlink()
    paint(studio.folder / "photos" / "text.jpg", 5)
    assert studio(*batch(studio)).code == 0


def test_a_folder_as_found_on_a_real_disk(studio: Desk) -> None:
    photos = studio.folder / "photos"
    (photos / "éte 2024").mkdir()
    paint(photos / "éte 2024" / "a.png", 5)  # the same name as above
    paint(photos / "éte 2024" / "日本 .JPEG", 6)
    (photos / "éte 2024" / "back").symlink_to(photos, target_is_directory=True)
    (photos / "empty.png").touch()
    (photos / "text.jpg").write_text("not a picture")
    (photos / "notes.txt").write_text("not meant to be one")
    ran = studio(*batch(studio, "--json"))
    assert ran.code == 9, ran.err
    assert outputs(studio.folder / "out") == ALL | {
        f"éte 2024/{name}+{style}.png" for name in ("a", "日本 ") for style in "xy"
    }
    events = [json.loads(line) for line in ran.out.splitlines() if line.startswith("{")]
    failed = {e["key"]: e["message"] for e in events if e["event"] == "failed"}
    assert set(failed) == {f"{name}+{s}.png" for name in ("empty", "text") for s in "xy"}
    assert all("the file is empty" in m or "a text file" in m for m in failed.values()), failed
    assert events[-1]["event"] == "summary"
    assert (events[-1]["done"], events[-1]["failed"]) == (10, 4)


def test_failures_are_tried_again_when_asked(studio: Desk) -> None:
    (studio.folder / "photos" / "text.jpg").write_text("no picture")
    studio(*batch(studio))
    quiet = studio(*batch(studio, "--json"))
    assert "failed" not in {json.loads(line)["event"] for line in quiet.out.splitlines()}
    retried = studio(*batch(studio, "--json", "--retry-failed"))
    events = [json.loads(line) for line in retried.out.splitlines()]
    assert [e["key"] for e in events if e["event"] == "failed"] == ["text+x.png", "text+y.png"]


def test_zip_limit_and_shards(studio: Desk) -> None:
    paint(studio.folder / "styles" / "z.png", 78)
    assert studio(*batch(studio, "--zip", "--limit", "2")).code == 0
    assert outputs(studio.folder / "out") == {"a+x.png", "b c+y.png"}
    for shard in ("1/2", "2/2"):
        studio("batch", "photos", "styles", "-o", shard[0], *TINY, "--shard", shard)
    first, second = outputs(studio.folder / "1"), outputs(studio.folder / "2")
    assert not first & second
    assert len(first | second) == 9


def test_a_manifest_with_its_own_settings(studio: Desk) -> None:
    (studio.folder / "jobs.csv").write_text(
        "content,style,schedule.size\nphotos/a.png,styles/x.png,40\nphotos/a.png,styles/y.png,\n"
    )
    ran = studio("batch", "jobs.csv", "-o", "out", *TINY)
    assert ran.code == 0, ran.err
    with Journal.open(studio.folder / "out") as journal:
        sizes = sorted(max(record.size or (0, 0)) for record in journal.records())
    assert sizes == [40, 48]


def test_several_workers_make_the_same_pictures(studio: Desk) -> None:
    ran = studio(*batch(studio, "--workers", "2"))
    assert ran.code == 0, ran.err
    assert outputs(studio.folder / "out") == ALL
    with Journal.open(studio.folder / "out") as journal:
        assert {record.attempts for record in journal.records()} == {1}


def test_a_dry_run_shows_the_plan_and_writes_nothing(studio: Desk) -> None:
    ran = studio(*batch(studio, "--dry-run"))
    assert ran.code == 0
    assert all(name in ran.out for name in ALL)
    assert "6 pictures of 6 in the plan" in ran.out
    assert "about" in ran.out
    assert not (studio.folder / "out").exists()


def test_files_that_no_batch_has_made_are_not_replaced(studio: Desk) -> None:
    (studio.folder / "out").mkdir()
    paint(studio.folder / "out" / "a+x.png", 1)
    ran = studio(*batch(studio, "-q"))
    assert ran.code == 8
    assert "a+x.png" in ran.error
    assert "--overwrite" in ran.hint
    assert studio(*batch(studio, "--overwrite")).code == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["batch", "fotos", "styles", "-o", "out"], 4, "fotos"),
        (["batch", "photos", "-o", "out"], 2, "style"),
        (["batch", "photos", "styles"], 2, "output"),
        (["batch", "photos", "styles", "-o", "out", "--shard", "3/2"], 2, "shard"),
        (["batch", "photos", "styles", "-o", "out", "--zip"], 2, "3"),
        (["batch", "photos", "styles", "-o", "out", "--engine", "slurm"], 2, "slurm"),
        (["batch", "photos", "styles", "-o", "out", "--workers", "0"], 2, "0 workers"),
        (["batch", "photos", "styles", "-o", "out", "--strength", "2"], 3, "strength"),
        (["batch", "photos", "styles", "-o", "cat.png"], 8, "cat.png"),
        (["batch", "photos", "styles", "-o", "out", "--extension", ".gif"], 8, ".gif"),
    ],
)
def test_mistakes(words: list[str], code: int, message: str, studio: Desk) -> None:
    ran = studio(*words)
    assert ran.code == code, ran.err
    assert message in ran.error
    assert ran.hint


def running(desk: Desk, *words: object) -> subprocess.Popen[bytes]:
    return desk.start(*batch(desk, *words))


def check_folder(desk: Desk, folder: Path) -> None:
    """The journal agrees with the folder: what is done opens, what lies there was begun."""
    with Journal.open(folder) as journal:
        records = {record.key: record for record in journal.records()}
    for key, record in records.items():
        if record.state == "done":
            assert read_picture(folder / key).size == record.size
    assert {key for key in outputs(folder) if not key.startswith(".")} <= set(records)


@pytest.mark.slow
def test_killed_at_random_moments_no_job_is_lost_or_done_twice(studio: Desk) -> None:
    chance = random.Random(11)
    folder = studio.folder / "out"
    steps = ("--steps", "60", "--no-gallery")
    done: dict[str, int] = {}
    for _ in range(20):
        process = running(studio, *steps)
        time.sleep(chance.uniform(1.0, 5.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if not (folder / "a+x.png").parent.exists():
            continue
        check_folder(studio, folder)
        for key, moment in done.items():
            assert (folder / key).stat().st_mtime_ns == moment
        with Journal.open(folder) as journal:
            finished = [r.key for r in journal.records() if r.state == "done"]
        done = {key: (folder / key).stat().st_mtime_ns for key in finished}
    last = studio(*batch(studio, *steps))
    assert last.code == 0, last.err
    assert outputs(folder) == ALL
    for key, moment in done.items():
        assert (folder / key).stat().st_mtime_ns == moment
    assert not list(folder.rglob("*.tmp"))
    check_folder(studio, folder)


@pytest.mark.slow
def test_two_commands_share_the_work(studio: Desk) -> None:
    processes = [running(studio, "--steps", "30", "--no-gallery", "--json") for _ in range(2)]
    said = [process.communicate(timeout=120)[0].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    events = [json.loads(line) for text in said for line in text.splitlines()]
    done = [event["key"] for event in events if event["event"] == "done"]
    assert sorted(done) == sorted(ALL)
    with Journal.open(studio.folder / "out") as journal:
        assert all(record.attempts == 1 for record in journal.records())


@pytest.mark.slow
def test_ctrl_c_gives_back_what_is_under_way(studio: Desk) -> None:
    process = running(studio, "--steps", "2000")
    folder = studio.folder / "out"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if (folder / ".styler-batch.sqlite").exists() or list(folder.glob(".*sqlite*")):
            with Journal.open(folder) as journal:
                if journal.counts().running:
                    break
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    with Journal.open(folder) as journal:
        counts = journal.counts()
    assert counts.running == 0
    assert counts.waiting == 6


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(studio: Desk) -> None:
    import psutil

    process = running(studio, "--steps", "150", "--workers", "2", "--no-gallery")
    parent = psutil.Process(process.pid)
    folder = studio.folder / "out"
    deadline = time.monotonic() + 60
    victim = None
    while victim is None and time.monotonic() < deadline:
        time.sleep(0.1)
        if not list(folder.glob(".*sqlite*")):
            continue
        with Journal.open(folder) as journal:
            owners = [r.owner or "" for r in journal.records("running")]
        pids = {child.pid for child in parent.children(recursive=True)}
        victim = next((pid for pid in pids for owner in owners if f"-{pid}-" in owner), None)
    assert victim is not None
    psutil.Process(victim).kill()
    _, said = process.communicate(timeout=180)
    assert process.returncode == 0, said.decode()
    assert "died (SIGKILL)" in said.decode()
    assert outputs(folder) == ALL
