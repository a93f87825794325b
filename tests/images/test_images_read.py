"""What comes out of files of every kind."""

import concurrent.futures
import hashlib
import io
import logging
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from image_builders import encoded, noise, png16, raw_png, save_pillow, save_tiff
from PIL import Image

from styler.images import Picture, read_picture


def rgb_of(picture: Picture) -> np.ndarray:
    """(H, W, 3)."""
    assert picture.pixels.shape[:2] == (1, 3)
    assert picture.pixels.dtype == torch.float32
    return picture.pixels[0].permute(1, 2, 0).numpy()


def alpha_of(picture: Picture) -> np.ndarray:
    assert picture.alpha is not None
    assert picture.alpha.shape == (1, 1, *picture.size)
    return picture.alpha[0, 0].numpy()


def read_bytes(tmp_path: Path, data: bytes) -> Picture:
    path = tmp_path / "file"
    path.write_bytes(data)
    return read_picture(path)


def assert_unit(actual: np.ndarray, values: np.ndarray) -> None:
    """Unsigned samples over their maximum, to float32's precision."""
    np.testing.assert_allclose(actual, values / float(np.iinfo(values.dtype).max), atol=1e-7)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_8_bit_rgb_exactly(tmp_path: Path, name: str) -> None:
    values = noise(6, 9, 3)
    path = save_pillow(tmp_path / name, values)
    picture = read_picture(str(path))
    assert_unit(rgb_of(picture), values)
    assert picture.size == (6, 9)
    assert picture.bit_depth == 8
    assert picture.alpha is None
    assert picture.icc_profile is None
    assert picture.exif is None
    assert picture.path == path
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "GIF"])
def test_other_formats_agree_with_pillow(tmp_path: Path, kind: str) -> None:
    data = encoded(noise(16, 24, 3), kind)
    with Image.open(io.BytesIO(data)) as image:
        wanted = np.asarray(image.convert("RGB"))
    assert_unit(rgb_of(read_bytes(tmp_path, data)), wanted)


def test_progressive_and_gray_jpeg(tmp_path: Path) -> None:
    for values, options in ((noise(8, 8, 3), {"progressive": True}), (noise(8, 8), {})):
        data = encoded(values, "JPEG", **options)
        wanted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert_unit(rgb_of(read_bytes(tmp_path, data)), wanted)


def test_16_bit_gray_png_is_divided_by_65535(tmp_path: Path) -> None:
    values = np.array([[0, 40000, 65535, 257]], dtype=np.uint16)
    picture = read_picture(save_pillow(tmp_path / "a.png", values))
    wanted = np.repeat(values[:, :, None] / 65535, 3, axis=2)
    np.testing.assert_allclose(rgb_of(picture), wanted, atol=1e-7)
    assert picture.bit_depth == 16


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_png_keeps_all_its_bits(tmp_path: Path, channels: int) -> None:
    values = noise(5, 7, channels, dtype=np.uint16)
    values[..., 3:] |= 1  # every pixel visible
    picture = read_bytes(tmp_path, png16(values))
    assert_unit(rgb_of(picture), values[..., :3])
    assert picture.bit_depth == 16
    if channels == 4:
        assert_unit(alpha_of(picture), values[..., 3])


def test_interlaced_16_bit_png(tmp_path: Path) -> None:
    # 1×1: only the first Adam7 pass has a pixel, so the data are those of a plain file.
    plain = raw_png((1, 1, 16, 2), b"\0" + struct.pack(">3H", 1, 40000, 65535))
    header = plain[12:28] + b"\1"
    adam7 = plain[:12] + header + struct.pack(">I", zlib.crc32(header)) + plain[33:]
    wanted = np.array([[[1, 40000, 65535]]], dtype=np.uint16)
    assert_unit(rgb_of(read_bytes(tmp_path, adam7)), wanted)


@pytest.mark.parametrize(("bits", "rows"), [(1, b"\0\x50"), (2, b"\0\x33"), (4, b"\0\x0f\x0f")])
def test_png_grays_below_8_bits(tmp_path: Path, bits: int, rows: bytes) -> None:
    picture = read_bytes(tmp_path, raw_png((4, 1, bits, 0), rows))
    np.testing.assert_array_equal(rgb_of(picture)[0, :, 0], [0, 1, 0, 1])
    assert picture.bit_depth == 8


def test_gray_with_alpha(tmp_path: Path) -> None:
    values = noise(4, 5, 2)
    values[..., 1] |= 1
    picture = read_picture(save_pillow(tmp_path / "a.png", values))
    assert_unit(rgb_of(picture)[..., 1], values[..., 0])
    assert_unit(alpha_of(picture), values[..., 1])


def test_transparent_colours_of_png_become_alpha(tmp_path: Path) -> None:
    palette = (b"PLTE", bytes([10, 20, 30, 40, 50, 60, 70, 80, 90]))
    file = raw_png((3, 1, 8, 3), b"\0\0\1\2", palette, (b"tRNS", bytes([255, 51])))
    picture = read_bytes(tmp_path, file)
    wanted = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], dtype=np.uint8)
    assert_unit(rgb_of(picture)[0], wanted)
    np.testing.assert_allclose(alpha_of(picture)[0], [1, 0.2, 1], atol=1e-7)

    gray = raw_png((2, 1, 8, 0), b"\0\x07\x99", (b"tRNS", b"\0\x07"))
    np.testing.assert_array_equal(alpha_of(read_bytes(tmp_path, gray))[0], [0, 1])

    deep = raw_png((2, 1, 16, 2), b"\0" + bytes(6) + b"\xff" * 6, (b"tRNS", bytes(6)))
    picture = read_bytes(tmp_path, deep)
    np.testing.assert_array_equal(alpha_of(picture)[0], [0, 1])
    assert (rgb_of(picture) == 1).all()  # the hidden black took its neighbour's white


def test_hidden_colours_never_come_out(tmp_path: Path) -> None:
    values = np.zeros((8, 8, 4), dtype=np.uint8)
    values[..., :3] = (255, 0, 255)  # hidden magenta
    values[2:6, 2:6] = (10, 200, 30, 255)
    values[2, 2, 3] = 128
    for name in ("a.png", "a.webp", "a.tif"):
        picture = read_picture(save_pillow(tmp_path / name, values, lossless=True))
        colours = rgb_of(picture).reshape(-1, 3)
        wanted = np.array([10, 200, 30]) / 255
        np.testing.assert_allclose(colours, np.broadcast_to(wanted, colours.shape), atol=0.03)
        assert alpha_of(picture)[2, 2] == pytest.approx(128 / 255, abs=1e-6)


def test_opaque_alpha_is_none(tmp_path: Path) -> None:
    values = noise(4, 4, 4)
    values[..., 3] = 255
    assert read_picture(save_pillow(tmp_path / "a.png", values)).alpha is None


def test_gif_transparency_and_first_frame(tmp_path: Path) -> None:
    first, second = Image.new("P", (4, 3), 1), Image.new("P", (4, 3), 2)
    for frame in (first, second):
        frame.putpalette([0, 0, 0, 200, 100, 50, 1, 2, 3])
    first.putpixel((0, 0), 0)
    path = tmp_path / "a.gif"
    first.save(path, save_all=True, append_images=[second], transparency=0, disposal=2)
    picture = read_picture(path)
    assert alpha_of(picture).min(axis=0).tolist() == [0, 1, 1, 1]
    wanted = np.broadcast_to(np.array([200, 100, 50]) / 255, (3, 4, 3))
    np.testing.assert_allclose(rgb_of(picture), wanted, atol=1e-6)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_animations_give_their_first_frame(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((250, 10, 10), (10, 10, 250))]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=100)
    mean = rgb_of(read_bytes(tmp_path, buffer.getvalue())).mean(axis=(0, 1))
    np.testing.assert_allclose(mean * 255, [250, 10, 10], atol=3)


@pytest.mark.parametrize("mode", ["1", "P", "L", "RGBA"])
def test_bmp_kinds(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(noise(5, 6, 3)).convert(mode)
    path = tmp_path / "a.bmp"
    image.save(path)
    np.testing.assert_allclose(
        rgb_of(read_picture(path)), np.asarray(image.convert("RGB")) / 255, atol=1e-6
    )


def test_cmyk_jpeg_without_profile(tmp_path: Path) -> None:
    inks = np.zeros((16, 64, 4), dtype=np.uint8)
    inks[:, 16:32, 1] = 255  # magenta
    inks[:, 32:48, 3] = 255  # black
    inks[:, 48:, 0] = 128  # half cyan
    path = tmp_path / "a.jpg"
    Image.frombytes("CMYK", (64, 16), inks.tobytes()).save(path, quality=100)
    row = rgb_of(read_picture(path))[8]
    wanted = [[1, 1, 1], [1, 0, 1], [0, 0, 0], [127 / 255, 1, 1]]
    np.testing.assert_allclose(row[[8, 24, 40, 56]], wanted, atol=0.02)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "deflate", "predictor": True},
        {"compression": "lzw"},
        {"compression": "zstd"},
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "deflate", "predictor": True},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": "deflate"},
        {"tile": (16, 16), "compression": "deflate"},
        {"rowsperstrip": 2},
        {"bigtiff": True},
    ],
    ids=str,
)
def test_rgb_tiffs(tmp_path: Path, dtype: Any, options: dict[str, Any]) -> None:
    values = noise(9, 11, 3, dtype=dtype)
    stored = np.moveaxis(values, 2, 0) if "planarconfig" in options else values
    picture = read_picture(save_tiff(tmp_path / "a.tif", stored, photometric="rgb", **options))
    assert_unit(rgb_of(picture), values)
    assert picture.bit_depth == 8 * values.itemsize


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (3, 4), (4, 3), (3, 3)])
def test_tiny_and_ambiguous_tiff_shapes(tmp_path: Path, shape: tuple[int, int]) -> None:
    values = noise(*shape, 3, dtype=np.uint16)
    path = save_tiff(tmp_path / "a.tif", values, photometric="rgb", planarconfig="contig")
    assert_unit(rgb_of(read_picture(path)), values)


def test_gray_tiffs(tmp_path: Path) -> None:
    values = noise(4, 6, dtype=np.uint16)
    black = read_picture(save_tiff(tmp_path / "b.tif", values, photometric="minisblack"))
    white = read_picture(save_tiff(tmp_path / "w.tif", values, photometric="miniswhite"))
    assert_unit(rgb_of(black)[..., 2], values)
    np.testing.assert_allclose(rgb_of(white), 1 - rgb_of(black), atol=1e-6)
    bits = save_tiff(tmp_path / "1.tif", values > 30000, photometric="minisblack")
    np.testing.assert_array_equal(rgb_of(read_picture(bits))[..., 0], values > 30000)
    assert read_picture(bits).bit_depth == 8


def test_12_and_32_bit_tiffs(tmp_path: Path) -> None:
    twelve = noise(4, 6, dtype=np.uint16) >> 4
    path = save_tiff(tmp_path / "a.tif", twelve, photometric="minisblack", bitspersample=12)
    np.testing.assert_allclose(rgb_of(read_picture(path))[..., 0], twelve / 4095, atol=1e-6)
    wide = noise(4, 6, dtype=np.uint32)
    picture = read_picture(save_tiff(tmp_path / "b.tif", wide, photometric="minisblack"))
    np.testing.assert_allclose(rgb_of(picture)[..., 0], wide / (2**32 - 1), atol=1e-6)
    assert picture.bit_depth == 16


def test_palette_tiff(tmp_path: Path) -> None:
    palette = noise(3, 256, dtype=np.uint16)
    indices = noise(5, 5)
    path = save_tiff(tmp_path / "a.tif", indices, photometric="palette", colormap=palette)
    assert_unit(rgb_of(read_picture(path)), palette.T[indices])


def test_float_tiff_is_clipped(tmp_path: Path) -> None:
    values = np.array([[[-0.5, 0.25, 1.5]]], dtype=np.float32).repeat(2, axis=1)
    picture = read_picture(save_tiff(tmp_path / "a.tif", values, photometric="rgb"))
    np.testing.assert_array_equal(rgb_of(picture)[0, 0], [0, 0.25, 1])
    assert picture.bit_depth == 16


def test_cmyk_tiff(tmp_path: Path) -> None:
    inks = noise(4, 4, 4, dtype=np.uint16)
    path = save_tiff(tmp_path / "a.tif", inks, photometric="separated")
    unit = inks / 65535
    wanted = (1 - unit[..., :3]) * (1 - unit[..., 3:])
    np.testing.assert_allclose(rgb_of(read_picture(path)), wanted, atol=1e-6)


def test_ycbcr_jpeg_in_tiff(tmp_path: Path) -> None:
    values = noise(16, 16, 3)
    path = save_tiff(tmp_path / "a.tif", values, photometric="rgb", compression="jpeg")
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].photometric == tifffile.PHOTOMETRIC.YCBCR
    with Image.open(path) as image:
        wanted = np.asarray(image.convert("RGB")) / 255
    np.testing.assert_allclose(rgb_of(read_picture(path)), wanted, atol=2 / 255)


def test_tiff_alpha_straight_and_premultiplied(tmp_path: Path) -> None:
    colours = noise(4, 4, 3, dtype=np.uint16)
    alpha = np.full((4, 4, 1), 32768, dtype=np.uint16)
    straight = np.concatenate([colours, alpha], axis=2)
    path = save_tiff(tmp_path / "s.tif", straight, photometric="rgb", extrasamples=["unassalpha"])
    picture = read_picture(path)
    assert_unit(rgb_of(picture), colours)
    assert_unit(alpha_of(picture), alpha[..., 0])

    faded = np.concatenate([(colours * (32768 / 65535)).round().astype(np.uint16), alpha], axis=2)
    faded[0, 0] = 0  # invisible: nothing to divide by
    path = save_tiff(tmp_path / "p.tif", faded, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(path)
    assert_unit(alpha_of(picture), faded[..., 3])
    shown = alpha_of(picture) > 0
    np.testing.assert_allclose(rgb_of(picture)[shown], colours[shown] / 65535, atol=3e-5)

    path = save_tiff(tmp_path / "u.tif", straight, photometric="rgb", extrasamples=["unspecified"])
    assert read_picture(path).alpha is None


def test_first_page_of_many(tmp_path: Path) -> None:
    pages = noise(3, 5, 6, 3)
    path = save_tiff(tmp_path / "a.tif", pages, photometric="rgb")
    assert_unit(rgb_of(read_picture(path)), pages[0])


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    values = noise(3, 3, 3)
    (tmp_path / "a.jpg").write_bytes(encoded(values, "PNG"))
    assert_unit(rgb_of(read_picture(tmp_path / "a.jpg")), values)


def test_bytes_after_the_end_of_a_png_are_ignored(tmp_path: Path) -> None:
    values = noise(3, 3, 3)
    trailer = b"\0\0\0\4IDATjunk????" + bytes(100)
    assert_unit(rgb_of(read_bytes(tmp_path, encoded(values, "PNG") + trailer)), values)


def test_reading_from_threads_leaves_global_switches_as_they_were(tmp_path: Path) -> None:
    paths = [save_tiff(tmp_path / f"{i}.tif", noise(8, 8, 3, seed=i)) for i in range(8)]
    before = list(warnings.filters), logging.getLogger("tifffile").level
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(read_picture, paths * 4))
    for index, picture in enumerate(pictures):
        assert_unit(rgb_of(picture), noise(8, 8, 3, seed=index % 8))
    assert (list(warnings.filters), logging.getLogger("tifffile").level) == before


def test_the_result_owns_contiguous_writable_memory(tmp_path: Path) -> None:
    picture = read_picture(save_pillow(tmp_path / "a.png", noise(3, 5)))
    assert picture.pixels.is_contiguous()
    picture.pixels[0, 0, 0, 0] = 2
    assert picture.pixels[0, 1, 0, 0] != 2
