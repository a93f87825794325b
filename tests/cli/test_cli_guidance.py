"""Masks, colours, films and textures on the command line, and how they are made again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_desk import TINY, Desk, paint
from PIL import Image

from styler.images import read_picture

HALVES = ("--content-mask", "left.png", "--content-mask", "right.png")


@pytest.fixture(autouse=True)
def masks(desk: Desk) -> None:
    """Two halves, a map of them, a square, and a second style."""
    left = np.zeros((48, 64), np.uint8)
    left[:, :32] = 255
    Image.fromarray(left).save("left.png")
    Image.fromarray(255 - left).save("right.png")
    red = np.zeros((48, 64, 3), np.uint8)
    red[:, :32, 0] = 255
    red[:, 32:, 2] = 255
    Image.fromarray(red).save("map.png")
    Image.fromarray(np.roll(red, 1, 2)).save("stylemap.png")
    Image.fromarray(np.full((40, 40), 255, np.uint8)).save("square.png")
    paint(Path("dots.png"), 3, (80, 64))


def test_each_style_in_its_half_and_again(desk: Desk) -> None:
    made = desk("transfer", "cat.png", "waves.png", "dots.png", *HALVES, *TINY, "-o", "two.png")
    assert made.code == 0, made.err
    assert "style left" in made.err
    recipe = json.loads(desk("show", "--json", "two.png").out)
    assert recipe["sources"]["content-mask"]["path"] == "left.png"
    assert recipe["sources"]["content-mask 2"]["path"] == "right.png"
    assert "all of them" in desk("rerun", "two.png").err
    Path("masks").mkdir()
    for name in ("left.png", "right.png"):
        Path(name).rename(Path("masks", name))
    lost = desk("rerun", "two.png", "--overwrite")
    assert (lost.code, lost.hint) == (
        4,
        "say where it is: --content-mask FILE --content-mask FILE, in the order of the recipe",
    )
    moved = ("--content-mask", "masks/left.png", "--content-mask", "masks/right.png")
    assert "all of them" in desk("rerun", "two.png", "--overwrite", *moved).err


def test_maps_are_matched_by_colour(desk: Desk) -> None:
    maps = ("--content-mask", "map.png", "--style-mask", "map.png")
    Image.open("map.png").resize((80, 64), Image.Resampling.NEAREST).save("map2.png")
    made = desk.transfer("--content-mask", "map.png", "--style-mask", "map2.png")
    assert made.code == 0, made.err
    assert "style #ff0000" in made.err
    assert desk.transfer(*maps[:2], "--style-mask", "stylemap.png", "-o", "x.png").code != 0


def test_what_is_protected_is_the_content(desk: Desk) -> None:
    assert desk.transfer("--protect", "left.png", "--size", "64", "-o", "kept.png").code == 0
    kept, cat = (read_picture(name).pixels[..., :31] for name in ("kept.png", "cat.png"))
    assert torch.allclose(kept, cat, atol=1 / 255)


def test_nothing_is_replaced_that_a_picture_is_made_of(desk: Desk) -> None:
    ran = desk.transfer("--protect", "left.png", "-o", "left.png", "--overwrite")
    assert (ran.code, ran.error) == (8, "the output is the protect picture itself")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--content-mask", "square.png"), 4, "square.png is 40×40, which is not the shape"),
        (("--content-mask", "nope.png"), 4, "no such file: nope.png"),
        (HALVES, 2, "2 content masks for 1 style"),
        (("--content-mask", "map.png"), 2, "the map map.png has 2 colours"),
        (
            ("--content-mask", "map.png", "--style-mask", "stylemap.png"),
            2,
            "of map.png is a region with no style",
        ),
        (("--color", "sepia"), 3, "bad value for color.mode = 'sepia'"),
        (("--color", "match:"), 3, "names no picture"),
        (("--color", "content:x.png"), 3, "names no picture to match"),
        (("--timelapse", "nowhere/x.gif"), 8, "the folder nowhere does not exist"),
        (("--timelapse", "x.avi"), 8, "cannot write '.avi' files"),
        (("--timelapse", "cat.png", "--overwrite"), 8, "would replace the content"),
        (("--style-loss", "grams"), 3, "bad value for style.loss"),
        (("--padding", "wrap"), 3, "bad value for backbone.padding"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    desk: Desk, words: tuple[str, ...], code: int, message: str
) -> None:
    Image.open("stylemap.png").resize((80, 64), Image.Resampling.NEAREST).save("stylemap.png")
    before = sorted(path.name for path in Path().iterdir())
    ran = desk.transfer(*words, "-o", "bad.png")
    assert (ran.code, message in ran.error) == (code, True), ran.err
    assert sorted(path.name for path in Path().iterdir()) == before


def test_a_film_and_the_budget_come_with_the_picture(desk: Desk) -> None:
    ran = desk.transfer("--timelapse", "film.gif", "--explain", "-o", "x.png")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[:2] == ["x.png", "film.gif"]
    assert "share of gradient" in ran.out
    with Image.open("film.gif") as film:
        assert getattr(film, "n_frames", 1) > 10
        assert max(film.size) == 48


def test_a_texture_comes_back(desk: Desk) -> None:
    made = desk(
        "texture", "waves.png", "--size", "64x48", "--steps", "2", "--precision", "fp32",
        "--tileable",
    )  # fmt: skip
    assert (made.code, made.out) == (0, "waves+texture.png\n")
    assert read_picture("waves+texture.png").size == (48, 64)
    assert json.loads(desk("show", "--json", "waves+texture.png").out)["kind"] == "texture"
    assert "all of them" in desk("rerun", "waves+texture.png").err


def test_several_losses_and_networks(desk: Desk) -> None:
    made = desk.transfer("--set", "style.also={remd=0.5}", "--content-loss", "laplacian")
    assert made.code == 0, made.err
    assert "style remd" in made.err
    twice = desk.transfer("--backbone", "vgg-lite,vgg-lite", "-o", "twice.png")
    assert (twice.code, "vgg-lite is there twice" in twice.error) == (3, True)
