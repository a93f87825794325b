"""`styler patches` as a person uses it, and as it is misused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_desk import Desk, Ran, paint

from styler.patches.record import read_index

QUICK = ("--layers", "relu1_1,relu2_1", "--units", "0-3", "-k", "3", "--size", "32")
PLAIN = (*QUICK, "--precision", "fp32")
SLOWLY = (
    "import sys, time\n"
    "import styler.patches.clock as clock, styler.patches.scan as scan\n"
    "clock.SAVE_EVERY, clock._SHARE = 0.0, 0\n"
    "look = scan.look_through\n"
    "def slow(*given):\n"
    "    time.sleep(0.2)\n"
    "    return look(*given)\n"
    "scan.look_through = slow\n"
    "from styler.cli.main import main\n"
    "sys.argv = ['styler', *sys.argv[1:]]\n"
    "main()\n"
)
"""Saves after each photograph, and takes its time for each."""


@pytest.fixture
def photos(desk: Desk) -> Path:
    folder = desk.folder / "photos"
    folder.mkdir()
    for seed in range(6):
        paint(folder / f"{seed}.png", seed, (50 + 4 * seed, 44))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_photographs_become_sheets_patches_and_an_index(desk: Desk, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    ran = desk("patches", "photos", *PLAIN)
    assert ran.code == 0, ran.err
    out = desk.folder / "patches-vgg-lite"
    assert ran.out.split() == [
        "patches-vgg-lite/grid_relu1_1.png",
        "patches-vgg-lite/grid_relu2_1.png",
    ]
    assert {path.name for path in out.iterdir()} == {
        ".styler",
        "grid_relu1_1.png",
        "grid_relu2_1.png",
        "index.json",
        "patches",
    }
    assert "6 photographs in" in ran.err
    assert "skipped: broken.jpg: not a readable picture" in ran.err
    assert "relu2_1: patches are all that a unit sees" in ran.err
    index = read_index(out)
    assert index is not None
    assert index.folder == "../photos"
    assert [unit.unit for unit in index.layers[1].units] == [0, 1, 2, 3]
    files = [patch.file for unit in index.layers[0].units for patch in unit.patches]
    assert all(file and (out / file).is_file() for file in files)


def test_the_usual_layers_of_a_vgg_network(desk: Desk, photos: Path) -> None:
    ran = desk("patches", "photos", "--units", "0", "--size", "32", "--no-patches", "-o", "out")
    assert ran.code == 0, ran.err
    index = read_index(desk.folder / "out")
    assert index is not None
    layers = ["relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_1"]
    assert [layer.layer for layer in index.layers] == layers
    assert index.layers[-1].field == "effective"  # it sees more than 32 pixels
    assert "relu5_1: patches are effective fields; a unit sees" in ran.err
    assert not (desk.folder / "out" / "patches").exists()


def test_a_second_run_looks_at_new_photographs_alone(desk: Desk, photos: Path) -> None:
    desk("patches", "photos", *PLAIN, "-o", "out")
    before = contents(desk.folder / "out")
    again = desk("patches", "photos", *PLAIN, "-o", "out")
    assert "6 photographs known already, 0 new ones" in again.err
    assert contents(desk.folder / "out") == before
    paint(photos / "3b.png", 77)
    more = desk("patches", "photos", *PLAIN, "-o", "out")
    assert "6 photographs known already, 1 new one" in more.err
    assert "1 photograph in" in more.err
    desk("patches", "photos", *PLAIN, "-o", "whole")
    assert contents(desk.folder / "out") == contents(desk.folder / "whole")
    (photos / "0.png").unlink()
    anew = desk("patches", "photos", *PLAIN, "-o", "out")
    assert "0.png is gone: all photographs are looked at anew" in anew.err
    assert anew.code == 0


def test_other_settings_are_refused_or_replace_all(desk: Desk, photos: Path) -> None:
    desk("patches", "photos", *PLAIN, "-o", "out")
    refused = desk("patches", "photos", *PLAIN, "-k", "2", "-o", "out", "-q")
    assert refused.code == 8
    assert "number of patches: 3, now 2" in refused.error
    assert "--overwrite" in refused.hint
    replaced = desk("patches", "photos", *PLAIN, "-k", "2", "-o", "out", "--overwrite")
    assert replaced.code == 0, replaced.err
    assert not (desk.folder / "out/patches/relu1_1/0000/3.png").exists()


def test_a_dry_run_counts_and_writes_nothing(desk: Desk, photos: Path) -> None:
    ran = desk("patches", "photos", *PLAIN, "--dry-run")
    assert ran.code == 0
    assert "relu1_1  4 units, theoretical" in ran.out
    assert "6 photographs to look at, at 32 pixels" in ran.out
    assert "about" in ran.out
    assert not (desk.folder / "patches-vgg-lite").exists()


def test_events_are_json_lines(desk: Desk, photos: Path) -> None:
    (photos / "copy.png").write_bytes((photos / "0.png").read_bytes())
    ran = desk("patches", "photos", *PLAIN, "--json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["event"] for event in events] == ["skipped", "layer", "layer", "done"]
    assert events[0] == {"event": "skipped", "file": "copy.png", "reason": "a copy of 0.png"}
    assert events[-1]["photographs"] == 6
    plan = desk("patches", "photos", *PLAIN, "--json", "--dry-run", "-o", "other")
    assert json.loads(plan.out)["photographs"] == 6


def test_quiet_is_quiet(desk: Desk, photos: Path) -> None:
    ran = desk("patches", "photos", *PLAIN, "-q")
    assert ran.err == ""
    assert len(ran.out.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (["nowhere"], 4, "no such folder", "photos"),
        (["void"], 4, "no photographs in", ".png"),
        (["cat.png"], 4, "is a file", "folder"),
        (["photos", "--layers", "relu1_9"], 3, "unknown layer", "relu1_"),
        (["photos", "-k", "0"], 2, "number of patches of a unit is 0", "1 or more"),
        (["photos", "--per-image", "0"], 2, "is 0", "1 or more"),
        (["photos", "--units", "0-400"], 3, "relu1_1 of vgg-lite has no unit 400", "0 to 31"),
        (["photos", "--units", "5-3"], 3, "names no units", "0-15"),
        (["photos", "--units", "a"], 3, "names no units", "0-15"),
        (["photos", "--field", "ful"], 3, "no field 'ful'", "full"),
        (["photos", "--size", "1"], 4, "too small", "at least"),
        (["photos", "--backbone", "vgg99"], 5, "unknown backbone", "vgg"),
        (["photos", "--precision", "fp8"], 3, "runtime.precision", "fp32"),
        (["photos", "-o", "photos"], 8, "is the folder of the photographs", "-o"),
        (["photos", "-o", "cat.png"], 8, "cat.png is a file", "-o"),
        (["photos", "-o", "mine"], 8, "grid_relu1_1.png already exists", "--overwrite"),
    ],
)
def test_mistakes_get_a_line_a_hint_and_a_code(
    words: list[str], code: int, message: str, hint: str, desk: Desk, photos: Path
) -> None:
    (desk.folder / "void").mkdir()
    (desk.folder / "mine").mkdir()
    paint(desk.folder / "mine" / "grid_relu1_1.png", 1)
    before = desk.files()
    ran = desk("patches", *PLAIN, *words)
    assert ran.code == code, ran.err
    lines = [line for line in ran.err.splitlines() if not line.startswith("backbone ")]
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert hint in lines[-1]
    assert desk.files() == before


def test_networks_of_ones_own(desk: Desk, photos: Path) -> None:
    (desk.folder / "mine.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        torch.manual_seed(0)\n"
        "        self.see = torch.nn.Conv2d(3, 4, 3)\n"
        "    def forward(self, x):\n"
        "        return self.see(x).relu() if x.mean() > -9 else x\n"
        "def net():\n"
        "    return Net()\n"
    )
    words = ("patches", "photos", "--backbone", "mine.py:net", "--size", "32", "-o", "own")
    unnamed = desk(*words)
    assert unnamed.code == 3
    assert "--layers" in unnamed.err
    ran = desk(*words, "--layers", "see,logits", "-k", "2")
    assert ran.code == 0, ran.err
    index = read_index(desk.folder / "own")
    assert index is not None
    assert {layer.field for layer in index.layers} == {"effective"}


def test_ctrl_c_keeps_what_is_known_and_says_how_to_go_on(desk: Desk, photos: Path) -> None:
    running = _start(desk, "patches", "photos", *PLAIN, "-o", "out")
    _wait_for(desk.folder / "out" / ".styler" / "scan.safetensors")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "the same command goes on" in err.decode()
    assert not (desk.folder / "out" / "index.json").exists()
    again = desk("patches", "photos", *PLAIN, "-o", "out")
    assert again.code == 0
    assert "known already" in again.err


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_files(desk: Desk, photos: Path) -> None:
    for seed in range(6, 24):
        paint(photos / f"{seed}.png", seed, (60, 44))
    (photos / "broken.png").write_bytes(b"no picture")
    words = ("patches", "photos", *PLAIN)
    whole: Ran = desk(*words, "-o", "whole")
    assert whole.code == 0, whole.err
    chance = random.Random(8)
    for _ in range(6):
        running = _start(desk, *words, "-o", "killed")
        time.sleep(chance.uniform(2.0, 4.5))
        running.kill()
        running.communicate(timeout=60)
    known = desk("patches", "photos", *PLAIN, "-o", "killed")
    assert known.code == 0, known.err
    assert contents(desk.folder / "killed") == contents(desk.folder / "whole")


def _start(desk: Desk, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *words],
        cwd=desk.folder,
        env={**os.environ, **desk.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
