"""Regions at sizes: they share what they both claim, leave what none does, and are never empty."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from styler.errors import ImageError
from styler.features import Extractor, load_extractor
from styler.regions.region import (
    Region,
    RegionShare,
    check_regions,
    masks_at,
    place,
    untouched,
    untouched_share,
)

SHARES = (RegionShare(style=0),)


@functools.cache
def lite() -> Extractor:
    return load_extractor("vgg-lite", pooling="average")


def region(mask: Tensor | None, name: str = "sky") -> Region:
    return Region(name=name, mask=mask, shares=SHARES)


def square(side: int, height: int = 64, width: int = 64) -> Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., :side, :side] = 1
    return mask


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=4),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_masks_and_what_is_left_add_up_to_one(
    sizes: list[tuple[int, int]], size: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(len(sizes))
    regions = [region(torch.rand(1, 1, *own, generator=generator)) for own in sizes]
    masks, left = masks_at(regions, size), untouched(regions, size)
    assert all(mask.shape == left.shape == (1, 1, *size) for mask in masks)
    assert torch.allclose(sum(masks) + left, torch.ones(1, 1, *size), atol=1e-6)
    assert untouched_share(regions, size) == pytest.approx(float(left.mean()))


def test_hand_values_of_overlaps() -> None:
    one = torch.tensor([1.0, 0.5, 0.25, 0.0]).view(1, 1, 1, 4)
    two = torch.tensor([1.0, 0.5, 0.25, 0.0]).view(1, 1, 1, 4)
    masks = masks_at([region(one), region(two)], (1, 4))
    assert torch.equal(masks[0].flatten(), torch.tensor([0.5, 0.5, 0.25, 0.0]))
    assert untouched([region(one), region(two)], (1, 4)).flatten().tolist() == [0, 0, 0.5, 1]
    assert untouched_share([region(one), region(two)], (1, 4)) == pytest.approx(0.375)


def test_a_region_without_a_mask_is_all_of_the_picture() -> None:
    (placed,) = place([region(None)], lite(), ["relu2_1"], (32, 48))
    assert (placed.name, placed.area, placed.masks) == ("sky", 1.0, {})
    assert untouched_share([region(None)], (5, 7)) == 0
    check_regions([region(None)], (1, 1))


def test_placed_regions_have_weights_for_their_layers_and_their_area() -> None:
    left, right = square(64)[..., :], 1 - square(64)
    left[..., 16:], right[..., 16:] = 0, 1
    layers = ["relu1_1", "relu3_1"]
    placed = place([region(left, "left"), region(right, "right")], lite(), layers, (48, 96))
    assert [(each.name, each.area) for each in placed] == [("left", 0.25), ("right", 0.75)]
    features = lite()(torch.rand(1, 3, 48, 96), layers)
    for layer in layers:
        sides = [each.masks[layer] for each in placed]
        assert all(side.shape[2:] == features[layer].shape[2:] for side in sides)
        assert torch.allclose(sides[0] + sides[1], torch.ones_like(sides[0]))
        assert float(sides[0].mean()) == pytest.approx(0.25)
    inside = place([region(left), region(right)], lite(), layers, (48, 96), "inside")
    assert float(inside[1].masks["relu3_1"].mean()) < 0.7


def test_regions_that_are_empty_at_a_size_are_named() -> None:
    dot = region(square(3), "bird")
    check_regions([region(None), dot], (64, 64))
    with pytest.raises(ImageError, match="the region bird is empty at 10×8 pixels") as caught:
        check_regions([dot], (8, 10))
    assert "schedule.min_side" in str(caught.value.hint)
    with pytest.raises(ImageError, match="the region bird is empty"):
        place([dot], lite(), ["relu1_1"], (8, 10))
    with pytest.raises(ImageError, match="too small for relu5_1"):
        place([region(square(64))], lite(), ["relu5_1"], (8, 10))
