"""Which pixels of a picture a unit of a network answers to."""

from __future__ import annotations

from styler.attribution.methods import METHODS, Attribution, Method, attribute
from styler.attribution.settings import AttributeConfig
from styler.attribution.targets import Target, find_target

__all__ = [
    "METHODS",
    "AttributeConfig",
    "Attribution",
    "Method",
    "Target",
    "attribute",
    "find_target",
]
