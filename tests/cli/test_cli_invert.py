"""`styler invert` and `styler caricature` as a person uses them, and as they are misused."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from cli_desk import Desk

from styler.images import read_picture, read_recipe
from styler.report.provenance import decode

QUICK = ("--size", "32", "--steps", "2", "--precision", "fp32", "--backbone", "vgg-lite")
TWO = ("--layer", "relu1_1", "--layer", "relu3_1")


@pytest.mark.parametrize(
    ("command", "word"), [("invert", "inverted"), ("caricature", "caricature")]
)
def test_layers_become_pictures_and_a_sheet(desk: Desk, command: str, word: str) -> None:
    ran = desk(command, "cat.png", *TWO, *QUICK)
    assert ran.code == 0
    files = [f"cat+{word}_relu1_1.png", f"cat+{word}_relu3_1.png", f"cat+{word}.png"]
    assert ran.out.splitlines() == files
    assert desk.files() == {"cat.png", "waves.png", *files}
    assert read_picture(files[0]).size == (24, 32)
    shown = desk("show", files[1]).out
    assert f"kind      {command}" in shown
    assert "subject   relu3_1" in shown
    assert re.search(r"losses .*error [\d.]+, cosine [\d.-]+, gain", shown)


def test_the_table_says_how_near_each_layer_came(desk: Desk) -> None:
    ran = desk("invert", "cat.png", *TWO, *QUICK)
    assert re.search(r"^layer +error +cosine +gain$", ran.err, re.MULTILINE)
    for layer in ("relu1_1", "relu3_1"):
        match = re.search(rf"^{layer} +([\d.]+) +([\d.]+) +([\d.]+)$", ran.err, re.MULTILINE)
        assert match is not None
        text = read_recipe(f"cat+inverted_{layer}.png")
        assert text is not None
        losses = decode(text, Path("x.png")).outcome.losses
        told = [losses[name] for name in ("error", "cosine", "gain")]
        assert [float(word) for word in match.groups()] == pytest.approx(told, abs=5e-5)


def test_layers_may_be_a_list_and_the_output_a_folder(desk: Desk) -> None:
    ran = desk("invert", "cat.png", "--layer", "r11, conv2_1", *QUICK, "-o", "new/folder")
    assert ran.code == 0
    names = {path.name for path in Path("new/folder").iterdir()}
    assert names == {
        "cat+inverted.png",
        "cat+inverted_conv2_1.png",
        "cat+inverted_relu1_1.png",
    }


def test_without_layers_each_depth_is_taken(desk: Desk) -> None:
    ran = desk("caricature", "cat.png", *QUICK, "-o", "out")
    assert "layers relu1_1, relu2_1, relu3_1, relu4_1, relu5_1; --layer names others" in ran.err
    assert len(ran.out.splitlines()) == 6


def test_one_layer_into_one_file(desk: Desk) -> None:
    ran = desk("invert", "cat.png", "-l", "relu2_1", *QUICK, "-o", "one.jpg")
    assert ran.out == "one.jpg\n"
    assert desk.files() == {"cat.png", "waves.png", "one.jpg"}


def test_flags_beat_set_which_beats_the_preset(desk: Desk) -> None:
    words = ("--set", "cosine=1", "--set", "range_weight=2", "--cosine", "3", "--seed", "5")
    desk("caricature", "cat.png", "-l", "relu1_1", *QUICK, *words, "-o", "x.png")
    shown = desk("show", "x.png").out
    assert "cosine = 3.0  # --cosine" in shown
    assert "range_weight = 2.0  # --set" in shown
    assert "runtime.seed = 5  # --seed" in shown
    assert "optimizer.lr = 0.05  # preset caricature" in shown


@pytest.mark.parametrize("name", ["cat+inverted_relu3_1.png", "cat+inverted.png"])
def test_pictures_and_sheets_are_made_again(desk: Desk, name: str) -> None:
    desk("invert", "cat.png", *TWO, *QUICK)
    ran = desk("rerun", name)
    assert ran.code == 0
    assert "all of them" in ran.err
    again = f"{name.removesuffix('.png')}-rerun.png"
    assert ran.out == f"{again}\n"
    assert torch.equal(read_picture(again).pixels, read_picture(name).pixels)
    assert desk("rerun", name).error == f"{again} already exists"
    assert desk("rerun", name, "-o", "folder").error == "no extension: folder"


def test_a_second_run_has_nothing_to_do(desk: Desk) -> None:
    desk("invert", "cat.png", *TWO, *QUICK)
    before = {path: path.stat().st_mtime_ns for path in Path().iterdir()}
    ran = desk("invert", "cat.png", *TWO, *QUICK)
    assert ran.code == 0
    assert "2 pictures there already" in ran.err
    assert len(ran.out.splitlines()) == 3
    assert {path: path.stat().st_mtime_ns for path in Path().iterdir()} == before
    other = desk("invert", "cat.png", *TWO, *QUICK, "--seed", "1")
    assert (other.code, other.error) == (8, "cat+inverted_relu1_1.png already exists")
    assert desk("invert", "cat.png", *TWO, *QUICK, "--seed", "1", "--overwrite").code == 0


def test_every_line_of_json_is_json(desk: Desk) -> None:
    ran = desk("invert", "cat.png", *TWO, *QUICK, "--json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["event"] for event in events] == [
        "start", "step", "step", "layer", "step", "step", "layer", "done",
    ]  # fmt: skip
    assert events[0]["layers"] == ["relu1_1", "relu3_1"]
    assert [(e["level"], e["done"], e["planned"]) for e in events if e["event"] == "step"] == [
        (0, 1, 4), (0, 2, 4), (1, 3, 4), (1, 4, 4),
    ]  # fmt: skip
    assert events[3]["layer"] == "relu1_1"
    assert events[3]["output"] == "cat+inverted_relu1_1.png"
    assert 0 < events[3]["error"] < 2
    assert (events[-1]["sheet"], events[-1]["interrupted"]) == ("cat+inverted.png", False)
    assert ran.err == ""


def test_quiet_leaves_only_the_paths(desk: Desk) -> None:
    ran = desk("caricature", "cat.png", "-l", "relu1_1", *QUICK, "-q", "-o", "x.png")
    assert (ran.out, ran.err) == ("x.png\n", "")


def test_a_dry_run_plans_and_writes_nothing(desk: Desk) -> None:
    desk("invert", "cat.png", "-l", "relu1_1", *QUICK, "-o", "out")
    ran = desk("invert", "cat.png", *TWO, *QUICK, "-o", "out", "--dry-run")
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[1] == ["relu1_1", "0", "there", "out/cat+inverted_relu1_1.png"]
    assert rows[2][:3] == ["relu3_1", "32×24", "2"]
    assert "sheet out/cat+inverted.png" in ran.out
    assert not Path("out/cat+inverted_relu3_1.png").exists()
    assert desk("invert", "cat.png", *TWO, *QUICK, "-o", "new", "-n").code == 0
    assert not Path("new").exists()
    plan = desk("invert", "cat.png", *TWO, *QUICK, "-o", "new", "-n", "--json").out.splitlines()[-1]
    event = json.loads(plan)
    assert event["seconds"] >= 0
    assert set(event["layers"]) == {"relu1_1", "relu3_1"}


@pytest.mark.parametrize(
    ("words", "code", "error", "hint"),
    [
        (["no.png"], 4, "no such file: no.png", ""),
        (["cat.png", "-l", "relu4_l"], 3, "unknown layer 'relu4_l'", "or relu4_1?"),
        (["cat.png", "-p", "inversoin"], 3, "unknown preset 'inversoin'", "did you mean inversion"),
        (["cat.png", "--set", "cosines=1"], 3, "unknown setting 'cosines'", "did you mean cosine"),
        (["cat.png", "--steps", "0"], 3, "bad value for schedule.steps = 0", ">= 1"),
        (["cat.png", "--parameter", "fouriere"], 3, "bad value for parameter.kind", "fourier"),
        (["cat.png", "--backbone", "vgg18"], 5, "unknown backbone 'vgg18'", "did you mean"),
        (["cat.png", "-o", "waves.png"], 2, "5 pictures cannot all be waves.png", "one layer"),
        (["cat.png", "-l", "r11", "-o", "cat.png"], 8, "the output is the image picture", "-o"),
        (["cat.png", "-l", "r11", "-o", "waves.png"], 8, "waves.png already exists", "--overwrite"),
        (["cat.png", "-l", "pool5", "--size", "20"], 4, "pool5: an image of 20×15", "32 pixels"),
        (["cat.png", "--set", "parameter.alpha=true"], 3, "parameter.alpha", "styler visualize"),
        (["cat.png", "--set", "optimizer.name=lbfgs"], 3, "L-BFGS", "adam"),
    ],
)
def test_mistakes_are_told_in_a_line(
    desk: Desk, words: list[str], code: int, error: str, hint: str
) -> None:
    ran = desk("invert", *words, *([] if "--backbone" in words else ["--backbone", "vgg-lite"]))
    assert (ran.code, ran.error[: len(error)]) == (code, error)
    assert hint in ran.hint
    assert desk.files() == {"cat.png", "waves.png"}


@pytest.mark.parametrize("command", ["invert", "caricature"])
def test_help_has_examples_and_the_groups_of_transfer(desk: Desk, command: str) -> None:
    ran = desk(command, "--help")
    _, examples = re.split(r"^ *Examples:", ran.out, flags=re.MULTILINE)
    assert f"styler {command} photo.jpg" in examples
    assert re.findall(r"─ ([A-Z][a-z ]+) ─", ran.out) == [
        "Arguments", "Options", "Look", "Size and effort", "Network and machine", "Output",
    ]  # fmt: skip
    alone = desk(command)
    assert (alone.code, alone.err) == (2, "")


def until_layer(process: subprocess.Popen[bytes], level: int) -> None:
    """Wait until a layer is worked on."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "step" and event["level"] == level:
            return
    raise AssertionError("no such step")


def test_ctrl_c_saves_what_there_is_and_the_next_run_goes_on(desk: Desk) -> None:
    words = ("invert", "cat.png", *TWO, *QUICK[:2], "--steps", "400", *QUICK[4:], "--json")
    process = desk.start(*words)
    until_layer(process, 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")
    done = json.loads(out.splitlines()[-1])
    assert (done["event"], done["interrupted"], done["pictures"]) == ("done", True, 2)
    assert "of 800" in desk("show", "cat+inverted.png").out
    assert "subject   sheet of relu1_1, relu3_1" in desk("show", "cat+inverted.png").out
    again = desk("rerun", "cat+inverted.png")
    assert "all of them" in again.err
    rest = [json.loads(line) for line in desk(*words).out.splitlines()]
    assert rest[0]["there"] == ["relu1_1"]
    assert "steps     800 of 800" in desk("show", "cat+inverted.png").out
