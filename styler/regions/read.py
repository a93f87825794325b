"""Masks as files: soft ones by alpha or grey, and maps in which each colour is a region."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor, from_numpy

from styler.config import NO_MASK
from styler.errors import ImageError
from styler.images import Picture, read_picture
from styler.regions.palette import (
    ALIKE,
    MOST_COLOURS,
    SMALLEST,
    distance_from,
    main_colours,
)

Size = tuple[int, int]
"""(height, width) in pixels."""

ASPECT_TOLERANCE = 0.02
"""Share by which a mask's aspect may differ from its picture's, as rounded sizes do."""
FAINT = 4 / 255
"""A mask that is nowhere above it is black: JPEG leaves as much in what was 0."""

_GREY = 24 / 255  # by which channels of a grey may differ: JPEG tints greys
_FLAT = 0.7  # share of a map that has its regions' colours: borders have others


def read_mask(path: str | Path) -> Tensor:
    """Read a soft mask.

    A file with transparency is a mask by its alpha, whatever its colours; any other by its grey
    value, with colours by the mean of their channels. The value is the file's own, 0 for black to 1
    for white, and not its luminance: half of a region is painted in the grey #808080.

    Args:
        path: a picture file, see `styler.images.read_picture`.

    Returns:
        (1, 1, H, W) float32 in [0, 1], of 16-bit files with their precision.

    Raises:
        ImageError: it is missing or unreadable.

    Example:
        >>> read_mask("/nowhere/sky.png")
        Traceback (most recent call last):
        styler.errors.ImageError: no such file: /nowhere/sky.png
    """
    return mask_of(read_picture(path))


def read_map(path: str | Path) -> dict[str, Tensor]:
    """Read a map in which each colour is a region.

    Colours may be a little off, as JPEG leaves them, and borders may be antialiased: each pixel is
    of the nearest colour that fills areas beside it; see `styler.regions.palette.main_colours`.
    Colours that differ by less than 13 of 255 levels in each channel are one. Transparent pixels
    are in no region.

    Args:
        path: a picture file, see `styler.images.read_picture`.

    Returns:
        By colour, as ``#rrggbb``, the largest region first: (1, 1, H, W) float32, 1 in the region.

    Raises:
        ImageError: it is missing or unreadable, has more than 32 colours or none that are flat, or
            is transparent all over.

    Example:
        >>> read_map("/nowhere/map.png")
        Traceback (most recent call last):
        styler.errors.ImageError: no such file: /nowhere/map.png
    """
    return map_of(read_picture(path))


def read_masks(paths: Sequence[str]) -> list[Picture | None]:
    """Read the files of masks, of either kind.

    Args:
        paths: of picture files; "-" or "none" for no mask.

    Returns:
        The pictures in the same order, None for no mask.

    Raises:
        ImageError: one is missing or unreadable.

    Example:
        >>> read_masks(["none", "-"])
        [None, None]
    """
    return [None if path.lower() in NO_MASK else read_picture(path) for path in paths]


def is_map(picture: Picture) -> bool:
    """Whether a picture is a map in colours, and not a soft mask.

    A soft mask has transparency, or only greys but for a thousandth of its pixels, as JPEG leaves.

    Args:
        picture: of the mask.
    """
    if picture.alpha is not None:
        return False
    tint = picture.pixels.amax(1) - picture.pixels.amin(1)
    return float((tint > _GREY).float().mean()) >= SMALLEST


def mask_of(picture: Picture) -> Tensor:
    """A picture as a soft mask; see `read_mask`."""
    return picture.pixels.mean(1, keepdim=True) if picture.alpha is None else picture.alpha


def map_of(picture: Picture) -> dict[str, Tensor]:
    """A picture as a map; see `read_map`."""
    pixels = (picture.pixels[0].permute(1, 2, 0) * 255).round().byte().contiguous().numpy()
    alpha = picture.alpha
    seen = np.ones(pixels.shape[:2], bool) if alpha is None else (alpha[0, 0] >= 0.5).numpy()
    if not seen.any():
        raise ImageError(
            f"the map {picture.path} is transparent all over", "paint each region in its own colour"
        )
    colours, nearest = main_colours(pixels, seen)
    flat = distance_from(pixels, colours[nearest])[seen] <= ALIKE
    if len(colours) > MOST_COLOURS or flat.mean() < _FLAT:
        raise ImageError(
            f"the map {picture.path} is not painted in at most {MOST_COLOURS} flat colours",
            "paint each region in one colour without shading, and save it as PNG",
        )
    masks = {}
    for number, colour in enumerate(colours):
        mask = from_numpy((nearest == number) & seen)[None, None].float()
        masks[f"#{bytes(colour).hex()}"] = mask
    return masks


def check_shape(
    mask: Size, picture: Size, *, name: str = "the mask", of: str = "the picture"
) -> None:
    """Make sure that a mask is of a picture's aspect; its size may be any.

    Args:
        mask: (height, width) of the mask.
        picture: (height, width) of the picture.
        name: of the mask, for messages.
        of: of the picture, for messages.

    Raises:
        ImageError: it is of another aspect, by more than 2% and more than rounding does.

    Example:
        >>> check_shape((37, 48), (72, 96))
        >>> check_shape((48, 48), (72, 96))
        Traceback (most recent call last):
        styler.errors.ImageError: the mask is 48×48, which is not the shape of the picture's 96×72
    """
    (height, width), (tall, wide) = mask, picture
    stretch = (width / height) / (wide / tall)
    # A side may be off by half a pixel at the smaller of the two sizes.
    allowed = max(ASPECT_TOLERANCE, 1 / min(height, width, tall, wide))
    if not 1 - allowed <= stretch <= 1 + allowed:
        raise ImageError(
            f"{name} is {width}×{height}, which is not the shape of {of}'s {wide}×{tall}",
            "crop or draw the mask on a copy of the picture; any size of that shape will do",
        )


def check_selects(mask: Tensor, name: str = "the mask") -> None:
    """Make sure that a mask is not black all over.

    Args:
        mask: (1, 1, H, W) in [0, 1].
        name: for messages.

    Raises:
        ImageError: it selects nothing.

    Example:
        >>> import torch
        >>> check_selects(torch.zeros(1, 1, 4, 4))
        Traceback (most recent call last):
        styler.errors.ImageError: the mask selects an empty region: it is black all over
    """
    if not float(mask.max()) > FAINT:
        raise ImageError(
            f"{name} selects an empty region: it is black all over",
            "paint white, or leave opaque in a file with transparency, where the region is",
        )
