"""The flat colours that a map is painted in, and which of them each pixel is meant to have."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

MOST_COLOURS = 32
"""Regions that a map may have."""
ALIKE = 12
"""Levels of 255 by which colours may differ in each channel and still be one: what JPEG does to a
flat colour at any usual quality."""
SMALLEST = 0.001
"""Share of a map that a region has at least: less is dirt."""

_SMOOTH = 2  # levels by which neighbours inside of an area differ at most
_LOOKED_AT = 8 * MOST_COLOURS
_CORE = SMALLEST / 20  # share of the map that the inside of a region has at least
_CODES = 256**3
_FAR = np.iinfo(np.int32).max
_MOST_BORDER = 0.5  # share of a map
_BESIDE = 4  # pixels from a border to the areas beside it

Bytes = NDArray[np.uint8]


def main_colours(pixels: Bytes, visible: NDArray[np.bool_]) -> tuple[Bytes, Bytes]:
    """The colours of a map, and to which of them each pixel belongs.

    A colour of the map is one that fills areas: somewhere at least 3×3 pixels. The mixtures at
    antialiased borders do not, nor does most of what JPEG leaves around them. Shades that are
    alike count as the most frequent of them. A pixel belongs to the nearest colour, a mixture to
    the nearest of those that fill areas beside it: between red and blue it may look like a third
    region's purple.

    Args:
        pixels: (H, W, 3), sRGB.
        visible: (H, W), which of them count, at least one.

    Returns:
        (K, 3), the colours by falling area, each with at least `SMALLEST` of what is visible, one
        more than `MOST_COLOURS` if there are more; and (H, W), the number of one of them for each
        pixel.

    Example:
        >>> map_ = np.zeros((4, 8, 3), np.uint8)
        >>> map_[:, 5:] = (255, 0, 0)
        >>> map_[:, 4] = (128, 0, 0)
        >>> colours, nearest = main_colours(map_, np.ones((4, 8), bool))
        >>> colours.tolist(), nearest[0].tolist()
        ([[0, 0, 0], [255, 0, 0]], [0, 0, 0, 0, 1, 1, 1, 1])
    """
    codes, cores = _encode(pixels), visible & _flat(pixels)
    known, counts = _count(codes[visible])
    found = _clusters(*_count(codes[cores if cores.any() else visible]), counts.sum())
    areas = np.bincount(_nearest(known, found), counts, len(found))
    kept = np.argsort(-areas, kind="stable")[: MOST_COLOURS + 1]
    found = found[[number for number in kept if areas[number] >= SMALLEST * counts.sum()]]
    table = np.zeros(_CODES, np.uint8)
    table[known] = _nearest(known, found)
    nearest: NDArray[np.uint8] = table[codes]
    # What has a colour of the map exactly, such as a thin line, keeps it.
    off = visible & ~cores & (distance_from(pixels, found[nearest]) > _SMOOTH)
    _settle_borders(pixels, cores, off, found, nearest)
    return found, nearest


def distance_from(pixels: Bytes, colours: Bytes) -> NDArray[np.int16]:
    """The greatest difference of channels, in levels.

    Args:
        pixels: (..., 3).
        colours: (..., 3), likewise.
    """
    difference = np.abs(pixels.astype(np.int16) - colours.astype(np.int16))
    greatest: NDArray[np.int16] = difference.max(-1)
    return greatest


def _settle_borders(
    pixels: Bytes,
    cores: NDArray[np.bool_],
    border: NDArray[np.bool_],
    colours: Bytes,
    nearest: Bytes,
) -> None:
    """Give pixels of borders to the nearest colour that fills an area beside them.

    A picture that is mostly border, such as a photograph, is left as it is.
    """
    if border.mean() > _MOST_BORDER:
        return
    rows, columns = np.nonzero(border)
    own, settled = pixels[border].astype(np.int32), nearest[border]
    best = np.full(len(own), _FAR, np.int32)
    reach = range(-_BESIDE, _BESIDE + 1)
    height, width = border.shape
    for down, right in itertools.product(reach, reach):
        y, x = (rows + down).clip(0, height - 1), (columns + right).clip(0, width - 1)
        beside = nearest[y, x]
        distance = np.square(own - colours[beside]).sum(1, dtype=np.int32)
        closer = cores[y, x] & (distance < best)
        settled[closer], best[closer] = beside[closer], distance[closer]
    nearest[border] = settled


def _encode(pixels: Bytes) -> NDArray[np.int32]:
    wide = pixels.astype(np.int32)
    codes: NDArray[np.int32] = (wide[..., 0] << 16) + (wide[..., 1] << 8) + wide[..., 2]
    return codes


def _decode(codes: NDArray[np.int64]) -> Bytes:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], -1).astype(np.uint8)


def _flat(pixels: Bytes) -> NDArray[np.bool_]:
    """Pixels whose 3×3 neighbours are alike, as far as the map has them."""
    low = high = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), "edge")
    for _ in range(2):  # along the rows, then along the columns
        low = np.minimum(np.minimum(low[:-2], low[1:-1]), low[2:]).swapaxes(0, 1)
        high = np.maximum(np.maximum(high[:-2], high[1:-1]), high[2:]).swapaxes(0, 1)
    flat: NDArray[np.bool_] = (high - low).max(2) <= _SMOOTH
    return flat


def _count(codes: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The colours that are there, and how often; of many pixels, in a tenth of a sort's time."""
    if codes.size < _CODES // 16:
        found, times = np.unique(codes, return_counts=True)
        return found.astype(np.int64), times
    counts = np.bincount(codes, minlength=_CODES)
    known = np.flatnonzero(counts)
    return known, counts[known]


def _clusters(known: NDArray[np.int64], counts: NDArray[np.int64], area: int) -> Bytes:
    """Colours that are not alike, the most frequent first; at least one."""
    colours = _decode(known).astype(np.int16)
    found: list[Bytes] = []
    for _ in range(_LOOKED_AT):
        if (found and counts.sum() < _CORE * area) or not len(counts):
            break
        most = colours[counts.argmax()]
        alike = (np.abs(colours - most) <= ALIKE).all(1)
        if counts[alike].sum() >= _CORE * area or not found:
            found.append(most.astype(np.uint8))
        colours, counts = colours[~alike], counts[~alike]
    return np.array(found, np.uint8).reshape(-1, 3)


def _nearest(codes: NDArray[np.int64], colours: Bytes) -> NDArray[np.uint8]:
    """The number of the nearest colour of each code."""
    own = _decode(codes).astype(np.int32)
    best = np.full(len(own), _FAR, np.int32)
    nearest = np.zeros(len(own), np.uint8)  # of at most `_LOOKED_AT`, which fit
    for number, colour in enumerate(colours):
        distance = np.square(own - colour.astype(np.int32)).sum(1, dtype=np.int32)
        closer = distance < best
        nearest[closer], best[closer] = number, distance[closer]
    return nearest
