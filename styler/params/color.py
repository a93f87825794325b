"""A basis of colours in which those of natural pictures are uncorrelated."""

from __future__ import annotations

import torch
from torch import Tensor

COVARIANCE_ROOT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""A square root of the covariance of RGB values of ImageNet, as Lucid has it: the columns are
light, blue against yellow, green against magenta, with their standard deviations."""


def _matrix(like: Tensor) -> Tensor:
    root = torch.tensor(COVARIANCE_ROOT, dtype=like.dtype, device=like.device)
    return root.div(torch.linalg.vector_norm(root, dim=0).max())


def correlate(colours: Tensor) -> Tensor:
    """RGB of colours that are given in the uncorrelated basis.

    Args:
        colours: (B, 3, H, W).

    Returns:
        Of the same shape, without an offset: zeros stay zeros.

    Example:
        >>> correlate(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)).flatten()
        tensor([0.5628, 0.5845, 0.5845])

    References:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill, section
        "Preconditioning and Parameterization".
    """
    return torch.einsum("ij,bjhw->bihw", _matrix(colours), colours)


def uncorrelate(colours: Tensor) -> Tensor:
    """The inverse of `correlate`."""
    return torch.einsum("ij,bjhw->bihw", torch.linalg.inv(_matrix(colours)), colours)
