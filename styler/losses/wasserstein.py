"""The Wasserstein distance between Gaussians, and the style loss made of it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from styler.losses._checks import check_choice, check_non_negative, check_pair
from styler.losses.base import DIVISOR_FLOOR, StyleLoss
from styler.losses.moments import Moments, moments_from_sums
from styler.losses.statistics import FeatureSums, to_full_precision

WASSERSTEIN_NORMALIZATIONS = ("none", "relative")
"""What the loss of a Gaussian may be divided by."""
COVARIANCE_RIDGE = 1e-4
"""Added to the diagonal of covariances, as in crowsonkb/style-transfer-pytorch."""


class Gaussian(NamedTuple):
    """A normal distribution of features.

    Attributes:
        mean: (B, C).
        covariance: (B, C, C).
        factor: (B, C, C) float64, L with LLᵀ = covariance + eps·I; None until prepared.
    """

    mean: Tensor
    covariance: Tensor
    factor: Tensor | None = None


def gaussian_wasserstein(
    moments: Moments, target: Moments, eps: float = COVARIANCE_RIDGE
) -> Tensor:
    """Squared Wasserstein-2 distance of Gaussians, both of its terms averaged over channels.

    (‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2·(Σ₂^½ Σ₁ Σ₂^½)^½)) / C, with eps·I added to both covariances. Only
    the eigenvalues of the inner matrix are needed for the trace, and they are those of LᵀΣ₁L for
    any LLᵀ = Σ₂. Computed in float64, on the CPU for devices that lack it. The target is a
    constant: no gradient goes to it.

    Args:
        moments: of the picture, batch B.
        target: of the style, batch B or 1.
        eps: ridge of 0 or more; above 0 the gradient is finite for covariances of any rank.

    Returns:
        (B,), float64 for float64 moments, else float32.

    Raises:
        UsageError: shapes differ or eps is negative.

    Example:
        >>> one = Moments(torch.tensor([[0.0]]), torch.tensor([[[4.0]]]))
        >>> two = Moments(torch.tensor([[3.0]]), torch.tensor([[[1.0]]]))
        >>> gaussian_wasserstein(one, two, eps=0)  # (0 − 3)² + (√4 − √1)²
        tensor([10.])

    References:
        Dowson, Landau, "The Fréchet distance between multivariate normal distributions", 1982;
        crowsonkb/style-transfer-pytorch, whose loss this equals. Departure: that takes matrix
        roots by Newton–Schulz iterations in float32, this takes eigenvalues.
    """
    check_non_negative("eps", eps)
    return _distance(Gaussian(*moments), Gaussian(*target), eps)


class WassersteinStyleLoss(StyleLoss[Gaussian]):
    """Style as a Gaussian of features: the Wasserstein-2 distance, averaged over channels.

    See `gaussian_wasserstein` for the formula. `prepare` decomposes the target's covariance once;
    each comparison then takes one symmetric eigenvalue problem of C × C.

    | normalization | divided by |
    | --- | --- |
    | "none" | nothing |
    | "relative" | the style's mean square, (‖μₜ‖² + tr Σₜ) / C: 1 is as far as zeros |

    Args:
        eps: ridge added to the diagonal of both covariances, in squared features, 0 or more.
        normalization: a name in `WASSERSTEIN_NORMALIZATIONS`.

    Raises:
        UsageError: eps is negative, or the name is unknown.

    Example:
        >>> loss = WassersteinStyleLoss()
        >>> features = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
        >>> style = loss.prepare(loss.represent(features + 2))
        >>> round(loss.compare(loss.represent(features), style).item(), 4)
        4.0
    """

    def __init__(self, eps: float = COVARIANCE_RIDGE, normalization: str = "none") -> None:
        super().__init__(first=True, second=True)
        check_choice("normalization", normalization, WASSERSTEIN_NORMALIZATIONS)
        self.normalization = normalization
        check_non_negative("eps", eps)
        self.eps = eps

    def finalise(self, sums: FeatureSums) -> Gaussian:
        """Mean and covariance; see `StyleLoss.finalise`."""
        return Gaussian(*moments_from_sums(sums))

    def prepare(self, represented: Gaussian) -> Gaussian:
        """Mean, covariance and its factor as constants; see `FeatureLoss.prepare`."""
        target = super().prepare(represented._replace(factor=None))
        return target._replace(factor=_factor(target.covariance, self.eps))

    def compare(self, represented: Gaussian, target: Gaussian) -> Tensor:
        """The mean distance over the batch; see `FeatureLoss.compare`."""
        distance = _distance(represented, target, self.eps)
        if self.normalization == "relative":
            distance = distance / _mean_square(target).clamp_min(DIVISOR_FLOOR)
        return distance.mean()


def _mean_square(target: Gaussian) -> Tensor:
    """(B,), of the style's features, which has no gradient."""
    mean, covariance = (to_full_precision(each.detach()) for each in target[:2])
    return (mean.square().sum(1) + _trace(covariance)) / mean.shape[1]


def _factor(covariance: Tensor, eps: float) -> Tensor:
    covariance = _in_double(covariance.detach())
    covariance = covariance + eps * _identity(covariance)
    finite = torch.isfinite(covariance).all((1, 2), keepdim=True)
    values, vectors = torch.linalg.eigh(torch.where(finite, covariance, _identity(covariance)))
    factor = vectors * values.clamp_min(0).sqrt().unsqueeze(1)
    return torch.where(finite, factor, torch.nan)


def _distance(picture: Gaussian, target: Gaussian, eps: float) -> Tensor:
    check_pair(picture.mean, target.mean)
    check_pair(picture.covariance, target.covariance)
    factor = _factor(target.covariance, eps) if target.factor is None else target.factor
    covariance = _in_double(picture.covariance)
    covariance = covariance + eps * _identity(covariance)
    inner = factor.mT @ covariance @ factor  # autocasting leaves float64 alone
    spread = _trace(covariance) + factor.square().sum((1, 2)) - 2 * _trace_of_root(inner)
    shift = _in_double(picture.mean) - _in_double(target.mean.detach())
    distance = (shift.square().sum(1) + spread) / picture.mean.shape[1]
    like = to_full_precision(picture.mean)
    return distance.to(like.dtype).to(like.device)


def _trace_of_root(matrix: Tensor) -> Tensor:
    """Sum of the roots of the eigenvalues of symmetric positive semi-definite matrices.

    Eigenvalues below the rounding error of the largest are noise, perhaps negative: they are lifted
    to that error, where no gradient flows. Matrices with NaN give NaN; the solver would raise.
    """
    finite = torch.isfinite(matrix.detach()).all((1, 2), keepdim=True)
    values = torch.linalg.eigvalsh(torch.where(finite, matrix, _identity(matrix)))
    noise = values.detach()[:, -1:] * (matrix.shape[1] * torch.finfo(matrix.dtype).eps)
    floor = noise.clamp_min(torch.finfo(matrix.dtype).tiny)
    roots = torch.maximum(values, floor).sqrt().sum(1)
    return torch.where(finite.flatten(), roots, torch.nan)


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=1, dim2=2).sum(1)


def _identity(matrix: Tensor) -> Tensor:
    return torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)


def _in_double(tensor: Tensor) -> Tensor:
    """In float64, which Apple's GPUs lack."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
