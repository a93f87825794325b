"""Additive statistics over positions: what masks, tiles, blends and saved styles have in common.

A style representation forgets where things are. It is made of sums over positions (of weights, of
features, of products of features), and sums can be taken piece by piece: over tiles of a picture
too large for memory, over the part a mask selects, over several pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from styler.errors import UsageError
from styler.losses._checks import check_features, check_non_negative, check_weight

CONVERTED_AT_ONCE = {"cpu": 2**19, "cuda": 2**24}
"""Values of half precision that are converted to float32 at a time: on a CPU what a cache holds, on
a GPU enough to keep it busy."""


@dataclass(frozen=True)
class FeatureSums:
    """Sums over the positions of a feature map, per sample; `+` joins those of disjoint tiles.

    Attributes:
        count: (B,), the sum of weights; the number of positions without a mask.
        first: (B, C), the weighted sum of features; None if not asked for.
        second: (B, C, C), the weighted sum of outer products f fᵀ; None if not asked for.
    """

    count: Tensor
    first: Tensor | None
    second: Tensor | None

    def __add__(self, other: FeatureSums) -> FeatureSums:
        if _shapes(self) != _shapes(other):
            raise UsageError(
                f"sums of {_shapes(self)} and of {_shapes(other)}, expected the same shapes",
                "add only what one loss accumulated at one layer, with the same batch",
            )
        return FeatureSums(
            self.count + other.count,
            _add(self.first, other.first),
            _add(self.second, other.second),
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> FeatureSums:
        """The sums with a function applied to each tensor, such as ``Tensor.detach``.

        Args:
            function: what to apply.

        Returns:
            New sums.
        """
        return FeatureSums(
            function(self.count),
            None if self.first is None else function(self.first),
            None if self.second is None else function(self.second),
        )


def accumulate(
    features: Tensor, weight: Tensor | None = None, *, first: bool, second: bool
) -> FeatureSums:
    """Sum weights, features and their products over positions, in float32 or better.

    Half-precision features are converted before they are multiplied, so that neither the products
    nor their sums overflow; autocasting does not reach in here. Contiguous and channels-last
    features of float32 or float64 are read where they lie, without a copy.

    Args:
        features: (B, C, H, W), floating point.
        weight: (B or 1, 1, H, W) position weights of 0 or more, such as a mask; None is 1
            everywhere.
        first: whether to sum the features.
        second: whether to sum their outer products.

    Returns:
        The sums: count = Σ w, first = Σ w f, second = Σ w f fᵀ; float64 for float64 features,
        else float32.

    Raises:
        UsageError: a shape or type does not fit, or a weight is negative or not finite. On an
            accelerator the weight's values are looked at only where no gradient is recorded,
            because looking waits for the device.

    Example:
        >>> features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # 2 channels, 1×2 positions
        >>> sums = accumulate(features, first=True, second=True)
        >>> sums.count, sums.first
        (tensor([2.]), tensor([[3., 7.]]))
        >>> sums.second
        tensor([[[ 5., 11.],
                 [11., 25.]]])
        >>> left, right = features.split(1, dim=3)
        >>> tiles = [accumulate(tile, first=True, second=False) for tile in (left, right)]
        >>> (tiles[0] + tiles[1]).first
        tensor([[3., 7.]])
    """
    check_features(features)
    batch, _, height, width = features.shape
    row = _row(features, weight)
    if row is None:
        wide = torch.promote_types(features.dtype, torch.float32)
        count = features.new_full((batch,), height * width, dtype=wide)
    else:
        count = row.sum((1, 2))
    with without_autocast(features.device):
        sums = _Sums.apply(_positions_last(features), row, first, second)
    return FeatureSums(count, *sums)


def sums_gradient(
    features: Tensor, first: Tensor | None, second: Tensor | None, weight: Tensor | None = None
) -> Tensor:
    """The gradient in features of a function of their sums, given its gradient in the sums.

    That of `accumulate`, without the way forward: tiles take it once the sums of all are known.

    Args:
        features: (B, C, H, W), floating point.
        first: (B, C), the gradient in Σ w f; None if it has none.
        second: (B, C, C), the gradient in Σ w f fᵀ; None if it has none.
        weight: as `accumulate` was given.

    Returns:
        (B, C, H, W), in the precision and layout of the features.

    Raises:
        UsageError: a shape or type does not fit.

    Example:
        >>> features = torch.tensor([[[[1.0, 2.0]]]])
        >>> sums_gradient(features, torch.tensor([[5.0]]), torch.tensor([[[10.0]]]))
        tensor([[[[25., 45.]]]])
    """
    check_features(features)
    matrix = _positions_last(features)
    with torch.no_grad(), without_autocast(features.device):
        slope, _ = _back(matrix, _row(features, weight), (first, second), False)
    if matrix.stride(1) == 1:  # channels last
        batch, channels, height, width = features.shape
        return slope.mT.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
    return slope.reshape(features.shape)


def _row(features: Tensor, weight: Tensor | None) -> Tensor | None:
    """Weights of positions as (B, 1, M), in float32 or better."""
    if weight is None:
        return None
    check_weight(weight, features)
    wide = weight.to(torch.promote_types(features.dtype, torch.float32))
    return wide.expand(features.shape[0], -1, -1, -1).reshape(features.shape[0], 1, -1)


def blend(sums: Sequence[FeatureSums], weights: Sequence[float]) -> FeatureSums:
    """Mix several styles into one, whatever the sizes of their pictures.

    Args:
        sums: what was accumulated from each style, all at the same layer.
        weights: how much of each, 0 or more; only their proportions matter.

    Returns:
        The sums of one picture in which style i covers the share weights[i] / Σ weights; its
        count is 1.

    Raises:
        UsageError: the lengths differ, a weight is negative, or all are zero.

    Example:
        >>> black = accumulate(torch.zeros(1, 1, 2, 2), first=True, second=False)
        >>> white = accumulate(torch.ones(1, 1, 8, 8), first=True, second=False)
        >>> blend([black, white], [1, 3]).first
        tensor([[0.7500]])
    """
    if not sums or len(sums) != len(weights):
        raise UsageError(f"{len(weights)} weights for {len(sums)} styles, expected one for each")
    for weight in weights:
        check_non_negative("blend weight", weight)
    total = sum(weights)
    if total == 0:
        raise UsageError("blend weights are all 0, expected at least one above 0")
    mixed = _share(sums[0], weights[0] / total)
    for style, weight in zip(sums[1:], weights[1:], strict=True):
        mixed = mixed + _share(style, weight / total)
    return mixed


def to_full_precision(tensor: Tensor) -> Tensor:
    """The tensor itself if it is float32 or float64, else converted to float32."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context in which matrix products keep the precision of their operands."""
    if torch.amp.autocast_mode.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def _share(sums: FeatureSums, share: float) -> FeatureSums:
    factor = share / sums.count
    return sums.map(lambda t: t * factor.view(-1, *[1] * (t.ndim - 1)))


def _add(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return None if one is None or other is None else one + other


def _shapes(sums: FeatureSums) -> str:
    present = {"count": sums.count, "first": sums.first, "second": sums.second}
    return ", ".join(f"{name} {tuple(t.shape)}" for name, t in present.items() if t is not None)


def _positions_last(features: Tensor) -> Tensor:
    """View (B, C, H, W) as (B, C, H·W); flattening channels-last features head-on would copy."""
    if features.is_contiguous() or not features.is_contiguous(memory_format=torch.channels_last):
        return features.flatten(2)
    return features.permute(0, 2, 3, 1).flatten(1, 2).mT


class _Sums(torch.autograd.Function):
    """Σ w f and Σ w f fᵀ over the positions of X (B, C, M), in float32 or better.

    Autograd would multiply twice on the way back, once for each X, and keep both X and wX. The two
    products are added up before the multiplication here: it is the dearest part of a style loss.
    Features of half precision are converted a few positions at a time: a copy in float32 of all
    style layers would take half as much memory as a whole network.
    """

    @staticmethod
    def forward(
        ctx: Any, matrix: Tensor, row: Tensor | None, first: bool, second: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        ctx.save_for_backward(matrix, row)
        batch, channels, _ = matrix.shape
        wide = torch.promote_types(matrix.dtype, torch.float32)
        sums = matrix.new_zeros((batch, channels), dtype=wide)
        products = matrix.new_zeros((batch, channels, channels), dtype=wide)
        for part in _parts(matrix):
            own = to_full_precision(matrix[:, :, part])
            weighted = own if row is None else own * row[:, :, part]
            if first:
                sums += weighted.sum(2)
            if second:
                products.baddbmm_(weighted, own.mT)
        return sums if first else None, products if second else None

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Tensor | None, ...]:
        matrix, row = ctx.saved_tensors
        return (*_back(matrix, row, slopes, ctx.needs_input_grad[1]), None, None)


def _back(
    matrix: Tensor, row: Tensor | None, slopes: Sequence[Tensor | None], to_row: bool
) -> tuple[Tensor, Tensor | None]:
    """The gradients in features and, where wanted, in the weights of their positions."""
    parts = _parts(matrix)
    if len(parts) == 1:
        return _back_at_once(matrix, row, slopes, to_row)
    to_matrix = torch.empty_like(matrix)
    rows: list[Tensor] = []
    for part in parts:
        weights = None if row is None else row[:, :, part]
        to_matrix[:, :, part], weight = _back_at_once(matrix[:, :, part], weights, slopes, to_row)
        rows += [] if weight is None else [weight]
    return to_matrix, torch.cat(rows, dim=2) if rows else None


def _back_at_once(
    matrix: Tensor, row: Tensor | None, slopes: Sequence[Tensor | None], to_row: bool
) -> tuple[Tensor, Tensor | None]:
    """The same for positions that are converted together."""
    own = to_full_precision(matrix)
    slope, to_weight = _slope(own, *slopes), None
    if to_row:
        both = slope if slopes[0] is None else slope + slopes[0].unsqueeze(2)
        to_weight = (own * both).sum(1, keepdim=True) / 2
    return (slope if row is None else slope * row).to(matrix.dtype), to_weight


def _slope(own: Tensor, first: Tensor | None, second: Tensor | None) -> Tensor:
    """The gradient of the sums in features of weight 1."""
    if second is None:
        return torch.zeros_like(own) if first is None else first.unsqueeze(2).expand_as(own)
    symmetric = second + second.mT
    # Channels-last: hand the gradient back in the same layout.
    last = own.stride(1) == 1
    slope = torch.bmm(own.mT, symmetric).mT if last else torch.bmm(symmetric, own)
    return slope if first is None else slope + first.unsqueeze(2)


def _parts(matrix: Tensor) -> list[slice]:
    """Positions that are summed together: all of them in full precision."""
    positions = matrix.shape[2]
    if matrix.dtype in (torch.float32, torch.float64):
        return [slice(0, positions)]
    converted = CONVERTED_AT_ONCE.get(matrix.device.type, max(CONVERTED_AT_ONCE.values()))
    step = max(1, converted // (matrix.shape[0] * matrix.shape[1]))
    return [slice(start, start + step) for start in range(0, positions, step)]
