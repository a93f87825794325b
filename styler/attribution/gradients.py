"""Gradients of a unit in the pixels: plain, guided, and through a deconvnet."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor

from styler.attribution.layers import gradient_at
from styler.attribution.targets import Target
from styler.errors import ConfigError
from styler.features import Extractor
from styler.features.rectifiers import ReluRule, Rule, relu_rule


def pixel_gradient(
    image: Tensor,
    extractor: Extractor,
    target: Target,
    rule: Rule | None = None,
    *,
    layer: str | None = None,
) -> Tensor:
    """How the pixels would have to change for a unit to be more active.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1], on the extractor's device.
        extractor: the network.
        target: the unit.
        rule: how gradients pass ReLUs, see `styler.features.rectifiers.relu_rule`; None for the
            derivative.
        layer: canonical name of a layer before the target that has places. The gradient then goes
            back from one place of it alone: the one that counts most for the target, by the sum of
            activation times gradient. None for all there is.

    Returns:
        (1, 3, H, W), activation per unit of sRGB.

    Raises:
        ConfigError: a rule for ReLUs is wanted of a network without any.

    Example:
        >>> from styler.attribution.targets import find_target
        >>> from styler.features import load_extractor
        >>> extractor, image = load_extractor("vgg-lite"), torch.rand(1, 3, 32, 32)
        >>> target = find_target("relu2_1:3", image, extractor)
        >>> pixel_gradient(image, extractor, target, "guided").shape
        torch.Size([1, 3, 32, 32])

    References:
        Simonyan, Vedaldi & Zisserman 2013, arXiv 1312.6034, section 3 (the gradient); Springenberg
        et al. 2014, arXiv 1412.6806, section 3.4 (guided); Zeiler & Fergus 2013, arXiv 1311.2901,
        section 2.1 (deconv). The deconvnet starts from a one at the unit, not from its activation,
        which is a factor. It is made for single activations of a map, all others set to zero: from
        all places at once, as below global pooling, often nothing comes through its ReLUs, which
        is what `layer` is for.
    """
    pixels = image.detach().clone().requires_grad_()
    block = nullcontext() if rule is None else relu_rule(rule)
    with block:
        features = extractor(pixels, [target.layer, *([layer] if layer else [])])
    score = target.of(features[target.layer]).sum()
    if isinstance(block, ReluRule) and not block.met:
        raise ConfigError(
            f"{extractor.name} has no ReLU before {target.layer}: {rule} is about ReLUs",
            "use the method gradient or smoothgrad",
        )
    if layer is None:
        (gradient,) = torch.autograd.grad(score, pixels)
        return gradient
    maps = features[layer]
    (gradient,) = torch.autograd.grad(maps, pixels, _at_strongest(score, maps))
    return gradient


def _at_strongest(score: Tensor, maps: Tensor) -> Tensor:
    """The gradient of a score in maps, (1, C, h, w), at the place that counts most; 0 elsewhere."""
    above = gradient_at(score, maps)
    if above is None:
        return torch.zeros_like(maps)
    counts = (maps.detach() * above).sum(1, keepdim=True)
    return above * (counts == counts.amax())
