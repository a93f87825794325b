"""What the pages of a microscope show, beside the records of photographs and patches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from styler.patches.record import Index, LayerRecord, UnitRecord

State = Literal["active", "silent", "dead"]
"""Of a unit: photographs excite it; only its synthetic picture does; nothing does."""


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """A picture that was made to excite a unit.

    Args:
        file: from the site's folder.
        peak: the unit's strongest activation in it, anywhere.
    """

    file: str
    peak: float


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The patches of a unit in one file: a grid of square cells, and to its right projections.

    Both fill their part row by row.

    Args:
        file: from the site's folder.
        rows: of cells.
        columns: of patches.
        patches: how many there are.
        projections: how many there are, of the first patches.
    """

    file: str
    rows: int
    columns: int
    patches: int
    projections: int = 0

    @property
    def more(self) -> int:
        """Columns of projections."""
        return -(-self.projections // self.rows)


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A small copy of a photograph.

    Args:
        file: from the site's folder.
        size: (height, width) in pixels.
    """

    file: str
    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class NetworkLayer:
    """Any layer of the network.

    Args:
        name: canonical.
        shape: (channels, height, width) of its output; (channels, 1, 1) of a vector.
        stride: distance of neighbouring units in pixels; None of a vector.
        sees: (height, width) of a receptive field in pixels; None where it is the whole picture or
            is not known.
    """

    name: str
    shape: tuple[int, int, int]
    stride: int | None
    sees: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class LayerPage:
    """A layer whose units are shown.

    Args:
        record: what photographs say of it.
        synthetic: pictures by unit; none of them where none were made.
        sheets: of patches by unit; units that no photograph excites have none.
    """

    record: LayerRecord
    synthetic: Mapping[int, Synthetic] = field(default_factory=dict)
    sheets: Mapping[int, Sheet] = field(default_factory=dict)

    def state(self, unit: UnitRecord) -> State:
        """Whether anything excites a unit; without photographs, its picture has to."""
        made = self.synthetic.get(unit.unit)
        if unit.fired:
            return "active"
        if made is None or made.peak <= 0:
            return "dead"
        return "silent" if self.record.positions else "active"

    def ratio(self, unit: UnitRecord) -> float | None:
        """The strongest activation in the synthetic picture, as a multiple of that in photographs.

        Both are the unit's maximum over all positions of pictures as they are, without any views.
        None where there is no picture, or no photograph that excites the unit.

        Example:
            >>> unit = UnitRecord(unit=3, name="a:3", patches=[], peak=2.0, mean=0.1, active=0.5,
            ...                   histogram=[])
            >>> record = LayerRecord(layer="a", channels=4, stride=1, sees=(3, 3), positions=9,
            ...                      field="theoretical", units=[unit])
            >>> made = Synthetic(file="3.jpg", peak=5.0)
            >>> LayerPage(record=record, synthetic={3: made}).ratio(unit)
            2.5
        """
        made = self.synthetic.get(unit.unit)
        return made.peak / unit.peak if made is not None and unit.peak > 0 else None


@dataclass(frozen=True, kw_only=True)
class Site:
    """Everything that the pages show.

    Args:
        index: what photographs say; without photographs it has none, and its units no patches.
        network: all layers, in order.
        pages: those that are shown, in order.
        thumbnails: by the photograph's number in the index; of those alone that are shown.
        making: how the synthetic pictures were made, in a few words; empty where there are none.
    """

    index: Index
    network: list[NetworkLayer]
    pages: list[LayerPage]
    thumbnails: Mapping[int, Thumbnail] = field(default_factory=dict)
    making: str = ""
