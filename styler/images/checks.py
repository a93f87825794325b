"""Checks of pictures that callers hand over as tensors."""

from __future__ import annotations

from torch import Tensor

from styler.errors import UsageError


def check_picture(name: str, picture: Tensor) -> None:
    """Make sure that a tensor is a picture.

    Args:
        name: what the picture is for.
        picture: (1, 3, H, W), floating point, with at least one pixel.

    Raises:
        UsageError: it has another shape or type.
    """
    shape = tuple(picture.shape)
    if len(shape) != 4 or shape[:2] != (1, 3) or 0 in shape or not picture.is_floating_point():
        raise UsageError(
            f"{name} is {picture.dtype} {shape}, expected float (1, 3, H, W)",
            "styler.images.read_picture(path).pixels has the right form",
        )
