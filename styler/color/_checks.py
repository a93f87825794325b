"""Checks of pictures that callers hand to the functions on colours."""

from __future__ import annotations

from torch import Tensor

from styler.errors import UsageError


def check_picture(name: str, picture: Tensor) -> None:
    """Raise unless `picture` is a floating (1, 3, H, W) tensor with at least one pixel."""
    shape = tuple(picture.shape)
    if len(shape) != 4 or shape[:2] != (1, 3) or 0 in shape or not picture.is_floating_point():
        raise UsageError(
            f"{name} is {picture.dtype} {shape}, expected float (1, 3, H, W)",
            "styler.images.read_picture(path).pixels has the right form",
        )


def check_same_size(name: str, picture: Tensor, other: str, wanted: Tensor) -> None:
    """Raise unless two pictures have one size."""
    if picture.shape[-2:] != wanted.shape[-2:]:
        (height, width), (rows, columns) = picture.shape[-2:], wanted.shape[-2:]
        raise UsageError(
            f"{name} is {height}×{width}, expected the size of {other}, {rows}×{columns}",
            "styler.images.resize makes them equal",
        )
