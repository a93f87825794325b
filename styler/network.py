"""The network that a configuration asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from styler.config import BackboneConfig, RuntimeConfig
from styler.features import (
    Extractor,
    fetch_weights,
    find_weights,
    get_backbone,
    load_extractor,
)
from styler.features.ensemble import network_names
from styler.runtime import resolve_device, resolve_precision

if TYPE_CHECKING:
    from styler.features.download import Progress


class NetworkConfig(Protocol):
    """Settings of any command that looks at pictures through a network."""

    @property
    def backbone(self) -> BackboneConfig:
        """Which network."""
        ...

    @property
    def runtime(self) -> RuntimeConfig:
        """Where and how exactly it is computed."""
        ...


def extractor_for(config: NetworkConfig, progress: Progress | None = None) -> Extractor:
    """The feature extractor that a configuration asks for.

    A network asked for by name is downloaded on first use; `auto` takes what is at hand. Several
    names with commas between them are an ensemble.

    Args:
        config: its backbone and runtime.
        progress: called during a download with the bytes so far and in all.

    Raises:
        BackboneError: its weights are unknown, missing or damaged.
        ConfigError: the network cannot be run so, or there is one weights file for several.
        DeviceError: there is no such device.
    """
    device = resolve_device(config.runtime.device)
    backbone = config.backbone
    if backbone.name != "auto" and backbone.weights is None:
        for spec in [get_backbone(name) for name in network_names(backbone.name)]:
            if find_weights(spec) is None and any(file.url for file in spec.weights):
                fetch_weights(spec, progress=progress)
    return load_extractor(
        backbone.name,
        device=device,
        dtype=resolve_precision(config.runtime.precision, device),
        pooling=backbone.pooling,
        padding=backbone.padding,
        rescale_pooling=backbone.rescale_pooling,
        weights=Path(backbone.weights) if backbone.weights else None,
    )
