"""`styler sweep`: what may be varied, what is refused, what is written."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_desk import TINY, Desk, Ran

from styler.cli import sweep as command
from styler.config import TransferConfig
from styler.errors import ExitCode
from styler.images import read_picture

TWO = ("--vary", "strength=0.2,0.8", "--vary", "style-scale=0.5,1")


def sweep(desk: Desk, *words: object) -> Ran:
    return desk("sweep", "cat.png", "waves.png", *TINY, *words)


def events(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def test_one_sheet_is_written(desk: Desk) -> None:
    ran = sweep(desk, *TWO)
    assert (ran.code, ran.out) == (0, "cat+waves-sweep.png\n")
    assert "4 pictures, 8 steps in all" in ran.err
    assert re.search(r"^step 8/8  picture 4/4  48×36  content ", ran.err, re.MULTILINE)
    assert desk.files() == {"cat.png", "waves.png", "cat+waves-sweep.png"}
    height, width = read_picture("cat+waves-sweep.png").size
    assert height > 2 * 36
    assert width > 2 * 48


def test_single_pictures_are_kept_with_their_recipes(desk: Desk) -> None:
    assert sweep(desk, *TWO, "--keep", "single", "-q", "-o", "x.jpg").out == "x.jpg\n"
    names = sorted(path.name for path in Path("single").iterdir())
    assert names[-1] == "4-strength-0.8+style-scale-1.png"
    shown = desk("show", f"single/{names[-2]}").out
    assert "strength = 0.8  # --strength" in shown
    assert "style.scale = 0.5  # --style-scale" in shown
    assert desk("rerun", f"single/{names[-2]}", "-o", "again.png").code == 0


def test_events(desk: Desk) -> None:
    told = events(sweep(desk, *TWO, "--json", "--keep", "single"))
    assert [event["event"] for event in told] == [
        "start", *(["step"] * 2 + ["picture"]) * 4, "done",
    ]  # fmt: skip
    assert told[0]["varied"] == {"strength": ["0.2", "0.8"], "style-scale": ["0.5", "1"]}
    pictures = [event for event in told if event["event"] == "picture"]
    assert pictures[2]["values"] == {"strength": "0.8", "style-scale": "0.5"}
    assert Path(pictures[2]["output"]).is_file()
    assert set(pictures[2]["losses"]) == {"content", "style", "smoothness"}
    assert told[-1] == {
        "event": "done", "output": "cat+waves-sweep.png", "pictures": 4, "planned": 4,
        "interrupted": False,
    }  # fmt: skip


def test_a_dry_run_counts_and_writes_nothing(desk: Desk) -> None:
    ran = sweep(desk, *TWO, "--dry-run", "--keep", "single")
    assert ran.code == 0
    heads, *rows = ran.out.splitlines()[:5]
    assert heads.split() == ["strength", "style-scale", "size", "steps", "time"]
    assert rows[2].split()[:4] == ["0.8", "0.5", "48×36", "2"]
    assert "4 pictures\n" in ran.out
    assert re.search(r"^about \d+ s on cpu$", ran.out, re.MULTILINE)
    assert desk.files() == {"cat.png", "waves.png"}
    plan = events(sweep(desk, *TWO, "--dry-run", "--json"))[-1]
    assert (plan["event"], plan["pictures"]) == ("plan", 4)
    assert plan["seconds"] > 0


def resolved(**values: str) -> TransferConfig:
    given = dict.fromkeys(command.shared.KEYS) | {"preset": "default", "set_": None, "init": None}
    return command.settings(
        given, {name.replace("__", "."): v for name, v in values.items()}
    ).config


def test_flags_and_settings_may_be_varied() -> None:
    assert resolved(strength="0.3").strength == 0.3
    assert resolved(size="64").schedule.size == 64
    assert resolved(steps="20,10").schedule.steps == (20, 10)
    assert resolved(init="noise").init.kind == "noise"
    assert resolved(preset="gatys2015").style.loss == "gram"
    assert resolved(color="match:x.jpg").color.image == "x.jpg"
    assert resolved(style__loss="gram").style.loss == "gram"
    assert resolved(style__layers__relu1_1="3").style.layers["relu1_1"] == 3
    assert resolved(**{"max-memory": "1GiB"}).runtime.max_memory == 2**30
    assert resolved(**{"style-layers": "r11=.5"}).style.layers == {"r11": 0.5}


def test_pictures_are_small_unless_a_size_is_asked_for() -> None:
    assert resolved().schedule.size == resolved(preset="gatys2015").schedule.size == command.SIDE
    assert resolved(schedule__size="300").schedule.size == 300


def test_what_is_varied_wins(desk: Desk) -> None:
    words = ("--strength", "0.5", "--set", "style.scale=1", "--style-scale", "3")
    varied = ("--vary", "strength=0.2", "--vary", "style.scale=2")
    assert sweep(desk, *words, *varied, "--keep", "k", "-q").code == 0
    shown = desk("show", "k/1-strength-0.2+style.scale-2.png").out
    assert "strength = 0.2" in shown
    assert "style.scale = 2.0  # --vary" in shown


@pytest.mark.parametrize("name", ["--style-scale", "style_scale", "style-scale"])
def test_names_of_flags_are_known_with_and_without_dashes(desk: Desk, name: str) -> None:
    told = events(sweep(desk, "--vary", f"{name}=1", "-n", "--json"))
    assert told[0]["varied"] == {"style-scale": ["1"]}


@pytest.mark.parametrize(
    ("vary", "code", "error", "hint"),
    [
        (["strenght=1"], 2, "--vary strenght: no such flag or setting", "strength"),
        (["style.scalle=1"], 2, "--vary style.scalle: no such flag", "style.scale"),
        (["output=a.png,b.png"], 2, "--vary output: no such flag", ""),
        (["styles=a.png"], 2, "--vary styles: no such flag", "style"),
        (["quiet=1"], 2, "--vary quiet: no such flag", ""),
        (["strength"], 2, "--vary 'strength' is not NAME=VALUE", "for example"),
        (["strength=1,1"], 2, "--vary strength has 1 twice", ""),
        (["strength=1", "strength=2"], 2, "--vary strength and --vary strength are one", ""),
        (["style-scale=1", "style.scale=2"], 2, "style.scale and --vary style-scale are", ""),
        (["strength=0.2,7"], 3, "with strength 7: bad value for strength = 7.0", "expected"),
        (["strength=much"], 3, "with strength much: --strength much is not a number", ""),
        (["strength=nan"], 3, "with strength nan: strength = nan is not a finite", ""),
        (["size=12.5"], 3, "with size 12.5: --size 12.5 is not a whole number", ""),
        (["style-loss=gramm"], 3, "with style-loss gramm: bad value", "choose gram"),
        (["preset=default,gatis2015"], 3, "with preset gatis2015: unknown preset", "gatys2015"),
        (["init=nois"], 3, "with init nois: --init nois", "noise"),
        (["backbone=vgg-lite,vgg99"], 5, "with backbone vgg99: ", "vgg19"),
        (["style-layers=r11;relu8_1"], 3, "with style-layers relu8_1: unknown layer", "relu"),
    ],
)
def test_what_cannot_be_varied_is_refused_before_any_work(
    desk: Desk, vary: list[str], code: int, error: str, hint: str
) -> None:
    ran = sweep(desk, *(word for text in vary for word in ("--vary", text)), "-q")
    assert ran.code == code
    assert error in ran.error
    assert hint in ran.err
    assert desk.files() == {"cat.png", "waves.png"}


def test_too_many_pictures_are_asked_about(desk: Desk) -> None:
    many = (
        "--vary",
        "seed=" + ",".join(map(str, range(11))),
        "--vary",
        "steps=1;2;3;4;5;6;7;8;9;0",
    )
    ran = sweep(desk, *many)
    assert ran.code == ExitCode.USAGE
    assert ran.error == "that makes 110 pictures, more than 100"
    assert "--yes" in ran.hint


def test_something_must_vary(desk: Desk) -> None:
    ran = sweep(desk)
    assert ran.code == 2
    assert "--vary" in ran.error


def test_nothing_is_overwritten_unasked(desk: Desk) -> None:
    Path("cat+waves-sweep.png").write_bytes(b"mine")
    ran = sweep(desk, *TWO)
    assert (ran.code, ran.error) == (8, "cat+waves-sweep.png already exists")
    assert Path("cat+waves-sweep.png").read_bytes() == b"mine"


def test_several_styles_are_one_blend(desk: Desk) -> None:
    ran = desk("sweep", "cat.png", "waves.png:0.7", "cat.png:0.3", *TINY, "--vary", "seed=1", "-q")
    assert ran.out == "cat+waves+cat-sweep.png\n"


def test_ctrl_c_writes_the_sheet_with_what_there_is(desk: Desk) -> None:
    process = desk.start(
        "sweep", "cat.png", "waves.png", "--size", "48", "--vary", "steps=2;100000", "--json"
    )
    until(process, "picture")
    until(process, "step")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")
    done = json.loads(out.splitlines()[-1])
    assert (done["event"], done["pictures"], done["interrupted"]) == ("done", 1, True)
    sheet = (read_picture("cat+waves-sweep.png").pixels * 255).round()
    assert int((sheet == 224).all(1).sum()) >= 48 * 36 - 10


def until(process: subprocess.Popen[bytes], name: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == name:
            return
    raise AssertionError(f"no event {name}")


def test_help_and_completion(desk: Desk) -> None:
    _, examples = re.split(r"^ *Examples:", desk("sweep", "--help").out, flags=re.MULTILINE)
    assert examples.count("styler sweep photo.jpg") == 4
    assert desk("sweep").code == 2
    offered = list(command._completed("st"))
    assert {"strength=", "style-scale=", "steps=", "style.scale="} <= set(offered)
    assert list(command._completed("strengt")) == ["strength="]
