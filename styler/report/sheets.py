"""Contact sheets: pictures in labelled rows."""

from __future__ import annotations

from collections.abc import Sequence

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
    lines = [[(label, _scaled(picture, height)) for label, picture in row] for row in rows]
    width = GAP + max(sum(p.width + GAP for _, p in line) for line in lines)
    line_height = height + LABEL + 2 * GAP
    sheet = Image.new("RGB", (width, GAP + line_height * len(lines)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(LABEL)
    for number, line in enumerate(lines):
        x, y = GAP, GAP + number * line_height
        for label, picture in line:
            sheet.paste(picture, (x, y))
            draw.text((x, y + height + GAP // 2), label, fill="black", font=font)
            x += picture.width + GAP
    array = np.asarray(sheet, dtype=np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1)[None]


def _scaled(picture: Tensor, height: int) -> Image.Image:
    width = max(1, round(picture.shape[-1] * height / picture.shape[-2]))
    pixels = (resize(picture, (height, width))[0] * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())
