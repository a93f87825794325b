"""`styler show` and `styler rerun`: a picture can be made again from itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torch
from cli_desk import TINY, Desk, paint
from PIL import Image

from styler.cli.recipes import RERUNS
from styler.config import KINDS
from styler.images import read_picture, read_recipe, write_picture


def stored(path: str) -> dict[str, Any]:
    """The recipe in a picture."""
    text = read_recipe(path)
    assert text is not None
    recipe: dict[str, Any] = json.loads(text)
    return recipe


def deep(path: str) -> None:
    """A 16-bit PNG with values that 8 bits cannot hold."""
    values = np.random.default_rng(3).integers(0, 65536, (48, 64, 3), dtype=np.uint16)
    Path(path).write_bytes(imagecodecs.png_encode(values))


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_rerun_gives_the_same_pixels(desk: Desk, ending: str) -> None:
    name = f"x.{ending}"
    assert desk.transfer("-q", "--init", "noise", "--seed", "5", "-o", name).code == 0
    ran = desk("rerun", name)
    assert (ran.code, ran.out) == (0, f"x-rerun.{ending}\n")
    assert f"the pixels are those of {name}, all of them" in ran.err
    one, two = (read_picture(file).pixels for file in (name, f"x-rerun.{ending}"))
    assert torch.equal(one, two)
    assert desk.transfer("-q", "--init", "noise", "--seed", "6", "-o", f"y.{ending}").code == 0
    assert not torch.equal(one, read_picture(f"y.{ending}").pixels)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_rerun_gives_the_same_16_bits(desk: Desk, ending: str) -> None:
    deep("deep.png")
    name = f"x.{ending}"
    assert desk("transfer", "deep.png", "waves.png", *TINY, "-q", "-o", name).code == 0
    assert desk("rerun", name, "-q").code == 0
    one, two = (read_picture(file) for file in (name, f"x-rerun.{ending}"))
    assert one.bit_depth == two.bit_depth == 16
    assert torch.equal(one.pixels, two.pixels)
    steps_of_8_bits = one.pixels * 255
    assert float((steps_of_8_bits - steps_of_8_bits.round()).abs().max()) > 0.1


def test_bit_depths_are_recorded_as_written(desk: Desk) -> None:
    deep("deep.png")
    for words, depth in (
        (["-o", "a.png"], 16),
        (["-o", "a.jpg"], 8),
        (["-o", "b.jpg", "--bit-depth", "16"], 8),
        (["-o", "b.png", "--bit-depth", "8"], 8),
    ):
        ran = desk("transfer", "deep.png", "waves.png", *TINY, *words)
        assert ran.code == 0
        assert ("JPEG has no 16 bits" in ran.err) == ("b.jpg" in words)
        assert stored(words[1])["bit_depth"] == depth
        assert read_picture(words[1]).bit_depth == depth
        assert f"{depth} bit" in desk("show", words[1]).out


def test_a_file_to_start_from_and_a_preset_are_part_of_the_recipe(desk: Desk) -> None:
    paint(Path("start.png"), 9)
    words = ["--init", "start.png", "-p", "pytorch-tutorial", "--backbone", "vgg-lite"]
    assert desk.transfer("-q", *words, "-o", "x.png").code == 0
    shown = desk("show", "x.png").out
    assert "start     start.png, 64×48" in shown
    assert 'optimizer.name = "lbfgs"  # preset pytorch-tutorial' in shown
    assert "all of them" in desk("rerun", "x.png").err

    Path("start.png").rename("moved.png")
    ran = desk("rerun", "x.png", "-o", "y.png")
    assert ran.code == 4
    assert ran.hint == "say where it is: --init FILE"
    assert "all of them" in desk("rerun", "x.png", "-o", "y.png", "--init", "moved.png").err


def test_rerun_follows_moved_sources(desk: Desk) -> None:
    desk.transfer("-q", "-o", "x.png")
    Path("elsewhere").mkdir()
    shutil.copy("x.png", "elsewhere")
    ran = desk("rerun", "elsewhere/x.png")
    assert ran.code == 4
    assert ran.error == "elsewhere/cat.png is not where the recipe says"
    assert ran.hint == "say where it is: --content FILE"
    words = ["rerun", "elsewhere/x.png", "--content", "cat.png", "--style", "waves.png"]
    assert "all of them" in desk(*words).err

    for name in ("cat.png", "waves.png"):
        shutil.copy(name, "elsewhere")
    assert "all of them" in desk("rerun", "elsewhere/x.png", "-o", "again.png").err


def test_rerun_refuses_changed_sources_unless_forced(desk: Desk) -> None:
    desk.transfer("-q", "-o", "x.png")
    paint(Path("cat.png"), 7)
    ran = desk("rerun", "x.png")
    assert ran.code == 4
    assert ran.error == "cat.png is not the file that x.png was made from"
    assert "--force" in ran.hint
    assert not Path("x-rerun.png").exists()
    ran = desk("rerun", "x.png", "--force")
    assert ran.code == 0
    assert "the pixels differ from x.png by up to" in ran.err

    paint(Path("cat.png"), 7, (80, 48))
    assert "the size is not that of x.png" in desk("rerun", "x.png", "--force", "--overwrite").err


def test_rerun_may_replace_the_picture_and_still_compares(desk: Desk) -> None:
    desk.transfer("-q", "-o", "x.png")
    picture = read_picture("x.png")
    write_picture("x.png", 1 - picture.pixels, recipe=read_recipe("x.png"), overwrite=True)
    assert desk("rerun", "x.png", "-o", "x.png").code == 8
    ran = desk("rerun", "x.png", "-o", "x.png", "--overwrite")
    assert ran.code == 0
    assert "the pixels differ" in ran.err
    assert torch.equal(read_picture("x.png").pixels, picture.pixels)


def test_rerun_reports_in_json(desk: Desk) -> None:
    desk.transfer("-q", "-o", "x.png")
    ran = desk("rerun", "x.png", "--json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert events[-1] == {"event": "compared", "picture": "x.png", "largest_difference": 0.0}
    assert ran.err == ""


def test_rerun_wants_the_same_weights(desk: Desk) -> None:
    desk.transfer("-q", "-o", "x.png")
    edit("x.png", weights_sha256="0" * 64)
    ran = desk("rerun", "x.png", "-q")
    assert ran.code == 5
    assert "the recipe was made with 0000000000000000" in ran.error
    assert "--force" in ran.hint
    assert desk("rerun", "x.png", "-q", "--force").code == 0


def test_rerun_wants_a_device_that_exists(desk: Desk) -> None:
    desk.transfer("-q", "-o", "x.png")
    recipe = stored("x.png")
    edit("x.png", machine={**recipe["machine"], "device": "cuda:99"})
    assert desk("rerun", "x.png").code == 6
    assert desk("rerun", "x.png", "--device", "cpu").code == 0


def edit(path: str, **changes: object) -> None:
    """Change a picture's recipe by hand."""
    recipe = {**stored(path), **changes}
    write_picture(path, read_picture(path).pixels, recipe=json.dumps(recipe), overwrite=True)


@pytest.mark.parametrize("command", ["show", "rerun"])
def test_pictures_without_a_recipe(desk: Desk, command: str) -> None:
    desk.transfer("-q", "-o", "x.bmp")
    desk.transfer("-q", "-o", "x.png")
    with Image.open("x.png") as picture:
        picture.save("edited.png")
    for name in ("cat.png", "x.bmp", "edited.png"):
        ran = desk(command, name)
        assert (ran.code, ran.out) == (4, "")
        assert ran.error == f"{name} carries no recipe"
        assert ran.hint


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no json {", "it is not JSON"),
        ("[" * 5000, "it is not JSON"),
        ("[1]", "it names no schema"),
        ('{"schema": "com.example.paint"}', "it names no schema"),
        ('{"schema": 99}', "its schema is 99, this version knows 2"),
        ('{"schema": 1}', "required field"),
    ],
)
@pytest.mark.parametrize("command", ["show", "rerun"])
def test_recipes_of_others(desk: Desk, command: str, text: str, reason: str) -> None:
    write_picture("other.png", read_picture("cat.png").pixels, recipe=text)
    ran = desk(command, "other.png")
    assert (ran.code, ran.out) == (4, "")
    assert reason in ran.error
    assert ran.hint


def test_pictures_of_every_kind_can_be_made_again() -> None:
    assert set(RERUNS) == set(KINDS)


def test_recipes_changed_by_hand(desk: Desk) -> None:
    desk.transfer("-q", "-o", "x.png")
    recipe = stored("x.png")
    sources = recipe["sources"]
    odd = {**sources["content"], "path": "\x1b[2J\n[red]"}
    for change, code, error in (
        ({"config": {**recipe["config"], "schedule.size": -4}}, 3, "schedule.size = -4 (recipe)"),
        ({"config": {**recipe["config"], "style.loud": 1}}, 3, "unknown setting 'style.loud'"),
        ({"backbone": "vgg20"}, 5, "unknown backbone 'vgg20'"),
        ({"machine": {**recipe["machine"], "threads": 0}}, 4, "threads"),
        ({"machine": {**recipe["machine"], "precision": "fp8"}}, 3, "runtime.precision = 'fp8'"),
        ({"outcome": {**recipe["outcome"], "seconds": 1e400}}, 4, "not JSON"),
        ({"sources": {**sources, "content": odd}}, 4, r"\x1b[2J\n[red]"),
        ({"sources": {"style": sources["style"]}}, 4, "names no content picture"),
        ({"kind": "caricature"}, 4, "the recipe in x.png names no layer"),
    ):
        edit("x.png", **{**recipe, **change})
        ran = desk("rerun", "x.png", "--overwrite")
        assert ran.code == code
        assert error in ran.error
        assert ran.hint

    edit("x.png", **{**recipe, "machine": {**recipe["machine"], "threads": 100_000}})
    assert desk("rerun", "x.png", "-q").code == 0, "a machine of many cores is not imitated"


def test_pictures_of_schema_1_are_shown_and_made_again(desk: Desk) -> None:
    desk.transfer("-q", "-o", "x.png")
    recipe = stored("x.png")
    sources = recipe.pop("sources")
    old = json.dumps({**recipe, **sources, "schema": 1})
    write_picture("x.png", read_picture("x.png").pixels, recipe=old, overwrite=True)
    assert "content   cat.png, 64×48" in desk("show", "x.png").out
    assert "all of them" in desk("rerun", "x.png").err


def test_show_tells_everything(desk: Desk) -> None:
    desk.transfer("-q", "--strength", "0.4", "-o", "x.png")
    lines = desk("show", "x.png").out.splitlines()
    facts = dict(line.split(maxsplit=1) for line in lines if " = " not in line)
    assert facts["kind"] == "transfer"
    assert facts["content"].startswith("cat.png, 64×48, sha256 ")
    assert facts["result"] == "48×36, 8 bit"
    assert facts["steps"].startswith("2 of 2 in ")
    assert facts["backbone"].startswith("vgg-lite, weights ")
    assert "strength = 0.4  # --strength" in lines
    assert not any("# default" in line for line in lines)
    assert "style.scale = 1.0  # default" in desk("show", "x.png", "--all").out
    assert json.loads(desk("show", "x.png", "--json").out) == stored("x.png")
