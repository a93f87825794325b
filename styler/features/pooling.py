"""Kinds of pooling that stand in for a network's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

PoolingKind = Literal["max", "average", "l2"]
"""What becomes of a window: its largest value, its mean, or the root of the mean of its squares."""

RESCALE: Mapping[PoolingKind, float] = MappingProxyType({"max": 1.0, "average": 1.45, "l2": 1.33})
"""By what the result of a 2×2 pooling that stands in for max pooling is multiplied.

Over photographs and paintings (the package's samples at 320 pixels), the mean activation of relu2_1
to relu5_1 of vgg-lite and of VGG-19 is then 0.88 to 1.18 times that of max pooling for the average,
and 0.95 to 1.13 times for the root; without the factors it falls from 0.8 to 0.2 or 0.3.

Departure from crowsonkb/style-transfer-pytorch: there it is 2 for the average, and 0.78 for the
root of the sum of squares, hence 1.56 for that of their mean. These keep the spread of independent
numbers; neighbouring features are alike, and with them the mean grows to 1.5 and 1.3 times at
relu2_1, to 3.2 or 3.5 and to 1.8 or 1.9 times at relu5_1.
"""


def pooling_name(kind: PoolingKind, *, rescaled: bool) -> str:
    """How a network pools, in one word.

    Args:
        kind: of pooling.
        rescaled: whether its result is multiplied, see `RESCALE`.

    Example:
        >>> pooling_name("average", rescaled=True), pooling_name("max", rescaled=True)
        ('average×1.45', 'max')
    """
    factor = RESCALE[kind] if rescaled else 1.0
    return kind if factor == 1 else f"{kind}×{factor:g}"


def pooling_function(kind: PoolingKind, *, rescaled: bool) -> Callable[[Tensor, int], Tensor]:
    """A pooling of windows that do not overlap.

    Args:
        kind: of pooling.
        rescaled: multiply its result, see `RESCALE`.

    Returns:
        A function of (B, C, H, W) and the side k of a window, to (B, C, ⌊H/k⌋, ⌊W/k⌋).

    Example:
        >>> corner = torch.tensor([[[[3.0, 0.0], [0.0, 4.0]]]])
        >>> kinds: list[PoolingKind] = ["max", "average", "l2"]
        >>> [pooling_function(kind, rescaled=False)(corner, 2).item() for kind in kinds]
        [4.0, 1.75, 2.5]
    """
    plain = _KINDS[kind]
    factor = RESCALE[kind] if rescaled else 1.0
    if factor == 1:
        return plain
    return lambda value, side: plain(value, side) * factor


def l2_pool(value: Tensor, side: int) -> Tensor:
    """The root of the mean square of each window.

    It lies between the mean and the largest value. Of a window of zeros it has no gradient in the
    strict sense; it is taken to be 0, the mean of those from all directions, and stays finite
    where autograd's own of a root would be infinite.

    Args:
        value: (B, C, H, W).
        side: of the windows, which do not overlap; rows and columns over are left out.

    Returns:
        (B, C, ⌊H/side⌋, ⌊W/side⌋), laid out in memory as `value` is.

    Example:
        >>> l2_pool(torch.tensor([[[[1.0, 7.0], [5.0, 5.0]]]]), 2)
        tensor([[[[5.]]]])
    """
    found: Tensor = _RootMeanSquare.apply(value, side)
    return found


class _RootMeanSquare(torch.autograd.Function):
    """See `l2_pool`; autograd would keep the squares, too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, side: int) -> Tensor:
        root = F.avg_pool2d(value.square(), side).sqrt_()
        ctx.save_for_backward(value, root)
        ctx.side = side
        return root

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        value, root = ctx.saved_tensors
        (gradient,) = gradients
        share = (gradient / (root * ctx.side**2)).masked_fill_(root == 0, 0)
        spread = F.interpolate(share, scale_factor=ctx.side, mode="nearest")
        over = (value.shape[3] - spread.shape[3], value.shape[2] - spread.shape[2])
        if any(over):
            spread = F.pad(spread, (0, over[0], 0, over[1]))
        return spread.mul_(value), None


_KINDS: Mapping[PoolingKind, Callable[[Tensor, int], Tensor]] = MappingProxyType(
    {"max": F.max_pool2d, "average": F.avg_pool2d, "l2": l2_pool}
)
