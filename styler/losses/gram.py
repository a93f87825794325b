"""Gram matrices of features and the style losses made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from styler.errors import UsageError
from styler.losses._checks import check_choice, check_count, check_non_negative, check_pair
from styler.losses.base import DIVISOR_FLOOR, REDUCTIONS, StyleLoss
from styler.losses.statistics import FeatureSums, accumulate, to_full_precision


@dataclass(frozen=True, kw_only=True)
class GramNormalization:
    """How a Gram matrix and the squared difference of two are normalised.

    Attributes:
        gram: formula of the matrix G, for people.
        distance: formula of the distance between G and the target's T, for people.
        per_position: whether FFᵀ is divided by M.
        per_channel: whether FFᵀ is divided by C.
        own_reduction: whether the distance settles by itself what becomes of the sum over C².
    """

    gram: str
    distance: str
    per_position: bool = True
    per_channel: bool = False
    own_reduction: bool = False


GRAM_NORMALIZATIONS: Mapping[str, GramNormalization] = MappingProxyType(
    {
        "none": GramNormalization(gram="FFᵀ", distance="mean (G − T)²", per_position=False),
        "hw": GramNormalization(gram="FFᵀ / M", distance="mean (G − T)²"),
        "chw": GramNormalization(gram="FFᵀ / (C·M)", distance="mean (G − T)²", per_channel=True),
        "gatys": GramNormalization(
            gram="FFᵀ / M", distance="Σ (G − T)² / (4·C²)", own_reduction=True
        ),
        "relative": GramNormalization(
            gram="FFᵀ / M", distance="Σ (G − T)² / Σ T²", own_reduction=True
        ),
    }
)
"""Gram normalisations by name; for "none", "hw" and "chw" the mean may be made a sum."""


def gram_matrix(
    features: Tensor, normalization: str = "hw", weight: Tensor | None = None
) -> Tensor:
    """Gram matrix of each sample.

    Args:
        features: (B, C, H, W), floating point.
        normalization: a name in `GRAM_NORMALIZATIONS`; its `gram` formula applies.
        weight: (B or 1, 1, H, W) position weights of 0 or more; None is 1 everywhere.

    Returns:
        (B, C, C), float64 for float64 features, else float32.

    Raises:
        UsageError: a shape, type or name does not fit, or a mask selects nothing.

    Example:
        >>> import torch
        >>> gram_matrix(torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]), "hw")
        tensor([[[ 2.5000,  5.5000],
                 [ 5.5000, 12.5000]]])

    References:
        Gatys, Ecker, Bethge, arXiv 1508.06576, eq. 3 ("none"); Johnson, Alahi, Fei-Fei,
        arXiv 1603.08155, eq. 3 ("chw").
    """
    return gram_from_sums(accumulate(features, weight, first=False, second=True), normalization)


def gram_from_sums(sums: FeatureSums, normalization: str = "hw") -> Tensor:
    """Gram matrix from sums that may come from many tiles; see `gram_matrix`.

    Args:
        sums: with second sums.
        normalization: a name in `GRAM_NORMALIZATIONS`.

    Returns:
        (B, C, C).

    Raises:
        UsageError: there are no second sums, or the weights of a sample sum to zero.
    """
    check_choice("normalization", normalization, GRAM_NORMALIZATIONS)
    if sums.second is None:
        raise UsageError("sums have no second moment, expected one to make a Gram matrix of")
    check_count(sums.count, sums.second)
    chosen = GRAM_NORMALIZATIONS[normalization]
    channels = sums.second.shape[1] if chosen.per_channel else 1
    if not chosen.per_position:
        return sums.second / channels
    return sums.second / (sums.count * channels).view(-1, 1, 1)


def gram_distance(
    gram: Tensor,
    target: Tensor,
    normalization: str = "hw",
    reduction: str = "mean",
    floor: float = DIVISOR_FLOOR,
) -> Tensor:
    """Distance between Gram matrices, as the `distance` formulas of `GRAM_NORMALIZATIONS` say.

    Args:
        gram: (B, C, C).
        target: (B or 1, C, C), normalised in the same way.
        normalization: a name in `GRAM_NORMALIZATIONS`.
        reduction: "mean" or "sum" over the C² entries; "gatys" and "relative" have their own.
        floor: least divisor of "relative", for targets that are zero.

    Returns:
        (B,).

    Raises:
        UsageError: shapes differ or a name is unknown.

    Example:
        >>> import torch
        >>> gram_distance(torch.full((1, 2, 2), 3.0), torch.ones(1, 2, 2), "relative")
        tensor([4.])
    """
    check_choice("normalization", normalization, GRAM_NORMALIZATIONS)
    check_choice("reduction", reduction, REDUCTIONS)
    check_pair(gram, target)
    gram, target = to_full_precision(gram), to_full_precision(target)
    squares = (gram - target).square().sum((1, 2))
    if normalization == "relative":
        return squares / target.square().sum((1, 2)).clamp_min(floor)
    if normalization == "gatys":
        return squares / (4 * gram.shape[1] ** 2)
    return squares if reduction == "sum" else squares / gram.shape[1] ** 2


class GramStyleLoss(StyleLoss[Tensor]):
    """Style as correlations of features: the distance of two Gram matrices.

    With F the C × M matrix of a sample's features, G the picture's matrix and T the target's:

    | normalization | G | loss | used by |
    | --- | --- | --- | --- |
    | "none" | FFᵀ | mean (G − T)² | the matrix of Gatys et al. |
    | "hw" | FFᵀ / M | mean (G − T)² | leongatys, pystiche, the TensorFlow tutorial |
    | "chw" | FFᵀ / (C·M) | mean (G − T)² | Johnson et al., neural-style, the PyTorch tutorial |
    | "gatys" | FFᵀ / M | Σ (G − T)² / (4·C²) | Gatys et al., eq. 4 |
    | "relative" | FFᵀ / M | Σ (G − T)² / Σ T² | styler: one scale for all layers |

    With a mask, M is the sum of its weights. "chw" with reduction "sum" is the squared Frobenius
    norm of Johnson et al. and of gordicaleksa/pytorch-neural-style-transfer.

    Args:
        normalization: a name in `GRAM_NORMALIZATIONS`.
        reduction: "mean" or "sum" over the C² entries for "none", "hw" and "chw"; the others have
            their own and take "mean".
        eps: least divisor of "relative", in squared entries of T: keeps a zero target finite.

    Raises:
        UsageError: a name is unknown, the two do not go together, or eps is negative.

    Example:
        >>> import torch
        >>> loss = GramStyleLoss("hw")
        >>> style = loss.prepare(loss.represent(torch.full((1, 1, 2, 2), 2.0)))
        >>> style
        tensor([[[4.]]])
        >>> loss.compare(loss.represent(torch.ones(1, 1, 8, 8)), style)
        tensor(9.)

    References:
        Gatys, Ecker, Bethge, arXiv 1508.06576, eq. 3–4; Johnson, Alahi, Fei-Fei,
        arXiv 1603.08155, eq. 3–4. Departure: the paper's 1 / (4·C²·M²) takes one M for picture and
        style; here each matrix is divided by its own M, which is the same where sizes match and
        lets a style of any size be compared.
    """

    def __init__(
        self,
        normalization: str = "relative",
        reduction: str = "mean",
        eps: float = DIVISOR_FLOOR,
    ) -> None:
        super().__init__(second=True)
        check_choice("normalization", normalization, GRAM_NORMALIZATIONS)
        check_choice("reduction", reduction, REDUCTIONS)
        check_non_negative("eps", eps)
        if reduction == "sum" and GRAM_NORMALIZATIONS[normalization].own_reduction:
            raise UsageError(
                f"reduction is 'sum', expected 'mean' with normalization {normalization!r}",
                "its formula settles the reduction; scale the loss by a weight instead",
            )
        self.normalization = normalization
        self.reduction = reduction
        self.eps = eps

    def finalise(self, sums: FeatureSums) -> Tensor:
        """The Gram matrix (B, C, C); see `StyleLoss.finalise`."""
        return gram_from_sums(sums, self.normalization)

    def compare(self, represented: Tensor, target: Tensor) -> Tensor:
        """The mean distance over the batch; see `FeatureLoss.compare`."""
        return gram_distance(
            represented, target, self.normalization, self.reduction, self.eps
        ).mean()
