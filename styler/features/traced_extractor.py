"""Features of any network that can be traced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, fx

from styler.errors import ConfigError, ImageError
from styler.features.base import Extractor, Pooling
from styler.features.convolutional import make_convolutional
from styler.features.receptive_field import ReceptiveField
from styler.features.registry import BackboneSpec
from styler.features.torchvision_models import build_torchvision, fill
from styler.features.traced import Traced, average_pools, cut, outputs_of_image, shapes, trace
from styler.features.traced_geometry import fields, minimum_sides
from styler.features.weights import LoadedWeights

_SIDE = 224
"""Every classifier for ImageNet takes images of this side, the least flexible no others."""


class TracedExtractor(Extractor):
    """The modules of a torchvision network, by their paths.

    Layers are the modules whose outputs are maps (B, C, H, W) or vectors (B, C): sequences of
    tokens and maps with channels last are left out. A module that is called again has ``_1``,
    ``_2``, … after its path (``layer1.0.relu_2`` is the end of a ResNet's first block), and
    ``logits`` is what the network gives. Each is what its module gave, even where torchvision's
    next ReLU works in place.

    The part of the network that a set of layers needs is put together when that set is first asked
    for, which takes some 20 ms for ResNet-50, and kept.

    Args:
        spec: the network.
        weights: its tensors.
        device: where to compute.
        dtype: what to compute in.
        pooling: "max", or "average" in its place.

    Raises:
        BackboneError: torchvision does not work.
        ConfigError: the network has no max pooling that an average could replace.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        weights: LoadedWeights,
        *,
        device: torch.device,
        dtype: torch.dtype,
        pooling: Pooling,
    ) -> None:
        self._traced = make_convolutional(trace(build_torchvision(spec)))
        if pooling == "average":
            average_pools(self._traced, spec.name)
        self._shapes = shapes(self._traced, (_SIDE, _SIDE))
        larger = _larger_shapes(self._traced)
        self._one_size = larger is None
        self._larger = self._shapes if larger is None else larger
        super().__init__(
            name=spec.name,
            layers=[name for name, node in outputs_of_image(self._traced) if self._is_layer(node)],
            preprocessing=spec.preprocessing,
            device=device,
            dtype=dtype,
            pooling=pooling,
            weights_sha256=weights.sha256,
        )
        self._fields = fields(self._traced)
        self._minimum = minimum_sides(self._traced)
        self._programs: dict[frozenset[str], fx.GraphModule] = {}
        fill(self._traced.model, weights.state)
        self._traced.model.to(self.device, dtype).to(memory_format=torch.channels_last)

    def _is_layer(self, node: fx.Node) -> bool:
        small, large = self._shapes.get(node, ()), self._larger.get(node, ())
        if len(small) != 4 or self._one_size:
            return len(small) == 2 or (len(small) == 4 and small[2] == small[3])
        return small[:2] == large[:2]

    def channels(self, layer: str) -> int:
        """Channels of a layer."""
        return self._shapes[self._node(layer)][1]

    def stride(self, layer: str) -> int:
        """Distance of a layer's neighbouring units in pixels of the image.

        Raises:
            ConfigError: the layer has as many units whatever the image's size.
        """
        node = self._node(layer)
        small, large = self._shapes[node], self._larger[node]
        if len(small) == 4 and self._one_size:
            return _SIDE // small[3]
        if len(small) == 4 and small[3] < large[3]:
            return _SIDE // (large[3] - small[3])
        raise ConfigError(
            f"{layer} of {self.name} has no stride: its size is always the same",
            "use a layer nearer to the input",
        )

    def minimum_side(self, layer: str) -> int:
        """The smallest side of an image, in pixels, with which a layer has a unit."""
        return _SIDE if self._one_size else self._minimum[self._node(layer)]

    def receptive_field(self, layer: str) -> ReceptiveField | None:
        """What a layer's units see; None where that is the whole image or is not known."""
        return self._fields[self._node(layer)]

    def check_size(self, size: tuple[int, int], layers: Iterable[str]) -> None:
        """Makes sure that an image is large enough, and for some networks, no larger.

        Raises:
            ImageError: a layer would have no units, or the network takes one size alone.
            ConfigError: a layer is unknown.
        """
        wanted = self.resolve(layers)
        if self._one_size and wanted and size != (_SIDE, _SIDE):
            raise ImageError(
                f"{self.name} takes images of {_SIDE}×{_SIDE} pixels alone, got "
                f"{size[0]}×{size[1]}",
                "scale the image, or use a convolutional network",
            )
        super().check_size(size, wanted)

    def _node(self, layer: str) -> fx.Node:
        return self._traced.outputs[self.resolve([layer])[0]]

    def _run(self, normalised: Tensor, wanted: Sequence[str]) -> Mapping[str, Tensor]:
        key = frozenset(wanted)
        program = self._programs.get(key)
        if program is None:
            program = self._programs[key] = cut(self._traced, wanted)
        found: dict[str, Tensor] = program(normalised)
        return found


def _larger_shapes(traced: Traced) -> dict[fx.Node, tuple[int, ...]] | None:
    """Shapes for an image of twice the side; None when the network takes no such image."""
    try:
        return shapes(traced, (2 * _SIDE, 2 * _SIDE))
    except (AssertionError, RuntimeError):
        return None
