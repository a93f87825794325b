"""Features and their sums of pictures of any size, without gradients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from math import prod

import torch
from torch import Tensor

from styler.errors import ConfigError
from styler.features import Extractor
from styler.losses import FeatureSums, accumulate
from styler.tiled_network import TiledNetwork

LARGE = 512 * 512
"""Pixels above which a picture is shown in tiles."""
SIDE = 512
"""Pixels of a tile's side: its features take some 100 MB, and its margin adds 5% of the work."""


def features_of(extractor: Extractor, image: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
    """What an extractor gives, in tiles where the picture is large.

    Args:
        extractor: the network.
        image: (B, 3, H, W) sRGB in [0, 1], on its device.
        layers: names or aliases.

    Returns:
        By canonical name: (B, C, H / stride, W / stride) in the extractor's precision.

    Raises:
        ConfigError: a layer is unknown.
        ImageError: the image is too small for a layer.
    """
    with torch.no_grad():
        network = _in_tiles(extractor, image, layers)
        if network is None:
            return extractor(image, layers)
        rows: dict[str, dict[int, list[Tensor]]] = defaultdict(lambda: defaultdict(list))
        for piece in network.forward(image, extractor.resolve(layers)):
            rows[piece.layer][piece.rows.start].append(piece.features)
        return {layer: _joined(rows[layer]) for layer in extractor.resolve(layers)}


def _joined(rows: dict[int, list[Tensor]]) -> Tensor:
    """One map of its tiles, which come row by row."""
    return torch.cat([torch.cat(row, dim=3) for row in rows.values()], dim=2)


def sums_of(
    extractor: Extractor,
    image: Tensor,
    layers: Collection[str],
    masks: Mapping[str, Tensor] | None = None,
) -> dict[str, FeatureSums]:
    """First and second sums of features over positions, in tiles where the picture is large.

    Args:
        extractor: the network.
        image: (B, 3, H, W) sRGB in [0, 1], on its device.
        layers: canonical names.
        masks: (1, 1, h, w) weights of positions by layer; layers without one count whole.

    Raises:
        ImageError: the image is too small for a layer.
        UsageError: a mask is not of its layer's size.
    """
    found: dict[str, FeatureSums] = {}
    masks = masks or {}
    with torch.no_grad():
        network = _in_tiles(extractor, image, layers)
        if network is None:
            features = extractor(image, layers)
            return {
                layer: accumulate(features[layer], masks.get(layer), first=True, second=True)
                for layer in layers
            }
        for piece in network.forward(image, layers):
            mask = piece.of(masks.get(piece.layer))
            own = accumulate(piece.features, mask, first=True, second=True)
            found[piece.layer] = found[piece.layer] + own if piece.layer in found else own
    return {layer: found[layer] for layer in layers}


def _in_tiles(extractor: Extractor, image: Tensor, layers: Collection[str]) -> TiledNetwork | None:
    """None for pictures that are better shown whole."""
    if prod(image.shape[-2:]) <= LARGE or not layers:
        return None
    try:
        return TiledNetwork(extractor, layers, SIDE)
    except ConfigError:
        return None
