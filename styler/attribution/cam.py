"""Grad-CAM and Grad-CAM++: where in a layer a unit's evidence lies."""

from __future__ import annotations

import torch
from torch import Tensor

from styler.attribution.layers import gradient_at
from styler.attribution.targets import Target
from styler.errors import ConfigError
from styler.features import Extractor


def grad_cam(
    image: Tensor, extractor: Extractor, target: Target, layer: str, *, plus: bool = False
) -> Tensor:
    """Grad-CAM, or Grad-CAM++.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1], on the extractor's device.
        extractor: the network.
        target: the unit.
        layer: canonical name of a layer before it that has places.
        plus: Grad-CAM++.

    Returns:
        (1, 1, h, w), 0 and more, at the layer's places.

    Raises:
        ConfigError: the layer has no places, or the target does not depend on it.

    Example:
        >>> from styler.attribution.targets import find_target
        >>> from styler.features import load_extractor
        >>> extractor, image = load_extractor("vgg-lite"), torch.rand(1, 3, 64, 64)
        >>> target = find_target("relu5_1:3", image, extractor)
        >>> grad_cam(image, extractor, target, "relu4_1").shape
        torch.Size([1, 1, 8, 8])

    References:
        Selvaraju et al. 2016, arXiv 1610.02391, eq. 1 and 2; Chattopadhyay et al. 2017,
        arXiv 1710.11063, eq. 5, 10 and 19.
    """
    pixels = image.detach().clone().requires_grad_()
    features = extractor(pixels, [layer, target.layer])
    maps = features[layer]
    if maps.ndim != 4 or maps.shape[2] * maps.shape[3] == 1:
        raise ConfigError(
            f"{layer} has no places in this picture", "choose a --layer nearer to the input"
        )
    gradient = gradient_at(target.of(features[target.layer]).sum(), maps)
    if gradient is None:
        raise ConfigError(f"{target.name} does not depend on {layer}", "choose a --layer before it")
    wide = torch.promote_types(maps.dtype, torch.float32)
    maps, gradient = maps.detach().to(wide), gradient.to(wide)
    return combined(maps, plus_weights(maps, gradient) if plus else gradient.mean((2, 3)))


def combined(maps: Tensor, weights: Tensor) -> Tensor:
    """The positive part of a weighted sum of maps.

    Args:
        maps: (B, C, h, w).
        weights: (B, C).

    Returns:
        (B, 1, h, w).
    """
    return (maps * weights[:, :, None, None]).sum(1, keepdim=True).clamp_min(0)


def plus_weights(maps: Tensor, gradient: Tensor) -> Tensor:
    """Weights of Grad-CAM++, for the exponential of a score.

    With the gradient g of the score S, the first three derivatives of exp(S) by an activation are
    exp(S) times g, g² and g³, so that alpha = g² / (2 g² + g³ · sum of the map), and a weight is
    the sum of alpha times the positive part of g. The factor exp(S), alike in all of them, is left
    out.

    Args:
        maps: (B, C, h, w), activations.
        gradient: of the score, alike.

    Returns:
        (B, C).

    Example:
        >>> maps = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
        >>> gradient = torch.tensor([0.5, 0.0]).view(1, 1, 1, 2)
        >>> plus_weights(maps, gradient)  # 0.25 / (0.5 + 0.125 · 4) · 0.5
        tensor([[0.1250]])

    References:
        Chattopadhyay et al. 2017, arXiv 1710.11063, eq. 5 and 19. Their maps are those after a
        ReLU; of others the positive values are summed, for which alpha is defined, too.
    """
    positive = gradient.clamp_min(0)  # alpha · positive, where g² cancels out
    total = maps.clamp_min(0).sum((2, 3), keepdim=True)
    return (positive / (2 + positive * total)).sum((2, 3))
