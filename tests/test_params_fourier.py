"""Pictures as Fourier coefficients, and the colours that these are of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import gradcheck

from styler.images import resize
from styler.params import FourierImage
from styler.params.color import COVARIANCE_ROOT, correlate, uncorrelate
from styler.params.fourier import LOGIT_MARGIN, frequencies

SIZES = [(8, 6), (7, 5), (6, 9), (1, 4), (16, 16)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def colour_matrix() -> NDArray[np.float64]:
    root = np.array(COVARIANCE_ROOT)
    matrix: NDArray[np.float64] = root / np.sqrt((root**2).sum(0)).max()
    return matrix


def picture(height: int = 8, width: int = 6, batch: int = 2, channels: int = 3) -> Tensor:
    return 0.1 + 0.8 * torch.rand(batch, channels, height, width, generator=generator(1))


def lucid(
    raw: Tensor, size: tuple[int, int], decay: float, *, decorrelate: bool
) -> NDArray[np.float64]:
    """The picture as Lucid defines it, with an unnormalised inverse transform of its own scale."""
    height, width = size
    down, right = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    length = np.maximum(np.sqrt(down**2 + right**2), 1 / max(height, width))
    scale = np.sqrt(width * height) / length**decay
    numbers: Any = raw.detach().double().numpy()
    waves = np.fft.irfft2((numbers[..., 0] + 1j * numbers[..., 1]) * scale, s=size) / 4
    if decorrelate:
        colours = np.tensordot(waves[:, :3], colour_matrix().T, axes=(1, 0))
        waves = np.concatenate([np.moveaxis(colours, -1, 1), waves[:, 3:]], 1)
    return np.asarray(1 / (1 + np.exp(-waves)))


@pytest.mark.parametrize("column", [0, 1, 2])
def test_the_basis_is_the_root_of_the_covariance_over_its_largest_column(column: int) -> None:
    unit = torch.zeros(1, 3, 1, 1)
    unit[0, column] = 1.0
    expected = torch.from_numpy(colour_matrix()[:, column]).float()
    torch.testing.assert_close(correlate(unit).flatten(), expected)


def test_each_pixel_has_its_own_colour_and_the_basis_can_be_left_again() -> None:
    colours = torch.randn(2, 3, 4, 5, generator=generator(), dtype=torch.float64)
    seen = correlate(colours)
    expected = colour_matrix() @ colours[1, :, 2, 3].numpy()
    np.testing.assert_allclose(seen[1, :, 2, 3].numpy(), expected, rtol=1e-12)
    torch.testing.assert_close(uncorrelate(seen), colours)
    torch.testing.assert_close(correlate(uncorrelate(colours)), colours)


@pytest.mark.parametrize("size", SIZES)
def test_frequencies_are_those_of_the_real_transform(size: tuple[int, int]) -> None:
    down, right = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    expected = np.sqrt(down**2 + right**2)
    np.testing.assert_allclose(frequencies(size).numpy(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
@pytest.mark.parametrize("decorrelate", [True, False])
def test_the_picture_is_that_of_lucid(
    size: tuple[int, int], decay: float, decorrelate: bool
) -> None:
    parameter = FourierImage.noise(
        2, size, generator(), std=1.0, channels=4, decay=decay, decorrelate=decorrelate
    )
    image = parameter.image().detach()
    assert image.shape == (2, 4, *size)
    expected = lucid(parameter.raw, size, decay, decorrelate=decorrelate)
    np.testing.assert_allclose(image.numpy(), expected, atol=2e-6)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    batch=st.integers(1, 3),
    channels=st.sampled_from([3, 4]),
    decay=st.sampled_from([0.0, 1.0, 1.5]),
    decorrelate=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_picture_comes_back_from_its_coefficients(
    height: int,
    width: int,
    batch: int,
    channels: int,
    decay: float,
    decorrelate: bool,
    seed: int,
) -> None:
    image = torch.rand(batch, channels, height, width, generator=generator(seed))
    parameter = FourierImage.of(image, decay=decay, decorrelate=decorrelate)
    assert parameter.raw.shape == (batch, channels, height, width // 2 + 1, 2)
    expected = image.clamp(LOGIT_MARGIN, 1 - LOGIT_MARGIN)
    torch.testing.assert_close(parameter.image(), expected, rtol=0, atol=2e-5)


def test_black_and_white_become_nearly_so() -> None:
    image = torch.zeros(1, 3, 4, 4)
    image[..., 2:] = 1.0
    again = FourierImage.of(image).image()
    torch.testing.assert_close(again, image, rtol=0, atol=1.1 * LOGIT_MARGIN)
    assert torch.isfinite(FourierImage.of(image).raw).all()


def test_a_grey_picture_has_no_coefficients() -> None:
    grey = torch.full((1, 3, 5, 4), 0.5)
    assert float(FourierImage.of(grey).raw.detach().abs().max()) < 1e-6
    assert torch.equal(
        FourierImage(torch.zeros(1, 3, 5, 3, 2), (5, 4)).image(), torch.full((1, 3, 5, 4), 0.5)
    )


@pytest.mark.parametrize("decorrelate", [True, False])
def test_the_gradient_is_exact_in_float64(decorrelate: bool) -> None:
    parameter = FourierImage.noise(1, (3, 4), generator(), channels=4, decorrelate=decorrelate)
    raw = torch.randn(1, 4, 3, 3, 2, generator=generator(1), dtype=torch.float64)
    assert gradcheck(parameter.decode, raw.requires_grad_())


def test_decode_keeps_the_precision_it_is_given() -> None:
    parameter = FourierImage.noise(1, (6, 5), generator())
    raw = torch.randn(1, 3, 6, 3, 2, generator=generator(1), dtype=torch.float64)
    image = parameter.decode(raw)
    assert image.dtype == torch.float64
    np.testing.assert_allclose(
        image.numpy(), lucid(raw, (6, 5), 1.0, decorrelate=True), rtol=0, atol=1e-7
    )


def test_the_gradient_reaches_every_coefficient_that_can_be_seen() -> None:
    parameter = FourierImage.noise(2, (5, 5), generator())
    weight = torch.randn(2, 3, 5, 5, generator=generator(1))
    (parameter.image() * weight).sum().backward()
    gradient = parameter.raw.grad
    assert gradient is not None
    unseen = torch.zeros(5, 3, 2, dtype=torch.bool)
    unseen[0, 0, 1] = True  # the imaginary part of the constant
    assert bool((gradient[:, :, ~unseen] != 0).all())
    assert float(gradient[:, :, unseen].abs().max()) == 0


def test_every_value_stands_for_a_picture_between_0_and_1() -> None:
    parameter = FourierImage.noise(1, (8, 8), generator(), std=1000.0, channels=4)
    before = parameter.raw.detach().clone()
    parameter.project_()
    assert torch.equal(parameter.raw, before)
    image = parameter.image().detach()
    assert 0 <= float(image.min()) < 0.01
    assert 0.99 < float(image.max()) <= 1


def test_noise_hangs_on_the_generator_and_on_nothing_else() -> None:
    first, same, other = (
        FourierImage.noise(2, (8, 6), generator(seed)).raw.detach() for seed in (3, 3, 4)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_coefficients_have_the_standard_deviation_asked_for() -> None:
    raw = FourierImage.noise(2, (64, 64), generator(), std=0.3).raw.detach()
    assert float(raw.std()) == pytest.approx(0.3, rel=0.02)
    assert float(raw.mean()) == pytest.approx(0.0, abs=0.005)


def test_low_frequencies_are_stronger_by_the_power_asked_for() -> None:
    for decay in (0.5, 1.0, 2.0):
        raw = torch.zeros(2, 3, 32, 17, 2)
        raw[0, :, 0, 2, 0] = raw[1, :, 0, 8, 0] = 0.01
        image = FourierImage(raw, (32, 32), decay=decay, decorrelate=False).image() - 0.5
        strength = image.detach().double().square().mean((1, 2, 3)).sqrt()
        assert float(strength[0] / strength[1]) == pytest.approx(4.0**decay, rel=1e-3)


def test_transparency_is_no_colour() -> None:
    parameter = FourierImage.noise(1, (8, 6), generator(), std=1.0, channels=4)
    changed = parameter.raw.detach().clone()
    changed[:, 3] *= -1
    before, after = parameter.image().detach(), parameter.decode(changed)
    assert torch.equal(before[:, :3], after[:, :3])
    torch.testing.assert_close(after[:, 3], 1 - before[:, 3])


def test_other_values_are_seen_in_the_same_way() -> None:
    parameter = FourierImage.noise(1, (7, 6), generator(), decay=1.5, decorrelate=False)
    raw = torch.randn(3, 3, 7, 4, 2, generator=generator(1))
    other = parameter.with_raw(raw)
    assert torch.equal(other.image(), parameter.decode(raw))
    with torch.no_grad():
        other.raw.zero_()
    assert bool((raw != 0).any())  # the parameter has a copy of its own


def test_resizing_keeps_the_picture() -> None:
    ramp = torch.linspace(0.3, 0.7, 16).expand(2, 3, 12, 16)
    smaller = FourierImage.of(ramp, decay=1.5, decorrelate=False).resized((7, 9))
    torch.testing.assert_close(smaller.image(), resize(ramp, (7, 9)), rtol=0, atol=1e-5)
    assert (smaller.decay, smaller.decorrelate, smaller.size) == (1.5, False, (7, 9))


def test_a_frequency_inherits_no_memory() -> None:
    parameter = FourierImage.noise(2, (8, 6), generator(), channels=4)
    larger = parameter.resized((9, 11))
    state = parameter.resized_state(torch.ones_like(parameter.raw), (9, 11))
    assert state.shape == larger.raw.shape
    assert not bool(state.any())
