"""`styler style`, and saved styles and blends in `styler transfer` and `styler rerun`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from cli_desk import TINY, Desk, paint

from styler.images import read_picture, read_recipe


@pytest.fixture
def studio(desk: Desk) -> Desk:
    """A desk with a second style picture."""
    paint(Path("dots.png"), 3, (72, 72))
    return desk


def save(desk: Desk, picture: str, *words: str) -> str:
    ran = desk("style", "save", picture, "--backbone", "vgg-lite", *words)
    assert ran.code == 0, ran.err
    return ran.out.rstrip("\n")


def test_a_style_is_saved_shown_and_used(desk: Desk) -> None:
    ran = desk("style", "save", "waves.png", "--backbone", "vgg-lite")
    assert (ran.code, ran.out) == (0, "waves.style\n")
    assert ran.err.splitlines() == [
        "backbone vgg-lite (cpu, fp32)", "size 1/2  64×51", "size 2/2  80×64",
    ]  # fmt: skip

    lines = desk("style", "info", "waves.style").out.splitlines()
    assert lines[0].startswith("style     waves.png, 80×64, sha256 ")
    assert lines[1].startswith("backbone  vgg-lite, weights ")
    assert lines[1].endswith("average pooling, fp32")
    assert lines[2].startswith("layers    relu1_1 (32), ")
    assert lines[3] == "sizes     64, 80"

    shutil.move("waves.png", "elsewhere.png")
    words = ["--size", "64", "--steps", "2", "--precision", "fp32"]
    ran = desk("transfer", "cat.png", "waves.style", *words)
    assert (ran.code, ran.out) == (0, "cat+waves.png\n")
    assert "for a better one" not in ran.err  # the network is the file's
    desk("transfer", "cat.png", "elsewhere.png", *words, "-o", "x.png")
    one, two = (read_picture(name).pixels for name in ("cat+waves.png", "x.png"))
    assert float((one - two).abs().max()) <= 2 / 255


def test_info_gives_json_and_the_small_picture(desk: Desk) -> None:
    save(desk, "waves.png", "--style-layers", "r11,r21=0.5", "--size", "70", "-o", "w.style", "-q")
    ran = desk("style", "info", "w.style", "--json", "--thumbnail", "small.png")
    said = json.loads(ran.out)
    assert said["layers"] == {"relu1_1": 32, "relu2_1": 64}
    assert [max(size) for size in said["scales"]] == [64, 70]
    assert read_picture("small.png").size == (64, 80)
    difference = read_picture("small.png").pixels - read_picture("waves.png").pixels
    assert float(difference.abs().max()) < 1e-6
    assert desk("style", "info", "w.style", "--thumbnail", "small.png").code == 8


@pytest.mark.parametrize("name", ["with space.png", "[red]x[bold].png", "ünï 日本.png", "a\nb.png"])
def test_odd_names_of_pictures_are_kept(desk: Desk, name: str) -> None:
    shutil.move("waves.png", name)
    file = save(desk, name, "--style-layers", "relu1_1", "-q")
    assert file == str(Path(name).with_suffix(".style"))
    assert json.loads(desk("style", "info", file, "--json").out)["name"] == name
    ran = desk("transfer", "cat.png", f"{file}:0.5", *TINY, "--style-layers", "relu1_1", "-q")
    assert ran.out == f"cat+{Path(name).stem}.png\n"


def test_saving_in_json(desk: Desk) -> None:
    ran = desk("style", "save", "waves.png", "--json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["event"] for event in events] == ["scale", "scale", "done"]
    assert events[-1]["output"] == "waves.style"
    assert ran.err == ""


def test_mistakes_are_told_in_a_line(desk: Desk) -> None:
    save(desk, "waves.png", "--style-layers", "relu1_1", "-q")
    ran = desk("style", "save", "waves.png", "-q")
    assert (ran.code, ran.error) == (8, "waves.style already exists")
    for words, code, error, hint in (
        ([], 3, "waves.style has no statistics of relu2_1, relu3_1, ", "it has relu1_1; or save"),
        (["--pooling", "max"], 5, "waves.style was measured with average pooling, here it is max",
         "--pooling average"),
        # Before its weights are looked for, which are not here.
        (["--backbone", "vgg19"], 5, "waves.style was measured with vgg-lite, the network is vgg19",
         "--backbone vgg-lite"),
    ):  # fmt: skip
        ran = desk("transfer", "cat.png", "waves.style", *TINY, *words)
        assert ran.code == code
        assert ran.error.startswith(error)
        assert hint in ran.hint
    Path("fake.style").write_bytes(Path("waves.png").read_bytes())
    ran = desk("transfer", "cat.png", "fake.style", *TINY)
    assert (ran.code, ran.error.partition(": ")[0]) == (4, "no readable style")
    assert desk("transfer", "cat.png", "wavs.style").hint.startswith("did you mean waves.style")
    assert desk("style", "info", "cat.png").code == 4
    assert desk.files() == {"cat.png", "waves.png", "waves.style", "fake.style"}


def test_auto_does_not_call_what_a_file_names(desk: Desk) -> None:
    import dataclasses

    from styler.styles.file import read_style, write_style

    save(desk, "waves.png", "-q")
    saved = read_style("waves.style")
    Path("trap.py").write_text("from pathlib import Path\n\nPath('sprung').touch()\n")
    for name, hint in (("trap.py:net", "--backbone trap.py:net"), ("vgg19", "weights import")):
        record = dataclasses.replace(saved.record, backbone=name)
        write_style(Path("other.style"), record, saved.statistics)
        ran = desk("transfer", "cat.png", "other.style", *TINY)
        assert ran.code == 5
        assert hint in ran.hint
    assert not Path("sprung").exists()


def test_styles_are_blended_by_weight(studio: Desk) -> None:
    words = ["-q", "--size", "64", "--steps", "8", "--strength", "1", "--precision", "fp32"]

    def made(*styles: str) -> torch.Tensor:
        ran = studio("transfer", "cat.png", *styles, *words, "-o", "x.png", "--overwrite")
        assert ran.code == 0, ran.err
        return read_picture("x.png").pixels

    def distance(one: torch.Tensor, other: torch.Tensor) -> float:
        return float((one - other).abs().mean())

    waves, dots = made("waves.png"), made("dots.png")
    mostly_waves = made("waves.png:0.9", "dots.png:0.1")
    mostly_dots = made("waves.png:1", "dots.png:9")
    assert distance(mostly_waves, waves) < distance(mostly_waves, dots)
    assert distance(mostly_dots, dots) < distance(mostly_dots, waves)
    assert distance(made("waves.png", "waves.png:5"), waves) < 1e-3
    assert torch.equal(made("waves.png:7"), waves)
    save(studio, "waves.png", "-q")
    assert distance(made("waves.style:0.9", "dots.png:0.1"), mostly_waves) < 2e-3


def test_a_blend_is_named_recorded_and_made_again(studio: Desk) -> None:
    save(studio, "dots.png", "-q")
    words = ["cat.png", "waves.png:0.7", "dots.style:0.3"]
    ran = studio("transfer", *words, *TINY, "--init", "style", "-q")
    assert ran.out == "cat+waves+dots.png\n"
    name = "cat+waves+dots.png"
    recipe = json.loads(str(read_recipe(name)))
    assert recipe["weights"] == {"style": 0.7, "style 2": 0.3}
    assert recipe["sources"]["style 2"]["path"] == "dots.style"
    assert recipe["sources"]["style 2"]["size"] == [72, 72]
    shown = studio("show", name).out
    assert "style     waves.png, 80×64, " in shown
    assert "weight 0.7" in shown
    assert "style 2   dots.style, 72×72, " in shown
    ran = studio("rerun", name)
    assert "all of them" in ran.err
    assert torch.equal(read_picture(name).pixels, read_picture("cat+waves+dots-rerun.png").pixels)


def test_one_style_records_no_weight(desk: Desk) -> None:
    assert desk("transfer", "cat.png", "waves.png:0.2", *TINY, "-q", "-o", "x.png").code == 0
    assert json.loads(str(read_recipe("x.png")))["weights"] == {}


def test_rerun_finds_the_moved_styles_of_a_blend(studio: Desk) -> None:
    studio("transfer", "cat.png", "waves.png:2", "dots.png", *TINY, "-q", "-o", "x.png")
    Path("waves.png").rename("w.png")
    Path("dots.png").rename("d.png")
    ran = studio("rerun", "x.png")
    assert ran.error == "waves.png is not where the recipe says"
    assert ran.hint == "say where it is: --style FILE --style FILE, in the order of the recipe"
    ran = studio("rerun", "x.png", "--style", "d.png", "--style", "w.png")
    assert ran.error == "d.png is not the file that x.png was made from"
    ran = studio("rerun", "x.png", "--style", "w.png", "--style", "d.png", "--style", "d.png")
    assert (ran.code, ran.error) == (2, "3 styles given, x.png has 2")
    assert "all of them" in studio("rerun", "x.png", "--style", "w.png", "--style", "d.png").err


def test_weights_that_are_none_are_refused(desk: Desk) -> None:
    ran = desk("transfer", "cat.png", "waves.png:0,7", *TINY)
    assert (ran.code, ran.error) == (2, "'0,7' is no weight for waves.png")
    ran = desk("transfer", "cat.png", "waves.png:0", *TINY)
    assert (ran.code, ran.error) == (2, "the weight of waves.png is 0.0, expected more than 0")


def test_a_blend_replaces_none_of_its_sources(studio: Desk) -> None:
    ran = studio("transfer", "cat.png", "waves.png", "dots.png", "-o", "dots.png", "--overwrite")
    assert (ran.code, ran.error) == (8, "the output is the style 2 picture itself")
