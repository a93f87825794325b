"""PNG: pixels through libpng at full depth, ancillary chunks by hand."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from styler.images.raster import Raster, require_size, split_alpha

_SIGNATURE = 8
# All that the pixels depend on. libpng is shown nothing else: it prints its opinion on the rest.
_ESSENTIAL = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_LARGEST_INFLATED = 1 << 26  # of a profile or text: far above any real one
_PERCEPTUAL = b"\0"


def read_png(data: bytes) -> Raster:
    """Decode a PNG file, for an animation its default picture."""
    profile = exif = None
    essential = [data[:_SIGNATURE]]
    for kind, body, intact in chunks(data):
        if kind in _ESSENTIAL:
            if not intact:
                raise ValueError(f"the checksum of {kind.decode()} is wrong")
            if kind == b"IHDR" and len(body) >= 8:
                require_size(*struct.unpack(">II", body[:8]))
            essential.append(_chunk(kind, body))
        elif kind == b"iCCP" and intact:
            _, _, packed = body.partition(b"\0")
            profile = inflate(packed[1:])  # the byte before is the method, always 0
        elif kind == b"eXIf" and intact:
            exif = body
    if essential[-1] != _chunk(b"IEND", b""):
        raise ValueError("it ends too early")
    samples, alpha, bit_depth = split_alpha(imagecodecs.png_decode(b"".join(essential)))
    return Raster(samples=samples, alpha=alpha, bit_depth=bit_depth, icc_profile=profile, exif=exif)


def write_png(
    pixels: NDArray[np.uint8 | np.uint16],
    *,
    icc_profile: bytes | None,
    exif: bytes | None,
    texts: dict[str, str],
) -> bytes:
    """Encode (H, W, 3 or 4) unsigned samples; without a profile the file is marked as sRGB."""
    encoded = bytes(imagecodecs.png_encode(pixels))
    if icc_profile is None:
        ancillary = [_chunk(b"sRGB", _PERCEPTUAL)]
    else:
        ancillary = [_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))]
    if exif is not None:
        ancillary.append(_chunk(b"eXIf", exif))
    for keyword, text in texts.items():
        # Keyword, compressed (1) by deflate (0), no language, no translated keyword.
        head = keyword.encode("latin-1") + b"\0\1\0\0\0"
        ancillary.append(_chunk(b"iTXt", head + zlib.compress(text.encode())))
    header = _SIGNATURE + 12 + struct.unpack(">I", encoded[_SIGNATURE : _SIGNATURE + 4])[0]
    return encoded[:header] + b"".join(ancillary) + encoded[header:]


def read_text(data: bytes, keyword: str) -> bytes | None:
    """The UTF-8 text of a compressed iTXt chunk, None when there is no such chunk."""
    head = keyword.encode("latin-1") + b"\0\1\0"
    for kind, body, intact in chunks(data):
        if kind == b"iTXt" and intact and body.startswith(head):
            _, _, text = body[len(head) :].split(b"\0", 2)
            return inflate(text, required=True)
    return None


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Each chunk's type, body and whether its checksum is right, until the end or a cut."""
    at = _SIGNATURE
    kind = b""
    while kind != b"IEND" and at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            return
        body = data[at + 8 : end]
        (checksum,) = struct.unpack_from(">I", data, end)
        yield kind, body, zlib.crc32(kind + body) == checksum
        at = end + 4


def inflate(packed: bytes, *, required: bool = False) -> bytes | None:
    """Decompress up to a sane size; a broken stream is None, or a ValueError where required."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, _LARGEST_INFLATED)
    except zlib.error as fault:
        if required:
            raise ValueError("its compressed data are damaged") from fault
        return None
    if stream.eof:
        return plain
    if required:
        raise ValueError("its compressed data are incomplete or too large")
    return None


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
