"""Features of any network that can be traced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from styler.features.base import Pooling, resolve_pooling
from styler.features.convolutional import trace_backbone
from styler.features.probed_extractor import ProbedExtractor, place
from styler.features.probing import (
    SIDES,
    STRIDES,
    Probe,
    hollow_copy,
    main_output,
    probe,
    smallest_sides,
)
from styler.features.receptive_field import ReceptiveField
from styler.features.registry import BackboneSpec
from styler.features.traced import (
    OUTPUT,
    Traced,
    Untraceable,
    average_pools,
    cut,
    one_line,
    outputs_of_image,
    partial_shapes,
)
from styler.features.traced_geometry import fields, minimum_sides

_TOLERANCE = 1e-3
"""A graph may differ from its network by this share of the result's largest value."""


class TracedExtractor(ProbedExtractor[fx.Node]):
    """The modules of a network, by their paths.

    Layers are the modules whose outputs are maps (B, C, H, W) or vectors (B, C): sequences of
    tokens and maps with channels last are left out. A module that is called again has ``_1``,
    ``_2``, … after its path (``layer1.0.relu_2`` is the end of a ResNet's first block), and
    ``logits`` is what the network gives, see `main_output`; detection networks have none. Each is
    what its module gave, even where the network's next ReLU works in place.

    The part of the network that a set of layers needs is put together when that set is first asked
    for, which takes some 20 ms for ResNet-50, and kept.

    Args:
        spec: the network.
        model: it, with its weights. It becomes the extractor's own and is changed.
        sha256: digest of its weights.
        device: where to compute.
        dtype: what to compute in.
        pooling: "max", "average" in its place, or "native".

    Attributes:
        traced: the network's recording.

    Raises:
        Untraceable: what the network does depends on the image, or is not what its graph does.
        ConfigError: the network has no max pooling that an average could replace.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        model: nn.Module,
        sha256: str,
        *,
        device: torch.device,
        dtype: torch.dtype,
        pooling: Pooling,
    ) -> None:
        self.traced = trace_backbone(spec, model)
        hollow = hollow_copy(self.traced.model)
        found = _probe(self.traced, hollow, spec.native_side)
        place(model, device, dtype)
        if spec.architecture != "torchvision":
            _compare(self.traced, found.side, device, dtype)
        if resolve_pooling(spec, pooling) == "average":
            average_pools(self.traced, spec.name)
        super().__init__(
            spec,
            sha256,
            dict(outputs_of_image(self.traced)),
            found,
            device=device,
            dtype=dtype,
            pooling=pooling,
        )
        self._fields = fields(self.traced)
        self._minimum = self._minimum_sides(hollow)
        self._programs: dict[frozenset[str], fx.GraphModule] = {}

    def receptive_field(self, layer: str) -> ReceptiveField | None:
        """What a layer's units see; None where that is the whole image or is not known."""
        return self._fields[self._key(layer)]

    def _least_side(self, layer: str) -> int:
        return self._minimum[self._key(layer)]

    def _minimum_sides(self, hollow: nn.Module) -> dict[fx.Node, int]:
        """Those that the network's geometry tells, if the network agrees, else the network's."""

        def with_units(side: int) -> set[fx.Node]:
            sizes = partial_shapes(self.traced, hollow, (side, side))[0]
            return {node for node, shape in sizes.items() if 0 not in shape}

        told = minimum_sides(self.traced)
        guess = {key: told[key] for key in self._keys.values() if not self._probe.is_fixed(key)}
        return smallest_sides(with_units, self._probe.side, guess)

    def _run(self, normalised: Tensor, wanted: Sequence[str]) -> Mapping[str, Tensor]:
        key = frozenset(wanted)
        program = self._programs.get(key)
        if program is None:
            program = self._programs[key] = cut(self.traced, wanted)
        found: dict[str, Tensor] = program(normalised)
        return found


def _probe(traced: Traced, hollow: nn.Module, native_side: int) -> Probe[fx.Node]:
    sides = (SIDES[0], native_side, *SIDES[1:])
    try:
        return probe(lambda side: partial_shapes(traced, hollow, (side, side)), sides, STRIDES)
    except Exception as error:
        raise Untraceable(one_line(error)) from error


def _compare(traced: Traced, side: int, device: torch.device, dtype: torch.dtype) -> None:
    """Runs a graph beside its network: a trace follows what the network does with a stand-in."""
    if OUTPUT not in traced.outputs:
        return
    image = torch.zeros((1, traced.channels, side, side), device=device, dtype=dtype)
    image[..., ::3, ::5] = 1.0
    with torch.no_grad():
        expected = main_output(traced.model(image), Tensor)
        found = cut(traced, [OUTPUT])(image)[OUTPUT]
    if expected is None or expected.shape != found.shape or not _near(found, expected):
        raise Untraceable("its graph gives something else than the network itself")


def _near(found: Tensor, expected: Tensor) -> bool:
    scale = float(expected.abs().max())
    return torch.allclose(found, expected, rtol=0, atol=_TOLERANCE * scale, equal_nan=True)
