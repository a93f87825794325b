"""Attributions as people look at them: heat over a grey photograph, or gradients as colours."""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from styler.attribution.methods import Attribution
from styler.color.oklab import from_oklab, to_oklab
from styler.images import check_picture

PERCENTILE = 99.5
"""Of the absolute values of a map or a gradient: what is shown at full strength. A few pixels that
stand out would else leave the rest pale."""

_SMOOTHING = 1 / 50
"""Standard deviation with which what occlusion gives is smoothed to be shown, as a share of the
shorter side: its squares leave steps."""

_HEAT = ((0.30, 0.12, 290), (0.51, 0.20, 350), (0.72, 0.17, 45), (0.93, 0.14, 100))
"""Lightness, chroma and hue in degrees, in OKLab, from little to much: violet, pink, orange,
yellow. Lightness rises evenly."""
_AGAINST, _FOR = (0.55, 0.17, 255), (0.60, 0.21, 28)
"""Blue and red, for what speaks against a unit and for it."""
_COLOURS = 256
_DARKEST, _SPAN = 0.20, 0.55
"""Lightness of black in the grey photograph, and from there to white: colours stand out of it."""
_OPAQUE = 0.85
"""Share of the colour at full strength; the rest is the photograph."""
_RISE = 0.7
"""Power with which opacity rises: below 1, so that what is weak can be seen, too."""
_BAND = 256
"""Rows of a photograph that are coloured at a time: in OKLab they take much memory."""
_COLOURED = ("guided", "deconv")
"""Methods whose gradients are looked at as pictures: the rules leave edges that have colours."""


def picture_of(found: Attribution, photograph: Tensor) -> Tensor:
    """An attribution for people.

    What guided backpropagation and deconvnets give is shown as a picture in which grey is zero,
    all else as heat over the photograph in grey. From violet to yellow it says how much a unit's
    activation depends on a place, whichever way. Of occlusion, whose maps say which way over whole
    areas, what speaks for the unit is red and what speaks against it blue; in integrated gradients
    the two alternate from pixel to pixel.

    Args:
        found: the attribution, at any size.
        photograph: (1, 3, H, W), sRGB in [0, 1].

    Returns:
        (1, 3, H, W), sRGB in [0, 1].

    Raises:
        UsageError: the photograph is no picture.

    Example:
        >>> from styler.attribution import attribute
        >>> from styler.features import load_extractor
        >>> image = torch.rand(1, 3, 32, 32)
        >>> found = attribute(image, load_extractor("vgg-lite"), "relu2_1:3")
        >>> picture_of(found, torch.rand(1, 3, 50, 60)).shape
        torch.Size([1, 3, 50, 60])
    """
    check_picture("photograph", photograph)
    size = (photograph.shape[-2], photograph.shape[-1])
    if found.method in _COLOURED and found.raw is not None:
        return (0.5 + 0.5 * enlarged(normalised(found.raw), size)).clamp(0, 1)
    if found.method == "occlusion":
        strength, colours = normalised(smoothed(found.map)), _signed_colours
    else:
        strength, colours = normalised(found.map.abs()), _colours_of
    bands = zip(
        torch.split(enlarged(strength, size), _BAND, dim=2),
        torch.split(photograph, _BAND, dim=2),
        strict=True,
    )
    return torch.cat([_laid_over(below, colours(band), band.abs()) for band, below in bands], dim=2)


def normalised(values: Tensor) -> Tensor:
    """Values divided by a high percentile of their absolute values, clamped to [−1, 1].

    Args:
        values: of any shape.

    Returns:
        Of the same shape; zeros where all are zero.

    Example:
        >>> normalised(torch.tensor([0.0, -2.0, 1.0]))
        tensor([ 0.0000, -1.0000,  0.5000])
    """
    sizes = values.abs().flatten()
    rank = math.ceil(PERCENTILE / 100 * sizes.numel())
    most = sizes.kthvalue(rank).values
    # Where nearly all is zero, the percentile may be, too.
    most = most if float(most) > 0 else sizes.amax()
    return (values / most.clamp_min(torch.finfo(values.dtype).tiny)).clamp(-1, 1)


def enlarged(values: Tensor, size: tuple[int, int]) -> Tensor:
    """A map or a gradient at a photograph's size, by linear interpolation, without overshoot.

    Args:
        values: (1, C, h, w), any numbers.
        size: (height, width) in pixels.

    Returns:
        (1, C, height, width). When it shrinks, pixels are averaged.
    """
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    return F.interpolate(values, size, mode="bilinear", align_corners=False, antialias=True)


@functools.cache
def heat_colours() -> Tensor:
    """Colours from little to much, whose lightness rises evenly.

    Returns:
        (256, 3), sRGB in [0, 1].

    Example:
        >>> heat_colours().shape
        torch.Size([256, 3])
    """
    anchors = torch.tensor([_lab(*anchor) for anchor in _HEAT]).T[None]
    lab = F.interpolate(anchors, _COLOURS, mode="linear", align_corners=True)
    return from_oklab(lab[..., None])[0, :, :, 0].T.clamp(0, 1).contiguous()


def _lab(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    angle = math.radians(hue)
    return lightness, chroma * math.cos(angle), chroma * math.sin(angle)


def smoothed(values: Tensor) -> Tensor:
    """Values averaged over their surroundings, with the weights of a Gaussian.

    Args:
        values: (1, 1, h, w), any numbers.

    Returns:
        (1, 1, h, w).

    Example:
        >>> smoothed(torch.ones(1, 1, 5, 9)).shape
        torch.Size([1, 1, 5, 9])
    """
    deviation = _SMOOTHING * min(values.shape[-2:])
    reach = math.ceil(3 * deviation)
    offsets = torch.arange(-reach, reach + 1, dtype=values.dtype)
    kernel = torch.exp(-0.5 * (offsets / max(deviation, 1e-6)).square())
    kernel = (kernel / kernel.sum()).view(1, 1, -1, 1)
    rows = F.conv2d(F.pad(values, (0, 0, reach, reach), mode="replicate"), kernel)
    return F.conv2d(F.pad(rows, (reach, reach, 0, 0), mode="replicate"), kernel.mT)


def _colours_of(strength: Tensor) -> Tensor:
    places = (strength[0, 0] * (_COLOURS - 1)).round().long()
    return heat_colours()[places].permute(2, 0, 1)[None]


def _signed_colours(strength: Tensor) -> Tensor:
    ends = [torch.tensor(_lab(*colour)).view(1, 3, 1, 1) for colour in (_AGAINST, _FOR)]
    against, speaks_for = (from_oklab(end).clamp(0, 1) for end in ends)
    return torch.where(strength < 0, against, speaks_for)


def _laid_over(photograph: Tensor, colours: Tensor, strength: Tensor) -> Tensor:
    """Colours over a grey photograph, (1, 3, H, W), the more opaque the stronger, in [0, 1]."""
    lab = to_oklab(photograph)
    lab[:, :1] = _DARKEST + _SPAN * lab[:, :1]
    lab[:, 1:] = 0
    opacity = _OPAQUE * strength.pow(_RISE)
    return torch.lerp(from_oklab(lab), colours, opacity).clamp(0, 1)
