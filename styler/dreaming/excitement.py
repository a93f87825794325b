"""What a dream climbs: layers that are to be excited, freely or as a guide picture excites them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from styler.errors import ConfigError
from styler.features import Extractor
from styler.objective import Features, Objective, Term

Reward = Literal["square", "mean"]
"""How the excitement of a layer is measured."""

VGG_BLOCK = "relu4_"
"""The deepest layer of this kind is excited in a VGG: its units see eyes, snouts and feathers."""
FURTHEST_STRIDE = 16
"""Stride of the layer that is excited in other networks, at most."""
WIDEST_FIELD = 120
"""Receptive field, in pixels, of that layer at most: the objects of a wider one do not fit an
octave of some hundred pixels."""
MATCHED_AT_ONCE = 2**24
"""Dot products with the guide that are held in memory at a time."""


@dataclass(frozen=True)
class LayerTerm:
    """The negative excitement of one layer.

    Args:
        layer: canonical name.
        weight: its factor in the total.
        reward: "square", the mean of the squares, whose gradient is that of the L2 objective of
            google/deepdream but for its scale; or "mean".

    Example:
        >>> term = LayerTerm("relu1_1", 1.0, "square")
        >>> term(torch.zeros(1, 3, 2, 2), {"relu1_1": torch.full((1, 2, 2, 2), 3.0)})
        tensor(-9.)
    """

    layer: str
    weight: float
    reward: Reward = "square"

    @property
    def name(self) -> str:
        """The layer's."""
        return self.layer

    @property
    def layers(self) -> frozenset[str]:
        """The one layer."""
        return frozenset((self.layer,))

    def __call__(self, image: Tensor, features: Features) -> Tensor:
        """The negative mean over all positions and channels."""
        feature = _wide(features[self.layer])
        return -(feature.square() if self.reward == "square" else feature).mean()


@dataclass(frozen=True, eq=False)
class GuideTerm:
    """The negative match of each position with what matches it best in a guide picture.

    Args:
        layer: canonical name.
        weight: its factor in the total.
        guide: (C, N), the layer's feature at each of N positions of the guide.

    Example:
        >>> term = GuideTerm("pool1", 1.0, torch.eye(2))
        >>> feature = torch.tensor([3.0, 1.0]).view(1, 2, 1, 1)
        >>> term(torch.zeros(1, 3, 2, 2), {"pool1": feature})
        tensor(-1.5000)

    References:
        The guided objective of the notebook in google/deepdream: the gradient at a position is
        the guide's feature with the largest dot product. Here it is divided by the number of
        values, as in `LayerTerm`.
    """

    layer: str
    weight: float
    guide: Tensor

    @property
    def name(self) -> str:
        """The layer's."""
        return self.layer

    @property
    def layers(self) -> frozenset[str]:
        """The one layer."""
        return frozenset((self.layer,))

    def __call__(self, image: Tensor, features: Features) -> Tensor:
        """The negative mean of the best products."""
        feature = _wide(features[self.layer])[0].flatten(1)
        with torch.no_grad():
            positions = max(1, MATCHED_AT_ONCE // self.guide.shape[1])
            parts = torch.split(feature.T, positions)
            best = torch.cat([(part @ self.guide).argmax(1) for part in parts])
        return -(feature * self.guide[:, best]).mean()


def excitement(
    layers: Mapping[str, float],
    reward: Reward,
    guide: Mapping[str, Tensor] | None = None,
) -> Objective:
    """The objective of a dream.

    Args:
        layers: canonical name → weight.
        reward: of a layer, without a guide.
        guide: layer → (1, C, h, w), the guide's features; None for a free dream.
    """
    terms: Sequence[Term]
    if guide is None:
        terms = [LayerTerm(layer, weight, reward) for layer, weight in layers.items()]
    else:
        seen = {layer: _wide(feature)[0].flatten(1) for layer, feature in guide.items()}
        terms = [GuideTerm(layer, weight, seen[layer]) for layer, weight in layers.items()]
    return Objective(terms)


def _wide(feature: Tensor) -> Tensor:
    """In float32 at least, whatever the network computes in."""
    return feature.to(torch.promote_types(feature.dtype, torch.float32))


def default_layer(extractor: Extractor) -> str:
    """The layer that is excited when none is named.

    The last `VGG_BLOCK` in a VGG. Elsewhere the last of those with the most channels among the
    layers that have a map of a stride of at most `FURTHEST_STRIDE` and a receptive field of at
    most `WIDEST_FIELD`; where no field is known, the middle one of those with such a stride.

    Raises:
        ConfigError: no layer has a map.

    Example:
        >>> from styler.features import load_extractor
        >>> default_layer(load_extractor("vgg-lite"))
        'relu4_3'
    """
    block = [name for name in extractor.layers if name.startswith(VGG_BLOCK)]
    if block:
        return block[-1]
    maps = [name for name in extractor.layers if _has_map(extractor, name)]
    if not maps:
        raise ConfigError(
            f"no layer of {extractor.name} has a map of at most stride {FURTHEST_STRIDE}",
            "dream with a convolutional network such as vgg-lite",
        )
    narrow = [name for name in maps if _is_narrow(extractor, name)]
    if not narrow:
        return maps[len(maps) // 2]
    return max(reversed(narrow), key=extractor.channels)


def _has_map(extractor: Extractor, layer: str) -> bool:
    try:
        return extractor.stride(layer) <= FURTHEST_STRIDE
    except ConfigError:  # its size is always the same
        return False


def _is_narrow(extractor: Extractor, layer: str) -> bool:
    field = extractor.receptive_field(layer)
    return field is not None and max(field.y.size, field.x.size) <= WIDEST_FIELD
