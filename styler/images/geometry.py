"""Sizes and resampling."""

from __future__ import annotations

import torch
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
    _check_resize(image, size)
    height, width = size
    if tuple(image.shape[-2:]) == (height, width):
        return image
    resampled = F.interpolate(
        image, size=(height, width), mode="bicubic", antialias=True, align_corners=False
    )
    return resampled.clamp(0.0, 1.0)


def _check_resize(image: Tensor, size: tuple[int, int]) -> None:
    if image.ndim != 4 or not image.is_floating_point():
        raise UsageError(
            f"resize expects a floating (B, C, H, W) tensor, got {image.dtype} "
            f"of shape {tuple(image.shape)}"
        )
    if min(size) < 1:
        raise UsageError(f"a picture's sides are at least 1 pixel, got {size[0]}×{size[1]}")


def resize_wrapped(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The same for a picture that is tiled: its opposite borders are neighbours and stay so.

    Such a picture is a sum of waves, of which the result has those that it can hold. Interpolation
    by a short kernel would leave every other line of a picture that is doubled smoother than the
    rest.

    Args:
        image: (B, C, H, W), floating point, values in [0, 1].
        size: (height, width) in pixels, each at least 1.

    Returns:
        (B, C, height, width) in [0, 1]; `image` itself when the size is already right.

    Raises:
        UsageError: as `resize` does.

    Example:
        >>> import torch
        >>> wave = 0.5 + 0.4 * torch.sin(torch.arange(8.0) / 8 * 2 * torch.pi).expand(1, 1, 8, 8)
        >>> found = resize_wrapped(wave, (16, 16))
        >>> place = (torch.arange(16.0) + 0.5) / 2 - 0.5  # centres of the new pixels
        >>> torch.allclose(found[0, 0, 0], 0.5 + 0.4 * torch.sin(place / 8 * 2 * torch.pi))
        True
    """
    _check_resize(image, size)
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    found = image.to(torch.promote_types(image.dtype, torch.float32))
    for dim in (-2, -1):
        found = _resample_waves(found, dim, size[dim])
    return found.clamp(0.0, 1.0).to(image.dtype)


def _resample_waves(image: Tensor, dim: int, side: int) -> Tensor:
    """Another number of samples of a periodic signal along one dimension."""
    own = image.shape[dim]
    if own == side:
        return image
    waves = torch.fft.rfft(image, dim=dim, norm="forward")
    kept = (min(own, side) + 1) // 2  # without the highest of an even number, which has no phase
    waves = waves.narrow(dim, 0, kept)
    shape = [1] * image.ndim
    shape[dim] = kept
    # The centres of the first pixels lie apart, by so much of the period.
    offset = 0.5 / side - 0.5 / own
    angle = 2 * torch.pi * offset * torch.arange(kept, device=image.device, dtype=image.dtype)
    turned = waves * torch.polar(torch.ones_like(angle), angle).view(shape)
    found: Tensor = torch.fft.irfft(turned, n=side, dim=dim, norm="forward")
    return found


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
