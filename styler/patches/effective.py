"""Effective fields of the units at the places found, each worked out once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from styler.effective import effective_field, unit_gradients
from styler.fields import Box
from styler.images.output import failing_as_output_error, write_atomically
from styler.patches.clock import Clock
from styler.patches.reading import show
from styler.patches.scan import Progress, Scan, Told
from styler.patches.sources import has_changed
from styler.patches.state import PRIVATE, Entry
from styler.runtime import memory_errors_explained

FIELDS = f"{PRIVATE}/fields.json"
"""The file of the fields that are known, from the folder of the results."""
SHARE = 0.9
"""Of the gradient's energy, which an effective field holds."""


@dataclass(frozen=True, order=True, kw_only=True)
class Place:
    """A unit at a place of a photograph.

    Args:
        sha256: of the photograph.
        layer: canonical name.
        unit: its channel.
        row: in the layer's map.
        column: in the layer's map.
    """

    sha256: str
    layer: str
    unit: int
    row: int
    column: int

    @property
    def key(self) -> str:
        """Of all that it is, in one word."""
        return f"{self.sha256} {self.layer}:{self.unit}@{self.row},{self.column}"


def effective_boxes(
    scan: Scan, places: Iterable[Place], told: Told | None = None
) -> dict[Place, Box]:
    """The effective fields of units, in pixels of what the network was shown.

    Those that an earlier run has worked out are taken from the disk, and it gets the new ones,
    whatever ends the work.

    Args:
        scan: that has found the places.
        places: in photographs of the scan.
        told: called after each.

    Returns:
        By place.

    Raises:
        ImageError: a photograph has changed or cannot be read.
        OutputError: they cannot be kept.
        DeviceError: memory ran out.
    """
    wanted = sorted(set(places))
    known = _load(scan)
    found = {place: known[place.key] for place in wanted if place.key in known}
    missing: dict[str, list[Place]] = defaultdict(list)
    for place in wanted:
        if place not in found:
            missing[place.sha256].append(place)
    before, clock = len(found), Clock()
    try:
        for entry in scan.photographs():
            for place, box in _boxes(scan, entry, missing.get(entry.sha256, [])):
                found[place] = box
                clock.save(lambda: _save(scan, found))
                if told:
                    told(_progress(len(found), len(wanted), before, clock.seconds))
    finally:
        _save(scan, found)
    return found


def _progress(done: int, total: int, before: int, seconds: float) -> Progress:
    return Progress(
        stage="fields", done=done, total=total, before=before, skipped=0, seconds=seconds
    )


def _boxes(scan: Scan, entry: Entry, places: list[Place]) -> Iterable[tuple[Place, Box]]:
    """Of one photograph."""
    if not places:
        return
    seen = show(scan.sources.folder / entry.file, scan.framing)
    if seen.sha256 != entry.sha256:
        raise has_changed(entry.file)
    image = seen.image.to(scan.extractor.device)
    by_layer: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        by_layer[place.layer].append(place)
    for layer, some in by_layer.items():
        with memory_errors_explained(scan.extractor.device):
            gradients = unit_gradients(
                scan.extractor,
                image,
                layer,
                [place.unit for place in some],
                [(place.row, place.column) for place in some],
            )
            for place, gradient in zip(some, gradients, strict=True):
                yield place, effective_field(gradient, SHARE)


def _settings(scan: Scan) -> dict[str, Any]:
    """What fields depend on, beside the place."""
    record: dict[str, Any] = msgspec.to_builtins(scan.settings)
    return {name: value for name, value in record.items() if name not in ("layers", "k", "folder")}


def _load(scan: Scan) -> dict[str, Box]:
    """What is on the disk, by key; nothing where that is of something else."""
    if scan.out is None:
        return {}
    try:
        record = json.loads((scan.out / FIELDS).read_bytes())
        if record["settings"] != _settings(scan):
            return {}
        return msgspec.convert(record["boxes"], dict[str, Box])
    except (OSError, ValueError, LookupError, TypeError, msgspec.ValidationError):
        return {}


def _save(scan: Scan, found: dict[Place, Box]) -> None:
    """Puts them on the disk, or takes away the file where there are none."""
    if scan.out is None:
        return
    if not found:
        with failing_as_output_error(scan.out / FIELDS):
            (scan.out / FIELDS).unlink(missing_ok=True)
        return
    boxes = {place.key: found[place] for place in sorted(found)}
    text = json.dumps({"settings": _settings(scan), "boxes": boxes})
    write_atomically(scan.out / FIELDS, text.encode())
