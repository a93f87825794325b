"""Losses of neural style transfer as plain torch modules, for any training loop.

This package needs torch and nothing else. Every loss has `represent`, which keeps of features what
matters, and `compare`, which gives the distance between two representations; calling it does both.
Style losses are made of sums over positions, so masks, tiles, blends and saved styles all work the
same way: see `StyleLoss`.
"""

from __future__ import annotations

from styler.losses.base import FeatureLoss, StyleLoss, map_tensors
from styler.losses.content import CONTENT_NORMALIZATIONS, ContentLoss, ContentTarget
from styler.losses.gram import (
    GRAM_NORMALIZATIONS,
    GramNormalization,
    GramStyleLoss,
    gram_matrix,
)
from styler.losses.layerwise import LayerwiseLoss
from styler.losses.moments import Moments, MomentStyleLoss, mean_and_covariance
from styler.losses.statistics import FeatureSums, accumulate, blend
from styler.losses.variation import VARIATION_NORMS, TotalVariationLoss
from styler.losses.wasserstein import Gaussian, WassersteinStyleLoss

__all__ = [
    "CONTENT_NORMALIZATIONS",
    "GRAM_NORMALIZATIONS",
    "VARIATION_NORMS",
    "ContentLoss",
    "ContentTarget",
    "FeatureLoss",
    "FeatureSums",
    "Gaussian",
    "GramNormalization",
    "GramStyleLoss",
    "LayerwiseLoss",
    "MomentStyleLoss",
    "Moments",
    "StyleLoss",
    "TotalVariationLoss",
    "WassersteinStyleLoss",
    "accumulate",
    "blend",
    "gram_matrix",
    "map_tensors",
    "mean_and_covariance",
]
