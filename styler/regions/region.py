"""Regions of a picture with their shares of styles, at any size of the picture."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from styler.errors import ImageError
from styler.features import Extractor
from styler.regions.propagate import (
    LEAST_AREA,
    Margin,
    Size,
    layer_masks,
    layer_sizes,
    resize_mask,
)


@dataclass(frozen=True, kw_only=True)
class RegionShare:
    """A style's share of a region.

    Args:
        style: its number among the styles, from 0.
        mask: (1, 1, H, W) in [0, 1], the part of the style's picture that counts; None for all.
        weight: its share, 0 or more; only the proportions of a region's weights matter.
    """

    style: int
    mask: Tensor | None = None
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of the picture, and the styles that it takes.

    Args:
        name: for people.
        mask: (1, 1, H, W) in [0, 1] at any size of the picture's aspect; None for all of it.
        shares: at least one.
    """

    name: str
    mask: Tensor | None
    shares: tuple[RegionShare, ...]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A region in a picture of a certain size.

    Args:
        name: of the region.
        area: the share of the picture that it covers, from 0 to 1.
        masks: (1, 1, h, w) weights of units by layer, on the extractor's device; none for a region
            that is all of the picture.
    """

    name: str
    area: float
    masks: dict[str, Tensor] = field(default_factory=dict)


def masks_at(regions: Sequence[Region], size: Size) -> list[Tensor]:
    """The masks of regions at a size; where they add up to more than 1, they share the pixel.

    Args:
        regions: of one picture.
        size: (height, width).

    Returns:
        (1, 1, height, width) in [0, 1] for each, with a sum of at most 1; perhaps the regions' own
        tensors, or one number spread without memory, so not to be written to.

    Example:
        >>> regions = [Region(name=n, mask=torch.ones(1, 1, 4, 4), shares=()) for n in "ab"]
        >>> masks_at(regions, (1, 2))
        [tensor([[[[0.5000, 0.5000]]]]), tensor([[[[0.5000, 0.5000]]]])]
    """
    masks = [
        _filled(1.0, size) if region.mask is None else resize_mask(region.mask, size)
        for region in regions
    ]
    if len(masks) == 1:
        return masks
    total = torch.stack(masks).sum(0).clamp_min(1.0)
    return [mask / total for mask in masks]


def untouched(regions: Sequence[Region], size: Size) -> Tensor:
    """Where no region is: what the picture keeps.

    Args:
        regions: of one picture.
        size: (height, width).

    Returns:
        (1, 1, height, width): 1 less the sum of the masks; all 0 where one region is everything.
        Not to be written to.

    Example:
        >>> faint = Region(name="faint", mask=torch.full((1, 1, 8, 8), 0.25), shares=())
        >>> untouched([faint], (1, 1))
        tensor([[[[0.7500]]]])
    """
    if any(region.mask is None for region in regions):
        return _filled(0.0, size)
    return (1.0 - torch.stack(masks_at(regions, size)).sum(0)).clamp(0.0, 1.0)


def untouched_share(regions: Sequence[Region], size: Size) -> float:
    """The share of a picture that no region covers, from 0 to 1; see `untouched`."""
    return float(untouched(regions, size).mean())


def check_regions(regions: Sequence[Region], size: Size) -> None:
    """Make sure that there is something of each region at a size.

    Args:
        regions: of one picture.
        size: (height, width).

    Raises:
        ImageError: a region covers less than half a pixel.

    Example:
        >>> dot = torch.zeros(1, 1, 64, 64)
        >>> dot[..., 0, 0] = 1
        >>> check_regions([Region(name="dot", mask=dot, shares=())], (16, 16))
        Traceback (most recent call last):
        styler.errors.ImageError: the region dot is empty at 16×16 pixels
    """
    for region, mask in zip(regions, masks_at(regions, size), strict=True):
        if float(mask.sum()) < LEAST_AREA:
            raise _empty(region, size)


def place(
    regions: Sequence[Region],
    extractor: Extractor,
    layers: Collection[str],
    size: Size,
    margin: Margin = "simple",
) -> list[Placed]:
    """The regions in a picture of a size, with weights of the network's units.

    Args:
        regions: of one picture.
        extractor: the network.
        layers: canonical names of those whose units are weighted.
        size: (height, width) of the picture.
        margin: which units belong to a region; see `styler.regions.propagate.layer_mask`.

    Returns:
        The regions in the same order.

    Raises:
        ImageError: a region is empty at that size, or at a layer; or the picture is too small.

    Example:
        >>> from styler.features import load_extractor
        >>> left = torch.tensor([1.0, 0.0]).expand(1, 1, 2, 2)
        >>> region = Region(name="left", mask=left, shares=(RegionShare(style=0),))
        >>> placed, = place([region], load_extractor("vgg-lite"), ["relu2_1"], (16, 16))
        >>> placed.area, placed.masks["relu2_1"][0, 0, 0]
        (0.5, tensor([1., 1., 1., 1., 0., 0., 0., 0.]))
    """
    check_regions(regions, size)
    units = layer_sizes(extractor, size, layers) if any(r.mask is not None for r in regions) else {}
    placed = []
    for region, mask in zip(regions, masks_at(regions, size), strict=True):
        masks = {} if region.mask is None else layer_masks(mask, extractor, units, margin)
        if not all(bool(weights.any()) for weights in masks.values()):
            raise _empty(region, size)
        placed.append(Placed(name=region.name, area=float(mask.mean()), masks=masks))
    return placed


def _filled(value: float, size: Size) -> Tensor:
    return torch.tensor(value).expand(1, 1, *size)


def _empty(region: Region, size: Size) -> ImageError:
    return ImageError(
        f"the region {region.name} is empty at {size[1]}×{size[0]} pixels",
        "make it larger, leave it out, or raise schedule.min_side, the side of the coarsest scale",
    )
