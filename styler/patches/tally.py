"""What all photographs so far say of a layer's units: the strongest places, and statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from styler.patches.look import BINS, Look

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NOBODY = 2**62
"""The photograph of a place that is still free."""
_FINE = 2.0**40
"""Parts of 1 that sums are kept in."""
_AT_ONCE = 2**24
"""Activations that are searched for their places at a time."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How near to each other two places of one photograph may be.

    Two of them are one if their fields share more than half of what each sees.

    Args:
        field: (height, width) of the field, in pixels of what the network sees.
        jump: (vertical, horizontal) distance of neighbouring units.
    """

    field: tuple[float, float]
    jump: tuple[float, float]

    def shared(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Whether units so many rows and columns apart share more than half of their fields."""
        down = (self.field[0] - rows.abs() * self.jump[0]).clamp(min=0)
        across = (self.field[1] - columns.abs() * self.jump[1]).clamp(min=0)
        return down * across > self.field[0] * self.field[1] / 2


class Tally:
    """The strongest places of a layer's units, and how their activations are distributed.

    All of it is the same in whatever order photographs are added: places are ordered by value, then
    by photograph, then by position, row by row, and sums are whole numbers.

    Args:
        units: how many.
        k: places kept for each.

    Example:
        >>> from styler.patches.look import look_at
        >>> tally = Tally(1, 2)
        >>> for image, value in enumerate([1.0, 3.0, 2.0]):
        ...     tally.add(look_at(torch.tensor([[value]])), image)
        >>> tally.places(0)
        [(3.0, 1, 0, 0), (2.0, 2, 0, 0)]
    """

    def __init__(self, units: int, k: int) -> None:
        self.values = np.full((units, k), -np.inf)
        self.images = np.full((units, k), _NOBODY, dtype=np.int64)
        self.rows = np.zeros((units, k), dtype=np.int64)
        self.columns = np.zeros((units, k), dtype=np.int64)
        self.peaks = np.full(units, -np.inf)
        self.positions = np.zeros(1, dtype=np.int64)
        self.whole = np.zeros(units, dtype=np.int64)
        self.rest = np.zeros(units, dtype=np.int64)
        self.bins = np.zeros((units, BINS), dtype=np.int64)

    def add(self, look: Look, image: int, *, number: int = 1, reach: Reach | None = None) -> None:
        """Takes a photograph into account.

        Args:
            look: at it.
            image: its number, which orders equal values.
            number: places that it may have among those of one unit.
            reach: how near to each other they may be; needed for more than one.
        """
        self._add_statistics(look)
        peaks = look.peaks.numpy()
        last, whose = self.values[:, -1], self.images[:, -1]
        # A rectified unit that is 0 everywhere was not excited.
        wanted = (peaks != 0) & ((peaks > last) | ((peaks == last) & (image < whose)))
        step = max(1, _AT_ONCE // len(look.rows))
        for units in torch.split(torch.from_numpy(np.flatnonzero(wanted)), step):
            self._merge(units.numpy(), *_strongest(look, units, number, reach), image)

    def _add_statistics(self, look: Look) -> None:
        sums = look.sums.numpy()
        whole = np.rint(sums)
        self.positions += look.positions
        self.whole += whole.astype(np.int64)
        self.rest += np.rint((sums - whole) * _FINE).astype(np.int64)
        self.bins += look.bins.numpy()
        np.maximum(self.peaks, look.peaks.numpy(), out=self.peaks)

    def _merge(
        self,
        units: NDArray[np.int64],
        values: NDArray[np.float64],
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        image: int,
    ) -> None:
        """Keeps the first k of the places there were and of new ones, of some units."""
        images = np.where(np.isfinite(values), image, _NOBODY)
        table = [
            np.concatenate([old[units], new], axis=1)
            for old, new in zip(self._table(), (values, images, rows, columns), strict=True)
        ]
        order = np.lexsort((table[3], table[2], table[1], -table[0]), axis=1)
        order = order[:, : self.values.shape[1]]
        for old, joined in zip(self._table(), table, strict=True):
            old[units] = np.take_along_axis(joined, order, axis=1)

    def _table(self) -> tuple[NDArray[np.generic], ...]:
        return self.values, self.images, self.rows, self.columns

    def places(self, unit: int) -> list[tuple[float, int, int, int]]:
        """The strongest places of a unit: value, photograph, row, column.

        Args:
            unit: counted from 0 among those that are tallied.
        """
        found = zip(*(column[unit].tolist() for column in self._table()), strict=True)
        return [place for place in found if place[1] != _NOBODY]

    def mean(self, unit: int) -> float:
        """The mean of a unit's activation, 0 before the first photograph."""
        total = int(self.whole[unit]) + int(self.rest[unit]) / _FINE
        return total / max(1, int(self.positions[0]))

    def renumber(self, numbers: Sequence[int]) -> None:
        """Give the photographs other numbers, in the same order.

        Args:
            numbers: the new one of each.
        """
        taken = self.images != _NOBODY
        self.images[taken] = np.asarray(numbers, dtype=np.int64)[self.images[taken]]

    def copy(self) -> Tally:
        """Another one of the same content."""
        return Tally.unpack({name: tensor.clone() for name, tensor in self.pack().items()})

    def pack(self) -> dict[str, Tensor]:
        """All of it as tensors."""
        return {name: torch.from_numpy(array) for name, array in vars(self).items()}

    @classmethod
    def unpack(cls, tensors: Mapping[str, Tensor]) -> Tally:
        """What `pack` gave.

        Raises:
            ValueError: tensors are missing or do not fit together.
        """
        units, k = tensors["values"].shape if "values" in tensors else (0, 0)
        made = cls(units, k)
        for name, array in vars(made).items():
            tensor = tensors.get(name)
            if tensor is None or tuple(tensor.shape) != array.shape:
                raise ValueError(f"{name} of a tally is missing or of another shape")
            array[...] = tensor.numpy()
        return made


def _strongest(
    look: Look, units: Tensor, number: int, reach: Reach | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """The strongest places of some units in one photograph: values, rows and columns.

    Of equal values the first counts, row by row. Values are −∞ where there are no more places that
    excite a unit.
    """
    maps = look.rows[:, units.to(look.rows.device)].T
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32)).contiguous()
    peaks = maps.amax(1)
    width = look.size[1]
    values, places = [], []
    for _ in range(number):
        best = maps.amax(1)
        place = _first_equal(maps, best)
        # After the positive ones there are those that do not excite it.
        values.append(torch.where((best != 0) & ((best > 0) == (peaks > 0)), best, -torch.inf))
        places.append(place)
        if reach is not None:
            maps.masked_fill_(_near(place, look.size, reach), -torch.inf)
    at = torch.stack(places, 1).cpu().numpy()
    rows, columns = at // width + look.corner[0], at % width + look.corner[1]
    return torch.stack(values, 1).cpu().double().numpy(), rows, columns


def _first_equal(maps: Tensor, values: Tensor) -> Tensor:
    """The first place of each row of (units, positions) that has a value."""
    places = torch.arange(maps.shape[1], device=maps.device)
    return torch.where(maps == values[:, None], places, maps.shape[1]).amin(1)


def _near(places: Tensor, size: tuple[int, int], reach: Reach) -> Tensor:
    """Which positions (units, H · W) are one with a place of each unit."""
    height, width = size
    rows = torch.arange(height, device=places.device)[None, :, None]
    columns = torch.arange(width, device=places.device)[None, None, :]
    own_rows, own_columns = (places // width)[:, None, None], (places % width)[:, None, None]
    return reach.shared(rows - own_rows, columns - own_columns).flatten(1)
