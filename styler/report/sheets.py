"""Contact sheets: pictures in labelled rows, grids of small ones, and tables of them."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from styler.errors import UsageError
from styler.images import resize

GAP = 8
"""Pixels between pictures."""
LABEL = 16
"""Height of a label's letters in pixels."""
TITLE = 24
"""Height of a title's letters in pixels."""

_BELOW = LABEL + 2 * GAP
"""What a label takes below its picture, with the gap to the next row."""

_LINE = LABEL + 4
"""From one line of a head to the next."""

_HEAD = 200
"""Width of a row's head in pixels, at most."""

_LINES = 3
"""Lines of a column's head, at most."""

_MISSING = (224, 224, 224)
_QUIET = (110, 110, 110)

_SHAPE = 3 / 2
"""Width over height that a grid comes near to: that of most screens and figures."""


@dataclass(frozen=True, kw_only=True)
class _Text:
    x: int
    y: int
    text: str
    size: int = LABEL
    colour: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class _Tile:
    x: int
    y: int
    picture: Image.Image


def contact_sheet(rows: Sequence[Sequence[tuple[str, Tensor]]], height: int = 240) -> Tensor:
    """Lay out pictures in rows, each with its label below.

    Args:
        rows: of (label, picture); pictures are (1, 3, H, W) sRGB in [0, 1] of any size.
        height: of every picture on the sheet, in pixels.

    Returns:
        (1, 3, H', W'), white between the pictures.

    Raises:
        UsageError: there is nothing to lay out.

    Example:
        >>> contact_sheet([[("a", torch.zeros(1, 3, 10, 20))]], height=100).shape
        torch.Size([1, 3, 140, 216])
    """
    if not any(rows):
        raise UsageError("a contact sheet needs at least one picture")
    parts: list[_Tile | _Text] = []
    width = 0
    for number, row in enumerate(rows):
        x, y = GAP, GAP + number * (height + _BELOW)
        for label, pixels in row:
            picture = _scaled(pixels, height / pixels.shape[-2])
            parts.append(_Tile(x=x, y=y, picture=picture))
            parts.append(_Text(x=x, y=y + height + GAP // 2, text=label))
            x += picture.width + GAP
        width = max(width, x)
    return _drawn((width, GAP + len(rows) * (height + _BELOW)), parts)


def unit_grid(
    cells: Sequence[tuple[str, Tensor]],
    *,
    columns: int | None = None,
    side: int = 128,
    title: str | None = None,
) -> Tensor:
    """Lay out many small pictures in a grid, each with its label below.

    Cells are filled row by row. A picture that is not square is centred in its cell; a label
    wider than the cell is cut, and ends in an ellipsis.

    Args:
        cells: of (label, picture); pictures are (1, 3, H, W) sRGB in [0, 1] of any size.
        columns: cells in a row; None makes the grid about 3:2.
        side: of a cell, to which the longer side of its picture is scaled, in pixels.
        title: written above the grid, cut like a label; None leaves no room for it.

    Returns:
        (1, 3, H', W'), white between the pictures.

    Raises:
        UsageError: there are no cells, no columns, or cells of no size.

    Example:
        >>> unit_grid([(f"unit {n}", torch.zeros(1, 3, 9, 9)) for n in range(12)], side=64).shape
        torch.Size([1, 3, 296, 368])
    """
    if not cells or side < 1 or (columns is not None and columns < 1):
        raise UsageError(
            f"a grid needs cells, columns and a side, got {len(cells)}, {columns} and {side}"
        )
    across = columns or _columns(len(cells), side)
    down = math.ceil(len(cells) / across)
    top = GAP if title is None else 2 * GAP + TITLE
    size = GAP + across * (side + GAP), top + down * (side + _BELOW)
    parts: list[_Tile | _Text] = []
    if title is not None:
        text = _shortened(title, size[0] - 2 * GAP, TITLE)
        parts.append(_Text(x=GAP, y=GAP // 2, text=text, size=TITLE))
    for number, (label, pixels) in enumerate(cells):
        x = GAP + number % across * (side + GAP)
        y = top + number // across * (side + _BELOW)
        picture = _scaled(pixels, side / max(pixels.shape[-2:]))
        left, above = (side - picture.width) // 2, (side - picture.height) // 2
        parts.append(_Tile(x=x + left, y=y + above, picture=picture))
        parts.append(_Text(x=x, y=y + side + GAP // 2, text=_shortened(label, side, LABEL)))
    return _drawn(size, parts)


def labelled_grid(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Sequence[Tensor | str]],
    *,
    row_title: str = "",
    column_title: str = "",
    title: str | None = None,
    side: int = 256,
) -> Tensor:
    """Lay out pictures in a table, whose rows and columns have heads.

    All cells have one size, into which each picture fits with its longer side at `side`. Heads of
    columns stand above, those of rows at the left; what is too wide is wrapped at spaces and
    commas, then cut, and ends in an ellipsis. A line break in a head is one on the sheet.

    Args:
        rows: their heads, from above.
        columns: their heads, from the left.
        cells: by row, then by column: a picture, (1, 3, H, W) sRGB in [0, 1] of any size; or a
            text, perhaps empty, that stands on grey where there is none.
        row_title: what the heads of rows are values of, in grey above them.
        column_title: likewise of columns.
        title: written above it all; None leaves no room for it.
        side: of a picture, to which its longer side is scaled, in pixels.

    Returns:
        (1, 3, H', W'), white between the pictures.

    Raises:
        UsageError: there are no cells, not one for each pair of heads, or cells of no size.

    Example:
        >>> picture = torch.zeros(1, 3, 48, 64)
        >>> cells = [[picture, picture], [picture, "diverged"]]
        >>> labelled_grid(["0.2", "0.8"], ["1", "2"], cells, row_title="strength").shape
        torch.Size([1, 3, 432, 606])
    """
    fits = len(cells) == len(rows) and all(len(row) == len(columns) for row in cells)
    if not (rows and columns and fits) or side < 1:
        raise UsageError(
            f"a table of {len(rows)} × {len(columns)} needs a cell for each and a side, "
            f"got {sum(map(len, cells))} and {side}"
        )
    scaled = [[_filled(cell, side) for cell in row] for row in cells]
    sizes = [cell.size for row in scaled for cell in row if not isinstance(cell, str)]
    width, height = (max(sides) for sides in zip(*(sizes or [(side, side)]), strict=True))
    row_heads = [_wrapped(head, _HEAD) for head in rows]
    column_heads = [_wrapped(head, width, _LINES) for head in columns]
    names = _shortened(row_title, _HEAD, LABEL)
    gutter = max(map(_width, [names, *(line for head in row_heads for line in head)]))
    band = GAP if title is None else 2 * GAP + TITLE
    table = _Table(
        left=GAP + (gutter + GAP if gutter else 0),
        top=band + (max(map(len, column_heads)) + bool(column_title)) * _LINE + GAP // 2,
        width=width,
        height=height,
        row=max(height, *(len(head) * _LINE for head in row_heads)),
    )
    across = table.x(len(columns))
    free = across - table.left - GAP
    parts = _lines([_shortened(column_title, free, LABEL)], (table.left, band), free, 0.5, _QUIET)
    parts += _lines([names], (GAP, table.top - GAP // 2 - _LINE), gutter, 1, _QUIET)
    if title is not None:
        text = _shortened(title, across - 2 * GAP, TITLE)
        parts.append(_Text(x=GAP, y=GAP // 2, text=text, size=TITLE))
    for number, head in enumerate(column_heads):
        y = table.top - GAP // 2 - len(head) * _LINE
        parts += _lines(head, (table.x(number), y), width, 0.5)
    for number, head in enumerate(row_heads):
        y = table.y(number) + (table.row - len(head) * _LINE) // 2
        parts += _lines(head, (GAP, y), gutter, 1)
        for column, cell in enumerate(scaled[number]):
            parts += table.cell(number, column, cell)
    return _drawn((across, table.y(len(rows))), parts)


def _filled(cell: Tensor | str, side: int) -> Image.Image | str:
    return cell if isinstance(cell, str) else _scaled(cell, side / max(cell.shape[-2:]))


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Where cells are, how large, and how high a row is, whose head may need more."""

    left: int
    top: int
    width: int
    height: int
    row: int

    def x(self, column: int) -> int:
        return self.left + column * (self.width + GAP)

    def y(self, row: int) -> int:
        return self.top + row * (self.row + GAP)

    def cell(self, row: int, column: int, content: Image.Image | str) -> list[_Tile | _Text]:
        """A picture in the middle of its cell, or a text on grey."""
        x, y = self.x(column), self.y(row) + (self.row - self.height) // 2
        if not isinstance(content, str):
            left, above = (self.width - content.width) // 2, (self.height - content.height) // 2
            return [_Tile(x=x + left, y=y + above, picture=content)]
        blank = Image.new("RGB", (self.width, self.height), _MISSING)
        lines = _wrapped(content, self.width - GAP, max(1, self.height // _LINE))
        middle = y + (self.height - len(lines) * _LINE) // 2
        return [
            _Tile(x=x, y=y, picture=blank),
            *_lines(lines, (x, middle), self.width, 0.5, _QUIET),
        ]


def _lines(
    lines: Sequence[str],
    corner: tuple[int, int],
    width: int,
    align: float,
    colour: tuple[int, int, int] = (0, 0, 0),
) -> list[_Tile | _Text]:
    """Lines of a label below each other, at the left (0) to the right (1) of a width."""
    return [
        _Text(
            x=corner[0] + round((width - _width(line)) * align),
            y=corner[1] + number * _LINE,
            text=line,
            colour=colour,
        )
        for number, line in enumerate(lines)
    ]


def _wrapped(text: str, width: int, most: int | None = None) -> list[str]:
    """The lines of a label, none wider than a width and no more than `most`."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in re.findall(r"[^ ,]*[ ,]*", paragraph):
            if line and _width((line + word).rstrip()) > width:
                lines.append(line.rstrip())
                line = ""
            line += word
        lines.append(line.rstrip())
    if most is not None and len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return [_shortened(line, width, LABEL) for line in lines]


def _columns(cells: int, side: int) -> int:
    """The number with which a grid comes nearest to its shape."""

    def distance(across: int) -> float:
        width, height = across * (side + GAP), math.ceil(cells / across) * (side + _BELOW)
        return abs(math.log(width / height / _SHAPE))

    return min(range(1, cells + 1), key=distance)


def _shortened(text: str, width: int, size: int) -> str:
    if _width(text, size) <= width:
        return text
    while text and _width(f"{text}…", size) > width:
        text = text[:-1].rstrip()
    return f"{text}…"


def _width(text: str, size: int = LABEL) -> int:
    return math.ceil(_font(size).getlength(text))


_font = functools.cache(ImageFont.load_default)


def _scaled(picture: Tensor, factor: float) -> Image.Image:
    height, width = (max(1, round(side * factor)) for side in picture.shape[-2:])
    pixels = (resize(picture, (height, width))[0] * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def _drawn(size: tuple[int, int], parts: Iterable[_Tile | _Text]) -> Tensor:
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for part in parts:
        if isinstance(part, _Tile):
            sheet.paste(part.picture, (part.x, part.y))
        else:
            draw.text((part.x, part.y), part.text, fill=part.colour, font=_font(part.size))
    array = np.asarray(sheet, dtype=np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1)[None]
