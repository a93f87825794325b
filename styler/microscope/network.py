"""The layers of a network, as the first page of a microscope lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from styler.errors import ConfigError, ImageError
from styler.features import Extractor
from styler.microscope.record import NetworkLayer
from styler.patches.record import Index, LayerRecord, UnitRecord
from styler.runtime import memory_errors_explained
from styler.units import unit_name


def network_layers(extractor: Extractor, side: int) -> list[NetworkLayer]:
    """All layers that a square picture comes to, in order.

    Args:
        extractor: the network.
        side: of the picture, in pixels.

    Example:
        >>> from styler.features import load_extractor
        >>> network_layers(load_extractor("vgg-lite"), 64)[4]
        NetworkLayer(name='pool1', shape=(24, 32, 32), stride=2, sees=(6, 6))
    """
    reached = [layer for layer in extractor.layers if _comes_to(extractor, layer, side)]
    blank = torch.zeros(1, 3, side, side, device=extractor.device)
    with torch.no_grad(), memory_errors_explained(extractor.device):
        features = extractor(blank, reached)
        shapes = {layer: (*maps.shape[1:], 1, 1) for layer, maps in features.items()}
    return [
        NetworkLayer(
            name=layer,
            shape=(shapes[layer][0], shapes[layer][1], shapes[layer][2]),
            stride=stride_of(extractor, layer),
            sees=sees_of(extractor, layer),
        )
        for layer in reached
    ]


def _comes_to(extractor: Extractor, layer: str, side: int) -> bool:
    try:
        extractor.check_size((side, side), [layer])
    except ImageError:
        return False
    return True


def stride_of(extractor: Extractor, layer: str) -> int | None:
    """Distance of a layer's units in pixels; None where their number is always the same."""
    try:
        return extractor.stride(layer)
    except ConfigError:
        return None


def sees_of(extractor: Extractor, layer: str) -> tuple[int, int] | None:
    """(height, width) of a receptive field; None where it is all, or is not known."""
    field = extractor.receptive_field(layer)
    return None if field is None else (field.y.size, field.x.size)


def unseen(extractor: Extractor, units: Mapping[str, Sequence[int]]) -> Index:
    """What is known of units without any photograph.

    Args:
        extractor: the network.
        units: layer → channels.
    """
    return Index(
        backbone=extractor.name,
        weights_sha256=extractor.weights_sha256,
        folder="",
        side=extractor.input_size or extractor.native_side,
        precision=str(extractor.dtype).removeprefix("torch."),
        k=0,
        per_image=0,
        layers=[
            LayerRecord(
                layer=layer,
                channels=extractor.channels(layer),
                stride=stride_of(extractor, layer) or 0,
                sees=sees_of(extractor, layer),
                field="theoretical",
                positions=0,
                units=[
                    UnitRecord(
                        unit=channel,
                        name=unit_name(extractor, layer, channel),
                        patches=[],
                        peak=0.0,
                        mean=0.0,
                        active=0.0,
                        histogram=[],
                    )
                    for channel in channels
                ],
            )
            for layer, channels in units.items()
        ],
        images=[],
    )
