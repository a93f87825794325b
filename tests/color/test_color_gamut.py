"""Gamut: nothing outside, nothing moved without need, chroma or hue kept as promised."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from styler.color import from_oklab, in_gamut, into_gamut, to_oklab, with_chroma_of
from styler.errors import UsageError

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 10**6)


def noise(seed: int, darkness: float = 1.0, side: int = 12) -> Tensor:
    """A random picture of 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(1, 3, side, side, generator=generator) ** darkness * 255).round() / 255


def rounded(image: Tensor) -> Tensor:
    return (image * 255).round() / 255


def chroma_error(image: Tensor, colours: Tensor) -> Tensor:
    return (to_oklab(image) - to_oklab(colours))[:, 1:].square().sum(1).sqrt()


def test_what_is_in_gamut() -> None:
    colours = torch.cartesian_prod(*[torch.linspace(0, 1, 6)] * 3).T.reshape(1, 3, 1, -1)
    assert in_gamut(to_oklab(colours)).all()
    for channel in range(3):
        for value in (-0.01, 1.01):
            beyond = colours.clone()
            beyond[:, channel] = value
            assert not in_gamut(to_oklab(beyond)).any()


@few
@given(seeds, st.floats(0, 3))
def test_into_gamut_keeps_lightness_and_hue(seed: int, factor: float) -> None:
    lab = to_oklab(noise(seed)).double()
    wanted = torch.cat([lab[:, :1], factor * lab[:, 1:]], dim=1)
    inside = into_gamut(wanted)
    image = from_oklab(inside)
    assert image.min() > -1e-3
    assert image.max() < 1 + 1e-3
    torch.testing.assert_close(inside[:, 0], wanted[:, 0])
    (a, b), (c, d) = inside[0, 1:], wanted[0, 1:]
    torch.testing.assert_close(a * d, b * c, atol=1e-9, rtol=0)
    assert (a * c + b * d >= 0).all()
    assert (a.square() + b.square() <= c.square() + d.square() + 1e-12).all()
    kept = in_gamut(wanted)
    assert torch.equal(inside * kept, wanted * kept)
    # No farther than needed: a little more chroma is out again.
    more = torch.cat([inside[:, :1], inside[:, 1:] + 1e-3 * wanted[:, 1:]], dim=1)
    assert not (in_gamut(more) & ~kept).any()


def test_lightness_beyond_white_and_black_is_clamped() -> None:
    lab = torch.tensor([[1.3, -0.2, 0.5], [0.1, 0.1, 0.0], [0.1, 0.0, 0.0]]).view(1, 3, 1, 3)
    inside = from_oklab(into_gamut(lab))
    expected = torch.tensor([1.0, 0.0, 0.3886]).expand(1, 3, 1, 3)
    torch.testing.assert_close(inside, expected, atol=2e-3, rtol=0)


@few
@given(seeds, st.sampled_from([0.2, 1.0, 3.0, 20.0]), st.sampled_from([0.2, 1.0, 3.0, 20.0]))
def test_chroma_is_that_of_the_colours_after_8_bits(seed: int, own: float, other: float) -> None:
    image, colours = noise(seed, own), noise(seed + 1, other)
    error = chroma_error(rounded(with_chroma_of(image, colours)), colours)
    assert error.mean() < 0.01
    assert error.max() < 0.0085


@pytest.mark.parametrize("grey", [0, 1, 3, 10, 128, 255])
def test_chroma_of_the_darkest_colours_is_kept_beside_any_lightness(grey: int) -> None:
    levels = torch.arange(12) / 255
    colours = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 1, -1)
    result = with_chroma_of(torch.full_like(colours, grey / 255), colours)
    assert chroma_error(rounded(result), colours).max() < 0.0085


@few
@given(seeds)
def test_greys_of_the_colours_stay_grey_and_take_the_lightness(seed: int) -> None:
    image, grey = noise(seed), noise(seed + 1)[:, :1].expand(-1, 3, -1, -1)
    result = with_chroma_of(image, grey)
    assert torch.equal(result.amax(1), result.amin(1))
    torch.testing.assert_close(to_oklab(result)[:, 0], to_oklab(image)[:, 0], atol=1e-4, rtol=0)


@few
@given(seeds)
def test_lightness_gives_way_no_farther_than_needed(seed: int) -> None:
    image, colours = noise(seed), noise(seed + 1)
    lab, known = to_oklab(image), to_oklab(colours)
    wanted = torch.cat([lab[:, :1], known[:, 1:]], dim=1)
    result = to_oklab(with_chroma_of(image, colours))[:, :1]
    light = lab[:, :1] > 0.15
    kept = in_gamut(wanted) & light
    torch.testing.assert_close(result[kept], lab[:, :1][kept], atol=1e-4, rtol=0)
    # Elsewhere it lies between both, and a little nearer to the picture's is out of gamut.
    low, high = torch.minimum(lab, known)[:, :1], torch.maximum(lab, known)[:, :1]
    assert ((result >= low - 1e-3) & (result <= high + 1e-3)).all()
    nearer = result + 2e-3 * (lab[:, :1] - result).sign()
    moved = (~in_gamut(wanted)) & light & ((lab[:, :1] - result).abs() > 2e-3)
    assert not (in_gamut(torch.cat([nearer, known[:, 1:]], dim=1)) & moved).any()


def test_a_picture_takes_its_own_chroma_unchanged() -> None:
    image = noise(3)
    torch.testing.assert_close(with_chroma_of(image, image), image, atol=1e-4, rtol=0)


def test_what_is_wrong_is_said() -> None:
    image = torch.rand(1, 3, 4, 5)
    with pytest.raises(UsageError, match="colours is 5×4, expected the size of image, 4×5"):
        with_chroma_of(image, image.mT)
    with pytest.raises(UsageError, match=r"colours is torch\.float32"):
        with_chroma_of(image, image[0])
    with pytest.raises(UsageError, match=r"lab is torch\.float32"):
        into_gamut(image[0])
