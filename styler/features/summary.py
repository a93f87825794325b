"""What a network costs and sees, layer by layer, worked out without its weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod

from styler.errors import ImageError
from styler.features.network import Op, minimum_side, output_side, vgg_ops
from styler.features.receptive_field import chain_fields
from styler.features.registry import BackboneSpec

FLOAT32_BYTES = 4

_CLASSIFIER_GRID = 7
"""VGG classifiers read a 7×7 map, to which torchvision pools whatever size arrives."""

_FIRST_FC = 6
"""The fully connected layers of a VGG network follow its five blocks."""


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One layer of a network.

    Attributes:
        name: canonical layer name.
        kind: "conv", "relu", "pool", "norm" or "linear", else the module's type.
        shape: (channels, height, width) of its output.
        parameters: learned numbers.
        weights: those of them that are no bias.
        macs: multiplications with addition for one image.
        bytes: of its output in float32.
        receptive_field: side of what a unit sees, in pixels, the larger of the two; None where it
            is the whole image or not known.
        stride: distance of neighbouring units in pixels; None as above.
        window: first and last pixel that unit 0 sees along that axis; None as above.
    """

    name: str
    kind: str
    shape: tuple[int, int, int]
    parameters: int
    weights: int
    macs: int
    bytes: int
    receptive_field: int | None
    stride: int | None
    window: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over rows.

    Attributes:
        parameters: learned numbers.
        weights: those of them that are no bias.
        macs: multiplications with addition for one image.
        bytes: of all outputs in float32.
    """

    parameters: int
    weights: int
    macs: int
    bytes: int


def summarise(spec: BackboneSpec, size: tuple[int, int]) -> list[LayerRow]:
    """Measures a network without its weights.

    Args:
        spec: the network.
        size: (height, width) of the image in pixels.

    Returns:
        One row per layer, in order. A VGG network has ``fc6``, ``fc7``, ``fc8`` last when it has a
        classifier, which the extractor has no use for and never loads. Another network
        has one row per call of a module; what is computed between modules has none.

    Raises:
        ImageError: the image is too small for the last layer.
        BackboneError: the library it is from does not work, or the network has weights
            outside of convolutions, linear layers and batch normalisation.

    Example:
        >>> from styler.features.registry import get_backbone
        >>> rows = summarise(get_backbone("vgg16"), (224, 224))
        >>> totals(rows).parameters
        138357544
    """
    if spec.architecture != "vgg":
        from styler.features.traced_summary import traced_rows

        return traced_rows(spec, size)
    ops = vgg_ops(spec.blocks)
    least = minimum_side(ops)
    if min(size) < least:
        raise ImageError(
            f"an image of {size[1]}×{size[0]} pixels is too small for {ops[-1].name}",
            f"use at least {least} pixels on each side",
        )
    return [*_features(ops, size), *_classifier(spec, ops[-1].out_channels)]


def _features(ops: tuple[Op, ...], size: tuple[int, int]) -> Iterator[LayerRow]:
    fields = chain_fields(ops)
    height, width = size
    for op in ops:
        height, width = output_side(op, height), output_side(op, width)
        weights = op.in_channels * op.out_channels * op.kernel**2 if op.kind == "conv" else 0
        shape = (op.out_channels, height, width)
        window = fields[op.name].y
        yield LayerRow(
            name=op.name,
            kind=op.kind,
            shape=shape,
            parameters=weights + (op.out_channels if op.kind == "conv" else 0),
            weights=weights,
            macs=weights * height * width,
            bytes=FLOAT32_BYTES * prod(shape),
            receptive_field=window.size,
            stride=window.jump,
            window=(window.first, window.last),
        )


def _classifier(spec: BackboneSpec, channels: int) -> Iterator[LayerRow]:
    inputs = channels * _CLASSIFIER_GRID**2
    for number, units in enumerate(spec.classifier or (), start=_FIRST_FC):
        weights = inputs * units
        yield LayerRow(
            name=f"fc{number}",
            kind="linear",
            shape=(units, 1, 1),
            parameters=weights + units,
            weights=weights,
            macs=weights,
            bytes=FLOAT32_BYTES * units,
            receptive_field=None,
            stride=None,
            window=None,
        )
        inputs = units


def totals(rows: Iterable[LayerRow]) -> Totals:
    """The sums of rows.

    Args:
        rows: from `summarise`, all or some.

    Returns:
        Their sums.
    """
    kept = list(rows)
    return Totals(
        parameters=sum(row.parameters for row in kept),
        weights=sum(row.weights for row in kept),
        macs=sum(row.macs for row in kept),
        bytes=sum(row.bytes for row in kept),
    )
