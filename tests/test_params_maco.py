"""Pictures of which only the phases change."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from styler.errors import UsageError
from styler.images import resize
from styler.params import MacoImage
from styler.params.color import COVARIANCE_ROOT, uncorrelate
from styler.params.spectrum import natural_magnitude

SIZES = [(16, 12), (15, 12), (16, 11), (9, 7)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_phases(batch: int, size: tuple[int, int], seed: int = 0) -> MacoImage:
    return MacoImage.noise(batch, natural_magnitude(size), size, generator(seed))


def spectrum_of(image: Tensor) -> Tensor:
    """The coefficients that a picture really has."""
    waves = uncorrelate(torch.logit(image.detach().double()))
    return torch.fft.rfft2(waves, norm="ortho")


def shared(size: tuple[int, int]) -> Tensor:
    """Which columns of the real transform hold each of their coefficients and its conjugate."""
    columns = torch.zeros(size[1] // 2 + 1, dtype=torch.bool)
    columns[0] = True
    if size[1] % 2 == 0:
        columns[-1] = True
    return columns


@pytest.mark.parametrize("size", SIZES)
def test_the_picture_has_exactly_the_magnitudes_and_phases(size: tuple[int, int]) -> None:
    parameter = random_phases(2, size)
    found = spectrum_of(parameter.image())[..., ~shared(size)]
    magnitude = parameter.magnitude[..., ~shared(size)].double()
    torch.testing.assert_close(found.abs(), magnitude.expand_as(found), rtol=1e-3, atol=1e-4)
    phases = parameter.raw.detach()[..., ~shared(size)].double()
    turned = found * torch.polar(torch.ones_like(phases), -phases)
    torch.testing.assert_close(turned.real, found.abs(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_waves_that_share_a_column_with_their_conjugates_have_no_more_than_that(
    size: tuple[int, int],
) -> None:
    parameter = random_phases(2, size)
    found = spectrum_of(parameter.image())[..., shared(size)]
    # Of a coefficient and of what is given for its conjugate, a real picture has the mean.
    given = torch.polar(parameter.magnitude.expand_as(parameter.raw), parameter.raw.detach())
    given = given[..., shared(size)]
    mirrored = given.roll(-1, -2).flip(-2).conj()
    torch.testing.assert_close(found, ((given + mirrored) / 2).to(found), rtol=1e-3, atol=1e-4)
    assert bool((found.abs() <= parameter.magnitude[..., shared(size)] * 1.001 + 1e-4).all())


def test_the_picture_is_that_of_numpy() -> None:
    size = (6, 5)
    parameter = random_phases(1, size)
    phases, magnitude = parameter.raw.detach()[0].numpy(), parameter.magnitude.numpy()
    waves = np.fft.irfft2(magnitude * np.exp(1j * phases), s=size) * math.sqrt(6 * 5)
    root = np.array(COVARIANCE_ROOT)
    matrix = root / np.linalg.norm(root, axis=0).max()
    logits = np.einsum("ij,jhw->ihw", matrix, waves)
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(parameter.image()[0].detach().numpy(), expected, atol=1e-5)


def test_only_phases_change_under_optimisation() -> None:
    size = (12, 10)
    parameter = random_phases(1, size)
    before, magnitude = parameter.image().detach(), parameter.magnitude.clone()
    goal = torch.rand(1, 3, *size, generator=generator(5))
    losses = []
    for _ in range(20):
        loss = (parameter.image() - goal).square().mean()
        (gradient,) = torch.autograd.grad(loss, parameter.raw)
        with torch.no_grad():
            parameter.raw.sub_(gradient, alpha=50.0)
        parameter.project_()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    assert torch.equal(parameter.magnitude, magnitude)
    after = parameter.image().detach()
    assert float((after - before).abs().max()) > 0.05
    found = spectrum_of(after)[..., ~shared(size)].abs()
    expected = magnitude[..., ~shared(size)].double().expand_as(found)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_the_constant_stays_grey() -> None:
    logits = torch.logit(random_phases(2, (16, 16)).image().detach().double())
    torch.testing.assert_close(
        logits.mean((2, 3)), torch.zeros(2, 3, dtype=torch.float64), rtol=0, atol=1e-5
    )


def test_the_gradient_is_exact_in_float64() -> None:
    magnitude = natural_magnitude((3, 4)).double()
    raw = torch.randn(1, *magnitude.shape, generator=generator(), dtype=torch.float64)
    parameter = MacoImage(raw, magnitude, (3, 4))
    assert gradcheck(parameter.decode, raw.requires_grad_())


def test_a_whole_turn_changes_nothing() -> None:
    parameter = random_phases(1, (8, 8))
    turned = parameter.decode(parameter.raw.detach() + 2 * math.pi)
    torch.testing.assert_close(turned, parameter.image().detach(), rtol=0, atol=1e-5)


def test_values_are_between_0_and_1() -> None:
    strong = MacoImage.noise(1, 100 * natural_magnitude((8, 8)), (8, 8), generator())
    image = strong.image().detach()
    assert 0 <= float(image.min()) < 0.01
    assert 0.99 < float(image.max()) <= 1


def test_noise_hangs_on_the_generator_and_has_the_spread_asked_for() -> None:
    first, same, other = (random_phases(2, (16, 16), seed).raw.detach() for seed in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    magnitude = natural_magnitude((64, 64))
    narrow = MacoImage.noise(1, magnitude, (64, 64), generator(), std=0.5).raw.detach()
    assert float(narrow.std()) == pytest.approx(0.5, rel=0.03)


def test_other_phases_are_seen_in_the_same_way() -> None:
    parameter = random_phases(1, (8, 6))
    raw = torch.randn(3, 3, 8, 4, generator=generator(1))
    assert torch.equal(parameter.with_raw(raw).image(), parameter.decode(raw))


def test_resizing_keeps_the_picture() -> None:
    parameter = random_phases(1, (16, 12))
    # The colour of the whole is no part of such a picture, but resizing hardly changes it.
    for size in ((24, 18), (9, 13)):
        other = parameter.resized(size)
        assert other.size == size
        expected = resize(parameter.image().detach(), size)
        assert float((other.image() - expected).detach().abs().mean()) < 0.03


def test_resizing_leaves_the_constant_out() -> None:
    light = MacoImage(torch.zeros(1, 3, 8, 5), natural_magnitude((8, 8)), (8, 8))
    resized = light.resized((12, 10))
    assert float(resized.magnitude[:, 0, 0].abs().max()) == 0
    assert bool((resized.magnitude[:, 1:4, 1:4] > 0).all())


def test_a_frequency_inherits_no_memory() -> None:
    parameter = random_phases(2, (8, 6))
    state = parameter.resized_state(torch.ones_like(parameter.raw), (9, 11))
    assert state.shape == parameter.resized((9, 11)).raw.shape
    assert not bool(state.any())


def test_magnitudes_of_another_size_are_refused() -> None:
    with pytest.raises(UsageError, match="do not fit"):
        MacoImage(torch.zeros(1, 3, 8, 5), natural_magnitude((8, 8)), (8, 10))
