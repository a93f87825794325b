"""Losses of neural style transfer as plain torch modules, for any training loop.

This package needs torch and nothing else. Every loss has `represent`, which keeps of features what
matters, and `compare`, which gives the distance between two representations; calling it does both.
Most style losses are made of sums over positions, so masks, tiles, blends and saved styles all work
the same way: see `StyleLoss`. Those that compare positions with positions are of the other kind:
see `SampleLoss`.
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
from styler.losses.laplacian import LAPLACIAN_NORMALIZATIONS, LaplacianLoss, LaplacianMaps
from styler.losses.layerwise import LayerwiseLoss
from styler.losses.mmd import (
    MMD_KERNELS,
    MMD_NORMALIZATIONS,
    GaussianMmdStyleLoss,
    MmdStyleLoss,
    RawMoments,
)
from styler.losses.moments import Moments, MomentStyleLoss, mean_and_covariance
from styler.losses.neighbours import CENTRINGS, NeighbourStyleLoss, RelaxedEmdLoss
from styler.losses.samples import SampleLoss, Samples, join_samples, thin_samples
from styler.losses.similarity import SelfSimilarity, SelfSimilarityLoss
from styler.losses.sliced import (
    SLICED_NORMALIZATIONS,
    HistogramStyleLoss,
    SlicedWassersteinLoss,
)
from styler.losses.statistics import FeatureSums, accumulate, blend
from styler.losses.variation import VARIATION_NORMS, TotalVariationLoss
from styler.losses.wasserstein import Gaussian, WassersteinStyleLoss

__all__ = [
    "CENTRINGS",
    "CONTENT_NORMALIZATIONS",
    "GRAM_NORMALIZATIONS",
    "LAPLACIAN_NORMALIZATIONS",
    "MMD_KERNELS",
    "MMD_NORMALIZATIONS",
    "SLICED_NORMALIZATIONS",
    "VARIATION_NORMS",
    "ContentLoss",
    "ContentTarget",
    "FeatureLoss",
    "FeatureSums",
    "Gaussian",
    "GaussianMmdStyleLoss",
    "GramNormalization",
    "GramStyleLoss",
    "HistogramStyleLoss",
    "LaplacianLoss",
    "LaplacianMaps",
    "LayerwiseLoss",
    "MmdStyleLoss",
    "MomentStyleLoss",
    "Moments",
    "NeighbourStyleLoss",
    "RawMoments",
    "RelaxedEmdLoss",
    "SampleLoss",
    "Samples",
    "SelfSimilarity",
    "SelfSimilarityLoss",
    "SlicedWassersteinLoss",
    "StyleLoss",
    "TotalVariationLoss",
    "WassersteinStyleLoss",
    "accumulate",
    "blend",
    "gram_matrix",
    "join_samples",
    "map_tensors",
    "mean_and_covariance",
    "thin_samples",
]
