"""The formulas of the losses as pure functions, in one place.

Statistics and distances are per sample; distances are (B,), for the caller to weight and add up.
"""

from __future__ import annotations

from styler.losses.content import content_distance, content_divisor, weighted_squares
from styler.losses.gram import gram_distance, gram_from_sums, gram_matrix
from styler.losses.laplacian import laplacian
from styler.losses.mmd import kernel_distance
from styler.losses.moments import mean_and_covariance, moments_distance, moments_from_sums
from styler.losses.neighbours import nearest_neighbours
from styler.losses.samples import join_samples, thin_samples
from styler.losses.similarity import self_similarity, self_similarity_distance
from styler.losses.sliced import orthonormal_directions, sorted_distance
from styler.losses.statistics import accumulate, blend
from styler.losses.variation import total_variation
from styler.losses.wasserstein import gaussian_wasserstein

__all__ = [
    "accumulate",
    "blend",
    "content_distance",
    "content_divisor",
    "gaussian_wasserstein",
    "gram_distance",
    "gram_from_sums",
    "gram_matrix",
    "join_samples",
    "kernel_distance",
    "laplacian",
    "mean_and_covariance",
    "moments_distance",
    "moments_from_sums",
    "nearest_neighbours",
    "orthonormal_directions",
    "self_similarity",
    "self_similarity_distance",
    "sorted_distance",
    "thin_samples",
    "total_variation",
    "weighted_squares",
]
