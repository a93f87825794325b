"""`styler dream`: what it makes, says and refuses."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_desk import Desk, Ran, paint
from PIL import Image

from styler.images import read_picture, read_recipe

SMALL = ("--size", "48", "--steps", "2", "--layers", "relu3_1", "--precision", "fp32")


def dream(desk: Desk, *words: object) -> Ran:
    return desk("dream", "cat.png", *SMALL, *words)


def test_a_picture_is_dreamt_and_named(desk: Desk) -> None:
    ran = dream(desk)
    assert (ran.code, ran.out) == (0, "cat+dream.png\n")
    assert read_picture("cat+dream.png").size == (36, 48)
    assert "backbone vgg-lite" in ran.err
    assert "dreams of relu3_1" in ran.err
    assert re.search(r"^step 2/2  octave 1/1  48×36  relu3_1 -\S+", ran.err, re.MULTILINE)
    shown = desk("show", "cat+dream.png").out
    assert "kind      dream" in shown
    assert "subject   relu3_1" in shown
    assert "image     cat.png, 64×48" in shown
    assert "schedule.size = 48  # --size" in shown


def test_rerun_gives_the_same_pixels(desk: Desk) -> None:
    Image.new("L", (64, 48), 255).save("mask.png")
    words = ("--guide", "waves.png", "--mask", "mask.png", "--seed", "7", "-o", "x.png")
    assert dream(desk, *words).code == 0
    ran = desk("rerun", "x.png")
    assert (ran.code, ran.out) == (0, "x-rerun.png\n")
    assert "all of them" in ran.err
    assert torch.equal(read_picture("x.png").pixels, read_picture("x-rerun.png").pixels)

    Path("mask.png").rename("moved.png")
    assert desk("rerun", "x.png", "--overwrite").hint == "say where it is: --mask FILE"
    assert "all of them" in desk("rerun", "x.png", "--overwrite", "--mask", "moved.png").err
    paint(Path("waves.png"), 9)
    ran = desk("rerun", "x.png", "--overwrite", "--mask", "moved.png")
    assert (ran.code, ran.error) == (4, "waves.png is not the file that x.png was made from")


def test_noise_is_dreamt_in_longer_and_again(desk: Desk) -> None:
    ran = desk("dream", "--size", "48", "--octaves", "1", "--layers", "relu2_1", "--seed", "3")
    assert (ran.code, ran.out) == (0, "noise+dream.png\n")
    assert read_picture("noise+dream.png").size == (48, 48)
    assert "schedule.steps = [36]  # noise" in desk("show", "noise+dream.png").out
    assert "all of them" in desk("rerun", "noise+dream.png").err
    assert "36 steps" in ran.err


def test_an_animation_is_made_of_frames(desk: Desk) -> None:
    ran = dream(desk, "--zoom", "4", "--degrees", "2", "--rate", "0.1", "-o", "z.gif")
    assert (ran.code, ran.out) == (0, "z.gif\n")
    assert "frame 3/3" in ran.err
    with Image.open("z.gif") as film:
        assert (film.n_frames, film.size) == (4, (48, 36))  # type: ignore[attr-defined]
    assert dream(desk, "--zoom", "2", "-q").out == "cat+dream.webp\n"


def test_a_mask_leaves_black_alone(desk: Desk) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 32:] = 255
    Image.fromarray(mask).save("mask.png")
    words = ("--layers", "relu2_1", "--steps", "2", "--mask", "mask.png", "-o", "x.png")
    assert desk("dream", "cat.png", *words).code == 0
    before, after = (read_picture(name).pixels for name in ("cat.png", "x.png"))
    assert torch.equal(before[..., :32], after[..., :32])
    assert not torch.equal(before[..., 32:], after[..., 32:])


def test_json_events(desk: Desk) -> None:
    ran = dream(desk, "--json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["event"] for event in events] == ["start", "step", "step", "done"]
    assert events[0]["layers"] == {"relu3_1": 1.0}
    assert events[0]["scales"] == [{"size": [36, 48], "steps": 2}]
    assert events[-1]["output"] == "cat+dream.png"
    assert ran.err == ""
    events = [json.loads(line) for line in dream(desk, "--json", "--zoom", "3").out.splitlines()]
    assert (events[0]["frames"], events[-1]["frames"]) == (3, 3)
    assert events[-1]["interrupted"] is False


def test_a_dry_run_plans_and_writes_nothing(desk: Desk) -> None:
    before = desk.files()
    words = ("--size", "256", "--factor", "2", "--tile", "64", "--layers", "relu2_1")
    ran = desk("dream", "cat.png", *words, "--dry-run")
    rows = [line.split() for line in ran.out.splitlines()[1:3]]
    assert rows == [["1", "128×96", "12", "4"], ["2", "256×192", "12", "12"]]
    assert "about" in ran.out
    assert "output cat+dream.png" in ran.out
    film = desk("dream", "cat.png", "-n", "--zoom", "5", "--size", "128").out
    assert film.splitlines()[1].split() == ["1", "128×96", "2", "1"]
    assert "for each of 5 frames" in film
    events = [json.loads(line) for line in dream(desk, "-n", "--json").out.splitlines()]
    assert [event["event"] for event in events] == ["start", "plan"]
    assert events[1]["seconds"] > 0
    assert desk.files() == before


def test_the_layer_that_was_taken_is_said(desk: Desk) -> None:
    ran = desk("dream", "cat.png", "-n")
    assert "dreams of relu4_3; --layers names others" in ran.err


def test_octaves_that_are_too_small_are_left_out_with_a_note(desk: Desk) -> None:
    words = ("--layers", "pool5", "--set", "schedule.min_side=16", "--steps", "1")
    ran = desk("dream", "cat.png", *words)
    assert ran.code == 0
    assert "2 octaves left out, too small for pool5" in ran.err


def test_a_preset_for_another_network_dreams_of_that_networks_layer(desk: Desk) -> None:
    ran = desk("dream", "cat.png", "-p", "deepdream-2015", "--backbone", "vgg-lite", "-n")
    assert ran.code == 0
    assert "dreams of relu4_3" in ran.err


@pytest.mark.parametrize(
    ("words", "code", "error", "hint"),
    [
        ("cat.png --layers relu4_9", 3, "unknown layer 'relu4_9'", "relu4_"),
        ("cat.png --layers relu4_1=x", 3, "'x' is not a number", "relu1_1=1"),
        ("cat.png --preset deepdream-2016", 3, "unknown preset", "deepdream-2015"),
        ("cat.png --backbone vgg18", 5, "unknown backbone 'vgg18'", "vgg19"),
        ("cat.png --backbone resnet50 --weights no.pth", 5, "no.pth", ""),
        ("cat.png --steps a", 3, "--steps a", "10"),
        ("cat.png --set style.scale=2", 3, "unknown setting 'style.scale'", ""),
        ("cat.png --set ascent.normalization=l2", 3, "ascent.normalization", "mean-abs"),
        ("cat.png --factor 1", 3, "schedule.factor", "> 1"),
        ("cat.png --octaves 0", 3, "schedule.octaves", ">= 1"),
        ("cat.png --size 8", 3, "schedule.size", ">= 16"),
        ("cat.png --size 16 --layers pool5", 4, "16×12 pixels is too small for pool5", "32"),
        ("dog.png", 4, "no such file: dog.png", "cat.png"),
        ("cat.png --guide dog.png", 4, "no such file: dog.png", ""),
        ("cat.png --mask waves.png", 4, "the mask is 80×64", "shape"),
        ("cat.png --device cuda:99", 6, "cuda:99", "doctor"),
        ("cat.png -o x.gif", 2, "x.gif is the name of a film", "--zoom"),
        ("cat.png --zoom 9 -o x.jpg", 2, "a zoom is a film", ".gif"),
        ("cat.png --zoom 0", 2, "0 frames", "--zoom 120"),
        ("cat.png --zoom 9 --rate 0.9", 3, "zoom.rate", "< 0.5"),
        ("cat.png -o cat.png --overwrite", 8, "is the dreamt picture itself", "-o"),
        ("cat.png -o none/x.png", 8, "none", ""),
        ("cat.png --bit-depth 12", 2, "bit depth of 12", "8 or 16"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(
    desk: Desk, words: str, code: int, error: str, hint: str
) -> None:
    before = desk.files()
    ran = desk("dream", *words.split(), "-q")
    assert (ran.code, ran.out) == (code, "")
    assert error in ran.error
    assert hint in ran.hint
    assert desk.files() == before


def until(process: subprocess.Popen[bytes], name: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == name:
            return
    raise AssertionError(f"no event {name}")


def interrupted(desk: Desk, *words: object) -> Ran:
    """The program, after a Ctrl-C in the midst of its steps."""
    process = desk.start("dream", "cat.png", "--layers", "relu2_1", "--json", *words)
    try:
        until(process, "step")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return Ran(process.returncode, out.decode(), err.decode())


def test_ctrl_c_saves_the_picture_which_can_be_made_again(desk: Desk) -> None:
    ran = interrupted(desk, "--steps", "100000")
    assert (ran.code, ran.err) == (130, "")
    assert json.loads(ran.out.splitlines()[-1])["interrupted"] is True
    assert read_recipe("cat+dream.png") is not None
    assert "all of them" in desk("rerun", "cat+dream.png").err


def test_ctrl_c_keeps_the_frames_so_far(desk: Desk) -> None:
    ran = interrupted(desk, "--zoom", "9000", "-o", "z.gif")
    assert (ran.code, ran.err) == (130, "")
    done = json.loads(ran.out.splitlines()[-1])
    assert done["interrupted"] is True
    assert 1 <= done["frames"] < 9000
    with Image.open("z.gif") as film:
        assert getattr(film, "n_frames", 1) == done["frames"]
    assert desk.files() == {"cat.png", "waves.png", "z.gif"}
