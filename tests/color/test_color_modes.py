"""Colour modes: what goes into a transfer and what comes out of it."""

from typing import get_args, get_type_hints

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from styler.color import (
    COLOR_MODES,
    after,
    before,
    match_covariance,
    match_histogram,
    to_oklab,
    with_chroma_of,
)
from styler.config import ColorConfig
from styler.errors import UsageError
from styler.images import resize


def noise(seed: int, height: int = 12, width: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=generator)


CONTENT, STYLE, REFERENCE, RESULT = noise(0), noise(1, 7, 15), noise(2, 5, 5), noise(3, 24, 18)


def is_grey(image: Tensor) -> bool:
    return bool((image.amax(1) - image.amin(1)).max() < 1e-4)


def test_modes_are_those_of_the_configuration() -> None:
    assert set(COLOR_MODES) == set(get_args(get_type_hints(ColorConfig)["mode"]))


@pytest.mark.parametrize("mode", ["style", "content"])
def test_modes_that_leave_the_pictures_as_they_are(mode: str) -> None:
    content, style = before(mode, CONTENT, STYLE)
    assert content is CONTENT
    assert style is STYLE


@pytest.mark.parametrize("mode", ["style", "histogram", "pca"])
def test_modes_that_leave_the_result_as_it_is(mode: str) -> None:
    assert after(mode, RESULT, CONTENT) is RESULT


def test_luminance_makes_both_grey_and_the_style_as_light_as_the_content() -> None:
    content, style = before("luminance", CONTENT, STYLE)
    assert is_grey(content)
    assert is_grey(style)
    own, wanted = to_oklab(content)[0, 0], to_oklab(CONTENT)[0, 0]
    torch.testing.assert_close(own, wanted, atol=1e-4, rtol=0)
    lightness = to_oklab(style)[0, 0]
    assert lightness.mean().item() == pytest.approx(own.mean().item(), abs=0.01)
    assert lightness.std().item() == pytest.approx(own.std().item(), abs=0.01)


def test_histogram_pca_and_match_colour_the_style() -> None:
    for mode, expected in (
        ("histogram", match_histogram(STYLE, CONTENT)),
        ("pca", match_covariance(STYLE, CONTENT)),
        ("match", match_covariance(STYLE, REFERENCE)),
    ):
        content, style = before(mode, CONTENT, STYLE, REFERENCE)
        assert content is CONTENT
        assert torch.equal(style, expected)
        assert style.shape == STYLE.shape


@pytest.mark.parametrize("mode", ["content", "luminance"])
def test_the_result_takes_the_contents_chroma_at_its_own_size(mode: str) -> None:
    result = after(mode, RESULT, CONTENT)
    resized = resize(CONTENT, (24, 18))
    assert torch.equal(result, with_chroma_of(RESULT, resized))
    error = (to_oklab((result * 255).round() / 255) - to_oklab(resized))[:, 1:]
    assert error.square().sum(1).sqrt().mean() < 0.01


def test_match_gives_the_result_the_references_colours() -> None:
    assert torch.equal(
        after("match", RESULT, CONTENT, REFERENCE), match_covariance(RESULT, REFERENCE)
    )


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(COLOR_MODES), st.integers(0, 10**6))
def test_grey_stays_grey_and_pictures_stay_pictures(mode: str, seed: int) -> None:
    greys = [noise(seed + i)[:, :1].expand(-1, 3, -1, -1) for i in range(4)]
    content, style, reference, result = greys
    assert all(is_grey(each) for each in before(mode, content, style, reference))
    assert is_grey(after(mode, result, content, reference))
    for coloured in (*before(mode, noise(seed), noise(seed + 1), reference), *greys):
        assert 0 <= coloured.min() <= coloured.max() <= 1


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match="color mode is 'contents', expected one of") as caught:
        before("contents", CONTENT, STYLE)
    assert caught.value.hint == "did you mean content?"
    for call in (lambda: before("match", CONTENT, STYLE), lambda: after("match", RESULT, CONTENT)):
        with pytest.raises(UsageError, match="color mode match has no reference picture"):
            call()
    with pytest.raises(UsageError, match=r"reference is torch\.float32"):
        before("match", CONTENT, STYLE, REFERENCE[0])
    with pytest.raises(UsageError, match=r"style is torch\.float32"):
        before("style", CONTENT, STYLE[0])
    with pytest.raises(UsageError, match=r"content is torch\.float32"):
        after("content", RESULT, CONTENT[0])
    with pytest.raises(UsageError, match=r"result is torch\.float32"):
        after("style", RESULT[0], CONTENT)
