"""Features as samples: what losses compare that need every position, not sums over them.

Such a loss sorts positions or matches them with those of the style, so it cannot be taken tile by
tile. All positions of the picture take part, so that each has a gradient; of a style a bounded
number is kept, evenly spread, so that cost and memory are bounded at any size.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from styler.errors import UsageError
from styler.losses._checks import (
    check_count,
    check_features,
    check_pair,
    check_positive,
    check_shares,
    check_weight,
)
from styler.losses.base import FeatureLoss, map_tensors
from styler.losses.statistics import to_full_precision, without_autocast

LAST_SHARE = 1 - 1e-6
"""Greatest share of all weight at which a position is looked for: rounding stays below the end."""
VALUES_AT_ONCE = 2**24
"""Numbers in the largest tensor that a loss makes while it works through positions."""


class Samples(NamedTuple):
    """The features of a layer, position by position, in no order that matters.

    Attributes:
        values: (B, C, N), float32 or float64.
        weight: (B or 1, N) weights of positions, 0 or more; None is the same for all.
        points: (B, K, L), what a loss compares with in place of the values; None until prepared.
        ranks: (B or 1, K, L), where on the way from 0 to 1 sorted points with weights are.
        axes: (K, C), what the values are projected on.
        scale: (B,), what the loss measures the target by.
    """

    values: Tensor
    weight: Tensor | None = None
    points: Tensor | None = None
    ranks: Tensor | None = None
    axes: Tensor | None = None
    scale: Tensor | None = None


def join_samples(parts: Sequence[Samples], shares: Sequence[float]) -> Samples:
    """Mix several styles into one, whatever the sizes of their pictures.

    Args:
        parts: what was represented of each style, all at the same layer with the same batch.
        shares: how much of each, 0 or more; only their proportions matter.

    Returns:
        The positions of all with a share above 0; the weights of style i sum to its share of all.
        Nothing of it is prepared.

    Raises:
        UsageError: the lengths or shapes differ, a share is negative, or all are zero.

    Example:
        >>> black, white = Samples(torch.zeros(1, 1, 3)), Samples(torch.ones(1, 1, 1))
        >>> mixed = join_samples([black, white], [3, 1])
        >>> mixed.values, mixed.weight
        (tensor([[[0., 0., 0., 1.]]]), tensor([[0.2500, 0.2500, 0.2500, 0.2500]]))
    """
    check_shares(shares, len(parts))
    shapes = {tuple(part.values.shape[:2]) for part in parts}
    if len(shapes) > 1:
        raise UsageError(
            f"samples of (batch, channels) {', '.join(map(str, sorted(shapes)))}, "
            "expected the same of all",
            "join only what was represented at one layer, with the same batch",
        )
    total = sum(shares)
    kept = [(part, share / total) for part, share in zip(parts, shares, strict=True) if share > 0]
    weights = [share * _even(part) for part, share in kept]
    batch = max(weight.shape[0] for weight in weights)
    return Samples(
        torch.cat([part.values for part, _ in kept], dim=2),
        torch.cat([weight.expand(batch, -1) for weight in weights], dim=1),
    )


def thin_samples(samples: Samples, most: int) -> Samples:
    """A bounded number of positions that stand for all, evenly spread and always the same.

    All weight is cut into equal parts in the order of positions, and of each part one position is
    taken: not its first, or rows and columns that are in step with parts would be left out, but one
    that was drawn once and for all. What a mask leaves out is never taken.

    Args:
        samples: of a style.
        most: number of positions that is not exceeded, 1 or more.

    Returns:
        The samples themselves if they are no more; those that have a weight if these are no more;
        else `most` of them, which weigh the same. Where weights differ, what weighs more than a
        part is taken more than once.

    Raises:
        UsageError: `most` is below 1.

    Example:
        >>> thin_samples(Samples(torch.arange(100.0).view(1, 1, -1)), 5).values
        tensor([[[19., 34., 49., 78., 92.]]])
    """
    check_positive("most", most)
    values, weight = samples.values, samples.weight
    count = values.shape[2]
    if count <= most:
        return samples
    drawn = torch.rand(most, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if weight is None:
        borders = torch.arange(most + 1) * count // most
        index = borders[:-1] + (drawn * borders.diff()).long()
        return Samples(values[:, :, index.to(values.device)])
    present = weight > 0
    needed = int(present.sum(1).max())
    if needed <= most:
        index = present.byte().argsort(dim=1, descending=True, stable=True)[:, :needed]
        return Samples(_at(values, index), weight.gather(1, index))
    spread = ((torch.arange(most) + drawn) / most).clamp_max(LAST_SHARE)
    reached = weight.cumsum(1)
    wanted = spread.to(weight) * reached[:, -1:]
    index = torch.searchsorted(reached, wanted, right=True).clamp_max(count - 1)
    return Samples(_at(values, index))


def average(tensor: Tensor, weight: Tensor | None) -> Tensor:
    """The mean over the last dimension, which is that of positions.

    Args:
        tensor: (B, N) or (B, K, N).
        weight: (B or 1, N), or None for the same everywhere.

    Returns:
        (B,) or (B, K).
    """
    if weight is None:
        return tensor.mean(-1)
    share = weight / weight.sum(1, keepdim=True)
    return (tensor * (share if tensor.ndim == 2 else share.unsqueeze(1))).sum(-1)


def given(tensor: Tensor | None) -> Tensor:
    """A part of a prepared target.

    Args:
        tensor: that part.

    Returns:
        The same.

    Raises:
        UsageError: it is not there: another loss has prepared the target.
    """
    if tensor is None:
        raise UsageError("the target was prepared by another loss", "prepare it with this one")
    return tensor


class SampleLoss(FeatureLoss[Samples]):
    """A style loss that compares positions with positions, whatever the sizes of the pictures.

    The target is a constant: no gradient goes to it, nor to masks. A target of more than `limit`
    positions is thinned, see `thin_samples`, so a picture's distance to itself is then not quite
    zero. Several styles are blended by `join_samples` before they are prepared; thin those that
    are large first, each by itself.

    Args:
        limit: the greatest number of a target's positions, 1 or more.

    Raises:
        UsageError: the limit is below 1.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        check_positive("limit", limit)
        self.limit = limit

    def represent(self, features: Tensor, weight: Tensor | None = None) -> Samples:
        """The features and weights of all positions; see `FeatureLoss.represent`."""
        check_features(features)
        values = to_full_precision(features.flatten(2))
        if weight is None:
            return Samples(values)
        check_weight(weight, features)
        row = weight.flatten(1).to(values)
        check_count(row.sum(1), values)
        return Samples(values, row)

    def prepare(self, represented: Samples) -> Samples:
        """At most `limit` positions and what is made of them; see `FeatureLoss.prepare`."""
        target = super().prepare(Samples(represented.values, represented.weight))
        return self._thinned_and_ready(target)

    def compare(self, represented: Samples, target: Samples) -> Tensor:
        """The mean distance over the batch; see `FeatureLoss.compare`."""
        values = represented.values
        check_pair(values[..., 0], target.values[..., 0])
        if target.points is None:
            target = self._thinned_and_ready(map_tensors(Tensor.detach, target))
        target = map_tensors(lambda tensor: tensor.to(values.dtype), target)
        with without_autocast(values.device):
            return self._distance(represented, target).mean()

    def _thinned_and_ready(self, target: Samples) -> Samples:
        thinned = thin_samples(Samples(target.values, target.weight), self.limit)
        with torch.no_grad(), without_autocast(thinned.values.device):
            return self._ready(thinned)

    @abstractmethod
    def _ready(self, target: Samples) -> Samples:
        """The target with its points, and whatever else `_distance` wants of it."""

    @abstractmethod
    def _distance(self, picture: Samples, target: Samples) -> Tensor:
        """(B,), the distance of each sample to a target that is ready, in its precision."""


def _at(values: Tensor, index: Tensor) -> Tensor:
    """The values (B, C, n) of some positions (B or 1, n)."""
    return values.gather(2, index.unsqueeze(1).expand(*values.shape[:2], -1))


def _even(samples: Samples) -> Tensor:
    """Weights (B or 1, N) that sum to 1."""
    if samples.weight is None:
        count = samples.values.shape[2]
        return samples.values.new_full((1, count), 1 / count)
    return samples.weight / samples.weight.sum(1, keepdim=True)
