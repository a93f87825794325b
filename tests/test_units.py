"""What people write for units, and what they get wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from styler.activation import Part
from styler.directions import read_direction
from styler.errors import ConfigError, ImageError, StylerError
from styler.features import Extractor, extractor_of, load_extractor
from styler.units import file_stem, parse_units


@pytest.fixture(scope="module")
def lite() -> Extractor:
    return load_extractor("vgg-lite")


@pytest.fixture(scope="module")
def classifier() -> Extractor:
    """A network of 1000 classes, and of few weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(4, 1000),
        )
    return extractor_of(model, name="small")


def names(texts: list[str], extractor: Extractor, between: int = 5) -> list[str]:
    return [unit.name for unit in parse_units(texts, extractor, between=between)]


def test_a_channel_a_range_all_and_a_whole_layer(lite: Extractor) -> None:
    assert names(["r41:37", "relu4_1:0-2", "relu2_1"], lite) == [
        "relu4_1:37",
        "relu4_1:0",
        "relu4_1:1",
        "relu4_1:2",
        "relu2_1",
    ]
    assert len(names(["relu1_1:all"], lite)) == lite.channels("relu1_1")


def test_each_unit_comes_once(lite: Extractor) -> None:
    assert names(["relu4_1:1", "relu4_1:0-2"], lite) == ["relu4_1:1", "relu4_1:0", "relu4_1:2"]


def test_positions_signs_sums_and_factors(lite: Extractor) -> None:
    (unit,) = parse_units(["relu3_1:4@3,5+0.5*relu4_1:-7+relu4_1@centre"], lite)
    assert unit.parts == (
        Part("relu3_1", channel=4, position=(3, 5)),
        Part("relu4_1", channel=7, weight=-0.5),
        Part("relu4_1", position="centre"),
    )
    assert unit.layers == {"relu3_1", "relu4_1"}


def test_from_one_unit_to_another_both_ends_are_the_units_themselves(lite: Extractor) -> None:
    first, middle, last = parse_units(["relu4_1:1..relu3_1:2"], lite, between=3)
    assert first.parts == (Part("relu4_1", channel=1),)
    assert last.parts == (Part("relu3_1", channel=2),)
    assert [part.weight for part in middle.parts] == [0.5, 0.5]


@pytest.mark.parametrize(
    "text",
    [
        "relu4_1:37",
        "relu4_1:-37@centre",
        "relu3_1:4@3,5+0.5*relu4_1:7",
        "relu4_1:1..relu3_1:2",
        "relu2_1",
    ],
)
def test_the_name_of_a_unit_means_the_same_unit(text: str, lite: Extractor) -> None:
    for unit in parse_units([text], lite):
        assert parse_units([unit.name], lite) == [unit]


def test_classes_by_label_and_index_and_their_names_again(classifier: Extractor) -> None:
    (fish,) = parse_units(["logits:goldfish"], classifier)
    assert fish.name == "logits:1 goldfish"
    assert fish.parts == (Part("logits", channel=1),)
    assert parse_units(["logits:1"], classifier) == parse_units([fish.name], classifier) == [fish]
    assert file_stem(fish) == "logits_0001_goldfish"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("relu41_:3", "unknown layer", "relu4_1"),
        ("relu4_1:384", "no channel 384", "from 0 to 255"),
        ("relu4_1:0-256", "no channel 256", "from 0 to 255"),
        ("relu4_1:5-2", "empty", "relu4_1:2-5"),
        ("relu4_1:x", "no channel 'x'", "from 0 to 255"),
        ("relu4_1:3@top", "@top is no position", "@centre"),
        (":3", "names no layer", "LAYER:CHANNEL"),
        ("relu4_1:3+", "names no layer", "LAYER:CHANNEL"),
        ("relu4_1:none.npy", "no such file", "vector"),
        ("logits:goldfish", "logits", "torchvision:"),
    ],
)
def test_what_cannot_be_read(text: str, message: str, hint: str, lite: Extractor) -> None:
    with pytest.raises(StylerError) as caught:
        parse_units([text], lite)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_mistyped_label_is_answered_with_the_closest(classifier: Extractor) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_units(["logits:goldfsh"], classifier)
    assert "goldfish" in (caught.value.hint or "")


def test_a_way_needs_two_ends(lite: Extractor) -> None:
    with pytest.raises(ConfigError):
        parse_units(["relu4_1:1..relu4_1:2"], lite, between=1)


def test_a_direction_from_every_kind_of_file(tmp_path: Path, lite: Extractor) -> None:
    vector = torch.randn(lite.channels("relu2_1"), generator=torch.Generator().manual_seed(3))
    np.save(tmp_path / "v.npy", vector.numpy())
    save_file({"v": vector}, tmp_path / "v.safetensors")
    (tmp_path / "v.json").write_text(json.dumps(vector.tolist()))
    (tmp_path / "v.txt").write_text("\n".join(map(str, vector.tolist())))
    (tmp_path / "v.csv").write_text(",".join(map(str, vector.tolist())))
    for file in sorted(tmp_path.iterdir()):
        torch.testing.assert_close(read_direction(str(file), "relu2_1", lite), vector)
        (unit,) = parse_units([f"relu2_1:{file}"], lite)
        assert unit.parts[0].direction is not None


def test_a_direction_from_pictures_is_the_mean_activation(tmp_path: Path, lite: Extractor) -> None:
    expected = torch.zeros(lite.channels("relu2_1"))
    for number, grey in enumerate((60, 200)):
        Image.new("RGB", (32, 24), (grey, 80, 90)).save(tmp_path / f"{number}.png")
        pixels = torch.tensor([grey, 80, 90]).view(1, 3, 1, 1).expand(1, 3, 24, 32) / 255
        expected += lite(pixels, ["relu2_1"])["relu2_1"].mean((0, 2, 3)) / 2
    torch.testing.assert_close(read_direction(str(tmp_path), "relu2_1", lite), expected)


def test_directions_that_are_none(tmp_path: Path, lite: Extractor) -> None:
    count = lite.channels("relu2_1")
    (tmp_path / "short.txt").write_text("1 2 3")
    (tmp_path / "zero.txt").write_text("0 " * count)
    (tmp_path / "words.txt").write_text("north")
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for name, message in (
        ("short.txt", f"holds 3 numbers, relu2_1 has {count} channels"),
        ("zero.txt", "no direction"),
        ("words.txt", "cannot read a vector"),
        ("pickle.npy", "cannot read a vector"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_direction(str(tmp_path / name), "relu2_1", lite)
        assert message in caught.value.message
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError):
        read_direction(str(tmp_path / "empty"), "relu2_1", lite)
