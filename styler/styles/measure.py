"""What is measured of pictures for the sake of their style: sums of features, and colours."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from styler.errors import ImageError, UsageError
from styler.features import Extractor
from styler.images import resize
from styler.losses import FeatureSums, Moments, blend
from styler.regions.propagate import resize_mask
from styler.tiled_features import sums_of

Size = tuple[int, int]
"""(height, width) in pixels."""


def measure(
    pixels: Tensor, size: Size, extractor: Extractor, layers: Collection[str]
) -> dict[str, FeatureSums]:
    """The sums of a picture's features at a size: all that any style loss needs.

    Args:
        pixels: (1, 3, H, W) sRGB in [0, 1].
        size: (height, width) at which the network sees it.
        extractor: the network.
        layers: canonical names of its layers.

    Returns:
        By layer, with first and second sums, on the extractor's device.

    Raises:
        ImageError: the size is too small for a layer.
    """
    return sums_of(extractor, resize(pixels, size).to(extractor.device), layers)


def mix(parts: Sequence[FeatureSums], weights: Sequence[float]) -> FeatureSums:
    """Blend sums, with the weighted mean of their counts.

    Statistics that are divided by the count do not care for it; the Gram matrix that is not is then
    of the size that those of the parts have.

    Args:
        parts: of styles or scales, batch 1.
        weights: how much of each, 0 or more, with the sum 1.

    Returns:
        The sums of one picture.
    """
    count = sum(w * float(part.count) for part, w in zip(parts, weights, strict=True))
    return blend(parts, weights).map(lambda tensor: tensor * count)


def colours_of(pixels: Tensor, mask: Tensor | None = None) -> Moments:
    """Mean and covariance of a picture's colours, divided by the number of pixels less one.

    Args:
        pixels: (1, 3, H, W) sRGB in [0, 1].
        mask: (1, 1, any, any) in [0, 1], the pixels' weights; None is 1 everywhere. With weights
            of 0 and 1 the result is that of the pixels of weight 1.

    Returns:
        Mean (1, 3) and covariance (1, 3, 3), on the CPU.

    Example:
        >>> black_and_white = torch.tensor([0.0, 1.0, 1.0]).expand(1, 3, 1, 3)
        >>> colours_of(black_and_white, torch.tensor([[[[0.0, 1.0, 1.0]]]])).mean
        tensor([[1., 1., 1.]])
    """
    colours = pixels[0].flatten(1).cpu()
    if mask is None:
        return Moments(colours.mean(1)[None], torch.cov(colours)[None])
    weight = resize_mask(mask.cpu(), (pixels.shape[-2], pixels.shape[-1])).flatten().double()
    total = weight.sum()
    mean = (colours * weight).sum(1) / total
    apart = colours - mean[:, None]
    # Less one where all weights are 1; a single pixel has no covariance.
    degrees = (total - weight.square().sum() / total).clamp_min(1e-6)
    covariance = (apart * weight) @ apart.T / degrees
    return Moments(mean[None].to(pixels.dtype), covariance[None].to(pixels.dtype))


def checked_mask(mask: Tensor) -> Tensor:
    """The mask of a style.

    Args:
        mask: (1, 1, H, W) in [0, 1].

    Returns:
        The same in float32, on the CPU.

    Raises:
        UsageError: it has another shape, type or range.
        ImageError: it selects nothing.
    """
    if mask.ndim != 4 or mask.shape[:2] != (1, 1) or not mask.is_floating_point():
        raise UsageError(
            f"the mask of a style is {mask.dtype} {tuple(mask.shape)}, expected float (1, 1, H, W)",
            "styler.regions.read.read_mask gives it that form",
        )
    if not bool(((mask >= 0) & (mask <= 1)).all()):  # false for NaN, too
        raise UsageError("the mask of a style has values outside of [0, 1]")
    if not float(mask.sum()) > 0:
        raise ImageError("the mask of a style selects nothing", "paint white what counts of it")
    return mask.cpu().float()
