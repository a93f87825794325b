"""What is known of the units of a network after a folder of photographs was looked at.

These records are the index of `styler patches`, which programs read, and what the pages of
`styler microscope` show. Lengths are in pixels of the photograph's own file, upright.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Field = Literal["theoretical", "effective", "full"]
"""What is cut out around a unit: all that it can see, the part that its gradient says it does see,
or the whole photograph."""
SCHEMA = 1
"""Of the index."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle in a photograph, which may reach past its border.

    Args:
        top: first row, in pixels from the photograph's upper border.
        left: first column.
        bottom: past the last row.
        right: past the last column.
    """

    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A place in a photograph and how much it excites a unit.

    Args:
        image: the photograph's number among the index's.
        value: activation there.
        row: of the unit in its layer's map.
        column: of the unit in its layer's map.
        box: what was cut out.
        clipped: whether the box reaches past the photograph, where padding was seen.
        file: the patch, from the index's folder; None where none was written.
    """

    image: int
    value: float
    row: int
    column: int
    box: Box
    clipped: bool
    file: str | None = None


@dataclass(frozen=True, kw_only=True)
class UnitRecord:
    """A unit and what excites it.

    Args:
        unit: its channel.
        name: as people write it: ``relu4_1:37``, ``logits:1 goldfish``.
        patches: the strongest first, from 0 to k of them; where two are equal, in the order of
            their photographs.
        peak: the strongest activation anywhere.
        mean: of the activation, over all positions looked at.
        active: share of the positions looked at whose activation is above 0.
        histogram: how many positions fell into each of the index's bins; those of 0 and below in
            none.
    """

    unit: int
    name: str
    patches: list[Patch]
    peak: float
    mean: float
    active: float
    histogram: list[int]

    @property
    def fired(self) -> bool:
        """Whether anything excited it at all: else it is dead, as far as these photographs say."""
        return self.peak > 0


@dataclass(frozen=True, kw_only=True)
class LayerRecord:
    """A layer and its units.

    Args:
        layer: canonical name.
        channels: of the layer, whether looked at or not.
        stride: distance of neighbouring units in pixels of the picture that the network saw.
        sees: (height, width) of a unit's receptive field in pixels of the picture that the network
            saw; None where it is the whole picture or is not known.
        field: what the patches show.
        units: in order.
        grid: the layer's sheet, from the index's folder; None where none was written.
    """

    layer: str
    channels: int
    stride: int
    sees: tuple[int, int] | None
    field: Field
    units: list[UnitRecord]
    grid: str | None = None


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """A file that was looked at.

    Args:
        file: from the folder of photographs, with slashes.
        size: (height, width), upright.
        seen: (height, width) at which the network saw it, before any cropping.
        sha256: of the file.
    """

    file: str
    size: tuple[int, int]
    seen: tuple[int, int]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file that was not looked at.

    Args:
        file: from the folder of photographs.
        reason: one line.
    """

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Index:
    """Everything that is known.

    Args:
        backbone: the network's name.
        weights_sha256: digest of its weights.
        folder: of the photographs, from the index's folder where there is a way.
        side: shorter side in pixels at which the photographs were shown to the network.
        precision: what the network computed in: "float32", "bfloat16".
        k: patches of a unit at most.
        per_image: patches of one photograph at most.
        layers: from the image to the deepest.
        images: the photographs, in order.
        skipped: files that could not be read, and copies of others.
        bins: lower edges of the histograms' bins; the last bin has no end.
    """

    backbone: str
    weights_sha256: str
    folder: str
    side: int
    precision: str
    k: int
    per_image: int
    layers: list[LayerRecord]
    images: list[Photograph]
    skipped: list[Skipped] = field(default_factory=list)
    bins: list[float] = field(default_factory=list)
    schema: int = SCHEMA
