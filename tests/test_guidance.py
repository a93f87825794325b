"""Regions, what stays, and colours, in whole transfers with the embedded network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from styler.color.oklab import to_oklab
from styler.config import TransferConfig, resolve
from styler.errors import ConfigError, ImageError, UsageError
from styler.features import load_extractor
from styler.guidance import Guidance
from styler.images import read_picture, resize
from styler.losses import mean_and_covariance
from styler.losses.functional import moments_distance
from styler.regions.region import Region, RegionShare
from styler.styles.source import PictureStyle, StyleShare
from styler.transfer import Problem, transfer

SAMPLES = Path(__file__).parents[1] / "samples"
SIZE = (96, 144)


def sample(name: str, size: tuple[int, int] = SIZE) -> Tensor:
    return resize(read_picture(SAMPLES / name).pixels, size)


@pytest.fixture(scope="module")
def content() -> Tensor:
    return sample("contents/coffee.jpg")


@pytest.fixture(scope="module")
def styles() -> list[StyleShare]:
    names = ("flow_field", "woodcut_waves")
    return [StyleShare(source=PictureStyle(sample(f"styles/{name}.jpg"))) for name in names]


def config(**values: object) -> TransferConfig:
    settings = {"schedule.scales": 1, "schedule.steps": [30], "runtime.precision": "fp32"}
    network = {"backbone.name": "vgg-lite"}
    return resolve(("test", {**settings, **network, **values})).config


def halves() -> tuple[Region, Region]:
    """The left and the right half, with a soft border of a quarter of the width."""
    left = (2.5 - torch.linspace(0, 4, 144)).clamp(0, 1).expand(1, 1, *SIZE)
    return (
        Region(name="left", mask=left, shares=(RegionShare(style=0),)),
        Region(name="right", mask=1 - left, shares=(RegionShare(style=1),)),
    )


def gap(image: Tensor, style: Tensor) -> float:
    """Distance of moments, summed over layers, one of which no objective reads."""
    extractor = load_extractor("vgg-lite", pooling="average")
    layers = ["relu1_1", "relu2_1", "relu3_2"]
    ours, theirs = extractor(image, layers), extractor(style, layers)
    return sum(
        float(moments_distance(mean_and_covariance(ours[x]), mean_and_covariance(theirs[x])))
        for x in layers
    )


def test_each_half_is_nearer_to_its_own_style(content: Tensor, styles: list[StyleShare]) -> None:
    guidance = Guidance(regions=halves())
    result = transfer(content, styles, config(strength=0.8), guidance=guidance)
    left, right = result.image[..., :56], result.image[..., -56:]
    one, other = (share.source.pixels for share in styles)
    assert gap(left, one) < 0.8 * gap(left, other)
    assert gap(right, other) < 0.8 * gap(right, one)


def test_terms_of_regions_have_their_share_of_the_weight(
    content: Tensor, styles: list[StyleShare]
) -> None:
    quarter = torch.zeros(1, 1, 4, 4)
    quarter[..., 0] = 1
    regions = (
        Region(name="a", mask=quarter, shares=(RegionShare(style=0),)),
        Region(name="b", mask=1 - quarter, shares=(RegionShare(style=1),)),
    )
    extractor = load_extractor("vgg-lite", pooling="average")
    problem = Problem(content, styles, config(), extractor, guidance=Guidance(regions=regions))
    terms = {term.name: term.weight for term in problem.objective(problem.levels[-1]).terms}
    assert terms["style a"] == pytest.approx(0.25, abs=1e-6)
    assert terms["style b"] == pytest.approx(0.75, abs=1e-6)


def test_one_region_of_everything_is_no_region(content: Tensor, styles: list[StyleShare]) -> None:
    everything = Region(name="all", mask=torch.ones(1, 1, 1, 1), shares=(RegionShare(style=0),))
    settings = config(**{"schedule.steps": [5]})
    plain = transfer(content, styles[:1], settings).image
    masked = transfer(content, styles[:1], settings, guidance=Guidance(regions=(everything,))).image
    assert torch.allclose(plain, masked, atol=5e-3)


def test_what_is_protected_stays(content: Tensor, styles: list[StyleShare]) -> None:
    protect = torch.zeros(1, 1, *SIZE)
    protect[..., 20:60, 30:90] = 1
    result = transfer(content, styles[:1], config(), guidance=Guidance(protect=protect))
    difference = (result.image - content).abs()
    assert float(difference[..., 20:60, 30:90].max()) == 0
    assert float(difference[..., :, 100:].mean()) > 0.02


def test_what_no_region_covers_stays(content: Tensor, styles: list[StyleShare]) -> None:
    left, _ = halves()
    result = transfer(content, styles[:1], config(), guidance=Guidance(regions=(left,)))
    assert torch.equal(result.image[..., -40:], content[..., -40:])


def test_regions_of_losses_on_samples(content: Tensor, styles: list[StyleShare]) -> None:
    settings = config(**{"style.loss": "swd", "style.also": {"moments": 0.5}})
    settings = resolve(("test", {"schedule.steps": [10]}), ("x", _flat(settings))).config
    result = transfer(content, styles, settings, guidance=Guidance(regions=halves()))
    names = set(result.run.trace[-1][2])
    assert names >= {"style left", "style left moments", "style right", "style right moments"}
    assert result.run.trace[-1][1] < result.run.trace[0][1]


def _flat(settings: TransferConfig) -> dict[str, object]:
    from styler.config import flatten

    return {key: value for key, value in flatten(settings) if key != "schedule.steps"}


def test_a_region_that_is_empty_is_refused(content: Tensor, styles: list[StyleShare]) -> None:
    dot = torch.zeros(1, 1, *SIZE)
    empty = Region(name="dot", mask=dot, shares=(RegionShare(style=0),))
    with pytest.raises(ImageError, match="region dot is empty"):
        transfer(content, styles, config(), guidance=Guidance(regions=(empty, halves()[1])))


def test_protecting_everything_is_refused(content: Tensor, styles: list[StyleShare]) -> None:
    everything = Guidance(protect=torch.ones(1, 1, 8, 8))
    with pytest.raises(ImageError, match="nothing is left"):
        transfer(content, styles[:1], config(), guidance=everything)


def test_masks_of_another_shape_are_refused(content: Tensor, styles: list[StyleShare]) -> None:
    with pytest.raises(UsageError, match="protect"):
        transfer(content, styles[:1], config(), guidance=Guidance(protect=torch.ones(8, 8)))


def test_the_contents_colours_are_kept(content: Tensor, styles: list[StyleShare]) -> None:
    result = transfer(content, styles[:1], config(**{"color.mode": "content"}))
    shown = (result.image * 255).round() / 255
    error = (to_oklab(shown) - to_oklab(content))[:, 1:].square().sum(1).sqrt()
    assert float(error.mean()) < 0.01
    assert float((shown - content).abs().mean()) > 0.02


@pytest.mark.parametrize("mode", ["content", "luminance"])
def test_greys_stay_grey(mode: str, content: Tensor, styles: list[StyleShare]) -> None:
    grey = content.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    result = transfer(grey, styles[:1], config(**{"color.mode": mode})).image
    assert float((result.amax(1) - result.amin(1)).max()) <= 1 / 255


def test_match_without_a_picture_takes_the_styles_colours(
    content: Tensor, styles: list[StyleShare]
) -> None:
    result = transfer(content, styles[:1], config(**{"color.mode": "match"})).image
    style = styles[0].source.pixels
    assert torch.allclose(to_oklab(result).mean((2, 3)), to_oklab(style).mean((2, 3)), atol=0.03)
    with pytest.raises(ConfigError, match="single style"):
        transfer(content, styles, config(**{"color.mode": "match"}))


def test_a_style_seen_mirrored_is_another(content: Tensor, styles: list[StyleShare]) -> None:
    settings = config(**{"style.invariance": ["flip", "turn"], "schedule.steps": [5]})
    plain = config(**{"schedule.steps": [5]})
    one, other = (transfer(content, styles[:1], each).image for each in (settings, plain))
    assert float((one - other).abs().max()) > 0.01
