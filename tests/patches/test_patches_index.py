"""Boxes, patches, and activations of patches alone: to the pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from styler.effective import effective_field
from styler.errors import ConfigError, ImageError
from styler.features import Extractor, load_extractor
from styler.patches.crops import crops, cut, rescore, whole_pixels
from styler.patches.effective import FIELDS, SHARE
from styler.patches.index import index_of
from styler.patches.reading import show
from styler.patches.record import Box, Index
from styler.patches.scan import Scan, Wanted
from styler.patches.sources import find_sources
from styler.patches.top import top_patches
from styler.patches.view import Framing


def coordinates(path: Path, size: tuple[int, int], bright: tuple[int, int]) -> Path:
    """A picture whose green and blue tell the row and the column; one pixel is red."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    array = np.stack([np.zeros(size), rows, columns], axis=2).astype(np.uint8)
    array[bright][0] = 255
    Image.fromarray(array).save(path)
    return path


def every(index: Index, folder: Path) -> dict[tuple[str, int, int], torch.Tensor]:
    return {(layer, unit, rank): patch for layer, unit, rank, patch in crops(index, folder)}


@pytest.mark.parametrize("size", [(40, 40), (40, 64), (70, 40)])
@pytest.mark.parametrize("bright", [(0, 0), (39, 39), (17, 31)])
def test_a_patch_is_what_the_unit_sees_to_the_pixel(
    size: tuple[int, int], bright: tuple[int, int], red: Extractor, tmp_path: Path
) -> None:
    coordinates(tmp_path / "a.png", size, bright)
    index = top_patches(tmp_path, red, ["see"], units=[0], side=40)
    (patch,) = index.layers[0].units[0].patches
    row, column = bright
    assert (patch.row, patch.column) == bright
    assert patch.box == Box(top=row, left=column, bottom=row + 1, right=column + 1)
    assert not patch.clipped
    found = (every(index, tmp_path)["see", 0, 1] * 255).round()
    assert found.flatten().tolist() == [255, row, column]


@pytest.mark.parametrize("layer", ["first", "last"])
def test_patches_hold_the_very_pixels_of_their_boxes(
    layer: str, small: Extractor, tmp_path: Path
) -> None:
    coordinates(tmp_path / "a.png", (40, 60), (20, 50))
    coordinates(tmp_path / "b.png", (44, 40), (0, 3))
    coordinates(tmp_path / "c.png", (40, 240), (39, 220))  # the middle 160 of which are seen
    index = top_patches(tmp_path, small, [layer], side=40)
    patches = every(index, tmp_path)
    sees = index.layers[0].sees
    assert sees == ((3, 3) if layer == "first" else (8, 8))
    for unit in index.layers[0].units:
        for rank, patch in enumerate(unit.patches, start=1):
            photograph = index.images[patch.image]
            found = (patches[layer, unit.unit, rank][0] * 255).round()
            top, left, bottom, right = whole_pixels(patch.box)
            assert found.shape[1:] == (bottom - top, right - left) == sees
            part = photograph.part
            inside = part[0] <= top and part[1] <= left and bottom <= part[2] and right <= part[3]
            assert patch.clipped != inside
            for (y, x), green in np.ndenumerate(found[1].numpy()):
                there = part[0] <= top + y < part[2] and part[1] <= left + x < part[3]
                blue = float(found[2, y, x])
                assert (green, blue) == ((top + y, left + x) if there else (128, 128))


@pytest.mark.parametrize(
    ("size", "side"), [((80, 120), 40), ((120, 80), 40), ((20, 30), 40), ((96, 50), 40)]
)
def test_boxes_lead_back_through_scaling_and_cropping(
    size: tuple[int, int], side: int, red: Extractor, tmp_path: Path
) -> None:
    array = np.zeros((*size, 3), dtype=np.uint8)
    top, left = size[0] // 2, size[1] // 2 - 6
    array[top : top + 8, left : left + 8, 0] = 255
    Image.fromarray(array).save(tmp_path / "a.png")
    for square in (False, True):
        scan = Scan(red, Wanted(layers=["see"], units=[0], side=side), find_sources(tmp_path))
        scan.framing = Framing(side=side, square=square)
        scan.run()
        (patch,) = index_of(scan).layers[0].units[0].patches
        scale = min(size) / side
        assert patch.box.bottom - patch.box.top == pytest.approx(scale, rel=0.05)
        assert top - scale < patch.box.top < top + 8
        assert left - scale < patch.box.left < left + 8


def test_turned_files_are_boxed_upright(red: Extractor, tmp_path: Path) -> None:
    array = np.zeros((30, 50, 3), dtype=np.uint8)
    array[4, 40] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    Image.fromarray(array).save(tmp_path / "a.png", exif=exif)
    index = top_patches(tmp_path, red, ["see"], units=[0], side=30)
    assert index.images[0].size == (50, 30)
    (patch,) = index.layers[0].units[0].patches
    assert patch.box == Box(top=40, left=25, bottom=41, right=26)
    assert every(index, tmp_path)["see", 0, 1].flatten().tolist() == [1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_patch_alone_excites_its_unit_as_the_photograph_does(
    dtype: torch.dtype, photos: Path
) -> None:
    extractor = load_extractor("vgg-lite", dtype=dtype, pooling="native")
    index = top_patches(
        photos, extractor, ["relu1_2", "relu3_3"], units=range(0, 24, 5), k=3, side=96
    )
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}[dtype]
    for layer in index.layers:
        for unit in layer.units:
            for patch in unit.patches:
                alone = rescore(patch, unit, layer, index, extractor, photos)
                assert alone == pytest.approx(patch.value, rel=tolerance)


def test_a_patch_of_another_place_excites_it_less(small: Extractor, photos: Path) -> None:
    index = top_patches(photos, small, ["last"], units=[0], k=2, side=24)
    (layer,) = index.layers
    (unit,) = layer.units
    first = unit.patches[0]
    seen = index.images[first.image].seen
    moved = dataclasses.replace(
        first, row=seen[0] // 2 - 1 - first.row, column=seen[1] // 2 - 1 - first.column
    )
    alone = rescore(moved, unit, layer, index, small, photos)
    assert alone < first.value


def test_fields_that_are_unknown_are_effective(
    deciding: Extractor, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    scan = Scan(
        deciding, Wanted(layers=["last"], units=[0, 1, 2], k=2, side=24), find_sources(photos, out),
        out=out,
    )  # fmt: skip
    scan.run()
    index = index_of(scan)
    (layer,) = index.layers
    assert (layer.field, layer.sees) == ("effective", None)
    assert layer.units[2].patches == []
    for unit in layer.units[:2]:
        for patch in unit.patches:
            photograph = index.images[patch.image]
            seen = show(photos / photograph.file, scan.framing)
            image = seen.image.clone().requires_grad_()
            features = deciding(image, ["last"])["last"]
            (gradient,) = torch.autograd.grad(
                features[0, unit.unit, patch.row, patch.column], image
            )
            expected = seen.view.to_file(effective_field(gradient, SHARE))
            assert patch.box == expected
            # No more than a unit of this network can see.
            scale = photograph.size[0] / photograph.seen[0]
            assert patch.box.bottom - patch.box.top <= 8 * scale + 1e-9


def test_effective_fields_are_worked_out_once(
    deciding: Extractor, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 0

    def counted(gradient: torch.Tensor, share: float) -> tuple[int, int, int, int]:
        nonlocal times
        times += 1
        return effective_field(gradient, share)

    monkeypatch.setattr("styler.patches.effective.effective_field", counted)
    out = tmp_path / "out"

    def look() -> Index:
        wanted = Wanted(layers=["last"], units=[0, 1], k=2, side=24)
        scan = Scan(deciding, wanted, find_sources(photos, out), out=out)
        scan.run()
        return index_of(scan, told=told)

    def told(progress: object) -> None:
        if times == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look()
    first = look()
    assert times == 4
    assert look() == first
    assert times == 4
    assert (out / FIELDS).is_file()


def test_the_whole_photograph(small: Extractor, photos: Path) -> None:
    index = top_patches(photos, small, ["act"], units=[0], k=2, side=24, field="full")
    for patch in index.layers[0].units[0].patches:
        height, width = index.images[patch.image].size
        box = patch.box
        assert (box.top, box.left) == (0, 0)
        assert (box.bottom, box.right) == pytest.approx((height, width))
        assert not patch.clipped


def test_fields_that_cannot_be_had(small: Extractor, deciding: Extractor, photos: Path) -> None:
    with pytest.raises(ConfigError, match="nobody knows"):
        top_patches(photos, deciding, ["last"], side=24, field="theoretical")
    with pytest.raises(ConfigError, match="no field 'efective'") as wrong:
        top_patches(photos, small, ["last"], side=24, field="efective")  # type: ignore[arg-type]
    assert "effective" in str(wrong.value.hint)


def test_a_photograph_that_has_changed_is_not_cut(
    small: Extractor, photos: Path, paint: Callable[..., Path]
) -> None:
    index = top_patches(photos, small, ["act"], units=[0], side=24)
    for number in range(7):
        paint(next(photos.rglob(f"{number}.png")), 90 + number)
    with pytest.raises(ImageError, match="has changed"):
        list(crops(index, photos))


def test_a_cut_far_outside_is_grey() -> None:
    pixels = torch.rand(1, 3, 5, 5)
    found = cut(pixels, Box(top=-9, left=-9, bottom=-2, right=-1), (0, 0, 5, 5))
    assert torch.equal(found, torch.full((1, 3, 7, 8), 0.5))


def test_patches_are_no_larger_than_asked_for(small: Extractor, photos: Path) -> None:
    index = top_patches(photos, small, ["act"], units=[0], k=2, side=24, field="full")
    sizes = [patch.shape[-2:] for *_, patch in crops(index, photos, most=17)]
    assert [max(size) for size in sizes] == [17, 17]
