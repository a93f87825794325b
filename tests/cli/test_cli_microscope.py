"""`styler microscope` as a person uses it, as it is misused, and as it is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cli_desk import Desk, paint

TINY = (
    *("--layers", "relu1_2,relu2_1", "--units", "0-1", "-k", "2"),
    *("--size", "32", "--steps", "2", "--precision", "fp32", "--set", "view.pad=0"),
)


@pytest.fixture
def photographs(desk: Desk) -> Path:
    """A folder of four photographs, one of them broken."""
    folder = desk.folder / "photographs"
    folder.mkdir()
    for number in range(3):
        paint(folder / f"{number}.png", number)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_one_command_makes_a_site(desk: Desk, photographs: Path) -> None:
    ran = desk("microscope", "vgg-lite", "--images", "photographs", *TINY)
    assert ran.code == 0, ran.err
    assert ran.out.strip() == "microscope-vgg-lite/index.html"
    assert {path.name for path in (desk.folder / "microscope-vgg-lite").iterdir()} == {
        "index.html",
        "relu1_2.html",
        "relu2_1.html",
        "units",
        "photographs",
        ".microscope",
    }
    assert "relu2_1: 2 of 64 units" in ran.err
    assert "not looked at: broken.png" in ran.err
    assert "4 units of 2 layers" in ran.err


def test_events(desk: Desk, photographs: Path) -> None:
    ran = desk("microscope", "vgg-lite", "--images", "photographs", *TINY, "--json")
    assert ran.code == 0, ran.err
    events = [json.loads(line) for line in ran.out.splitlines()]
    stages = [event["stage"] for event in events if event["event"] == "progress"]
    assert stages == ["photographs", "pictures", "patches", "thumbnails"]
    done = events[-1]
    assert (done["event"], done["units"], done["photographs"], done["skipped"]) == (
        "done",
        4,
        3,
        1,
    )
    quiet = desk("microscope", "vgg-lite", "--images", "photographs", *TINY, "-q")
    assert (quiet.out, quiet.err) == ("microscope-vgg-lite/index.html\n", "")


def test_a_dry_run_says_what_it_would_take(desk: Desk, photographs: Path) -> None:
    ran = desk("microscope", "vgg-lite", "--images", "photographs", *TINY, "--dry-run")
    assert ran.code == 0, ran.err
    assert "relu1_2  2 units" in ran.out
    assert "4 photographs to look at" in ran.out
    assert "4 synthetic pictures to make" in ran.out
    assert "MB in microscope-vgg-lite" in ran.out
    assert not (desk.folder / "microscope-vgg-lite").exists()
    plan = desk("microscope", "vgg-lite", *TINY, "--dry-run", "--json")
    event = json.loads(plan.out)
    assert (event["pictures"], event["photographs"]) == (4, 0)
    assert event["units"] == {"relu1_2": [0, 1], "relu2_1": [0, 1]}


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("--images", "missing"), 4, "no such folder"),
        (("--images", "empty"), 4, "no photographs"),
        (("--layers", "relu9_9"), 3, "relu9_9"),
        (("--units", "900-910"), 3, "none of the units"),
        (("--units", "many"), 3, "names no units"),
        (("--no-synthetic",), 2, "neither photographs nor synthetic"),
        (("-k", "0", "--images", "photographs"), 2, "0 patches"),
        (("--field", "wide", "--images", "photographs"), 3, "no field 'wide'"),
        (("-o", "photographs"), 8, "holds something else"),
        (("-o", "cat.png"), 8, "is a file"),
        (("--preset", "nothing"), 3, "nothing"),
    ],
)
def test_misuse_is_told_in_a_line(
    desk: Desk, photographs: Path, words: tuple[str, ...], code: int, error: str
) -> None:
    (desk.folder / "empty").mkdir()
    before = files(desk.folder)
    ran = desk("microscope", "vgg-lite", *TINY, *words, "-q")
    assert ran.code == code
    assert error in ran.error
    assert ran.hint
    assert files(desk.folder) == before


@pytest.mark.parametrize("network", ["no-such-network", "vgg-lite,vgg-lite"])
def test_networks_that_cannot_be_shown(desk: Desk, network: str) -> None:
    ran = desk("microscope", network, *TINY, "-q")
    assert ran.code in (3, 5)
    assert ran.hint
    assert desk.files() == {"cat.png", "waves.png"}


def test_ctrl_c_ends_it_and_the_same_command_goes_on(desk: Desk, photographs: Path) -> None:
    words = ("microscope", "vgg-lite", "--images", "photographs", *TINY)
    endless = (*words, "--steps", "100000")
    process = desk.start(*endless)
    while not (desk.folder / "microscope-vgg-lite" / ".microscope" / "site.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"the same command goes on where it was" in err
    assert b"Traceback" not in err
    assert desk(*words, "--overwrite", "-q").code == 0


def ended(process: subprocess.Popen[bytes]) -> int:
    """How a process ended, its pipes read and closed."""
    process.communicate(timeout=120)
    return process.returncode


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_as_an_undisturbed_run(desk: Desk, photographs: Path) -> None:
    words = ("microscope", "vgg-lite", "--images", "photographs", *TINY, "--units", "0-9")
    longer = (*words, "--steps", "12", "-q")
    assert ended(desk.start(*longer, "-o", "once")) == 0
    undisturbed = files(desk.folder / "once")
    state = desk.folder / "killed" / ".microscope" / "site.json"
    for pause in (0.0, 0.05, 0.2, 0.4, 0.8, 1.3):
        process = desk.start(*longer, "-o", "killed")
        began = time.monotonic()
        while not state.exists() and process.poll() is None and time.monotonic() - began < 60:
            time.sleep(0.01)
        time.sleep(pause if pause < 0.1 else pause + 2.0)  # torch takes its time to come
        process.kill()
        ended(process)
    assert ended(desk.start(*longer, "-o", "killed")) == 0
    assert files(desk.folder / "killed") == undisturbed
