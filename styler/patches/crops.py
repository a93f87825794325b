"""Patches of photographs, cut out of their files; and whether they excite their units as said."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

import torch
from torch import Tensor

from styler.features import Extractor
from styler.images import fit_long_side, read_picture, resize
from styler.natural import on_grey
from styler.patches.record import Box, Index, LayerRecord, Patch, Photograph, UnitRecord
from styler.patches.sources import has_changed
from styler.patches.view import view_of
from styler.transforms import GREY

_ROUNDING = 1e-6
"""In pixels: what lies no further beyond the edge of a pixel is taken to be on it."""


def crops(
    index: Index, folder: Path, *, layers: Collection[str] | None = None, most: int | None = None
) -> Iterator[tuple[str, int, int, Tensor]]:
    """All patches of an index, at the resolution of the files they are from.

    Every photograph is read once; patches come in the order of their photographs.

    Args:
        index: of the patches.
        folder: of the photographs.
        layers: whose patches are wanted; None for all.
        most: longest side of a patch in pixels, to which larger ones are scaled; None leaves all
            as they are.

    Yields:
        The layer, the unit, the rank from 1 on, and the patch, (1, 3, h, w) in [0, 1]. What the
        network did not see, beyond the border of the photograph, is grey.

    Raises:
        ImageError: a photograph is gone, has changed or cannot be read.
    """
    wanted: dict[int, list[tuple[str, int, int, Patch]]] = defaultdict(list)
    for layer in index.layers:
        if layers is None or layer.layer in layers:
            for unit in layer.units:
                for rank, patch in enumerate(unit.patches, start=1):
                    wanted[patch.image].append((layer.layer, unit.unit, rank, patch))
    for number in sorted(wanted):
        photograph = index.images[number]
        pixels = _read(photograph, folder)
        for name, channel, rank, patch in wanted[number]:
            found = cut(pixels, patch.box, photograph.part)
            size = (found.shape[-2], found.shape[-1])
            if most is not None and max(size) > most:
                found = resize(found, fit_long_side(size, most))
            yield name, channel, rank, found


def _read(photograph: Photograph, folder: Path) -> Tensor:
    picture = read_picture(folder / photograph.file)
    if picture.sha256 != photograph.sha256:
        raise has_changed(photograph.file)
    return on_grey(picture.pixels, picture.alpha)


def whole_pixels(box: Box) -> tuple[int, int, int, int]:
    """The smallest rectangle of whole pixels that holds a box: (top, left, bottom, right).

    Example:
        >>> whole_pixels(Box(top=-0.5, left=2.0, bottom=3.2, right=5.0000000001))
        (-1, 2, 4, 5)
    """
    return (
        math.floor(box.top + _ROUNDING),
        math.floor(box.left + _ROUNDING),
        math.ceil(box.bottom - _ROUNDING),
        math.ceil(box.right - _ROUNDING),
    )


def cut(pixels: Tensor, box: Box, part: tuple[int, int, int, int]) -> Tensor:
    """A patch of a photograph.

    Args:
        pixels: (1, 3, H, W), the photograph.
        box: what is wanted; pixels that are in it in part are taken along.
        part: what there is: (top, left, bottom, right); all else is grey.

    Returns:
        (1, 3, h, w).

    Example:
        >>> pixels = torch.arange(12.0).view(1, 1, 3, 4).expand(1, 3, 3, 4) / 12
        >>> (cut(pixels, Box(top=1, left=2.2, bottom=2, right=5), (0, 0, 3, 4))[0, 0] * 12).round()
        tensor([[6., 7., 6.]])
    """
    top, left, bottom, right = whole_pixels(box)
    found = pixels.new_full((1, 3, bottom - top, right - left), GREY)
    first, start = max(top, part[0]), max(left, part[1])
    last, end = min(bottom, part[2]), min(right, part[3])
    if first < last and start < end:
        found[..., first - top : last - top, start - left : end - left] = pixels[
            ..., first:last, start:end
        ]
    return found


def share_inside(box: Box, part: tuple[int, int, int, int]) -> tuple[float, ...]:
    """The part of a patch that is photograph, as shares of its height and width.

    Args:
        box: that was cut out.
        part: what there is of the photograph: (top, left, bottom, right).

    Returns:
        (top, left, bottom, right), from 0 to 1.

    Example:
        >>> share_inside(Box(top=-2, left=4, bottom=6, right=12), (0, 0, 9, 10))
        (0.25, 0.0, 1.0, 0.75)
    """
    top, left, bottom, right = whole_pixels(box)
    shares = (
        (part[0] - top) / (bottom - top),
        (part[1] - left) / (right - left),
        (part[2] - top) / (bottom - top),
        (part[3] - left) / (right - left),
    )
    return tuple(min(1.0, max(0.0, share)) for share in shares)


def rescore(
    patch: Patch,
    unit: UnitRecord,
    layer: LayerRecord,
    index: Index,
    extractor: Extractor,
    folder: Path,
) -> float:
    """How much a patch alone excites its unit.

    The network is shown a grey picture of the photograph's size, in which nothing but what the unit
    sees is the photograph's: the activation is that of the whole photograph, as nothing else
    matters to the unit.

    Args:
        patch: of the unit.
        unit: of the layer.
        layer: of the index.
        index: of the patches.
        extractor: the network, as it was.
        folder: of the photographs.

    Returns:
        The activation at the patch's place.

    Raises:
        ImageError: the photograph is gone, has changed or cannot be read.
    """
    photograph = index.images[patch.image]
    picture = read_picture(folder / photograph.file)
    if picture.sha256 != photograph.sha256:
        raise has_changed(photograph.file)
    shown = view_of(photograph).show(picture)
    sees = extractor.receptive_field(layer.layer)
    alone = shown
    if sees is not None:
        top, left, bottom, right = (max(0, at) for at in sees.box(patch.row, patch.column))
        alone = torch.full_like(shown, GREY)
        alone[..., top:bottom, left:right] = shown[..., top:bottom, left:right]
    with torch.no_grad():
        features = extractor(alone.to(extractor.device), [layer.layer])[layer.layer]
    maps = features if features.ndim == 4 else features[:, :, None, None]
    return float(maps[0, unit.unit, patch.row, patch.column])
