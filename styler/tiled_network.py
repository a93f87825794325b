"""A network run on a picture tile by tile, forward without and back with gradients, exactly.

A unit's feature depends on a window of the picture alone. A tile is shown with a margin in which
the windows of its own units end, so that these units have the values that they have in the whole
picture; what the margin's units have does not matter, and they are not looked at. On the way back
gradients of overlapping margins add up, as they do in the whole picture.

Between the parts of a network, see `styler.features.segments`, the maps are kept whole. Without
that every tile would need the margin of the deepest layer: 70 pixels on each side for relu5_1 of
VGG-19, where now 6 do. The first parts, where a picture is large, take most of the memory; the last
ones can be run whole, which saves them the second way forward.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType

import torch
from torch import Tensor

from styler.errors import UsageError
from styler.features import Extractor
from styler.features.segments import Segment
from styler.tiles import Tile, tiles


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The features of a tile's own units at one layer.

    Args:
        layer: the layer.
        features: (B, C, h, w), without a graph, channels last in memory.
        rows: their place in the whole layer.
        columns: likewise.
    """

    layer: str
    features: Tensor
    rows: slice
    columns: slice

    def of(self, whole: Tensor | None) -> Tensor | None:
        """The piece's part of a map of the whole layer, such as a mask; None stays None."""
        return None if whole is None else whole[..., self.rows, self.columns]


Slope = Callable[[Piece], Tensor]
"""From the features of a piece to the gradient in them."""


class TiledNetwork:
    """A network for pictures that are too large to be shown to it whole.

    Args:
        extractor: the network.
        layers: that are wanted of it.
        sides: of the tiles of each part of the network, in positions of that part's input; parts
            beyond the last number are run whole. A single number in pixels serves all.

    Raises:
        ConfigError: a layer is unknown, or its units see the whole image.
        UsageError: there are more sides than parts.
    """

    def __init__(
        self, extractor: Extractor, layers: Collection[str], sides: Sequence[int] | int
    ) -> None:
        self.segments = extractor.segments(layers)
        if isinstance(sides, int):
            sides = uniform(self.segments, sides)
        if len(sides) > len(self.segments):
            raise UsageError(f"{len(sides)} sides for a network in {len(self.segments)} parts")
        self.sides = tuple(sides)
        self._inputs: list[Tensor | None] = []
        self._whole: dict[str, Tensor] = {}

    def forward(self, image: Tensor, layers: Collection[str]) -> Iterator[Piece]:
        """Show the picture to the network, without gradients.

        Args:
            image: (B, 3, H, W) sRGB in [0, 1].
            layers: canonical names of what is wanted now; not more than the network was made for.

        Yields:
            Each tile of each of them.
        """
        self._inputs = [image]
        for number, segment in enumerate(self.segments[: len(self.sides)]):
            own = [layer for layer in segment.layers if layer in layers]
            needed = [name for name in segment.needed if name in own or name == segment.output]
            if not needed:
                continue
            for tile, found in self._tiles(number, needed):
                for layer in own:
                    yield _piece(segment, layer, tile, found[layer])
                if segment.output:
                    self._keep(segment, tile, found[segment.output])
        yield from self._rest(layers)

    def _rest(self, layers: Collection[str]) -> Iterator[Piece]:
        """The parts that are run whole; what autograd keeps of them serves the way back."""
        self._whole = {}
        if len(self.sides) == len(self.segments):
            return
        value = self._inputs[len(self.sides)]
        assert value is not None  # the part before has made it
        value = self._inputs[len(self.sides)] = value.detach().requires_grad_()
        for segment in self.segments[len(self.sides) :]:
            with torch.enable_grad():
                found = segment.run(value, segment.needed)
            self._whole.update({layer: found[layer] for layer in segment.layers})
            value = found[segment.needed[-1]]
        for layer, features in self._whole.items():
            if layer in layers:
                yield _whole_piece(layer, features)

    def backward(self, slope: Slope) -> Tensor:
        """Go back to the picture that was shown last; it can be done once.

        Args:
            slope: gives the gradient in the features of a piece.

        Returns:
            (B, 3, H, W), the gradient in the picture.
        """
        above = self._back_to_tiles(slope)
        for number in reversed(range(len(self.sides))):
            segment, whole = self.segments[number], self._inputs[number]
            assert whole is not None  # `forward` has made it, and nobody has used it yet
            below = torch.zeros_like(whole)
            reach = segment.reach(segment.needed)
            for tile in tiles(_size(whole), self.sides[number], reach):
                shown = (..., tile.y.shown, tile.x.shown)
                start = whole[shown].detach().requires_grad_()
                with torch.enable_grad():
                    found = segment.run(start, segment.needed)
                gradients = _gradients(segment, tile, found, slope, above)
                (back,) = torch.autograd.grad(list(gradients), [start], list(gradients.values()))
                below[shown] += back
            above, self._inputs[number] = below, None
        assert above is not None  # there is a part, or `segments` would have refused
        return above

    def _back_to_tiles(self, slope: Slope) -> Tensor | None:
        """The gradient in the input of the parts that were run whole, if there are any."""
        if not self._whole:
            return None
        start, self._inputs[len(self.sides)] = self._inputs[len(self.sides)], None
        assert start is not None  # `forward` has made it
        features = list(self._whole.values())
        gradients = [slope(_whole_piece(name, value)) for name, value in self._whole.items()]
        self._whole = {}
        (back,) = torch.autograd.grad(features, [start], gradients)
        return back

    def _tiles(self, number: int, needed: list[str]) -> Iterator[tuple[Tile, Mapping[str, Tensor]]]:
        segment, whole = self.segments[number], self._inputs[number]
        assert whole is not None  # the part before has made it
        for tile in tiles(_size(whole), self.sides[number], segment.reach(needed)):
            with torch.no_grad():
                found = segment.run(whole[..., tile.y.shown, tile.x.shown], needed)
            yield tile, found

    def _keep(self, segment: Segment, tile: Tile, shown: Tensor) -> None:
        """Put a tile of a part's output where the next part finds it."""
        layer = str(segment.output)
        number = self.segments.index(segment)
        if len(self._inputs) == number + 1:
            whole = self._inputs[number]
            assert whole is not None  # it is being shown
            height, width = (segment.side(side) for side in _size(whole))
            empty = shown.new_empty((*shown.shape[:2], height, width))
            self._inputs.append(empty.contiguous(memory_format=torch.channels_last))
        target = self._inputs[number + 1]
        assert target is not None  # just made
        target[_place(segment, layer, tile)] = _own(segment, layer, tile, shown)


def _whole_piece(layer: str, features: Tensor) -> Piece:
    everything = slice(0, None)
    return Piece(layer=layer, features=features.detach(), rows=everything, columns=everything)


def uniform(segments: Sequence[Segment], side: int) -> list[int]:
    """Tiles of one size in the picture, for each part in positions of its input."""
    sides, shrunk = [], side
    for segment in segments:
        sides.append(max(1, shrunk))
        shrunk = segment.side(shrunk)
    return sides


def _gradients(
    segment: Segment,
    tile: Tile,
    found: Mapping[str, Tensor],
    slope: Slope,
    above: Tensor | None,
) -> dict[Tensor, Tensor]:
    """By what a tile was shown to give: its losses' gradient, and that of later parts.

    They are laid out as the features are. Autograd would lay those of slices out otherwise, and
    the convolutions below would pay for it: half the time of a gradient.
    """
    gradients: dict[Tensor, Tensor] = {}
    for layer in segment.layers:
        gradient = torch.zeros_like(found[layer])
        _own(segment, layer, tile, gradient).copy_(
            slope(_piece(segment, layer, tile, found[layer]))
        )
        gradients[found[layer]] = gradient
    if segment.output:
        assert above is not None  # a part with an output is not the last
        output = found[segment.output]
        if output not in gradients:
            gradients[output] = torch.zeros_like(output)
        own = _own(segment, segment.output, tile, gradients[output])
        own += above[_place(segment, segment.output, tile)]
    return gradients


def _own(segment: Segment, layer: str, tile: Tile, shown: Tensor) -> Tensor:
    """The tile's own units among those that it was shown with."""
    field = segment.fields[layer]
    return shown[..., tile.y.own_shown(field.y.jump), tile.x.own_shown(field.x.jump)]


def _piece(segment: Segment, layer: str, tile: Tile, shown: Tensor) -> Piece:
    own = _own(segment, layer, tile, shown.detach())
    _, rows, columns = _place(segment, layer, tile)
    return Piece(
        layer=layer,
        # Losses read the features of a whole network without a copy; so shall those of a tile.
        features=own.contiguous(memory_format=torch.channels_last),
        rows=rows,
        columns=columns,
    )


def _place(segment: Segment, layer: str, tile: Tile) -> tuple[EllipsisType, slice, slice]:
    """Where the tile's own units are in the whole layer."""
    field = segment.fields[layer]
    return ..., tile.y.own(field.y.jump), tile.x.own(field.x.jump)


def _size(whole: Tensor) -> tuple[int, int]:
    return whole.shape[-2], whole.shape[-1]
