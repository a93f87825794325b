"""Giving a picture the colours of another: by quantiles, by mean and covariance, by lightness."""

from __future__ import annotations

import torch
from torch import Tensor

from styler.color.gamut import into_gamut, to_srgb
from styler.color.oklab import to_oklab
from styler.errors import UsageError
from styler.images.checks import check_picture

QUANTILES = 2**16
"""At most so many quantiles of a target are kept: 65536 of them leave no step to be seen."""
TARGET_VALUES = 2**20
"""At most so many values of a target are sorted."""
SAME = 2e-6
"""Values nearer than this are one value: equal colours may differ by 3e-7 in float32. An 8-bit step
is a hundred times as large where it is smallest."""
LEAST_SPREAD = 1 / 255
"""Standard deviation in OKLab below which colours count as flat: an 8-bit step. What noise there is
in a grey picture is not made into colours: it is enlarged as if it were as large as this."""


def match_histogram(image: Tensor, target: Tensor) -> Tensor:
    """Give each channel of OKLab the distribution that it has in another picture.

    Value by value: the value at a quantile of the picture becomes the value at that quantile of the
    target, so that equal values stay equal and their order is kept. Channels are matched one by
    one; what of their combination sRGB lacks loses chroma, see `styler.color.into_gamut`. A channel
    that is flat but for noise, such as the tints of a grey picture, gets the target's mean.

    Args:
        image: (1, 3, H, W) sRGB in [0, 1].
        target: (1, 3, any, any) likewise.

    Returns:
        (1, 3, H, W) sRGB in [0, 1].

    Raises:
        UsageError: a shape or type does not fit.

    Example:
        >>> ramp = torch.linspace(0.2, 0.4, 16).expand(1, 3, 4, 16)
        >>> matched = match_histogram(ramp, torch.linspace(0.5, 0.9, 32).expand(1, 3, 1, 32))
        >>> [round(value.item(), 2) for value in (matched.min(), matched.max())]
        [0.51, 0.89]

    References:
        Gatys et al., arXiv 1606.05897, section 3, who match RGB histograms; Neumann, Neumann,
        "Color Style Transfer Techniques using Hue, Lightness and Saturation Histogram Matching",
        2005. Departures: OKLab, quantiles instead of bins, and what is said of noise: a channel
        with a spread below `LEAST_SPREAD` gets as much less of the target's.
    """
    lab, wanted = _both(image, target)
    channels = zip(lab.flatten(2)[0], wanted.flatten(2)[0], strict=True)
    matched = torch.stack([_match_channel(own, other) for own, other in channels])
    return to_srgb(into_gamut(matched.view(lab.shape)))


def match_quantiles(values: Tensor, target: Tensor) -> Tensor:
    """Give values the distribution of others, in their own order.

    Quantiles of n values are at (i + ½)/n, those between are interpolated. Values that are equal,
    to within `SAME`, share the middle of their quantiles.

    Args:
        values: (N,), floating point.
        target: (M,) likewise; of more than 2²⁰, evenly spread ones are taken.

    Returns:
        (N,).

    Raises:
        UsageError: there are no values.

    Example:
        >>> match_quantiles(torch.tensor([3.0, 1.0, 2.0, 2.0]), torch.tensor([10.0, 20, 30, 40]))
        tensor([40., 10., 25., 25.])
    """
    if not (len(values) and len(target)):
        raise UsageError(f"{len(values)} values matched to {len(target)}, expected at least one")
    _, place, counts = torch.unique(
        (values / SAME).round(), return_inverse=True, return_counts=True
    )
    middle = (counts.cumsum(0) - counts / 2).double() / len(values)
    known = _spread(target, TARGET_VALUES).sort().values
    known = known if len(known) <= QUANTILES else _interpolated(known, _middles(known))
    return _interpolated(known, middle)[place]


def match_covariance(image: Tensor, target: Tensor) -> Tensor:
    """Give OKLab the mean and covariance that it has in another picture, by a linear map.

    Of all linear maps that do so, this one moves colours least (in the mean of their squared
    distance); it is symmetric and turns no hue without need. A grey picture gets tints that follow
    its lightness as those of the target do, a grey target makes a picture grey. What sRGB lacks of
    the result loses chroma, see `styler.color.into_gamut`.

    Args:
        image: (1, 3, H, W) sRGB in [0, 1].
        target: (1, 3, any, any) likewise.

    Returns:
        (1, 3, H, W) sRGB in [0, 1].

    Raises:
        UsageError: a shape or type does not fit.

    Example:
        >>> own, other = torch.rand(2, 1, 3, 8, 8) * 0.2 + 0.4
        >>> matched = match_covariance(own, other)
        >>> difference = to_oklab(matched).mean((2, 3)) - to_oklab(other).mean((2, 3))
        >>> bool(difference.abs().max() < 1e-3)
        True

    References:
        Gatys et al., arXiv 1606.05897, section 3; Pitié, Kokaram, "The linear Monge–Kantorovitch
        linear colour mapping for example-based colour transfer", 2007. Departures: OKLab instead
        of RGB, and their map in place of the Cholesky factors or principal axes of the former,
        which turn hues; spreads below `LEAST_SPREAD` are not enlarged beyond what that would be.
    """
    lab, wanted = _both(image, target)
    mean, covariance = _moments(lab)
    goal, spread = _moments(wanted)
    moved = transport(covariance, spread) @ (lab.flatten(2)[0].double() - mean) + goal
    return to_srgb(into_gamut(moved.to(lab.dtype).view(lab.shape)))


def transport(covariance: Tensor, target: Tensor, least: float = LEAST_SPREAD) -> Tensor:
    """The symmetric matrix A with A Σ A = T that moves points of covariance Σ least.

    A = Σ^−½ (Σ^½ T Σ^½)^½ Σ^−½, with the eigenvalues of Σ lifted to least².

    Args:
        covariance: (n, n), Σ, float64.
        target: (n, n), T, float64.
        least: standard deviation above 0.

    Returns:
        (n, n).

    Example:
        >>> sigma, target = torch.diag(torch.tensor([4.0, 9.0])), torch.diag(torch.ones(2))
        >>> transport(sigma.double(), target.double()).diagonal()
        tensor([0.5000, 0.3333], dtype=torch.float64)
    """
    values, vectors = torch.linalg.eigh(covariance)
    root = values.clamp_min(least**2).sqrt()
    forward = (vectors * root) @ vectors.T
    back = (vectors / root) @ vectors.T
    linear: Tensor = back @ _root(forward @ target @ forward) @ back
    return linear


def match_lightness(image: Tensor, target: Tensor) -> Tensor:
    """Give OKLab's lightness the mean and standard deviation that it has in another picture.

    Args:
        image: (1, 3, H, W) sRGB in [0, 1].
        target: (1, 3, any, any) likewise.

    Returns:
        (1, 3, H, W) sRGB in [0, 1]; lightness beyond black and white is clamped to them.

    Raises:
        UsageError: a shape or type does not fit.

    Example:
        >>> grey = torch.full((1, 3, 2, 2), 0.3)
        >>> match_lightness(grey, torch.full((1, 3, 2, 2), 0.6)).flatten()[0]
        tensor(0.6000)

    References:
        Gatys et al., arXiv 1606.05897, section 4. Departure: OKLab's lightness instead of YIQ's.
    """
    lab, wanted = _both(image, target)
    own, other = lab[:, :1].double(), wanted[:, :1].double()
    gain = other.std(correction=0) / own.std(correction=0).clamp_min(LEAST_SPREAD)
    lightness = gain * (own - own.mean()) + other.mean()
    return to_srgb(into_gamut(torch.cat([lightness.to(lab.dtype), lab[:, 1:]], dim=1)))


def _both(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both pictures in OKLab."""
    check_picture("image", image)
    check_picture("target", target)
    return to_oklab(image.clamp(0, 1)), to_oklab(target.clamp(0, 1)).to(image.device)


def _match_channel(values: Tensor, target: Tensor) -> Tensor:
    matched = match_quantiles(values, target)
    share = (values.double().std(correction=0) / LEAST_SPREAD).clamp_max(1).to(matched.dtype)
    return torch.lerp(target.double().mean().to(matched.dtype), matched, share)


def _moments(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (3, 1) and covariance (3, 3) of the colours, in float64."""
    values = lab.flatten(2)[0].double()
    mean = values.mean(1, keepdim=True)
    centred = values - mean
    return mean, centred @ centred.T / values.shape[1]


def _root(matrix: Tensor) -> Tensor:
    """The root of a symmetric positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


def _spread(values: Tensor, count: int) -> Tensor:
    """At most `count` of the values, evenly spread."""
    return values[:: -(-len(values) // count)]


def _middles(values: Tensor) -> Tensor:
    places = torch.arange(QUANTILES, dtype=torch.float64, device=values.device)
    return (places + 0.5) / QUANTILES


def _interpolated(known: Tensor, quantiles: Tensor) -> Tensor:
    """Values of a sorted sample at quantiles in [0, 1]."""
    place = (quantiles * len(known) - 0.5).clamp(0, len(known) - 1)
    below = place.floor().long()
    above = (below + 1).clamp_max(len(known) - 1)
    return torch.lerp(known[below], known[above], (place - below).to(known.dtype))
