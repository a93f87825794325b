"""What guides a transfer beside content and style: regions, what stays, and a picture's colours."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from styler.errors import ImageError, UsageError
from styler.features import Extractor
from styler.regions.assign import EVERYWHERE, region_source
from styler.regions.propagate import Margin, Size, resize_mask
from styler.regions.region import Region, RegionShare, check_regions, place, untouched
from styler.styles.source import Fit, StyleShare
from styler.terms import Wanted

TOLD = 0.001
"""Share of the picture from which on it is told that it stays as it is."""


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """What guides a transfer.

    Args:
        regions: which style goes where, as `styler.regions.assign.assign` gives them; none for all
            styles everywhere. What no region covers stays as it is.
        protect: (1, 1, any, any) in [0, 1]: 1 stays as it is in the content.
        reference: (1, 3, any, any) sRGB in [0, 1], whose colours are taken for ``color.mode``
            `match`.
    """

    regions: tuple[Region, ...] = ()
    protect: Tensor | None = None
    reference: Tensor | None = None


class Layout:
    """The styles in their places.

    Args:
        guidance: regions and what stays.
        styles: with their weights.
        size: (height, width) of the content.

    Raises:
        UsageError: a shape does not fit, or a saved style is to have a mask.
        ImageError: nothing is left to be painted.

    Example:
        >>> import torch
        >>> from styler.styles.source import PictureStyle
        >>> style = StyleShare(source=PictureStyle(torch.rand(1, 3, 8, 8)))
        >>> left = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
        >>> layout = Layout(Guidance(protect=left), [style], (4, 4))
        >>> layout.held[0, 0, 0], layout.notes
        (tensor([1., 1., 0., 0.]), ['50% of the picture stays as it is'])
    """

    def __init__(self, guidance: Guidance, styles: Sequence[StyleShare], size: Size) -> None:
        everywhere = Region(
            name=EVERYWHERE,
            mask=None,
            shares=tuple(
                RegionShare(style=number, weight=style.weight)
                for number, style in enumerate(styles)
            ),
        )
        regions, stays = guidance.regions or (everywhere,), None
        if any(region.mask is not None for region in regions):
            stays = untouched(regions, size)
        if guidance.protect is not None:
            free = 1 - _protected(guidance.protect, size)
            stays = 1 - free if stays is None else 1 - (1 - stays) * free
            # A style is not to make up for what it cannot change.
            regions = tuple(replace(region, mask=_within(region, free)) for region in regions)
        self.regions = regions
        self.sources = [region_source(r, [style.source for style in styles]) for r in regions]
        share = 0.0 if stays is None else float(stays.mean())
        if share > 1 - TOLD / 10:
            raise ImageError("nothing is left to be painted", "make the mask of what stays smaller")
        self.held = stays if share > 0 else None
        self.notes = [f"{100 * share:.0f}% of the picture stays as it is"] if share > TOLD else []

    @property
    def whole(self) -> bool:
        """Whether all of the picture is one region."""
        return len(self.regions) == 1 and self.regions[0].mask is None

    def check(self, size: Size, fit: Fit, extractor: Extractor, layers: Collection[str]) -> None:
        """Make sure that at a scale there is something of each region and of its style.

        Raises:
            ImageError: there is not.
            BackboneError, ConfigError: from the styles.
        """
        if not self.whole:
            check_regions(self.regions, size)
        for source in self.sources:
            source.check(fit, extractor, layers)

    def wanted(
        self,
        weight: float,
        size: Size,
        fit: Fit,
        extractor: Extractor,
        layers: Collection[str],
        margin: Margin,
    ) -> list[Wanted]:
        """The styles that are wanted at a scale, each with its share of the weight.

        The share is that of the picture that its region covers, so that each pixel is pulled by its
        style as it would be by one for all.

        Args:
            weight: of all together.
            size: (height, width) of the scale.
            fit: gives the size at which styles are seen.
            extractor: the network.
            layers: that are read.
            margin: see `styler.regions.propagate.layer_mask`.

        Raises:
            ImageError: a region is empty at that size.
        """
        if self.whole:
            return [Wanted(name="style", weight=weight, source=self.sources[0], fit=fit)]
        placed = place(self.regions, extractor, layers, size, margin)
        alone = len(placed) == 1
        covered = sum(region.area for region in placed)
        return [
            Wanted(
                name="style" if alone else f"style {region.name}",
                weight=weight * region.area / covered,
                source=source,
                fit=fit,
                masks=region.masks,
            )
            for region, source in zip(placed, self.sources, strict=True)
        ]


def _protected(mask: Tensor, size: Size) -> Tensor:
    if mask.ndim != 4 or mask.shape[:2] != (1, 1) or not mask.is_floating_point():
        raise UsageError(
            f"protect is {mask.dtype} {tuple(mask.shape)}, expected float (1, 1, H, W)",
            "styler.regions.read.read_mask gives it that form",
        )
    return resize_mask(mask, size)


def _within(region: Region, free: Tensor) -> Tensor:
    if region.mask is None:
        return free
    return resize_mask(region.mask, (free.shape[-2], free.shape[-1])) * free
