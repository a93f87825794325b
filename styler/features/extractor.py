"""Loads a network as an extractor."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import torch
from torch import nn

from styler.errors import BackboneError, ConfigError, DeviceError
from styler.features.base import Extractor, Padding, Pooling, check_options
from styler.features.convert import identify
from styler.features.ensemble import EnsembleExtractor, network_names
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
    padding: Padding = "zeros",
    rescale_pooling: bool = False,
    weights: Path | None = None,
) -> Extractor:
    """Loads a network whose weights are at hand. Nothing is downloaded.

    Args:
        name: a registered network, ``torchvision:NAME``, ``timm:NAME``, a function that gives an
            ``nn.Module`` (``package.module:factory``, ``path/to/file.py:factory``), or "auto" for
            the best one at hand; with a weights file given, "auto" is the network that the file
            is for. Several, with commas between them, are an
            `styler.features.ensemble.EnsembleExtractor`.
        device: where to compute.
        dtype: torch.float32, torch.bfloat16 (faster; features of photographs differ by 0.4 to
            0.8%) or torch.float64.
        pooling: "max", "average" to put average pooling in its place, "l2" for the root of the
            mean square (VGG networks only), or "native" for what the network was trained with.
        padding: what convolutions see beyond the border; for VGG networks. See
            `styler.features.vgg.VggExtractor` for seamless textures.
        rescale_pooling: multiply what average or l2 pooling gives, to make it about as large as
            what max pooling gives; for VGG networks, see `styler.features.pooling.RESCALE`.
        weights: a weights file or a folder of them, looked at before all other places; for a
            function, a file of its network's tensors, which has them already otherwise. A folder
            serves several networks, a file does not.

    Returns:
        The extractor.

    Raises:
        BackboneError: the network is unknown, its weights are missing or damaged, the library
            that it needs does not work, or a function fails to give a network.
        ConfigError: the precision, the pooling or the padding is unknown, or cannot be had of
            this network.
        DeviceError: there is no such device.

    Example:
        >>> extractor = load_extractor("vgg-lite", pooling="average")
        >>> extractor.channels("relu4_1"), extractor.stride("relu4_1")
        (256, 8)
    """
    place = _device(device)
    check_options(place, dtype, pooling, padding)
    names = network_names(name)
    _check_file(weights, names)
    found = [
        _load(
            each,
            weights,
            device=place,
            dtype=dtype,
            pooling=pooling,
            padding=padding,
            rescale_pooling=rescale_pooling,
        )
        for each in names
    ]
    return found[0] if len(found) == 1 else EnsembleExtractor(found)


def _check_file(weights: Path | None, names: list[str]) -> None:
    if weights is not None and len(names) > 1 and os.path.isfile(os.path.expanduser(weights)):
        raise ConfigError(
            f"{weights} is one file, {','.join(names)} are {len(names)} networks",
            "give a folder that holds the weights of each, or leave --weights out",
        )


def _load(
    name: str,
    weights: Path | None,
    *,
    device: torch.device,
    dtype: torch.dtype,
    pooling: Pooling,
    padding: Padding,
    rescale_pooling: bool,
) -> Extractor:
    """One network."""
    if is_reference(name):
        _check_plain(name, padding, rescale_pooling)
        return _load_reference(name, device, dtype, pooling, weights)
    spec, path = _locate(name, device, weights)
    if spec.architecture == "vgg":
        return VggExtractor(
            spec,
            load_weights(spec, path),
            device=device,
            dtype=dtype,
            pooling=pooling,
            padding=padding,
            rescale_pooling=rescale_pooling,
        )
    _check_plain(spec.name, padding, rescale_pooling)
    from styler.features.networks import build_network, fill

    model = build_network(spec)
    loaded = load_weights(spec, path, model)
    return _open(spec, fill(model, loaded.state), loaded.sha256, device, dtype, pooling)


def _check_plain(name: str, padding: Padding, rescale_pooling: bool) -> None:
    """Makes sure that nothing is wanted of a network that only VGG networks do.

    In others convolutions of many sizes pad in many ways, and poolings overlap and pad, too.
    """
    if padding != "zeros":
        raise ConfigError(
            f"{name} cannot pad by {padding}, which is for VGG networks",
            "use padding zeros, or --backbone vgg-lite",
        )
    if rescale_pooling:
        raise ConfigError(
            f"pooling of {name} cannot be rescaled, which is for VGG networks",
            "set backbone.rescale_pooling to false, or use --backbone vgg-lite",
        )


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
