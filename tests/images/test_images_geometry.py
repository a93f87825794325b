import numpy as np
import pytest
import torch
from PIL import Image

from styler.errors import UsageError
from styler.images import fit_long_side, resize, resize_wrapped


@pytest.mark.parametrize("size", [(7, 9), (40, 23), (61, 97), (1, 1)])
def test_resize_is_the_antialiased_bicubic_of_an_independent_library(size: tuple[int, int]) -> None:
    image = torch.rand(1, 1, 31, 45, generator=torch.Generator().manual_seed(1))
    there = Image.fromarray(image[0, 0].numpy())
    wanted = np.asarray(there.resize(size[::-1], Image.Resampling.BICUBIC)).clip(0, 1)
    np.testing.assert_allclose(resize(image, size)[0, 0].numpy(), wanted, atol=2e-5)


def test_shrinking_a_fine_checkerboard_gives_grey_not_a_false_pattern() -> None:
    rows, columns = torch.meshgrid(torch.arange(60), torch.arange(60), indexing="ij")
    board = ((rows + columns) % 2).float()[None, None]
    inner = resize(board, (20, 20))[..., 2:-2, 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5), atol=0.01, rtol=0)


def test_bicubic_overshoot_is_clamped() -> None:
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1
    enlarged = resize(edge, (32, 32))
    assert enlarged.min() == 0
    assert enlarged.max() == 1


def test_same_size_returns_the_values_untouched() -> None:
    image = torch.rand(2, 3, 5, 6) * 3 - 1  # even out of range
    assert torch.equal(resize(image, (5, 6)), image)


def test_resize_passes_gradients() -> None:
    image = torch.rand(1, 3, 6, 6, dtype=torch.float64).mul(0.4).add(0.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: resize(x, (4, 5)), image)


@pytest.mark.parametrize(
    ("image", "size"),
    [
        (torch.rand(3, 5, 5), (4, 4)),
        (torch.zeros(1, 3, 5, 5, dtype=torch.uint8), (4, 4)),
        (torch.rand(1, 3, 5, 5), (0, 4)),
        (torch.rand(1, 3, 5, 5), (4, -1)),
    ],
)
def test_resize_refuses_wrong_input(image: torch.Tensor, size: tuple[int, int]) -> None:
    with pytest.raises(UsageError):
        resize(image, size)


@pytest.mark.parametrize(
    ("size", "side", "wanted"),
    [
        ((300, 400), 200, (150, 200)),
        ((400, 300), 200, (200, 150)),
        ((333, 500), 100, (67, 100)),  # 66.6
        ((3, 2000), 100, (1, 100)),  # 0.15 would vanish
        ((10, 20), 80, (40, 80)),
        ((1, 1), 7, (7, 7)),
        ((1, 2), 5, (3, 5)),  # 2.5 rounds up
    ],
)
def test_fit_long_side(size: tuple[int, int], side: int, wanted: tuple[int, int]) -> None:
    assert fit_long_side(size, side) == wanted


@pytest.mark.parametrize(("size", "side"), [((0, 5), 10), ((5, 5), 0), ((5, 5), -3)])
def test_fit_long_side_refuses_empty_sizes(size: tuple[int, int], side: int) -> None:
    with pytest.raises(UsageError, match="at least 1 pixel"):
        fit_long_side(size, side)


def line_by_line(picture: torch.Tensor) -> torch.Tensor:
    """The mean step from each column to the next, over that of all."""
    steps = (picture - picture.roll(1, 3)).abs().mean((0, 1, 2))
    return steps / steps.mean()


def test_doubling_a_tiled_picture_leaves_no_line_smoother_than_the_next() -> None:
    picture = 0.3 + 0.4 * torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(5))
    waves, kernel = (line_by_line(f(picture, (192, 192))) for f in (resize_wrapped, resize))
    assert abs(float(waves[0::2].mean() - waves[1::2].mean())) < 0.03
    assert float(kernel[0::2].mean() - kernel[1::2].mean()) > 0.1
    assert float(waves[0]) == pytest.approx(1, abs=0.1)  # nor the one across the border


@pytest.mark.parametrize(("own", "side"), [(7, 12), (8, 12), (12, 7), (12, 8), (9, 1), (1, 5)])
def test_a_tiled_picture_keeps_its_place_and_its_mean(own: int, side: int) -> None:
    centres = (torch.arange(float(own)) + 0.5) / own
    wave = 0.5 + 0.2 * torch.cos(2 * torch.pi * centres)
    found = resize_wrapped(wave.expand(1, 1, 3, own), (3, side))[0, 0, 0]
    if min(own, side) > 2:
        there = (torch.arange(float(side)) + 0.5) / side
        assert torch.allclose(found, 0.5 + 0.2 * torch.cos(2 * torch.pi * there), atol=1e-6)
    assert torch.allclose(found.mean(), wave.mean(), atol=1e-6)
