"""What people write for a target, and what it means in a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from traced_builders import hollow, picture

from styler.attribution import find_target
from styler.errors import ConfigError, ImageError
from styler.features import Extractor, Preprocessing, extractor_of, load_extractor


class Colours(nn.Module):
    """Classes that are the channels of the picture: of places, or as a whole."""

    def __init__(self, pooled: bool, classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 1, bias=False)
        self.pooled = pooled
        weight = torch.zeros(classes, 3, 1, 1)
        weight[:3, :, 0, 0] = torch.eye(3)
        self.conv.weight = nn.Parameter(weight)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.conv(image)
        return maps.mean((2, 3)) if self.pooled else maps  # type: ignore[no-any-return]


def colours(pooled: bool = True, classes: int = 3) -> Extractor:
    plain = Preprocessing(mean=(0.0, 0.0, 0.0))
    return extractor_of(Colours(pooled, classes), name="colours", preprocessing=plain)


IMAGE = torch.zeros(1, 3, 20, 24)
IMAGE[:, 0] = 0.25
IMAGE[:, 1, 5, 7] = 1.0
IMAGE[:, 2, 10:] = 0.75


@pytest.mark.parametrize("pooled", [True, False], ids=["vector", "map"])
def test_the_likeliest_class_is_the_default(pooled: bool) -> None:
    target = find_target(None, IMAGE, colours(pooled))
    assert (target.name, target.layer, target.channel) == ("logits:2", "logits", 2)
    assert target.score == pytest.approx(0.375)
    assert target.place == (None if pooled else "mean")


@pytest.mark.parametrize("text", ["1", " 1 ", "logits:1", "LOGITS:1"])
def test_a_class_by_its_index_is_its_mean(text: str) -> None:
    for pooled in (True, False):
        target = find_target(text, IMAGE, colours(pooled))
        assert (target.name, target.channel) == ("logits:1", 1)
        assert target.score == pytest.approx(1 / (20 * 24))


@pytest.mark.parametrize(
    "text", ["goldfish", "Goldfish", "logits:goldfish", "logits:1 goldfish", "1"]
)
def test_a_class_by_its_label(text: str) -> None:
    target = find_target(text, IMAGE, colours(classes=1000))
    assert (target.name, target.channel) == ("logits:1 goldfish", 1)


def test_labels_of_a_network_of_torchvision() -> None:
    assert find_target("school bus", picture(64, 64), hollow("squeezenet1_0")).channel == 779


def test_a_channel_is_looked_at_where_it_is_strongest() -> None:
    target = find_target("conv:1", IMAGE, colours())
    assert (target.name, target.place, target.score) == ("conv:1@5,7", (5, 7), 1.0)


@pytest.mark.parametrize(
    ("text", "place", "score"),
    [("conv:1@5,7", (5, 7), 1.0), ("conv:2@19,23", (19, 23), 0.75),
     ("conv:0@centre", (10, 12), 0.25), ("logits:2@0,0", (0, 0), 0.0)],
)  # fmt: skip
def test_a_place_is_taken_as_it_is(text: str, place: tuple[int, int], score: float) -> None:
    target = find_target(text, IMAGE, colours(pooled=False))
    assert (target.place, target.score) == (place, score)


def test_a_target_gives_the_activation_of_each_picture() -> None:
    target = find_target("conv:1@5,7", IMAGE, colours())
    features = torch.arange(2 * 3 * 20 * 24.0).view(2, 3, 20, 24)
    assert torch.equal(target.of(features), features[:, 1, 5, 7])
    mean = find_target("1", IMAGE, colours(pooled=False))
    torch.testing.assert_close(mean.of(features), features[:, 1].mean((1, 2)))
    assert target.of(features.bfloat16()).dtype == torch.float32
    assert target.of(features.double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("goldfsh", "unknown class 'goldfsh'", "goldfish"),
        ("1000", "there is no class 1000", "999"),
        ("logits:-3", "has a weight", "goldfish"),
        ("conv", "conv is a whole layer", "conv:0"),
        ("conv:0-3", "4 units", "one|name"),
        ("conv:0+conv:1", "2 units", "name"),
        ("0.5*conv:0", "has a weight", "name"),
        ("conv:1000", "no channel 1000", "1000"),
        ("konv:0", "unknown layer 'konv'", "conv"),
        ("conv:0@20,0", "20×24 places in this picture, got 20,0", "@19,23"),
        ("conv:0@left", "@left is no position", "@centre"),
        ("logits:1@0,0", "units of logits have no places", "@"),
    ],
)
def test_mistakes_say_what_is_wrong(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_target(text, IMAGE, colours(classes=1000))
    assert message in caught.value.message
    assert any(word in str(caught.value.hint) for word in hint.split("|"))


def test_a_network_without_classes_wants_a_unit(tmp_path: Path) -> None:
    extractor = load_extractor("vgg-lite")
    with pytest.raises(ConfigError, match="vgg-lite knows no classes: a target is needed") as none:
        find_target(None, IMAGE, extractor)
    assert "--backbone squeezenet1_0" in str(none.value.hint)
    with pytest.raises(ConfigError, match="knows no classes, got 'goldfish'"):
        find_target("goldfish", IMAGE, extractor)
    with pytest.raises(ConfigError, match="whole layer"):
        find_target("relu4_1", IMAGE, extractor)
    np.save(tmp_path / "vector.npy", np.ones(extractor.channels("relu1_1"), np.float32))
    with pytest.raises(ConfigError, match="a direction"):
        find_target(f"relu1_1:{tmp_path / 'vector.npy'}", IMAGE, extractor)


def test_a_picture_that_is_too_small_is_refused() -> None:
    with pytest.raises(ImageError, match="too small for relu5_1"):
        find_target("relu5_1:3", picture(8, 8), load_extractor("vgg-lite"))
