"""Contact sheets: pictures in labelled rows, and grids of small ones."""

from __future__ import annotations

import math
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

_SHAPE = 3 / 2
"""Width over height that a grid comes near to: that of most screens and figures."""


@dataclass(frozen=True, kw_only=True)
class _Text:
    x: int
    y: int
    text: str
    size: int = LABEL


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


def _columns(cells: int, side: int) -> int:
    """The number with which a grid comes nearest to its shape."""

    def distance(across: int) -> float:
        width, height = across * (side + GAP), math.ceil(cells / across) * (side + _BELOW)
        return abs(math.log(width / height / _SHAPE))

    return min(range(1, cells + 1), key=distance)


def _shortened(text: str, width: int, size: int) -> str:
    font = ImageFont.load_default(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1].rstrip()
    return f"{text}…"


def _scaled(picture: Tensor, factor: float) -> Image.Image:
    height, width = (max(1, round(side * factor)) for side in picture.shape[-2:])
    pixels = (resize(picture, (height, width))[0] * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def _drawn(size: tuple[int, int], parts: Iterable[_Tile | _Text]) -> Tensor:
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    fonts = {letters: ImageFont.load_default(letters) for letters in (LABEL, TITLE)}
    for part in parts:
        if isinstance(part, _Tile):
            sheet.paste(part.picture, (part.x, part.y))
        else:
            draw.text((part.x, part.y), part.text, fill="black", font=fonts[part.size])
    array = np.asarray(sheet, dtype=np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1)[None]
