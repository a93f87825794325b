"""Content as likeness: how much the places of a picture are alike, whatever they look like."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from styler.errors import UsageError
from styler.losses._checks import (
    check_count,
    check_features,
    check_masked,
    check_pair,
    check_weight,
)
from styler.losses.base import FeatureLoss
from styler.losses.statistics import to_full_precision, without_autocast

SAMPLED_POSITIONS = 1024
"""At most so many positions of a layer are compared with each other, as many as in the paper."""
FLAT_DISTANCE = 1e-4
"""Least mean distance of a position to the others: below it a map counts as flat, and what its
positions differ by is rounding noise."""
_ZERO_SQUARED = 1e-12
"""Features with a smaller squared length have no direction."""


class SelfSimilarity(NamedTuple):
    """Features of sampled positions with what comparing them needs.

    Attributes:
        features: (B, C, h, w), float32 or float64, on a regular grid of the layer's positions.
        weight: (B or 1, 1, h, w), weights of these positions, or None.
        matrix: (B, h·w, h·w), see `self_similarity`; None until prepared.
    """

    features: Tensor
    weight: Tensor | None = None
    matrix: Tensor | None = None


def self_similarity(features: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cosine distances between all positions, each column as shares of its sum.

    D_ij = 1 − fᵢ·fⱼ / (‖fᵢ‖ ‖fⱼ‖) and S_ij = D_ij / Σₖ wₖ D_kj. Features of length 0 have no
    direction: they are at distance 1 from all, and no gradient flows to them. The mean distance
    counts as at least `FLAT_DISTANCE`.

    Args:
        features: (B, C, H, W), floating point.
        weight: (B or 1, 1, H, W) position weights of 0 or more; None is 1 everywhere.

    Returns:
        (B, H·W, H·W), float64 for float64 features, else float32; Σᵢ wᵢ S_ij is 1 where the map is
        not flat.

    Raises:
        UsageError: a shape or type does not fit, or a mask selects nothing.

    Example:
        >>> features = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, 2.0, 5.0]]]])
        >>> self_similarity(features)  # the second and third are alike
        tensor([[[0.0000, 1.0000, 1.0000],
                 [0.5000, 0.0000, 0.0000],
                 [0.5000, 0.0000, 0.0000]]])

    References:
        Kolkin, Salavon, Shakhnarovich, arXiv 1904.12785, section 3.2.
    """
    check_features(features)
    return _matrix(to_full_precision(features), _as_column(features, weight))


def self_similarity_distance(
    features: Tensor, target: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Absolute difference of the self-similarities of two feature maps.

    Σ_ij wᵢ wⱼ |S_ij − T_ij| / Σⱼ wⱼ: between 0 and 2, whatever the number of positions.

    Args:
        features: (B, C, H, W), floating point; all positions are compared.
        target: (B or 1, C, H, W).
        weight: position weights of 0 or more, batch 1 or that of the target.

    Returns:
        (B,), float64 for float64 features, else float32.

    Raises:
        UsageError: a shape or type does not fit, or a mask selects nothing.

    Example:
        >>> same = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, 2.0, 5.0]]]])
        >>> self_similarity_distance(same, same.flip(1))  # other features, alike in the same places
        tensor([0.])
    """
    check_features(features)
    check_pair(features, target)
    return _distance(features, self_similarity(target, weight), _as_column(target, weight))


class SelfSimilarityLoss(FeatureLoss[SelfSimilarity]):
    """Content as the likeness of its places: cosine distances between positions are kept.

    What a place looks like may change altogether, as long as places that are alike stay alike. See
    `self_similarity_distance` for the formula: it is between 0 and 2 for every layer, size and
    network. The content has the picture's size.

    Args:
        positions: at most so many positions of a layer are compared, at least 2: the matrices have
            the square of it.

    Raises:
        UsageError: fewer than 2 positions.

    Example:
        >>> loss = SelfSimilarityLoss()
        >>> features = torch.rand(1, 8, 4, 4)
        >>> content = loss.prepare(loss.represent(features))
        >>> round(loss.compare(loss.represent(3 * features), content).item(), 5)
        0.0

    References:
        Kolkin, Salavon, Shakhnarovich, "Style Transfer by Relaxed Optimal Transport and
        Self-Similarity", arXiv 1904.12785, section 3.2. Departures: positions lie on a regular
        grid, where the paper draws as many anew in each step, so that the loss is the same
        function throughout and L-BFGS can be used; the sum is divided by n as in the authors'
        program, where the paper's formula has n² and shrinks with the number of positions; layers
        are compared one by one, where the paper strings the features of all together.
    """

    def __init__(self, positions: int = SAMPLED_POSITIONS) -> None:
        super().__init__()
        if positions < 2:
            raise UsageError(f"positions is {positions}, expected at least 2")
        self.positions = positions

    def represent(self, features: Tensor, weight: Tensor | None = None) -> SelfSimilarity:
        """The features at the sampled positions; see `FeatureLoss.represent`."""
        check_features(features)
        sampled = to_full_precision(sample(features, self.positions))
        if weight is None:
            return SelfSimilarity(sampled)
        check_weight(weight, features)
        weight = sample(weight, self.positions).to(sampled.dtype)
        check_count(weight.sum((1, 2, 3)), features)
        return SelfSimilarity(sampled, weight)

    def prepare(self, represented: SelfSimilarity) -> SelfSimilarity:
        """Features and their matrix as constants; see `FeatureLoss.prepare`."""
        with torch.no_grad():
            matrix = self_similarity(represented.features, represented.weight)
        return super().prepare(represented._replace(matrix=matrix))

    def compare(self, represented: SelfSimilarity, target: SelfSimilarity) -> Tensor:
        """The mean distance over the batch, weighted by the target's mask if it has one.

        Args:
            represented: of the picture; it needs no mask of its own.
            target: of the content, batch B or 1; faster when prepared.

        Returns:
            A scalar.

        Raises:
            UsageError: shapes differ, or only the picture has a mask.
        """
        check_masked(represented.weight, target.weight)
        check_pair(represented.features, target.features)
        matrix = target.matrix
        if matrix is None:
            matrix = self_similarity(target.features, target.weight)
        column = _as_column(target.features, target.weight)
        return _distance(represented.features, matrix, column).mean()

    def forward(self, features: Tensor, target_features: Tensor) -> Tensor:
        """Compare features with features of the same size; see `FeatureLoss.forward`."""
        check_features(features)
        check_pair(features, target_features)
        return super().forward(features, target_features)


def sample(maps: Tensor, positions: int) -> Tensor:
    """Values on a regular grid, spread evenly over a map.

    Args:
        maps: (B, C, H, W).
        positions: at most so many are taken, at least 1.

    Returns:
        (B, C, h, w) with h·w ≤ `positions`, about as wide as high as the map; all if they are no
        more.

    Example:
        >>> sample(torch.arange(6.0).view(1, 1, 1, 6), 3)
        tensor([[[[1., 3., 5.]]]])
    """
    height, width = maps.shape[-2:]
    rows = max(1, min(height, positions, math.isqrt(positions * height // width)))
    columns = min(width, positions // rows)
    if (rows, columns) == (height, width):
        return maps
    down, right = _centres(rows, height, maps.device), _centres(columns, width, maps.device)
    return maps.index_select(2, down).index_select(3, right)


def _centres(count: int, size: int, device: torch.device) -> Tensor:
    """The middles of `count` parts of a side."""
    return torch.arange(count, device=device).mul_(2).add_(1).mul_(size).floor_divide_(2 * count)


def _as_column(features: Tensor, weight: Tensor | None) -> Tensor | None:
    """Weights of positions as (B or 1, N, 1), in the precision of the distances."""
    if weight is None:
        return None
    check_weight(weight, features)
    column = weight.flatten(2).mT.to(torch.promote_types(features.dtype, torch.float32))
    check_count(column.sum((1, 2)), features)
    return column


def _matrix(features: Tensor, column: Tensor | None) -> Tensor:
    flat = features.flatten(2)
    squared = flat.square().sum(1, keepdim=True)
    # A factor of 0, not a small divisor: its gradient would be as large as the divisor is small.
    inverse = torch.where(squared <= _ZERO_SQUARED, 0.0, squared.clamp_min(_ZERO_SQUARED).rsqrt())
    direction = flat * inverse
    with without_autocast(features.device):
        distance = 1 - direction.mT @ direction
    if column is None:
        return distance / distance.sum(1, keepdim=True).clamp_min(FLAT_DISTANCE * flat.shape[2])
    least = FLAT_DISTANCE * column.sum(1, keepdim=True)
    return distance / torch.maximum((column * distance).sum(1, keepdim=True), least)


def _distance(features: Tensor, target: Tensor, column: Tensor | None) -> Tensor:
    """(B,) from features and the target's matrix; the target's weights normalise both."""
    difference = (_matrix(to_full_precision(features), column) - target).abs()
    if column is None:
        return difference.sum((1, 2)) / difference.shape[2]
    return (column * column.mT * difference).sum((1, 2)) / column.sum((1, 2))
