"""OKLab: a space in which lightness, chroma and hue are what they look like.

Distances in it are near to seen differences, and unlike in CIELAB, blue does not turn purple when
its lightness or chroma is changed, which is what is done to colours here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from styler.images.checks import check_picture

_TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
"""From linear sRGB to responses of the eye's cones."""
_TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
"""From cube roots of these to lightness, green-red and blue-yellow."""


def to_oklab(image: Tensor) -> Tensor:
    """Convert sRGB to OKLab.

    Args:
        image: (1, 3, H, W) sRGB, floating point.

    Returns:
        (1, 3, H, W): lightness L in [0, 1], a (green to red) and b (blue to yellow), each within
        ±0.4 for sRGB; 0 for greys. float64 for a float64 image, else float32.

    Raises:
        UsageError: the shape or type does not fit.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> [round(value, 3) for value in to_oklab(red).flatten().tolist()]
        [0.628, 0.225, 0.126]

    References:
        Ottosson, "A perceptual color space for image processing", 2020,
        bottosson.github.io/posts/oklab; IEC 61966-2-1 (sRGB).
    """
    check_picture("image", image)
    wide = image.to(torch.promote_types(image.dtype, torch.float32))
    return _mixed(_cube_root(_mixed(_linear(wide), _TO_CONES)), _TO_LAB)


def from_oklab(lab: Tensor) -> Tensor:
    """Convert OKLab to sRGB: the exact inverse of `to_oklab`.

    Args:
        lab: (1, 3, H, W) as `to_oklab` gives.

    Returns:
        (1, 3, H, W) sRGB, outside [0, 1] for colours that sRGB lacks: see
        `styler.color.into_gamut`.

    Raises:
        UsageError: the shape or type does not fit.

    Example:
        >>> grey = torch.tensor([0.5, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> [round(value, 3) for value in from_oklab(grey).flatten().tolist()]
        [0.389, 0.389, 0.389]
    """
    linear = linear_from_oklab(lab)
    curved = 1.055 * linear.clamp_min(0.0031308).pow(1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, curved)


def linear_from_oklab(lab: Tensor) -> Tensor:
    """Convert OKLab to linear sRGB, which is in [0, 1] for the same colours as sRGB.

    Args:
        lab: (1, 3, H, W) as `to_oklab` gives.

    Returns:
        (1, 3, H, W), linear sRGB.

    Raises:
        UsageError: the shape or type does not fit.

    Example:
        >>> white = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> [round(value, 3) for value in linear_from_oklab(white).flatten().tolist()]
        [1.0, 1.0, 1.0]
    """
    check_picture("lab", lab)
    wide = lab.to(torch.promote_types(lab.dtype, torch.float32))
    return _mixed(_mixed(wide, _TO_LAB, inverse=True).pow(3), _TO_CONES, inverse=True)


def _linear(image: Tensor) -> Tensor:
    curved = ((image.clamp_min(0.04045) + 0.055) / 1.055).pow(2.4)
    return torch.where(image <= 0.04045, image / 12.92, curved)


def _cube_root(values: Tensor) -> Tensor:
    return values.abs().pow(1 / 3).copysign(values)


def _mixed(image: Tensor, rows: tuple[tuple[float, ...], ...], inverse: bool = False) -> Tensor:
    """Channels mixed by a matrix, whose inverse is taken in double precision."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    if inverse:
        matrix = torch.linalg.inv(matrix)
    matrix = matrix.to(image)
    return (matrix @ image.flatten(2)).view(image.shape)
