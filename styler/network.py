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

    A network asked for by name is downloaded on first use; `auto` takes what is at hand.

    Args:
        config: its backbone and runtime.
        progress: called during a download with the bytes so far and in all.

    Raises:
        BackboneError: its weights are unknown, missing or damaged.
        DeviceError: there is no such device.
    """
    device = resolve_device(config.runtime.device)
    name, weights = config.backbone.name, config.backbone.weights
    if name != "auto" and weights is None:
        spec = get_backbone(name)
        if find_weights(spec) is None and any(file.url for file in spec.weights):
            fetch_weights(spec, progress=progress)
    return load_extractor(
        name,
        device=device,
        dtype=resolve_precision(config.runtime.precision, device),
        pooling=config.backbone.pooling,
        weights=Path(weights) if weights else None,
    )
