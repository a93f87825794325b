"""Where the statistics of a style come from: one picture, or several styles blended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from styler.errors import UsageError
from styler.features import Extractor
from styler.images import resize
from styler.losses import FeatureSums, Moments, blend
from styler.styles.cache import StyleCache, cache_key
from styler.tiled_features import sums_of

Size = tuple[int, int]
"""(height, width) in pixels."""
Fit = Callable[[Size], Size]
"""From a style picture's own size to the size at which it is seen."""


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

    def colours(self) -> Moments:
        """Mean (1, 3) and covariance (1, 3, 3) of the style's pixels at its own size, sRGB."""
        ...


class PictureStyle:
    """The style of a picture, which is shown to the network at each size.

    Args:
        pixels: (1, 3, H, W) sRGB in [0, 1].
        digest: SHA-256 of the picture's file, by which a cache knows it.
        cache: where statistics are kept, for a picture with a digest.

    Raises:
        UsageError: a tensor of another shape.

    Example:
        >>> from styler.features import load_extractor
        >>> style = PictureStyle(torch.rand(1, 3, 64, 48))
        >>> sums = style.sums(lambda own: (32, 24), load_extractor("vgg-lite"), ["relu2_1"])
        >>> sums["relu2_1"].count
        tensor([192.])
    """

    def __init__(
        self, pixels: Tensor, *, digest: str | None = None, cache: StyleCache | None = None
    ) -> None:
        check_picture("style", pixels)
        self.pixels = pixels
        self.digest = digest
        self.cache = cache

    @property
    def size(self) -> Size:
        """(height, width) of the picture."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    def check(self, fit: Fit, extractor: Extractor, layers: Collection[str]) -> None:
        """See `StyleSource.check`."""
        extractor.check_size(fit(self.size), layers)

    def sums(
        self, fit: Fit, extractor: Extractor, layers: Collection[str]
    ) -> dict[str, FeatureSums]:
        """See `StyleSource.sums`."""
        size = fit(self.size)
        if self.cache is None or self.digest is None:
            return measure(self.pixels, size, extractor, layers)
        known = self.cache.recall(
            cache_key(self.digest, size, extractor, layers),
            {layer: extractor.channels(layer) for layer in layers},
            lambda: measure(self.pixels, size, extractor, layers),
        )
        return {layer: known[layer].map(lambda t: t.to(extractor.device)) for layer in layers}

    def colours(self) -> Moments:
        """See `StyleSource.colours`."""
        return colours_of(self.pixels)


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
    if isinstance(style, Tensor):
        return PictureStyle(style)
    if isinstance(style, StyleSource):
        return style
    blended = StyleBlend(style)
    return blended.shares[0].source if len(blended.shares) == 1 else blended


def measure(
    pixels: Tensor, size: Size, extractor: Extractor, layers: Collection[str]
) -> dict[str, FeatureSums]:
    """The sums of a picture's features at a size: all that any style loss needs.

    Args:
        pixels: (1, 3, H, W) sRGB in [0, 1].
        size: (height, width) at which the network sees it.
        extractor: the network.
        layers: canonical names of its layers.

    Returns:
        By layer, with first and second sums, on the extractor's device.

    Raises:
        ImageError: the size is too small for a layer.
    """
    return sums_of(extractor, resize(pixels, size).to(extractor.device), layers)


def mix(parts: Sequence[FeatureSums], weights: Sequence[float]) -> FeatureSums:
    """Blend sums, with the weighted mean of their counts.

    Statistics that are divided by the count do not care for it; the Gram matrix that is not is then
    of the size that those of the parts have.

    Args:
        parts: of styles or scales, batch 1.
        weights: how much of each, 0 or more, with the sum 1.

    Returns:
        The sums of one picture.
    """
    count = sum(w * float(part.count) for part, w in zip(parts, weights, strict=True))
    return blend(parts, weights).map(lambda tensor: tensor * count)


def colours_of(pixels: Tensor) -> Moments:
    """Mean and covariance of a picture's colours, divided by the number of pixels less one.

    Args:
        pixels: (1, 3, H, W) sRGB in [0, 1].

    Returns:
        Mean (1, 3) and covariance (1, 3, 3), on the CPU.
    """
    colours = pixels[0].flatten(1).cpu()
    return Moments(colours.mean(1)[None], torch.cov(colours)[None])


def check_picture(name: str, picture: Tensor) -> None:
    """Make sure that a tensor is a picture.

    Raises:
        UsageError: it has another shape or type; `name` says what it is for.
    """
    if picture.ndim != 4 or picture.shape[:2] != (1, 3) or not picture.is_floating_point():
        raise UsageError(
            f"{name} is {picture.dtype} {tuple(picture.shape)}, expected float (1, 3, H, W)",
            "styler.images.read_picture(path).pixels has the right form",
        )


def _outer(mean: Tensor) -> Tensor:
    return mean.unsqueeze(2) * mean.unsqueeze(1)
