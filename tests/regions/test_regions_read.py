"""Masks as files: by alpha, by grey, and maps whose colours survive JPEG and antialiasing."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from styler.errors import ImageError
from styler.images import read_picture
from styler.regions.palette import main_colours
from styler.regions.read import (
    check_selects,
    check_shape,
    is_map,
    read_map,
    read_mask,
    read_masks,
)

COLOURS = {"#0000ff": (0, 0, 255), "#00ff00": (0, 255, 0), "#ff0000": (255, 0, 0)}


def painted(side: int = 240, antialiased: bool = False) -> Image.Image:
    """Blue with a red disc and a green triangle."""
    scale = 4 if antialiased else 1
    image = Image.new("RGB", (side * scale, side * scale), (0, 0, 255))
    draw, unit = ImageDraw.Draw(image), side * scale // 12
    draw.ellipse((unit, unit, 6 * unit, 6 * unit), fill=(255, 0, 0))
    draw.polygon([(5 * unit, 11 * unit), (8 * unit, 5 * unit), (11 * unit, 10 * unit)], (0, 255, 0))
    return image.resize((side, side), Image.Resampling.LANCZOS) if antialiased else image


def test_grey_is_the_mask_and_alpha_goes_before_it(tmp_path: Path) -> None:
    grey = np.array([[0, 128, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    expected = torch.tensor([0.0, 128 / 255, 1.0]).view(1, 1, 1, 3)
    assert torch.allclose(read_mask(tmp_path / "grey.png"), expected, atol=1e-7)

    photo = np.full((1, 3, 4), 200, np.uint8)
    photo[..., 3] = grey
    Image.fromarray(photo).save(tmp_path / "cutout.png")
    assert torch.allclose(read_mask(tmp_path / "cutout.png"), expected, atol=1e-7)


def test_colours_count_by_the_mean_of_their_channels(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), (255, 51, 0)).save(tmp_path / "red.png")
    assert torch.allclose(read_mask(tmp_path / "red.png"), torch.full((1, 1, 2, 2), 0.4))


def test_sixteen_bits_keep_their_precision(tmp_path: Path) -> None:
    ramp = np.array([[0, 1, 32768, 65535]], np.uint16)
    (tmp_path / "ramp.png").write_bytes(imagecodecs.png_encode(ramp))
    expected = torch.tensor(ramp.astype(np.float64) / 65535).float()
    assert torch.allclose(read_mask(tmp_path / "ramp.png")[0, 0], expected, rtol=1e-6, atol=0)


def test_colours_of_a_map_are_its_regions_the_largest_first(tmp_path: Path) -> None:
    painted().save(tmp_path / "map.png")
    found = read_map(tmp_path / "map.png")
    pixels = np.asarray(painted())
    assert list(found) == ["#0000ff", "#ff0000", "#00ff00"]
    for name, colour in COLOURS.items():
        assert np.array_equal(found[name][0, 0].numpy() == 1, (pixels == colour).all(-1))


def test_antialiased_borders_go_to_the_nearest_colour(tmp_path: Path) -> None:
    painted(antialiased=True).save(tmp_path / "map.png")
    shades = np.unique(np.asarray(painted(antialiased=True)).reshape(-1, 3), axis=0)
    assert len(shades) > 32
    found = read_map(tmp_path / "map.png")
    assert sorted(found) == sorted(COLOURS)
    assert torch.equal(sum(found.values()), torch.ones(1, 1, 240, 240))
    hard = np.asarray(painted())
    for name, colour in COLOURS.items():
        differ = (found[name][0, 0].numpy() == 1) != (hard == colour).all(-1)
        assert differ.mean() < 0.02


def test_a_border_is_no_part_of_a_third_region(tmp_path: Path) -> None:
    # Midway from red to blue is much like the purple of the square in the corner.
    large = np.zeros((512, 1024, 3), np.uint8)
    large[:, :517], large[:, 517:] = (255, 0, 0), (0, 0, 255)
    large[:128, :128] = (128, 0, 128)
    image = Image.fromarray(large).resize((128, 64), Image.Resampling.LANCZOS)
    image.save(tmp_path / "map.png")
    purple = read_map(tmp_path / "map.png")["#800080"]
    assert not bool(purple[..., 24:].any())
    assert float(purple.sum()) == pytest.approx(16 * 16, abs=16)


@pytest.mark.parametrize("quality", [30, 60, 75, 90])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_leaves_the_regions(tmp_path: Path, quality: int, subsampling: int) -> None:
    path = tmp_path / "map.jpg"
    painted(antialiased=True).save(path, quality=quality, subsampling=subsampling)
    found = read_map(path)
    assert len(found) == 3
    hard = np.asarray(painted())
    for name, mask in found.items():
        own = np.array(list(bytes.fromhex(name[1:])), int)
        colour = min(COLOURS.values(), key=lambda c: int(np.abs(own - c).max()))
        assert np.abs(own - colour).max() <= 12
        assert ((mask[0, 0].numpy() == 1) != (hard == colour).all(-1)).mean() < 0.03


def test_dirt_is_no_region_and_thirty_two_are_the_most(tmp_path: Path) -> None:
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[:50] = (200, 0, 0)
    pixels[10:13, 10:13] = (0, 200, 0)  # 9 of 10 000 pixels
    Image.fromarray(pixels).save(tmp_path / "dirty.png")
    found = read_map(tmp_path / "dirty.png")
    assert list(found) == ["#000000", "#c80000"]
    assert float(found["#000000"][0, 0, 11, 11]) == 1  # the nearest colour
    pixels[10:14, 10:13] = (0, 200, 0)  # 12
    Image.fromarray(pixels).save(tmp_path / "clean.png")
    assert float(read_map(tmp_path / "clean.png")["#00c800"].sum()) == 12

    stripes = np.zeros((8, 33 * 8, 3), np.uint8)
    stripes[..., 0] = np.repeat(np.arange(33) % 6 * 40, 8)
    stripes[..., 1] = np.repeat(np.arange(33) // 6 * 40, 8)
    Image.fromarray(stripes[:, : 32 * 8]).save(tmp_path / "most.png")
    assert len(read_map(tmp_path / "most.png")) == 32
    Image.fromarray(stripes).save(tmp_path / "more.png")
    with pytest.raises(ImageError, match="at most 32 flat colours") as caught:
        read_map(tmp_path / "more.png")
    assert "without shading" in str(caught.value.hint)


def test_noise_is_no_map(tmp_path: Path) -> None:
    for name, depth in (("colours", 256), ("few", 4)):
        noise = np.random.default_rng(0).integers(0, depth, (200, 200, 3), np.uint8)
        noise[:4, :4] = 7
        Image.fromarray(noise * (255 // (depth - 1))).save(tmp_path / f"{name}.png")
        with pytest.raises(ImageError, match="at most 32 flat colours"):
            read_map(tmp_path / f"{name}.png")


def test_a_thin_line_of_a_region_keeps_its_colour(tmp_path: Path) -> None:
    pixels = np.zeros((60, 60, 3), np.uint8)
    pixels[:30], pixels[30:, :30] = (255, 0, 0), (0, 255, 0)
    pixels[45] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "map.png")
    assert bool(read_map(tmp_path / "map.png")["#ff0000"][..., 45, :].all())


def test_a_photograph_is_no_map() -> None:
    photo = Path(__file__).parents[2] / "samples/styles/flow_field.jpg"
    with pytest.raises(ImageError, match="at most 32 flat colours"):
        read_map(photo)


def test_transparent_pixels_of_a_map_are_in_no_region(tmp_path: Path) -> None:
    pixels = np.zeros((6, 9, 4), np.uint8)
    pixels[:, :3], pixels[:, 3:6] = (255, 0, 0, 255), (0, 0, 255, 255)
    pixels[:, 6:] = (0, 255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "map.png")
    found = read_map(tmp_path / "map.png")
    assert sorted(found) == ["#0000ff", "#ff0000"]
    assert torch.equal(sum(found.values())[0, 0, 0], torch.tensor([1.0] * 6 + [0.0] * 3))
    pixels[..., 3] = 0
    Image.fromarray(pixels).save(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="transparent all over"):
        read_map(tmp_path / "nothing.png")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_tiny_maps_are_taken_as_they_are(data: st.DataObject) -> None:
    # Without 3×3 pixels of one colour, all colours are looked at.
    palette = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (90, 90, 255)], np.uint8)
    row = data.draw(st.permutations(range(4)))
    pixels = palette[np.array([row])]
    colours, nearest = main_colours(pixels, np.ones((1, 4), bool))
    assert np.array_equal(colours[nearest], pixels)


def test_maps_and_soft_masks_are_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8))
    grey.convert("RGB").save(tmp_path / "grey.jpg", quality=60)
    painted().save(tmp_path / "map.jpg", quality=60)
    cutout = painted().convert("RGBA")
    cutout.putalpha(grey.resize(cutout.size))
    cutout.save(tmp_path / "cutout.png")
    kinds = {name: is_map(read_picture(tmp_path / name)) for name in ("grey.jpg", "map.jpg")}
    assert kinds == {"grey.jpg": False, "map.jpg": True}
    assert not is_map(read_picture(tmp_path / "cutout.png"))


def test_none_is_no_mask_and_missing_files_are_named(tmp_path: Path) -> None:
    Image.new("L", (3, 2), 255).save(tmp_path / "white.png")
    first, second, third = read_masks(["-", str(tmp_path / "white.png"), "None"])
    assert first is None
    assert second is not None
    assert second.size == (2, 3)
    assert third is None
    with pytest.raises(ImageError, match=r"no such file: .*whit\.png") as caught:
        read_masks([str(tmp_path / "whit.png")])
    assert caught.value.hint == "did you mean white.png?"


def test_shapes_may_differ_as_rounding_does() -> None:
    check_shape((100, 100), (1000, 1019))
    check_shape((5, 6), (72, 96))  # a pixel more or less of 5
    with pytest.raises(ImageError, match=r"sky is 100×100, .* style 2's 1030×1000") as caught:
        check_shape((100, 100), (1000, 1030), name="sky", of="style 2")
    assert caught.value.hint


def test_black_selects_nothing_even_after_jpeg(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 4, (32, 32), np.uint8)
    Image.fromarray(noise).save(tmp_path / "black.png")
    with pytest.raises(ImageError, match="sky selects an empty region") as caught:
        check_selects(read_mask(tmp_path / "black.png"), "sky")
    assert "paint white" in str(caught.value.hint)
    check_selects(torch.tensor([[[[0.0, 0.02]]]]))
