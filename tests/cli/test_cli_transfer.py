"""`styler transfer`: names, formats, what it says and where."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from cli_desk import TINY, Desk
from PIL import Image

from styler.errors import ExitCode
from styler.images import read_picture


def test_the_default_name_is_made_of_both(desk: Desk) -> None:
    Path("cat.png").rename("chelsea.png")
    Path("waves.png").rename("flow_field.png")
    assert (
        desk("transfer", "chelsea.png", "flow_field.png", *TINY).out == "chelsea+flow_field.png\n"
    )
    assert read_picture("chelsea+flow_field.png").size == (36, 48)


def test_nothing_is_overwritten_unasked(desk: Desk) -> None:
    Path("cat+waves.png").write_bytes(b"mine")
    ran = desk.transfer()
    assert ran.code == 8
    assert ran.error == "cat+waves.png already exists"
    assert Path("cat+waves.png").read_bytes() == b"mine"
    assert desk.transfer("--overwrite").code == 0
    assert read_picture("cat+waves.png").size == (36, 48)


@pytest.mark.parametrize(
    "name",
    ["with space.png", "[red]x[bold].png", "ünï 日本.png", "--lead.png", ":cat:.png", "a\nb.png"],
)
def test_odd_names_are_printed_as_they_are(desk: Desk, name: str) -> None:
    ran = desk.transfer("-q", "-o", name)
    assert (ran.code, ran.out, ran.err) == (0, f"{name}\n", "")
    shown = desk("show", "--json", "--", name)
    assert json.loads(shown.out)["sources"]["content"]["path"] == "cat.png"
    assert "content   cat.png" in desk("show", "--", name).out


def test_hostile_names_do_not_reach_the_terminal(desk: Desk) -> None:
    ran = desk("transfer", "no\x1b[31m\nthere.png", "waves.png")
    assert ran.error == r"no such file: no\x1b[31m\nthere.png"


def test_content_and_style_may_be_the_same_file(desk: Desk) -> None:
    assert desk("transfer", "cat.png", "cat.png", *TINY).out == "cat+cat.png\n"


def test_every_line_of_json_is_json(desk: Desk) -> None:
    ran = desk.transfer("--json", "--steps", "3")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["event"] for event in events] == ["start", "step", "step", "step", "done"]
    assert events[0]["backbone"] == "vgg-lite"
    assert events[0]["scales"] == [{"size": [36, 48], "steps": 3}]
    assert [event["done"] for event in events[1:4]] == [1, 2, 3]
    assert events[-1]["output"] == "cat+waves.png"
    assert events[-1]["interrupted"] is False
    assert set(events[-1]["losses"]) == {"content", "style", "smoothness", "total"}
    assert ran.err == ""


def test_an_error_is_an_event_too(desk: Desk) -> None:
    ran = desk.transfer("--json", "-o", "x.gif")
    event = json.loads(ran.out)
    assert event["event"] == "error"
    assert event["exit_code"] == ran.code == 8
    assert (event["message"], event["hint"]) == (ran.error, ran.hint)


def test_plain_progress_has_no_control_characters(desk: Desk) -> None:
    ran = desk.transfer()
    assert ran.out == "cat+waves.png\n"
    assert re.search(r"^step 2/2  scale 1/1  48×36  content \S+  style \S+", ran.err, re.MULTILINE)
    assert all(character.isprintable() or character == "\n" for character in ran.err)


def test_quiet_leaves_only_the_path(desk: Desk) -> None:
    ran = desk.transfer("--quiet")
    assert (ran.out, ran.err) == ("cat+waves.png\n", "")


def test_one_command_does_not_change_the_next(desk: Desk) -> None:
    desk.transfer("--json", "-o", "one.png")
    ran = desk.transfer("-o", "two.png")
    assert ran.out == "two.png\n"
    assert "backbone vgg-lite" in ran.err


def test_a_dry_run_plans_and_writes_nothing(desk: Desk) -> None:
    ran = desk.transfer("--dry-run", "--steps", "7", "--style-layers", "r41")
    scale, size, steps, tiles, memory = ran.out.splitlines()[1].split()[:5]
    assert (scale, size, steps, tiles) == ("1", "48×36", "7", "none")
    assert float(memory) > 0
    assert "output cat+waves.png" in ran.out
    assert desk.files() == {"cat.png", "waves.png"}

    events = [json.loads(line) for line in desk.transfer("-n", "--json").out.splitlines()]
    assert [event["event"] for event in events] == ["start", "plan"]
    assert events[1]["seconds"] > 0


def test_a_plan_keeps_to_the_memory_it_is_given(desk: Desk) -> None:
    size = ("--size", "2048", "--steps", "1", "--plan", "--precision", "fp32")
    whole = desk.transfer(*size, "--max-memory", "64GiB").out.splitlines()[-3].split()
    tiled = desk.transfer(*size, "--max-memory", "1.5GB").out.splitlines()[-3].split()
    assert whole[1] == tiled[1] == "2048×1536"
    assert whole[3] == "none"
    assert int(tiled[3]) < 2048
    assert float(tiled[4].replace(",", "")) < 1500 < float(whole[4].replace(",", ""))

    ran = desk.transfer("--max-memory", "much")
    assert ran.code == ExitCode.CONFIG
    assert "--max-memory much is no amount of memory" in ran.err
    ran = desk.transfer("--size", "4096", "--steps", "1", "--max-memory", "100MB", "--plan")
    assert ran.code == ExitCode.DEVICE
    assert "4096×3072 with vgg-lite needs about" in ran.err
    assert desk.files() == {"cat.png", "waves.png"}


def test_no_steps_give_the_content_with_a_recipe(desk: Desk) -> None:
    assert desk("transfer", "cat.png", "waves.png", "--steps", "0", "-o", "same.png").code == 0
    assert torch.equal(read_picture("same.png").pixels, read_picture("cat.png").pixels)
    assert "steps     0 of 0" in desk("show", "same.png").out
    assert desk("rerun", "same.png").code == 0


def test_strength_goes_from_the_content_to_the_style(desk: Desk) -> None:
    def distance(strength: str) -> float:
        name = f"{strength}.png"
        assert (
            desk(
                "transfer",
                "cat.png",
                "waves.png",
                "--steps",
                "6",
                "--strength",
                strength,
                "-o",
                name,
            ).code
            == 0
        )
        return float((read_picture(name).pixels - read_picture("cat.png").pixels).abs().mean())

    none, some, all_ = (distance(strength) for strength in ("0", "0.5", "1"))
    assert none == 0
    assert 0 < some < all_


def test_a_flag_beats_set_which_beats_the_preset(desk: Desk) -> None:
    Path("mine.toml").write_text(
        'schema = 1\nkind = "transfer"\nstrength = 0.1\nschedule.steps = [1]\n'
    )
    words = [
        "-p",
        "mine.toml",
        "--set",
        "strength=0.2",
        "--set",
        "style.scale=2",
        "--strength",
        "0.3",
    ]
    assert desk("transfer", "cat.png", "waves.png", "--size", "48", *words).code == 0
    shown = desk("show", "cat+waves.png").out
    assert "strength = 0.3  # --strength" in shown
    assert "style.scale = 2.0  # --set" in shown
    assert "schedule.steps = [1]  # preset mine" in shown


def opened(path: str) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture.copy()


def modes() -> dict[str, Image.Image]:
    """One picture in many kinds, (width, height) = (40, 30)."""
    colours = opened("cat.png").resize((40, 30))
    clear = colours.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize((40, 30)))
    return {
        "rgba.png": clear,
        "palette.png": colours.convert("P"),
        "grey.png": colours.convert("L"),
        "black-and-white.png": colours.convert("1"),
        "cmyk.jpg": colours.convert("CMYK"),
        "film.gif": colours.convert("P"),
        "clear.webp": clear,
    }


def test_all_kinds_of_pictures_are_taken(desk: Desk) -> None:
    for name, picture in modes().items():
        picture.save(name)
        assert (
            desk(
                "transfer", name, "waves.png", "-q", "--steps", "1", "-o", "x.png", "--overwrite"
            ).code
            == 0
        )
        with Image.open("x.png") as result:
            assert result.size == (40, 30)
            assert result.mode == ("RGBA" if picture.mode == "RGBA" else "RGB")


def test_a_turned_photograph_comes_out_upright(desk: Desk) -> None:
    exif = Image.Exif()
    exif[274] = 6
    opened("cat.png").save("turned.jpg", exif=exif)
    assert (
        desk("transfer", "turned.jpg", "waves.png", "-q", "--steps", "1", "-o", "x.jpg").code == 0
    )
    with Image.open("x.jpg") as result:
        assert result.size == (48, 64)
        assert result.getexif()[274] == 1


@pytest.mark.parametrize("ending", ["png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp"])
def test_all_formats_are_written(desk: Desk, ending: str) -> None:
    assert desk.transfer("-q", "-o", f"x.{ending}").code == 0
    assert read_picture(f"x.{ending}").size == (36, 48)
