"""VGG networks as a list of steps, which the extractor runs and the summary measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Op:
    """One step of a network that is a chain.

    Attributes:
        name: canonical layer name.
        kind: what it computes.
        in_channels: channels of its input.
        out_channels: channels of its output.
        kernel: side of its window in pixels of its input.
        stride: distance of neighbouring windows.
        padding: positions added on each side.
    """

    name: str
    kind: Literal["conv", "relu", "pool"]
    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0


def vgg_ops(blocks: Sequence[Sequence[int]]) -> tuple[Op, ...]:
    """The steps of a VGG network: 3×3 convolutions with ReLUs, 2×2 pooling after each block.

    Args:
        blocks: output channels of each convolution of each block.

    Returns:
        ``conv1_1, relu1_1, …, pool1, conv2_1, …``

    Example:
        >>> [op.name for op in vgg_ops([[8], [16]])]
        ['conv1_1', 'relu1_1', 'pool1', 'conv2_1', 'relu2_1', 'pool2']

    References:
        Simonyan & Zisserman 2014, arXiv 1409.1556, table 1.
    """
    return tuple(_walk(blocks))


def _walk(blocks: Sequence[Sequence[int]]) -> Iterator[Op]:
    width = 3
    for block, channels in enumerate(blocks, start=1):
        for index, out in enumerate(channels, start=1):
            unit = f"{block}_{index}"
            yield Op(
                name=f"conv{unit}",
                kind="conv",
                in_channels=width,
                out_channels=out,
                kernel=3,
                padding=1,
            )
            yield Op(name=f"relu{unit}", kind="relu", in_channels=out, out_channels=out)
            width = out
        yield Op(
            name=f"pool{block}",
            kind="pool",
            in_channels=width,
            out_channels=width,
            kernel=2,
            stride=2,
        )


def output_side(op: Op, side: int) -> int:
    """Side of a step's output for a side of its input, both in pixels; below 1 is too small."""
    return (side + 2 * op.padding - op.kernel) // op.stride + 1


def minimum_side(ops: Sequence[Op], *, mirrored: bool = False) -> int:
    """The smallest side of an image, in pixels, from which a chain of steps yields one unit.

    Args:
        ops: the steps.
        mirrored: whether padding mirrors its input, which must then be larger than the padding.

    Example:
        >>> minimum_side(vgg_ops([[8], [16]])), minimum_side(vgg_ops([[8], [16]]), mirrored=True)
        (4, 4)
        >>> minimum_side(vgg_ops([[8]])[:1]), minimum_side(vgg_ops([[8]])[:1], mirrored=True)
        (1, 2)
    """
    side = 1
    for op in reversed(ops):
        least = op.padding + 1 if mirrored else 1
        side = max(least, (side - 1) * op.stride + op.kernel - 2 * op.padding)
    return side
