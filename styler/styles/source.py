"""Where the statistics of a style come from: one picture, or several styles blended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor

from styler.errors import ConfigError, ImageError, UsageError
from styler.features import Extractor
from styler.images import check_picture, resize
from styler.losses import FeatureSums, Moments
from styler.regions.propagate import LEAST_AREA, layer_masks, layer_sizes, resize_mask
from styler.styles.cache import StyleCache, cache_key
from styler.styles.measure import Size, checked_mask, colours_of, measure, mix
from styler.styles.views import View, views
from styler.tiled_features import features_of, sums_of

__all__ = [
    "Fit",
    "Invariance",
    "PictureStyle",
    "Seen",
    "Size",
    "Style",
    "StyleBlend",
    "StyleShare",
    "StyleSource",
    "as_source",
    "colours_of",
    "measure",
    "mix",
    "shares_of",
    "varied",
]

Fit = Callable[[Size], Size]
"""From a style picture's own size to the size at which it is seen."""
Seen = dict[str, tuple[Tensor, Tensor | None]]
"""By layer: features (1, C, h, w), and the weights (1, 1, h, w) of their positions, None for 1."""
Invariance = Literal["flip", "turn"]
"""A style that is seen mirrored, too, or turned by all quarters."""


@runtime_checkable
class StyleSource(Protocol):
    """A style: what its pictures are at any size, as statistics of features."""

    def check(self, fit: Fit, extractor: Extractor, layers: Collection[str]) -> None:
        """Refuse what `sums` could not give, without looking at features.

        Args:
            fit: gives the size at which the style is seen.
            extractor: the network.
            layers: canonical names of its layers.

        Raises:
            ImageError: at that size the style is too small for a layer.
            BackboneError: the style was measured with another network.
            ConfigError: the style was not measured at a layer.
        """
        ...

    def sums(
        self, fit: Fit, extractor: Extractor, layers: Collection[str]
    ) -> dict[str, FeatureSums]:
        """First and second sums of features over the positions of the style at a size.

        Args:
            fit: gives the size at which the style is seen.
            extractor: the network.
            layers: canonical names of its layers.

        Returns:
            By layer, with batch 1, on the extractor's device.

        Raises:
            ImageError, BackboneError, ConfigError: as `check` does.
        """
        ...

    def features(
        self, fit: Fit, extractor: Extractor, layers: Collection[str]
    ) -> list[tuple[float, Seen]]:
        """The features themselves at a size, for losses that need more than their sums.

        Args:
            fit: gives the size at which the style is seen.
            extractor: the network.
            layers: canonical names of its layers.

        Returns:
            The style's parts, each with its share; shares add up to 1. A picture is one part.

        Raises:
            ImageError, BackboneError: as `check` does.
            ConfigError: likewise, or the style holds no features.
        """
        ...

    def colours(self) -> Moments:
        """Mean (1, 3) and covariance (1, 3, 3) of the style's pixels at its own size, sRGB."""
        ...


class PictureStyle:
    """The style of a picture, or of a part of it, which is shown to the network at each size.

    Args:
        pixels: (1, 3, H, W) sRGB in [0, 1].
        digest: SHA-256 of the picture's file, by which a cache knows it.
        cache: where statistics are kept, for a picture with a digest and without a mask.
        mask: (1, 1, any, any) in [0, 1], the part of the picture that counts; None for all of it.
            The network sees the whole picture, its units count by what the mask has in their own
            cells.
        invariance: "flip" to show it mirrored, too, "turn" to show it turned by all quarters. The
            statistics are the means of all.

    Raises:
        UsageError: a tensor of another shape, or an unknown invariance.
        ImageError: the mask selects nothing.

    Example:
        >>> from styler.features import load_extractor
        >>> left = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
        >>> style = PictureStyle(torch.rand(1, 3, 64, 48), mask=left)
        >>> sums = style.sums(lambda own: (32, 24), load_extractor("vgg-lite"), ["relu2_1"])
        >>> sums["relu2_1"].count
        tensor([96.])
    """

    def __init__(
        self,
        pixels: Tensor,
        *,
        digest: str | None = None,
        cache: StyleCache | None = None,
        mask: Tensor | None = None,
        invariance: Sequence[Invariance] = (),
    ) -> None:
        check_picture("style", pixels)
        unknown = set(invariance) - set(get_args(Invariance))
        if unknown:
            raise UsageError(f"invariance is {sorted(unknown)}, expected flip or turn")
        self.pixels = pixels
        self.digest = digest
        self.cache = cache
        self.mask = None if mask is None else checked_mask(mask)
        self.invariance = tuple(invariance)

    @property
    def size(self) -> Size:
        """(height, width) of the picture."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    def replaced(self, **values: Any) -> PictureStyle:
        """The same with other values of its arguments.

        Example:
            >>> PictureStyle(torch.rand(1, 3, 8, 8)).replaced(invariance=("flip",)).invariance
            ('flip',)
        """
        own = {
            "pixels": self.pixels,
            "digest": self.digest,
            "cache": self.cache,
            "mask": self.mask,
            "invariance": self.invariance,
        }
        return PictureStyle(**{**own, **values})

    def check(self, fit: Fit, extractor: Extractor, layers: Collection[str]) -> None:
        """See `StyleSource.check`; a mask may select nothing of a small picture."""
        size = fit(self.size)
        extractor.check_size(size, layers)
        if self.mask is not None and float(resize_mask(self.mask, size).sum()) < LEAST_AREA:
            raise ImageError(
                f"its mask selects nothing at {size[1]}×{size[0]} pixels",
                "select more of it, or raise schedule.min_side, the side of the coarsest scale",
            )

    def sums(
        self, fit: Fit, extractor: Extractor, layers: Collection[str]
    ) -> dict[str, FeatureSums]:
        """See `StyleSource.sums`; of several views, the means, as if of one picture."""
        self.check(fit, extractor, layers)
        size, shown = fit(self.size), views(self.invariance)
        parts = [self._sums(view, size, extractor, layers) for view in shown]
        if len(parts) == 1:
            return parts[0]
        shares = [1 / len(parts)] * len(parts)
        return {layer: mix([part[layer] for part in parts], shares) for layer in layers}

    def _sums(
        self, view: View, size: Size, extractor: Extractor, layers: Collection[str]
    ) -> dict[str, FeatureSums]:
        def measured() -> dict[str, FeatureSums]:
            image, masks = self._shown(view, size, extractor, layers)
            return sums_of(extractor, image, layers, masks)

        if self.cache is None or self.digest is None or self.mask is not None:
            return measured()
        known = self.cache.recall(
            cache_key(self.digest + view.name, size, extractor, layers),
            {layer: extractor.channels(layer) for layer in layers},
            measured,
        )
        return {layer: known[layer].map(lambda t: t.to(extractor.device)) for layer in layers}

    def features(
        self, fit: Fit, extractor: Extractor, layers: Collection[str]
    ) -> list[tuple[float, Seen]]:
        """See `StyleSource.features`; each view is a part."""
        self.check(fit, extractor, layers)
        size, shown, parts = fit(self.size), views(self.invariance), list[tuple[float, Seen]]()
        for view in shown:
            image, masks = self._shown(view, size, extractor, layers)
            features = features_of(extractor, image, layers)
            seen = {layer: (features[layer], masks.get(layer)) for layer in layers}
            parts.append((1 / len(shown), seen))
        return parts

    def _shown(
        self, view: View, size: Size, extractor: Extractor, layers: Collection[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The picture in a view, with weights of the units of layers, on the network's device."""
        image = view.of(resize(self.pixels, size)).to(extractor.device)
        if self.mask is None:
            return image, {}
        mask = view.of(resize_mask(self.mask, size))
        units = layer_sizes(extractor, (image.shape[-2], image.shape[-1]), layers)
        return image, layer_masks(mask, extractor, units, "simple")

    def colours(self) -> Moments:
        """See `StyleSource.colours`."""
        return colours_of(self.pixels, self.mask)


@dataclass(frozen=True, kw_only=True)
class StyleShare:
    """A style in a blend.

    Args:
        source: the style.
        weight: its share, 0 or more; only the proportions of a blend's weights matter.
    """

    source: StyleSource
    weight: float = 1.0


class StyleBlend:
    """Several styles as one: a picture of which each covers its share, whatever their sizes.

    Args:
        shares: the styles.

    Raises:
        UsageError: there is none, a weight is negative, or all are zero.

    Example:
        >>> black, white = (PictureStyle(torch.full((1, 3, 8, 8), v)) for v in (0.0, 1.0))
        >>> mixed = StyleBlend([StyleShare(source=black), StyleShare(source=white, weight=3)])
        >>> mixed.colours().mean
        tensor([[0.7500, 0.7500, 0.7500]])
    """

    def __init__(self, shares: Sequence[StyleShare]) -> None:
        weights = [share.weight for share in shares]
        if not weights or min(weights) < 0 or not 0 < sum(weights) < float("inf"):
            raise UsageError(
                f"the weights of the styles are {weights}, expected numbers of 0 or more, "
                "one of them above 0"
            )
        self.shares = tuple(share for share in shares if share.weight > 0)
        self._weights = [share.weight / sum(weights) for share in self.shares]

    def check(self, fit: Fit, extractor: Extractor, layers: Collection[str]) -> None:
        """See `StyleSource.check`."""
        for share in self.shares:
            share.source.check(fit, extractor, layers)

    def sums(
        self, fit: Fit, extractor: Extractor, layers: Collection[str]
    ) -> dict[str, FeatureSums]:
        """See `StyleSource.sums`; counts are the weighted means of those of the styles."""
        parts = [share.source.sums(fit, extractor, layers) for share in self.shares]
        return {layer: mix([part[layer] for part in parts], self._weights) for layer in layers}

    def features(
        self, fit: Fit, extractor: Extractor, layers: Collection[str]
    ) -> list[tuple[float, Seen]]:
        """See `StyleSource.features`: the parts of all styles."""
        return [
            (weight * share, part)
            for style, weight in zip(self.shares, self._weights, strict=True)
            for share, part in style.source.features(fit, extractor, layers)
        ]

    def colours(self) -> Moments:
        """See `StyleSource.colours`; the covariance holds the styles' distance, too."""
        parts = [share.source.colours() for share in self.shares]
        mean = torch.zeros_like(parts[0].mean)
        second = torch.zeros_like(parts[0].covariance)
        for part, weight in zip(parts, self._weights, strict=True):
            mean += weight * part.mean
            second += weight * (part.covariance + _outer(part.mean))
        return Moments(mean, second - _outer(mean))


Style = Tensor | StyleSource | Sequence[StyleShare]
"""What a transfer takes for a style: a picture (1, 3, H, W), a source, or several with weights."""


def as_source(style: Style) -> StyleSource:
    """One source for what a transfer takes for a style; a style alone is not blended.

    Args:
        style: a picture, a source, or several with weights.

    Raises:
        UsageError: the weights of several do not go together.
    """
    if isinstance(style, StyleSource):
        return style
    blended = StyleBlend(shares_of(style))
    return blended.shares[0].source if len(blended.shares) == 1 else blended


def shares_of(style: Style) -> list[StyleShare]:
    """The styles that a transfer is given, each with its weight.

    Args:
        style: a picture, a source, or several with weights.
    """
    if isinstance(style, Tensor):
        return [StyleShare(source=PictureStyle(style))]
    if isinstance(style, StyleSource):
        return [StyleShare(source=style)]
    return list(style)


def varied(source: StyleSource, invariance: Sequence[Invariance]) -> StyleSource:
    """A style whose pictures are shown mirrored or turned, too.

    Args:
        source: the style.
        invariance: see `PictureStyle`; nothing leaves the source as it is.

    Raises:
        ConfigError: there is a saved style in it, which no more can be shown.
        UsageError: an unknown invariance.

    Example:
        >>> style = varied(PictureStyle(torch.rand(1, 3, 8, 8)), ["flip", "turn"])
        >>> style.invariance
        ('flip', 'turn')
    """
    if not invariance:
        return source
    if isinstance(source, PictureStyle):
        return source.replaced(invariance=invariance)
    if isinstance(source, StyleBlend):
        return StyleBlend(
            [
                StyleShare(source=varied(share.source, invariance), weight=share.weight)
                for share in source.shares
            ]
        )
    raise ConfigError(
        "a saved style cannot be mirrored or turned",
        "give its picture instead, or leave style.invariance empty",
    )


def _outer(mean: Tensor) -> Tensor:
    return mean.unsqueeze(2) * mean.unsqueeze(1)
