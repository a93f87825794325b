"""What every decoder hands over, and the limits they share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from styler.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The most pixels a picture may have; guards against files made to exhaust the memory.
MAX_PIXELS = 500_000_000


@dataclass(frozen=True, kw_only=True)
class Raster:
    """A decoded picture in the file's own colours, as stored (not yet turned upright).

    Args:
        samples: (H, W, C) in [0, 1], straight (not premultiplied): C is 1 gray, 3 RGB or 4 CMYK
            with 0 for no ink.
        alpha: (H, W) in [0, 1], or None.
        bit_depth: 8 or 16.
        icc_profile: the embedded profile, of any kind.
        exif: the EXIF block or TIFF file, as found.
        orientation: 1 to 8 where the format itself has it, None where only EXIF tells.
    """

    samples: NDArray[np.float32]
    alpha: NDArray[np.float32] | None
    bit_depth: int
    icc_profile: bytes | None = None
    exif: bytes | None = None
    orientation: int | None = None


def require_size(width: int, height: int) -> None:
    """Refuse sizes that are empty or too large, before anything is decoded.

    Raises:
        ImageError: with a message that starts with the size.
    """
    if width < 1 or height < 1:
        raise ImageError(f"the picture is {width}×{height}, without pixels", "use another file")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"the picture claims {width}×{height} pixels, above the limit of "
            f"{MAX_PIXELS / 1e6:g} million",
            "shrink it first, or raise styler.images.raster.MAX_PIXELS if the file can be trusted",
        )


def split_alpha(
    values: NDArray[Any],
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, int]:
    """Scale unsigned samples to [0, 1] and take the alpha from gray+alpha or RGBA.

    Args:
        values: (H, W) or (H, W, 1 to 4), uint8 or uint16.

    Returns:
        Samples (H, W, 1 or 3), alpha (H, W) or None, and the bit depth.
    """
    values = values[:, :, None] if values.ndim == 2 else values
    scaled = values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    bits = 8 * values.dtype.itemsize
    if values.shape[2] in (2, 4):
        return scaled[:, :, :-1], scaled[:, :, -1], bits
    return scaled, None, bits


def turn_upright(raster: Raster, orientation: int) -> Raster:
    """Apply an EXIF orientation, 1 to 8."""
    alpha = None if raster.alpha is None else _turn(raster.alpha, orientation)
    return replace(raster, samples=_turn(raster.samples, orientation), alpha=alpha, orientation=1)


def _turn(array: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Orientations name where the stored rows and columns lie: 2 to 4 keep, 5 to 8 swap them."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array
