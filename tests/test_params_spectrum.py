"""Magnitudes of natural pictures: the formula, and the mean of one's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from styler.errors import UsageError
from styler.params.color import correlate
from styler.params.spectrum import (
    FIT,
    FIT_SIDE,
    MARGIN,
    mean_magnitude,
    natural_magnitude,
    waves_of,
)


def wave(down: int, right: int, colour: int, amplitude: float = 1.0, size: int = 16) -> Tensor:
    """A picture whose logit is one sinusoid in one uncorrelated colour."""
    rows, columns = torch.arange(size)[:, None], torch.arange(size)[None]
    waves = torch.zeros(1, 3, size, size)
    phase = 2 * math.pi * (down * rows + right * columns) / size
    waves[0, colour] = amplitude * torch.cos(phase + 0.3)
    return correlate(waves).sigmoid()


@pytest.mark.parametrize("size", [(64, 64), (48, 96), (33, 20)])
@pytest.mark.parametrize("place", [(0, 1), (1, 0), (3, 4), (-3, 4), (7, 2), (-9, 9)])
def test_the_formula_is_the_one_that_was_fitted(
    size: tuple[int, int], place: tuple[int, int]
) -> None:
    height, width = size
    down, right = place[0] / height, place[1] / width
    side = math.sqrt(height * width)
    found = natural_magnitude(size)[:, place[0], place[1]].tolist()
    for colour, (level, slope, oblique, upright) in enumerate(FIT):
        cycles = math.hypot(down, right) * side
        angle = math.atan2(abs(down), right)
        logarithm = level - slope * math.log(cycles)
        logarithm += oblique * math.cos(4 * angle) + upright * math.cos(2 * angle)
        assert found[colour] == pytest.approx(math.exp(logarithm) * side / FIT_SIDE, rel=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (31, 50)])
def test_magnitudes_are_positive_but_for_the_constant(size: tuple[int, int]) -> None:
    magnitude = natural_magnitude(size)
    assert magnitude.shape == (3, size[0], size[1] // 2 + 1)
    assert torch.equal(magnitude[:, 0, 0], torch.zeros(3))
    magnitude[:, 0, 0] = 1.0
    assert bool((magnitude > 0).all())
    assert bool(torch.isfinite(magnitude).all())


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_a_picture_of_twice_the_side_has_coefficients_of_twice_the_size(
    size: tuple[int, int],
) -> None:
    once = natural_magnitude(size)
    twice = natural_magnitude((2 * size[0], 2 * size[1]))
    rows = size[0] // 2
    torch.testing.assert_close(twice[:, :rows, : size[1] // 2], 2 * once[:, :rows, :-1])


def test_doubling_a_sinusoid_doubles_its_coefficient_too() -> None:
    one, two = (
        mean_magnitude([wave(2, 3, 0, size=size)], (size, size))[0, 2, 3] for size in (16, 32)
    )
    assert float(two / one) == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("size", [(256, 256), (128, 256)])
def test_the_spectrum_falls_a_little_faster_than_one_over_the_frequency(
    size: tuple[int, int],
) -> None:
    lengths = np.arange(2, 60)
    for magnitude in natural_magnitude(size).double().numpy():
        slope = np.polyfit(np.log(lengths), np.log(magnitude[0, lengths]), 1)[0]
        assert -1.5 < slope < -1.0


def test_waves_of_one_length_and_direction_are_alike_in_a_picture_of_any_aspect() -> None:
    square, wide, tall = (natural_magnitude(size) for size in ((64, 64), (32, 128), (128, 32)))
    for down, right in ((0, 8), (8, 0), (8, 8), (-8, 8)):  # of 64 pixels
        expected = square[:, down, right]
        torch.testing.assert_close(wide[:, down // 2, 2 * right], expected, rtol=1e-4, atol=0)
        torch.testing.assert_close(tall[:, 2 * down, right // 2], expected, rtol=1e-4, atol=0)


def test_horizontals_and_verticals_outdo_obliques() -> None:
    magnitude = natural_magnitude((64, 64))
    oblique = magnitude[:, 6, 8]
    assert bool((magnitude[:, 0, 10] > oblique).all())
    assert bool((magnitude[:, 10, 0] > oblique).all())
    torch.testing.assert_close(magnitude[:, -6, 8], oblique)


@pytest.mark.parametrize("colour", [0, 1, 2])
@pytest.mark.parametrize(("down", "right"), [(2, 3), (0, 5), (-3, 1)])
def test_a_sinusoid_has_one_magnitude(colour: int, down: int, right: int) -> None:
    amplitude = 0.8
    expected = torch.zeros(3, 16, 9)
    # Half of the amplitude in each of two conjugate coefficients, times the root of 16 × 16.
    expected[colour, down, right] = amplitude / 2 * 16
    found = mean_magnitude([wave(down, right, colour, amplitude)], (16, 16))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_the_mean_is_over_magnitudes_and_not_over_pictures() -> None:
    strong, weak = wave(2, 3, 0, 1.0), wave(2, 3, 0, 0.5)
    opposite = 1 - strong  # the mean of the pictures would be grey
    found = mean_magnitude(iter([strong, weak, opposite]), (16, 16))
    assert float(found[0, 2, 3]) == pytest.approx((1.0 + 0.5 + 1.0) / 3 * 8, rel=1e-4)


def test_brightness_does_not_count() -> None:
    found = mean_magnitude([torch.full((1, 3, 8, 8), 0.8)], (8, 8))
    torch.testing.assert_close(found, torch.zeros(3, 8, 5), rtol=0, atol=1e-5)


def test_the_centre_of_the_right_aspect_is_taken() -> None:
    sides = torch.rand(1, 3, 16, 7, generator=torch.Generator().manual_seed(0))
    framed = torch.cat([sides, wave(2, 3, 0), sides], -1)
    expected = mean_magnitude([wave(2, 3, 0)], (16, 16))
    torch.testing.assert_close(mean_magnitude([framed], (16, 16)), expected)
    upright = framed.mT.contiguous()
    torch.testing.assert_close(mean_magnitude([upright], (16, 16))[0, 3, 2], expected[0, 2, 3])


@pytest.mark.parametrize("size", [(8, 16), (16, 8), (9, 15)])
def test_the_centre_of_a_size_that_is_not_square(size: tuple[int, int]) -> None:
    height, width = size
    generator = torch.Generator().manual_seed(0)
    centre = torch.rand(1, 3, height, width, generator=generator)
    expected = torch.fft.rfft2(waves_of(centre), norm="ortho")[0].abs()
    expected[:, 0, 0] = 0.0
    for margins in ((3, 3, 0, 0), (0, 0, 4, 4)):
        framed = torch.nn.functional.pad(centre, margins, value=1.0)
        torch.testing.assert_close(mean_magnitude([framed], size), expected)


def test_pictures_of_other_sizes_are_resized_to_a_size_that_is_not_square() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.rand(1, 3, *size, generator=generator) for size in ((9, 30), (40, 11))]
    found = mean_magnitude(pictures, (12, 20))
    assert found.shape == (3, 12, 11)
    assert bool(torch.isfinite(found).all())


def test_black_and_white_have_finite_waves() -> None:
    ends = torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2)
    waves = waves_of(ends)
    torch.testing.assert_close(
        correlate(waves)[0, 0, 0], torch.tensor([-1.0, 1.0]) * math.log((1 - MARGIN) / MARGIN)
    )


def test_no_pictures_have_no_spectrum() -> None:
    with pytest.raises(UsageError, match="at least one picture"):
        mean_magnitude([], (8, 8))
