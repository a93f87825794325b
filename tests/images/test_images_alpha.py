import pytest
import torch

from styler.errors import UsageError
from styler.images import fill_transparent


def test_hidden_colours_do_not_matter_and_visible_ones_stay() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, 13, 21, generator=generator)
    alpha = torch.rand(2, 1, 13, 21, generator=generator).round() * 0.7
    other = torch.where(alpha > 0, pixels, torch.full_like(pixels, float("nan")))
    filled = fill_transparent(pixels, alpha)
    assert torch.equal(filled, fill_transparent(other, alpha))
    shown = (alpha > 0).expand_as(pixels)
    assert torch.equal(filled[shown], pixels[shown])


def test_one_visible_pixel_colours_the_whole_picture() -> None:
    pixels = torch.rand(1, 3, 9, 14)
    alpha = torch.zeros(1, 1, 9, 14)
    alpha[..., 4, 11] = 0.25
    filled = fill_transparent(pixels, alpha)
    torch.testing.assert_close(filled, pixels[..., 4:5, 11:12].expand_as(pixels))


def test_the_nearest_colour_dominates() -> None:
    pixels = torch.zeros(1, 1, 1, 64)
    pixels[..., 0], pixels[..., 63] = 0.2, 0.8
    alpha = torch.zeros(1, 1, 1, 64)
    alpha[..., 0] = alpha[..., 63] = 1
    filled = fill_transparent(pixels, alpha)[0, 0, 0]
    assert abs(filled[3] - 0.2) < 0.1
    assert abs(filled[60] - 0.8) < 0.1
    assert (filled >= 0.2 - 1e-6).all()
    assert (filled <= 0.8 + 1e-6).all()


def test_weights_are_alpha() -> None:
    # A 2×2 block: one empty pixel takes (0.2·0.5 + 0.8·0.25 + 0.4·0.25) / 1.
    pixels = torch.tensor([[[[0.2, 0.8], [0.4, 0.9]]]])
    alpha = torch.tensor([[[[0.5, 0.25], [0.25, 0.0]]]])
    assert fill_transparent(pixels, alpha)[0, 0, 1, 1].item() == pytest.approx(0.4)


def test_nothing_visible_is_mid_grey() -> None:
    filled = fill_transparent(torch.rand(1, 3, 5, 7), torch.zeros(1, 1, 5, 7))
    torch.testing.assert_close(filled, torch.full_like(filled, 0.5))


def test_opaque_is_untouched() -> None:
    pixels = torch.rand(1, 3, 4, 4)
    assert torch.equal(fill_transparent(pixels, torch.ones(1, 1, 4, 4)), pixels)


def test_faint_pixels_keep_their_colour_and_count() -> None:
    pixels = torch.full((1, 1, 2, 2), 0.75)
    alpha = torch.zeros(1, 1, 2, 2)
    alpha[..., 0, 0] = 1 / 65535
    torch.testing.assert_close(fill_transparent(pixels, alpha), pixels)


def test_shapes_must_fit() -> None:
    with pytest.raises(UsageError, match="does not fit"):
        fill_transparent(torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 5))
