"""What the units of a layer see of an image, and how little of it each of them needs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from styler.errors import UsageError
from styler.features.base import Extractor
from styler.features.layer_field import (
    Box,
    LayerField,
    field_of_backbone,
    field_of_extractor,
    field_of_module,
)

__all__ = ["Box", "LayerField", "Tile", "receptive_field", "tile_of"]


def receptive_field(
    module: Extractor | nn.Module | str, layer: str, size: int | tuple[int, int]
) -> LayerField:
    """What the units of a layer see of an image: exact, with no number of the network computed.

    Known are convolutions (rectangular, dilated, in groups, with any padding but circular),
    pooling with ``ceil_mode``, zeros put around a map, sums and concatenations of branches, and
    functions of single units, as modules or as functions.

    Args:
        module: an extractor, a module from (B, C, H, W) to a tensor or a table of them, or the
            name of a network, which needs no weights: see `styler.features.get_backbone`.
        layer: a name or an alias; of a module the path of one inside, see
            `styler.features.extractor_of`.
        size: (height, width) of the image in pixels, or the side of a square one.

    Returns:
        The field.

    Raises:
        ConfigError: the layer is unknown; the closest are offered.
        ImageError: the layer has no unit for so small an image, or takes none of this size.
        BackboneError: there is no such network, or it cannot be traced, and so nobody knows what
            its units see; `styler.effective` looks at their gradients instead.
        UsageError: the size is none.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, (1, 7), stride=2), nn.MaxPool2d(3, ceil_mode=True))
        >>> field = receptive_field(net, "1", (32, 48))
        >>> field.grid, field.sees, field.stride
        ((6, 7), (5, 11), (6, 6))

    References:
        Araujo, Norris, Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks",
        Distill; here also for each axis of its own, and for sums of branches on one grid, the
        hull of their windows.
    """
    sides = (size, size) if isinstance(size, int) else (size[0], size[1])
    if min(sides) < 1:
        raise UsageError(f"an image has a height and a width of 1 or more, got {sides}")
    if isinstance(module, Extractor):
        return field_of_extractor(module, layer, sides)
    if isinstance(module, str):
        return field_of_backbone(module, layer, sides)
    return field_of_module(module, layer, sides)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A part of an image in which a unit of a layer is as in the whole.

    Args:
        top: first row of the image.
        left: first column.
        bottom: past the last row.
        right: past the last column.
        row: of the unit in the tile's own map.
        column: of the unit in the tile's own map.
    """

    top: int
    left: int
    bottom: int
    right: int
    row: int
    column: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.bottom - self.top, self.right - self.left

    @property
    def box(self) -> Box:
        """Its borders."""
        return self.top, self.left, self.bottom, self.right

    def of(self, image: Tensor) -> Tensor:
        """Its pixels (…, height, width) of an image (…, H, W): a view."""
        return image[..., self.top : self.bottom, self.left : self.right]


def tile_of(field: LayerField, row: int, column: int) -> Tile:
    """The smallest part of an image that a unit needs.

    With n pixels, windows from f + r·j to l + r·j for the unit r and j pixels between units, it
    begins at the last multiple of j that is not after the window, and ends with the window: a
    network's strides, and the rounding of its poolings, then fall as they do in the whole image,
    since j is a multiple of those of all layers before. Where the window reaches past a border
    of the image, the tile ends there, so that it sees the same padding. In it the unit has the
    same activation and the same gradient, but for the rounding of sums. Units whose windows are
    inside the image have tiles of one size.

    Args:
        field: the layer's, see `receptive_field`.
        row: of the unit in the layer's map.
        column: of the unit in the layer's map.

    Returns:
        The tile; the whole image where units see that or none of its parts will do. No side is
        shorter than the layer's smallest image.

    Raises:
        UsageError: the layer has no such unit.

    Example:
        >>> tile = tile_of(receptive_field("vgg16", "relu3_1", 224), 20, 0)
        >>> tile
        Tile(top=68, left=0, bottom=94, right=14, row=3, column=0)
    """
    field.check(row, column)
    if field.field is None or not field.croppable:
        height, width = field.size
        return Tile(top=0, left=0, bottom=height, right=width, row=row, column=column)
    y, x = field.field.y, field.field.x
    top, bottom = _cut(y.span(row), y.jump, field.size[0], field.least)
    left, right = _cut(x.span(column), x.jump, field.size[1], field.least)
    return Tile(
        top=top,
        left=left,
        bottom=bottom,
        right=right,
        row=row - top // y.jump,
        column=column - left // x.jump,
    )


def _cut(span: tuple[int, int], jump: int, side: int, least: int) -> tuple[int, int]:
    """Where the tile of a unit begins and ends along an axis."""
    latest = (side - least) // jump * jump
    start = max(0, min(span[0] // jump * jump, latest))
    return start, min(side, max(span[1] + 1, start + least))
