"""From what a scan has found to its index: which part of which photograph excites a unit."""

from __future__ import annotations

from typing import Literal, get_args

from styler.errors import ConfigError, did_you_mean
from styler.features import Extractor
from styler.fields import Box as Cut
from styler.patches.effective import Place, effective_boxes
from styler.patches.look import bin_edges
from styler.patches.record import Field, Index, LayerRecord, Patch, Photograph, UnitRecord
from styler.patches.scan import Scan, Told
from styler.patches.state import Entry
from styler.patches.tally import Tally
from styler.patches.view import Framing, View
from styler.units import unit_name

FieldChoice = Literal["auto", "theoretical", "effective", "full"]
"""A field, or "auto": all that a unit can see where that is known and no larger than photographs
are shown, else its effective field."""


def field_of(
    extractor: Extractor, layer: str, framing: Framing, choice: FieldChoice = "auto"
) -> Field:
    """What patches of a layer show.

    Args:
        extractor: the network.
        layer: canonical name.
        framing: how photographs are shown to it.
        choice: what is asked for.

    Raises:
        ConfigError: there is no such field, or it is not known.
    """
    if choice not in get_args(FieldChoice):
        raise ConfigError(
            f"there is no field '{choice}'", did_you_mean(str(choice), get_args(FieldChoice))
        )
    sees = extractor.receptive_field(layer)
    if choice == "theoretical" and sees is None:
        raise ConfigError(
            f"units of {layer} in {extractor.name} see the whole picture, or nobody knows what",
            "use the field effective, which their gradients show, or full",
        )
    if choice != "auto":
        return choice
    fits = sees is not None and max(sees.y.size, sees.x.size) <= framing.side
    return "theoretical" if fits else "effective"


def index_of(scan: Scan, field: FieldChoice = "auto", told: Told | None = None) -> Index:
    """The index of what a scan has found.

    Boxes lie in photographs as they are in their files, upright: those of what the network was
    shown, enlarged by as much as the photograph was reduced, without any rounding.

    Args:
        scan: of photographs.
        field: what patches show.
        told: called as effective fields are found.

    Returns:
        Without names of files.

    Raises:
        ConfigError: the field is not known.
        ImageError: a photograph has changed or cannot be read.
        OutputError: effective fields cannot be kept.
        DeviceError: memory ran out.
    """
    fields = {name: field_of(scan.extractor, name, scan.framing, field) for name in scan.layers}
    photographs = scan.photographs()
    maker = _Maker(scan, fields, photographs)
    maker.boxes = effective_boxes(scan, maker.effective_places(), told)
    settings = scan.settings
    return Index(
        backbone=settings.backbone,
        weights_sha256=settings.weights_sha256,
        folder=settings.folder,
        side=settings.side,
        precision=settings.precision,
        k=settings.k,
        per_image=settings.per_image,
        layers=[maker.layer(name) for name in scan.layers],
        images=[
            Photograph(
                file=entry.file,
                size=entry.size,
                part=entry.part,
                seen=entry.seen,
                sha256=entry.sha256,
            )
            for entry in photographs
        ],
        skipped=scan.skipped,
        bins=bin_edges(),
    )


class _Maker:
    """Makes records of layers.

    Args:
        scan: that they are of.
        fields: what their patches show.
        photographs: in order.
    """

    def __init__(self, scan: Scan, fields: dict[str, Field], photographs: list[Entry]) -> None:
        self.scan = scan
        self.fields = fields
        self.photographs = photographs
        self.boxes: dict[Place, Cut] = {}
        place = {entry.file: number for number, entry in enumerate(photographs)}
        self._images = [place.get(source.file, -1) for source in scan.sources.files]

    def effective_places(self) -> list[Place]:
        """Those whose effective fields are needed."""
        return [
            self._place(layer, unit, self._images[image], row, column)
            for layer, units in self.scan.settings.layers.items()
            if self.fields[layer] == "effective"
            for number, unit in enumerate(units)
            for _, image, row, column in self.scan.state.tallies[layer].places(number)
        ]

    def layer(self, name: str) -> LayerRecord:
        """The record of a layer."""
        extractor = self.scan.extractor
        sees = extractor.receptive_field(name)
        tally = self.scan.state.tallies[name]
        units = self.scan.settings.layers[name]
        return LayerRecord(
            layer=name,
            channels=extractor.channels(name),
            stride=_stride(extractor, name),
            sees=None if sees is None else (sees.y.size, sees.x.size),
            field=self.fields[name],
            positions=int(tally.positions[0]),
            units=[self._unit(name, unit, tally, number) for number, unit in enumerate(units)],
            inside=self.scan.is_inside(name),
        )

    def _unit(self, layer: str, unit: int, tally: Tally, number: int) -> UnitRecord:
        counts = tally.bins[number].tolist()
        return UnitRecord(
            unit=unit,
            name=unit_name(self.scan.extractor, layer, unit),
            patches=[
                self._patch(layer, unit, value, self._images[image], row, column)
                for value, image, row, column in tally.places(number)
            ],
            peak=float(tally.peaks[number]),
            mean=tally.mean(number),
            active=sum(counts) / max(1, int(tally.positions[0])),
            histogram=counts,
        )

    def _patch(
        self, layer: str, unit: int, value: float, image: int, row: int, column: int
    ) -> Patch:
        entry = self.photographs[image]
        view = View(part=entry.part, seen=entry.seen)
        box = self._cut(layer, unit, image, row, column)
        return Patch(
            image=image,
            value=value,
            row=row,
            column=column,
            box=view.to_file(box),
            clipped=view.clips(box),
        )

    def _cut(self, layer: str, unit: int, image: int, row: int, column: int) -> Cut:
        """What is cut out, in pixels of what the network was shown."""
        sees = self.scan.extractor.receptive_field(layer)
        field = self.fields[layer]
        if field == "effective":
            return self.boxes[self._place(layer, unit, image, row, column)]
        if field == "theoretical" and sees is not None:
            return sees.box(row, column)
        return (0, 0, *self.photographs[image].seen)

    def _place(self, layer: str, unit: int, image: int, row: int, column: int) -> Place:
        digest = self.photographs[image].sha256
        return Place(sha256=digest, layer=layer, unit=unit, row=row, column=column)


def _stride(extractor: Extractor, layer: str) -> int:
    try:
        return extractor.stride(layer)
    except ConfigError:  # it has as many units whatever the picture's size
        return 0
