"""What one photograph says of a layer's units: how strong, how often, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from styler.errors import ImageError
from styler.features import Extractor
from styler.patches.inside import Part
from styler.runtime import memory_errors_explained

OCTAVES = (-10, 16)
"""Powers of two between which activations are told apart in histograms."""
BINS = 2 * (OCTAVES[1] - OCTAVES[0])
"""Two for each octave."""
STATISTICS_SIDE = 64
"""Positions along a side of a map that its statistics are of, at most."""

_SHIFT = 22
"""Of a float32's bits: what is left is the exponent and half an octave."""
_FIRST = 2 * (127 + OCTAVES[0])
"""What is left of the lower edge of the first bin; 127 is the exponent of 1."""


def bin_edges() -> list[float]:
    """The lower edges of the bins of a histogram.

    Each octave is halved at its middle: 1, 1.5, 2, 3, 4, 6, …

    Example:
        >>> bin_edges()[:3], bin_edges()[-1], len(bin_edges()) == BINS
        ([0.0009765625, 0.00146484375, 0.001953125], 49152.0, True)
    """
    return [2.0**octave * half for octave in range(*OCTAVES) for half in (1.0, 1.5)]


def count_bins(values: Tensor) -> Tensor:
    """How many values fall into each bin.

    Args:
        values: (N, C), floating point.

    Returns:
        (C, BINS) int64. What is below the first bin and above 0 counts there, what is above the
        last one there; 0 and negative values in none.

    Example:
        >>> counts = count_bins(torch.tensor([[1.0], [1.4], [1.5], [0.0], [-2.0], [1e-9]]))
        >>> [(bin_edges()[n], int(counts[0, n])) for n in counts[0].nonzero()]
        [(0.0009765625, 1), (1.0, 2), (1.5, 1)]
    """
    channels = values.shape[1]
    bits = values.float().contiguous().view(torch.int32) >> _SHIFT
    places = (bits - _FIRST).clamp_(0, BINS - 1)
    places = places.masked_fill_(values <= 0, BINS)  # a bin for the rest, which is left out
    places += torch.arange(channels, device=values.device, dtype=torch.int32) * (BINS + 1)
    counts = torch.bincount(places.flatten(), minlength=channels * (BINS + 1))
    return counts.view(channels, BINS + 1)[:, :BINS]


@dataclass(frozen=True, kw_only=True)
class Look:
    """A layer of one photograph.

    Args:
        rows: (H · W, C), the activations, position by position.
        size: (H, W) of the map; (1, 1) of a vector.
        peaks: (C,) float64, the strongest of each unit.
        positions: how many the statistics are of.
        sums: (C,) float64, over these.
        bins: (C, BINS) int64, likewise.
        corner: (row, column) of the first position in the layer's map.
    """

    rows: Tensor
    size: tuple[int, int]
    peaks: Tensor
    positions: int
    sums: Tensor
    bins: Tensor
    corner: tuple[int, int] = (0, 0)

    @property
    def is_finite(self) -> bool:
        """Whether the network gave numbers."""
        return bool(self.peaks.isfinite().all() and self.sums.isfinite().all())


def look_at(features: Tensor, units: Sequence[int] | None = None, part: Part | None = None) -> Look:
    """A look at a layer.

    Args:
        features: (1, C, H, W), or (1, C), of one photograph.
        units: channels that are wanted; None for all.
        part: of the map that is looked at; None for all of it.

    Returns:
        With everything but `rows` on the CPU.

    Example:
        >>> found = look_at(torch.tensor([[[[0.0, 2.0], [6.0, 0.0]]]]))
        >>> found.peaks, found.sums, found.positions
        (tensor([6.], dtype=torch.float64), tensor([8.], dtype=torch.float64), 4)
    """
    maps = features if features.ndim == 4 else features[:, :, None, None]
    if units is not None:
        maps = maps[:, list(units)]
    top, left, bottom, right = part or (0, 0, maps.shape[2], maps.shape[3])
    maps = maps[:, :, top:bottom, left:right]
    grid = maps[0].permute(1, 2, 0)  # in memory, too, the channels of a position are together
    height, width, channels = grid.shape
    down, across = -(-height // STATISTICS_SIDE), -(-width // STATISTICS_SIDE)
    some = grid[down // 2 :: down, across // 2 :: across].reshape(-1, channels)
    rows = grid.reshape(-1, channels)
    return Look(
        rows=rows,
        size=(height, width),
        peaks=rows.amax(0).cpu().double(),
        positions=len(some),
        sums=some.double().sum(0).cpu(),
        bins=count_bins(some).cpu(),
        corner=(top, left),
    )


def look_through(
    extractor: Extractor,
    image: Tensor,
    layers: Mapping[str, Sequence[int]],
    parts: Mapping[str, Part],
) -> dict[str, Look]:
    """A look at all layers of one photograph, in one pass.

    Args:
        extractor: the network.
        image: (1, 3, H, W) in [0, 1], what it is shown.
        layers: the units of each that are wanted.
        parts: of their maps that are looked at; all of those that are not named.

    Raises:
        ImageError: the network cannot take it, or gives something that is no number.
        DeviceError: memory ran out.
    """
    with torch.no_grad(), memory_errors_explained(extractor.device):
        features = extractor(image.to(extractor.device), layers)
        looks = {}
        for name, units in layers.items():
            every = len(units) == features[name].shape[1]
            looks[name] = look_at(features[name], None if every else units, parts.get(name))
    broken = [name for name, look in looks.items() if not look.is_finite]
    if broken:
        raise ImageError(f"{broken[0]} of {extractor.name} is no number for it")
    return looks
