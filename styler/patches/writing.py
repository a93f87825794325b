"""Writes what is known of units into a folder: patches, sheets, and the index."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from styler.images.png import write_png
from styler.patches.crops import crops, share_inside
from styler.patches.files import PATCHES, OwnFiles, files_of, write_new
from styler.patches.record import INDEX, Index, LayerRecord, encode_index
from styler.patches.scan import Progress, Told
from styler.patches.sheets import Sheet, shares, to_bytes
from styler.patches.state import remove_leftovers

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 128
"""Longest side of a patch's file in pixels, unless asked for otherwise."""

_SHEETS = 24
"""Sheets in memory at a time, of some 15 MB each."""
_WRITERS = 4
"""Files on their way to the disk at a time, which is mostly waiting."""


def write_found(
    index: Index,
    folder: Path,
    out: Path,
    *,
    most: int | None = MOST,
    told: Told | None = None,
) -> None:
    """Write all files of an index.

    Files of an earlier run that hold what they are to hold are left alone, those that are no longer
    wanted are removed; files that this command has not written stay. The index is written last.

    Args:
        index: with the names of its files, see `styler.patches.files.with_files`.
        folder: of the photographs.
        out: where to.
        most: longest side of a patch in pixels, to which larger ones are scaled; None for none.
        told: called after each patch.

    Raises:
        ImageError: a photograph is gone, has changed or cannot be read.
        OutputError: a file cannot be written.
    """
    for place in (out, *(path for path in sorted((out / PATCHES).rglob("*")) if path.is_dir())):
        remove_leftovers(place)
    own = OwnFiles(out)
    own.expect(files_of(index))
    total = sum(len(unit.patches) for layer in index.layers for unit in layer.units)
    began, done = time.monotonic(), 0
    for layers in _groups(index):
        writer = _Writer(index, layers, out)
        with writer.writing():
            for name, unit, rank, patch in crops(
                index, folder, layers=[layer.layer for layer in layers], most=most
            ):
                writer.take(name, unit, rank, patch)
                done += 1
                if told:
                    told(
                        Progress(
                            stage="patches",
                            done=done,
                            total=total,
                            before=0,
                            skipped=0,
                            seconds=time.monotonic() - began,
                        )
                    )
            writer.finish()
    write_new(out / INDEX, encode_index(index))
    own.keep(files_of(index))


def _groups(index: Index) -> Iterator[list[LayerRecord]]:
    """Layers whose sheets are in memory together."""
    group: list[LayerRecord] = []
    for layer in index.layers:
        if group and sum(len(one.grids) for one in (*group, layer)) > _SHEETS:
            yield group
            group = []
        group.append(layer)
    yield group


class _Writer:
    """Writes the patches and sheets of some layers.

    Args:
        index: that they are of.
        layers: of it.
        out: where to.
    """

    def __init__(self, index: Index, layers: list[LayerRecord], out: Path) -> None:
        self._out = out
        self._images = index.images
        self._patches = {
            (layer.layer, unit.unit, rank): patch
            for layer in layers
            for unit in layer.units
            for rank, patch in enumerate(unit.patches, start=1)
        }
        self._sheets: dict[str, Sheet] = {}
        self._sheet_of: dict[tuple[str, int], Sheet] = {}
        for layer in layers:
            for name, units in zip(layer.grids, shares(layer.units), strict=True):
                sheet = self._sheets[name] = Sheet(layer, units, index.k)
                self._sheet_of.update({(layer.layer, unit.unit): sheet for unit in units})
        self._pool = ThreadPoolExecutor(_WRITERS, "styler-writer")
        self._waiting: list[Future[None]] = []

    def writing(self) -> ThreadPoolExecutor:
        """The block in which it is used; at its end nothing is on its way any more."""
        return self._pool

    def take(self, layer: str, unit: int, rank: int, patch: Tensor) -> None:
        """A patch, into its file and onto its sheet."""
        found = self._patches[layer, unit, rank]
        inside = share_inside(found.box, self._images[found.image].part)
        self._sheet_of[layer, unit].paste(unit, rank, patch, inside)
        if found.file is not None:
            path = self._out / found.file
            self._waiting.append(self._pool.submit(_write, path, to_bytes(patch)))
        if len(self._waiting) >= 2 * _WRITERS:
            self._waiting.pop(0).result()

    def finish(self) -> None:
        """Write the sheets and wait for the patches."""
        for name, sheet in self._sheets.items():
            _write(self._out / name, sheet.pixels())
        while self._waiting:
            self._waiting.pop(0).result()


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    write_new(path, write_png(pixels, icc_profile=None, exif=None, texts={}))
