"""A network in parts, each of which can be run on one tile of its input after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from styler.features.network import Op
from styler.features.receptive_field import ReceptiveField, Window


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a network: from one map to features and to the map that the next part starts from.

    Args:
        layers: whose features are wanted of it, in the network's order.
        output: the layer that the next part starts from; None for the last part.
        fields: what units of `layers` and `output` see, in positions of this part's input.
        side: of `output`, for a side of this part's input.
        ops: its steps; empty where they are not known.
        run: gives the layers asked for, by name, of the part's input (B, C, H, W); the input of a
            network's first part is the image.
    """

    layers: tuple[str, ...]
    output: str | None
    fields: Mapping[str, ReceptiveField]
    side: Callable[[int], int]
    run: Callable[[Tensor, Sequence[str]], Mapping[str, Tensor]]
    ops: Sequence[Op] = ()

    @property
    def needed(self) -> list[str]:
        """All that is wanted of it: `layers`, and `output` last where there is one."""
        return list(dict.fromkeys([*self.layers, *([self.output] if self.output else [])]))

    def reach(self, layers: Collection[str]) -> tuple[Reach, Reach]:
        """How far beyond a tile its units see, along the height and the width.

        Args:
            layers: of `fields`, at least one.
        """
        fields = [self.fields[layer] for layer in layers]
        return _reach([field.y for field in fields]), _reach([field.x for field in fields])


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Along one axis, how far beyond a tile its units see.

    Args:
        grid: tiles begin at multiples of it: the distance of units of the coarsest layer.
        before: positions before the tile's first.
        after: positions after its last.
    """

    grid: int
    before: int
    after: int


def _reach(windows: Sequence[Window]) -> Reach:
    return Reach(
        grid=math.lcm(*(window.jump for window in windows)),
        before=max(0, *(-window.first for window in windows)),
        after=max(0, *(window.last - window.jump + 1 for window in windows)),
    )
