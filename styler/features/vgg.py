"""VGG networks, run from their list of steps."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from styler.errors import UsageError
from styler.features.base import Extractor, Padding, Pooling, resolve_pooling
from styler.features.network import Op, minimum_side, output_side, vgg_ops
from styler.features.pooling import pooling_function
from styler.features.receptive_field import ReceptiveField, chain_fields
from styler.features.registry import BackboneSpec
from styler.features.segments import Segment
from styler.features.weights import LoadedWeights

CUT_STRIDE = 4
"""A network that runs in parts is cut where units are at least so many pixels apart."""


class VggExtractor(Extractor):
    """The convolutional part of a VGG network.

    Args:
        spec: the network.
        weights: its tensors.
        device: where to compute.
        dtype: what to compute in.
        pooling: "max", "average" or "l2" in its place, or "native".
        padding: what its convolutions see beyond the border. With "circular" a picture that is
            shifted, what leaves it coming in at the other side, has its features shifted, if its
            sides are multiples of the stride of the deepest layer's pooling and it is shifted by
            such. Pooling leaves out the last row and column of odd sides: seamless textures need
            sides that are such multiples, 16 for relu5_1.
        rescale_pooling: multiply what stands in for max pooling, to make it about as large; see
            `styler.features.pooling.RESCALE`.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        weights: LoadedWeights,
        *,
        device: torch.device,
        dtype: torch.dtype,
        pooling: Pooling,
        padding: Padding = "zeros",
        rescale_pooling: bool = False,
    ) -> None:
        self._ops = vgg_ops(spec.blocks)
        super().__init__(
            name=spec.name,
            layers=[op.name for op in self._ops],
            preprocessing=spec.preprocessing,
            device=device,
            dtype=dtype,
            pooling=resolve_pooling(spec, pooling),
            weights_sha256=weights.sha256,
        )
        self.padding = padding
        self.rescale_pooling = rescale_pooling
        self._places = {op.name: place for place, op in enumerate(self._ops)}
        self._fields = chain_fields(self._ops)
        # Copies, because a view of a memory-mapped file would keep all of it resident.
        self._state = {
            key: value.to(
                device=self.device,
                dtype=dtype,
                copy=True,
                memory_format=torch.channels_last if value.ndim == 4 else torch.contiguous_format,
            ).requires_grad_(False)
            for key, value in weights.state.items()
        }

    def channels(self, layer: str) -> int:
        """Channels of a layer."""
        return self._ops[self._place(layer)].out_channels

    def stride(self, layer: str) -> int:
        """Distance of a layer's neighbouring units in pixels of the image."""
        return self.receptive_field(layer).y.jump

    def minimum_side(self, layer: str) -> int:
        """The smallest side of an image, in pixels, with which a layer has a unit."""
        ops = self._ops[: self._place(layer) + 1]
        return minimum_side(ops, mirrored=self.padding == "reflect")

    def receptive_field(self, layer: str) -> ReceptiveField:
        """What a layer's units see."""
        return self._fields[self._ops[self._place(layer)].name]

    def segments(self, layers: Iterable[str]) -> list[Segment]:
        """The network cut after its poolings; see `Extractor.segments`.

        What a cut keeps of the image is small where a unit stands for `CUT_STRIDE`² pixels, and
        between two cuts a unit sees so little that margins cost next to nothing.
        """
        wanted = set(self.resolve(layers))
        self._check_borders()
        last = max((place for place, op in enumerate(self._ops) if op.name in wanted), default=-1)
        cuts = [
            place
            for place, op in enumerate(self._ops[:last])
            if op.kind == "pool" and self.stride(op.name) >= CUT_STRIDE
        ]
        starts, stops = [0, *(cut + 1 for cut in cuts)], [*(cut + 1 for cut in cuts), last + 1]
        return [
            self._segment(start, stop, wanted, last=stop == last + 1)
            for start, stop in zip(starts, stops, strict=True)
        ]

    def _segment(self, start: int, stop: int, wanted: set[str], *, last: bool) -> Segment:
        ops = self._ops[start:stop]

        def run(value: Tensor, layers: Sequence[str]) -> Mapping[str, Tensor]:
            ready = value if start else self._ready(value)
            return self._steps(ops, ready, layers)

        return Segment(
            layers=tuple(op.name for op in ops if op.name in wanted),
            output=None if last else ops[-1].name,
            fields=chain_fields(ops),
            side=lambda side: reduce(lambda left, op: output_side(op, left), ops, side),
            run=run,
            ops=ops,
        )

    def _place(self, layer: str) -> int:
        return self._places[self.resolve([layer])[0]]

    def _run(self, normalised: Tensor, wanted: Sequence[str]) -> Mapping[str, Tensor]:
        return self._steps(self._ops, normalised, wanted)

    def _steps(
        self, ops: Sequence[Op], value: Tensor, wanted: Collection[str]
    ) -> dict[str, Tensor]:
        return run_ops(
            ops,
            self._state,
            value,
            wanted,
            self.pooling,
            padding=self.padding,
            rescale_pooling=self.rescale_pooling,
        )


def run_ops(
    ops: Sequence[Op],
    state: Mapping[str, Tensor],
    value: Tensor,
    wanted: Collection[str],
    pooling: Pooling,
    *,
    padding: Padding = "zeros",
    rescale_pooling: bool = False,
) -> dict[str, Tensor]:
    """The wanted layers of a VGG network, which runs as far as the deepest of them.

    Args:
        ops: its steps.
        state: ``conv1_1.weight``, ``conv1_1.bias``, … in the precision of `value`.
        value: (B, C, H, W), normalised.
        wanted: canonical names.
        pooling: "max", or "average" or "l2" in its place; "native" is for the caller to resolve.
        padding: what convolutions see beyond the border.
        rescale_pooling: multiply what stands in for max pooling.

    Returns:
        By canonical name, in the network's order.

    Raises:
        UsageError: pooling is "native".
    """
    if pooling == "native":
        raise UsageError("steps of a network have no native pooling", "see resolve_pooling")
    pool = pooling_function(pooling, rescaled=rescale_pooling)
    found: dict[str, Tensor] = {}
    previous = ""
    last = max((place for place, op in enumerate(ops) if op.name in wanted), default=-1)
    for op in ops[: last + 1]:
        if op.kind == "conv":
            value = _convolve(op, state, value, padding)
        elif op.kind == "relu":
            # In place saves a quarter of the memory, and would rectify a convolution's output
            # that the caller is about to be given.
            value = F.relu(value, inplace=previous not in found)
        else:
            value = pool(value, op.kernel)
        if op.name in wanted:
            found[op.name] = value
        previous = op.name
    return found


def _convolve(op: Op, state: Mapping[str, Tensor], value: Tensor, padding: Padding) -> Tensor:
    weight, bias = state[f"{op.name}.weight"], state[f"{op.name}.bias"]
    if padding == "zeros":  # without a copy
        return F.conv2d(value, weight, bias, padding=op.padding)
    padded = F.pad(value, (op.padding,) * 4, mode=padding)
    return F.conv2d(padded.contiguous(memory_format=torch.channels_last), weight, bias)
