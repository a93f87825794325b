"""Pixels as a parameter."""

import pytest
import torch

from styler.errors import UsageError
from styler.params import Held, PixelImage


def test_pixels_survive_the_change_of_range() -> None:
    image = torch.rand(1, 3, 4, 5)
    parameter = PixelImage(image, pixel_range=255)
    assert torch.allclose(parameter.image(), image)
    assert torch.allclose(parameter.raw, 255 * image)


def test_gradient_reaches_the_raw_numbers() -> None:
    parameter = PixelImage(torch.rand(1, 3, 2, 2), pixel_range=2)
    parameter.image().sum().backward()
    assert parameter.raw.grad is not None
    assert torch.equal(parameter.raw.grad, torch.full((1, 3, 2, 2), 0.5))


def test_projection_is_to_the_nearest_valid_pixels() -> None:
    parameter = PixelImage(torch.tensor([-0.5, 0.5, 1.5]).view(1, 3, 1, 1), pixel_range=255)
    parameter.project_()
    assert parameter.image().flatten().tolist() == [0.0, 0.5, 1.0]


def test_resizing_keeps_the_picture_and_the_range() -> None:
    ramp = torch.linspace(0.2, 0.8, 64).expand(1, 3, 64, 64)
    smaller = PixelImage(ramp, pixel_range=255).resized((16, 32))
    assert smaller.pixel_range == 255
    assert torch.allclose(smaller.image().mean(), ramp.mean(), atol=1e-3)
    assert smaller.image().shape == (1, 3, 16, 32)


def test_second_moments_stay_non_negative_when_resized() -> None:
    spiky = torch.zeros(1, 3, 8, 8)
    spiky[..., 4, 4] = 1.0
    parameter = PixelImage(torch.rand(1, 3, 8, 8))
    assert float(parameter.resized_state(spiky, (21, 13)).min()) >= 0.0


def test_what_is_held_shows_and_gets_no_gradient() -> None:
    photo = torch.rand(1, 3, 8, 8)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 1:3, 1:3] = 1
    parameter = PixelImage(torch.rand(1, 3, 4, 4), 255, held=Held(picture=photo, mask=mask))
    small = torch.nn.functional.interpolate(photo, size=(4, 4), mode="bicubic", antialias=True)
    inside = (..., slice(1, 3), slice(1, 3))
    assert torch.allclose(parameter.image()[inside], small.clamp(0, 1)[inside], atol=1e-6)
    parameter.image().sum().backward()
    assert parameter.raw.grad is not None
    assert parameter.raw.grad[inside].abs().max() == 0
    assert torch.allclose(parameter.raw.grad[..., 0, :], torch.tensor(1 / 255))


def test_what_is_held_comes_back_at_every_size() -> None:
    photo = torch.rand(1, 3, 16, 16)
    held = Held(picture=photo, mask=torch.ones(1, 1, 1, 1))
    parameter = PixelImage(torch.zeros(1, 3, 4, 4), held=held).resized((16, 16))
    assert torch.allclose(parameter.image(), photo)
    assert torch.allclose(parameter.with_raw(torch.zeros(1, 3, 16, 16)).image(), photo)


def test_held_masks_have_one_channel() -> None:
    with pytest.raises(UsageError, match="mask"):
        Held(picture=torch.zeros(1, 3, 2, 2), mask=torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize(("own", "size"), [(32, 64), (48, 20), (17, 34), (30, 30)])
def test_wrapped_pictures_have_no_border_when_resized(own: int, size: int) -> None:
    image = torch.rand(1, 3, own, own)
    parameter = PixelImage(image, wrap=True)
    one = parameter.resized((size, size))
    shift = own // 2 if own % 2 == 0 and size % 2 == 0 else 0
    moved = PixelImage(image.roll(shift, 3), wrap=True).resized((size, size)).image()
    assert torch.allclose(moved.roll(-shift * size // own, 3), one.image(), atol=1e-5)
    assert one.wrap
