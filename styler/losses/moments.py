"""Mean and covariance of features, and the style loss that compares both."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from styler.errors import UsageError
from styler.losses._checks import check_count, check_non_negative, check_pair
from styler.losses.base import DIVISOR_FLOOR, StyleLoss
from styler.losses.statistics import FeatureSums, accumulate, to_full_precision

FLAT_COVARIANCE = 1e-3
"""A target whose ‖Σ‖ is below this share of ‖μ‖² counts as flat: see `moments_distance`."""


class Moments(NamedTuple):
    """Mean (B, C) and covariance (B, C, C) of features over positions."""

    mean: Tensor
    covariance: Tensor


def mean_and_covariance(features: Tensor, weight: Tensor | None = None) -> Moments:
    """Mean and covariance of each sample's features over positions, divided by M, not M − 1.

    The covariance is E[ffᵀ] − μμᵀ, because these are sums that tiles can add to. The subtraction
    cancels: float32 leaves an error of about 1e-7·μ². That is nothing for the features of a
    trained network, whose spread is of the order of their mean, but subtract a constant first, or
    use float64, where the mean is a thousand times the spread.

    Args:
        features: (B, C, H, W), floating point.
        weight: (B or 1, 1, H, W) position weights of 0 or more; None is 1 everywhere.

    Returns:
        Mean (B, C) and covariance (B, C, C), float64 for float64 features, else float32.

    Raises:
        UsageError: a shape or type does not fit, or a mask selects nothing.

    Example:
        >>> mean_and_covariance(torch.tensor([[[[1.0, 3.0]], [[2.0, 6.0]]]]))
        Moments(mean=tensor([[2., 4.]]), covariance=tensor([[[1., 2.],
                 [2., 4.]]]))
    """
    return moments_from_sums(accumulate(features, weight, first=True, second=True))


def moments_from_sums(sums: FeatureSums) -> Moments:
    """Mean and covariance from sums that may come from many tiles; see `mean_and_covariance`.

    Args:
        sums: with first and second sums.

    Returns:
        Mean (B, C) and covariance (B, C, C).

    Raises:
        UsageError: a sum is missing, or the weights of a sample sum to zero.
    """
    if sums.first is None or sums.second is None:
        raise UsageError("sums lack the first or second moment, expected both")
    check_count(sums.count, sums.first, sums.second)
    mean = sums.first / sums.count.view(-1, 1)
    outer = mean.unsqueeze(2) * mean.unsqueeze(1)
    return Moments(mean, sums.second / sums.count.view(-1, 1, 1) - outer)


def moments_distance(moments: Moments, target: Moments, floor: float = DIVISOR_FLOOR) -> Tensor:
    """‖μ − μₜ‖² / ‖μₜ‖² + ‖Σ − Σₜ‖² / ‖Σₜ‖², Euclidean and Frobenius norms.

    A flat target has no covariance but rounding noise, and dividing by that would drown every
    other loss, so ‖Σₜ‖ counts as at least `FLAT_COVARIANCE`·‖μₜ‖².

    Args:
        moments: of the picture, batch B.
        target: of the style, batch B or 1.
        floor: least divisor of either term, for targets that are zero.

    Returns:
        (B,).

    Raises:
        UsageError: shapes differ.

    Example:
        >>> picture = Moments(torch.tensor([[3.0]]), torch.tensor([[[1.0]]]))
        >>> style = Moments(torch.tensor([[2.0]]), torch.tensor([[[2.0]]]))
        >>> moments_distance(picture, style)
        tensor([0.5000])
    """
    check_pair(moments.mean, target.mean)
    check_pair(moments.covariance, target.covariance)
    mean, covariance = map(to_full_precision, moments)
    target_mean, target_covariance = map(to_full_precision, target)
    mean_norm = target_mean.square().sum(1)
    flat = (FLAT_COVARIANCE * mean_norm).square()
    covariance_norm = torch.maximum(target_covariance.square().sum((1, 2)), flat)
    first = (mean - target_mean).square().sum(1) / mean_norm.clamp_min(floor)
    second = (covariance - target_covariance).square().sum((1, 2))
    return first + second / covariance_norm.clamp_min(floor)


class MomentStyleLoss(StyleLoss[Moments]):
    """Style as mean and covariance of features, each compared relative to the target.

    ‖μ − μₜ‖² / ‖μₜ‖² + ‖Σ − Σₜ‖² / ‖Σₜ‖²: unlike a Gram matrix, the covariance does not hold the
    mean a second time, and the scale is the same for every layer, style and network. See
    `moments_distance` for flat targets and `mean_and_covariance` for the precision.

    Args:
        eps: least divisor of either term, in its own units: keeps a zero target finite.

    Raises:
        UsageError: eps is negative.

    Example:
        >>> loss = MomentStyleLoss()
        >>> black_and_white = torch.tensor([[[[0.0, 1.0]]]])
        >>> round(loss(black_and_white, 2 * black_and_white).item(), 4)
        0.8125
    """

    def __init__(self, eps: float = DIVISOR_FLOOR) -> None:
        super().__init__(first=True, second=True)
        check_non_negative("eps", eps)
        self.eps = eps

    def finalise(self, sums: FeatureSums) -> Moments:
        """Mean and covariance; see `StyleLoss.finalise`."""
        return moments_from_sums(sums)

    def compare(self, represented: Moments, target: Moments) -> Tensor:
        """The mean distance over the batch; see `FeatureLoss.compare`."""
        return moments_distance(represented, target, self.eps).mean()
