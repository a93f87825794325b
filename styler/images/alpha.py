"""Colours for pixels that cannot be seen."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from styler.errors import UsageError

_UNKNOWN = 0.5  # mid grey, where not a single pixel can be seen


def fill_transparent(pixels: Tensor, alpha: Tensor) -> Tensor:
    """Replace the colours of fully transparent pixels by those of visible neighbours.

    Editors leave anything under alpha 0, often black or remnants of erased objects; a network sees
    those colours although no one else does. The fill is a pull-push pyramid: colours weighted by
    alpha are averaged over 2×2 blocks until a single pixel is left, then each level takes what it
    lacks from the coarser one. The nearest visible colours dominate and the fill is smooth.

    Args:
        pixels: (B, C, H, W), floating point, values in [0, 1].
        alpha: (B, 1, H, W), 0 for invisible to 1 for opaque.

    Returns:
        (B, C, H, W): `pixels` wherever alpha > 0, else a weighted mean of visible colours
        (mid grey in a picture without any).

    Raises:
        UsageError: the shapes do not fit.

    Example:
        >>> row = torch.tensor([[[[0.2, 0.9, 0.4]]]])
        >>> seen = torch.tensor([[[[1.0, 0.0, 1.0]]]])
        >>> bool(0.2 <= fill_transparent(row, seen)[0, 0, 0, 1] <= 0.4)
        True

    References:
        Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.3 (pull-push). Departure: weights
        are not saturated on the way down, as only empty pixels are filled on the way up.
    """
    batch, _, height, width = pixels.shape
    if alpha.shape != (batch, 1, height, width):
        raise UsageError(
            f"alpha of shape {tuple(alpha.shape)} does not fit pixels of shape "
            f"{tuple(pixels.shape)}"
        )
    if bool((alpha > 0).all()):
        return pixels
    # Hidden values are dropped, not multiplied by 0: 0 × NaN is NaN.
    visible = torch.where(alpha > 0, pixels * alpha, 0.0)
    # Interpolation weights may add up to a hair above 1.
    return torch.where(alpha > 0, pixels, _pull_push(visible, alpha).clamp(0.0, 1.0))


def _pull_push(weighted: Tensor, weight: Tensor) -> Tensor:
    """Colours for every pixel from colour × weight and weight."""
    colour = torch.where(weight > 0, weighted / weight.clamp_min(1e-30), _UNKNOWN)
    height, width = weight.shape[-2:]
    if max(height, width) == 1 or bool((weight > 0).all()):
        return colour
    # The counts of cut-off blocks at the borders cancel in colour = weighted / weight.
    coarse = _pull_push(
        F.avg_pool2d(weighted, 2, ceil_mode=True), F.avg_pool2d(weight, 2, ceil_mode=True)
    )
    spread = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return torch.where(weight > 0, colour, spread)
