"""What the units of a layer see of an image, found for any kind of network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torch import fx, nn

from styler.errors import BackboneError, ConfigError, ImageError, UsageError
from styler.features.base import Extractor
from styler.features.ensemble import EnsembleExtractor
from styler.features.layers import resolve_layer
from styler.features.network import minimum_side, vgg_ops
from styler.features.probing import hollow_copy, input_channels, is_memory_error
from styler.features.receptive_field import ReceptiveField, chain_fields
from styler.features.registry import BackboneSpec, get_backbone
from styler.features.traced import (
    Traced,
    Untraceable,
    one_line,
    outputs_of_image,
    partial_shapes,
    trace,
)
from styler.features.traced_geometry import fields, minimum_sides
from styler.features.vgg import VggExtractor

Box = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels of an image, the last two past the end."""


@dataclass(frozen=True, kw_only=True)
class LayerField:
    """What the units of a layer see of an image of one size.

    Args:
        layer: canonical name.
        size: (height, width) of the image in pixels.
        grid: (height, width) of the layer's map in units; (1, 1) for a vector.
        field: the windows of its units along both axes; None where each sees the whole image, or
            where that cannot be told: behind fully connected layers, attention, global pooling
            and what is multiplied by it, and also behind adaptive pooling to several units,
            enlarging, transposed convolutions and padding that shows the opposite border.
        least: smallest side in pixels of an image with which the layer has a unit.
        croppable: whether a part of the image gives the layer's units what the image gives them;
            not so where the network takes images of one size alone, or adds to each place
            something of that place's own.

    Example:
        >>> from styler.fields import receptive_field
        >>> field = receptive_field("vgg16", "relu4_3", 224)
        >>> field.grid, field.sees, field.stride, field.window
        ((28, 28), (92, 92), (8, 8), ((-42, 49), (-42, 49)))
        >>> field.box(0, 14), field.inside(0, 14)
        ((-42, 70, 50, 162), (0, 70, 50, 162))

    References:
        Araujo, Norris, Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks",
        Distill.
    """

    layer: str
    size: tuple[int, int]
    grid: tuple[int, int]
    field: ReceptiveField | None
    least: int = 1
    croppable: bool = True

    @property
    def sees(self) -> tuple[int, int] | None:
        """(height, width) of what a unit sees, in pixels; None where it is the whole image."""
        return None if self.field is None else (self.field.y.size, self.field.x.size)

    @property
    def stride(self) -> tuple[int, int] | None:
        """Distance of neighbouring units in pixels, down and across; None as above."""
        return None if self.field is None else (self.field.y.jump, self.field.x.jump)

    @property
    def window(self) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """First and last pixel that unit (0, 0) sees, down and across; None as above."""
        return None if self.field is None else (self.field.y.span(0), self.field.x.span(0))

    def box(self, row: int, column: int) -> Box:
        """What a unit sees; it may reach past the image, where padding is seen.

        Raises:
            UsageError: the layer has no such unit.
        """
        self.check(row, column)
        return (0, 0, *self.size) if self.field is None else self.field.box(row, column)

    def clipped(self, row: int, column: int) -> bool:
        """Whether what a unit sees reaches past the image."""
        return self.box(row, column) != self.inside(row, column)

    def inside(self, row: int, column: int) -> Box:
        """The part of what a unit sees that is in the image.

        At the right and lower border a unit may see a little less: where a stride leaves a last
        row of a map unused, nothing stands for it.
        """
        top, left, bottom, right = self.box(row, column)
        height, width = self.size
        return (
            _within(top, height),
            _within(left, width),
            _within(bottom, height),
            _within(right, width),
        )

    def check(self, row: int, column: int) -> None:
        """Makes sure that the layer has a unit.

        Raises:
            UsageError: it has not.
        """
        height, width = self.grid
        if not (0 <= row < height and 0 <= column < width):
            raise UsageError(
                f"{self.layer} has no unit at {row},{column}",
                f"it has {height}×{width} for this image, from 0,0 to {height - 1},{width - 1}",
            )


def field_of_extractor(extractor: Extractor, layer: str, size: tuple[int, int]) -> LayerField:
    """What the units of a layer see of an image; see `styler.fields.receptive_field`.

    Args:
        extractor: the network, or several.
        layer: a name or an alias.
        size: (height, width) of the image in pixels.
    """
    from styler.features.traced_extractor import TracedExtractor

    extractor.check_size(size, [layer])
    known = extractor.receptive_field(layer)
    name = extractor.resolve([layer])[0]
    if isinstance(extractor, EnsembleExtractor):
        ((member, (own,)),) = extractor.parts([name])
        return replace(field_of_extractor(member, own, size), layer=name)
    least = extractor.minimum_side(name)
    if isinstance(extractor, VggExtractor):
        field = None if extractor.padding == "circular" else known
        return _vgg_field(name, size, extractor.stride(name), field, least)
    if isinstance(extractor, TracedExtractor):
        traced = extractor.traced
        return _traced_field(traced, name, traced.outputs[name], size, least)
    raise _not_known(extractor.name, extractor.notice or "its modules alone are known")


def field_of_backbone(name: str, layer: str, size: tuple[int, int]) -> LayerField:
    """What the units of a layer see of an image, without the network's weights.

    Args:
        name: of the network.
        layer: a name or an alias.
        size: (height, width) of the image in pixels.
    """
    spec = get_backbone(name)
    if spec.architecture != "vgg":
        return _by_path(spec.name, _built(spec), layer, size)
    ops = vgg_ops(spec.blocks)
    names = [op.name for op in ops]
    canonical = resolve_layer(layer, names)
    least = minimum_side(ops[: names.index(canonical) + 1])
    _check_size(size, canonical, least)
    field = chain_fields(ops)[canonical]
    return _vgg_field(canonical, size, field.y.jump, field, least)


def field_of_module(module: nn.Module, layer: str, size: tuple[int, int]) -> LayerField:
    """What the units of a layer see of an image, in any network that can be traced.

    Args:
        module: the network. It is not changed, and no number of it is looked at.
        layer: path of a module in it.
        size: (height, width) of the image in pixels.
    """
    name = type(module).__name__
    try:
        hollow, channels = hollow_copy(module), input_channels(module)
    except (RuntimeError, TypeError) as error:
        if is_memory_error(error):
            raise
        raise BackboneError(
            f"{name} cannot be copied: {one_line(error)}", "give a function that builds it"
        ) from error
    with _traceable(name):
        traced = trace(hollow, channels=channels)
    return _by_path(name, traced, layer, size)


def _built(spec: BackboneSpec) -> Traced:
    from styler.features.convolutional import trace_backbone
    from styler.features.networks import build_network

    with _traceable(spec.name):
        return trace_backbone(spec, build_network(spec))


@contextmanager
def _traceable(name: str) -> Iterator[None]:
    try:
        yield
    except Untraceable as untraceable:
        raise _not_known(name, f"it cannot be traced ({untraceable})") from untraceable


def _by_path(name: str, traced: Traced, layer: str, size: tuple[int, int]) -> LayerField:
    nodes = dict(outputs_of_image(traced))
    canonical = resolve_layer(layer, list(nodes))
    node = nodes[canonical]
    least = minimum_sides(traced)[node]
    _check_size(size, canonical, least)
    return _traced_field(traced, canonical, node, size, least)


def _vgg_field(
    layer: str, size: tuple[int, int], jump: int, field: ReceptiveField | None, least: int
) -> LayerField:
    """Of a VGG network, in which nothing but the poolings changes the size of the map."""
    grid = size[0] // jump, size[1] // jump
    return LayerField(layer=layer, size=size, grid=grid, field=field, least=least)


def _traced_field(
    traced: Traced, layer: str, node: fx.Node, size: tuple[int, int], least: int
) -> LayerField:
    hollow = hollow_copy(traced.model)
    shapes, error = partial_shapes(traced, hollow, size)
    shape = shapes.get(node, (0,))
    if 0 in shape:
        reason = "it has no units" if error is None else one_line(error)
        raise ImageError(
            f"{layer} takes no image of {size[1]}×{size[0]} pixels: {reason}", "use another size"
        )
    if len(shape) not in (2, 4):
        raise ConfigError(
            f"{layer} is no map: its shape is {shape}", "use a layer with height and width"
        )
    height, width = (*shape[2:], 1, 1)[:2]
    field = fields(traced, shapes)[node] if len(shape) == 4 else None
    croppable = False
    if field is not None:
        # By as much as its units are apart, an image has to be larger for one more of them.
        more = size[0] + field.y.jump, size[1] + field.x.jump
        larger = partial_shapes(traced, hollow, more)[0].get(node, ())
        croppable = larger[2:] == (height + 1, width + 1)
    return LayerField(
        layer=layer,
        size=size,
        grid=(height, width),
        field=field,
        least=least,
        croppable=croppable,
    )


def _check_size(size: tuple[int, int], layer: str, least: int) -> None:
    if min(size) < least:
        raise ImageError(
            f"an image of {size[1]}×{size[0]} pixels is too small for {layer}",
            f"use at least {least} pixels on each side, or layers nearer to the input",
        )


def _not_known(name: str, reason: str) -> BackboneError:
    return BackboneError(
        f"nobody knows what units of {name} see: {reason}",
        "look at their gradients instead, which show their effective field",
    )


def _within(value: int, side: int) -> int:
    return min(max(value, 0), side)
