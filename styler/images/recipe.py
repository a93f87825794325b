"""A text stored inside a picture file: how the picture was made.

PNG: a compressed iTXt chunk. JPEG: APP9 segments. TIFF: a private tag. WebP: an XMP packet. Other
programs ignore all four.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Callable, Iterator

from styler.images.exif import read_fields
from styler.images.png import inflate, read_text
from styler.images.tiff import RECIPE_TAG

KEYWORD = "styler-recipe"

_MARK = KEYWORD.encode() + b"\0"
_SEGMENT_ROOM = 65533 - len(_MARK) - 4  # a JPEG segment, less the mark and the two counters
_MOST_SEGMENTS = 65535
_APP9 = 0xE9
_APPS = range(0xE0, 0xF0)
_START_OF_SCAN = 0xDA
_XMP_START = b'styler:recipe="'
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:styler="urn:styler:recipe:1" styler:recipe="{}"/>'
    "</rdf:RDF></x:xmpmeta>"
)


def to_tag(recipe: str) -> bytes:
    """The value of the private TIFF tag."""
    return _MARK + zlib.compress(recipe.encode())


def to_xmp(recipe: str) -> bytes:
    """An XMP packet; base64, as XML cannot hold every character."""
    return _XMP.format(base64.b64encode(zlib.compress(recipe.encode())).decode()).encode()


def into_jpeg(jpeg: bytes, recipe: str) -> bytes:
    """A JPEG file with the recipe in as many APP9 segments as it takes, after the other APPs."""
    packed = zlib.compress(recipe.encode())
    parts = [packed[i : i + _SEGMENT_ROOM] for i in range(0, len(packed), _SEGMENT_ROOM)]
    if len(parts) > _MOST_SEGMENTS:
        raise ValueError("the recipe is too long for a JPEG file")
    segments = b""
    for number, part in enumerate(parts, 1):
        body = _MARK + struct.pack(">HH", number, len(parts)) + part
        segments += struct.pack(">BBH", 0xFF, _APP9, len(body) + 2) + body
    at = 2  # after the start-of-image marker
    for marker, body in _segments(jpeg):
        if marker not in _APPS:
            break
        at += 4 + len(body)
    return jpeg[:at] + segments + jpeg[at:]


def extract(data: bytes, kind: str) -> str | None:
    """The recipe in a file of a format; None when there is none.

    Raises:
        ValueError: there is one, but it is damaged.
    """
    reader = _EXTRACTORS.get(kind)
    found = reader(data) if reader is not None else None
    return found.decode() if found is not None else None


def _from_png(data: bytes) -> bytes | None:
    return read_text(data, KEYWORD)


def _from_jpeg(data: bytes) -> bytes | None:
    parts = {}
    total = 0
    head = len(_MARK) + 4
    for marker, body in _segments(data):
        if marker == _APP9 and body.startswith(_MARK) and len(body) > head:
            number, total = struct.unpack(">HH", body[len(_MARK) : head])
            parts[number] = body[head:]
    if not parts:
        return None
    if sorted(parts) != list(range(1, total + 1)):
        raise ValueError("a part of it is missing")
    return inflate(b"".join(parts[n] for n in sorted(parts)), required=True)


def _from_tiff(data: bytes) -> bytes | None:
    for field in read_fields(data, frozenset({RECIPE_TAG}), longest=len(data)):
        if isinstance(field.value, bytes) and field.value.startswith(_MARK):
            return inflate(field.value[len(_MARK) :], required=True)
    return None


def _from_webp(data: bytes) -> bytes | None:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"XMP ":
            _, _, rest = data[at + 8 : at + 8 + length].partition(_XMP_START)
            if rest:
                return inflate(_unarmour(rest.partition(b'"')[0]), required=True)
        at += 8 + length + length % 2
    return None


def _unarmour(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as fault:
        raise ValueError("its base64 is damaged") from fault


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """The marker and body of each segment before the compressed picture."""
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = struct.unpack_from(">BH", jpeg, at + 1)
        if marker == _START_OF_SCAN:
            return
        yield marker, jpeg[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)


_EXTRACTORS: dict[str, Callable[[bytes], bytes | None]] = {
    "PNG": _from_png,
    "JPEG": _from_jpeg,
    "TIFF": _from_tiff,
    "WebP": _from_webp,
}
