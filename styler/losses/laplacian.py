"""Content as edges: the Laplacian of a picture that was blurred by pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from styler.errors import UsageError
from styler.losses._checks import (
    check_choice,
    check_count,
    check_features,
    check_masked,
    check_non_negative,
    check_pair,
    check_weight,
)
from styler.losses.base import FeatureLoss
from styler.losses.statistics import to_full_precision

POOLS = (4, 16)
"""Sides of the squares that are averaged: fine and coarse edges, as in the paper's examples."""
LAPLACIAN_NORMALIZATIONS: Mapping[str, str] = MappingProxyType(
    {"relative": "mean (D − T)² / mean T²", "mse": "mean (D − T)²"}
)
"""Normalisations by name, each with its formula at one pool."""
FLAT_EDGES = 1e-4
"""Least mean T²: a target with less has no edges to speak of. For pictures in [0, 1], whose edges
have about 1e-3 to 1e-1."""
_LEAST_SIDE = 3
"""Pooled pixels that a Laplacian takes."""


class LaplacianMaps(NamedTuple):
    """Laplacians of a picture at P pools, scaled so that the sum of squares of each is a mean.

    Attributes:
        maps: (B, P, h, w); smaller maps than the largest are padded with zeros.
        weight: (B or 1, P, h, w), weights with mean 1 over each map, or None.
        divisor: (B, P), what weighted squares are divided by; None until prepared.
    """

    maps: Tensor
    weight: Tensor | None = None
    divisor: Tensor | None = None


def laplacian(image: Tensor) -> Tensor:
    """The discrete Laplacian: four times each value less its four neighbours.

    Args:
        image: (B, C, H, W), H and W at least 3.

    Returns:
        (B, C, H − 2, W − 2): where all neighbours exist.

    Example:
        >>> laplacian(torch.tensor([[[[0.0, 1.0, 0.0], [2.0, 5.0, 3.0], [0.0, 4.0, 0.0]]]]))
        tensor([[[[10.]]]])
    """
    inner = (..., slice(1, -1), slice(1, -1))
    vertical = image[..., :-2, 1:-1] + image[..., 2:, 1:-1]
    horizontal = image[..., 1:-1, :-2] + image[..., 1:-1, 2:]
    return 4 * image[inner] - vertical - horizontal


class LaplacianLoss(FeatureLoss[LaplacianMaps]):
    """Content as the edges of the blurred picture, at several degrees of blur.

    At each pool p, with D and T the Laplacians of picture and target, summed over channels, after
    the mean over squares of p × p values:

    | normalization | loss | |
    | --- | --- | --- |
    | "relative" | mean (D − T)² / mean T² | 1 is as far off as a picture without edges |
    | "mse" | mean (D − T)² | the paper's, as a mean |

    The loss is the mean over pools. A pool is left out where it leaves fewer than 3 × 3 values. It
    is meant for pictures, with or without a network's loss beside it, but takes any feature map.
    A mask is averaged like the picture; the content has the picture's size.

    Args:
        pools: sides of the squares, at least 1, in pixels.
        normalization: a name in the table.
        eps: least mean T² for "relative", in squared values: keeps a flat target finite.

    Raises:
        UsageError: there is no pool, one is below 1, the name is unknown or eps is negative.

    Example:
        >>> loss = LaplacianLoss(pools=(1, 2))
        >>> picture = torch.rand(1, 3, 16, 16)
        >>> content = loss.prepare(loss.represent(picture))
        >>> round(loss.compare(loss.represent(0 * picture), content).item(), 4)
        1.0

    References:
        Li, Xu, Nie, Chua, "Laplacian-Steered Neural Style Transfer", arXiv 1707.01253, whose
        weights for each pool are those of pictures in [0, 255] and multiply means as in "mse".
        Departures: "relative"; one weight for all pools.
    """

    def __init__(
        self,
        pools: Sequence[int] = POOLS,
        normalization: str = "relative",
        eps: float = FLAT_EDGES,
    ) -> None:
        super().__init__()
        if not pools or any(not isinstance(pool, int) or pool < 1 for pool in pools):
            raise UsageError(f"pools are {tuple(pools)}, expected whole numbers of 1 or more")
        check_choice("normalization", normalization, LAPLACIAN_NORMALIZATIONS)
        check_non_negative("eps", eps)
        self.pools = tuple(pools)
        self.normalization = normalization
        self.eps = eps

    def represent(self, features: Tensor, weight: Tensor | None = None) -> LaplacianMaps:
        """Laplacians at each pool; see `FeatureLoss.represent`.

        Args:
            features: (B, C, H, W), a picture.
            weight: (B or 1, 1, H, W) position weights of 0 or more; None is 1 everywhere.

        Returns:
            The maps, with the mask likewise.

        Raises:
            UsageError: a shape or type does not fit, the picture is too small for every pool, or a
                mask selects nothing.
        """
        check_features(features, "image values")
        pools = self._pools_for(features)
        total = to_full_precision(features).sum(1, keepdim=True)
        maps = [laplacian(F.avg_pool2d(total, pool)) for pool in pools]
        stacked = _stack([part / part[0].numel() ** 0.5 for part in maps])
        if weight is None:
            return LaplacianMaps(stacked)
        check_weight(weight, features)
        weights = [F.avg_pool2d(weight.to(total.dtype), pool)[..., 1:-1, 1:-1] for pool in pools]
        return LaplacianMaps(stacked, _stack([_with_mean_1(part, features) for part in weights]))

    def prepare(self, represented: LaplacianMaps) -> LaplacianMaps:
        """The maps as constants, with their divisor; see `FeatureLoss.prepare`."""
        return super().prepare(represented._replace(divisor=self._divisor(represented)))

    def compare(self, represented: LaplacianMaps, target: LaplacianMaps) -> Tensor:
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
        check_pair(represented.maps, target.maps)
        squares = _weighted_squares(represented.maps - target.maps, target.weight)
        return (squares / self._divisor(target)).mean()

    def forward(self, features: Tensor, target_features: Tensor) -> Tensor:
        """Compare pictures of the same size; see `FeatureLoss.forward`."""
        check_features(features, "image values")
        check_pair(features, target_features)
        return super().forward(features, target_features)

    def _pools_for(self, image: Tensor) -> list[int]:
        height, width = image.shape[-2:]
        fitting = [pool for pool in self.pools if min(height, width) // pool >= _LEAST_SIDE]
        if not fitting:
            raise UsageError(
                f"a picture of {height}×{width} is too small for pools of "
                f"{', '.join(map(str, self.pools))}, expected at least "
                f"{_LEAST_SIDE * min(self.pools)} pixels a side",
                "take a smaller pool or a larger picture",
            )
        return fitting

    def _divisor(self, target: LaplacianMaps) -> Tensor:
        if target.divisor is not None:
            return target.divisor
        squares = _weighted_squares(target.maps, target.weight)
        if self.normalization == "mse":
            return torch.ones_like(squares)
        return squares.clamp_min(self.eps)


def _weighted_squares(maps: Tensor, weight: Tensor | None) -> Tensor:
    squares = maps.square()
    return (squares if weight is None else weight * squares).sum((2, 3))


def _with_mean_1(weight: Tensor, features: Tensor) -> Tensor:
    mean = weight.mean((1, 2, 3), keepdim=True)
    check_count(mean.flatten(), features)
    return weight / mean


def _stack(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, 1, h, w) of several sizes as one, the smaller padded with zeros."""
    height = max(part.shape[-2] for part in maps)
    width = max(part.shape[-1] for part in maps)
    padded = [F.pad(m, (0, width - m.shape[-1], 0, height - m.shape[-2])) for m in maps]
    return torch.cat(padded, dim=1)
