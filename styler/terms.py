"""The terms of a style transfer: what its settings ask of pictures, as losses with targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from styler.config import ContentConfig, SmoothnessConfig, StyleConfig
from styler.features import Extractor
from styler.losses import (
    ContentLoss,
    FeatureLoss,
    FeatureSums,
    GaussianMmdStyleLoss,
    GramStyleLoss,
    HistogramStyleLoss,
    LaplacianLoss,
    LayerwiseLoss,
    MmdStyleLoss,
    MomentStyleLoss,
    NeighbourStyleLoss,
    RelaxedEmdLoss,
    SampleLoss,
    SelfSimilarityLoss,
    SlicedWassersteinLoss,
    StyleLoss,
    TotalVariationLoss,
    WassersteinStyleLoss,
    join_samples,
    thin_samples,
)
from styler.objective import FeatureTerm, ImageTerm, Term
from styler.styles.source import Fit, Seen, StyleSource
from styler.tiled_features import features_of

STYLE_LOSSES: Mapping[str, Callable[[StyleConfig], StyleLoss[Any] | SampleLoss]] = {
    "gram": lambda config: GramStyleLoss(config.normalization),
    "moments": lambda _: MomentStyleLoss(),
    "w2": lambda config: WassersteinStyleLoss(normalization=_relative(config)),
    "swd": lambda config: SlicedWassersteinLoss(_relative(config)),
    "histogram": lambda config: HistogramStyleLoss(_relative(config)),
    "mmd": lambda config: MmdStyleLoss(normalization=_relative(config)),
    "mmd-gaussian": lambda _: GaussianMmdStyleLoss(),
    "nn": lambda _: NeighbourStyleLoss(),
    "remd": lambda _: RelaxedEmdLoss(),
}
"""By the names of ``style.loss`` and ``style.also``."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A style, and where in the picture it is wanted.

    Args:
        name: of the term.
        weight: of the term.
        source: gives the style's statistics.
        fit: gives the size at which the style is seen.
        masks: position weights of the picture's features by layer; none counts all of it.
    """

    name: str
    weight: float
    source: StyleSource
    fit: Fit
    masks: Mapping[str, Tensor] = field(default_factory=dict)


def _relative(config: StyleConfig) -> str:
    """A normalisation of losses that have two."""
    return "none" if config.normalization == "none" else "relative"


def style_loss(config: StyleConfig) -> StyleLoss[Any] | SampleLoss:
    """The loss that ``style.loss`` and ``style.normalization`` name."""
    return STYLE_LOSSES[config.loss](config)


def style_losses(config: StyleConfig) -> dict[str, tuple[StyleLoss[Any] | SampleLoss, float]]:
    """The losses that ``style.loss`` and ``style.also`` name, with their relative weights."""
    weights = {config.loss: 1.0} | {name: w for name, w in config.also.items() if w}
    return {name: (STYLE_LOSSES[name](config), weight) for name, weight in weights.items()}


def style_terms(
    wanted: Wanted, config: StyleConfig, layers: Mapping[str, float], extractor: Extractor
) -> list[FeatureTerm]:
    """What is asked of the picture's style, with the style measured at a size.

    Args:
        wanted: the style, and where.
        config: names the losses.
        layers: weights by canonical name.
        extractor: the network.

    Returns:
        A term for each loss; those of ``style.also`` have its name behind the style's.

    Raises:
        ImageError, BackboneError, ConfigError: from the style.
    """
    losses = style_losses(config)
    measured = _Measured(wanted, layers, extractor)
    terms = []
    for name, (kind, weight) in losses.items():
        loss = LayerwiseLoss(kind, layers)
        terms.append(
            FeatureTerm(
                name=wanted.name if name == config.loss else f"{wanted.name} {name}",
                weight=wanted.weight * weight,
                loss=loss,
                targets=loss.prepare({layer: measured.of(kind, layer) for layer in layers}),
                masks=wanted.masks,
            )
        )
    return terms


class _Measured:
    """What losses are given of a style, measured when the first one asks for it."""

    def __init__(self, wanted: Wanted, layers: Mapping[str, float], extractor: Extractor) -> None:
        self._given = (wanted.fit, extractor, layers)
        self._source = wanted.source

    @cached_property
    def sums(self) -> dict[str, FeatureSums]:
        return self._source.sums(*self._given)

    @cached_property
    def features(self) -> list[tuple[float, Seen]]:
        return self._source.features(*self._given)

    def of(self, kind: StyleLoss[Any] | SampleLoss, layer: str) -> Any:
        """What a loss keeps of the style at a layer."""
        if isinstance(kind, StyleLoss):
            return kind.finalise(self.sums[layer])
        parts = [kind.represent(*part[layer]) for _, part in self.features]
        if len(parts) == 1:
            return parts[0]
        # Each by itself: a large picture is to have no more of the positions than its share.
        thinned = [thin_samples(part, kind.limit) for part in parts]
        return join_samples(thinned, [share for share, _ in self.features])


def content_loss(config: ContentConfig) -> FeatureLoss[Any]:
    """The loss on features that ``content.loss`` and ``content.normalization`` name."""
    if config.loss == "self-similarity":
        return SelfSimilarityLoss()
    return ContentLoss(config.normalization)


def content_term(
    weight: float,
    config: ContentConfig,
    image: Tensor,
    layers: Mapping[str, float],
    extractor: Extractor,
) -> Term:
    """What is asked to stay of the content.

    Args:
        weight: of the term.
        config: names the loss.
        image: (1, 3, H, W), the content at the size of the scale, on the extractor's device.
        layers: weights by canonical name; a loss of pixels reads none.
        extractor: the network.
    """
    if config.loss == "laplacian":
        edges = LaplacianLoss()
        wanted = edges.prepare(edges.represent(image))
        return ImageTerm(
            name="content",
            weight=weight,
            loss=lambda picture: edges.compare(edges.represent(picture), wanted),
        )
    loss = LayerwiseLoss(content_loss(config), layers)
    with torch.no_grad():
        targets = loss.prepare(loss.represent(features_of(extractor, image, layers)))
    return FeatureTerm(name="content", weight=weight, loss=loss, targets=targets)


def smoothness_term(weight: float, config: SmoothnessConfig, *, wrap: bool) -> ImageTerm:
    """What is asked of neighbouring pixels.

    Args:
        weight: of the term.
        config: names the norm.
        wrap: whether opposite borders are neighbours.
    """
    loss = TotalVariationLoss(config.norm, config.reduction, power=config.power, wrap=wrap)
    return ImageTerm(name="smoothness", weight=weight, loss=loss)
