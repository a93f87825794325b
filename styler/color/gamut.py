"""Colours that sRGB lacks, and the nearest that it has, along a path of one's choice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from styler.color._checks import check_same_size
from styler.color.oklab import from_oklab, linear_from_oklab, to_oklab
from styler.images.checks import check_picture

GAMUT_TOLERANCE = 1e-5
"""How far linear sRGB may be outside [0, 1]: float32 leaves as much, and it is a thirtieth of an
8-bit step where those are smallest."""
HALVINGS = 12
"""Of the path out of gamut: what remains of it is below an 8-bit step by far."""
NEUTRAL = 1e-6
"""What OKLab's a and b of a grey may be: float32 leaves 3e-7, other colours of 8 bits have 1e-3."""
LOST_CHROMA = 0.008
"""By how much rounding to 8 bits may change OKLab's a and b: near black, steps are larger."""
DARK = 0.15
"""Lightness from which no step of 8 bits is as large as that."""


def in_gamut(lab: Tensor) -> Tensor:
    """Where sRGB has a colour.

    Args:
        lab: (1, 3, H, W), OKLab.

    Returns:
        (1, 1, H, W), boolean.

    Raises:
        UsageError: the shape or type does not fit.

    Example:
        >>> lab = torch.tensor([[0.9, 0.9], [0.0, 0.2], [0.0, 0.1]]).view(1, 3, 1, 2)
        >>> in_gamut(lab)  # a light grey, and a red too light to be that red
        tensor([[[[ True, False]]]])
    """
    linear = linear_from_oklab(lab)
    inside = (linear >= -GAMUT_TOLERANCE) & (linear <= 1 + GAMUT_TOLERANCE)
    return inside.all(1, keepdim=True)


def into_gamut(lab: Tensor) -> Tensor:
    """Bring colours into sRGB by pulling their chroma towards grey, no farther than needed.

    Lightness and hue stay what they are. Clipping the channels of RGB instead would shift both.

    Args:
        lab: (1, 3, H, W), OKLab, finite.

    Returns:
        (1, 3, H, W), OKLab; lightness is clamped to [0, 1], colours in gamut are untouched.

    Raises:
        UsageError: the shape or type does not fit.

    Example:
        >>> lab = torch.tensor([0.9, 0.2, 0.1]).view(1, 3, 1, 1)
        >>> [round(value, 2) for value in into_gamut(lab).flatten().tolist()]
        [0.9, 0.05, 0.02]
    """
    check_picture("lab", lab)
    lightness = lab[:, :1].clamp(0, 1)
    wanted = torch.cat([lightness, lab[:, 1:]], dim=1)
    grey = torch.cat([lightness, torch.zeros_like(lab[:, 1:])], dim=1)
    return towards(wanted, grey)


def with_chroma_of(image: Tensor, colours: Tensor) -> Tensor:
    """One picture's lightness with the hue and chroma of another.

    Where sRGB lacks the colour at that lightness, such as a light blue as deep as a dark one, the
    lightness gives way: it moves towards that of `colours`, no farther than needed. So it does
    where it is so dark that the colour would be lost in 8 bits. Chroma never gives way: greys stay
    grey and nothing turns dull.

    Args:
        image: (1, 3, H, W) sRGB in [0, 1], gives the lightness.
        colours: (1, 3, H, W) likewise, gives OKLab's a and b.

    Returns:
        (1, 3, H, W) sRGB in [0, 1].

    Raises:
        UsageError: a shape or type does not fit, or the sizes differ.

    Example:
        >>> grey, red = torch.full((1, 3, 1, 1), 0.5), torch.tensor([0.8, 0.2, 0.2])
        >>> [round(v, 2) for v in with_chroma_of(grey, red.view(1, 3, 1, 1)).flatten().tolist()]
        [0.85, 0.26, 0.25]
    """
    check_picture("image", image)
    check_picture("colours", colours)
    check_same_size("colours", colours, "image", image)
    lightness, known = to_oklab(image.clamp(0, 1))[:, :1], to_oklab(colours.clamp(0, 1))
    possible = towards(torch.cat([lightness, known[:, 1:]], dim=1), known)
    return to_srgb(towards(possible, known, survives_rounding))


def survives_rounding(lab: Tensor) -> Tensor:
    """Where a colour is in gamut and still about the same once its channels have 8 bits.

    Args:
        lab: (1, 3, H, W), OKLab.

    Returns:
        (1, 1, H, W), boolean.

    Raises:
        UsageError: the shape or type does not fit.

    Example:
        >>> lab = torch.tensor([[0.02, 0.2], [0.01, 0.01], [0.0, 0.0]]).view(1, 3, 1, 2)
        >>> survives_rounding(lab)  # the first becomes black
        tensor([[[[False,  True]]]])
    """
    fits = in_gamut(lab)
    dark = (fits & (lab[:, :1] < DARK))[0, 0]
    if bool(dark.any()):
        own = lab[..., dark].unsqueeze(2)
        rounded = to_oklab((to_srgb(own) * 255).round() / 255)
        error = (rounded - own)[:, 1:].square().sum(1).sqrt()
        fits[0, 0, dark] = error.flatten() <= LOST_CHROMA
    return fits


def to_srgb(lab: Tensor) -> Tensor:
    """Convert colours that are in gamut to sRGB, without traces of rounding.

    Nothing is left outside of [0, 1], and greys have three equal channels, so that none of them is
    rounded to another level than the others.

    Args:
        lab: (1, 3, H, W), OKLab, in gamut.

    Returns:
        (1, 3, H, W) sRGB in [0, 1].

    Raises:
        UsageError: the shape or type does not fit.

    Example:
        >>> to_srgb(torch.zeros(1, 3, 1, 1)).flatten()
        tensor([0., 0., 0.])
    """
    image = from_oklab(lab).clamp(0, 1)
    neutral = (lab[:, 1:].abs() < NEUTRAL).all(1, keepdim=True)
    return torch.where(neutral, image[:, 1:2], image)


def towards(wanted: Tensor, known: Tensor, fits: Callable[[Tensor], Tensor] = in_gamut) -> Tensor:
    """Move colours that do not fit along straight lines until they do.

    Args:
        wanted: (1, 3, H, W), OKLab.
        known: (1, 3, H, W), OKLab, colours that fit: where each line ends.
        fits: from OKLab (1, 3, H, W) to booleans (1, 1, H, W).

    Returns:
        (1, 3, H, W): `wanted` wherever it fits, elsewhere a point that fits, next to one on the
        way to it that does not: to within 2^−`HALVINGS` of the line.

    Raises:
        UsageError: a shape or type does not fit.

    Example:
        >>> white, beyond = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1.5, 0.0, 0.0])
        >>> moved = towards(beyond.view(1, 3, 1, 1), white.view(1, 3, 1, 1))
        >>> [round(value, 3) for value in moved.flatten().tolist()]
        [1.0, 0.0, 0.0]
    """
    outside = ~fits(wanted)[0, 0]
    if not bool(outside.any()):
        return wanted
    start, end = wanted[..., outside].unsqueeze(2), known[..., outside].unsqueeze(2)
    out, inside = torch.zeros_like(start[:, :1]), torch.ones_like(start[:, :1])
    for _ in range(HALVINGS):
        middle = (out + inside) / 2
        good = fits(torch.lerp(start, end, middle))
        out, inside = torch.where(good, out, middle), torch.where(good, middle, inside)
    moved = wanted.clone()
    moved[..., outside] = torch.lerp(start, end, inside).squeeze(2)
    return moved
