"""Networks and their features: names of layers, weights, extractors, receptive fields.

Names are loaded when first used, so that looking at the registry does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from styler.features.base import Extractor, Padding, Pooling
    from styler.features.convert import identify, import_weights
    from styler.features.download import fetch_weights
    from styler.features.ensemble import EnsembleExtractor
    from styler.features.extractor import extractor_of, load_extractor
    from styler.features.layers import resolve_layer
    from styler.features.locate import choose_backbone, find_weights, weights_cache
    from styler.features.receptive_field import ReceptiveField, Window
    from styler.features.registry import (
        BACKBONES,
        BackboneSpec,
        Preprocessing,
        WeightFile,
        get_backbone,
    )
    from styler.features.summary import LayerRow, Totals, summarise, totals
    from styler.features.weights import LoadedWeights, WeightReport, load_weights, verify_weights

_HOMES = {
    "base": ("Extractor", "Padding", "Pooling"),
    "convert": ("identify", "import_weights"),
    "download": ("fetch_weights",),
    "ensemble": ("EnsembleExtractor",),
    "extractor": ("extractor_of", "load_extractor"),
    "layers": ("resolve_layer",),
    "locate": ("choose_backbone", "find_weights", "weights_cache"),
    "receptive_field": ("ReceptiveField", "Window"),
    "registry": ("BACKBONES", "BackboneSpec", "Preprocessing", "WeightFile", "get_backbone"),
    "summary": ("LayerRow", "Totals", "summarise", "totals"),
    "weights": ("LoadedWeights", "WeightReport", "load_weights", "verify_weights"),
}

__all__ = [
    "BACKBONES",
    "BackboneSpec",
    "EnsembleExtractor",
    "Extractor",
    "LayerRow",
    "LoadedWeights",
    "Padding",
    "Pooling",
    "Preprocessing",
    "ReceptiveField",
    "Totals",
    "WeightFile",
    "WeightReport",
    "Window",
    "choose_backbone",
    "extractor_of",
    "fetch_weights",
    "find_weights",
    "get_backbone",
    "identify",
    "import_weights",
    "load_extractor",
    "load_weights",
    "resolve_layer",
    "summarise",
    "totals",
    "verify_weights",
    "weights_cache",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        for module, names in _HOMES.items():
            if name in names:
                return getattr(importlib.import_module(f"{__name__}.{module}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
