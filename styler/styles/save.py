"""From a picture's file to a file of its style."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from torch import Tensor

from styler import __version__
from styler.config import Resolved, TransferConfig
from styler.errors import ConfigError, ImageError
from styler.features import Extractor
from styler.features.ensemble import spread
from styler.images import Picture, check_output, fit_long_side, read_picture, shrink
from styler.network import extractor_for
from styler.results import refuse_source
from styler.runtime import memory_errors_explained, precision_name
from styler.styles.choice import STYLE_SUFFIX
from styler.styles.file import PLAIN_SCHEMA, SCHEMA, Statistics, StyleRecord, write_style
from styler.styles.source import Size, colours_of, measure

LEAST_SIDE = 64
"""The long side of the smallest scale: half of where transfers begin, for ``style.scale``."""
LARGEST_SIDE = 1448
"""The largest long side, 64·2^4.5; transfers that see a style larger take this scale for it."""
STEPS_PER_DOUBLING = 2
"""Scales between a side and its double: no size is further from one than by a factor of 1.19."""
THUMBNAIL_SIDE = 128
"""The long side of the small picture in the file."""


@dataclass(frozen=True, kw_only=True)
class StyleJob:
    """What to measure, and where to put it.

    Args:
        image: the style picture.
        output: the file to write, ending in ``.style``.
        resolved: settings of a transfer, of which the network and the style's layers count.
        largest: the largest long side, in pixels.
        overwrite: replace an existing file.
    """

    image: Path
    output: Path
    resolved: Resolved[TransferConfig]
    largest: int = LARGEST_SIDE
    overwrite: bool = False


def ladder(size: Size, largest: int = LARGEST_SIDE) -> list[Size]:
    """The sizes at which a style is measured: ever √2 times as large, and the largest.

    Args:
        size: (height, width) of the picture, which is not enlarged.
        largest: long side of the largest scale.

    Returns:
        (height, width) of each, small to large.

    Example:
        >>> ladder((200, 300))
        [(43, 64), (61, 91), (85, 128), (121, 181), (171, 256), (200, 300)]
        >>> [max(scale) for scale in ladder((4000, 3000))][-3:]
        [724, 1024, 1448]
    """
    end = min(max(size), largest)
    sides, number = [], 0
    while (side := round(LEAST_SIDE * 2 ** (number / STEPS_PER_DOUBLING))) < end:
        sides.append(side)
        number += 1
    return [fit_long_side(size, side) for side in [*sides, end]]


def save_style(
    job: StyleJob,
    load: Callable[[TransferConfig], Extractor] = extractor_for,
    *,
    progress: Callable[[int, int, Size], None] = lambda number, count, size: None,
) -> StyleRecord:
    """Measure a picture's style and write it.

    Args:
        job: what to measure.
        load: gives the extractor.
        progress: told before each scale its number, from 1, how many there are, and its size.

    Returns:
        What the file says about itself.

    Raises:
        OutputError: the file could not be written, or is the picture itself.
        ImageError: the picture cannot be read, or is too small for a layer.
        ConfigError: an unknown layer, or none.
        BackboneError, DeviceError: from the network.
    """
    config = job.resolved.config
    refuse_source(job.output, {"style": job.image})
    check_output(job.output, overwrite=job.overwrite, extensions=(STYLE_SUFFIX,))
    picture = read_picture(job.image)
    extractor = load(config)
    layers = list(spread(extractor, config.style.layers))
    if not layers:
        raise ConfigError("style.layers names no layer", "name some with --style-layers")
    scales = _large_enough(ladder(picture.size, job.largest), extractor, layers)
    sums = []
    with memory_errors_explained(extractor.device):
        for number, scale in enumerate(scales, start=1):
            progress(number, len(scales), scale)
            sums.append(measure(picture.pixels, scale, extractor, layers))
    record = _record(picture, extractor, layers, scales)
    statistics = Statistics(
        sums=sums, colours=colours_of(picture.pixels), thumbnail=_thumbnail(picture.pixels)
    )
    write_style(job.output, record, statistics)
    return record


def _large_enough(scales: list[Size], extractor: Extractor, layers: list[str]) -> list[Size]:
    """The scales without those at which a long thin picture is too small for the network."""
    *smaller, largest = scales
    extractor.check_size(largest, layers)
    kept = []
    for scale in smaller:
        try:
            extractor.check_size(scale, layers)
        except ImageError:
            continue
        kept.append(scale)
    return [*kept, largest]


def _record(
    picture: Picture, extractor: Extractor, layers: list[str], scales: list[Size]
) -> StyleRecord:
    return StyleRecord(
        styler=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        name=picture.path.name,
        picture_sha256=picture.sha256,
        size=picture.size,
        backbone=extractor.name,
        weights_sha256=extractor.weights_sha256,
        pooling=extractor.pooling_name,
        padding=extractor.padding,
        schema=PLAIN_SCHEMA if extractor.padding == "zeros" else SCHEMA,
        precision=precision_name(extractor.dtype),
        layers={layer: extractor.channels(layer) for layer in layers},
        scales=scales,
    )


def _thumbnail(pixels: Tensor) -> Tensor:
    small = shrink(pixels, THUMBNAIL_SIDE)
    return (small[0].permute(1, 2, 0) * 255).round().byte()
