"""The text stored inside pictures."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from image_builders import encoded, exif_block, noise, png_chunks
from PIL import Image

from styler.errors import ImageError
from styler.images import read_picture, read_recipe, write_picture
from styler.images.recipe import extract, into_jpeg

PIXELS = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8).repeat(1, 3, 1, 1)
NAMES = ["a.png", "a.jpg", "a.tif", "a.webp"]


def incompressible(length: int) -> str:
    """JSON with random characters, so that compression cannot bring it under any limit."""
    codes = np.random.default_rng(0).integers(0x4E00, 0x9FFF, length)
    return json.dumps({"text": "".join(map(chr, codes))}, ensure_ascii=False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "recipe",
    ["{}", "", json.dumps({"content": 'Tübingen "x" <&>\n', "名": "絵"}), incompressible(120_000)],
    ids=["small", "empty", "unicode", "long"],
)
def test_round_trip(tmp_path: Path, name: str, recipe: str) -> None:
    path = tmp_path / name
    assert write_picture(path, PIXELS, recipe=recipe, exif=exif_block().tobytes()) == []
    assert read_recipe(str(path)) == recipe
    with Image.open(path) as image:  # still a file that others read
        image.load()
        assert image.getexif()[271] == "Acme"
    torch.testing.assert_close(read_picture(path).pixels, PIXELS, atol=0.1, rtol=0)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_files_hold_it_too(tmp_path: Path, name: str) -> None:
    write_picture(tmp_path / name, PIXELS, recipe="{}", bit_depth=16)
    assert read_recipe(tmp_path / name) == "{}"
    assert read_picture(tmp_path / name).bit_depth == 16


@pytest.mark.parametrize("name", NAMES)
def test_the_pixels_do_not_depend_on_it(tmp_path: Path, name: str) -> None:
    plain, told = tmp_path / f"plain-{name}", tmp_path / f"told-{name}"
    write_picture(plain, PIXELS)
    write_picture(told, PIXELS, recipe="{}")
    assert torch.equal(read_picture(plain).pixels, read_picture(told).pixels)


def test_file_names_that_are_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    recipe = json.dumps({"content": name}, ensure_ascii=False)
    write_picture(tmp_path / "a.png", PIXELS, recipe=recipe)
    assert json.loads(read_recipe(tmp_path / "a.png") or "") == {"content": name}


def test_files_without_one(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "AVIF"):
        (tmp_path / kind).write_bytes(encoded(noise(8, 8, 3), kind))
        assert read_recipe(tmp_path / kind) is None


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    for name in ("a.txt", "missing.png", "."):
        with pytest.raises(ImageError):
            read_recipe(tmp_path / name)


def test_a_png_chunk_that_pillow_reads(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", PIXELS, recipe='{"名": 1}')
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.info["styler-recipe"] == '{"名": 1}'


def test_the_tiff_tag_is_a_private_one(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.tif", PIXELS, recipe="{}")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        codes = [tag.code for tag in file.pages[0].tags]
        assert 65112 in codes
        assert codes == sorted(codes)
        assert len(file.pages) == 1


def test_jpeg_segments_come_after_the_ones_that_must_be_first(tmp_path: Path) -> None:
    write_picture(
        tmp_path / "a.jpg", PIXELS, recipe=incompressible(60_000), exif=exif_block().tobytes()
    )
    data, at, markers = (tmp_path / "a.jpg").read_bytes(), 2, []
    while data[at + 1] != 0xDA:
        markers.append(data[at + 1])
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    assert markers[:2] == [0xE0, 0xE1]
    assert markers[2:5] == [0xE9] * 3
    assert 0xE9 not in markers[5:]


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_recipe_is_an_error_and_the_picture_still_reads(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    recipe = incompressible(2000)
    write_picture(path, PIXELS, recipe=recipe)
    data = bytearray(path.read_bytes())
    mark = b'styler:recipe="' if name == "a.webp" else b"styler-recipe"
    at = data.index(mark) + 200
    data[at] = data[at] ^ 0x10 if data[at] ^ 0x10 != ord('"') else ord("?")
    path.write_bytes(data)
    assert read_picture(path).size == (8, 8)
    if name == "a.png":  # the chunk's checksum gives it away: not ours any more
        assert read_recipe(path) is None
        return
    with pytest.raises(ImageError, match="damaged"):
        read_recipe(path)


def test_a_missing_jpeg_segment() -> None:
    plain = encoded(noise(8, 8, 3), "JPEG")
    told = into_jpeg(plain, incompressible(60_000))
    assert len(told) > len(plain) + 2 * 65535
    at = told.index(b"\xff\xe9")
    (length,) = struct.unpack(">H", told[at + 2 : at + 4])
    with pytest.raises(ValueError, match="missing"):
        extract(told[:at] + told[at + 2 + length :], "JPEG")


def test_a_recipe_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", PIXELS, recipe=" " * 100_000_000)
    assert len((tmp_path / "a.png").read_bytes()) < 200_000
    with pytest.raises(ImageError, match="too large"):
        read_recipe(tmp_path / "a.png")
    assert any(kind == b"iTXt" for kind, _ in png_chunks((tmp_path / "a.png").read_bytes()))
