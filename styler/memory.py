"""How much memory gradients take, whole and tile by tile, from layer sizes alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod
from weakref import WeakKeyDictionary

import torch

from styler.config import OptimizerConfig
from styler.errors import DeviceError
from styler.features import BACKBONES, Extractor
from styler.features.ensemble import EnsembleExtractor
from styler.features.network import Op, output_side, vgg_ops
from styler.features.segments import Segment
from styler.runtime import free_memory
from styler.tiles import tiles

LEAST_SIDE = 64
"""Sides are taken to be at least this, which every network accepts."""
PICTURE_BYTES = 12
"""Of a pixel: three float32."""
ADAM_COPIES = 6
"""Pictures alive while a gradient is worked out: pixels, gradient, two moments, the last good
pixels, and what the network is shown."""
LBFGS_COPIES = 7
"""Likewise without the pairs, of which each holds two."""
INDEX_BYTES = 8
"""Of each value that max pooling gives: where it is from."""
LARGEST_COPIES = 2
"""Arrays of the largest layer that are alive on the way back, beside what was kept for it: the
gradients of its output and of its input."""

Size = tuple[int, int]
"""(height, width)."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Bytes that a part of a network takes.

    Args:
        forward: at most, on the way forward without gradients.
        backward: at most, on the way forward and back.
        output: of the last map.
    """

    forward: int
    backward: int
    output: int


def chain_cost(
    ops: Sequence[Op], size: Size, layers: Collection[str], extractor: Extractor
) -> Cost:
    """What a chain of steps takes for one picture.

    Args:
        ops: the steps.
        size: of its input.
        layers: that losses read.
        extractor: its precision, pooling and padding.
    """
    item = extractor.dtype.itemsize
    count = largest = neighbours = kept = read = 0
    for op in ops:
        below, padded = count, 0
        if op.kind == "conv" and extractor.padding != "zeros":
            # The convolution keeps the padded copy, and what was padded is there beside it.
            padded = op.in_channels * prod(side + 2 * op.padding for side in size)
            kept += item * padded
        size = (output_side(op, size[0]), output_side(op, size[1]))
        count = op.out_channels * prod(size)
        largest = max(largest, count, padded)
        neighbours = max(neighbours, below + padded + count)
        # A ReLU works in place on the convolution below it, so the two keep one array.
        if op.kind != "relu":
            kept += item * count
        if op.kind == "pool" and extractor.pooling == "max":
            kept += INDEX_BYTES * count
        if op.kind == "pool" and extractor.pooling == "l2" and extractor.rescale_pooling:
            kept += item * count  # the root itself, for its gradient
        if op.name in layers:
            read += item * count
            if op.kind == "conv":
                kept += item * count  # the ReLU above cannot work in place
    return Cost(
        forward=item * neighbours + read,
        backward=kept + read + LARGEST_COPIES * item * largest,
        output=item * count,
    )


def gradient_bytes(extractor: Extractor, layers: Collection[str], size: Size) -> int:
    """Peak bytes of one forward and backward pass, beyond weights and program.

    Args:
        extractor: its network and dtype.
        layers: canonical names of those that are read; the network is cut at the deepest.
        size: of the picture.

    Returns:
        Bytes; 0 for networks that are no VGG, whose cost is not known beforehand, and for several
        networks with one of these.
    """
    if isinstance(extractor, EnsembleExtractor):
        # One runs after the other, but what all of them keep is there at the end.
        costs = [gradient_bytes(member, own, size) for member, own in extractor.parts(layers)]
        return sum(costs) if all(costs) else 0
    spec = BACKBONES.get(extractor.name)
    if spec is None or spec.architecture != "vgg":
        return 0
    ops = vgg_ops(spec.blocks)
    deepest = max((i for i, op in enumerate(ops) if op.name in layers), default=-1)
    if deepest < 0:
        return 0
    # A long thin picture may be too small for layers that are not read.
    shown = (max(size[0], LEAST_SIDE), max(size[1], LEAST_SIDE))
    return chain_cost(ops[: deepest + 1], shown, layers, extractor).backward


def check_memory(
    extractor: Extractor, layers: Collection[str], size: Size, limit: int | None = None
) -> None:
    """Refuse a picture whose gradient cannot fit, before the system kills the program.

    Args:
        extractor: the network.
        layers: canonical names of those that are read.
        size: of the picture.
        limit: bytes that it may take; None for what is free.

    Raises:
        DeviceError: saying the side that would fit.
    """
    need, have = gradient_bytes(extractor, layers, size), limit or free_memory(extractor.device)
    if need > have:
        side = int(max(size) * (0.9 * have / need) ** 0.5)
        raise too_large(extractor, size, need, have, side)


def too_large(extractor: Extractor, size: Size, need: int, have: int, side: int) -> DeviceError:
    """A picture that does not fit, with the side that would."""
    height, width = size
    return DeviceError(
        f"{width}×{height} with {extractor.name} needs about {need / 1e9:.1f} GB of memory, "
        f"{have / 1e9:.1f} GB can be had",
        f"--size {side} fits"
        + ("" if extractor.name == "vgg-lite" else ", and --backbone vgg-lite needs less"),
    )


def state_bytes(config: OptimizerConfig, size: Size) -> int:
    """Bytes that the picture and its optimiser hold while a gradient is worked out.

    Args:
        config: of the optimiser.
        size: of the picture.
    """
    copies = ADAM_COPIES
    if config.name == "lbfgs":
        copies = LBFGS_COPIES + 2 * config.history
    return copies * PICTURE_BYTES * prod(size)


def tiled_bytes(
    extractor: Extractor, segments: Sequence[Segment], sides: Sequence[int], size: Size
) -> int:
    """Peak bytes of a gradient tile by tile, beyond weights, program and `state_bytes`.

    Args:
        extractor: its precision and pooling.
        segments: parts of the network, whose steps are known.
        sides: of the tiles of each part; parts beyond the last are run whole.
        size: of the picture.
    """
    maps = _maps(extractor, segments, size)
    peaks = [0]
    if len(sides) < len(segments):
        rest = segments[len(sides) :]
        ops = [op for segment in rest for op in segment.ops]
        layers = {layer for segment in rest for layer in segment.layers}
        held = sum(each.bytes for each in maps[1 : len(sides) + 1])
        below = maps[len(sides)].bytes
        peaks.append(
            held + below + chain_cost(ops, maps[len(sides)].size, layers, extractor).backward
        )
    for number, (segment, side) in enumerate(zip(segments, sides, strict=False)):
        cost = tile_cost(extractor, segment, maps[number].size, side)
        # Forward: all maps so far and the one that is being made.
        peaks.append(sum(each.bytes for each in maps[1 : number + 2]) + cost.forward)
        # Back: all maps up to this part's input, the gradient above, and the one being made.
        above = maps[number + 1].bytes if number + 1 < len(maps) else 0
        below = maps[number].bytes if number else PICTURE_BYTES * prod(size)
        held = sum(each.bytes for each in maps[1 : number + 1])
        peaks.append(held + above + below + cost.backward)
    return max(peaks)


@dataclass(frozen=True, kw_only=True)
class _Map:
    size: Size
    bytes: int


def _maps(extractor: Extractor, segments: Sequence[Segment], size: Size) -> list[_Map]:
    """The picture, and what each part hands to the next."""
    maps = [_Map(size=size, bytes=PICTURE_BYTES * prod(size))]
    for segment in segments[:-1]:
        size = (segment.side(size[0]), segment.side(size[1]))
        item = extractor.dtype.itemsize
        maps.append(_Map(size=size, bytes=item * segment.ops[-1].out_channels * prod(size)))
    return maps


def tile_cost(extractor: Extractor, segment: Segment, size: Size, side: int) -> Cost:
    """What the largest tile of a part takes, with its margins.

    Args:
        extractor: its precision and pooling.
        segment: the part.
        size: of its input.
        side: of its tiles.
    """
    needed = segment.needed
    largest = max(
        (
            (tile.y.to - tile.y.from_, tile.x.to - tile.x.from_)
            for tile in tiles(size, side, segment.reach(needed))
        ),
        key=prod,
    )
    return chain_cost(segment.ops, largest, needed, extractor)


def content_bytes(extractor: Extractor, layers: Collection[str], size: Size) -> int:
    """Bytes of the features of the content at some layers, which are kept.

    Args:
        extractor: the network.
        layers: canonical names.
        size: of the picture.
    """
    return sum(
        extractor.dtype.itemsize
        * extractor.channels(layer)
        * prod(side // extractor.stride(layer) for side in size)
        for layer in layers
    )


def measured_bytes(extractor: Extractor, layers: Collection[str]) -> float:
    """Bytes of each pixel that autograd keeps, found by showing two small pictures.

    For networks whose steps are not known. What does not grow with the picture, such as weights,
    cancels out.

    Args:
        extractor: the network.
        layers: canonical names of those that are read.
    """
    known = _measured.setdefault(extractor, {})
    wanted = frozenset(layers)
    if wanted not in known:
        least = max((extractor.minimum_side(layer) for layer in wanted), default=1)
        small = max(least, LEAST_SIDE)
        kept = [_kept(extractor, wanted, side) for side in (small, 2 * small)]
        known[wanted] = max(0.0, (kept[1] - kept[0]) / ((2 * small) ** 2 - small**2))
    return known[wanted]


_measured: WeakKeyDictionary[Extractor, dict[frozenset[str], float]] = WeakKeyDictionary()
"""What `measured_bytes` has found: each scale of a picture asks for it."""


def _kept(extractor: Extractor, layers: Collection[str], side: int) -> int:
    """Bytes that autograd keeps for a square picture."""
    storages: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    image = torch.zeros(1, 3, side, side, device=extractor.device, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        extractor(image, layers)
    return sum(storages.values())
