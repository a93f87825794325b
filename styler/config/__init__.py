"""Every setting, with its default, range and meaning.

Defaults live here and nowhere else. `resolve` lays presets, ``--set`` pairs and flags over them in
that order and remembers where each value came from.
"""

from __future__ import annotations

from styler.config.dream import AscentConfig, DreamConfig, OctaveConfig, ZoomConfig
from styler.config.files import (
    NO_MASK,
    file_settings,
    numbered,
    numbered_names,
    setting_files,
    with_files,
)
from styler.config.kinds import CONFIGS, KINDS, Kind
from styler.config.parts import (
    BackboneConfig,
    OptimizerConfig,
    RuntimeConfig,
    SmoothnessConfig,
)
from styler.config.resolution import Resolved, choices, flatten, keys, parse_set, resolve
from styler.config.transfer import (
    START_KINDS,
    ColorConfig,
    ContentConfig,
    InitConfig,
    RegionConfig,
    ScheduleConfig,
    StyleConfig,
    TransferConfig,
)
from styler.config.visualize import (
    ParameterConfig,
    UnitScheduleConfig,
    ViewConfig,
    VisualizeConfig,
)

__all__ = [
    "CONFIGS",
    "KINDS",
    "NO_MASK",
    "START_KINDS",
    "AscentConfig",
    "BackboneConfig",
    "ColorConfig",
    "ContentConfig",
    "DreamConfig",
    "InitConfig",
    "Kind",
    "OctaveConfig",
    "OptimizerConfig",
    "ParameterConfig",
    "RegionConfig",
    "Resolved",
    "RuntimeConfig",
    "ScheduleConfig",
    "SmoothnessConfig",
    "StyleConfig",
    "TransferConfig",
    "UnitScheduleConfig",
    "ViewConfig",
    "VisualizeConfig",
    "ZoomConfig",
    "choices",
    "file_settings",
    "flatten",
    "keys",
    "numbered",
    "numbered_names",
    "parse_set",
    "resolve",
    "setting_files",
    "with_files",
]
