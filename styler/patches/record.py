"""What is known of the units of a network after a folder of photographs was looked at.

These records are the index of `styler patches`, which programs read, and what the pages of
`styler microscope` show. Boxes are in pixels of the photograph's own file, upright.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from styler.images.output import write_atomically

Field = Literal["theoretical", "effective", "full"]
"""What is cut out around a unit: all that it can see, the part that its gradient says it does see,
or the whole photograph."""
INDEX = "index.json"
"""The file of an index."""
SCHEMA = 1
"""Of the index."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle in a photograph, which may reach past its border.

    Pixels are squares: the first one of a row reaches from 0 to 1.

    Args:
        top: where it begins, from the photograph's upper border.
        left: where it begins, from the photograph's left border.
        bottom: where it ends.
        right: where it ends.
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
        clipped: whether the box reaches past what the network saw of the photograph, where it saw
            padding.
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
        """Whether anything excited it at all: else it is dead, as far as these photographs say.

        In a layer whose values may be negative, anything but 0 counts.
        """
        return bool(self.patches)


@dataclass(frozen=True, kw_only=True)
class LayerRecord:
    """A layer and its units.

    Args:
        layer: canonical name.
        channels: of the layer, whether looked at or not.
        stride: distance of neighbouring units in pixels of the picture that the network saw; 0 for
            a layer that has as many units whatever the picture's size.
        sees: (height, width) of a unit's receptive field in pixels of the picture that the network
            saw; None where it is the whole picture or is not known.
        field: what the patches show.
        positions: how many were looked at for a unit's mean, share and histogram: all of a map, a
            regular choice of a large one.
        inside: whether only places counted whose fields lie in the photograph wholly.
        units: in order.
        grids: the layer's sheets, from the index's folder; none where none were written.
    """

    layer: str
    channels: int
    stride: int
    sees: tuple[int, int] | None
    field: Field
    positions: int
    units: list[UnitRecord]
    grids: list[str] = dataclasses.field(default_factory=list)
    inside: bool = False


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """A file that was looked at.

    Args:
        file: from the folder of photographs, with slashes.
        size: (height, width), upright.
        part: what the network saw of it: (top, left, bottom, right), the last two past the end.
        seen: (height, width) to which that part was scaled for the network.
        sha256: of the file.
    """

    file: str
    size: tuple[int, int]
    part: tuple[int, int, int, int]
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
        images: the photographs, in the order of their paths.
        skipped: files that could not be read, and copies of others.
        bins: lower edges of the histograms' bins; the first takes all that is above 0 and below
            it, too, and the last has no end.
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
    skipped: list[Skipped] = dataclasses.field(default_factory=list)
    bins: list[float] = dataclasses.field(default_factory=list)
    schema: int = SCHEMA

    def layer(self, name: str) -> LayerRecord:
        """The record of a layer, by its canonical name.

        Raises:
            KeyError: it was not looked at.
        """
        for record in self.layers:
            if record.layer == name:
                return record
        raise KeyError(name)


def encode_index(index: Index) -> bytes:
    """An index as JSON; equal ones give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n"


def write_index(folder: Path, index: Index) -> None:
    """Write an index into its folder.

    Raises:
        OutputError: the file cannot be written.
    """
    write_atomically(folder / INDEX, encode_index(index))


def read_index(folder: Path) -> Index | None:
    """The index in a folder; None where there is none that can be read."""
    try:
        found = msgspec.json.decode((folder / INDEX).read_bytes(), type=Index)
    except (OSError, ValueError, msgspec.ValidationError):
        return None
    return found if found.schema == SCHEMA else None
