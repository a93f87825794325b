"""Whose colours a picture has: OKLab, its gamut, matching of colours, and the modes of a transfer.

All functions take pictures as (1, 3, H, W) sRGB in [0, 1] and compute in float32, or in float64 for
float64 pictures.
"""

from __future__ import annotations

from styler.color.gamut import in_gamut, into_gamut, with_chroma_of
from styler.color.matching import match_covariance, match_histogram, match_lightness
from styler.color.modes import COLOR_MODES, after, before
from styler.color.oklab import from_oklab, to_oklab

__all__ = [
    "COLOR_MODES",
    "after",
    "before",
    "from_oklab",
    "in_gamut",
    "into_gamut",
    "match_covariance",
    "match_histogram",
    "match_lightness",
    "to_oklab",
    "with_chroma_of",
]
