"""`styler attribute` as a person uses it, and as it is misused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from cli_desk import Desk, paint
from PIL import Image

from styler.attribution.methods import CAPTUM_METHODS, METHODS
from styler.attribution.sampled import captum_attributions
from styler.attribution.settings import Baseline
from styler.cli import attribute as module
from styler.errors import ConfigError
from styler.images import read_picture

OWN = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )

def linear():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""
FREE = tuple(method for method in METHODS if method not in CAPTUM_METHODS)
SMALL = ("--size", "48")
UNIT = ("-t", "relu3_1:5")


def test_a_unit_gets_a_picture_and_a_map_of_the_photographs_size(desk: Desk) -> None:
    ran = desk("attribute", "cat.png", *UNIT, *SMALL)
    assert (ran.code, ran.out) == (0, "cat-gradcam.png\n"), ran.err
    assert re.search(r"^target relu3_1:5@\d+,\d+  \d", ran.err, re.MULTILINE)
    assert re.search(r"^gradcam  \S+ s  at conv3_1$", ran.err, re.MULTILINE)
    assert "likeliest" not in ran.err
    assert read_picture("cat-gradcam.png").size == (48, 64)
    values = np.load("cat-gradcam.npy")
    assert (values.shape, values.dtype) == ((48, 64), np.float32)
    assert values.min() >= 0
    assert values.max() > 0
    assert desk.files() == {"cat.png", "waves.png", "cat-gradcam.png", "cat-gradcam.npy"}


def test_several_methods_get_a_sheet(desk: Desk) -> None:
    words = ("-m", "gradient, guided", "-m", "deconv,gradcam++", "-m", "guided", "-o", "why/here")
    ran = desk("attribute", "cat.png", *UNIT, *SMALL, *words)
    assert ran.code == 0, ran.err
    names = ["gradient", "guided", "deconv", "gradcam++"]
    folder = desk.folder / "why" / "here"
    assert {path.name for path in folder.iterdir()} == {
        "cat-attribution.png",
        *(f"cat-{name}.{ending}" for name in names for ending in ("png", "npy")),
    }
    assert ran.out.splitlines() == [f"why/here/cat-{name}.png" for name in (*names, "attribution")]
    height, width = read_picture(folder / "cat-attribution.png").size
    assert width > 3 * 256
    assert height > 256


def test_one_method_into_one_file(desk: Desk) -> None:
    ran = desk("attribute", "cat.png", *UNIT, *SMALL, "-m", "guided", "-o", "one.jpg")
    assert (ran.code, ran.out) == (0, "one.jpg\n")
    assert desk.files() == {"cat.png", "waves.png", "one.jpg", "one.npy"}


def test_the_likeliest_class_is_said(desk: Desk) -> None:
    Path("mine.py").write_text(OWN)
    ran = desk("attribute", "cat.png", "--backbone", "mine.py:net", *SMALL)
    assert ran.code == 0, ran.err
    assert re.search(
        r"^target logits:\d  \S+, the likeliest class; --target names another$", ran.err,
        re.MULTILINE,
    )  # fmt: skip
    assert "at 3" in ran.err
    named = desk(
        "attribute", "cat.png", "-t", "2", "--backbone", "mine.py:net", *SMALL, "-o", "x", "-n"
    )
    assert "target logits:2" in named.err


def test_all_is_all_there_is(desk: Desk) -> None:
    pytest.importorskip("captum.attr", reason="captum is not installed")
    words = ("--samples", "2", "--steps", "40", "--window", "24", "--stride", "24", "-o", "all")
    ran = desk("attribute", "cat.png", *UNIT, *SMALL, "-m", "all", *words)
    assert ran.code == 0, ran.err
    assert len(list((desk.folder / "all").iterdir())) == 2 * len(METHODS) + 1
    assert re.search(r"integrated .* gained within \d+\.\d%", ran.err)


def test_all_without_captum_is_the_rest(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'captum'")

    monkeypatch.setattr("importlib.import_module", missing)
    ran = desk("attribute", "cat.png", *UNIT, *SMALL, "-m", "all")
    assert ran.code == 0, ran.err
    assert "without Captum: smoothgrad, integrated, occlusion left out" in ran.err
    assert [Path(line).stem.removeprefix("cat-") for line in ran.out.splitlines()] == [
        *FREE, "attribution",
    ]  # fmt: skip
    ran = desk("attribute", "cat.png", *UNIT, *SMALL, "-m", "occlusion", "-q")
    assert ran.code == 3
    assert "need Captum" in ran.error
    assert "pip install 'styler[attribution]'" in ran.hint


def test_the_same_command_gives_the_same_bytes(desk: Desk) -> None:
    words = [*UNIT, *SMALL, "-m", "guided,gradcam", "-q"]
    if _has_captum():
        words += ["-m", "smoothgrad", "--samples", "3", "--seed", "5"]
    for folder in ("one", "two"):
        assert desk("attribute", "cat.png", *words, "-o", folder).code == 0
    one, two = ({path.name: path.read_bytes() for path in (desk.folder / f).iterdir()}
                for f in ("one", "two"))  # fmt: skip
    assert one == two


def _has_captum() -> bool:
    try:
        captum_attributions()
    except ConfigError:
        return False
    return True


def test_json_events(desk: Desk) -> None:
    ran = desk("attribute", "cat.png", *UNIT, *SMALL, "-m", "guided,gradcam", "--json")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["event"] for event in events] == ["start", "method", "method", "done"]
    assert events[0]["target"].startswith("relu3_1:5@")
    assert (events[0]["backbone"], events[0]["size"]) == ("vgg-lite", [48, 64])
    assert (events[2]["layer"], events[2]["picture"]) == ("conv3_1", "cat-gradcam.png")
    assert events[3]["sheet"] == "cat-attribution.png"
    assert ran.err == ""


def test_a_dry_run_writes_nothing(desk: Desk) -> None:
    ran = desk("attribute", "cat.png", *UNIT, "-m", "guided,gradcam", "-o", "new", "-n")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[:5] == [
        "new/cat-guided.png", "new/cat-guided.npy", "new/cat-gradcam.png", "new/cat-gradcam.npy",
        "new/cat-attribution.png",
    ]  # fmt: skip
    assert "2 methods, seen at 299×224" in ran.out
    assert "about" in ran.out
    assert desk.files() == {"cat.png", "waves.png"}
    events = desk("attribute", "cat.png", *UNIT, "-n", "--json").out.splitlines()
    assert [json.loads(line)["event"] for line in events] == ["start", "plan"]


def test_what_is_there_is_kept_unless_it_may_be_replaced(desk: Desk) -> None:
    words = ("attribute", "cat.png", *UNIT, *SMALL, "-q")
    assert desk(*words).code == 0
    before = Path("cat-gradcam.png").read_bytes()
    ran = desk(*words)
    assert (ran.code, ran.error) == (8, "cat-gradcam.png already exists")
    Path("cat-gradcam.png").unlink()
    assert desk(*words).error == "cat-gradcam.npy already exists"
    assert desk(*words, "--overwrite").code == 0
    assert Path("cat-gradcam.png").read_bytes() == before


def test_a_transparent_photograph_and_one_of_one_pixel(desk: Desk) -> None:
    pixels = np.full((30, 40, 4), 128, np.uint8)
    pixels[:, :20, 3] = 0
    Image.fromarray(pixels).save("clear.png")
    Image.new("RGB", (1, 1), "red").save("dot.png")
    for name in ("clear", "dot"):
        assert desk("attribute", f"{name}.png", *UNIT, *SMALL, "-m", "guided,gradcam").code == 0
    assert np.load("dot-guided.npy").shape == (1, 1)


def test_a_photograph_that_stands_upright_has_a_sheet_too(desk: Desk) -> None:
    paint(desk.folder / "tall.png", 3, (30, 90))
    ran = desk("attribute", "tall.png", *UNIT, *SMALL, "-m", "guided,gradcam")
    assert ran.code == 0, ran.err
    assert read_picture("tall-attribution.png").size == (280, 272)
    assert np.load("tall-gradcam.npy").shape == (90, 30)


def test_names_that_are_not_ascii(desk: Desk) -> None:
    paint(desk.folder / "naïve 写真.png", 3)
    ran = desk("attribute", "naïve 写真.png", *UNIT, *SMALL)
    assert (ran.code, ran.out) == (0, "naïve 写真-gradcam.png\n")


@pytest.mark.parametrize(
    ("words", "code", "error", "hint"),
    [
        ("dog.png", 4, "no such file: dog.png", "cat.png"),
        ("cat.png", 3, "knows no classes: a target is needed", "--target"),
        ("cat.png -t goldfish", 3, "knows no classes, got 'goldfish'", "squeezenet1_0"),
        ("cat.png -t relu31_:5", 3, "unknown layer", "relu3_1"),
        ("cat.png -t relu3_1:999", 3, "no channel 999", "from 0"),
        ("cat.png -t relu3_1", 3, "a whole layer", "relu3_1:0"),
        ("cat.png -t relu3_1:1@99,0", 3, "places in this picture", "@centre"),
        ("cat.png -t relu3_1:1 -m gradcan", 3, "unknown method 'gradcan'", "gradcam"),
        ("cat.png -t relu3_1:1 -m ,", 3, "no method is named", "gradcam"),
        ("cat.png -t relu3_1:1 --layer relu3_2", 3, "does not depend on relu3_2", "before"),
        ("cat.png -t relu3_1:1 --layer relu99", 3, "unknown layer 'relu99'", ""),
        ("cat.png -t relu3_1:1 --samples 0", 3, "samples = 0 (--samples)", ">= 1"),
        ("cat.png -t relu3_1:1 --baseline pink", 3, "baseline = 'pink'", "choose auto, black"),
        ("cat.png -t relu3_1:1 --stride 40", 3, "leave gaps", "stride"),
        ("cat.png -t relu5_1:1 --size 8", 4, "too small for relu5_1", "at least"),
        ("cat.png -t relu5_1:1 --size 9000", 4, "more than 2,097,152", "--size"),
        ("cat.png -t relu3_1:1 --size 0", 3, "side = 0 (--size)", ">= 1"),
        ("cat.png -t relu3_1:1 --backbone squeezenet", 5, "unknown backbone", "squeezenet1_0"),
        ("cat.png -t relu3_1:1 --device cuda:99", 6, "cuda:99", "doctor"),
        ("cat.png -t relu3_1:1 --precision fp16", 3, "runtime.precision", "fp32"),
        ("cat.png -t relu3_1:1 -m guided,deconv -o x.png", 2, "cannot all be x.png", "folder"),
        ("cat.png -t relu3_1:1 -o cat.png --overwrite", 8, "explained picture itself", "-o"),
        ("cat.png -t relu3_1:1 -o waves.png/x", 8, "waves.png is a file", "-o"),
        ("cat.png -t relu3_1:1 -o none/x.png", 8, "none does not exist", "create"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(
    desk: Desk, words: str, code: int, error: str, hint: str
) -> None:
    before = desk.files()
    ran = desk("attribute", *words.split(), "-q")
    assert (ran.code, ran.out) == (code, ""), ran.err
    assert error in ran.error
    assert hint in ran.hint
    assert desk.files() == before


def test_a_rule_for_relus_of_a_network_without_any(desk: Desk) -> None:
    Path("mine.py").write_text(OWN)
    ran = desk("attribute", "cat.png", "-m", "guided", "--backbone", "mine.py:linear", "-q")
    assert ran.code == 3
    assert "no ReLU" in ran.error


def test_the_shell_offers_what_there_is() -> None:
    assert module.NAMES == METHODS
    assert get_args(Baseline) == module.BASELINES


def test_help_has_examples_and_groups(desk: Desk) -> None:
    ran = desk("attribute", "--help")
    assert ran.code == 0
    assert "styler attribute dog.jpg" in ran.out
    groups = re.findall(r"─ ([A-Z][a-z ]+) ─", ran.out)
    assert groups == [
        "Arguments",
        "Options",
        "Look",
        "Size and effort",
        "Network and machine",
        "Output",
    ]
    assert desk("attribute").code == 2
