"""One method of attribution applied to one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from styler.attribution.cam import grad_cam
from styler.attribution.gradients import pixel_gradient
from styler.attribution.layers import deepest_map
from styler.attribution.sampled import Progress, integrated_gradient, occlusion, smooth_gradient
from styler.attribution.settings import AttributeConfig, check_config
from styler.attribution.targets import Target, find_target
from styler.errors import ConfigError, did_you_mean
from styler.features import Extractor
from styler.images import check_picture
from styler.runtime import memory_errors_explained

Method = Literal[
    "gradient", "smoothgrad", "integrated", "guided", "deconv", "gradcam", "gradcam++", "occlusion"
]
METHODS: tuple[Method, ...] = get_args(Method)
"""All methods."""

CAPTUM_METHODS: frozenset[Method] = frozenset({"smoothgrad", "integrated", "occlusion"})
"""Those that Captum is needed for."""


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """Where in a picture a unit's activation comes from.

    Args:
        method: by which it was found.
        map: (1, 1, H, W) float32 on the CPU, at the picture's size: of gradients the largest
            absolute value of the three channels, of integrated gradients their sum, of Grad-CAM
            the layer's map enlarged, of occlusion what is lost.
        raw: (1, 3, H, W), the gradients themselves; None for the other methods.
        signed: whether what is below 0 in `map` speaks against the unit.
        target: the unit and its activation.
        layer: of Grad-CAM; that of whose places a deconvnet shows the strongest, of a target that
            has no place of its own; None for the other methods.
        error: of integrated gradients, by which share their sum differs from what the unit gains
            from the baseline to the picture; None for the other methods.
    """

    method: Method
    map: Tensor
    raw: Tensor | None
    signed: bool
    target: Target
    layer: str | None = None
    error: float | None = None


def attribute(
    image: Tensor,
    extractor: Extractor,
    target: str | Target | None = None,
    method: Method = "gradcam",
    config: AttributeConfig | None = None,
    *,
    progress: Progress | None = None,
) -> Attribution:
    """Where in a picture a unit's activation comes from.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1], at the size at which the network is to see it, on the
            extractor's device.
        extractor: the network. Gradients want float32, or float64.
        target: a class or a unit, see `find_target`; None for the class with the highest score.
        method: one of `METHODS`.
        config: settings of the methods; None for the defaults. Its backbone is not looked at.
        progress: called by the methods that take many passes, with the pictures that have passed
            through the network, and how many there will be.

    Raises:
        ConfigError: the method, the target or the layer is unknown or does not fit, a setting is
            out of range, or Captum is missing.
        UsageError: the image is no picture.
        ImageError: the image is too small for the layer.
        DeviceError: the image is on another device, or memory ran out.

    Example:
        >>> from styler.features import load_extractor
        >>> found = attribute(torch.rand(1, 3, 64, 48), load_extractor("vgg-lite"), "relu4_1:37")
        >>> found.map.shape, found.layer
        (torch.Size([1, 1, 64, 48]), 'conv4_1')

    References:
        Of each method at the function that does it: `styler.attribution.gradients`, `cam` and
        `sampled`. The map of a gradient is that of Simonyan, Vedaldi & Zisserman 2013,
        arXiv 1312.6034, section 3.1.
    """
    if method not in METHODS:
        raise ConfigError(f"unknown method '{method}'", did_you_mean(method, METHODS))
    check_picture("image", image)
    settings = config or AttributeConfig()
    check_config(settings)
    with torch.enable_grad(), memory_errors_explained(extractor.device):
        unit = target if isinstance(target, Target) else find_target(target, image, extractor)
        if method in ("gradcam", "gradcam++"):
            return _of_layer(image, extractor, unit, method, settings)
        return _of_pixels(image, extractor, unit, method, settings, progress)


def _of_layer(
    image: Tensor, extractor: Extractor, unit: Target, method: Method, settings: AttributeConfig
) -> Attribution:
    if settings.layer is None:
        layer = deepest_map(image, extractor, unit)
    else:
        (layer,) = extractor.resolve([settings.layer])
    coarse = grad_cam(image, extractor, unit, layer, plus=method == "gradcam++")
    size = (image.shape[-2], image.shape[-1])
    return Attribution(
        method=method,
        map=_plain(F.interpolate(coarse, size, mode="bilinear", align_corners=False)),
        raw=None,
        signed=False,
        target=unit,
        layer=layer,
    )


def _of_pixels(
    image: Tensor,
    extractor: Extractor,
    unit: Target,
    method: Method,
    settings: AttributeConfig,
    progress: Progress | None,
) -> Attribution:
    layer = error = None
    if method == "occlusion":
        lost = _plain(occlusion(image, extractor, unit, settings, progress))
        return Attribution(method=method, map=lost, raw=None, signed=True, target=unit)
    if method == "integrated":
        raw, error = integrated_gradient(image, extractor, unit, settings, progress)
    elif method == "smoothgrad":
        raw = smooth_gradient(image, extractor, unit, settings, progress)
    elif method == "deconv":
        layer = None if isinstance(unit.place, tuple) else deepest_map(image, extractor, unit)
        raw = pixel_gradient(image, extractor, unit, "deconv", layer=layer)
    else:
        raw = pixel_gradient(image, extractor, unit, "guided" if method == "guided" else None)
    summed = error is not None
    return Attribution(
        method=method,
        map=_plain(raw.sum(1, keepdim=True) if summed else raw.abs().amax(1, keepdim=True)),
        raw=_plain(raw),
        signed=summed,
        target=unit,
        layer=layer,
        error=error,
    )


def _plain(values: Tensor) -> Tensor:
    return values.detach().to("cpu", torch.float32)
