"""Total variation: how much neighbouring values differ."""

from __future__ import annotations

from torch import Tensor, nn

from styler.losses._checks import check_choice, check_features
from styler.losses.base import REDUCTIONS
from styler.losses.statistics import to_full_precision

VARIATION_NORMS = ("l1", "l2", "half-l2")
"""Norms of `total_variation`, where each is defined."""


def total_variation(image: Tensor, norm: str = "l2", reduction: str = "sum") -> Tensor:
    """How much neighbours differ, over vertical and horizontal pairs Δ.

    | norm | sum | where it comes from |
    | --- | --- | --- |
    | "l1" | Σ abs Δ | neural-style-pt, the TensorFlow tutorial (sum) |
    | "l2" | Σ Δ² | crowsonkb/style-transfer-pytorch (mean) |
    | "half-l2" | ½ Σ Δ², no pairs along the last row and column | jcjohnson/neural-style (sum) |

    No norm takes a root, so the gradient is finite where neighbours are equal.

    Args:
        image: (B, C, H, W), an image or features.
        norm: a name in the table.
        reduction: "sum", or "mean": the sum divided by C·H·W, the number of values rather than
            of pairs.

    Returns:
        (B,), float64 for a float64 image, else float32.

    Raises:
        UsageError: a shape, type or name does not fit.

    Example:
        >>> import torch
        >>> image = torch.tensor([[[[0.0, 1.0], [3.0, 3.0]]]])
        >>> total_variation(image, "l1"), total_variation(image, "half-l2")
        (tensor([6.]), tensor([5.]))
    """
    check_choice("norm", norm, VARIATION_NORMS)
    check_choice("reduction", reduction, REDUCTIONS)
    check_features(image, "image values")
    image = to_full_precision(image)
    down, right = image.diff(dim=2), image.diff(dim=3)
    if norm == "half-l2":
        down, right = down[..., :-1], right[..., :-1, :]
    if norm == "l1":
        total = down.abs().sum((1, 2, 3)) + right.abs().sum((1, 2, 3))
    else:
        total = down.square().sum((1, 2, 3)) + right.square().sum((1, 2, 3))
    if norm == "half-l2":
        total = total / 2
    return total if reduction == "sum" else total / image[0].numel()


class TotalVariationLoss(nn.Module):
    """Smoothness of an image or of features: see `total_variation` for the norms.

    It has no target, so it is called with the image alone.

    Args:
        norm: "l1", "l2" or "half-l2".
        reduction: "sum", or "mean": the sum divided by C·H·W.

    Raises:
        UsageError: a name is unknown.

    Example:
        >>> import torch
        >>> TotalVariationLoss("l1", "sum")(torch.tensor([[[[0.0, 0.5, 0.0]]]]))
        tensor(1.)
    """

    def __init__(self, norm: str = "l2", reduction: str = "mean") -> None:
        super().__init__()
        check_choice("norm", norm, VARIATION_NORMS)
        check_choice("reduction", reduction, REDUCTIONS)
        self.norm = norm
        self.reduction = reduction

    def forward(self, image: Tensor) -> Tensor:
        """The mean over the batch.

        Args:
            image: (B, C, H, W), floating point.

        Returns:
            A scalar.

        Raises:
            UsageError: the shape or type does not fit.
        """
        return total_variation(image, self.norm, self.reduction).mean()
