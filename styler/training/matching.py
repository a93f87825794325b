"""How far a student's features are from its teacher's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from styler.losses.base import DIVISOR_FLOOR
from styler.losses.moments import FLAT_COVARIANCE, Moments, mean_and_covariance


@dataclass(frozen=True)
class TapLosses:
    """The three losses of one tap, scalars.

    Args:
        residual: share of the teacher's variance that the head does not explain.
        moments: distance of mean and covariance, as `MomentStyleLoss` has it.
        skew: mean squared deviation of the head's Gram matrix from the identity, times the
            student's channels: 0 when distances in the student's space equal the teacher's.
    """

    residual: Tensor
    moments: Tensor
    skew: Tensor


def tap_losses(student: Tensor, teacher: Tensor, head: Tensor, scale: Tensor) -> TapLosses:
    """Compare one tap through its head.

    Args:
        student: (B, C, H, W), any precision.
        teacher: (B, C', H, W), in the teacher's own units.
        head: (C', C).
        scale: standard deviation of the teacher's tap over pictures, positions and channels.

    Returns:
        The losses, averaged over the batch, in float32.
    """
    student, wanted = _thinned(student), _thinned(teacher) / scale
    predicted = F.conv2d(student, head[:, :, None, None])
    gram = head.T @ head
    identity = torch.eye(gram.shape[0], device=gram.device)
    return TapLosses(
        residual=(predicted - wanted).square().mean(),
        moments=_moments_through(
            head.detach(), mean_and_covariance(student), mean_and_covariance(wanted)
        ).mean(),
        skew=(gram - identity).square().sum() / gram.shape[0],
    )


def _moments_through(head: Tensor, seen: Moments, wanted: Moments) -> Tensor:
    """`moments_distance` of Hμ and HΣHᵀ to the teacher's, without forming HΣHᵀ, (B,).

    ‖HΣHᵀ − Σₜ‖² = tr(GΣGΣ) − 2 tr(ΣHᵀΣₜH) + ‖Σₜ‖² with G = HᵀH, whose products are of the
    student's size.
    """
    mean_norm = wanted.mean.square().sum(1)
    norm = wanted.covariance.square().sum((1, 2))
    least = (FLAT_COVARIANCE * mean_norm).square()
    first = (seen.mean @ head.T - wanted.mean).square().sum(1) / mean_norm.clamp_min(DIVISOR_FLOOR)
    through = (head.T @ head) @ seen.covariance
    own = (through * through.mT).sum((1, 2))
    cross = (seen.covariance * (head.T @ wanted.covariance @ head)).sum((1, 2))
    second = (own - 2 * cross + norm) / torch.maximum(norm, least).clamp_min(DIVISOR_FLOOR)
    return first + second


POSITIONS = 32
"""Rows and columns that a tap is compared at; of larger features every second, third, … one. The
statistics of a fine layer need no more, and would take longer than the networks."""


def _thinned(features: Tensor) -> Tensor:
    """Features in float32 at no more than about `POSITIONS` rows and columns."""
    stride = max(1, min(features.shape[2:]) // POSITIONS)
    start = stride // 2
    return features[:, :, start::stride, start::stride].float()


def compare_taps(
    student: Mapping[str, Tensor],
    teacher: Mapping[str, Tensor],
    heads: Mapping[str, Tensor],
    scales: Mapping[str, Tensor],
) -> dict[str, TapLosses]:
    """`tap_losses` of every head's tap."""
    return {
        tap: tap_losses(student[tap], teacher[tap], head, scales[tap])
        for tap, head in heads.items()
    }


def unexplained(student: Tensor, teacher: Tensor) -> float:
    """Share of the teacher's variance that the best 1×1 head and offset leave unexplained.

    Unlike a trained head's residual this does not depend on how a student was trained, so that
    students can be compared.

    Args:
        student: (B, C, H, W).
        teacher: (B, C', H, W), with B·H·W well above C.

    Returns:
        0 for a perfect student, 1 for a useless one.
    """
    inputs = student.double().movedim(1, -1).flatten(0, -2)
    outputs = teacher.double().movedim(1, -1).flatten(0, -2)
    inputs, outputs = inputs - inputs.mean(0), outputs - outputs.mean(0)
    gram = inputs.T @ inputs
    ridge = 1e-6 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    head = torch.linalg.solve(gram + ridge.to(gram.device), inputs.T @ outputs)
    return float((outputs - inputs @ head).square().sum() / outputs.square().sum())
