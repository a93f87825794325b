"""What units do see of an image, as their gradients show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from math import ceil, floor

import torch
from torch import Tensor

from styler.errors import BackboneError, ConfigError, UsageError
from styler.features.base import Extractor
from styler.fields import Box, LayerField, Tile, receptive_field, tile_of
from styler.images import check_picture

TILE_SHARE = 0.5
"""Of an image: a tile is used where it is smaller. Its unit is worth a forward and a backward pass
through the tile, and through the image a backward pass alone, as all units share the other."""

_ROUNDING = 1e-6
"""In pixels: what lies no further beyond a border is taken to be on it."""


def effective_field(gradient: Tensor, share: float = 0.9) -> Box:
    """The part of the image that a unit depends on most.

    Every pixel p weighs w(p) = Σ_c g_c(p)², the energy of the gradient there. The box is centred on
    the mean place μ of that weight, and its height and width are as the weight's deviations along
    the two axes, σ² = Σ w (p − μ)² / Σ w + 1/12, where 1/12 is the variance of a place within a
    pixel. It is the smallest such box whose pixels hold the share of all weight. For a Gaussian
    weight it reaches √2·σ·erf⁻¹(√share) from the centre, whatever its σ along each axis.

    Args:
        gradient: (1, C, H, W), of the unit with respect to the image.
        share: of the weight that the box has to hold, above 0 and up to 1.

    Returns:
        In whole pixels, cut off at the image's border. The whole image for a gradient of zero,
        which says nothing.

    Raises:
        UsageError: the gradient has another shape or is not finite, or the share is out of range.

    Example:
        >>> gradient = torch.zeros(1, 3, 32, 48)
        >>> gradient[0, :, 10:15, 20:41] = 1
        >>> effective_field(gradient, 1.0), effective_field(gradient, 0.25)
        ((10, 20, 15, 41), (11, 26, 14, 35))

    References:
        Luo et al. 2016, arXiv 1701.04128, section 2: the gradient's energy falls off like a
        Gaussian, for weights of chance. There the field is the area in which the gradient is above
        4.55% of its largest value, without a place; here it is a box of the picture that can be
        cut out, and holds the same share for all units.
    """
    if gradient.ndim != 4 or gradient.shape[0] != 1 or not bool(gradient.isfinite().all()):
        raise UsageError(f"a gradient is a finite (1, C, H, W) tensor, got {tuple(gradient.shape)}")
    if not 0 < share <= 1:
        raise UsageError(f"a field holds a share above 0 and up to 1 of the gradient, got {share}")
    height, width = gradient.shape[2:]
    weight = gradient[0].double().square().sum(0)
    if not bool(weight.any()):
        return 0, 0, height, width
    y, x = _spread(weight.sum(1)), _spread(weight.sum(0))
    reach = torch.maximum(
        _distances(weight.shape[0], y).to(weight.device)[:, None],
        _distances(weight.shape[1], x).to(weight.device)[None],
    )
    inside = weight > 0
    nearest = reach[inside].sort()
    held = weight[inside][nearest.indices].cumsum(0)
    place = int(torch.searchsorted(held, held[-1] * share))
    far = float(nearest.values[min(place, len(held) - 1)])
    (top, bottom), (left, right) = _borders(y, far, height), _borders(x, far, width)
    return top, left, bottom, right


def _spread(weight: Tensor) -> tuple[float, float]:
    """Mean and deviation of places along an axis."""
    places = torch.arange(len(weight), dtype=weight.dtype, device=weight.device)
    total = weight.sum()
    mean = (weight * places).sum() / total
    variance = (weight * (places - mean).square()).sum() / total
    return float(mean), float((variance + 1 / 12).sqrt())


def _distances(side: int, spread: tuple[float, float]) -> Tensor:
    """Of places from the mean, in deviations."""
    mean, deviation = spread
    return (torch.arange(side, dtype=torch.float64) - mean).abs() / deviation


def _borders(spread: tuple[float, float], far: float, side: int) -> tuple[int, int]:
    mean, deviation = spread
    first = ceil(mean - far * deviation - _ROUNDING)
    last = floor(mean + far * deviation + _ROUNDING)
    return max(0, first), min(side, last + 1)


def unit_gradients(
    extractor: Extractor,
    image: Tensor,
    layer: str,
    units: Sequence[int],
    places: Sequence[tuple[int, int]],
    *,
    relu: AbstractContextManager[object] | None = None,
) -> Iterator[Tensor]:
    """The gradients of single units of a layer with respect to one image.

    A unit is looked at in its tile, see `styler.fields.tile_of`, where that is smaller than
    `TILE_SHARE` of the image, else in the whole image, whose forward pass all such units share.
    Which of the two it is, and every bit of the gradient, depends on the unit, its place and the
    image alone, not on what else was asked for: each has a backward pass of its own. Many small
    tiles at once would be faster, but sums would be rounded differently in every batch.

    Args:
        extractor: the network.
        image: (1, 3, H, W), sRGB in [0, 1].
        layer: a name or an alias.
        units: channels of the layer.
        places: (row, column) in the layer's map for each of the units; (0, 0) in a vector.
        relu: rules for the gradient of ReLUs, entered around every forward pass, so it must be
            fit to be entered again; None for the gradient as it is.

    Returns:
        One (1, 3, H, W) after the other, in the order of the units, in the image's precision; 0
        where a unit sees nothing.

    Raises:
        UsageError: the image has another shape, there are not as many places as units, or the
            layer has no such place.
        ConfigError: the layer is unknown or has no such channel.
        ImageError: the image is too small for the layer.

    Example:
        >>> from styler.features import load_extractor
        >>> image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
        >>> network = load_extractor("vgg-lite")
        >>> (gradient,) = unit_gradients(network, image, "relu2_1", [2], [(20, 30)])
        >>> tuple(gradient.shape), effective_field(gradient)
        ((1, 3, 96, 96), (38, 58, 43, 65))
    """
    check_picture("image", image)
    if len(units) != len(places):
        raise UsageError(f"{len(units)} units have {len(places)} places", "give one for each")
    name = extractor.resolve([layer])[0]
    count = extractor.channels(name)
    for unit in units:
        if not 0 <= unit < count:
            raise ConfigError(
                f"{name} of {extractor.name} has no channel {unit}",
                f"it has {count}, from 0 to {count - 1}",
            )
    size = (image.shape[2], image.shape[3])
    extractor.check_size(size, [name])
    field: LayerField | None = None
    with suppress(BackboneError):  # of a network that cannot be traced, none is known
        field = receptive_field(extractor, name, size)
    tiles = [_tile(field, size, row, column) for row, column in places]
    passes = _Passes(extractor, image.detach(), name, relu or nullcontext())
    return (passes.gradient(unit, tile) for unit, tile in zip(units, tiles, strict=True))


def _tile(field: LayerField | None, size: tuple[int, int], row: int, column: int) -> Tile:
    """Where a unit is looked at."""
    if field is not None:
        tile = tile_of(field, row, column)
        if tile.size[0] * tile.size[1] < TILE_SHARE * size[0] * size[1]:
            return tile
    return Tile(top=0, left=0, bottom=size[0], right=size[1], row=row, column=column)


class _Passes:
    """Forward passes through an image and through the last tile of it, kept for several units.

    Args:
        extractor: the network.
        image: (1, 3, H, W), without a gradient.
        layer: canonical name.
        relu: entered around every pass.
    """

    def __init__(
        self, extractor: Extractor, image: Tensor, layer: str, relu: AbstractContextManager[object]
    ) -> None:
        self._extractor = extractor
        self._image = image
        self._layer = layer
        self._relu = relu
        self._kept: dict[bool, tuple[Box, Tensor, Tensor]] = {}

    def gradient(self, unit: int, tile: Tile) -> Tensor:
        """(1, 3, H, W), of the tile's unit in one channel."""
        pixels, features = self._pass(tile)
        place = (0, unit, tile.row, tile.column)[: features.ndim]
        if not all(0 <= at < side for at, side in zip(place, features.shape, strict=True)):
            raise UsageError(
                f"{self._layer} has no unit at {tile.row},{tile.column}",
                f"its features of this image are {tuple(features.shape)}",
            )
        # Laid out as the features are: autograd would lay out that of one element otherwise, and
        # the convolutions below would pay for it.
        seed = torch.zeros_like(features)
        seed[place] = 1
        (part,) = torch.autograd.grad(features, pixels, seed, retain_graph=True)
        whole = torch.zeros_like(self._image)
        tile.of(whole).copy_(part)
        return whole

    def _pass(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """The pixels and the features of a tile."""
        shown = tile.of(self._image)
        whole = shown.shape == self._image.shape
        kept = self._kept.get(whole)
        if kept is None or kept[0] != tile.box:
            pixels = shown.clone().requires_grad_()
            with torch.enable_grad(), self._relu:
                features = self._extractor(pixels, [self._layer])[self._layer]
            kept = self._kept[whole] = (tile.box, pixels, features)
        return kept[1], kept[2]
