"""Files of saved styles: statistics of a picture at a ladder of sizes, with where they are from."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from torch import Tensor

from styler.errors import BackboneError, ConfigError, ImageError
from styler.features import Extractor
from styler.features.ensemble import SEPARATOR
from styler.images.output import write_atomically
from styler.images.source import open_source
from styler.losses import FeatureSums, Moments
from styler.styles.source import Fit, Seen, Size, mix
from styler.styles.tensors import pack, pack_sums, unpack, unpack_sums

SCHEMA = 2
"""The latest version of the format."""
PLAIN_SCHEMA = 1
"""What knows no padding but zeros, and is therefore used for it: earlier versions can read it."""
_AGAIN = "save the style again from its picture with `styler style save`"
_Side = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True, kw_only=True)
class StyleRecord:
    """What a saved style says about itself.

    Args:
        styler: version that measured it.
        created: date and time, ISO 8601, UTC.
        name: of the picture's file.
        picture_sha256: of the picture's file.
        size: (height, width) of the picture.
        backbone: the network it was shown to.
        weights_sha256: of that network's weights file.
        pooling: that the network was run with, such as ``max`` or ``average×1.45``; see
            `styler.features.Extractor.pooling_name`.
        precision: of the convolutions, ``fp32`` or ``bf16``.
        layers: channels of each layer that was read.
        scales: (height, width) of the sizes it was shown at, ever larger.
        padding: what convolutions saw beyond the border, ``zeros`` or another.
        schema: version of the format.
    """

    styler: str
    created: str
    name: str
    picture_sha256: str
    size: tuple[_Side, _Side]
    backbone: str
    weights_sha256: str
    pooling: str
    precision: str
    layers: Annotated[dict[str, Annotated[int, Meta(ge=1, le=65536)]], Meta(min_length=1)]
    scales: Annotated[list[tuple[_Side, _Side]], Meta(min_length=1)]
    padding: str = "zeros"
    schema: int = PLAIN_SCHEMA


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What is measured of a picture.

    Args:
        sums: for each scale of the record, by layer: first and second sums, batch 1.
        colours: mean (1, 3) and covariance (1, 3, 3) of its pixels.
        thumbnail: (H, W, 3) uint8, sRGB.
    """

    sums: list[dict[str, FeatureSums]]
    colours: Moments
    thumbnail: Tensor


class StyleFile:
    """A saved style, which is a `StyleSource`: no picture and no network is needed to use it.

    Args:
        path: of the file.
        sha256: of the file.
        record: what it says about itself.
        statistics: what it holds.
    """

    def __init__(
        self, *, path: Path, sha256: str, record: StyleRecord, statistics: Statistics
    ) -> None:
        self.path = path
        self.sha256 = sha256
        self.record = record
        self.statistics = statistics

    @property
    def size(self) -> Size:
        """(height, width) of the picture that was measured."""
        return self.record.size

    def check(self, fit: Fit, extractor: Extractor, layers: Collection[str]) -> None:
        """See `StyleSource.check`: it must be the very network, and layers that were read."""
        record = self.record
        self.check_backbone(extractor.name)
        if extractor.weights_sha256 != record.weights_sha256:
            raise BackboneError(
                f"{self.path} was measured with other weights of {record.backbone}: "
                f"{record.weights_sha256[:16]}, here are {extractor.weights_sha256[:16]}",
                _AGAIN,
            )
        if extractor.pooling_name != record.pooling:
            raise BackboneError(
                f"{self.path} was measured with {record.pooling} pooling, "
                f"here it is {extractor.pooling_name}",
                f"{_pooling_flags(record.pooling, extractor)}, or {_AGAIN}",
            )
        if extractor.padding != record.padding:
            raise BackboneError(
                f"{self.path} was measured with padding {record.padding}, "
                f"here it is {extractor.padding}",
                f"--set backbone.padding={record.padding}, or {_AGAIN}",
            )
        missing = [layer for layer in layers if layer not in record.layers]
        if missing:
            raise ConfigError(
                f"{self.path} has no statistics of {', '.join(missing)}",
                f"it has {', '.join(record.layers)}; or {_AGAIN} and --style-layers",
            )
        extractor.check_size(fit(self.size), layers)

    def check_backbone(self, name: str) -> None:
        """Make sure that a network is the one that the style was measured with.

        Raises:
            BackboneError: it has another name.
        """
        known = self.record.backbone
        if name != known:
            raise BackboneError(
                f"{self.path} was measured with {known}, the network is {name}",
                f"--backbone {known}, or {_AGAIN}",
            )

    def around(self, size: Size) -> list[tuple[int, float]]:
        """The scales next to a size, by their index in `StyleRecord.scales`, with their shares.

        One, for a size that is a scale or lies beyond the ends; else the two on either side, by the
        logarithm of the long sides. Between scales, the moment loss from the picture's own sums
        is two thirds to a tenth of what it would be for the nearest scale alone.
        """
        sides = [max(scale) for scale in self.record.scales]
        side = min(max(*size, sides[0]), sides[-1])
        above = bisect.bisect_left(sides, side)
        if sides[above] == side:
            return [(above, 1.0)]
        low, high = sides[above - 1], sides[above]
        share = math.log(side / low) / math.log(high / low)
        return [(above - 1, 1 - share), (above, share)]

    def sums(
        self, fit: Fit, extractor: Extractor, layers: Collection[str]
    ) -> dict[str, FeatureSums]:
        """See `StyleSource.sums`: those of the scale of that size, or mixed of its neighbours.

        Sums grow with the picture: they are given as if of so many positions as the size has.
        """
        self.check(fit, extractor, layers)
        size = fit(self.size)
        scales = self.around(size)
        shares = [share for _, share in scales]
        parts = [self._at(index, size, extractor, layers) for index, _ in scales]
        if len(parts) == 1:
            return parts[0]
        return {layer: mix([part[layer] for part in parts], shares) for layer in layers}

    def _at(
        self, index: int, size: Size, extractor: Extractor, layers: Collection[str]
    ) -> dict[str, FeatureSums]:
        """The sums of a scale, for the area of another size."""
        height, width = self.record.scales[index]
        ratio = size[0] * size[1] / (height * width)
        known = self.statistics.sums[index]
        return {
            layer: known[layer].map(lambda tensor: tensor.to(extractor.device) * ratio)
            for layer in layers
        }

    def features(
        self, fit: Fit, extractor: Extractor, layers: Collection[str]
    ) -> list[tuple[float, Seen]]:
        """See `StyleSource.features`: there are none."""
        raise ConfigError(
            f"{self.path} is a saved style, which holds sums, and the loss needs the features",
            "give its picture instead, or choose style.loss gram, moments or w2",
        )

    def colours(self) -> Moments:
        """See `StyleSource.colours`."""
        return self.statistics.colours


def read_style(path: str | Path) -> StyleFile:
    """Read a saved style; nothing in the file is run.

    Args:
        path: a file that `write_style` wrote.

    Returns:
        The style.

    Raises:
        ImageError: it is missing, unreadable, damaged, something else, or of a later version.

    Example:
        >>> read_style("/nowhere/starry.style")
        Traceback (most recent call last):
        styler.errors.ImageError: no such file: /nowhere/starry.style
    """
    path = Path(path)
    with open_source(path) as file:
        data = file.read()
    try:
        tensors, known = unpack(data)
        schema = known.get("schema")
        if type(schema) is int and schema > SCHEMA:
            raise ImageError(
                f"{path} has schema {schema}, this version knows {SCHEMA}",
                "use the version of styler that made it, or a later one",
            )
        record = msgspec.convert(known, StyleRecord)
        statistics = _statistics(record, tensors)
    except (ValueError, LookupError) as fault:  # msgspec.ValidationError is a ValueError
        raise ImageError(
            f"no readable style: {path}: {fault}",
            "styles are files that `styler style save` wrote; pictures have other endings",
        ) from fault
    return StyleFile(
        path=path, sha256=hashlib.sha256(data).hexdigest(), record=record, statistics=statistics
    )


def write_style(path: Path, record: StyleRecord, statistics: Statistics) -> None:
    """Write a style, wholly or not at all; equal input gives equal bytes.

    Args:
        path: the file to create or replace.
        record: what it says about itself.
        statistics: what was measured, at the record's scales and layers.

    Raises:
        OutputError: it cannot be written.
    """
    tensors = {
        "thumbnail": statistics.thumbnail.contiguous(),
        "colours/mean": statistics.colours.mean[0].contiguous(),
        "colours/covariance": statistics.colours.covariance[0].contiguous(),
    }
    for number, scale in enumerate(statistics.sums):
        for layer, sums in scale.items():
            tensors |= pack_sums(_name(number, layer), sums)
    known: dict[str, Any] = msgspec.to_builtins(record)
    write_atomically(path, pack(tensors, known))


def _statistics(record: StyleRecord, tensors: Mapping[str, Tensor]) -> Statistics:
    thumbnail, mean, covariance = (
        tensors[name] for name in ("thumbnail", "colours/mean", "colours/covariance")
    )
    sides = [max(scale) for scale in record.scales]
    if any(side >= larger for side, larger in itertools.pairwise(sides)):
        raise ValueError("its scales are not ever larger")
    if thumbnail.ndim != 3 or mean.shape != (3,) or covariance.shape != (3, 3):
        raise ValueError("its colours are damaged")
    return Statistics(
        sums=[
            {
                layer: unpack_sums(_name(number, layer), tensors, channels)
                for layer, channels in record.layers.items()
            }
            for number in range(len(record.scales))
        ],
        colours=Moments(mean[None], covariance[None]),
        thumbnail=thumbnail,
    )


def _pooling_flags(name: str, extractor: Extractor) -> str:
    """How to ask for a pooling by its name."""
    if SEPARATOR in name:
        return "--pooling native"
    kind, _, factor = name.partition("×")
    if bool(factor) == extractor.rescale_pooling:
        return f"--pooling {kind}"
    return f"--pooling {kind} --set backbone.rescale_pooling={'true' if factor else 'false'}"


def _name(number: int, layer: str) -> str:
    return f"{number}/{layer}"
