"""Optimal transport in one dimension at a time: sliced Wasserstein and histogram losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from styler.losses._checks import check_choice, check_non_negative, check_positive
from styler.losses.base import DIVISOR_FLOOR
from styler.losses.samples import VALUES_AT_ONCE, SampleLoss, Samples, average, given

SLICED_NORMALIZATIONS: Mapping[str, str] = MappingProxyType(
    {"none": "mean (p − q)²", "relative": "mean (p − q)² / mean t²"}
)
"""Normalisations of losses on sorted projections by name, each with its formula."""
SLICED_LIMIT = 2**16
"""Positions of a target that are sorted."""


def orthonormal_directions(channels: int, count: int, seed: int = 0) -> Tensor:
    """Directions that look all ways alike: random orthonormal bases, one after the other.

    Each basis is the Q of a Gaussian matrix, with signs such that every rotation is as likely.

    Args:
        channels: dimensions C.
        count: number of directions K; above C, further bases are independent of the first.
        seed: of the randomness; equal seeds give equal directions.

    Returns:
        (K, C) float64, on the CPU, rows of length 1.

    Raises:
        UsageError: a number is below 1.

    Example:
        >>> directions = orthonormal_directions(3, 3)
        >>> torch.allclose(directions @ directions.T, torch.eye(3, dtype=torch.float64))
        True
    """
    check_positive("channels", channels)
    check_positive("directions", count)
    generator = torch.Generator().manual_seed(seed)
    bases = -(-count // channels)
    normal = torch.randn(bases, channels, channels, generator=generator, dtype=torch.float64)
    basis, triangle = torch.linalg.qr(normal)
    signs = triangle.diagonal(dim1=1, dim2=2).sign()
    directions: Tensor = (basis * signs.unsqueeze(1)).mT.reshape(-1, channels)
    return directions[:count]


def sorted_distance(values: Tensor, weight: Tensor | None, target: Samples) -> Tensor:
    """Squared differences of projections from those of the target that have the same rank.

    Positions are sorted along each direction; one in the middle of the share of weight from a to b
    has the rank (a + b) / 2. The target's projections lie at such ranks, too, and are interpolated
    between them. Where both have as many positions of one weight, this is the squared Wasserstein-2
    distance in one dimension, averaged over directions; else that from a style whose projections
    have been smoothed.

    Args:
        values: (B, C, M), float32 or float64.
        weight: (B or 1, M) weights of positions of 0 or more, or None.
        target: of batch B or 1, prepared by a loss of this module.

    Returns:
        (B,), in the precision of the values. Its gradient is found along with it, a few directions
        at a time, so that neither projections nor orders are kept.

    Example:
        >>> loss = HistogramStyleLoss("none")
        >>> style = loss.prepare(Samples(torch.tensor([[[5.0, 1.0]]])))
        >>> sorted_distance(torch.tensor([[[0.0, 2.0]]]), None, style)  # 0 with 1 and 2 with 5
        tensor([5.])
    """
    points = given(target.points)
    found: Tensor = _Sorted.apply(values, weight, target.axes, points, target.ranks)
    return found


class _SortedLoss(SampleLoss):
    """What losses on sorted projections share: everything but the directions."""

    def __init__(self, normalization: str, limit: int, eps: float) -> None:
        super().__init__(limit)
        check_choice("normalization", normalization, SLICED_NORMALIZATIONS)
        check_non_negative("eps", eps)
        self.normalization = normalization
        self.eps = eps

    @abstractmethod
    def _axes(self, channels: int) -> Tensor | None:
        """(K, C) directions, or None for the channels themselves."""

    def _ready(self, target: Samples) -> Samples:
        values, weight = target.values, target.weight
        axes = self._axes(values.shape[1])
        axes = None if axes is None else axes.to(values)
        projected = values if axes is None else axes @ values
        squares = average(projected.square(), weight).mean(1)
        points, ranks = _quantiles(projected, weight)
        return target._replace(points=points, ranks=ranks, axes=axes, scale=squares)

    def _distance(self, picture: Samples, target: Samples) -> Tensor:
        distance = sorted_distance(picture.values, picture.weight, target)
        if self.normalization == "none":
            return distance
        return distance / given(target.scale).clamp_min(self.eps)


class SlicedWassersteinLoss(_SortedLoss):
    """Style as the whole distribution of features: sliced optimal transport.

    Features are projected on directions, sorted, and compared with those of the style that have the
    same rank; see `sorted_distance`. With p a projection of the picture and q that of the style,
    the mean being over directions and positions, and t the style's projections:

    | normalization | loss | used by |
    | --- | --- | --- |
    | "none" | mean (p − q)² | Heitz et al. |
    | "relative" | mean (p − q)² / mean t² | styler: 1 is as far off as zeros, at every layer |

    Sizes of picture and style may differ; masks weight positions and their ranks.

    Args:
        normalization: a name in `SLICED_NORMALIZATIONS`.
        directions: how many; None is one for each channel, which takes an orthonormal basis.
        seed: of the directions.
        limit: the greatest number of a target's positions that is kept.
        eps: least divisor of "relative", in squared features: keeps a zero target finite.

    Raises:
        UsageError: a name is unknown or a number out of range.

    Example:
        >>> loss = SlicedWassersteinLoss()
        >>> features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
        >>> round(loss(3 * features, features).item(), 4)
        4.0
        >>> loss(features.flip(3), features).item()
        0.0

    References:
        Heitz, Vanhoey, Chambon, Belcour, "A Sliced Wasserstein Loss for Neural Texture Synthesis",
        arXiv 2006.07229. Departures: the paper draws new directions for every step; here they are
        the same in all, so that the loss has no state, its value can be followed, and L-BFGS has a
        function to descend. The paper's are independent of each other; these are orthonormal,
        which covers all of the space with as many as there are channels. For pictures of other
        sizes than the style this interpolates between ranks.
    """

    def __init__(
        self,
        normalization: str = "relative",
        directions: int | None = None,
        seed: int = 0,
        limit: int = SLICED_LIMIT,
        eps: float = DIVISOR_FLOOR,
    ) -> None:
        super().__init__(normalization, limit, eps)
        if directions is not None:
            check_positive("directions", directions)
        self.directions = directions
        self.seed = seed

    def _axes(self, channels: int) -> Tensor:
        return orthonormal_directions(channels, self.directions or channels, self.seed)


class HistogramStyleLoss(_SortedLoss):
    """Style as the histogram of each channel: how far features are from histogram-matched ones.

    The sliced loss with the channels for directions; see `SlicedWassersteinLoss` for the formulas.

    Args:
        normalization: a name in `SLICED_NORMALIZATIONS`.
        limit: the greatest number of a target's positions that is kept.
        eps: least divisor of "relative", in squared features: keeps a zero target finite.

    Raises:
        UsageError: the name is unknown or a number out of range.

    Example:
        >>> loss = HistogramStyleLoss("none")
        >>> loss(torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[5.0, 1.0]]]]))
        tensor(5.)

    References:
        Risser, Wilmot, Barnes, arXiv 1701.08893. Departures: features are matched by
        their exact ranks, not by a histogram of bins, and the squares are averaged over channels
        and positions, not summed.
    """

    def __init__(
        self,
        normalization: str = "relative",
        limit: int = SLICED_LIMIT,
        eps: float = DIVISOR_FLOOR,
    ) -> None:
        super().__init__(normalization, limit, eps)

    def _axes(self, channels: int) -> None:
        return None


class _Sorted(torch.autograd.Function):
    """The mean squared difference, (B,), with its gradient in the values.

    Sorting is a permutation, which does not change where values are moved a little: so the gradient
    is that of differences with partners that stay.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor | None,
        axes: Tensor | None,
        points: Tensor,
        ranks: Tensor | None,
    ) -> Tensor:
        batch, _, count = values.shape
        share = None if weight is None else weight / weight.sum(1, keepdim=True)
        slope = torch.zeros_like(values) if ctx.needs_input_grad[0] else None
        total = values.new_zeros(batch)
        step = max(1, VALUES_AT_ONCE // (batch * count))
        for start in range(0, points.shape[1], step):
            rows = slice(start, start + step)
            projected = values[:, rows] if axes is None else axes[rows] @ values
            gap, weighted = _gaps(projected, share, points[:, rows], _rows(ranks, rows))
            total += (gap * weighted).sum((1, 2))
            if slope is not None and axes is None:
                slope[:, rows] = weighted
            elif slope is not None and axes is not None:
                slope += axes[rows].T @ weighted
        ctx.save_for_backward(None if slope is None else slope.mul_(2 / points.shape[1]))
        return total / points.shape[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return gradient.view(-1, 1, 1) * slope, None, None, None, None


def _rows(tensor: Tensor | None, rows: slice) -> Tensor | None:
    return None if tensor is None else tensor[:, rows]


def _gaps(
    projected: Tensor, share: Tensor | None, points: Tensor, ranks: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Differences (B, K, M) from the target's value at the same rank, and the same times weight."""
    ordered, order = projected.sort(dim=2, stable=True)
    batch, _, count = projected.shape
    points = points.expand(batch, -1, -1)
    if share is None and ranks is None:
        matched = _at_even_ranks(points, count)
    else:
        wanted = _even_ranks(ordered) if share is None else _ranks(_gather(share, order))
        known = _even_ranks(points) if ranks is None else ranks.expand_as(points)
        matched = _at_ranks(points, known, wanted)
    gap = torch.empty_like(projected).scatter_(2, order, ordered - matched)
    if share is None:
        return gap, gap / count
    return gap, gap * share.unsqueeze(1)


def _quantiles(projected: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Sorted projections (B, K, N) with their ranks, which are None where all weigh the same.

    What has no weight goes to the end, where it repeats the last value that has.
    """
    if weight is None:
        return projected.sort(dim=2, stable=True).values, None
    present = (weight > 0).unsqueeze(1)
    ordered, order = projected.masked_fill(~present, torch.inf).sort(dim=2, stable=True)
    last = present.sum(2, keepdim=True).sub(1).clamp_min(0).expand(ordered.shape[0], -1, -1)
    greatest = ordered.gather(2, last.expand(-1, ordered.shape[1], -1))
    share = _gather(weight / weight.sum(1, keepdim=True), order)
    return torch.minimum(ordered, greatest), _ranks(share)


def _at_even_ranks(points: Tensor, count: int) -> Tensor:
    """Sorted points at the middles of `count` equal shares; exact, for whole numbers are."""
    size = points.shape[2]
    position = (2 * torch.arange(count, device=points.device) + 1) * size - count
    below = position.div(2 * count, rounding_mode="floor")
    fraction = (position - below * 2 * count).to(points) / (2 * count)
    low = points[:, :, below.clamp(0, size - 1)]
    high = points[:, :, (below + 1).clamp(0, size - 1)]
    return low.lerp(high, fraction)


def _at_ranks(points: Tensor, ranks: Tensor, wanted: Tensor) -> Tensor:
    """Sorted points, which lie at ranks, at the ranks that are wanted."""
    above = torch.searchsorted(ranks.contiguous(), wanted.contiguous())
    high = above.clamp_max(points.shape[2] - 1)
    low = (above - 1).clamp_min(0)
    start, end = ranks.gather(2, low), ranks.gather(2, high)
    fraction = (wanted - start) / (end - start).clamp_min(torch.finfo(points.dtype).tiny)
    return points.gather(2, low).lerp(points.gather(2, high), fraction.clamp(0, 1))


def _ranks(share: Tensor) -> Tensor:
    """The middle of each share of the way from 0 to 1."""
    return share.cumsum(2) - share / 2


def _even_ranks(like: Tensor) -> Tensor:
    count = like.shape[2]
    return ((torch.arange(count, device=like.device).to(like) + 0.5) / count).expand_as(like)


def _gather(share: Tensor, order: Tensor) -> Tensor:
    return share.unsqueeze(1).expand(order.shape).gather(2, order)
