"""Style as what each position is like: nearest neighbours by the cosine of features."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from styler.losses._checks import check_choice
from styler.losses.base import DIVISOR_FLOOR
from styler.losses.samples import VALUES_AT_ONCE, SampleLoss, Samples, average, given

CENTRINGS: Mapping[str, str] = MappingProxyType(
    {
        "own": "each picture's features less their own mean",
        "target": "both pictures' features less the target's mean",
        "none": "features as they are",
    }
)
"""What cosines are taken of, by name."""
MATCHED_LIMIT = 4096
"""Positions of a target that are matched with."""
SHORT = 1e-4
"""Features whose squared length is below this share of the target's mean count as short: their
cosines are divided by that length in place of their own, so that zeros have finite gradients."""


def nearest_neighbours(vectors: Tensor, others: Tensor, weight: Tensor | None = None) -> Tensor:
    """For each vector which of the others has the greatest inner product with it.

    For vectors of length 1 that is the nearest by cosine distance. It is found without gradients,
    for some vectors at a time, so that not all products are there at once.

    Args:
        vectors: (B or 1, C, M).
        others: (B or 1, C, N).
        weight: (B or 1, N) of the others; what weighs 0 is nobody's neighbour.

    Returns:
        (B, M), indices from 0 to N − 1; of equals, the first.

    Example:
        >>> vectors = torch.tensor([[[1.0, 0.0, 0.6], [0.0, 1.0, 0.8]]])
        >>> nearest_neighbours(vectors, torch.tensor([[[0.0, 1.0], [1.0, 0.0]]]))
        tensor([[1, 0, 0]])
    """
    batch = max(vectors.shape[0], others.shape[0])
    step = max(1, VALUES_AT_ONCE // (batch * others.shape[2]))
    found = []
    with torch.no_grad():
        for part in torch.split(vectors, step, dim=2):
            products = part.mT @ others
            if weight is not None:
                products = products.masked_fill(weight.unsqueeze(1) <= 0, -torch.inf)
            found.append(products.argmax(2))
    return torch.cat(found, dim=1)


class _CosineLoss(SampleLoss):
    """What losses on cosines share: targets of vectors of length 1."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.centring = "none"

    def _ready(self, target: Samples) -> Samples:
        values = target.values
        floor = (SHORT * average(values.square().sum(1), target.weight)).clamp_min(DIVISOR_FLOOR)
        if self.centring != "none":
            values = values - average(values, target.weight).unsqueeze(2)
        return target._replace(points=_unit(values, floor), scale=floor)

    def _centred(self, picture: Samples, target: Samples) -> Tensor:
        if self.centring == "none":
            return picture.values
        middle = picture if self.centring == "own" else target
        return picture.values - average(middle.values, middle.weight).unsqueeze(2)


class NeighbourStyleLoss(_CosineLoss):
    """Style position by position: each feature is to be like the style's nearest one.

    The mean over the picture's positions of the least cosine distance, 1 − cos, to any position of
    the style: from 0 to 2, whatever the layer. Matches are found without gradients, which is exact:
    where the nearest stays the nearest, only the distance to it changes. All positions of the
    picture are matched, in parts, with at most `limit` of the style; masks weight the picture's
    positions and choose among the style's.

    Cosines do not see how strong features are. Centred by its own mean, as in the paper, a picture
    is not told by that mean from the style, either: a layer of the moments beside it does that, or
    the centring "target". See `SHORT` for features near zero.

    Args:
        centring: a name in `CENTRINGS`.
        limit: the greatest number of a target's positions that is kept. Time is in proportion to
            it and to the picture's positions.

    Raises:
        UsageError: the name is unknown or the limit is below 1.

    Example:
        >>> loss = NeighbourStyleLoss("none")
        >>> style = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
        >>> loss(torch.tensor([[[[3.0]], [[4.0]]]]), style)  # cosines .6 and .8
        tensor(0.2000)

    References:
        Kolkin, Kučera, Paris, Sýkora, Shechtman, Shakhnarovich, "Neural Neighbor Style Transfer",
        arXiv 2203.13215, whose last stage ("feature splitting") matches each layer by itself in
        every step, by cosines of features less the mean of their own picture. Departure: there,
        each step takes another grid of some 64 × 64 positions of both pictures; this takes all of
        the picture and a constant choice of the style. Chen, Schmidt, arXiv 1612.04337 and Li,
        Wand, arXiv 1601.04589 match patches of 3 × 3 positions by uncentred cosines and compare
        them by squared differences.
    """

    def __init__(self, centring: str = "own", limit: int = MATCHED_LIMIT) -> None:
        super().__init__(limit)
        check_choice("centring", centring, CENTRINGS)
        self.centring = centring

    def _distance(self, picture: Samples, target: Samples) -> Tensor:
        values = self._centred(picture, target)
        return _from_picture(values, picture.weight, target)


class RelaxedEmdLoss(_CosineLoss):
    """Style as a set of features, both ways: the relaxed earth mover's distance.

    With d(i, j) the cosine distance of a position of the picture and one of the style, the greater
    of mean_i min_j d(i, j) and mean_j min_i d(i, j). Each is a lower bound of the earth mover's
    distance, since it lets any number move to one place. From 0 to 2, whatever the layer. All
    positions of the picture are matched, in parts, with at most `limit` of the style. Masks weight
    both means, and what they leave out is nobody's neighbour.

    Cosines do not see how strong features are; the paper adds a loss of mean and covariance, which
    is `MomentStyleLoss` here. See `SHORT` for features near zero.

    Args:
        limit: the greatest number of a target's positions that is kept. Time is in proportion to
            it and to the picture's positions.

    Raises:
        UsageError: the limit is below 1.

    Example:
        >>> loss = RelaxedEmdLoss()
        >>> style = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
        >>> loss(torch.tensor([[[[3.0]], [[4.0]]]]), style)  # .2 to the nearest, .2 and .4 from all
        tensor(0.3000)

    References:
        Kolkin, Salavon, Shakhnarovich, "Style Transfer by Relaxed Optimal Transport and
        Self-Similarity", arXiv 1904.12785. Departures: the paper joins the channels of all layers
        to one feature, this takes each layer by itself; the paper samples 1024 positions of both
        pictures in every step, this takes all of the picture and a constant choice of the style.
    """

    def __init__(self, limit: int = MATCHED_LIMIT) -> None:
        super().__init__(limit)

    def _distance(self, picture: Samples, target: Samples) -> Tensor:
        values, weight = picture.values, picture.weight
        return torch.maximum(
            _from_picture(values, weight, target), _from_target(values, weight, target)
        )


def _from_picture(values: Tensor, weight: Tensor | None, target: Samples) -> Tensor:
    """The mean cosine distance (B,) of the picture's positions to the target's nearest.

    A few at a time, on the way back once more: what they are matched with is as large as they.
    """
    points, floor = given(target.points), given(target.scale)
    index = nearest_neighbours(_unit(values.detach(), floor), points, target.weight)
    step = max(1, VALUES_AT_ONCE // (values.shape[0] * values.shape[1]))
    parts = zip(torch.split(values, step, dim=2), torch.split(index, step, dim=1), strict=True)
    found = [
        checkpoint(
            _distance_to, part, points, chosen, floor, use_reentrant=False, preserve_rng_state=False
        )
        for part, chosen in parts
    ]
    return average(torch.cat(found, dim=1), weight)


def _from_target(values: Tensor, weight: Tensor | None, target: Samples) -> Tensor:
    """The mean cosine distance (B,) of the target's positions to the picture's nearest."""
    points, floor = given(target.points), given(target.scale)
    index = nearest_neighbours(points, _unit(values.detach(), floor), weight)
    chosen = values.gather(2, index.unsqueeze(1).expand(-1, values.shape[1], -1))
    return average(1 - (_unit(chosen, floor) * points).sum(1), target.weight)


def _distance_to(values: Tensor, points: Tensor, index: Tensor, floor: Tensor) -> Tensor:
    """Cosine distances (B, M) of vectors to the points that they are matched with."""
    chosen = index.unsqueeze(1).expand(values.shape)
    matched = points.expand(values.shape[0], -1, -1).gather(2, chosen)
    return 1 - (_unit(values, floor) * matched).sum(1)


def _unit(values: Tensor, floor: Tensor) -> Tensor:
    """Vectors of length 1, and shorter where their squared length is below the floor (B,)."""
    squares = values.square().sum(1, keepdim=True)
    return values * torch.maximum(squares, floor.view(-1, 1, 1)).rsqrt()
