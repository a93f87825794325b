"""Loads a network as an extractor."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import torch
from torch import nn

from styler.errors import BackboneError, DeviceError
from styler.features.base import Extractor, Pooling, check_options
from styler.features.convert import identify
from styler.features.locate import choose_backbone, find_weights, missing_weights
from styler.features.probing import is_memory_error
from styler.features.registry import BackboneSpec, Preprocessing, get_backbone, is_reference
from styler.features.vgg import VggExtractor
from styler.features.weights import load_weights

__all__ = ["Extractor", "Pooling", "extractor_of", "load_extractor"]


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
        name: a registered network, ``torchvision:NAME``, ``timm:NAME``, a function that gives an
            ``nn.Module`` (``package.module:factory``, ``path/to/file.py:factory``), or "auto" for
            the best one at hand; with a weights file given, "auto" is the network that the file
            is for.
        device: where to compute.
        dtype: torch.float32, torch.bfloat16 (faster; features of photographs differ by 0.4 to
            0.8%) or torch.float64.
        pooling: "max", "average" to put average pooling in its place, or "native" for the one of
            the two that the network was trained with.
        weights: a weights file or a folder of them, looked at before all other places; for a
            function, a file of its network's tensors, which has them already otherwise.

    Returns:
        The extractor.

    Raises:
        BackboneError: the network is unknown, its weights are missing or damaged, the library
            that it needs does not work, or a function fails to give a network.
        ConfigError: the precision or the pooling is unknown, or cannot be had of this network.
        DeviceError: there is no such device.

    Example:
        >>> extractor = load_extractor("vgg-lite", pooling="average")
        >>> extractor.channels("relu4_1"), extractor.stride("relu4_1")
        (256, 8)
    """
    place = _device(device)
    check_options(place, dtype, pooling)
    if is_reference(name):
        return _load_reference(name, place, dtype, pooling, weights)
    spec, path = _locate(name, place, weights)
    if spec.architecture == "vgg":
        loaded = load_weights(spec, path)
        return VggExtractor(spec, loaded, device=place, dtype=dtype, pooling=pooling)
    from styler.features.networks import build_network, fill

    model = build_network(spec)
    loaded = load_weights(spec, path, model)
    return _open(spec, fill(model, loaded.state), loaded.sha256, place, dtype, pooling)


def extractor_of(
    module: nn.Module,
    *,
    name: str | None = None,
    preprocessing: Preprocessing | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    pooling: Pooling = "max",
) -> Extractor:
    """Opens any network that is at hand as a module.

    Args:
        module: from normalised images (B, C, H, W), where C is 3 or 1, to a tensor or a table of
            tensors. It is copied, and stays as it is.
        name: for messages; None for the name of its class.
        preprocessing: how it wants its input. None for its attribute ``preprocessing``, when that
            is a `Preprocessing`, else `IMAGENET`, or `GREY` for one input channel.
        device: where to compute.
        dtype: torch.float32, torch.bfloat16 or torch.float64.
        pooling: "max" or "native" as the network is, or "average".

    Returns:
        The extractor. Its `notice` tells whether the network could be traced.

    Raises:
        BackboneError: the network takes neither one nor three channels or no image of a usual
            size, or cannot be copied.
        ConfigError: the precision or the pooling is unknown, or cannot be had of this network.
        DeviceError: there is no such device.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True))
        >>> extractor = extractor_of(net, name="mine")
        >>> extractor.layers
        ('0', '1', 'logits')
    """
    from styler.features.networks import state_sha256
    from styler.features.references import own_spec, preprocessing_of

    place = _device(device)
    check_options(place, dtype, pooling)
    label = name or type(module).__name__
    wanted = preprocessing or preprocessing_of(module, label)
    try:
        model = copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:
        if is_memory_error(error):
            raise
        reason = str(error).partition("\n")[0]
        raise BackboneError(
            f"{label} cannot be copied: {reason}",
            "give a function that builds it to load_extractor instead",
        ) from error
    spec = own_spec(label, wanted)
    return _open(spec, model, state_sha256(model), place, dtype, pooling)


def _load_reference(
    name: str, device: torch.device, dtype: torch.dtype, pooling: Pooling, weights: Path | None
) -> Extractor:
    from styler.features.networks import fill, state_sha256
    from styler.features.references import own_network

    model, spec = own_network(name)
    path = None if weights is None else find_weights(spec, weights)
    if path is not None:
        loaded = load_weights(spec, path, model)
        return _open(spec, fill(model, loaded.state), loaded.sha256, device, dtype, pooling)
    if weights is not None:
        raise BackboneError(f"{weights} is a folder", f"name the file that holds {name}'s weights")
    return _open(spec, model, state_sha256(model), device, dtype, pooling)


def _open(
    spec: BackboneSpec,
    model: nn.Module,
    sha256: str,
    device: torch.device,
    dtype: torch.dtype,
    pooling: Pooling,
) -> Extractor:
    """An extractor of a module with its weights, which becomes the extractor's own."""
    from styler.features.hooked_extractor import HookedExtractor
    from styler.features.traced import Untraceable
    from styler.features.traced_extractor import TracedExtractor

    try:
        return TracedExtractor(spec, model, sha256, device=device, dtype=dtype, pooling=pooling)
    except Untraceable as untraceable:
        reason = str(untraceable)
    return HookedExtractor(spec, model, sha256, reason, device=device, dtype=dtype, pooling=pooling)


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
