"""What photographs say of the units that a microscope shows."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from styler.features import Extractor
from styler.microscope.pieces import SCANS, STATE, key_of
from styler.patches.index import FieldChoice, index_of
from styler.patches.record import Index
from styler.patches.scan import Scan, Told, Wanted
from styler.patches.sources import Sources
from styler.patches.state import State
from styler.patches.tally import Tally

_SHARED = "positions"
"""The part of a tally that all units have in common."""


def scan_folder(folder: Path, wanted: Wanted) -> Path:
    """Where in a site is kept what was learned of photographs in some layers."""
    key = key_of(list(wanted.layers), wanted.k, wanted.inside)
    return folder / STATE / f"{SCANS}{key[:8]}"


def scan_of(
    folder: Path,
    sources: Sources,
    extractor: Extractor,
    wanted: Wanted,
    *,
    overwrite: bool = False,
) -> Scan:
    """A scan of photographs for a site.

    Args:
        folder: of the site, which keeps it.
        sources: the photographs.
        extractor: the network.
        wanted: of which layers, by canonical names. With all of their units, others can be shown
            later without another scan.
        overwrite: forget what is kept.

    Raises:
        ImageError: a layer cannot be had of photographs.
        OutputError: what is kept is damaged, or of other photographs.
    """
    out = scan_folder(folder, wanted)
    return Scan(extractor, wanted, sources, out=out, overwrite=overwrite)


def look(
    scan: Scan, units: Mapping[str, Sequence[int]], field: FieldChoice, told: Told | None = None
) -> Index:
    """Look at all photographs that were not looked at before.

    Args:
        scan: from `scan_of`.
        units: layer → channels that are shown.
        field: what patches show.
        told: called as it goes on. What it raises ends the work, and what is known is kept.

    Returns:
        The index of the units.

    Raises:
        ConfigError: the field is not known.
        ImageError: not one photograph could be read, or one has changed meanwhile.
        OutputError: what is known cannot be kept.
        DeviceError: memory ran out.
    """
    scan.run(told)
    return index_of(narrowed(scan, units), field, told)


def narrowed(scan: Scan, units: Mapping[str, Sequence[int]]) -> Scan:
    """What a scan of all units has found of some, as if only they had been looked at.

    Args:
        scan: whose state is left as it is.
        units: layer → channels.
    """
    settings = dataclasses.replace(
        scan.settings, layers={name: list(units[name]) for name in scan.layers}
    )
    tallies = {}
    for name in scan.layers:
        places = {unit: number for number, unit in enumerate(scan.settings.layers[name])}
        rows = [places[unit] for unit in units[name]]
        packed = scan.state.tallies[name].pack()
        tallies[name] = Tally.unpack(
            {part: full if part == _SHARED else full[rows] for part, full in packed.items()}
        )
    some = copy.copy(scan)
    some.settings = settings
    some.state = State(settings, scan.state.entries, tallies)
    return some
