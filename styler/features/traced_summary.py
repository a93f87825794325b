"""What a network of torchvision costs and sees, module by module."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from torch import nn

from styler.errors import BackboneError, ImageError
from styler.features.convolutional import make_convolutional
from styler.features.receptive_field import ReceptiveField
from styler.features.registry import BackboneSpec
from styler.features.summary import FLOAT32_BYTES, LayerRow
from styler.features.torchvision_models import build_torchvision
from styler.features.traced import Traced, shapes, trace
from styler.features.traced_geometry import fields, minimum_sides

_COUNTED = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
"""Modules whose cost is known; none has another inside."""

_KINDS: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], str], ...] = (
    (nn.Conv2d, "conv"),
    (nn.Linear, "linear"),
    (nn.BatchNorm2d, "norm"),
    ((nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d), "pool"),
)


def traced_rows(spec: BackboneSpec, size: tuple[int, int]) -> list[LayerRow]:
    """Measures a torchvision network without its weights.

    Args:
        spec: the network.
        size: (height, width) of the image in pixels.

    Returns:
        One row per call of a module that has none inside; additions, concatenations and calls of
        bare functions have no row.

    Raises:
        ImageError: the image is too small.
        BackboneError: torchvision does not work, or the network computes with weights outside of
            convolutions, linear layers and batch normalisation.
    """
    traced = make_convolutional(trace(build_torchvision(spec)))
    counted = [module for module in traced.model.modules() if isinstance(module, _COUNTED)]
    if _learned(*counted) != _learned(traced.model):
        raise BackboneError(
            f"a summary needs a network of convolutions, got '{spec.name}'",
            "load it and ask the extractor for channels and strides instead",
        )
    least = max(minimum_sides(traced).values())
    if min(size) < least:
        raise ImageError(
            f"an image of {size[1]}×{size[0]} pixels is too small for {spec.name}",
            f"use at least {least} pixels on each side",
        )
    return list(_rows(traced, size))


def _learned(*modules: nn.Module) -> int:
    return sum(value.numel() for module in modules for value in module.parameters())


def _rows(traced: Traced, size: tuple[int, int]) -> Iterator[LayerRow]:
    modules = dict(traced.model.named_modules())
    found, seen = shapes(traced, size), fields(traced)
    for name, node in traced.outputs.items():
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        # The last child's output is its parents' too.
        if module is not None and name.startswith(str(node.target)) and node in found:
            yield _row(name, module, found[node], seen[node])


def _row(
    name: str, module: nn.Module, shape: tuple[int, ...], field: ReceptiveField | None
) -> LayerRow:
    kind = next((kind for types, kind in _KINDS if isinstance(module, types)), None)
    weights = sum(value.numel() for key, value in module.named_parameters() if key != "bias")
    channels, height, width = (*shape[1:], 1, 1)[:3]
    window = None if field is None else max(field.y, field.x, key=lambda axis: axis.size)
    return LayerRow(
        name=name,
        kind=kind or type(module).__name__.lower(),
        shape=(channels, height, width),
        parameters=_learned(module),
        weights=weights,
        macs=weights * height * width if kind in ("conv", "linear") else 0,
        bytes=FLOAT32_BYTES * prod(shape[1:]),
        receptive_field=None if window is None else window.size,
        stride=None if window is None else window.jump,
        window=None if window is None else (window.first, window.last),
    )
