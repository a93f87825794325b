"""Two pictures seen through the same views."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from styler.caricature import CaricatureTerm
from styler.config import SmoothnessConfig, UnitScheduleConfig, ViewConfig, VisualizeConfig
from styler.features import Extractor, extractor_of, load_extractor
from styler.invert import inversion_term
from styler.objective import Features
from styler.params import PixelImage
from styler.reference_gradient import ReferenceGradient, is_still
from styler.transforms import STILL

LAYER = "relu2_1"


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite")


def noise(seed: int, height: int = 40, width: int = 48) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=generator)
    return nn.functional.interpolate(coarse, (height, width), mode="bilinear")


def gradient_of(
    extractor: Extractor, view: ViewConfig, seed: int = 0, **settings: object
) -> ReferenceGradient:
    config = dataclasses.replace(
        VisualizeConfig(view=view, schedule=UnitScheduleConfig(steps=4)), **settings
    )
    generator = torch.Generator().manual_seed(seed)
    return ReferenceGradient(extractor, noise(1), LAYER, inversion_term, config, generator)


def test_still_pictures_are_compared_as_they_are(extractor: Extractor) -> None:
    smooth = SmoothnessConfig(weight=3.0, norm="l2", reduction="mean")
    gradient = gradient_of(extractor, STILL, range_weight=2.0, smoothness=smooth)
    parameter = PixelImage(noise(2))
    evaluation = gradient(parameter)
    x = noise(2).requires_grad_()
    f, t = (extractor(image, [LAYER])[LAYER] for image in (x, noise(1)))
    squares = x.diff(dim=2).square().sum() + x.diff(dim=3).square().sum()
    total = (
        (f - t).square().sum() / t.square().sum()
        + 2 * (2 * x - 1).pow(6).mean()
        + 3 * squares / x.numel()
    )
    (expected,) = torch.autograd.grad(total, x)
    assert float(evaluation.total) == pytest.approx(total.item(), rel=1e-5)
    assert set(evaluation.losses) == {"features", "range", "smoothness"}
    assert parameter.raw.grad is not None
    torch.testing.assert_close(parameter.raw.grad, expected)


@pytest.mark.parametrize(
    "view", [ViewConfig(), ViewConfig(crops=3, crop_side=32), ViewConfig(noise=0.3)]
)
def test_both_pictures_are_seen_through_the_same_draw(
    extractor: Extractor, view: ViewConfig
) -> None:
    gradient = gradient_of(extractor, view)
    own, other = PixelImage(noise(1)), PixelImage(noise(2))
    for _ in range(3):
        assert float(gradient(own).losses["features"]) == pytest.approx(0, abs=1e-9)
    values = {round(float(gradient(other).losses["features"]), 6) for _ in range(3)}
    assert len(values) == 3, "a new draw at every step"
    assert min(values) > 0.01


def test_draws_hang_on_the_generator(extractor: Extractor) -> None:
    def first(seed: int) -> float:
        return float(gradient_of(extractor, ViewConfig(), seed)(PixelImage(noise(2))).total)

    assert first(3) == first(3)
    assert first(3) != first(4)


def test_crops_shrink_as_the_steps_go_by(extractor: Extractor) -> None:
    gradient = gradient_of(extractor, ViewConfig(crops=2, box=(0.8, 0.2), crop_side=32))
    sides = []
    for _ in range(5):
        draw = gradient.draw()
        assert draw is not None
        sides.append(float(draw.theta[0, 1, 1]))
        gradient(PixelImage(noise(2)))
    assert sides == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.2])


def silent() -> Extractor:
    """A network whose ReLU nothing gets through at first."""
    convolution = nn.Conv2d(3, 4, 3, padding=1)
    with torch.no_grad():
        convolution.weight.mul_(0.1)
        convolution.bias.fill_(-3.0)
    return extractor_of(nn.Sequential(convolution, nn.ReLU()), name="silent")


def test_a_silent_layer_is_woken_up_in_the_first_steps() -> None:
    network = silent()
    wanted = torch.ones(1, 4, 40, 48)

    def compare(layer: str, features: Features) -> CaricatureTerm:
        return CaricatureTerm(layer, wanted)

    config = VisualizeConfig(view=STILL, redirect=2)
    gradient = ReferenceGradient(
        network, noise(1), "1", compare, config, torch.Generator().manual_seed(0)
    )
    parameter = PixelImage(noise(2))
    moved = []
    for _ in range(3):
        gradient(parameter)
        assert parameter.raw.grad is not None
        moved.append(bool(parameter.raw.grad.abs().max() > 0))
    assert moved == [True, True, False]


@pytest.mark.parametrize(
    "change",
    [
        {"pad": 1},
        {"jitter": (0, 2)},
        {"scales": (1.0, 1.1)},
        {"degrees": 1},
        {"crops": 2},
        {"noise": 0.1},
    ],
)
def test_whatever_changes_a_view_makes_it_move(change: dict[str, object]) -> None:
    assert not is_still(dataclasses.replace(STILL, **change))


def test_what_is_still() -> None:
    assert is_still(STILL)
    assert is_still(dataclasses.replace(STILL, jitter=(0, 0), scales=(1.0, 1.0), crop_side=64))
