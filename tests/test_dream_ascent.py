"""The gradient of a dream: exact where it can be, normalised, smoothed, moved by chance."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor

from styler.config import AscentConfig
from styler.dreaming.ascent import DreamGradient, cuts, normalise, smooth
from styler.dreaming.excitement import excitement
from styler.engine import DirectGradient
from styler.features import Extractor, load_extractor
from styler.params import PixelImage

PLAIN = {"jitter": 0, "tile": 0, "normalization": "none", "blur": 0.0}


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", dtype=torch.float64)


def picture(height: int, width: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)


def evaluator(
    extractor: Extractor, layer: str, *, seed: int = 0, mask: Tensor | None = None, **values: object
) -> DreamGradient:
    config = AscentConfig(**{**PLAIN, **values})  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    objective = excitement({layer: 1.0}, "square")
    return DreamGradient(extractor, objective, config, steps=4, generator=generator, mask=mask)


def gradient_of(evaluate: Callable[[PixelImage], object], image: Tensor) -> Tensor:
    parameter = PixelImage(image)
    evaluate(parameter)
    assert parameter.raw.grad is not None
    return parameter.raw.grad


def test_one_plain_tile_is_one_autograd_pass(extractor: Extractor) -> None:
    image = picture(40, 56)
    plain = evaluator(extractor, "relu3_1")
    direct = DirectGradient(extractor, plain.objective)
    assert torch.allclose(gradient_of(plain, image), gradient_of(direct, image), rtol=1e-12)
    ours, theirs = plain(PixelImage(image)), direct(PixelImage(image))
    assert float(ours.total) == pytest.approx(float(theirs.total))
    assert ours.losses.keys() == {"relu3_1"}
    assert float(ours.losses["relu3_1"]) == pytest.approx(float(theirs.losses["relu3_1"]))


def test_tiles_give_the_gradient_of_the_whole_out_of_sight_of_their_borders(
    extractor: Extractor,
) -> None:
    image, layer = picture(96, 128), "relu2_1"
    parts = evaluator(extractor, layer)
    whole, _ = parts.evaluate(image, [0, 96], [0, 128])
    tiled, _ = parts.evaluate(image, [0, 48, 96], [0, 64, 128])
    field = extractor.receptive_field(layer)
    assert field is not None
    reach = 2 * field.x.size  # a pixel's units, and what those see
    far = torch.ones(96, 128, dtype=torch.bool)
    far[max(0, 48 - reach) : 48 + reach] = False
    far[:, max(0, 64 - reach) : 64 + reach] = False
    assert int(far.sum()) > 0
    assert torch.allclose(tiled[..., far], whole[..., far], rtol=1e-9, atol=1e-15)
    assert not torch.allclose(tiled[..., 44:52, :], whole[..., 44:52, :], rtol=1e-3, atol=1e-15)


def test_a_layer_without_reach_beyond_its_tile_is_exact_everywhere(extractor: Extractor) -> None:
    image = picture(24, 32)
    parts = evaluator(extractor, "conv1_1")
    whole, loss = parts.evaluate(image, [0, 24], [0, 32])
    tiled, again = parts.evaluate(image, [0, 8, 24], [0, 16, 32])
    inner = torch.ones(24, 32, dtype=torch.bool)
    inner[6:10] = False
    inner[:, 14:18] = False
    assert torch.allclose(whole[..., inner], tiled[..., inner], rtol=1e-9, atol=1e-15)
    assert float(again.total) == pytest.approx(float(loss.total), rel=0.05)


def test_the_roll_is_undone(extractor: Extractor) -> None:
    # The network's first layer has stride 1: rolled or not, the gradient inside is the same.
    image = picture(32, 40)
    still = gradient_of(evaluator(extractor, "conv1_1"), image)
    rolled = gradient_of(evaluator(extractor, "conv1_1", jitter=5, seed=3), image)
    inside = (..., slice(8, -8), slice(8, -8))
    assert torch.allclose(still[inside], rolled[inside], rtol=1e-9, atol=1e-15)
    assert not torch.equal(still, rolled)


def test_rolls_come_from_the_seed_and_cover_their_range(extractor: Extractor) -> None:
    def shifts(seed: int, side: list[int]) -> list[int]:
        drawn = evaluator(extractor, "relu1_1", jitter=3, seed=seed)
        return [drawn._shift(side) for _ in range(200)]

    assert shifts(1, [0, 64]) == shifts(1, [0, 64]) != shifts(2, [0, 64])
    assert set(shifts(1, [0, 64])) == set(range(-3, 4))
    # Half a tile each way is where a border can be moved to at most.
    tiled = shifts(1, [0, 20, 40])
    assert (min(tiled), max(tiled)) == (-10, 10)


def test_borders_of_tiles_leave_no_trace_in_the_mean(extractor: Extractor) -> None:
    image = picture(64, 64)
    layer = "relu2_1"
    tiled = evaluator(extractor, layer, tile=32)
    mean = torch.stack([gradient_of(tiled, image) for _ in range(60)]).mean(0)
    fixed, _ = tiled.evaluate(image, [0, 32, 64], [0, 32, 64])
    whole, _ = tiled.evaluate(image, [0, 64], [0, 64])

    def seam(found: Tensor) -> float:
        wrong = (found - whole).abs().mean((0, 1, 2))
        return float(wrong[30:34].mean() / wrong[14:18].mean().clamp_min(1e-12))

    assert seam(fixed) > 5
    assert seam(mean) < 1.5


@pytest.mark.parametrize("side", [1, 7, 31, 64, 100, 1000, 1023])
@pytest.mark.parametrize("tile", [0, 16, 64, 512])
@pytest.mark.parametrize(("least", "grid"), [(1, 1), (13, 8), (32, 16)])
def test_cuts_are_on_the_grid_and_leave_no_small_tile(
    side: int, tile: int, least: int, grid: int
) -> None:
    found = cuts(side, tile, least, grid)
    assert (found[0], found[-1]) == (0, side)
    assert all(cut % grid == 0 for cut in found[:-1])
    sizes = [b - a for a, b in pairwise(found)]
    assert min(sizes) >= min(least, side)
    if tile >= 2 * (least + grid) or len(sizes) > 1:
        assert max(sizes) <= max(tile + grid, 2 * (least + grid)) or not tile
    if not tile:
        assert len(sizes) == 1


def test_tiles_too_small_for_the_network_are_joined(extractor: Extractor) -> None:
    image = picture(24, 70)
    small = evaluator(extractor, "relu5_1", tile=8)
    assert torch.isfinite(gradient_of(small, image)).all()


@pytest.mark.parametrize("sigma", [0.5, 1.3, 3.0])
def test_smoothing_is_the_mean_of_three_gaussians_of_nine_taps(sigma: float) -> None:
    noise = picture(20, 30, seed=5)
    expected = np.zeros_like(noise.numpy())
    for share in (0.5, 1.0, 2.0):
        away = np.arange(-4, 5)
        taps = np.exp(-(away**2) / (2 * (share * sigma) ** 2))
        taps /= taps.sum()
        once = scipy.ndimage.correlate1d(noise.numpy(), taps, axis=2, mode="mirror")
        expected += scipy.ndimage.correlate1d(once, taps, axis=3, mode="mirror") / 3
    assert np.allclose(smooth(noise, sigma).numpy(), expected, rtol=1e-10)
    flat = torch.full((1, 3, 9, 9), 0.7)
    assert torch.allclose(smooth(flat, sigma), flat)


def test_smoothing_grows_over_the_steps_of_an_octave(extractor: Extractor) -> None:
    image = picture(32, 32)
    bare = gradient_of(evaluator(extractor, "relu1_1"), image)
    growing = evaluator(extractor, "relu1_1", blur=0.5, blur_growth=2.0)
    for sigma in (1.0, 1.5, 2.0, 2.5, 2.5):
        assert torch.allclose(gradient_of(growing, image), smooth(bare, sigma), rtol=1e-9)


def test_normalisations() -> None:
    gradient = 3 + picture(12, 15, seed=7)
    array = gradient.numpy()
    for kind, expected in {
        "none": array,
        "mean-abs": array / np.abs(array).mean(),
        "std": array / array.std(),
        "standardise": (array - array.mean()) / array.std(),
    }.items():
        assert np.allclose(normalise(gradient, kind).numpy(), expected)


@pytest.mark.parametrize("kind", ["none", "mean-abs", "std", "standardise"])
def test_normalisation_looks_only_where_the_mask_is_white(kind: str) -> None:
    gradient = picture(8, 10) - 0.3
    mask = torch.zeros(1, 1, 8, 10, dtype=torch.float64)
    mask[..., 6:] = 1.0
    masked = normalise(gradient, kind, mask)
    assert torch.equal(masked[..., :6], torch.zeros(1, 3, 8, 6, dtype=torch.float64))
    assert torch.allclose(masked[..., 6:], normalise(gradient[..., 6:], kind))
    huge = gradient.clone()
    huge[..., :6] = 1e6
    assert torch.allclose(normalise(huge, kind, mask), masked)


@pytest.mark.parametrize("kind", ["none", "mean-abs", "std", "standardise"])
def test_no_gradient_stays_none(kind: str) -> None:
    nothing = torch.zeros(1, 3, 4, 4)
    assert torch.equal(normalise(nothing, kind), nothing)
    assert torch.equal(normalise(nothing, kind, torch.ones(1, 1, 4, 4)), nothing)


def test_a_step_climbs(extractor: Extractor) -> None:
    image = 0.25 + 0.5 * picture(48, 48)
    climb = evaluator(extractor, "relu3_1", normalization="mean-abs", jitter=4)
    before = climb(PixelImage(image)).total
    direction = gradient_of(climb, image)
    assert float(direction.abs().mean()) == pytest.approx(1.0)
    assert float(climb(PixelImage(image - 0.01 * direction)).total) < float(before)
