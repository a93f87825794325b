"""What a network costs and sees, module by module."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from torch import nn

from styler.errors import BackboneError, ImageError
from styler.features.convolutional import trace_backbone
from styler.features.networks import build_network
from styler.features.receptive_field import ReceptiveField
from styler.features.registry import BackboneSpec
from styler.features.summary import FLOAT32_BYTES, LayerRow
from styler.features.traced import Traced, Untraceable, shapes
from styler.features.traced_geometry import fields, minimum_sides

_LOAD_INSTEAD = "load it and ask the extractor for channels and strides instead"

_COUNTED = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
"""Modules whose cost is known; none has another inside."""

_KINDS: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], str], ...] = (
    (nn.Conv2d, "conv"),
    (nn.Linear, "linear"),
    (nn.BatchNorm2d, "norm"),
    ((nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d), "pool"),
)


def traced_rows(spec: BackboneSpec, size: tuple[int, int]) -> list[LayerRow]:
    """Measures a network that can be traced without its weights.

    Args:
        spec: the network.
        size: (height, width) of the image in pixels.

    Returns:
        One row per call of a module that has none inside; additions, concatenations and calls of
        bare functions have no row.

    Raises:
        ImageError: the image is too small.
        BackboneError: the library it is from does not work, the network cannot be traced, or it
            computes with weights outside of convolutions, linear layers and batch normalisation.
    """
    traced = _trace(spec)
    counted = [module for module in traced.model.modules() if isinstance(module, _COUNTED)]
    if _learned(*counted) != _learned(traced.model):
        raise BackboneError(
            f"a summary needs a network of convolutions, got '{spec.name}'",
            _LOAD_INSTEAD,
        )
    least = max(minimum_sides(traced).values())
    if min(size) < least:
        raise ImageError(
            f"an image of {size[1]}×{size[0]} pixels is too small for {spec.name}",
            f"use at least {least} pixels on each side",
        )
    return list(_rows(traced, size))


def _trace(spec: BackboneSpec) -> Traced:
    try:
        return trace_backbone(spec, build_network(spec))
    except Untraceable as error:
        raise BackboneError(
            f"a summary needs a network that can be traced, got '{spec.name}': {error}",
            _LOAD_INSTEAD,
        ) from error


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
