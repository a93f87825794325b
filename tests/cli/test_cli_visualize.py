"""`styler visualize` as a person uses it, and as it is misused."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pytest
import torch
from cli_desk import Desk, paint
from PIL import Image

from styler.images import read_picture, read_recipe
from styler.report.provenance import decode

QUICK = ("--size", "40", "--steps", "2", "--precision", "fp32", "--set", "view.pad=0")


def test_units_become_pictures_a_grid_and_an_index(desk: Desk) -> None:
    ran = desk("visualize", "relu2_1:3", "relu1_1:0-1", *QUICK)
    assert ran.code == 0
    folder = desk.folder / "visualize-vgg-lite"
    assert {path.name for path in folder.iterdir()} == {
        "relu2_1_0003.png",
        "relu1_1_0000.png",
        "relu1_1_0001.png",
        "grid.png",
        "index.json",
    }
    assert ran.out.strip() == "visualize-vgg-lite/grid.png"
    assert read_picture(folder / "relu2_1_0003.png").size == (40, 40)
    index = json.loads((folder / "index.json").read_text())
    assert [entry["unit"] for entry in index["units"]] == ["relu2_1:3", "relu1_1:0", "relu1_1:1"]
    assert index["units"][0]["quality"]["channels"] == 64
    assert "3 units" in ran.err
    assert "rank" in ran.err


def test_one_unit_into_one_file(desk: Desk) -> None:
    ran = desk("visualize", "relu2_1:3", *QUICK, "-o", "one.png")
    assert ran.code == 0
    assert ran.out.strip() == "one.png"
    assert desk.files() == {"cat.png", "waves.png", "one.png"}


def test_a_picture_remembers_its_unit_and_is_made_again(desk: Desk) -> None:
    desk("visualize", "relu2_1:3", *QUICK, "-o", "one.png", "--seed", "7")
    text = read_recipe(desk.folder / "one.png")
    assert text is not None
    recipe = decode(text, Path("one.png"))
    assert (recipe.kind, recipe.subject) == ("visualize", "relu2_1:3")
    assert recipe.config["runtime.seed"] == 7
    shown = desk("show", "one.png")
    assert "relu2_1:3" in shown.out
    again = desk("rerun", "one.png", "-o", "two.png")
    assert again.code == 0
    assert "all of them" in again.err
    first, second = (read_picture(desk.folder / name).pixels for name in ("one.png", "two.png"))
    assert torch.equal(first, second)


def test_a_rerun_makes_the_picture_anew_or_refuses(desk: Desk) -> None:
    desk("visualize", "relu2_1:3", *QUICK, "-o", "one.png")
    desk("rerun", "one.png", "-o", "two.png")
    refused = desk("rerun", "one.png", "-o", "two.png", "-q")
    assert refused.code == 8
    assert "two.png already exists" in refused.error


def test_the_second_of_several_pictures_is_made_again(desk: Desk) -> None:
    desk("visualize", "relu2_1:3", *QUICK, "--pictures", "2", "-o", "two")
    assert (desk.folder / "two" / "relu2_1_0003_2.png").is_file()
    again = desk("rerun", "two/relu2_1_0003_2.png", "-o", "again.png")
    assert again.code == 0
    assert "all of them" in again.err


def test_what_is_there_is_not_made_again_unless_settings_change(desk: Desk) -> None:
    desk("visualize", "relu2_1:3", *QUICK)
    ran = desk("visualize", "relu2_1:3-4", *QUICK)
    assert ran.code == 0
    assert "1 unit there already" in ran.err
    index = json.loads((desk.folder / "visualize-vgg-lite" / "index.json").read_text())
    assert [entry["unit"] for entry in index["units"]] == ["relu2_1:3", "relu2_1:4"]
    other = desk("visualize", "relu2_1:3", *QUICK, "--seed", "5", "-q")
    assert other.code == 8
    assert "relu2_1_0003.png" in other.error
    assert desk("visualize", "relu2_1:3", *QUICK, "--seed", "5", "--overwrite").code == 0


def test_the_index_keeps_units_of_other_runs_and_what_their_pictures_remember(desk: Desk) -> None:
    desk("visualize", "relu2_1:3", *QUICK)
    folder = desk.folder / "visualize-vgg-lite"
    first = json.loads((folder / "index.json").read_text())["units"]
    desk("visualize", "relu1_1:1", *QUICK)
    both = json.loads((folder / "index.json").read_text())["units"]
    assert [entry["unit"] for entry in both] == ["relu2_1:3", "relu1_1:1"]
    (folder / "index.json").unlink()
    (folder / "grid.png").unlink()
    desk("visualize", "relu2_1:3", *QUICK)
    again = json.loads((folder / "index.json").read_text())["units"]
    assert again == first


def test_a_grid_of_somebody_elses_is_not_replaced(desk: Desk) -> None:
    (desk.folder / "mine").mkdir()
    paint(desk.folder / "mine" / "grid.png", 1)
    ran = desk("visualize", "relu2_1:3", *QUICK, "-o", "mine", "-q")
    assert ran.code == 8
    assert "mine/grid.png" in ran.error


def test_an_animation_shows_how_it_came_to_be(desk: Desk) -> None:
    ran = desk("visualize", "relu2_1:3-4", *QUICK, "--steps", "5", "--animate", "growing.gif")
    assert ran.code == 0
    assert "growing.gif" in ran.out
    with Image.open(desk.folder / "growing.gif") as film:
        assert film.n_frames == 5


def test_photographs_beside_the_units(desk: Desk) -> None:
    (desk.folder / "photos").mkdir()
    for seed in range(3):
        paint(desk.folder / "photos" / f"{seed}.png", seed)
    (desk.folder / "photos" / "broken.jpg").write_bytes(b"no picture")
    ran = desk("visualize", "relu2_1:3", *QUICK, "--natural", "photos")
    assert ran.code == 0
    assert "strongest photograph" in ran.err
    index = json.loads((desk.folder / "visualize-vgg-lite" / "index.json").read_text())
    strongest = index["units"][0]["strongest"]
    assert re.fullmatch(r"\.\./photos/[012]\.png", strongest)


def test_transparent_pictures_are_rgba(desk: Desk) -> None:
    desk("visualize", "relu2_1:3", *QUICK, "--alpha", "-o", "clear.png")
    assert read_picture(desk.folder / "clear.png").alpha is not None


def test_a_dry_run_writes_nothing(desk: Desk) -> None:
    ran = desk("visualize", "relu2_1:3-4", *QUICK, "--dry-run")
    assert ran.code == 0
    assert "2 units" in ran.out
    assert desk.files() == {"cat.png", "waves.png"}


def test_events_are_json_lines(desk: Desk) -> None:
    ran = desk("visualize", "relu2_1:3", *QUICK, "--json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["event"] for event in events][-2:] == ["unit", "done"]
    assert events[-2]["unit"] == "relu2_1:3"


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (["relu2_1:3", "--size", "99999"], 6, "GB of memory", "--size"),
        (["relu2_1:3", "--lr", "1e38"], 3, "optimizer.lr", "1000000"),
        (["relu2_1:3", "-o", "/proc/x/y"], 8, "/proc/x", ""),
        (["relu2_1:3@25,0"], 3, "8×8 positions", "@7,7"),
        (["relu2_1:999"], 3, "no channel 999", "from 0 to 63"),
        (["relu21_:3"], 3, "unknown layer", "relu2_1"),
        (["logits:goldfish"], 3, "logits", "torchvision:"),
        (["relu2_1:3", "--preset", "lucyd"], 3, "unknown preset", "lucid"),
        (["relu2_1:3", "--backbone", "squeezenet"], 5, "unknown backbone", "squeezenet1_0"),
        (["relu2_1:3", "--parameter", "pixel"], 3, "parameter.kind", "pixels"),
        (["relu5_1:3", "--size", "16"], 4, "too small", "at least"),
        (["relu2_1:3-4", "-o", "one.png"], 2, "cannot all be one.png", "folder"),
        (["relu2_1:3", "-o", "cat.png"], 8, "cat.png", "--overwrite"),
        (["relu2_1:3", "--animate", "x.mov"], 8, ".mov", ".gif"),
        (["relu2_1:3", "--natural", "nowhere"], 4, "nowhere", ""),
        (["relu2_1:3", "--set", "view.padd=3"], 3, "view.padd", "view.pad"),
        (["relu2_1:3", "--set", "optimizer.name=lbfgs"], 3, "L-BFGS", "adam"),
        (["relu2_1:3", "--parameter", "maco", "--spectrum-from", "void"], 4, "void", ""),
        (["relu2_1:3", "--backbone", "nowhere.module:net"], 5, "nowhere", "file.py:factory"),
    ],
)
def test_mistakes_get_a_line_a_hint_and_a_code(
    words: list[str], code: int, message: str, hint: str, desk: Desk
) -> None:
    ran = desk("visualize", *QUICK, *words)
    assert ran.code == code, ran.err
    lines = [line for line in ran.err.splitlines() if not line.startswith("backbone ")]
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert hint in lines[-1]
    assert desk.files() <= {"cat.png", "waves.png"}


def test_a_network_of_ones_own(desk: Desk) -> None:
    (desk.folder / "mine.py").write_text(
        "import torch\n"
        "def grey():\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(inplace=True))\n"
    )
    ran = desk("visualize", "0:2", "1:all", "--backbone", "mine.py:grey", *QUICK, "-o", "own")
    assert ran.code == 0, ran.err
    assert (desk.folder / "own" / "1_0003.png").is_file()


def test_ctrl_c_saves_what_there_is_and_the_next_run_goes_on(desk: Desk) -> None:
    words = ("visualize", "relu2_1:3-6", "--size", "40", "--batch", "2", "--steps", "300")
    running = desk.start(*words)
    folder = desk.folder / "visualize-vgg-lite"
    deadline = time.monotonic() + 60
    while not (folder / "relu2_1_0004.png").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    index = json.loads((folder / "index.json").read_text())
    finished = [entry["unit"] for entry in index["units"] if entry["finished"]]
    assert finished[:2] == ["relu2_1:3", "relu2_1:4"]
    done = (folder / "relu2_1_0003.png").stat().st_mtime_ns
    ran = desk(*words)
    assert ran.code == 0, ran.err
    assert (folder / "relu2_1_0003.png").stat().st_mtime_ns == done
    index = json.loads((folder / "index.json").read_text())
    assert all(entry["finished"] for entry in index["units"])
    assert len(index["units"]) == 4
