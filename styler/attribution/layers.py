"""Layers before a target: gradients at them, and the last that has places."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from styler.attribution.targets import Target
from styler.errors import ConfigError
from styler.features import Extractor
from styler.images import resize

_COPIES = ("CloneBackward0", "AliasBackward0")
"""Nodes of a graph that lie between a tensor and a copy of it."""


def gradient_at(score: Tensor, features: Tensor) -> Tensor | None:
    """The gradient of a score in features that came out of the same pass.

    An extractor may give a copy of what its network goes on with: the gradient is that of the
    original, which has the same values.

    Args:
        score: a scalar.
        features: of any shape.

    Returns:
        Of the features' shape; None where the score does not depend on them.
    """
    if not (score.requires_grad and features.requires_grad):
        return None
    edge = get_gradient_edge(features)
    while edge.node.name() in _COPIES:
        node, number = edge.node.next_functions[0]
        if node is None:
            return None
        edge = GradientEdge(node, number)
    found: Tensor | None
    (found,) = torch.autograd.grad(score, [edge], retain_graph=True, allow_unused=True)
    return found


def deepest_map(image: Tensor, extractor: Extractor, target: Target) -> str:
    """The last layer before a unit that still has places.

    That is the last whose map, of a square image of the network's native side, is larger than
    1×1, and on which the unit depends: what a network with global pooling or a fully connected
    end pools or flattens. Of a unit of a map it is the layer just before it, where Grad-CAM shows
    all places at which the channel is active, whichever the unit's.

    Args:
        image: (1, 3, H, W), any picture; it is looked at as a square.
        extractor: the network.
        target: the unit.

    Raises:
        ConfigError: there is none.

    Example:
        >>> from styler.attribution.targets import find_target
        >>> from styler.features import load_extractor
        >>> extractor, image = load_extractor("vgg-lite"), torch.rand(1, 3, 64, 64)
        >>> deepest_map(image, extractor, find_target("relu4_1:3", image, extractor))
        'conv4_1'
    """
    side = extractor.native_side
    pixels = resize(image.detach(), (side, side)).clone().requires_grad_()
    before = extractor.layers[: extractor.layers.index(target.layer)]
    features = extractor(pixels, [*before, target.layer])
    # Not at the unit's place, which this square may not have.
    score = replace(target, place=None).of(features[target.layer]).sum()
    for layer in reversed(before):
        maps = features[layer]
        has_places = maps.ndim == 4 and maps.shape[2] * maps.shape[3] > 1
        if has_places and gradient_at(score, maps) is not None:
            return layer
    raise ConfigError(
        f"{extractor.name} has no layer with places before {target.layer}",
        "name one with --layer, or use the method gradient",
    )
