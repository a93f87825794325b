"""EXIF: turned upright, cleaned, given back."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from image_builders import encoded, exif_block, exif_with_thumbnail, noise, png16
from PIL import Image, ImageOps

from styler.images import read_picture, write_picture
from styler.images.exif import Field, clean, orientation_of, read_fields, to_block, with_fields


def body(exif: Image.Exif) -> bytes:
    return exif.tobytes().removeprefix(b"Exif\0\0")


def loaded(block: bytes | None) -> Image.Exif:
    assert block is not None
    exif = Image.Exif()
    exif.load(block)
    return exif


def assert_complete(exif: Image.Exif) -> None:
    assert exif[274] == 1
    assert exif[271] == "Acme"
    details = exif.get_ifd(0x8769)
    assert details[33434] == pytest.approx(1 / 60)
    assert details[37500] == b"maker\0note"
    assert 40962 not in details
    assert 40963 not in details
    assert exif.get_ifd(0x8825)[1] == "N"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_in_every_format(tmp_path: Path, orientation: int) -> None:
    values = noise(3, 5, 3)
    exif = exif_block(orientation=orientation)
    upright = np.asarray(ImageOps.exif_transpose(with_exif(values, exif)))
    deep = values.astype(np.uint16) * 257
    files = {
        "8.png": encoded(values, "PNG", exif=exif),
        "8.webp": encoded(values, "WEBP", exif=exif, lossless=True),
        "16.png": png16(deep, (b"eXIf", body(exif))),
        "8.tif": encoded(values, "TIFF", exif=exif),
    }
    buffer = io.BytesIO()
    tag = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(buffer, deep, photometric="rgb", metadata=None, extratags=tag)
    files["16.tif"] = buffer.getvalue()
    big = io.BytesIO()
    tifffile.imwrite(
        big, deep, photometric="rgb", metadata=None, extratags=tag, bigtiff=True, byteorder=">"
    )
    files["big.tif"] = big.getvalue()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        pixels = read_picture(tmp_path / name).pixels[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(pixels, upright / 255, atol=1e-6, err_msg=name)


def with_exif(values: np.ndarray, exif: Image.Exif) -> Image.Image:
    return Image.open(io.BytesIO(encoded(values, "PNG", exif=exif)))


def test_alpha_turns_along(tmp_path: Path) -> None:
    values = noise(3, 5, 4)
    values[..., 3] |= 1
    exif = exif_block(orientation=6)
    (tmp_path / "a.png").write_bytes(encoded(values, "PNG", exif=exif))
    alpha = read_picture(tmp_path / "a.png").alpha
    assert alpha is not None
    np.testing.assert_allclose(alpha[0, 0].numpy(), np.rot90(values[..., 3], -1) / 255, atol=1e-6)


def test_jpeg_orientation(tmp_path: Path) -> None:
    values = np.zeros((16, 32, 3), dtype=np.uint8)
    values[:, :16] = 255  # white left half: on top after a quarter turn clockwise
    (tmp_path / "a.jpg").write_bytes(encoded(values, "JPEG", exif=exif_block(orientation=6)))
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.size == (32, 16)
    assert picture.pixels[0, 0, 4, 8] > 0.9
    assert picture.pixels[0, 0, 28, 8] < 0.1


def test_avif_orientation(tmp_path: Path) -> None:
    values = np.zeros((32, 64, 3), dtype=np.uint8)
    values[:, :32] = 255
    (tmp_path / "a.avif").write_bytes(encoded(values, "AVIF", exif=exif_block(orientation=6)))
    picture = read_picture(tmp_path / "a.avif")
    assert picture.size == (64, 32)
    assert picture.pixels[0, 0, 8, 16] > 0.9
    assert_complete(loaded(picture.exif))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_what_is_read(tmp_path: Path, kind: str) -> None:
    data = encoded(noise(3, 5, 3), kind, exif=exif_block(orientation=8).tobytes())
    (tmp_path / "a").write_bytes(data)
    block = read_picture(tmp_path / "a").exif
    assert_complete(loaded(block))
    assert block is not None
    assert block[:2] in (b"II", b"MM")
    # What only describes how a TIFF stores its pixels is no property of the picture.
    assert not {256, 258, 273, 279} & {field.tag for field in read_fields(block)}


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_what_is_written(tmp_path: Path, name: str, bit_depth: int, endian: str) -> None:
    source = exif_block(orientation=3)
    source.endian = endian
    path = tmp_path / name
    write_picture(path, torch.rand(1, 3, 4, 6), exif=body(source), bit_depth=bit_depth)
    assert_complete(loaded(read_picture(path).exif))
    if bit_depth == 8:  # Pillow opens no 16-bit RGB TIFF
        with Image.open(path) as image:
            assert_complete(image.getexif())
            assert image.size == (6, 4)
    if name.endswith(".tif"):
        with tifffile.TiffFile(path) as file:
            assert file.byteorder == endian
            assert file.pages[0].tags[34665].value["ExposureTime"] == (1, 60)


def test_the_thumbnail_is_dropped(tmp_path: Path) -> None:
    block = exif_with_thumbnail(b"\xff\xd8THUMBNAIL\xff\xd9")
    orientation, cleaned = clean(b"Exif\0\0" + block)
    assert orientation == 6
    assert cleaned == b"II*\0\x08\0\0\0" + struct.pack("<HHHIHxxI", 1, 274, 3, 1, 1, 0)


def test_an_over_long_block_is_left_out_of_jpeg_only(tmp_path: Path) -> None:
    exif = exif_block()
    for tag in (270, 315):
        exif[tag] = "x" * 40_000
    pixels = torch.rand(1, 3, 4, 4)
    notices = write_picture(tmp_path / "a.jpg", pixels, exif=body(exif))
    assert notices == ["the EXIF block is too long for JPEG: not stored"]
    assert read_picture(tmp_path / "a.jpg").exif is None
    assert write_picture(tmp_path / "a.png", pixels, exif=body(exif)) == []
    assert loaded(read_picture(tmp_path / "a.png").exif)[270] == "x" * 40_000


def test_an_unreadable_block_is_reported(tmp_path: Path) -> None:
    notices = write_picture(tmp_path / "a.png", torch.rand(1, 3, 2, 2), exif=b"nonsense")
    assert notices == ["the EXIF block is unreadable: not stored"]


@pytest.mark.parametrize("length", range(0, 60, 3))
def test_truncated_exif_neither_warns_nor_fails(tmp_path: Path, length: int) -> None:
    values = noise(3, 5, 3)
    cut = b"Exif\0\0" + exif_block(orientation=6).tobytes()[6 : 6 + length]
    data = encoded(values, "JPEG")
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(cut) + 2) + cut + data[2:]
    (tmp_path / "a.jpg").write_bytes(data)
    assert sorted(read_picture(tmp_path / "a.jpg").size) == [3, 5]


def test_orientation_survives_damage_after_it(tmp_path: Path) -> None:
    block = bytearray(body(exif_block(orientation=6)))
    (tmp_path / "a.png").write_bytes(encoded(noise(3, 5, 3), "PNG", exif=bytes(block[:48])))
    assert read_picture(tmp_path / "a.png").size == (5, 3)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_invalid_orientations_count_as_upright(value: int) -> None:
    field = Field(274, 3, 1, struct.pack("<H", value))
    assert orientation_of([field], "<") == 1


def test_a_directory_that_points_to_itself_ends() -> None:
    loop = struct.pack("<4sIHHHII", b"II*\0", 8, 1, 34665, 4, 1, 8) + bytes(4)
    assert clean(loop)[0] == 1


def test_hostile_counts_stay_small() -> None:
    # 5000 fields that all claim the same 60 kB.
    entries = b"".join(struct.pack("<HHII", 40000 + i, 7, 60_000, 8) for i in range(5000))
    block = struct.pack("<4sIH", b"II*\0", 8, 5000) + entries + bytes(4)
    stored = sum(len(f.value) for f in read_fields(block) if isinstance(f.value, bytes))
    assert stored <= 1 << 20


def test_fields_round_trip_with_nesting() -> None:
    fields = (
        Field(271, 2, 5, b"Acme\0"),
        Field(274, 3, 1, b"\0\1"),
        Field(34665, 4, 1, (Field(33434, 5, 1, struct.pack(">2I", 1, 60)),)),
    )
    assert read_fields(to_block(fields, ">")) == fields


def test_adding_fields_needs_a_tiff() -> None:
    with pytest.raises(ValueError, match="TIFF"):
        with_fields(b"II+\0not classic", [])
