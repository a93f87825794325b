"""The kinds of work that pictures record and presets are for, and the settings of each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from styler.config.dream import DreamConfig
from styler.config.transfer import TransferConfig
from styler.config.visualize import VisualizeConfig

Kind = Literal["transfer", "dream", "visualize", "invert", "caricature", "texture"]

CONFIGS: Mapping[Kind, type[object]] = MappingProxyType(
    {
        "transfer": TransferConfig,
        "dream": DreamConfig,
        "visualize": VisualizeConfig,
        "invert": VisualizeConfig,
        "caricature": VisualizeConfig,
        "texture": TransferConfig,
    }
)
"""The configuration of each kind."""

KINDS: tuple[Kind, ...] = get_args(Kind)
"""All kinds."""


def kind_of(config: type[object]) -> Kind | None:
    """The first kind that has this configuration.

    Example:
        >>> kind_of(DreamConfig)
        'dream'
    """
    return next((kind for kind in KINDS if CONFIGS[kind] is config), None)
