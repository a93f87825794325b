"""EXIF and TIFF directories as raw fields.

An EXIF block is a small TIFF file: directories of typed fields, some of which point to further
directories. Fields are kept as the bytes they were, so that nothing is retyped on the way through.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

ByteOrder = Literal["<", ">"]

ORIENTATION = 274
_SHORT = 3
_LONG = 4
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_EXIF, _GPS, _INTEROP = 34665, 34853, 40965
# Which fields of a directory point to another one, and what that one may point to in turn.
_POINTERS: dict[int, frozenset[int]] = {
    _EXIF: frozenset({_INTEROP}),
    _GPS: frozenset(),
    _INTEROP: frozenset(),
}
# What the first directory says about the picture; all else in it describes how the file stores it.
_DESCRIPTIVE = frozenset(
    {
        *(270, 271, 272, ORIENTATION, 282, 283, 296, 305, 306, 315, 316, 33432, _EXIF, _GPS),
        *(18246, 18249, 40091, 40092, 40093, 40094, 40095),  # rating, title, comment, author, …
    }
)
_STALE = frozenset({40962, 40963})  # the picture's width and height before it was turned or resized
_LONGEST_FIELD = 1 << 16
_LONGEST_BLOCK = 1 << 20


@dataclass(frozen=True)
class Field:
    """One entry of a directory: its value as bytes, or the directory it points to."""

    tag: int
    kind: int
    count: int
    value: bytes | tuple[Field, ...]


def byte_order(block: bytes) -> ByteOrder | None:
    """The byte order of an EXIF block or classic TIFF file; None when it is neither."""
    if block[:4] == b"II*\0":
        return "<"
    return ">" if block[:4] == b"MM\0*" else None


def read_fields(
    block: bytes, wanted: frozenset[int] | None = None, longest: int = _LONGEST_FIELD
) -> tuple[Field, ...]:
    """The fields of the first directory, damaged ones left out.

    Args:
        block: an EXIF block or a classic TIFF file.
        wanted: the tags to read; None for all.
        longest: the most bytes a field may have to be read.
    """
    order = byte_order(block)
    if order is None or len(block) < 8:
        return ()
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    reader = _Reader(block, order, longest)
    return reader.directory(start, wanted, frozenset({_EXIF, _GPS}))


class _Reader:
    """Walks directories; the total it may return is bounded, whatever the block claims."""

    def __init__(self, block: bytes, order: ByteOrder, longest: int) -> None:
        self.block = block
        self.order = order
        self.longest = longest
        self.left = max(longest, _LONGEST_BLOCK)

    def directory(
        self, start: int, wanted: frozenset[int] | None, pointers: frozenset[int]
    ) -> tuple[Field, ...]:
        if start + 2 > len(self.block):
            return ()
        (count,) = struct.unpack_from(f"{self.order}H", self.block, start)
        fields = {}
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            if entry + 12 > len(self.block):
                break
            tag, kind, number = struct.unpack_from(f"{self.order}HHI", self.block, entry)
            if tag not in fields and (wanted is None or tag in wanted):
                field = self._field(entry, Field(tag, kind, number, b""), pointers)
                if field is not None:
                    fields[tag] = field
        return tuple(fields.values())

    def _field(self, entry: int, field: Field, pointers: frozenset[int]) -> Field | None:
        length = _TYPE_SIZES.get(field.kind, 0) * field.count
        if not 0 < length <= min(self.longest, self.left):
            return None
        (offset,) = struct.unpack_from(f"{self.order}I", self.block, entry + 8)
        if field.tag in pointers:
            inner = self.directory(offset, None, _POINTERS[field.tag])
            return Field(field.tag, _LONG, 1, inner) if inner else None
        start = entry + 8 if length <= 4 else offset
        value = self.block[start : start + length]
        self.left -= length
        return replace(field, value=value) if len(value) == length else None


def orientation_of(fields: Iterable[Field], order: ByteOrder | None) -> int:
    """The EXIF orientation, 1 to 8; 1 when it is absent or invalid."""
    for field in fields:
        if field.tag == ORIENTATION and field.kind == _SHORT and isinstance(field.value, bytes):
            (turn,) = struct.unpack_from(f"{order}H", field.value)
            return int(turn) if 1 <= turn <= 8 else 1
    return 1


def clean(block: bytes | None) -> tuple[int, bytes | None]:
    """Read the orientation and make the block fit for the upright picture.

    What describes the picture is kept, with orientation 1; the thumbnail (a second directory),
    old sizes and how the file stored its pixels are dropped.

    Args:
        block: an EXIF block, with or without the `Exif` mark that JPEG puts first, or a TIFF file.

    Returns:
        The orientation, 1 to 8, and the cleaned block starting with its byte order; None when
        nothing can be read from it.
    """
    block = (block or b"").removeprefix(b"Exif\0\0")
    order = byte_order(block)
    fields = read_fields(block, _DESCRIPTIVE)
    kept = [f for f in (_cleaned(f, order) for f in fields) if f.value]
    if order is None or not kept:
        return 1, None
    return orientation_of(fields, order), to_block(kept, order)


def _cleaned(field: Field, order: ByteOrder | None) -> Field:
    if field.tag == ORIENTATION:
        return Field(ORIENTATION, _SHORT, 1, struct.pack(f"{order}H", 1))
    if field.tag == _EXIF and isinstance(field.value, tuple):
        return replace(field, value=tuple(f for f in field.value if f.tag not in _STALE))
    return field


def to_block(fields: Iterable[Field], order: ByteOrder) -> bytes:
    """An EXIF block with these fields as its only directory."""
    return _header(order, 8) + _lay_out(fields, order, 8)


def with_fields(tiff: bytes, added: Iterable[Field]) -> bytes:
    """A classic TIFF file with fields added to, or replaced in, its only directory.

    The new directory is appended and the header pointed at it: no offset in the file moves.
    """
    order = byte_order(tiff)
    if order is None:
        raise ValueError("not a classic TIFF file")
    fields = {f.tag: f for f in read_fields(tiff, longest=len(tiff))}
    fields.update({f.tag: f for f in added})
    tiff += b"\0" * (len(tiff) % 2)
    return _header(order, len(tiff)) + tiff[8:] + _lay_out(fields.values(), order, len(tiff))


def _header(order: ByteOrder, start: int) -> bytes:
    return (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)


def _lay_out(fields: Iterable[Field], order: ByteOrder, start: int) -> bytes:
    """A directory as bytes that are valid at the offset `start`, long values after it."""
    ordered = sorted(fields, key=lambda f: f.tag)
    entries = struct.pack(f"{order}H", len(ordered))
    heap = start + 2 + 12 * len(ordered) + 4
    tail = b""
    for field in ordered:
        at = heap + len(tail)
        slot = struct.pack(f"{order}I", at)
        if isinstance(field.value, tuple):
            stored = _lay_out(field.value, order, at)
        elif len(field.value) > 4:
            stored = field.value
        else:
            slot, stored = field.value.ljust(4, b"\0"), b""
        entries += struct.pack(f"{order}HHI", field.tag, field.kind, field.count) + slot
        tail += stored + b"\0" * (len(stored) % 2)
    return entries + struct.pack(f"{order}I", 0) + tail
