"""Content losses: features compared position by position."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from styler.losses._checks import (
    check_choice,
    check_count,
    check_features,
    check_masked,
    check_non_negative,
    check_pair,
    check_weight,
)
from styler.losses.base import DIVISOR_FLOOR, FeatureLoss
from styler.losses.statistics import to_full_precision

CONTENT_NORMALIZATIONS: Mapping[str, str] = MappingProxyType(
    {
        "mse": "Σ (f − t)² / (C·M)",
        "gatys": "½ Σ (f − t)²",
        "variance": "Σ (f − t)² / (C·M·var t)",
        "relative": "Σ (f − t)² / Σ t²",
    }
)
"""Content normalisations by name, each with its formula."""
CHUNK = 64
"""Channels of a target that are summed at a time."""


class ContentTarget(NamedTuple):
    """Features with what comparing them needs.

    Attributes:
        features: (B, C, H, W), in their own precision.
        weight: (B or 1, 1, H, W) position weights, or None.
        divisor: (B,), what Σ w (f − t)² is divided by; None until prepared.
    """

    features: Tensor
    weight: Tensor | None = None
    divisor: Tensor | None = None

    def crop(self, rows: slice, columns: slice) -> ContentTarget:
        """The part of a tile; with a prepared target the losses of all tiles add up to the whole.

        Args:
            rows: of the layer's positions.
            columns: of the layer's positions.

        Returns:
            Views of the features and weight, with the divisor of the whole.
        """
        weight = None if self.weight is None else self.weight[..., rows, columns]
        return ContentTarget(self.features[..., rows, columns], weight, self.divisor)


def content_divisor(
    target: Tensor,
    normalization: str = "mse",
    weight: Tensor | None = None,
    floor: float = DIVISOR_FLOOR,
) -> Tensor:
    """What the sum of squared differences is divided by, by `CONTENT_NORMALIZATIONS`.

    Args:
        target: (B, C, H, W), floating point.
        normalization: a name in `CONTENT_NORMALIZATIONS`.
        weight: (B or 1, 1, H, W) position weights of 0 or more; None is 1 everywhere.
        floor: least variance or mean square, for targets that are constant or zero.

    Returns:
        (B,), float64 for a float64 target, else float32.

    Raises:
        UsageError: a shape, type or name does not fit, or a mask selects nothing.
    """
    check_choice("normalization", normalization, CONTENT_NORMALIZATIONS)
    check_features(target, "target features")
    batch, channels, height, width = target.shape
    wide = torch.promote_types(target.dtype, torch.float32)
    if weight is None:
        elements = target.new_full((batch,), channels * height * width, dtype=wide)
    else:
        check_weight(weight, target)
        weight = weight.to(wide)
        elements = channels * weight.sum((1, 2, 3)).expand(batch)
        check_count(elements, target)
    if normalization == "gatys":
        return torch.full_like(elements, 2)
    if normalization == "mse":
        return elements
    mean = torch.zeros_like(elements)
    if normalization == "variance":
        mean = _weighted_sum(target, weight, lambda part: part) / elements
    centre = mean.view(-1, 1, 1, 1)
    squares = _weighted_sum(target, weight, lambda part: (part - centre).square())
    return elements * (squares / elements).clamp_min(floor)


def _weighted_sum(
    target: Tensor, weight: Tensor | None, function: Callable[[Tensor], Tensor]
) -> Tensor:
    """Σ w g(t) over channels and positions, (B,), a few channels at a time: targets are large."""
    total = torch.zeros((), dtype=torch.promote_types(target.dtype, torch.float32))
    total = total.to(target.device)
    for part in torch.split(target, CHUNK, dim=1):
        value = function(to_full_precision(part))
        total = total + (value if weight is None else weight * value).sum((1, 2, 3))
    return total


def content_distance(
    features: Tensor, target: Tensor, normalization: str = "mse", weight: Tensor | None = None
) -> Tensor:
    """Squared difference of features, position by position.

    Args:
        features: (B, C, H, W), floating point.
        target: (B or 1, C, H, W).
        normalization: a name in `CONTENT_NORMALIZATIONS`.
        weight: position weights of 0 or more, batch 1 or that of the target.

    Returns:
        (B,), float64 for float64 features, else float32.

    Raises:
        UsageError: a shape, type or name does not fit, or a mask selects nothing.

    Example:
        >>> content_distance(torch.full((1, 1, 1, 2), 3.0), torch.ones(1, 1, 1, 2), "gatys")
        tensor([4.])

    References:
        Gatys, Ecker, Bethge, arXiv 1508.06576, eq. 1 ("gatys").
    """
    divisor = content_divisor(target, normalization, weight)
    return weighted_squares(features, target, weight) / divisor


def weighted_squares(features: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Σ w (f − t)² over channels and positions.

    Args:
        features: (B, C, H, W), floating point.
        target: (B or 1, C, H, W).
        weight: (B or 1, 1, H, W), or None for 1 everywhere.

    Returns:
        (B,), float64 for float64 features, else float32.

    Raises:
        UsageError: a shape or type does not fit.
    """
    check_features(features)
    check_pair(features, target)
    squares = (to_full_precision(features) - to_full_precision(target)).square()
    if weight is not None:
        check_weight(weight, features)
        squares = weight.to(squares.dtype) * squares
    return squares.sum((1, 2, 3))


class ContentLoss(FeatureLoss[ContentTarget]):
    """Content as features where they are: the squared difference at every position.

    With f the picture's features, t the target's, both C × M:

    | normalization | loss | used by |
    | --- | --- | --- |
    | "mse" | Σ (f − t)² / (C·M) | Johnson et al., neural-style, pystiche |
    | "gatys" | ½ Σ (f − t)² | Gatys et al., eq. 1 |
    | "variance" | Σ (f − t)² / (C·M·var t) | styler: 1 is as far off as the target's own mean |
    | "relative" | Σ (f − t)² / Σ t² | Mahendran & Vedaldi: 1 is as far off as zeros |

    The variance is over all channels and positions of a sample together. With a mask, squared
    differences, the variance and Σ t² are weighted and M is the sum of its weights.

    Args:
        normalization: a name in `CONTENT_NORMALIZATIONS`.
        eps: least variance or mean square, in squared features: keeps a constant target finite.

    Raises:
        UsageError: the name is unknown or eps is negative.

    Example:
        >>> loss = ContentLoss("mse")
        >>> content = loss.prepare(loss.represent(torch.zeros(1, 8, 4, 4)))
        >>> loss.compare(loss.represent(torch.full((1, 8, 4, 4), 3.0)), content)
        tensor(9.)

    References:
        Gatys, Ecker, Bethge, arXiv 1508.06576, eq. 1; Johnson, Alahi, Fei-Fei, arXiv 1603.08155,
        eq. 2 ("mse"); Mahendran, Vedaldi, arXiv 1412.0035, section 3 ("relative").
    """

    tileable = True

    def __init__(self, normalization: str = "variance", eps: float = DIVISOR_FLOOR) -> None:
        super().__init__()
        check_choice("normalization", normalization, CONTENT_NORMALIZATIONS)
        check_non_negative("eps", eps)
        self.normalization = normalization
        self.eps = eps

    def crop(self, target: ContentTarget, rows: slice, columns: slice) -> ContentTarget:
        """See `ContentTarget.crop`."""
        return target.crop(rows, columns)

    def represent(self, features: Tensor, weight: Tensor | None = None) -> ContentTarget:
        """The features themselves, with the mask; see `FeatureLoss.represent`."""
        check_features(features)
        if weight is not None:
            check_weight(weight, features)
        return ContentTarget(features, weight)

    def prepare(self, represented: ContentTarget) -> ContentTarget:
        """The features as constants, with their divisor; see `FeatureLoss.prepare`."""
        return super().prepare(represented._replace(divisor=self._divisor(represented)))

    def compare(self, represented: ContentTarget, target: ContentTarget) -> Tensor:
        """The mean distance over the batch, weighted by the target's mask if it has one.

        Args:
            represented: of the picture; it needs no mask of its own.
            target: of the content, batch B or 1; faster when prepared.

        Returns:
            A scalar.

        Raises:
            UsageError: shapes differ, a mask selects nothing, or only the picture has one.
        """
        check_masked(represented.weight, target.weight)
        squares = weighted_squares(represented.features, target.features, target.weight)
        return (squares / self._divisor(target)).mean()

    def _divisor(self, target: ContentTarget) -> Tensor:
        if target.divisor is not None:
            return target.divisor
        return content_divisor(target.features, self.normalization, target.weight, self.eps)
