"""A picture beside what was dreamt over it, across sizes and under a mask."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from styler.images import resize
from styler.params.detail import Carry, DetailImage

CARRIES: tuple[Carry, ...] = ("detail", "picture")


def picture(height: int = 24, width: int = 32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.3 + 0.4 * torch.rand(1, 3, height, width, generator=generator)


def changed(parameter: DetailImage, by: Tensor | float) -> DetailImage:
    with torch.no_grad():
        parameter.raw.add_(by)
    return parameter


def test_it_starts_as_the_picture_at_the_size_of_work() -> None:
    parameter = DetailImage(picture(), (12, 16), pixel_range=255)
    assert torch.allclose(parameter.image(), resize(picture(), (12, 16)))
    assert torch.allclose(parameter.raw, 255 * parameter.image())


def test_an_unchanged_picture_is_as_sharp_as_ever_after_small_octaves() -> None:
    parameter = DetailImage(picture(), (6, 8)).resized((12, 16)).resized((24, 32))
    assert torch.allclose(parameter.image(), picture(), atol=1e-6)
    blurred = DetailImage(picture(), (6, 8), carry="picture").resized((24, 32))
    assert float((blurred.image().detach() - picture()).abs().max()) > 0.05


def test_the_detail_is_enlarged_and_added_to_the_original() -> None:
    wave = 0.1 * torch.sin(torch.arange(8.0)).expand(1, 3, 6, 8)
    larger = changed(DetailImage(picture(), (6, 8)), wave).resized((24, 32))
    detail = F.interpolate(wave, (24, 32), mode="bicubic", antialias=True)
    assert torch.allclose(larger.image(), picture() + detail, atol=1e-5)


def test_the_picture_itself_is_enlarged_when_that_is_asked_for() -> None:
    parameter = changed(DetailImage(picture(), (6, 8), carry="picture", pixel_range=2), 0.1)
    expected = resize(resize(picture(), (6, 8)) + 0.05, (24, 32))
    assert torch.allclose(parameter.resized((24, 32)).image(), expected, atol=1e-6)
    assert parameter.resized((24, 32)).pixel_range == 2


def test_a_masked_picture_changes_by_the_share_of_the_mask() -> None:
    mask = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3).expand(1, 1, 3, 3)
    original = picture(3, 3)
    parameter = changed(DetailImage(original, (3, 3), mask=mask), 0.2)
    moved = (parameter.image() - original)[0, :, 0]
    assert torch.allclose(moved, torch.tensor([0.0, 0.05, 0.2]).expand(3, 3), atol=1e-6)
    parameter.image().sum().backward()
    assert parameter.raw.grad is not None
    assert torch.allclose(parameter.raw.grad, mask.expand(1, 3, 3, 3))


def test_black_stays_the_original_to_the_last_bit_at_any_size() -> None:
    mask = torch.zeros(1, 1, 48, 64)
    mask[..., 32:] = 1.0
    for carry in CARRIES:
        parameter = DetailImage(picture(), (6, 8), carry=carry, mask=mask)
        parameter = changed(parameter, 0.2).resized((12, 16))
        result = parameter.finish(parameter.image().detach(), (24, 32))
        black = resize(mask, (24, 32)).expand(1, 3, 24, 32) == 0
        assert bool(black[..., :12].all())
        assert torch.equal(result[black], picture()[black])
        assert float((result - picture())[..., 24:].mean()) > 0.15


def test_the_end_is_the_same_as_another_octave_without_steps() -> None:
    for carry in CARRIES:
        parameter = DetailImage(picture(), (12, 16), carry=carry)
        parameter = changed(parameter, 0.1 * torch.sin(torch.arange(16.0)))
        with torch.no_grad():
            finished = parameter.finish(parameter.image(), (24, 32))
            assert torch.allclose(finished, parameter.resized((24, 32)).image(), atol=1e-6)


def test_projection_and_other_values() -> None:
    parameter = changed(DetailImage(picture(), (6, 8), pixel_range=255), 300.0)
    parameter.project_()
    assert float(parameter.image().detach().max()) == 1.0
    other = parameter.with_raw(torch.full((1, 3, 6, 8), 51.0))
    assert torch.allclose(other.image(), torch.tensor(0.2))
    assert float(other.resized_state(torch.rand(1, 3, 6, 8), (9, 9)).min()) >= 0
