"""Maximum mean discrepancy: the distance of mean features in the space of a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from styler.errors import UsageError
from styler.losses._checks import (
    check_choice,
    check_count,
    check_non_negative,
    check_pair,
    check_positive,
)
from styler.losses.base import DIVISOR_FLOOR, StyleLoss
from styler.losses.moments import FLAT_COVARIANCE
from styler.losses.samples import VALUES_AT_ONCE, SampleLoss, Samples, average, given
from styler.losses.statistics import FeatureSums, to_full_precision

MMD_KERNELS: Mapping[str, str] = MappingProxyType(
    {"linear": "k(x, y) = xᵀy", "polynomial": "k(x, y) = (xᵀy + c)²"}
)
"""Kernels whose discrepancy is made of sums over positions, by name, each with its formula."""
MMD_NORMALIZATIONS: Mapping[str, str] = MappingProxyType(
    {"none": "‖m − mₜ‖²", "relative": "‖m − mₜ‖² / ‖mₜ‖²"}
)
"""Normalisations of the squared distance of means in the kernel's space, each with its formula."""
EMBEDDED_LIMIT = 2**16
"""Positions of a target that are embedded."""


class RawMoments(NamedTuple):
    """Means (B, C) of features f and (B, C, C) of their products f fᵀ; the latter if needed."""

    first: Tensor
    second: Tensor | None = None


def kernel_distance(
    moments: RawMoments,
    target: RawMoments,
    constant: float = 1.0,
    normalization: str = "relative",
    floor: float = DIVISOR_FLOOR,
) -> Tensor:
    """The squared maximum mean discrepancy of the linear or the polynomial kernel.

    The mean in a kernel's space has the entries E[f] for xᵀy, and for (xᵀy + c)² those of E[f fᵀ],
    of √(2c)·E[f], and c. So the squared distance of two is ‖E f − E t‖², and
    ‖E ffᵀ − E ttᵀ‖² + 2c·‖E f − E t‖².

    Args:
        moments: of the picture, batch B; with second ones for the polynomial kernel.
        target: of the style, batch B or 1, likewise.
        constant: of the polynomial kernel; with "relative" c is that times E tᵀt, so that both
            terms are of one scale; else c itself.
        normalization: a name in `MMD_NORMALIZATIONS`; ‖mₜ‖² leaves out the entry c.
        floor: least divisor of "relative", for targets that are zero.

    Returns:
        (B,).

    Raises:
        UsageError: shapes differ, only one side has second moments, or the name is unknown.

    Example:
        >>> picture = RawMoments(torch.tensor([[3.0]]), torch.tensor([[[9.0]]]))
        >>> style = RawMoments(torch.tensor([[2.0]]), torch.tensor([[[4.0]]]))
        >>> kernel_distance(picture, style, 1.0, "none")  # (9 − 4)² + 2·(3 − 2)²
        tensor([27.])

    References:
        Li, Wang, Liu, Hou, arXiv 1701.01036.
    """
    check_choice("normalization", normalization, MMD_NORMALIZATIONS)
    first, reference = _pair(moments.first, target.first)
    squares, length = (first - reference).square().sum(1), reference.square().sum(1)
    if moments.second is not None and target.second is not None:
        second, product = _pair(moments.second, target.second)
        factor = squares.new_full((1,), 2 * constant)
        if normalization == "relative":
            factor = factor * product.diagonal(dim1=1, dim2=2).sum(1)
        squares = (second - product).square().sum((1, 2)) + factor * squares
        length = product.square().sum((1, 2)) + factor * length
    elif moments.second is not target.second:
        raise UsageError("only one of picture and target has second moments, expected both")
    return squares if normalization == "none" else squares / length.clamp_min(floor)


class MmdStyleLoss(StyleLoss[RawMoments]):
    """Style as a distribution of features: the maximum mean discrepancy of a simple kernel.

    With m the mean of the picture's features in the kernel's space and mₜ that of the style's:

    | kernel | k(x, y) | ‖m − mₜ‖² |
    | --- | --- | --- |
    | "linear" | xᵀy | ‖E f − E t‖² |
    | "polynomial" | (xᵀy + c)² | ‖E ffᵀ − E ttᵀ‖² + 2c·‖E f − E t‖² |

    With c = 0, the polynomial kernel's is the squared difference of Gram matrices. See
    `kernel_distance` for c and the normalisations, and `GaussianMmdStyleLoss` for a kernel that
    sees all of the distribution.

    Args:
        kernel: a name in `MMD_KERNELS`.
        constant: c of the polynomial kernel, 0 or more; with "relative" in units of the style's
            mean squared length E tᵀt.
        normalization: a name in `MMD_NORMALIZATIONS`; with "relative" 1 is as far off as zeros, at
            every layer.
        eps: least divisor of "relative": keeps a zero target finite.

    Raises:
        UsageError: a name is unknown or a number out of range.

    Example:
        >>> loss = MmdStyleLoss("linear", normalization="none")
        >>> loss(torch.tensor([[[[1.0, 5.0]]]]), torch.tensor([[[[0.0, 2.0]]]]))
        tensor(4.)

    References:
        Li, Wang, Liu, Hou, "Demystifying Neural Style Transfer", arXiv 1701.01036.
        Departures: the paper divides by constants of the layer and the kernel, "relative" by the
        target's own measure; the paper's experiments have c = 0.
    """

    def __init__(
        self,
        kernel: str = "polynomial",
        constant: float = 1.0,
        normalization: str = "relative",
        eps: float = DIVISOR_FLOOR,
    ) -> None:
        check_choice("kernel", kernel, MMD_KERNELS)
        check_choice("normalization", normalization, MMD_NORMALIZATIONS)
        check_non_negative("constant", constant)
        check_non_negative("eps", eps)
        super().__init__(first=True, second=kernel == "polynomial")
        self.kernel = kernel
        self.constant = constant
        self.normalization = normalization
        self.eps = eps

    def finalise(self, sums: FeatureSums) -> RawMoments:
        """Means of features and of their products; see `StyleLoss.finalise`."""
        second = sums.second if self.kernel == "polynomial" else None
        if sums.first is None or (second is None and self.kernel == "polynomial"):
            raise UsageError(f"sums lack a moment that the {self.kernel} kernel needs")
        check_count(sums.count, sums.first, second)
        mean = sums.first / sums.count.view(-1, 1)
        return RawMoments(mean, None if second is None else second / sums.count.view(-1, 1, 1))

    def compare(self, represented: RawMoments, target: RawMoments) -> Tensor:
        """The mean distance over the batch; see `FeatureLoss.compare`."""
        return kernel_distance(
            represented, target, self.constant, self.normalization, self.eps
        ).mean()


class GaussianMmdStyleLoss(SampleLoss):
    """Style as a distribution of features: the maximum mean discrepancy of the Gaussian kernel.

    E k(f, f′) + E k(t, t′) − 2 E k(f, t) with k(x, y) = exp(−‖x − y‖² / (2σ²)), which is zero only
    where distributions are the same; from 0 to 2, whatever the layer. σ² is the mean squared
    distance of two positions of the style, 2 tr Σₜ, or `FLAT_COVARIANCE` of its mean squared length
    where the style is flatter than that.

    All pairs of positions are too many, so the kernel is replaced by k(x, y) = mean cos wᵀ(x − y)
    over random frequencies w from N(0, I / σ²): positions are embedded as cos wᵀx and sin wᵀx, and
    the discrepancy is the squared distance of the two means, in time that is proportional to
    positions. With D frequencies the kernel is known to about 1/√(2D).

    Args:
        frequencies: how many, D.
        seed: of the frequencies.
        limit: the greatest number of a target's positions that is kept.

    Raises:
        UsageError: a number is below 1.

    Example:
        >>> loss = GaussianMmdStyleLoss()
        >>> features = torch.tensor([[[[0.0, 1.0, 2.0]]]])
        >>> loss(features.flip(3), features).item() < 1e-12 < loss(features + 1, features).item()
        True

    References:
        Li, Wang, Liu, Hou, "Demystifying Neural Style Transfer", arXiv 1701.01036; Rahimi, Recht,
        "Random Features for Large-Scale Kernel Machines", 2007. Departure: the first samples pairs
        of positions in each step; here frequencies are sampled, the same for all steps.
    """

    def __init__(self, frequencies: int = 256, seed: int = 0, limit: int = EMBEDDED_LIMIT) -> None:
        super().__init__(limit)
        check_positive("frequencies", frequencies)
        self.frequencies = frequencies
        self.seed = seed

    def _ready(self, target: Samples) -> Samples:
        values, weight = target.values, target.weight
        generator = torch.Generator().manual_seed(self.seed)
        axes = torch.randn(
            self.frequencies, values.shape[1], generator=generator, dtype=torch.float64
        ).to(values)
        mean = average(values, weight).unsqueeze(2)
        variance = average((values - mean).square().sum(1), weight)
        flat = FLAT_COVARIANCE * average(values.square().sum(1), weight)
        scale = torch.maximum(2 * variance, flat).clamp_min(DIVISOR_FLOOR).sqrt()
        found = target._replace(axes=axes, scale=scale)
        return found._replace(points=_embedding(values, weight, mean, found))

    def _distance(self, picture: Samples, target: Samples) -> Tensor:
        # The kernel is of differences: less the style's mean, angles are small and exact.
        mean = average(target.values, target.weight).unsqueeze(2)
        own = _embedding(picture.values, picture.weight, mean, target)
        return (own - given(target.points)).square().sum((1, 2)) / self.frequencies


def _embedding(values: Tensor, weight: Tensor | None, mean: Tensor, target: Samples) -> Tensor:
    """Mean cosines and sines (B, 2·D, 1), a few positions at a time, on the way back once more."""
    axes, scale = given(target.axes), given(target.scale).view(-1, 1, 1)
    batch, _, count = values.shape
    share = values.new_full((1, count), 1 / count)
    if weight is not None:
        share = weight / weight.sum(1, keepdim=True)
    step = max(1, VALUES_AT_ONCE // (batch * len(axes)))
    parts = zip(torch.split(values, step, dim=2), torch.split(share, step, dim=1), strict=True)
    found = [
        checkpoint(
            _waves, part, own, mean, axes, scale, use_reentrant=False, preserve_rng_state=False
        )
        for part, own in parts
    ]
    return torch.stack(found).sum(0)


def _waves(values: Tensor, share: Tensor, mean: Tensor, axes: Tensor, scale: Tensor) -> Tensor:
    angles = axes @ ((values - mean) / scale)
    weighted = share.unsqueeze(1)
    return torch.cat(
        [
            (angles.cos() * weighted).sum(2, keepdim=True),
            (angles.sin() * weighted).sum(2, keepdim=True),
        ],
        dim=1,
    )


def _pair(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    check_pair(one, other)
    return to_full_precision(one), to_full_precision(other)
