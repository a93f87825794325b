"""Sheets of patches: a block for each unit, as in the paper that had them first."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from styler.images import resize
from styler.images.encode import quantise
from styler.patches.record import LayerRecord, UnitRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")

WIDEST = 2500
"""Pixels across a sheet, at most."""
UNITS = 100
"""Units on a sheet, at most."""

_CELL = 64
"""Side of a patch on a sheet, in pixels."""
_THIN = 2
"""Between patches of a unit."""
_WIDE = 14
"""Between units, and around all."""
_LABEL = 13
"""Height of letters above a unit."""
_TITLE = 20
"""Height of letters above all."""
_ABOVE = _LABEL + 5
"""From the top of a label to the patches below it."""
_EMPTY = (232, 232, 232)
_SOFT = (90, 90, 90)
_NEARLY = 1.3
"""Patches whose sides differ by no more than this fill their square."""
_SHAPE = 3 / 2
"""Width over height that a sheet comes near to."""


def shares(things: Sequence[T], most: int = UNITS) -> list[list[T]]:
    """Things on as few sheets as will do, about as many on each.

    Example:
        >>> [len(sheet) for sheet in shares(range(256))], shares([1, 2])
        ([86, 85, 85], [[1, 2]])
    """
    count = max(1, math.ceil(len(things) / most))
    ends = [math.ceil(len(things) * number / count) for number in range(count + 1)]
    return [list(things[a:b]) for a, b in itertools.pairwise(ends)]


class Sheet:
    """The strongest patches of some units of a layer.

    Each unit has a square block, the strongest patch at the upper left, row by row, and its number
    above. Gaps within a block are thin, those between blocks wider. A unit that never fired says so
    in its place.

    Args:
        layer: that the units are of.
        units: on this sheet, at least one.
        k: patches of a unit, at most.

    References:
        Zeiler, Fergus 2013, "Visualizing and Understanding Convolutional Networks", arXiv
        1311.2901, figure 2 (there chosen units, beside their projections; here all of them, with
        their numbers).
    """

    def __init__(self, layer: LayerRecord, units: Sequence[UnitRecord], k: int) -> None:
        self._side = math.ceil(math.sqrt(k))
        self._block = self._side * (_CELL + _THIN) - _THIN
        self._columns = _columns(len(units), self._block)
        self._place = {unit.unit: number for number, unit in enumerate(units)}
        lines = math.ceil(len(units) / self._columns)
        width = _WIDE + self._columns * (self._block + _WIDE)
        height = 2 * _WIDE + _TITLE + lines * (_ABOVE + self._block + _WIDE)
        self._image = Image.new("RGB", (width, height), "white")
        self._draw = ImageDraw.Draw(self._image)
        title = _shortened(_title(layer, units), width - 2 * _WIDE, _TITLE)
        self._draw.text((_WIDE, _WIDE - 4), title, fill="black", font=_font(_TITLE))
        for unit in units:
            self._frame(unit)

    def _frame(self, unit: UnitRecord) -> None:
        """The number of a unit and its empty places."""
        x, y = self._corner(unit.unit)
        label = _shortened(unit.name.partition(":")[2], self._block, _LABEL)
        self._draw.text((x, y - _ABOVE), label, fill=_SOFT, font=_font(_LABEL))
        if not unit.fired:
            self._draw.rectangle((x, y, x + self._block - 1, y + self._block - 1), fill=_EMPTY)
            middle = x + self._block / 2, y + self._block / 2
            self._draw.text(middle, "never fired", fill=_SOFT, font=_font(_LABEL), anchor="mm")
            return
        for rank in range(len(unit.patches) + 1, self._side**2 + 1):
            left, top = self._cell(unit.unit, rank)
            self._draw.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), fill=_EMPTY)

    def paste(
        self, unit: int, rank: int, patch: Tensor, inside: tuple[float, ...] = (0, 0, 1, 1)
    ) -> None:
        """Put a patch in its place.

        Args:
            unit: of this sheet.
            rank: from 1 on.
            patch: (1, 3, h, w) in [0, 1]. Its longer side fills its square, and both do where they
                differ by little, as whole pixels of small patches make them do.
            inside: the part of it that is photograph, as shares of its height and width: top,
                left, bottom, right. The rest is left empty, in a grey lighter than the patch's,
                which would be loud where many patches reach past the border.
        """
        left, top = self._cell(unit, rank)
        height, width = _fitted((patch.shape[-2], patch.shape[-1]))
        self._draw.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), fill=_EMPTY)
        picture = Image.fromarray(to_bytes(resize(patch, (height, width))))
        first, start = round(inside[0] * height), round(inside[1] * width)
        last, end = round(inside[2] * height), round(inside[3] * width)
        x, y = left + (_CELL - width) // 2 + start, top + (_CELL - height) // 2 + first
        self._image.paste(picture.crop((start, first, end, last)), (x, y))

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3)."""
        return np.asarray(self._image)

    def _corner(self, unit: int) -> tuple[int, int]:
        """Of a unit's block: x, y."""
        line, column = divmod(self._place[unit], self._columns)
        x = _WIDE + column * (self._block + _WIDE)
        y = 2 * _WIDE + _TITLE + line * (_ABOVE + self._block + _WIDE) + _ABOVE
        return x, y - _WIDE // 2

    def _cell(self, unit: int, rank: int) -> tuple[int, int]:
        x, y = self._corner(unit)
        row, column = divmod(rank - 1, self._side)
        return x + column * (_CELL + _THIN), y + row * (_CELL + _THIN)


def to_bytes(patch: Tensor) -> NDArray[np.uint8]:
    """(h, w, 3) of a patch (1, 3, h, w) in [0, 1], rounded."""
    return quantise(patch[0].permute(1, 2, 0).contiguous().numpy()).astype(np.uint8)


def _fitted(size: tuple[int, int]) -> tuple[int, int]:
    """The size of a patch on the sheet."""
    longest = max(size)
    if longest <= _NEARLY * min(size):
        return _CELL, _CELL
    height, width = (max(1, round(_CELL * side / longest)) for side in size)
    return height, width


def _columns(units: int, block: int) -> int:
    """Blocks across: as many as make the sheet about 3:2, and no wider than it may be."""
    most = max(1, (WIDEST - _WIDE) // (block + _WIDE))
    wanted = math.sqrt(_SHAPE * units * (block + _ABOVE + _WIDE) / (block + _WIDE))
    return max(1, min(most, units, math.ceil(wanted)))


def _title(layer: LayerRecord, units: Sequence[UnitRecord]) -> str:
    first, last = units[0].unit, units[-1].unit
    which = f"units {first} to {last}" if first < last else f"unit {first}"
    what = {
        "theoretical": "all that a unit sees" + _size(layer.sees),
        "effective": "the part that a unit's gradient comes from",
        "full": "whole photographs",
    }[layer.field]
    return f"{layer.layer}, {which} of {layer.channels}: {what}"


def _size(sees: tuple[int, int] | None) -> str:
    return "" if sees is None else f", {sees[1]} by {sees[0]} pixels"


def _shortened(text: str, width: int, size: int) -> str:
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(f"{text}...") > width:
        text = text[:-1].rstrip()
    return f"{text}..."


_font = functools.cache(ImageFont.load_default)
