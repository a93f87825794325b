"""Checks of what callers hand to the losses: shapes always, values where that costs nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from styler.errors import UsageError, did_you_mean


def check_features(features: Tensor, name: str = "features") -> None:
    """Raise unless `features` is a floating (B, C, H, W) tensor with at least one position."""
    if features.ndim != 4 or features.numel() == 0:
        raise UsageError(
            f"{name} have shape {tuple(features.shape)}, expected non-empty (B, C, H, W)",
            "unsqueeze(0) gives a single sample its batch dimension",
        )
    if not features.is_floating_point():
        raise UsageError(f"{name} are {features.dtype}, expected floating point")


def check_weight(weight: Tensor, features: Tensor) -> None:
    """Raise unless `weight` is a mask over the positions of `features`, finite and not negative."""
    batch, _, height, width = features.shape
    shape = tuple(weight.shape)
    if shape not in ((batch, 1, height, width), (1, 1, height, width)):
        raise UsageError(
            f"weight has shape {shape}, expected ({batch} or 1, 1, {height}, {width})",
            "resize the mask to the layer's height and width",
        )
    if weight.device != features.device:
        raise UsageError(f"weight is on {weight.device}, features are on {features.device}")
    if may_read_values(weight, features) and not bool(
        ((weight >= 0) & (weight < math.inf)).all()  # false for NaN too
    ):
        raise UsageError("weight has negative or non-finite values, expected 0 or more")


def check_count(count: Tensor, *sums: Tensor | None) -> None:
    """Raise where the weights of a sample sum to zero: its statistic would be 0/0."""
    if may_read_values(count, *sums) and not bool((count > 0).all()):
        raise UsageError(
            f"weights sum to {count.tolist()} per sample, expected more than 0 in each",
            "the mask selects nothing at this layer: use a larger region or a shallower layer",
        )


def check_finite(tensors: Iterable[Tensor | None], name: str) -> None:
    """Raise if any value is NaN or infinite. Waits for the device."""
    if not all(bool(torch.isfinite(t).all()) for t in tensors if t is not None):
        raise UsageError(
            f"{name} has NaN or infinite values, expected finite",
            "check the image and the network's weights; half precision overflows above 65504",
        )


def check_pair(represented: Tensor, target: Tensor) -> None:
    """Raise unless both have one shape, or the target has it with a batch of 1."""
    batch, *rest = represented.shape
    if tuple(target.shape) not in ((batch, *rest), (1, *rest)):
        raise UsageError(
            f"target has shape {tuple(target.shape)}, "
            f"expected {(batch, *rest)} or {(1, *rest)} as represented",
            "take the target from the same layer, with the same batch or a batch of 1",
        )


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise unless `value` is one of `choices`."""
    known = list(choices)
    if value not in known:
        raise UsageError(
            f"{name} is {value!r}, expected one of {', '.join(known)}", did_you_mean(value, known)
        )


def check_non_negative(name: str, value: float) -> None:
    """Raise unless `value` is a finite number of 0 or more."""
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{name} is {value}, expected a finite number of 0 or more")


def check_positive(name: str, value: int) -> None:
    """Raise unless `value` is a whole number of 1 or more."""
    if not (math.isfinite(value) and value >= 1 and value == int(value)):
        raise UsageError(f"{name} is {value}, expected a whole number of 1 or more")


def check_shares(shares: Sequence[float], styles: int) -> None:
    """Raise unless there is a share for each style, none negative, and one above 0."""
    if not styles or styles != len(shares):
        raise UsageError(f"{len(shares)} shares for {styles} styles, expected one for each")
    for share in shares:
        check_non_negative("share", share)
    if sum(shares) == 0:
        raise UsageError("shares are all 0, expected at least one above 0")


def may_read_values(*tensors: Tensor | None) -> bool:
    """Whether looking at values is cheap, or is done once.

    Reading from an accelerator waits for it, so there only targets are looked at: tensors through
    which no gradient is recorded. A compiled or captured graph is never interrupted.
    """
    if torch.compiler.is_compiling():
        return False
    present = [t for t in tensors if t is not None]
    if all(t.device.type == "cpu" for t in present):
        return True
    if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
        return False
    return not any(t.requires_grad for t in present)


def check_masked(weight: Tensor | None, wanted: Tensor | None) -> None:
    """Raise if a picture has a mask and the target, which is to be weighted by it, has none."""
    if weight is not None and wanted is None:
        raise UsageError(
            "the picture has a mask and the target has none, expected it on the target",
            "content is weighted by the target's mask: represent the target with it",
        )
