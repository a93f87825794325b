"""Picture files, chunks, profiles and EXIF blocks made by hand for the tests."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

ADOBE_RGB = bytes(imagecodecs.cms_profile("adobergb"))


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, shape, dtype=dtype, endpoint=True)


def save_pillow(path: Path, array: np.ndarray, **options: Any) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def save_tiff(path: Path, array: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, array, metadata=None, **options)
    return path


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(data[at + 4 : at + 8] + body)
        found.append((data[at + 4 : at + 8], body))
        at += 12 + length
    return found


def raw_png(
    header: tuple[int, int, int, int], rows: bytes, *between: tuple[bytes, bytes], end: bool = True
) -> bytes:
    """A PNG from width, height, bit depth, colour type and unfiltered rows (filter bytes included).

    `between` are chunks to put before IDAT.
    """
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0))
    data += b"".join(png_chunk(*c) for c in between) + png_chunk(b"IDAT", zlib.compress(rows))
    return data + (png_chunk(b"IEND", b"") if end else b"")


def png16(array: np.ndarray, *between: tuple[bytes, bytes]) -> bytes:
    """A 16-bit RGB or RGBA PNG with extra chunks after the header."""
    encoded = bytes(imagecodecs.png_encode(array))
    return encoded[:33] + b"".join(png_chunk(*c) for c in between) + encoded[33:]


def iccp(profile: bytes) -> tuple[bytes, bytes]:
    return b"iCCP", b"test\0\0" + zlib.compress(profile)


def exif_block(**tags: Any) -> Image.Exif:
    """EXIF with an orientation, a make, an exposure time and a GPS reference."""
    exif = Image.Exif()
    exif[274] = tags.get("orientation", 1)
    exif[271] = "Acme"
    exif.get_ifd(0x8769).update(
        {33434: IFDRational(1, 60), 40962: 17, 40963: 13, 37500: b"maker\0note"}
    )
    exif.get_ifd(0x8825)[1] = "N"
    return exif


def exif_with_thumbnail(thumbnail: bytes) -> bytes:
    """Orientation 6 in the first directory, a thumbnail in the second."""
    first = struct.pack("<HHHIHxxI", 1, 274, 3, 1, 6, 26)
    second = struct.pack("<HHHIIHHII", 2, 513, 4, 1, 56, 514, 4, 1, len(thumbnail))
    block = b"II*\0" + struct.pack("<I", 8) + first + second + struct.pack("<I", 0)
    assert len(block) == 56
    return block + thumbnail


def lut_profile(
    space: bytes, device: bytes, lab: Callable[..., tuple[float, float, float]]
) -> bytes:
    """An ICC version 2 profile with a 2-point table from device values to Lab, and no way back."""
    channels = {b"RGB ": 3, b"CMYK": 4}[space]
    table = b""
    for corner in itertools.product((0, 1), repeat=channels):
        lightness, a, b = lab(*corner)
        table += struct.pack(
            ">3H", round(lightness / 100 * 0xFF00), round((a + 128) * 256), round((b + 128) * 256)
        )
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    line = struct.pack(">2H", 0, 65535)
    lut = b"mft2" + bytes(4) + bytes([channels, 3, 2, 0]) + identity + struct.pack(">2H", 2, 2)
    lut += line * channels + table + line * 3
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        b"A2B0": lut,
        b"A2B1": lut,
    }
    index, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        index += name + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    header = struct.pack(
        ">I4s4s4s4s4s", start + len(body), bytes(4), b"\2\x40\0\0", device, space, b"Lab "
    )
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + index + body


def ink_lab(c: float, m: float, y: float, k: float) -> tuple[float, float, float]:
    """A made-up press: no ink is white, colours add up to a dark tint, black to a dark grey."""
    paper = 1 - 0.88 * k
    return (
        100 * paper * (1 - 0.35 * c - 0.4 * m - 0.1 * y),
        paper * (60 * m - 30 * c),
        paper * (70 * y - 40 * c),
    )


def encoded(array: np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()
