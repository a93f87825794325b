"""Checks of pictures that callers hand to the functions on colours."""

from __future__ import annotations

from torch import Tensor

from styler.errors import UsageError


def check_same_size(name: str, picture: Tensor, other: str, wanted: Tensor) -> None:
    """Raise unless two pictures have one size."""
    if picture.shape[-2:] != wanted.shape[-2:]:
        (height, width), (rows, columns) = picture.shape[-2:], wanted.shape[-2:]
        raise UsageError(
            f"{name} is {height}×{width}, expected the size of {other}, {rows}×{columns}",
            "styler.images.resize makes them equal",
        )
