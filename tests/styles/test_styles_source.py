"""Blends are what the sums of one picture would be of which each style covers its share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styler.config import resolve
from styler.errors import ImageError, UsageError
from styler.features import Extractor, load_extractor
from styler.losses import Gaussian, Moments
from styler.styles.source import PictureStyle, StyleBlend, StyleShare, as_source, colours_of
from styler.transfer import Problem, transfer

LAYERS = {"relu1_1": 1.0, "relu2_1": 1.0}


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", pooling="average")


def picture(seed: int, height: int = 48, width: int = 48) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def shares(*weighted: tuple[Tensor, float]) -> list[StyleShare]:
    return [StyleShare(source=PictureStyle(p), weight=w) for p, w in weighted]


def config(**values: object) -> object:
    settings = {"schedule.size": 48, "schedule.scales": 1, "schedule.steps": [2]}
    return resolve(("t", {**settings, "style.layers": LAYERS, **values})).config


def targets(style: object, extractor: Extractor, **values: object) -> dict[str, Tensor]:
    settings = config(**{"content.weight": 0.0, **values})
    problem = Problem(picture(9), style, settings, extractor)
    found = problem.objective(problem.levels[-1]).terms[0].targets
    return {
        layer: t.covariance if isinstance(t, Moments | Gaussian) else t
        for layer, t in found.items()
    }


@pytest.mark.parametrize("normalization", ["none", "hw", "chw", "gatys", "relative"])
def test_gram_matrices_are_the_weighted_mean(extractor: Extractor, normalization: str) -> None:
    values = {"style.loss": "gram", "style.normalization": normalization}
    one, two = picture(1), picture(2)
    mixed = targets(shares((one, 3), (two, 1)), extractor, **values)
    parts = [targets(style, extractor, **values) for style in (one, two)]
    for layer in LAYERS:
        expected = 0.75 * parts[0][layer] + 0.25 * parts[1][layer]
        assert torch.allclose(mixed[layer], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["moments", "wasserstein"])
def test_moments_are_those_of_a_picture_of_both(extractor: Extractor, loss: str) -> None:
    # Two styles are the halves of one wide picture, but for the seam between these.
    dark, light = 0.3 * picture(1, 192, 192), 0.5 + 0.5 * picture(2, 192, 192)
    values = {"style.loss": loss, "style.layers": {"conv1_1": 1.0}, "schedule.size": 384}
    both = torch.cat([dark, light], dim=3)
    mixed = targets(shares((dark, 1), (light, 1)), extractor, **values)["conv1_1"]
    whole = targets(both, extractor, **values)["conv1_1"]
    alone = targets(dark, extractor, **values)["conv1_1"]
    assert float((mixed - whole).norm() / whole.norm()) < 0.05
    assert float((alone - whole).norm() / whole.norm()) > 0.5


def test_a_large_picture_weighs_no_more_than_a_small_one(extractor: Extractor) -> None:
    values = {"style.loss": "gram", "schedule.size": 96}
    small, large = picture(1, 32, 32), picture(2, 96, 96)
    mixed = targets(shares((small, 1), (large, 1)), extractor, **values)
    parts = [targets(style, extractor, **values) for style in (small, large)]
    for layer in LAYERS:
        expected = (parts[0][layer] + parts[1][layer]) / 2
        assert torch.allclose(mixed[layer], expected, rtol=1e-4, atol=1e-5)


def test_only_proportions_matter_and_zero_leaves_out(extractor: Extractor) -> None:
    one, two = picture(1), picture(2)
    first = targets(shares((one, 1), (two, 3)), extractor)
    second = targets(shares((one, 0.25), (two, 0.75)), extractor)
    alone = targets(shares((one, 2), (two, 0)), extractor)
    for layer, plain in targets(one, extractor).items():
        assert torch.allclose(first[layer], second[layer], rtol=1e-5, atol=1e-7)
        assert torch.equal(alone[layer], plain)


def test_one_style_with_a_weight_paints_the_same_bits(extractor: Extractor) -> None:
    one, settings = picture(1), config(**{"init.kind": "style"})
    plain, shared = (
        transfer(picture(9), style, settings, extractor=extractor).image
        for style in (one, shares((one, 0.3)))
    )
    assert torch.equal(plain, shared)
    assert as_source(shares((one, 0.3))).pixels is one


def test_colours_of_a_blend_are_those_of_all_its_pixels() -> None:
    one, two = 0.2 * picture(1, 40, 40), 0.5 + 0.4 * picture(2, 40, 40)
    blended = StyleBlend(shares((one, 1), (two, 1))).colours()
    together = colours_of(torch.cat([one, two], dim=3))
    assert torch.allclose(blended.mean, together.mean, atol=1e-6)
    assert torch.allclose(blended.covariance, together.covariance, rtol=1e-3)


@pytest.mark.parametrize("weights", [(), (0.0, 0.0), (1.0, -0.1), (float("inf"), 1.0)])
def test_weights_that_are_no_shares_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="weights of the styles"):
        StyleBlend(shares(*((picture(1), weight) for weight in weights)))


def test_every_style_of_a_blend_is_checked(extractor: Extractor) -> None:
    with pytest.raises(UsageError, match=r"style is torch\.uint8"):
        PictureStyle(torch.zeros(1, 3, 48, 48, dtype=torch.uint8))
    settings = config(**{"style.layers": {"relu5_1": 1.0}})
    with pytest.raises(ImageError, match=r"the style: .* too small for relu5_1"):
        Problem(picture(9), shares((picture(1), 1), (picture(2, 9, 9), 1)), settings, extractor)
