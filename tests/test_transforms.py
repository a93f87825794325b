"""Views of pictures: where they look, how they are drawn, and what passes through them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.autograd import gradcheck

from styler.config import ViewConfig
from styler.transforms import (
    GREY,
    STILL,
    Crops,
    Draw,
    Robust,
    transform_of,
    view_size,
)


def generators(count: int = 1, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(first, first + count)]


def picture(height: int = 8, width: int = 6, batch: int = 1, channels: int = 3) -> Tensor:
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(9))


def still(**values: Any) -> ViewConfig:
    nothing: dict[str, Any] = {"pad": 0, "jitter": (), "scales": (1.0,), "degrees": 0, "noise": 0.0}
    return ViewConfig(**{**nothing, **values})


def drawn(config: ViewConfig, size: tuple[int, int], seed: int = 0, progress: float = 0.0) -> Draw:
    return transform_of(config).draw(size, generators(first=seed), [progress])


def many(config: ViewConfig, size: tuple[int, int], count: int, progress: float = 0.0) -> Tensor:
    """The maps of so many draws from one generator, (count · K, 2, 3)."""
    transform, own = transform_of(config), generators()
    return torch.cat([transform.draw(size, own, [progress]).theta for _ in range(count)])


def looked_at(
    image: NDArray[np.float64],
    view: tuple[int, int],
    before: tuple[float, float],
    scale: float,
    degrees: float,
    after: tuple[float, float],
) -> NDArray[np.float64]:
    """The view of one channel, step by step backwards from each of its pixels."""
    places = np.stack(np.meshgrid(*map(np.arange, view), indexing="ij"), -1) + 0.5
    places = places - np.array(view) / 2 - np.array(after)
    turn = math.radians(degrees)
    down, right = places[..., 0], places[..., 1]
    places = np.stack(
        [
            down * math.cos(turn) - right * math.sin(turn),
            down * math.sin(turn) + right * math.cos(turn),
        ],
        -1,
    )
    places = places / scale - np.array(before) + np.array(image.shape) / 2 - 0.5
    found = ndimage.map_coordinates(
        image, np.moveaxis(places, -1, 0), order=1, mode="grid-constant", cval=GREY
    )
    return np.asarray(found)


@pytest.mark.parametrize("size", [(8, 6), (7, 11), (1, 5), (64, 48)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_still_view_is_the_picture_itself(size: tuple[int, int], channels: int) -> None:
    image = picture(*size, batch=2, channels=channels)
    views = transform_of(STILL).draw(size, generators(2), [0.0, 0.0])(image)
    torch.testing.assert_close(views, image, rtol=0, atol=1e-5)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    height=st.integers(7, 17),
    width=st.integers(7, 17),
    pad=st.integers(0, 3),
    jitter=st.lists(st.integers(0, 3), max_size=2),
    seed=st.integers(0, 999),
)
def test_jitter_alone_is_a_crop_of_the_padded_picture(
    height: int, width: int, pad: int, jitter: list[int], seed: int
) -> None:
    image = picture(height, width)
    config = still(pad=pad, jitter=tuple(jitter))
    view = drawn(config, (height, width), seed)(image)
    play = sum(jitter)
    rows, columns = height + 2 * pad - play, width + 2 * pad - play
    assert view.shape == (1, 3, rows, columns)
    padded = torch.nn.functional.pad(image, [pad] * 4, value=GREY)
    crops = padded.unfold(2, rows, 1).unfold(3, columns, 1)
    differences = (crops - view[:, :, None, None]).abs().amax((0, 1, 4, 5))
    assert differences.shape == (play + 1, play + 1)
    assert float(differences.min()) < 1e-4


@pytest.mark.parametrize("size", [(9, 9), (8, 12), (12, 8)])
@pytest.mark.parametrize("scale", [0.5, 0.8, 1.0, 1.3, 2.0])
def test_scaling_is_about_the_centre(size: tuple[int, int], scale: float) -> None:
    image = picture(*size)
    view = drawn(still(scales=(scale,)), size)(image)
    matrix = np.eye(2) / scale
    centre = (np.array(size) - 1) / 2
    for channel in range(3):
        expected = ndimage.affine_transform(
            image[0, channel].double().numpy(),
            matrix,
            offset=centre - matrix @ centre,
            order=1,
            mode="grid-constant",
            cval=GREY,
        )
        np.testing.assert_allclose(view[0, channel].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("degrees", [-90, 90])
@pytest.mark.parametrize("size", [(8, 8), (9, 9)])
def test_a_quarter_turn_moves_every_pixel_to_its_place(size: tuple[int, int], degrees: int) -> None:
    image, own = picture(*size), generators()
    transform = transform_of(still(degrees=90))
    for _ in range(5000):
        draw = transform.draw(size, own, [0.0])
        sine = float(draw.theta[0, 0, 1])
        if abs(sine - degrees / 90) < 1e-6:
            break
    # What is above in the view is then left in the picture, which was turned clockwise.
    expected = torch.rot90(image, -degrees // 90, (2, 3))
    torch.testing.assert_close(draw(image), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(10, 10), (8, 13), (13, 8)])
@pytest.mark.parametrize("seed", range(3))
def test_all_together_is_the_chain_of_its_steps(size: tuple[int, int], seed: int) -> None:
    image = picture(*size)
    config = still(pad=2, jitter=(2, 1), scales=(0.8, 1.25), degrees=2)
    found = drawn(config, size, seed)(image)[0, 0].numpy()
    view = (size[0] + 1, size[1] + 1)
    assert found.shape == view
    first, second = (-1.0, 0.0, 1.0), (-0.5, 0.5)
    channel = image[0, 0].double().numpy()
    distances = [
        np.abs(looked_at(channel, view, before, scale, degrees, after) - found).max()
        for before in itertools.product(first, first)
        for after in itertools.product(second, second)
        for scale in config.scales
        for degrees in range(-2, 3)
    ]
    close = sorted(distances)
    assert close[0] < 1e-5
    assert close[1] > 1e-3  # no other chain would give this


def test_outside_of_the_picture_is_grey() -> None:
    view = drawn(still(pad=5), (4, 6))(torch.ones(1, 3, 4, 6))
    assert view.shape == (1, 3, 14, 16)
    inside = torch.zeros(14, 16, dtype=torch.bool)
    inside[5:9, 5:11] = True
    torch.testing.assert_close(view[..., inside], torch.ones(1, 3, 24), rtol=0, atol=1e-5)
    torch.testing.assert_close(view[..., ~inside], torch.full((1, 3, 200), GREY))


@pytest.mark.parametrize(
    ("config", "size", "expected"),
    [
        (ViewConfig(), (160, 120), (168, 128)),
        (still(pad=3, jitter=(2,)), (10, 20), (14, 24)),
        (still(jitter=(30, 10)), (32, 64), (1, 24)),
        (ViewConfig(crops=4, crop_side=96), (200, 300), (96, 96)),
    ],
)
def test_sizes_of_views(
    config: ViewConfig, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert view_size(config, size) == expected
    draw = drawn(config, size)
    assert draw.size == expected
    assert draw.views == max(1, config.crops)
    views = draw(picture(*size))
    assert views.shape == (draw.views, 3, *expected)


def test_settings_choose_the_transform() -> None:
    assert isinstance(transform_of(ViewConfig()), Robust)
    assert isinstance(transform_of(ViewConfig(crops=1)), Crops)


@pytest.mark.parametrize("play", [0, 3, 4])
def test_every_place_of_the_jitter_is_reached_and_no_other(play: int) -> None:
    size = (20, 10)
    shifts = many(still(jitter=(play,)), size, 300)[:, :, 2] * torch.tensor([5.0, 10.0])
    steps = -shifts + play / 2
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-5)
    for axis in (0, 1):
        assert sorted(set(steps[:, axis].round().int().tolist())) == list(range(play + 1))
    together = set(map(tuple, steps.round().int().tolist()))
    assert len(together) == (play + 1) ** 2  # the two axes are drawn apart


def test_both_jitters_are_drawn_apart() -> None:
    shifts = many(still(jitter=(2, 2)), (8, 8), 600)[:, 0, 2] * 4
    counts = torch.bincount((shifts.round() + 2).int())
    # The sum of two even throws of three: 1, 2, 3, 2, 1 of nine.
    torch.testing.assert_close(
        counts / 600, torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0]) / 9, rtol=0, atol=0.05
    )


def test_every_scale_and_every_degree_is_reached_and_no_other() -> None:
    scales = (0.8, 0.9, 1.0, 1.1, 1.2)
    thetas = many(still(scales=scales, degrees=4), (8, 8), 800).double()
    sizes = 1 / torch.linalg.vector_norm(thetas[:, :, 0], dim=1)
    assert set(sizes.round(decimals=4).tolist()) == set(scales)
    turns = torch.rad2deg(torch.atan2(thetas[:, 0, 1], thetas[:, 0, 0]))
    assert set(turns.round(decimals=2).abs().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}
    assert set(turns.round().int().tolist()) == set(range(-4, 5))
    pairs = {(round(float(s), 2), round(float(t))) for s, t in zip(sizes, turns, strict=True)}
    assert len(pairs) == 5 * 9
    torch.testing.assert_close(thetas[:, :, 2], torch.zeros(800, 2).double())


ROBUST = ViewConfig(noise=0.1)
CROPS = ViewConfig(crops=3, crop_side=16, noise=0.1)
both = pytest.mark.parametrize("config", [ROBUST, CROPS], ids=["robust", "crops"])


@both
def test_pictures_of_a_batch_have_draws_of_their_own_that_come_again(config: ViewConfig) -> None:
    transform, size = transform_of(config), (32, 24)
    first, same = (transform.draw(size, generators(3), [0.0, 0.5, 1.0]) for _ in range(2))
    assert torch.equal(first.theta, same.theta)
    assert first.noise is not None
    assert same.noise is not None
    assert torch.equal(first.noise, same.noise)
    assert len({tuple(theta.flatten().tolist()) for theta in first.theta}) == first.views
    assert len({float(noise.sum()) for noise in first.noise}) == first.views


@both
def test_the_next_draw_is_another(config: ViewConfig) -> None:
    transform, own = transform_of(config), generators()
    first, second = (transform.draw((32, 24), own, [0.0]) for _ in range(2))
    assert not torch.equal(first.theta, second.theta)
    assert first.noise is not None
    assert second.noise is not None
    assert not torch.equal(first.noise, second.noise)


@both
def test_a_picture_is_seen_alike_alone_and_among_others(config: ViewConfig) -> None:
    transform, size, progress = transform_of(config), (32, 24), [0.0, 0.5, 1.0]
    images = picture(*size, batch=3)
    together = transform.draw(size, generators(3), progress)(images)
    each = max(1, config.crops)
    assert together.shape[0] == 3 * each
    for row in range(3):
        alone = transform.draw(size, generators(1, first=row), progress[row : row + 1])
        rows = slice(row * each, (row + 1) * each)
        torch.testing.assert_close(alone(images[row : row + 1]), together[rows], rtol=0, atol=1e-6)


def test_the_views_of_a_picture_follow_one_another() -> None:
    images = torch.tensor([0.2, 0.4, 0.9]).view(3, 1, 1, 1).expand(3, 3, 20, 20)
    config = ViewConfig(crops=2, crop_side=16, noise=0.0)
    views = Crops(config).draw((20, 20), generators(3), [0.0] * 3)(images)
    found = views.mean((1, 2, 3))
    torch.testing.assert_close(found, torch.tensor([0.2, 0.2, 0.4, 0.4, 0.9, 0.9]))


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_crops_shrink_linearly(progress: float) -> None:
    config = ViewConfig(crops=2, crop_side=16, box=(0.5, 0.1), noise=0.0)
    thetas = many(config, (20, 20), 5, progress)
    expected = 0.5 - 0.4 * progress
    torch.testing.assert_close(thetas[:, 0, 0], torch.full((10,), expected))
    torch.testing.assert_close(thetas[:, 1, 1], torch.full((10,), expected))
    assert not bool(thetas[:, [0, 1], [1, 0]].any())


@pytest.mark.parametrize("size", [(24, 24), (24, 60), (60, 24)])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.05])
def test_crops_lie_inside_and_reach_all_sides(size: tuple[int, int], share: float) -> None:
    config = ViewConfig(crops=4, crop_side=16, box=(share, share), noise=0.0)
    thetas = many(config, size, 250)
    for axis in (0, 1):
        half, centre = thetas[:, axis, axis], thetas[:, axis, 2]
        assert float((centre.abs() + half).max()) <= 1 + 1e-6
        play = 1 - float(half[0])
        assert float(centre.max()) > 0.95 * play - 1e-6
        assert float(centre.min()) < -0.95 * play + 1e-6
        assert abs(float(centre.mean())) <= 0.06 * play + 1e-6


@pytest.mark.parametrize("size", [(32, 32), (32, 48), (80, 32)])
def test_crops_are_square_and_not_distorted(size: tuple[int, int]) -> None:
    down, right = 0.004, 0.003
    rows, columns = torch.arange(size[0])[:, None], torch.arange(size[1])[None]
    image = (down * rows + right * columns).expand(1, 3, *size)
    config = ViewConfig(crops=3, crop_side=16, box=(0.5, 0.5), noise=0.0)
    views = drawn(config, size)(image)[..., 1:-1, 1:-1]
    torch.testing.assert_close(
        views.diff(dim=-2), torch.full((3, 3, 13, 14), down), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(
        views.diff(dim=-1), torch.full((3, 3, 14, 13), right), rtol=0, atol=1e-5
    )


@both
def test_noise_is_white_and_of_the_size_asked_for(config: ViewConfig) -> None:
    draw = transform_of(config).draw((64, 64), generators(2), [0.0, 0.0])
    noise = draw(torch.full((2, 3, 64, 64), GREY)) - GREY
    assert float(noise.std()) == pytest.approx(0.1, rel=0.05)
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.01)
    neighbours = (noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean()
    assert abs(float(neighbours)) < 0.05


def test_without_noise_none_is_drawn() -> None:
    assert drawn(still(jitter=(4,)), (8, 8)).noise is None
    assert drawn(ViewConfig(crops=2, noise=0.0), (32, 32)).noise is None


def test_gradients_flow_to_what_was_seen_and_to_nothing_else() -> None:
    image = picture(8, 8).requires_grad_()
    draw = drawn(still(jitter=(4,)), (8, 8))
    (gradient,) = torch.autograd.grad(draw(image).sum(), image)
    torch.testing.assert_close(gradient.sum(), torch.tensor(3.0 * 4 * 4))
    seen = gradient[0, 0] > 0.5
    torch.testing.assert_close(gradient, seen.expand(1, 3, 8, 8).float(), rtol=0, atol=1e-4)


def test_all_views_give_their_gradient_to_their_picture() -> None:
    images = picture(24, 24, batch=2).requires_grad_()
    config = ViewConfig(crops=3, crop_side=16, noise=0.1)
    views = Crops(config).draw((24, 24), generators(2), [0.0, 0.0])(images)
    (gradient,) = torch.autograd.grad(views[3:].sum(), images)
    assert not bool(gradient[0].any())
    assert bool(gradient[1].any())


def test_the_gradient_is_exact_in_float64() -> None:
    draw = drawn(still(pad=1, jitter=(2,), scales=(1.1,), degrees=20), (4, 5))
    image = picture(4, 5, channels=1).double().requires_grad_()
    assert draw(image).dtype == torch.float64
    assert gradcheck(draw, image)
