"""Sizes and resampling."""

from __future__ import annotations

from math import gcd

from torch import Tensor
from torch.nn import functional as F

from styler.errors import UsageError


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample pictures to a size, without aliasing and without overshoot.

    Bicubic interpolation whose kernel widens when shrinking (`antialias=True`), so that fine
    texture is averaged instead of folded into false patterns. Bicubic kernels overshoot at edges;
    the result is clamped to [0, 1]. Differentiable in `image`.

    Args:
        image: (B, C, H, W), floating point, values in [0, 1].
        size: (height, width) in pixels, each at least 1.

    Returns:
        (B, C, height, width); `image` itself when the size is already right.

    Raises:
        UsageError: `image` is not a floating (B, C, H, W) tensor, or `size` is below 1.

    Example:
        >>> import torch
        >>> resize(torch.full((1, 3, 8, 8), 0.25), (3, 5)).shape
        torch.Size([1, 3, 3, 5])
    """
    if image.ndim != 4 or not image.is_floating_point():
        raise UsageError(
            f"resize expects a floating (B, C, H, W) tensor, got {image.dtype} "
            f"of shape {tuple(image.shape)}"
        )
    height, width = size
    if height < 1 or width < 1:
        raise UsageError(f"a picture's sides are at least 1 pixel, got {height}×{width}")
    if tuple(image.shape[-2:]) == (height, width):
        return image
    resampled = F.interpolate(
        image, size=(height, width), mode="bicubic", antialias=True, align_corners=False
    )
    return resampled.clamp(0.0, 1.0)


def resize_wrapped(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The same for a picture that is tiled: its opposite borders are neighbours and stay so.

    Args:
        image: (B, C, H, W), floating point, values in [0, 1].
        size: (height, width) in pixels, each at least 1.

    Returns:
        (B, C, height, width); `image` itself when the size is already right.

    Raises:
        UsageError: as `resize` does.

    Example:
        >>> import torch
        >>> ramp = torch.arange(8.0).expand(1, 1, 8, 8) / 8
        >>> turned = resize_wrapped(ramp.roll(2, 3), (16, 16)).roll(-4, 3)
        >>> torch.allclose(turned, resize_wrapped(ramp, (16, 16)), atol=1e-6)
        True
    """
    own = (image.shape[-2], image.shape[-1])
    if own == tuple(size):
        return image
    # As many pixels on each side as become whole pixels of the result: none is moved by a part.
    rows, columns = (_margin(a, b) for a, b in zip(own, size, strict=True))
    padded = F.pad(image, (columns, columns, rows, rows), mode="circular")
    enlarged = [b * (a + 2 * k) // a for a, b, k in zip(own, size, (rows, columns), strict=True)]
    found = resize(padded, (enlarged[0], enlarged[1]))
    top, left = rows * size[0] // own[0], columns * size[1] // own[1]
    return found[..., top : top + size[0], left : left + size[1]]


def _margin(own: int, wanted: int) -> int:
    """The least number of pixels that becomes a whole number, and no kernel reaches beyond."""
    unit = own // gcd(own, wanted)
    reach = max(4, 4 * own // max(1, wanted))
    return min(own, -(-reach // unit) * unit)


def shrink(image: Tensor, side: int) -> Tensor:
    """A picture whose longer side is at most so long; a smaller one stays as it is.

    Args:
        image: (B, C, H, W), floating point, values in [0, 1].
        side: in pixels, at least 1.

    Example:
        >>> import torch
        >>> shrink(torch.zeros(1, 3, 30, 40), 20).shape, shrink(torch.zeros(1, 3, 3, 4), 20).shape
        (torch.Size([1, 3, 15, 20]), torch.Size([1, 3, 3, 4]))
    """
    own = (image.shape[-2], image.shape[-1])
    return resize(image, fit_long_side(own, min(side, max(own))))


def fit_long_side(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size with the same aspect whose longer side is `side`.

    Args:
        size: (height, width) in pixels.
        side: the longer side wanted, in pixels; may enlarge.

    Returns:
        (height, width), rounded, at least 1 pixel each.

    Raises:
        UsageError: a side is below 1.

    Example:
        >>> fit_long_side((3000, 4000), 1024)
        (768, 1024)
    """
    if min(size) < 1 or side < 1:
        raise UsageError(
            f"a picture's sides are at least 1 pixel, got {size[0]}×{size[1]} to fit {side}"
        )
    longest = max(size)
    # Integers only: (2·n·side + longest) // (2·longest) is n·side/longest rounded half up.
    height, width = (max(1, (2 * n * side + longest) // (2 * longest)) for n in size)
    return height, width
