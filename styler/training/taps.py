"""What a network's taps look for: a mosaic of pictures for the evaluation's sheet."""

from __future__ import annotations

import torch
from torch import Tensor

from styler.activation import Part, Unit
from styler.config import UnitScheduleConfig, VisualizeConfig
from styler.features import Extractor
from styler.visualize import visualize

SCHEDULE = UnitScheduleConfig(size=144, steps=128)
"""Small and short: four pictures for each of six taps and each network."""


def tap_mosaic(extractor: Extractor, layer: str, channels: tuple[int, ...]) -> Tensor:
    """Pictures of four channels of a layer, two by two.

    Args:
        extractor: the network.
        layer: canonical name.
        channels: four of them.

    Returns:
        (1, 3, H, W) sRGB in [0, 1].
    """
    units = [Unit(f"{layer}:{channel}", (Part(layer, channel=channel),)) for channel in channels]
    shown = visualize(units, extractor, VisualizeConfig(schedule=SCHEDULE))
    a, b, c, d = (one.images for one in shown)
    return torch.cat([torch.cat([a, b], 3), torch.cat([c, d], 3)], 2)
