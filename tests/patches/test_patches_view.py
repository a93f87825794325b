"""What a network is shown of a photograph, and where that is in its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from styler.errors import ImageError
from styler.features import Extractor, extractor_of, load_extractor
from styler.images import read_picture, write_picture
from styler.patches.view import LONGEST, Framing, View, framing_for


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 300), st.booleans())
def test_a_view_is_inside_and_keeps_the_shape(
    height: int, width: int, side: int, square: bool
) -> None:
    view = Framing(side=side, square=square).view((height, width))
    top, left, bottom, right = view.part
    assert 0 <= top < bottom <= height
    assert 0 <= left < right <= width
    assert min(view.seen) == side
    assert abs((height - bottom) - top) <= 1  # in the middle
    assert abs((width - right) - left) <= 1
    if square:
        assert view.seen == (side, side)
        assert bottom - top == right - left == min(height, width)
    else:
        assert max(view.seen) <= LONGEST * side
        exact = side * max(bottom - top, right - left) / min(bottom - top, right - left)
        assert abs(max(view.seen) - exact) <= 0.5
        if max(height, width) <= LONGEST * min(height, width):
            assert view.part == (0, 0, height, width)


@given(st.integers(1, 500), st.integers(1, 500), st.booleans())
def test_all_that_is_seen_is_the_part_of_the_file(height: int, width: int, square: bool) -> None:
    view = Framing(side=37, square=square).view((height, width))
    box = view.to_file((0, 0, *view.seen))
    assert (box.top, box.left, box.bottom, box.right) == pytest.approx(view.part)
    assert not view.clips((0, 0, *view.seen))
    assert view.clips((-1, 0, 3, 3))
    assert view.clips((0, 0, view.seen[0] + 1, 3))


def test_transparent_photographs_are_seen_on_grey(tmp_path: Path) -> None:
    file = tmp_path / "clear.png"
    alpha = torch.ones(1, 1, 8, 8)
    alpha[..., :4] = 0
    write_picture(file, torch.ones(1, 3, 8, 8), alpha=alpha)
    seen = View(part=(0, 0, 8, 8), seen=(8, 8)).show(read_picture(file))
    assert torch.equal(seen[..., :4], torch.full((1, 3, 8, 4), 0.5))
    assert torch.equal(seen[..., 4:], torch.ones(1, 3, 8, 4))


def test_a_network_of_one_size_is_shown_squares() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.see = nn.Conv2d(3, 4, 3, padding=1)
            self.tell = nn.Linear(4 * 28 * 28, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.tell(self.see(x).flatten(1))  # type: ignore[no-any-return]

    extractor = extractor_of(Fixed())
    assert framing_for(extractor, ["logits"]) == Framing(side=28, square=True)
    assert not framing_for(extractor, ["see"], 40).square
    with pytest.raises(ImageError, match="28"):
        framing_for(extractor, ["logits"], 40)


def test_photographs_are_as_large_as_the_network_likes_or_a_layer_needs(small: Extractor) -> None:
    assert framing_for(load_extractor("vgg-lite"), ["relu5_1"]).side == 224
    assert framing_for(small, ["last"], 20) == Framing(side=20, square=False)
    with pytest.raises(ImageError, match="too small"):
        framing_for(small, ["last"], 1)
