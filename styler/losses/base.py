"""What all losses on features share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from torch import Tensor, nn

from styler.errors import UsageError
from styler.losses._checks import check_finite
from styler.losses.statistics import FeatureSums, accumulate

DIVISOR_FLOOR = 1e-12
"""Least number a loss is divided by when it is divided by a measure of its target."""

REDUCTIONS = ("mean", "sum")

S = TypeVar("S", bound="Tensor | tuple[Tensor | None, ...]")
"""A statistic: one tensor, or a named tuple of tensors."""


def map_tensors(function: Callable[[Tensor], Tensor], statistic: S) -> S:
    """Apply a function to every tensor of a statistic, to move or detach it.

    Args:
        function: what to apply.
        statistic: a tensor or a named tuple of tensors; None stays None.

    Returns:
        A statistic of the same kind.

    Example:
        >>> import torch
        >>> from styler.losses import Moments
        >>> moments = Moments(torch.zeros(1, 3), torch.zeros(1, 3, 3))
        >>> map_tensors(lambda t: t.to(torch.float64), moments).mean.dtype
        torch.float64
    """
    if isinstance(statistic, Tensor):
        return cast(S, function(statistic))
    kind: Any = type(statistic)  # a named tuple takes its fields one by one
    return cast(S, kind(*(None if t is None else function(t) for t in statistic)))


class FeatureLoss(nn.Module, ABC, Generic[S]):
    """A distance between what two feature maps of one layer are represented by.

    Samples of a batch never mix: sample i of the picture is compared with sample i of the target,
    or with the only one, and the loss is the mean over the batch.

    Attributes:
        tileable: whether the loss of a layer is the sum of those of its tiles, each compared with
            the target that `crop` gives.
    """

    tileable = False

    def crop(self, target: S, rows: slice, columns: slice) -> S:
        """The part of a prepared target that belongs to a tile.

        Args:
            target: from `prepare`.
            rows: of the layer's positions.
            columns: of the layer's positions.

        Raises:
            UsageError: the loss is not `tileable`.
        """
        raise UsageError(f"{type(self).__name__} cannot be taken tile by tile")

    @abstractmethod
    def represent(self, features: Tensor, weight: Tensor | None = None) -> S:
        """What the loss keeps of features; differentiable.

        Args:
            features: (B, C, H, W), floating point.
            weight: (B or 1, 1, H, W) position weights of 0 or more, such as a mask; None is 1
                everywhere.

        Returns:
            A tensor or a named tuple of tensors.

        Raises:
            UsageError: a shape or type does not fit, or a mask selects nothing.
        """

    def prepare(self, represented: S) -> S:
        """Make a target of a representation: constant, checked, with its costs paid once.

        Args:
            represented: from `represent`.

        Returns:
            The same without gradients, and with what `compare` would compute from it every time.

        Raises:
            UsageError: a value is NaN or infinite.
        """
        tensors = (represented,) if isinstance(represented, Tensor) else represented
        check_finite(tensors, "target")
        return map_tensors(Tensor.detach, represented)

    @abstractmethod
    def compare(self, represented: S, target: S) -> Tensor:
        """The distance, as the mean over the batch.

        Values that are not finite pass through, for the optimiser to see.

        Args:
            represented: of the picture, batch B.
            target: batch B or 1; faster when prepared.

        Returns:
            A scalar, float64 for float64 features, else float32.

        Raises:
            UsageError: shapes differ.
        """

    def forward(self, features: Tensor, target_features: Tensor) -> Tensor:
        """Compare features with features, for any training loop.

        Args:
            features: (B, C, H, W), floating point.
            target_features: (B or 1, C, H, W); style losses take any H and W.

        Returns:
            A scalar.

        Raises:
            UsageError: a shape or type does not fit.
        """
        return self.compare(self.represent(features), self.represent(target_features))


class StyleLoss(FeatureLoss[S]):
    """A loss on sums over positions, so that it can be taken tile by tile.

    `represent` is `finalise` of `accumulate`; between the two, sums of tiles are added and those of
    several styles blended.

    Args:
        first: whether features are summed.
        second: whether their outer products are summed.
    """

    def __init__(self, *, first: bool = False, second: bool = False) -> None:
        super().__init__()
        self._sums = {"first": first, "second": second}

    def accumulate(self, features: Tensor, weight: Tensor | None = None) -> FeatureSums:
        """The sums this loss needs; see `styler.losses.accumulate`.

        Args:
            features: (B, C, H, W), floating point.
            weight: (B or 1, 1, H, W) position weights of 0 or more; None is 1 everywhere.

        Returns:
            Sums that may be added to those of other tiles.

        Raises:
            UsageError: a shape or type does not fit.
        """
        return accumulate(features, weight, **self._sums)

    @abstractmethod
    def finalise(self, sums: FeatureSums) -> S:
        """The statistic that sums amount to; differentiable.

        Args:
            sums: from `accumulate`, of one or many tiles.

        Returns:
            A tensor or a named tuple of tensors.

        Raises:
            UsageError: a sum is missing, or the weights of a sample sum to zero.
        """

    def represent(self, features: Tensor, weight: Tensor | None = None) -> S:
        """`finalise` of `accumulate`; see `FeatureLoss.represent`."""
        return self.finalise(self.accumulate(features, weight))
