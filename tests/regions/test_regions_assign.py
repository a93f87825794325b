"""Who gets what: each way to give masks, and every way to give them wrongly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image

from styler.errors import ImageError, StylerError, UsageError
from styler.features import load_extractor
from styler.images import Picture
from styler.regions.assign import EVERYWHERE, assign, region_source
from styler.regions.read import read_masks
from styler.regions.region import Region
from styler.styles.file import StyleFile
from styler.styles.source import PictureStyle, StyleBlend, StyleShare

CONTENT = (24, 36)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)

Paint = Callable[..., Picture]


@pytest.fixture
def soft(tmp_path: Path) -> Paint:
    """A soft mask, white from one column to another, in twelfths."""

    def paint(
        name: str, start: int = 0, stop: int = 12, size: tuple[int, int] = CONTENT
    ) -> Picture:
        pixels = np.zeros(size, np.uint8)
        pixels[:, start * size[1] // 12 : stop * size[1] // 12] = 255
        return _saved(tmp_path / f"{name}.png", pixels)

    return paint


@pytest.fixture
def label(tmp_path: Path) -> Paint:
    """A map with columns of colours."""

    def paint(
        name: str, *colours: tuple[int, int, int], size: tuple[int, int] = CONTENT
    ) -> Picture:
        columns = np.arange(size[1]) * len(colours) // size[1]
        pixels = np.array(colours, np.uint8)[columns]
        return _saved(tmp_path / f"{name}.png", np.tile(pixels, (size[0], 1, 1)))

    return paint


def _saved(path: Path, pixels: np.ndarray) -> Picture:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return cast(Picture, read_masks([str(path)])[0])


def styles(*weights: float, size: tuple[int, int] = CONTENT) -> list[StyleShare]:
    return [
        StyleShare(source=PictureStyle(torch.full((1, 3, *size), (n + 1) / 10)), weight=weight)
        for n, weight in enumerate(weights)
    ]


def taken(region: Region) -> list[tuple[int, float, float | None]]:
    """Of each share: the style, its weight, and the mean of its mask."""
    return [
        (share.style, share.weight, None if share.mask is None else float(share.mask.mean()))
        for share in region.shares
    ]


def test_without_masks_all_styles_go_everywhere() -> None:
    (region,) = assign(CONTENT, styles(1, 3), [], [])
    assert (region.name, region.mask) == (EVERYWHERE, None)
    assert taken(region) == [(0, 1, None), (1, 3, None)]


def test_style_masks_alone_select_parts_of_the_styles(soft: Paint) -> None:
    (region,) = assign(CONTENT, styles(1, 3), [], [soft("a", 0, 3), None])
    assert region.mask is None
    assert taken(region) == [(0, 1, 0.25), (1, 3, None)]
    (alone,) = assign(CONTENT, styles(1), [], [soft("a", 0, 6)])
    assert taken(alone) == [(0, 1, 0.5)]


def test_a_content_mask_for_each_style(soft: Paint) -> None:
    masks = [soft("sky", 0, 4, size=(48, 72)), soft("ground", 4, 12)]
    sky, ground = assign(CONTENT, styles(5, 7), masks, [])
    assert [region.name for region in (sky, ground)] == ["sky", "ground"]
    assert sky.mask is not None
    assert sky.mask.shape == (1, 1, 48, 72)
    assert float(sky.mask.mean()) == pytest.approx(1 / 3)
    assert taken(sky) == [(0, 1, None)]
    assert taken(ground) == [(1, 1, None)]
    first, second = assign(CONTENT, styles(1, 1), masks, [soft("a", 0, 3), None])
    assert taken(first) == [(0, 1, 0.25)]
    assert taken(second) == [(1, 1, None)]
    (only,) = assign(CONTENT, styles(1), [masks[0]], [])
    assert taken(only) == [(0, 1, None)]


def test_parts_of_a_single_style_for_several_regions(soft: Paint) -> None:
    masks = [soft("sky", 0, 4), soft("ground", 4, 12)]
    sky, ground = assign(CONTENT, styles(1), masks, [soft("a", 0, 3), soft("b", 0, 6)])
    assert (taken(sky), taken(ground)) == ([(0, 1, 0.25)], [(0, 1, 0.5)])


def test_maps_are_matched_by_colour_and_blended_by_weight(label: Paint) -> None:
    content = label("content", RED, GREEN, BLUE)
    one = label("one", RED, GREEN)
    two = label("two", (250, 4, 0), BLUE, BLUE, BLUE)
    found = {r.name: r for r in assign(CONTENT, styles(1, 3), [content], [one, two])}
    assert sorted(found) == ["#0000ff", "#00ff00", "#ff0000"]
    assert all(
        float(cast(torch.Tensor, r.mask).mean()) == pytest.approx(1 / 3) for r in found.values()
    )
    assert taken(found["#ff0000"]) == [(0, 1, 0.5), (1, 3, 0.25)]
    assert taken(found["#00ff00"]) == [(0, 1, 0.5)]
    assert taken(found["#0000ff"]) == [(1, 3, 0.75)]


def test_maps_in_greys_serve_a_map_in_colours(label: Paint) -> None:
    content = label("content", RED, (0, 0, 0))
    (style,) = styles(1)
    with pytest.raises(UsageError, match=r"#ff0000 of .*content\.png is a region"):
        assign(CONTENT, [style], [content], [label("style", (0, 0, 0), (255, 255, 255))])
    found = assign(CONTENT, [style], [content], [label("style", (0, 0, 0), RED)])
    assert sorted(region.name for region in found) == ["#000000", "#ff0000"]


def test_names_differ_although_files_do_not(tmp_path: Path) -> None:
    white = np.full(CONTENT, 255, np.uint8)
    masks = [_saved(tmp_path / folder / "mask.png", white) for folder in "ab"]
    found = assign(CONTENT, styles(1, 1), masks, [])
    assert [region.name for region in found] == ["mask 1", "mask 2"]


def test_the_source_of_a_region_is_masked_and_blended(label: Paint) -> None:
    size = (48, 64)
    both = styles(1, 3, size=size)
    masks = [label(name, RED, GREEN, size=size) for name in ("content", "one", "two")]
    red, _ = assign(size, both, masks[:1], masks[1:])
    source = region_source(red, [style.source for style in both])
    assert isinstance(source, StyleBlend)
    assert torch.allclose(source.colours().mean, torch.full((1, 3), 0.25 * 0.1 + 0.75 * 0.2))
    extractor = load_extractor("vgg-lite")
    sums = source.sums(lambda own: own, extractor, ["relu1_1"])
    assert float(sums["relu1_1"].count) == pytest.approx(48 * 32)
    # Sources may have become others meanwhile.
    grey = PictureStyle(torch.full((1, 3, *size), 0.6))
    assert torch.allclose(region_source(red, [grey, grey]).colours().mean, torch.tensor(0.6))
    (plain,) = assign(size, both[:1], [], [])
    assert region_source(plain, [grey]) is grey


def test_saved_styles_take_no_mask(soft: Paint, label: Paint) -> None:
    saved = StyleShare(source=StyleFile.__new__(StyleFile))
    sky, _ = assign(CONTENT, [saved, *styles(1)], [soft("a", 0, 4), soft("b", 4, 12)], [])
    assert region_source(sky, [saved.source]) is saved.source
    with pytest.raises(UsageError, match="a saved style has no places") as caught:
        assign(CONTENT, [saved], [], [soft("a")])
    assert caught.value.hint == "give its picture instead"
    with pytest.raises(UsageError, match="a saved style has no places"):
        assign(CONTENT, [saved], [label("map", RED, GREEN)], [label("style", RED, GREEN)])
    masked = assign(CONTENT, styles(1), [], [soft("a")])
    with pytest.raises(UsageError, match="a saved style has no places"):
        region_source(masked[0], [saved.source])


def refused(
    kind: type[StylerError],
    message: str,
    count: int,
    content: list[Picture | None],
    style: list[Picture | None],
) -> str:
    with pytest.raises(kind, match=message) as caught:
        assign(CONTENT, styles(*[1.0] * count), content, style)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value.hint


def test_numbers_that_do_not_go_together_are_refused(soft: Paint, label: Paint) -> None:
    a, b, c = soft("a", 0, 4), soft("b", 4, 8), soft("c", 8, 12)
    hint = refused(UsageError, "3 content masks for 2 styles", 2, [a, b, c], [])
    assert "one content mask for each style" in hint
    refused(UsageError, "2 content masks for 1 style$", 1, [a, b], [])
    refused(UsageError, "1 content mask for 2 styles", 2, [a], [a])
    refused(UsageError, "1 style mask for 2 content masks", 2, [a, b], [a])
    refused(UsageError, "3 style masks for 2 content masks", 1, [a, b], [a, b, c])
    refused(UsageError, "2 style masks for 1 style$", 1, [], [a, b])
    refused(UsageError, "1 style mask for 2 styles", 2, [], [a])
    refused(UsageError, "a mask of the content is '-'", 2, [a, None], [])

    map_ = label("map", RED, GREEN)
    for count in (1, 2, 3):
        hint = refused(
            UsageError, "map.png has 2 colours, and nothing says which", count, [map_], []
        )
        assert "a soft mask of the content for each style" in hint
        assert "for each style a map in the same colours" in hint
    refused(UsageError, "1 style map for 2 styles", 2, [map_], [map_])
    refused(UsageError, "1 style map for 2 styles", 2, [map_], [map_, None])
    refused(UsageError, "map.png has colours, .* among 2 masks", 2, [a, map_], [])
    refused(UsageError, "map.png has colours, .* no map of the content", 1, [], [map_])
    refused(UsageError, "map.png has colours, .* no map of the content", 1, [a], [map_])


def test_a_colour_without_a_style_is_named_with_the_closest(label: Paint) -> None:
    content = label("content", RED, GREEN, BLUE)
    maps: list[Picture | None] = [label("one", RED, (0, 60, 255)), label("two", RED, GREEN)]
    hint = refused(
        UsageError, "#0000ff of .*content.png is a region with no style", 2, [content], maps
    )
    assert hint.startswith("did you mean #003cff? the styles' maps have #003cff, #00ff00, #ff0000")


def test_shapes_and_empty_masks_are_refused_by_file(soft: Paint, label: Paint) -> None:
    tall, black, white = soft("tall", size=(36, 24)), soft("black", 0, 0), soft("white")
    refused(ImageError, "tall.png is 24×36, .* the content's 36×24", 1, [tall], [])
    refused(ImageError, "tall.png is 24×36, .* the style's 36×24", 1, [], [tall])
    refused(ImageError, "tall.png is 24×36, .* style 2's 36×24", 2, [], [None, tall])
    refused(ImageError, "black.png selects an empty region", 1, [black], [])
    refused(ImageError, "black.png selects an empty region", 1, [white], [black])
    upright = label("upright", RED, GREEN, size=(36, 24))
    content = label("content", RED, GREEN)
    refused(ImageError, "upright.png is 24×36, .* the style's", 1, [content], [upright])
