"""Attributions of many passes: SmoothGrad, integrated gradients, occlusion; Captum makes them.

Captum works on any function from pictures to numbers, which an extractor and a target are. It is
an optional part and is imported only when one of these is asked for.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from styler.attribution.settings import AttributeConfig, Baseline
from styler.attribution.targets import Target
from styler.errors import ConfigError
from styler.features import Extractor
from styler.images import resize

Progress = Callable[[int, int], None]
"""Called with the pictures that have passed through the network, and how many there will be."""

_BLUR = 16
"""A picture is blurred by shrinking it to this part of its sides and enlarging it again."""

_GREYS: dict[Baseline, float] = {"black": 0.0, "grey": 0.5, "white": 1.0}


def captum_attributions() -> Any:
    """The module ``captum.attr``.

    Raises:
        ConfigError: Captum is missing or does not work.
    """
    try:
        return importlib.import_module("captum.attr")
    except (ImportError, RuntimeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"smoothgrad, integrated and occlusion need Captum, which cannot be imported: {reason}",
            "pip install 'styler[attribution]', or use gradient, guided, deconv or gradcam",
        ) from error


def smooth_gradient(
    image: Tensor,
    extractor: Extractor,
    target: Target,
    config: AttributeConfig,
    progress: Progress | None = None,
) -> Tensor:
    """The mean gradient of noisy copies of a picture.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1], on the extractor's device.
        extractor: the network.
        target: the unit.
        config: `samples`, `noise`, the seed.
        progress: see `Progress`.

    Returns:
        (1, 3, H, W), activation per unit of sRGB.

    Raises:
        ConfigError: Captum is missing.

    References:
        Smilkov et al. 2017, arXiv 1706.03825, section 3. The noise is not clipped to [0, 1].
    """
    captum = captum_attributions()
    score = _counted(extractor, target, config.samples, progress)
    method = captum.NoiseTunnel(captum.Saliency(score))
    low, high = image.aminmax()
    devices = [image.device] if image.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(config.runtime.seed)
        found: Tensor = method.attribute(
            image.detach().clone().requires_grad_(),
            nt_type="smoothgrad",
            nt_samples=config.samples,
            nt_samples_batch_size=min(config.batch, config.samples),
            stdevs=config.noise * float(high - low),
            abs=False,
        )
    return found.detach()


def integrated_gradient(
    image: Tensor,
    extractor: Extractor,
    target: Target,
    config: AttributeConfig,
    progress: Progress | None = None,
) -> tuple[Tensor, float]:
    """Gradients along the straight way from a baseline to a picture, times the way.

    They sum to what the unit gains on the way, but for the error of the sum that stands for the
    integral.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1], on the extractor's device.
        extractor: the network.
        target: the unit.
        config: `steps`, `baseline`.
        progress: see `Progress`.

    Returns:
        (1, 3, H, W), in units of the activation; and the error of their sum as a share of the
        activation gained: |sum − (F(x) − F(baseline))| / |F(x) − F(baseline)|.

    Raises:
        ConfigError: Captum is missing.

    References:
        Sundararajan, Taly & Yan 2017, arXiv 1703.01365, eq. 1, Proposition 1 and section 5. The
        points are those of Gauss–Legendre quadrature, not evenly spaced.
    """
    captum = captum_attributions()
    method = captum.IntegratedGradients(_counted(extractor, target, config.steps, progress))
    start = baseline(image, extractor, "black" if config.baseline == "auto" else config.baseline)
    found: Tensor = method.attribute(
        image.detach(), baselines=start, n_steps=config.steps, internal_batch_size=config.batch
    )
    with torch.no_grad():
        ends = extractor(torch.cat([start, image.detach()]), [target.layer])[target.layer]
        begun, ended = target.of(ends).tolist()
    gained = ended - begun
    error = abs(float(found.double().sum()) - gained) / max(abs(gained), torch.finfo().tiny)
    return found.detach(), error


def occlusion(
    image: Tensor,
    extractor: Extractor,
    target: Target,
    config: AttributeConfig,
    progress: Progress | None = None,
) -> Tensor:
    """What a unit loses when a square hides a part of a picture.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1], on the extractor's device.
        extractor: the network.
        target: the unit.
        config: `window`, at most the shorter side; `stride`, `baseline`.
        progress: see `Progress`.

    Returns:
        (1, 1, H, W), the mean loss over the squares that cover a pixel; below 0 where what was
        hidden spoke against the unit.

    Raises:
        ConfigError: Captum is missing.

    References:
        Zeiler & Fergus 2013, arXiv 1311.2901, section 4.2, which has the unit's activation at the
        square's middle instead.
    """
    captum = captum_attributions()
    size = (image.shape[-2], image.shape[-1])
    window = min(config.window, *size)
    stride = min(config.stride, window)
    passes = square_count(size, config) + 1
    method = captum.Occlusion(_counted(extractor, target, passes, progress))
    cover = baseline(image, extractor, "grey" if config.baseline == "auto" else config.baseline)
    found: Tensor = method.attribute(
        image.detach(),
        sliding_window_shapes=(3, window, window),
        strides=(3, stride, stride),
        baselines=cover,
        perturbations_per_eval=config.batch,
    )
    return found[:, :1].detach()


def square_count(size: tuple[int, int], config: AttributeConfig) -> int:
    """How many squares `occlusion` hides one after the other.

    Args:
        size: (height, width) of the picture in pixels.
        config: `window`, `stride`.

    Example:
        >>> square_count((224, 224), AttributeConfig(window=32, stride=16))
        169
    """
    window = min(config.window, *size)
    stride = min(config.stride, window)
    return math.prod(math.ceil((side - window) / stride) + 1 for side in size)


def baseline(image: Tensor, extractor: Extractor, kind: Baseline) -> Tensor:
    """The absence of a picture.

    Args:
        image: (1, 3, H, W), sRGB in [0, 1].
        extractor: the network, whose mean colour "mean" is.
        kind: see `AttributeConfig.baseline`; "auto" is black.

    Returns:
        (1, 3, H, W).

    Example:
        >>> from styler.features import load_extractor
        >>> baseline(torch.zeros(1, 3, 1, 1), load_extractor("vgg-lite"), "grey").flatten()
        tensor([0.5000, 0.5000, 0.5000])
    """
    if kind == "blur":
        height, width = image.shape[-2:]
        small = max(1, round(height / _BLUR)), max(1, round(width / _BLUR))
        return resize(resize(image.detach(), small), (height, width))
    if kind == "mean":
        colour = torch.tensor(extractor.preprocessing.mean_colour).to(image)
        return colour.view(1, 3, 1, 1).expand_as(image).contiguous()
    return torch.full_like(image, _GREYS.get(kind, 0.0))


def _counted(
    extractor: Extractor, target: Target, total: int, progress: Progress | None
) -> Callable[[Tensor], Tensor]:
    """A target's activation as a function of pictures, (B, 3, H, W) to (B,), that tells of it."""
    done = 0

    def score(images: Tensor) -> Tensor:
        nonlocal done
        active = target.of(extractor(images, [target.layer])[target.layer])
        done += len(images)
        if progress:
            progress(min(done, total), total)
        return active

    return score
