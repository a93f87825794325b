"""What is common to extractors that learn the sizes of their layers from runs of the network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Generic

import torch
from torch import nn

from styler.errors import ConfigError, ImageError
from styler.features.base import Extractor, Pooling, resolve_pooling
from styler.features.probing import Key, Probe
from styler.features.registry import BackboneSpec


class ProbedExtractor(Extractor, Generic[Key]):
    """An extractor for which a `Probe` answers.

    Args:
        spec: the network.
        sha256: digest of its weights.
        keys: what each layer is called by in `found`, in order; those that are no layers are
            left out.
        found: what the runs brought.
        device: where to compute.
        dtype: what to compute in.
        pooling: "max", "average" in its place, or "native".
    """

    def __init__(
        self,
        spec: BackboneSpec,
        sha256: str,
        keys: Mapping[str, Key],
        found: Probe[Key],
        *,
        device: torch.device,
        dtype: torch.dtype,
        pooling: Pooling,
    ) -> None:
        self._keys = {layer: key for layer, key in keys.items() if found.is_layer(key)}
        self._probe = found
        super().__init__(
            name=spec.name,
            layers=list(self._keys),
            preprocessing=spec.preprocessing,
            device=device,
            dtype=dtype,
            pooling=resolve_pooling(spec, pooling),
            weights_sha256=sha256,
        )
        self.native_side = spec.native_side if found.runs_larger else found.side
        if all(found.is_fixed(key) for key in self._keys.values()):
            self.input_size = found.side

    @abstractmethod
    def _least_side(self, layer: str) -> int:
        """`minimum_side` of a layer that images of several sizes have, by canonical name."""

    def channels(self, layer: str) -> int:
        """Channels of a layer."""
        return self._probe.shapes[self._key(layer)][1]

    def stride(self, layer: str) -> int:
        """Distance of a layer's neighbouring units in pixels of the image.

        Raises:
            ConfigError: the layer has as many units whatever the image's size.
        """
        stride = self._probe.stride(self._key(layer))
        if stride is None:
            raise ConfigError(
                f"{layer} of {self.name} has no stride: its size is always the same",
                "use a layer nearer to the input",
            )
        return stride

    def minimum_side(self, layer: str) -> int:
        """The smallest side of an image, in pixels, with which a layer has a unit."""
        name = self.resolve([layer])[0]
        return self._probe.side if self._probe.is_fixed(self._key(name)) else self._least_side(name)

    def check_size(self, size: tuple[int, int], layers: Iterable[str]) -> None:
        """Makes sure that an image is large enough, and for some networks, no larger.

        Raises:
            ImageError: a layer would have no units, or can be had of images of one size alone.
            ConfigError: a layer is unknown.
        """
        wanted, side = self.resolve(layers), self._probe.side
        fixed = [layer for layer in wanted if self._probe.is_fixed(self._key(layer))]
        if fixed and size != (side, side):
            whose = self.name if self.input_size else f"{fixed[0]} of {self.name}"
            raise ImageError(
                f"{whose} takes images of {side}×{side} pixels alone, got {size[0]}×{size[1]}",
                "scale the image, or use a convolutional network"
                + ("" if self.input_size else " or a layer nearer to the input"),
            )
        super().check_size(size, wanted)

    def _key(self, layer: str) -> Key:
        return self._keys[self.resolve([layer])[0]]


def place(model: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Brings a network to where and what it computes in, in the layout that is fastest there."""
    model.to(device, dtype).to(memory_format=torch.channels_last)
