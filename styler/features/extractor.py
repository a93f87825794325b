"""Loads a network as an extractor."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from styler.errors import DeviceError
from styler.features.base import Extractor, Pooling
from styler.features.convert import identify
from styler.features.locate import choose_backbone, find_weights, missing_weights
from styler.features.registry import BackboneSpec, get_backbone
from styler.features.vgg import VggExtractor
from styler.features.weights import load_weights

__all__ = ["Extractor", "Pooling", "load_extractor"]


def load_extractor(
    name: str = "auto",
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    pooling: Pooling = "max",
    weights: Path | None = None,
) -> Extractor:
    """Loads a network whose weights are at hand. Nothing is downloaded.

    Args:
        name: a registered network, ``torchvision:NAME``, or "auto" for the best one at hand; with
            a weights file given, "auto" is the network that the file is for.
        device: where to compute.
        dtype: torch.float32, torch.bfloat16 (faster; features of photographs differ by 0.4 to
            0.8%) or torch.float64.
        pooling: "max", or "average" to put average pooling in its place.
        weights: a weights file or a folder of them, looked at before all other places.

    Returns:
        The extractor.

    Raises:
        BackboneError: the network is unknown, its weights are missing or damaged, or it needs
            torchvision and that does not work.
        ConfigError: the precision or the pooling is unknown, or cannot be had of this network.
        DeviceError: there is no such device.

    Example:
        >>> extractor = load_extractor("vgg-lite", pooling="average")
        >>> extractor.channels("relu4_1"), extractor.stride("relu4_1")
        (256, 8)
    """
    place = _device(device)
    spec, path = _locate(name, place, weights)
    loaded = load_weights(spec, path)
    if spec.architecture == "vgg":
        return VggExtractor(spec, loaded, device=place, dtype=dtype, pooling=pooling)
    from styler.features.traced_extractor import TracedExtractor

    return TracedExtractor(spec, loaded, device=place, dtype=dtype, pooling=pooling)


def _device(device: str | torch.device) -> torch.device:
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise DeviceError(f"unknown device '{device}'", "use cpu, cuda or cuda:0") from error


def _locate(name: str, device: torch.device, weights: Path | None) -> tuple[BackboneSpec, Path]:
    if name != "auto":
        spec = get_backbone(name)
    elif weights is None or os.path.isdir(weights):
        return choose_backbone(device.type, weights)
    else:
        spec = identify(Path(weights))
    path = find_weights(spec, weights)
    if path is None:
        raise missing_weights(spec)
    return spec, path
