"""Total variation: how much neighbouring values differ."""

from __future__ import annotations

from torch import Tensor, nn

from styler.errors import UsageError
from styler.losses._checks import check_choice, check_features
from styler.losses.base import REDUCTIONS
from styler.losses.statistics import to_full_precision

VARIATION_NORMS = ("l1", "l2", "half-l2", "lp")
"""Norms of `total_variation`, where each is defined."""
VARIATION_POWERS = (1.0, 8.0)
"""Least and greatest exponent of the norm "lp": below 1 the gradient of equal neighbours is
infinite, above 8 differences of some hundredths vanish."""


def total_variation(
    image: Tensor,
    norm: str = "l2",
    reduction: str = "sum",
    power: float = 1.5,
    wrap: bool = False,
) -> Tensor:
    """How much neighbours differ, over vertical and horizontal pairs Δ.

    | norm | sum | where it comes from |
    | --- | --- | --- |
    | "l1" | Σ abs Δ | neural-style-pt, the TensorFlow tutorial (sum) |
    | "l2" | Σ Δ² | crowsonkb/style-transfer-pytorch (mean) |
    | "half-l2" | ½ Σ Δ², no pairs along the last row and column | jcjohnson/neural-style (sum) |
    | "lp" | Σ (abs Δ)^power | between and beyond them: 1 is "l1", 2 is "l2" |

    No norm takes a root of the sum, so the gradient is finite where neighbours are equal.

    Args:
        image: (B, C, H, W), an image or features.
        norm: a name in the table.
        reduction: "sum", or "mean": the sum divided by C·H·W, the number of values rather than
            of pairs.
        power: exponent of "lp", from 1 (edges stay sharp) to 8 (only steep ones are softened).
        wrap: whether the last row and the first are neighbours, and the last column and the first,
            as in a texture that is to be tiled. No pair is left out then, with "half-l2" neither.

    Returns:
        (B,), float64 for a float64 image, else float32.

    Raises:
        UsageError: a shape, type or name does not fit, or the power is out of range.

    Example:
        >>> import torch
        >>> image = torch.tensor([[[[0.0, 1.0], [3.0, 3.0]]]])
        >>> total_variation(image, "l1"), total_variation(image, "half-l2")
        (tensor([6.]), tensor([5.]))
        >>> total_variation(image, "lp", power=3.0)  # 3³ + 2³ + 1³ + 0³
        tensor([36.])

    References:
        Mahendran, Vedaldi, arXiv 1412.0035, section 3, whose regulariser takes the power of a
        gradient's length. Departure: "lp" takes that of each difference.
    """
    check_choice("norm", norm, VARIATION_NORMS)
    check_choice("reduction", reduction, REDUCTIONS)
    _check_power(power)
    check_features(image, "image values")
    image = to_full_precision(image)
    if wrap:
        down, right = image.roll(-1, 2) - image, image.roll(-1, 3) - image
    else:
        down, right = image.diff(dim=2), image.diff(dim=3)
        if norm == "half-l2":
            down, right = down[..., :-1], right[..., :-1, :]
    total = _size(down, norm, power).sum((1, 2, 3)) + _size(right, norm, power).sum((1, 2, 3))
    if norm == "half-l2":
        total = total / 2
    return total if reduction == "sum" else total / image[0].numel()


class TotalVariationLoss(nn.Module):
    """Smoothness of an image or of features: see `total_variation` for the norms.

    It has no target, so it is called with the image alone.

    Args:
        norm: "l1", "l2", "half-l2" or "lp".
        reduction: "sum", or "mean": the sum divided by C·H·W.
        power: exponent of "lp", from 1 to 8.
        wrap: whether opposite borders are neighbours, for textures that are to be tiled.

    Raises:
        UsageError: a name is unknown, or the power is out of range.

    Example:
        >>> import torch
        >>> row = torch.tensor([[[[0.0, 0.5, 1.0]]]])
        >>> TotalVariationLoss("l1", "sum")(row), TotalVariationLoss("l1", "sum", wrap=True)(row)
        (tensor(1.), tensor(2.))
    """

    def __init__(
        self,
        norm: str = "l2",
        reduction: str = "mean",
        power: float = 1.5,
        wrap: bool = False,
    ) -> None:
        super().__init__()
        check_choice("norm", norm, VARIATION_NORMS)
        check_choice("reduction", reduction, REDUCTIONS)
        _check_power(power)
        self.norm = norm
        self.reduction = reduction
        self.power = power
        self.wrap = wrap

    def forward(self, image: Tensor) -> Tensor:
        """The mean over the batch.

        Args:
            image: (B, C, H, W), floating point.

        Returns:
            A scalar.

        Raises:
            UsageError: the shape or type does not fit.
        """
        return total_variation(image, self.norm, self.reduction, self.power, self.wrap).mean()


def _size(difference: Tensor, norm: str, power: float) -> Tensor:
    if norm == "l1":
        return difference.abs()
    return difference.abs().pow(power) if norm == "lp" else difference.square()


def _check_power(power: float) -> None:
    least, greatest = VARIATION_POWERS
    if not least <= power <= greatest:  # NaN, too
        raise UsageError(f"power is {power}, expected {least:g} to {greatest:g}")
