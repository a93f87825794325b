"""Pixels as a parameter."""

import torch

from styler.params import PixelImage


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
