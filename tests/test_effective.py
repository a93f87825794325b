"""Effective fields of gradients known in closed form, and gradients of many units of one image."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erfinv
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from styler.effective import effective_field, unit_gradients
from styler.errors import ConfigError, ImageError, UsageError
from styler.features import Extractor, extractor_of, load_extractor


def gaussian(
    size: tuple[int, int], centre: tuple[float, float], deviations: tuple[float, float]
) -> Tensor:
    """A gradient whose square is a Gaussian, with a sign that changes from pixel to pixel."""
    axes = [
        torch.exp(-((torch.arange(side) - middle) ** 2) / (4 * deviation**2)).double()
        for side, middle, deviation in zip(size, centre, deviations, strict=True)
    ]
    signs = torch.ones(size, dtype=torch.float64)
    signs[::2, 1::3] = -1
    return (signs * axes[0][:, None] * axes[1][None])[None, None]


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("deviations", [(9.0, 9.0), (4.0, 15.0)])
def test_a_gaussian(share: float, deviations: tuple[float, float]) -> None:
    gradient = gaussian((161, 181), (80, 85), deviations)
    box = effective_field(gradient.expand(1, 3, -1, -1), share)
    reach = [math.sqrt(2) * sigma * erfinv(math.sqrt(share)) for sigma in deviations]
    # A box of whole pixels, of which each is half on either side of its centre.
    assert box[0] + box[2] - 1 == pytest.approx(2 * 80, abs=1)
    assert box[1] + box[3] - 1 == pytest.approx(2 * 85, abs=1)
    assert (box[2] - box[0]) / 2 == pytest.approx(reach[0], abs=1.01)
    assert (box[3] - box[1]) / 2 == pytest.approx(reach[1], abs=1.01)


def test_single_pixels() -> None:
    gradient = torch.zeros(1, 3, 20, 30)
    gradient[0, 1, 7, 11] = -1e-30  # its square is 0 in float32
    assert effective_field(gradient) == (7, 11, 8, 12)
    gradient[0, 2, 7, 19] = 1e-30
    assert effective_field(gradient) == (7, 11, 8, 20)
    gradient[0, 0, 7, 11] = 7e-30  # of energy 1 + 49 against 1: the mean moves to 11.16
    assert effective_field(gradient) == (7, 11, 8, 12)
    assert effective_field(gradient, 1.0) == (6, 4, 9, 20)  # as wide as high, in deviations


def test_a_gradient_of_zero_says_nothing() -> None:
    assert effective_field(torch.zeros(1, 3, 8, 9)) == (0, 0, 8, 9)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    seed=st.integers(0, 99),
)
def test_a_field_holds_its_share(
    size: tuple[int, int], shares: tuple[float, float], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    gradient = torch.randn(1, 2, *size, generator=generator, dtype=torch.float64) ** 3
    gradient *= torch.rand(1, 2, *size, generator=generator, dtype=torch.float64) > 0.5
    boxes = [effective_field(gradient, share) for share in sorted(shares)]
    for share, (top, left, bottom, right) in zip(sorted(shares), boxes, strict=True):
        assert 0 <= top < bottom <= size[0]
        assert 0 <= left < right <= size[1]
        held = gradient[..., top:bottom, left:right].square().sum()
        assert held >= share * gradient.square().sum() * (1 - 1e-9)
    (top, left, bottom, right), outer = boxes
    assert outer[0] <= top
    assert outer[1] <= left
    assert bottom <= outer[2]
    assert right <= outer[3]
    shifted = F.pad(gradient, (3, 4, 5, 6))
    if all(border > 0 for border in boxes[0][:2]) and bottom < size[0] and right < size[1]:
        assert effective_field(shifted, min(shares)) == (top + 5, left + 3, bottom + 5, right + 3)


def test_gradients_that_are_none() -> None:
    infinite = torch.full((1, 3, 2, 2), math.inf)
    for gradient in (torch.zeros(3, 8, 8), torch.zeros(2, 3, 8, 8), infinite):
        with pytest.raises(UsageError, match="finite"):
            effective_field(gradient)
    for share in (0.0, 1.1, -1.0):
        with pytest.raises(UsageError, match="share"):
            effective_field(torch.ones(1, 3, 4, 4), share)


def picture(*size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(4), dtype=dtype)


def direct(
    extractor: Extractor, image: Tensor, layer: str, unit: int, place: tuple[int, int]
) -> Tensor:
    pixels = image.clone().requires_grad_()
    value = extractor(pixels, [layer])[layer]
    chosen = value[(0, unit, *place)[: value.ndim]]
    (gradient,) = torch.autograd.grad(chosen, pixels)
    return gradient


@pytest.mark.parametrize("layer", ["conv1_1", "relu2_2", "relu4_1", "relu5_1"])
def test_gradients_are_those_of_the_whole_image(layer: str) -> None:
    extractor = load_extractor("vgg-lite", dtype=torch.float64)
    image = picture(90, 123)
    rows, columns = extractor(image, [layer])[layer].shape[2:]
    places = [
        (rows // 2, columns // 2),
        (0, 0),
        (rows - 1, columns // 3),
        (rows // 2, columns // 2),
    ]
    units = [0, 3, 5, 17]
    found = list(unit_gradients(extractor, image, layer, units, places))
    assert any(gradient.any() for gradient in found)
    for gradient, unit, place in zip(found, units, places, strict=True):
        expected = direct(extractor, image, layer, unit, place)
        scale = float(expected.abs().max())
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12 * scale)


@pytest.mark.parametrize("layer", ["relu2_2", "relu5_1"])
def test_bits_do_not_depend_on_what_else_was_asked(layer: str) -> None:
    extractor = load_extractor("vgg-lite")
    image = picture(90, 123, dtype=torch.float32)
    places = [(3, 2), (0, 0), (2, 5), (3, 2)]
    units = [1, 3, 17, 40]
    together = list(unit_gradients(extractor, image, layer, units, places))
    for number in (3, 0, 2):
        (alone,) = unit_gradients(extractor, image, layer, [units[number]], [places[number]])
        assert torch.equal(alone, together[number])


class Counting(TorchFunctionMode):
    """Counts ReLUs, and lets all of the gradient through them."""

    def __init__(self) -> None:
        super().__init__()
        self.met = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.relu:
            self.met += 1
            return args[0] + (args[0].relu() - args[0]).detach()
        return func(*args, **(kwargs or {}))


def test_rules_for_relus() -> None:
    extractor = load_extractor("vgg-lite", dtype=torch.float64)
    image = picture(40, 40)
    rule = Counting()
    places = [(9, 9), (9, 9), (12, 9)]
    found = list(unit_gradients(extractor, image, "relu1_2", [0, 1, 2], places, relu=rule))
    assert rule.met == 2 * 2  # of two tiles; the second unit shares the first one's
    pixels = image.clone().requires_grad_()
    with Counting():
        value = extractor(pixels, ["relu1_2"])["relu1_2"]
    (expected,) = torch.autograd.grad(value[0, 2, 12, 9], pixels)
    torch.testing.assert_close(found[2], expected, rtol=1e-10, atol=1e-14)


class Wilful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, value: Tensor) -> Tensor:
        found: Tensor = self.conv(value)
        if found.mean() > 100:
            found = -found
        return self.head(found.mean((2, 3)))


def test_a_network_of_which_no_field_is_known() -> None:
    with torch.random.fork_rng(devices=[]):
        extractor = extractor_of(Wilful(), name="wilful", dtype=torch.float64)
    image = picture(12, 15)
    for layer, place in (("conv", (4, 7)), ("logits", (0, 0))):
        (found,) = unit_gradients(extractor, image, layer, [1], [place])
        assert torch.equal(found, direct(extractor, image, layer, 1, place))
    for layer, place in (("conv", (10, 0)), ("conv", (-1, 0))):
        with pytest.raises(UsageError, match="conv has no unit at"):
            list(unit_gradients(extractor, image, layer, [1], [place]))


def test_large_tiles_share_a_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = load_extractor("vgg-lite")
    sizes: list[tuple[int, ...]] = []
    run = type(extractor).__call__

    def watched(self: Extractor, image: Tensor, layers: list[str]) -> dict[str, Tensor]:
        sizes.append(tuple(image.shape[2:]))
        return run(self, image, layers)

    monkeypatch.setattr(type(extractor), "__call__", watched)
    image = picture(96, 96, dtype=torch.float32)
    list(unit_gradients(extractor, image, "relu5_1", [0, 1, 2], [(2, 2), (3, 3), (2, 4)]))
    assert sizes == [(96, 96)]
    sizes.clear()
    list(unit_gradients(extractor, image, "relu2_1", [0, 1, 2], [(20, 20), (20, 20), (30, 20)]))
    assert sizes == [(10, 10), (10, 10)]


def test_units_that_are_none() -> None:
    extractor = load_extractor("vgg-lite")
    image = picture(64, 64, dtype=torch.float32)
    with pytest.raises(UsageError, match="2 units have 1 places"):
        unit_gradients(extractor, image, "relu1_1", [0, 1], [(0, 0)])
    with pytest.raises(ConfigError, match="relu1_1 of vgg-lite has no channel 32"):
        unit_gradients(extractor, image, "relu1_1", [32], [(0, 0)])
    with pytest.raises(UsageError, match="no unit at 64,0"):
        unit_gradients(extractor, image, "relu1_1", [0], [(64, 0)])
    with pytest.raises(ConfigError, match="relu9_1"):
        unit_gradients(extractor, image, "relu9_1", [0], [(0, 0)])
    with pytest.raises(ImageError, match="too small"):
        unit_gradients(extractor, image[..., :8, :8], "relu5_1", [0], [(0, 0)])
    with pytest.raises(UsageError, match="image is"):
        unit_gradients(extractor, image[0], "relu1_1", [0], [(0, 0)])
