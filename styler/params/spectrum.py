"""Magnitudes of the Fourier coefficients of natural pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from styler.errors import UsageError
from styler.images import resize
from styler.params.color import uncorrelate
from styler.params.fourier import frequencies

FIT = (
    (4.934, 1.333, 0.200, -0.047),
    (4.635, 1.347, 0.178, -0.043),
    (4.489, 1.243, 0.150, -0.040),
)
"""Of each uncorrelated colour: a, b, c, d in ``log magnitude = a − b·log k + c·cos 4θ + d·cos 2θ``
with k cycles per side of a square with as many pixels, and θ the direction of the wave, fitted to
the mean over 250 square photographs of `FIT_SIDE` pixels a side, each through `waves_of`. It leaves
a deviation of 13 to 19 percent."""

FIT_SIDE = 224
MARGIN = 0.02
"""Pixels of the photographs nearer to 0 or 1 than this were moved in, as the logit of 0 and 1 is
infinite."""


def natural_magnitude(size: tuple[int, int]) -> Tensor:
    """The mean magnitudes of photographs, from a formula.

    Args:
        size: (height, width) of the picture.

    Returns:
        (3, height, width // 2 + 1), of orthonormal coefficients; the constant has none.

    Example:
        >>> magnitude = natural_magnitude((64, 64))
        >>> magnitude.shape, bool(magnitude[0, 0, 1] > magnitude[0, 0, 10])
        (torch.Size([3, 64, 33]), True)
    """
    height, width = size
    side = math.sqrt(height * width)
    # Nature does not know the picture's aspect: what counts is the wave's length in pixels.
    cycles = frequencies(size) * side
    down = torch.fft.fftfreq(height)[:, None]
    right = torch.fft.rfftfreq(width)[None, :]
    direction = torch.atan2(down.abs().expand_as(cycles), right.expand_as(cycles))
    fit = torch.tensor(FIT).view(3, 4, 1, 1)
    logarithm = (
        fit[:, 0]
        - fit[:, 1] * cycles.clamp_min(side / max(size)).log()
        + fit[:, 2] * (4 * direction).cos()
        + fit[:, 3] * (2 * direction).cos()
    )
    # The same picture on more pixels has larger coefficients: their squares add up to the pixels'.
    magnitude = logarithm.exp() * side / FIT_SIDE
    return torch.where(cycles > 0, magnitude, torch.zeros_like(magnitude))


def mean_magnitude(pictures: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """The mean magnitudes of somebody's own pictures.

    Args:
        pictures: (1, 3, any, any) in [0, 1]; their largest centred part of the size's aspect is
            taken.
        size: (height, width).

    Returns:
        (3, height, width // 2 + 1), of orthonormal coefficients; the constant has none.

    Raises:
        UsageError: there are no pictures.
    """
    total, count = torch.zeros(3, size[0], size[1] // 2 + 1), 0
    for picture in pictures:
        total += torch.fft.rfft2(waves_of(_centred(picture, size)), norm="ortho")[0].abs()
        count += 1
    if not count:
        raise UsageError("a spectrum needs at least one picture")
    total[:, 0, 0] = 0.0
    return total / count


def waves_of(picture: Tensor) -> Tensor:
    """What a parameterisation with a sigmoid sums up: logits in the uncorrelated basis."""
    return uncorrelate(torch.logit(picture.clamp(MARGIN, 1 - MARGIN)))


def _centred(picture: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = picture.shape[-2:]
    share = min(height / size[0], width / size[1])
    rows, columns = max(1, round(size[0] * share)), max(1, round(size[1] * share))
    top, left = (height - rows) // 2, (width - columns) // 2
    return resize(picture[..., top : top + rows, left : left + columns], size)
