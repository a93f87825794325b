"""A map cut into tiles, each with the margin that its units see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from styler.features.segments import Reach


@dataclass(frozen=True, kw_only=True)
class Span:
    """A tile along one axis.

    Args:
        start: first position of the tile.
        stop: past its last.
        from_: first position that is shown to the network.
        to: past the last.
        length: of the axis.
    """

    start: int
    stop: int
    from_: int
    to: int
    length: int

    @property
    def shown(self) -> slice:
        """Of the map: what is shown to the network."""
        return slice(self.from_, self.to)

    def own(self, jump: int) -> slice:
        """Of a layer of the whole map: the tile's units.

        Args:
            jump: distance of the layer's units, in positions of the map.
        """
        return slice(self.start // jump, None if self.stop == self.length else self.stop // jump)

    def own_shown(self, jump: int) -> slice:
        """Of a layer of what is shown: the tile's units."""
        first = (self.start - self.from_) // jump
        if self.stop == self.length:
            return slice(first, None)
        return slice(first, first + (self.stop - self.start) // jump)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A tile of a map.

    Args:
        y: along the height.
        x: along the width.
    """

    y: Span
    x: Span


def spans(length: int, side: int, reach: Reach) -> list[Span]:
    """Tiles of nearly one size along an axis.

    Args:
        length: of the axis.
        side: of a tile at most, but for rounding to the grid.
        reach: how far its units see.

    Returns:
        At least one; together they cover the axis, and none overlaps another.

    Example:
        >>> [(s.start, s.stop) for s in spans(100, 40, Reach(grid=8, before=3, after=3))]
        [(0, 32), (32, 64), (64, 100)]
        >>> [(s.from_, s.to) for s in spans(100, 40, Reach(grid=8, before=3, after=3))]
        [(0, 35), (24, 67), (56, 100)]
    """
    grid = reach.grid
    count = max(1, -(-length // max(side, grid)))
    borders = sorted({length * number // count // grid * grid for number in range(count)} | {0})
    margin = -(-reach.before // grid) * grid
    found = []
    for start, stop in zip(borders, [*borders[1:], length], strict=True):
        to = length if stop == length else min(length, stop + reach.after)
        found.append(
            Span(start=start, stop=stop, from_=max(0, start - margin), to=to, length=length)
        )
    return found


def tiles(size: tuple[int, int], side: int, reach: tuple[Reach, Reach]) -> Iterator[Tile]:
    """Tiles of a map, row by row.

    Args:
        size: (height, width) of the map.
        side: of a tile at most.
        reach: along the height and the width.
    """
    for y in spans(size[0], side, reach[0]):
        for x in spans(size[1], side, reach[1]):
            yield Tile(y=y, x=x)
