"""Synthetic pictures of many units, in chunks that are made wholly or again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from styler.activation import Part, Unit
from styler.config import Resolved, VisualizeConfig
from styler.features import Extractor
from styler.microscope.pieces import UNITS, key_of, read_piece, write_piece
from styler.microscope.record import Synthetic
from styler.natural import fitting, square
from styler.quality import as_written
from styler.report.provenance import config_record
from styler.runtime import memory_errors_explained
from styler.units import unit_name
from styler.visualize import UnitsEvent, visualize

CHUNK = 8
"""Units that are worked on together. Their numbers depend, in the last digits, on how many there
are, as kernels round differently for other batches; so it is the same on every machine."""
SHARP = 92
"""Quality of the files: fine patterns are what the pictures are about."""

_MACHINE = ("runtime.device", "runtime.precision", "runtime.max_memory", "schedule.batch")
"""Settings that change nothing of what a picture shows."""
_FROM_FILE = ("backbone.weights",)
"""Settings for which the digest of the weights stands."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some units of a layer.

    Args:
        layer: canonical name.
        channels: at most `CHUNK` of them.
        files: where their pictures go, one for each.
        key: of what they are made from.
    """

    layer: str
    channels: tuple[int, ...]
    files: tuple[Path, ...]
    key: str

    def found(self) -> dict[int, float] | None:
        """The units' strongest activations, from their pictures; None where one is missing."""
        facts = [read_piece(path, self.key) for path in self.files]
        peaks = {
            channel: fact["peak"]
            for channel, fact in zip(self.channels, facts, strict=True)
            if fact is not None and isinstance(fact.get("peak"), float)
        }
        return peaks if len(peaks) == len(self.channels) else None


def settings_of(resolved: Resolved[VisualizeConfig]) -> dict[str, Any]:
    """All settings that pictures depend on, as JSON has them."""
    record = json.loads(json.dumps(config_record(resolved)))
    return {name: value for name, value in record.items() if name not in _MACHINE + _FROM_FILE}


def chunks_of(
    folder: Path,
    units: Mapping[str, Sequence[int]],
    stems: Mapping[str, str],
    extractor: Extractor,
    resolved: Resolved[VisualizeConfig],
) -> list[Chunk]:
    """All chunks of a site.

    Args:
        folder: of the site.
        units: layer → channels.
        stems: layer → what its folder is called.
        extractor: the network.
        resolved: settings of the pictures.
    """
    made_with = [
        extractor.weights_sha256,
        str(extractor.dtype),
        settings_of(resolved),
    ]
    chunks = []
    for layer, channels in units.items():
        for start in range(0, len(channels), CHUNK):
            some = tuple(channels[start : start + CHUNK])
            chunks.append(
                Chunk(
                    layer=layer,
                    channels=some,
                    files=tuple(folder / UNITS / stems[layer] / f"{n}.jpg" for n in some),
                    key=key_of(*made_with, layer, some),
                )
            )
    return chunks


def make_chunk(
    chunk: Chunk,
    extractor: Extractor,
    config: VisualizeConfig,
    *,
    callbacks: Sequence[Callable[[UnitsEvent], None]] = (),
) -> dict[int, float]:
    """Make the pictures of a chunk.

    Args:
        chunk: whose.
        extractor: the network.
        config: settings of the pictures.
        callbacks: called after each step. What they raise ends the work, and nothing of it is
            kept.

    Returns:
        The units' strongest activations.

    Raises:
        ImageError: the pictures would be too small for the layer.
        DeviceError: memory ran out.
        DivergedError: the loss stayed non-finite.
        OutputError: a picture cannot be written.
    """
    shown = visualize(units_of(chunk, extractor), extractor, in_chunks(config), callbacks=callbacks)
    peaks = {}
    for channel, path, one in zip(chunk.channels, chunk.files, shown, strict=True):
        picture = as_written(one.images[:1])
        peaks[channel] = peak_of(picture, chunk.layer, channel, extractor)
        write_piece(path, picture, chunk.key, quality=SHARP, peak=peaks[channel])
    return peaks


def units_of(chunk: Chunk, extractor: Extractor) -> list[Unit]:
    """What the pictures of a chunk are made for."""
    return [
        Unit(unit_name(extractor, chunk.layer, n), (Part(chunk.layer, channel=n),))
        for n in chunk.channels
    ]


def in_chunks(config: VisualizeConfig) -> VisualizeConfig:
    """Settings with which all units of a chunk are at work together, with a picture each."""
    return replace(config, pictures=1, schedule=replace(config.schedule, batch=CHUNK))


def peak_of(picture: Tensor, layer: str, channel: int, extractor: Extractor) -> float:
    """A unit's strongest activation in a picture as it is, whatever its place.

    Args:
        picture: (1, 3, H, W) in [0, 1]. One too small for the layer is enlarged.
        layer: canonical name.
        channel: from 0.
        extractor: the network.
    """
    size = (picture.shape[-2], picture.shape[-1])
    fit = fitting(size, extractor, [layer])
    seen = picture if fit == size else square(picture, fit[0])
    with torch.no_grad(), memory_errors_explained(extractor.device):
        maps = extractor(seen.to(extractor.device), [layer])[layer]
    return float(maps[0, channel].max())


def synthetic_of(folder: Path, chunk: Chunk, peaks: Mapping[int, float]) -> dict[int, Synthetic]:
    """What the pages say of a chunk's pictures, by unit.

    Args:
        folder: of the site.
        chunk: whose.
        peaks: from `make_chunk` or `Chunk.found`.
    """
    return {
        channel: Synthetic(file=path.relative_to(folder).as_posix(), peak=peaks[channel])
        for channel, path in zip(chunk.channels, chunk.files, strict=True)
    }
