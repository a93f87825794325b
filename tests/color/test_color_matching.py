"""Matching: quantiles and moments equal those of the target, against NumPy and SciPy."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import linalg
from torch import Tensor

from styler.color import (
    from_oklab,
    in_gamut,
    match_covariance,
    match_histogram,
    match_lightness,
    to_oklab,
)
from styler.color.matching import LEAST_SPREAD, match_quantiles, transport
from styler.errors import UsageError

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 10**6)


def muted(seed: int, height: int = 14, width: int = 10) -> Tensor:
    """A picture whose colours stay in gamut whatever muted picture it is matched to."""
    generator = np.random.default_rng(seed)
    mix = generator.uniform(-0.01, 0.01, (3, 3)) + 0.012 * np.eye(3)
    values = mix @ generator.uniform(-1.7, 1.7, (3, height * width))
    values += np.array([[generator.uniform(0.55, 0.65)], [0.0], [0.0]])
    return from_oklab(torch.from_numpy(values).view(1, 3, height, width))


def distinct(generator: np.random.Generator, count: int) -> np.ndarray:
    """Values in no order, each far enough from the next to be another."""
    return generator.permutation(generator.uniform(1e-4, 0.1, count).cumsum())


def grey(seed: int, side: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 1, side, side, generator=generator).expand(-1, 3, -1, -1)


def spread_of_channels(image: Tensor) -> float:
    return float(to_oklab(image).flatten(2).std(2, correction=0).min())


def moments(image: Tensor) -> tuple[np.ndarray, np.ndarray]:
    values = to_oklab(image).flatten(2)[0].double().numpy()
    return values.mean(1), np.cov(values, bias=True)


def spread(image: Tensor) -> float:
    """How far from grey the pixels are, in the units of sRGB."""
    return float((image.amax(1) - image.amin(1)).max())


@few
@given(seeds, st.integers(2, 300), st.integers(2, 300))
def test_quantiles_against_numpy(seed: int, count: int, other: int) -> None:
    generator = np.random.default_rng(seed)
    values, target = distinct(generator, count), generator.normal(3, 2, size=other)
    matched = match_quantiles(torch.from_numpy(values), torch.from_numpy(target)).numpy()
    places = (np.argsort(np.argsort(values)) + 0.5) / count
    expected = np.quantile(target, places, method="hazen")
    np.testing.assert_allclose(matched, expected, atol=1e-9)


@few
@given(seeds, st.integers(1, 200))
def test_values_of_equal_number_are_exchanged_exactly(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    values, target = (torch.from_numpy(distinct(generator, count)) for _ in range(2))
    matched = match_quantiles(values, target)
    torch.testing.assert_close(matched.sort().values, target.sort().values)
    assert torch.equal(matched.argsort(), values.argsort())


def test_equal_values_stay_equal() -> None:
    values = torch.tensor([0.5, 0.1, 0.5, 0.5, 0.9, 0.1 + 3e-7])
    matched = match_quantiles(values, torch.arange(6.0))
    assert matched.tolist() == [3.0, 0.5, 3.0, 3.0, 5.0, 0.5]


def test_large_targets_are_thinned_to_a_bound() -> None:
    target = torch.linspace(0, 1, 3_000_001).square().flip(0)
    values = torch.from_numpy(distinct(np.random.default_rng(0), 1000))
    matched = match_quantiles(values, target)
    places = (values.argsort().argsort() + 0.5).double() / 1000
    torch.testing.assert_close(matched.double(), places.square(), atol=1e-5, rtol=0)


@few
@given(seeds)
def test_histogram_matching_gives_every_channel_the_targets_quantiles(seed: int) -> None:
    image, target = muted(seed), muted(seed + 1, 7, 20)
    assume(spread_of_channels(image) > LEAST_SPREAD)  # else it is flat but for noise: see below
    matched = match_histogram(image, target)
    own, wanted = (to_oklab(each).flatten(2).sort().values for each in (matched, target))
    # Values that are equal to within rounding share the middle of their quantiles.
    assert (own - wanted).abs().mean() < 2e-5
    assert (own - wanted).abs().max() < 5e-3
    order = to_oklab(image)[0, 0].flatten().argsort()
    assert (to_oklab(matched)[0, 0].flatten()[order].diff() > -1e-4).all()


@few
@given(seeds)
def test_covariance_matching_gives_mean_and_covariance(seed: int) -> None:
    image, target = muted(seed), muted(seed + 1, 9, 11)
    if np.linalg.eigvalsh(moments(image)[1])[0] < LEAST_SPREAD**2:
        return  # flat in a direction: see below
    matched = match_covariance(image, target)
    if not in_gamut(to_oklab(matched)).all():
        return
    for actual, expected in zip(moments(matched), moments(target), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-5)


@few
@given(seeds)
def test_transport_against_scipy(seed: int) -> None:
    first, second = np.random.default_rng(seed).normal(size=(2, 3, 3))
    sigma, target = first @ first.T + 0.1 * np.eye(3), second @ second.T
    linear = transport(torch.from_numpy(sigma), torch.from_numpy(target)).numpy()
    root = np.real(linalg.sqrtm(sigma))
    back = np.linalg.inv(root)
    inner = np.real(linalg.sqrtm(root @ target @ root))
    np.testing.assert_allclose(linear, back @ inner @ back, atol=1e-5)
    np.testing.assert_allclose(linear @ sigma @ linear.T, target, atol=1e-6)
    # Of the maps that do so it moves least: Cholesky factors move farther.
    other = np.linalg.cholesky(target) @ np.linalg.inv(np.linalg.cholesky(sigma))
    moved, farther = (
        np.trace((m - np.eye(3)) @ sigma @ (m - np.eye(3)).T) for m in (linear, other)
    )
    assert moved <= farther + 1e-6


@pytest.mark.parametrize("match", [match_histogram, match_covariance, match_lightness])
def test_a_picture_matched_to_itself_stays_as_it_is(match) -> None:
    image = (
        torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(1)) * 255
    ).round() / 255
    torch.testing.assert_close(match(image, image), image, atol=1e-3, rtol=0)


@pytest.mark.parametrize("match", [match_histogram, match_covariance, match_lightness])
@pytest.mark.parametrize(
    "target", [grey(2), torch.full((1, 3, 5, 5), 0.4), torch.zeros(1, 3, 1, 1)]
)
def test_grey_pictures_matched_to_grey_ones_stay_grey(match, target: Tensor) -> None:
    for image in (grey(1), torch.full((1, 3, 4, 4), 0.7), torch.ones(1, 3, 3, 3)):
        assert spread(match(image, target)) < 1 / 2550


@pytest.mark.parametrize("match", [match_histogram, match_covariance])
def test_colours_matched_to_a_grey_picture_turn_grey(match) -> None:
    colours = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    assert spread(match(colours, grey(5))) < 1 / 510


@pytest.mark.parametrize("match", [match_histogram, match_covariance])
def test_a_grey_picture_gets_tints_that_follow_its_lightness(match) -> None:
    image, target = grey(3, 16), muted(4, 30, 30).float()
    noise = 2e-7 * torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    for own in (image, (image + noise).clamp(0, 1)):
        matched = to_oklab(match(own, target))
        lightness, *chroma = matched.flatten(2)[0].double()
        middle = to_oklab(target).mean((2, 3))[0]
        for values, wanted in zip(chroma, middle[1:], strict=True):
            assert values.mean().item() == pytest.approx(wanted.item(), abs=0.003)
            line = np.polynomial.Polynomial.fit(lightness.numpy(), values.numpy(), 1)
            assert np.abs(line(lightness.numpy()) - values.numpy()).max() < 5e-4


def test_a_flat_picture_becomes_the_targets_mean() -> None:
    target = muted(7)
    matched = to_oklab(match_covariance(torch.full((1, 3, 4, 4), 0.3), target))
    mean = torch.from_numpy(moments(target)[0]).float().view(1, 3, 1, 1)
    torch.testing.assert_close(matched, mean.expand(1, 3, 4, 4), atol=1e-4, rtol=0)


@few
@given(seeds)
def test_any_pictures_give_pictures(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, 9, 9, generator=generator) ** 4
    target = torch.rand(1, 3, 5, 8, generator=generator).round()
    for match in (match_histogram, match_covariance, match_lightness):
        matched = match(image, target)
        assert matched.shape == image.shape
        assert 0 <= matched.min() <= matched.max() <= 1
        assert torch.equal(matched, match(image, target))


def test_lightness_has_the_targets_mean_and_deviation() -> None:
    image, target = muted(1), muted(2, 6, 6)
    own, wanted = (to_oklab(each)[0, 0] for each in (match_lightness(image, target), target))
    assert own.mean().item() == pytest.approx(wanted.mean().item(), abs=1e-6)
    assert own.std(correction=0).item() == pytest.approx(wanted.std(correction=0).item(), abs=1e-6)
    before, after = to_oklab(image)[:, 1:], to_oklab(match_lightness(image, target))[:, 1:]
    torch.testing.assert_close(before, after, atol=1e-6, rtol=0)


@pytest.mark.parametrize("match", [match_histogram, match_covariance, match_lightness])
def test_what_is_wrong_is_said(match) -> None:
    image = torch.rand(1, 3, 4, 4)
    with pytest.raises(UsageError, match=r"image is torch\.float32"):
        match(image[0], image)
    with pytest.raises(UsageError, match=r"target is torch\.uint8"):
        match(image, image.to(torch.uint8))


def test_nothing_cannot_be_matched() -> None:
    with pytest.raises(UsageError, match="2 values matched to 0"):
        match_quantiles(torch.rand(2), torch.rand(0))
