"""From a mask of a picture to weights of the units of a layer."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from styler.errors import UsageError
from styler.features import Extractor, ReceptiveField, Window

Size = tuple[int, int]
"""(height, width)."""
Margin = Literal["simple", "inside", "all"]
"""Which units belong to a region; see `layer_mask`."""

LEAST_LEFT = 0.1
"""Share of a region's units that `inside` leaves it: covariances of fewer would be those of chance.
"""

LEAST_AREA = 0.5
"""Pixels that a region covers at least at any size: of less, features say nothing."""

_NARROW = 4
"""Least sides of an image that a narrow one has."""


def resize_mask(mask: Tensor, size: Size) -> Tensor:
    """A mask at another size: means over the area of each pixel.

    Nothing overshoots, the mean of the mask stays what it is, and what is selected by a single
    pixel is selected, if faintly, at any size.

    Args:
        mask: (1, 1, H, W) in [0, 1].
        size: (height, width) in pixels, each at least 1.

    Returns:
        (1, 1, height, width) in [0, 1]; `mask` itself when the size is already right.

    Example:
        >>> resize_mask(torch.tensor([[[[1.0, 0.0, 0.0]]]]), (1, 2))
        tensor([[[[0.6667, 0.0000]]]])
    """
    if _size(mask) == tuple(size):
        return mask
    return _means(mask, *(_shares(n, own) for n, own in zip(size, _size(mask), strict=True)))


def layer_sizes(extractor: Extractor, size: Size, layers: Collection[str]) -> dict[str, Size]:
    """How many units layers have, as (height, width), for an image.

    Each axis is asked of the network with an image that is narrow along the other: what a network
    is made of does not matter then, and the features of a large image need not be computed for it.

    Args:
        extractor: the network.
        size: (height, width) of the image.
        layers: canonical names.

    Raises:
        ImageError: the image is too small for a layer.

    Example:
        >>> from styler.features import load_extractor
        >>> layer_sizes(load_extractor("vgg-lite"), (101, 64), ["relu1_1", "relu3_1"])
        {'relu1_1': (101, 64), 'relu3_1': (25, 16)}
    """
    if not layers:
        return {}
    extractor.check_size(size, layers)
    narrow = _NARROW * max(extractor.minimum_side(layer) for layer in layers)
    height, width = size
    shapes = []
    for shape in ((height, min(width, narrow)), (min(height, narrow), width)):
        with torch.no_grad():
            found = extractor(torch.zeros(1, 3, *shape, device=extractor.device), layers)
        shapes.append({layer: features.shape for layer, features in found.items()})
    tall, wide = shapes
    return {layer: (tall[layer][2], wide[layer][3]) for layer in layers}


def layer_masks(
    mask: Tensor, extractor: Extractor, units: Mapping[str, Size], margin: Margin
) -> dict[str, Tensor]:
    """The weights of the units of several layers.

    Args:
        mask: (1, 1, H, W) in [0, 1], at the size at which the network sees the picture.
        extractor: the network.
        units: of each layer, by canonical name, for a picture of that size; see `layer_sizes`.
        margin: see `layer_mask`.

    Returns:
        By layer: (1, 1, h, w) on the extractor's device.

    Raises:
        UsageError: as `layer_mask` does.
    """
    return {
        layer: layer_mask(mask, extractor.receptive_field(layer), size, margin).to(extractor.device)
        for layer, size in units.items()
    }


def layer_mask(mask: Tensor, field: ReceptiveField | None, units: Size, margin: Margin) -> Tensor:
    """How much each unit of a layer belongs to a region.

    Args:
        mask: (1, 1, H, W) in [0, 1], at the size at which the network sees the picture.
        field: what the layer's units see; None where that is the whole picture.
        units: (height, width) of the layer.
        margin: what counts. "simple": the mean of the mask over a unit's own cell, the pixels that
            are nearer to the middle of what it sees than to that of any other unit. At the borders
            the last cells reach as far as their units see. "inside": the least of the mask in all
            that a unit sees, so that nothing beyond the region is known to those that count.
            "all": the greatest, so that all count that know of the region.

    Returns:
        (1, 1, h, w) in [0, 1], float32; inside ≤ simple ≤ all.

    Raises:
        UsageError: the mask has another shape, or the margin is unknown.

    Example:
        >>> half = torch.tensor([0.0, 0, 0, 1, 1, 1, 1, 1]).view(1, 1, 1, 8)
        >>> pooled = Window().through(kernel=3, padding=1).through(kernel=2, stride=2)
        >>> field = ReceptiveField(y=Window(), x=pooled)
        >>> [layer_mask(half, field, (1, 4), m).tolist()[0][0][0] for m in ("simple", "inside")]
        [[0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]

    References:
        Gatys et al. 2017, arXiv 1611.07865, section 4.1 and its supplement: guidance channels that
        are propagated simply, for the units that see nothing else, and for all that see any of it.
        Departures: the mean over a unit's cell instead of pooling as the network does, which is
        the same for average pooling. And deep layers often see more than a whole region: where
        "inside" would leave less than a tenth of what "simple" gives, what units are taken to see
        shrinks about its middle, for the whole layer, until a tenth is left; a region that is
        narrower than single cells is taken as by "simple". Beyond the border there is nothing,
        whatever the network's padding shows there. Weights are not normalised here, because
        statistics divide by their sum.
    """
    if mask.ndim != 4 or mask.shape[:2] != (1, 1) or not mask.is_floating_point():
        raise UsageError(
            f"a mask is {mask.dtype} {tuple(mask.shape)}, expected float (1, 1, H, W)",
            "styler.regions.read.read_mask gives it that form",
        )
    if margin not in ("simple", "inside", "all"):
        raise UsageError(f"margin is {margin!r}, expected simple, inside or all")
    mask = mask.detach().cpu().float()
    windows = _windows(field, _size(mask))
    simple = _simple(mask, field, windows, units)
    if margin == "all":
        return _greatest(mask, windows, units)
    return _inside(mask, windows, units, simple) if margin == "inside" else simple


@dataclass(frozen=True)
class _Cells:
    """Intervals along an axis, in pixels: `start` and `end` of each, (n,) float64."""

    start: Tensor
    end: Tensor


def _shares(number: int, length: int) -> _Cells:
    """An axis in equal parts."""
    edges = torch.arange(number + 1, dtype=torch.float64) * length / number
    return _Cells(edges[:-1], edges[1:])


def _simple(
    mask: Tensor, field: ReceptiveField | None, windows: tuple[Window, Window], units: Size
) -> Tensor:
    own = _size(mask)
    if field is None:
        return _means(mask, *(_shares(n, length) for n, length in zip(units, own, strict=True)))
    axes = zip(windows, units, own, strict=True)
    return _means(mask, *(_cells(window, number, length) for window, number, length in axes))


def _cells(window: Window, number: int, length: int) -> _Cells:
    """What is nearest to the middle of each unit's window, of what it sees."""
    index = torch.arange(number, dtype=torch.float64)
    first, past = window.first + index * window.jump, window.last + 1 + index * window.jump
    middle = (first + past) / 2
    start, end = middle - window.jump / 2, middle + window.jump / 2
    start[0], end[-1] = 0, length
    start = torch.maximum(start, first).clamp(0, length)
    end = torch.minimum(end, past).clamp(0, length)
    # A unit that sees only padding takes the nearest pixel.
    beyond = end - start < 0.25
    nearest = middle.floor().clamp(0, length - 1)
    return _Cells(torch.where(beyond, nearest, start), torch.where(beyond, nearest + 1, end))


def _means(mask: Tensor, rows: _Cells, columns: _Cells) -> Tensor:
    """Means of a mask over rectangles, whose borders may lie inside of pixels."""
    means = _means_along(_means_along(mask.double(), rows, 2), columns, 3)
    return means.clamp(0, 1).to(mask.dtype)


def _means_along(values: Tensor, cells: _Cells, dim: int) -> Tensor:
    length = values.shape[dim]
    if torch.equal(cells.start, torch.arange(length, dtype=torch.float64)) and torch.equal(
        cells.end, cells.start + 1
    ):
        return values  # each is a pixel
    zero = torch.zeros_like(values.narrow(dim, 0, 1))
    total = torch.cat([zero, values.cumsum(dim)], dim)

    def up_to(edge: Tensor) -> Tensor:
        """The integral from the border."""
        below = edge.floor().long().clamp(0, length - 1)
        low, high = total.index_select(dim, below), total.index_select(dim, below + 1)
        return torch.lerp(low, high, _along(edge - below, dim))

    return (up_to(cells.end) - up_to(cells.start)) / _along(cells.end - cells.start, dim)


def _along(values: Tensor, dim: int) -> Tensor:
    shape = [1, 1, 1, 1]
    shape[dim] = -1
    return values.view(shape)


def _windows(field: ReceptiveField | None, size: Size) -> tuple[Window, Window]:
    """What units see along the height and the width; the whole picture if nothing is known."""
    if field is None:
        height, width = size
        return Window(0, height - 1, 0), Window(0, width - 1, 0)
    return field.y, field.x


def _inside(mask: Tensor, windows: tuple[Window, Window], units: Size, simple: Tensor) -> Tensor:
    """The least of a mask in windows, which shrink where too little would be left."""

    def least(by: int) -> Tensor:
        shrunk = tuple(_shrunk(window, by) for window in windows)
        seen = -_extremes(-mask, (shrunk[0], shrunk[1]), units).clamp(-1, 0)
        return torch.minimum(seen, simple)

    enough = LEAST_LEFT * float(simple.sum())
    seen = least(0)
    if float(seen.sum()) >= enough:
        return seen
    room = max(_room(window) for window in windows)
    by = bisect_left(range(room + 1), True, key=lambda by: float(least(by).sum()) >= enough)
    return least(by) if by <= room else simple


def _greatest(mask: Tensor, windows: tuple[Window, Window], units: Size) -> Tensor:
    return _extremes(mask, windows, units).clamp(0, 1)


def _room(window: Window) -> int:
    """How far a window may shrink on each side and still hold its unit's cell."""
    return max(0, (window.size - window.jump) // 2) if window.jump else 0


def _shrunk(window: Window, by: int) -> Window:
    by = min(by, _room(window))
    return Window(window.first + by, window.last - by, window.jump)


def _extremes(values: Tensor, windows: tuple[Window, Window], units: Size) -> Tensor:
    """The greatest value in each unit's window; padding counts for nothing."""
    (y, x), (height, width) = windows, units
    tall = _padded(values, y, height, 2)
    rows = F.max_pool2d(tall, (y.size, 1), (max(1, y.jump), 1))
    wide = _padded(rows.expand(-1, -1, height, -1), x, width, 3)
    return F.max_pool2d(wide, (1, x.size), (1, max(1, x.jump))).expand(-1, -1, -1, width)


def _padded(values: Tensor, window: Window, number: int, dim: int) -> Tensor:
    """The values from the first unit's first pixel to the last one's last, −inf beyond."""
    before = -window.first
    after = window.last + (number - 1) * window.jump - (values.shape[dim] - 1)
    pads = (0, 0, before, after) if dim == 2 else (before, after, 0, 0)
    return F.pad(values, pads, value=-math.inf)


def _size(mask: Tensor) -> Size:
    return mask.shape[-2], mask.shape[-1]
