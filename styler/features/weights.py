"""Weights of a network: read from a file, and checked before they are believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from styler.errors import BackboneError
from styler.features.locate import present_weights
from styler.features.network import vgg_ops
from styler.features.registry import TIMM_PREFIX, BackboneSpec, torchvision_digest
from styler.features.tensor_files import digest_file, file_sha256, read_tensors


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """The contents of a weights file.

    Attributes:
        state: tensors as stored, under the network's own names (``conv1_1.weight`` for VGG).
        sha256: digest of the file.
        path: the file.
        metadata: what the file says about itself.
    """

    state: Mapping[str, Tensor]
    sha256: str
    path: Path
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WeightReport:
    """What is known of one weights file.

    Attributes:
        path: the file.
        sha256: its digest.
        status: "ok" (as expected), "unknown" (readable, nothing to compare with), "mismatch"
            (not the expected digest) or "damaged" (unreadable or not this network's).
        problem: what is wrong, None when nothing is.
    """

    path: Path
    sha256: str
    status: Literal["ok", "unknown", "mismatch", "damaged"]
    problem: str | None = None


def load_weights(spec: BackboneSpec, path: Path, model: nn.Module | None = None) -> LoadedWeights:
    """Reads and checks the weights of a network.

    A file under a registered name, or one with a ``.sha256`` file beside it, must have the digest
    given there. ``.pth`` files go through torch's restricted unpickler, which runs no code of
    theirs, and the classifier of a VGG network is left on disk.

    Args:
        spec: the network.
        path: a ``.safetensors`` or ``.pth`` file with torchvision's or timm's keys; those of VGG
            networks may also be ``conv1_1.weight`` and so on.
        model: the network, where it has been built already (other than VGG).

    Returns:
        Its tensors, in the file's precision.

    Raises:
        BackboneError: the file is missing, damaged, tampered with, or another network's.

    Example:
        >>> from styler.features.locate import find_weights
        >>> from styler.features.registry import get_backbone
        >>> spec = get_backbone("vgg-lite")
        >>> loaded = load_weights(spec, find_weights(spec))
        >>> loaded.state["conv1_1.weight"].shape
        torch.Size([32, 3, 3, 3])
    """
    digest = file_sha256(path)
    expected = _expected_digest(spec, path)
    if expected is not None and not digest.startswith(expected):
        raise BackboneError(
            f"{path} is not what it should be: sha256 {expected[:8]}… expected, got {digest[:8]}…",
            "get it again; if you changed it on purpose, give it another name",
        )
    tensors, metadata = read_tensors(path)
    _check_owner(spec, metadata, path)
    state = network_state(spec, tensors, path, model)
    return LoadedWeights(state=state, sha256=digest, path=path, metadata=metadata)


def verify_weights(spec: BackboneSpec) -> list[WeightReport]:
    """Checks every weights file of a network that is at hand.

    Args:
        spec: the network.

    Returns:
        One report per file, in the order in which they are looked for; empty when there is none.
    """
    return [_verify(spec, path) for path in present_weights(spec)]


def _verify(spec: BackboneSpec, path: Path) -> WeightReport:
    digest = file_sha256(path)
    expected = _expected_digest(spec, path)
    if expected is not None and not digest.startswith(expected):
        problem = f"sha256 {expected} expected"
        return WeightReport(path=path, sha256=digest, status="mismatch", problem=problem)
    if spec.architecture == "torchvision":
        from styler.features.torchvision_models import torchvision_models

        torchvision_models()  # that it does not work is no fault of the file
    try:
        network_state(spec, read_tensors(path)[0], path)
    except BackboneError as error:
        return WeightReport(path=path, sha256=digest, status="damaged", problem=error.message)
    return WeightReport(path=path, sha256=digest, status="unknown" if expected is None else "ok")


def _expected_digest(spec: BackboneSpec, path: Path) -> str | None:
    for entry in spec.weights:
        if entry.filename == path.name and entry.sha256 is not None:
            return entry.sha256
    if spec.architecture == "torchvision" and torchvision_digest(path.name):
        return torchvision_digest(path.name)
    try:
        words = digest_file(path).read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return None
    return words[0] if words else None


def _check_owner(spec: BackboneSpec, metadata: Mapping[str, str], path: Path) -> None:
    """Refuses a file of torchvision's for timm, whose networks have the same names and shapes."""
    owner = metadata.get("backbone", spec.name)
    if spec.architecture == "timm" and not owner.startswith(TIMM_PREFIX):
        raise BackboneError(
            f"{path} says that it is for {owner}, not for {spec.name}",
            f"use {owner}, or keep the weights of {spec.name} in another folder",
        )


def network_state(
    spec: BackboneSpec,
    tensors: Mapping[str, Tensor],
    path: Path,
    model: nn.Module | None = None,
) -> dict[str, Tensor]:
    """The tensors that a network needs from those of a file, checked.

    Args:
        spec: the network.
        tensors: the file's.
        path: the file, for messages.
        model: the network, where it has been built already (other than VGG).

    Raises:
        BackboneError: tensors are missing, of another network, or not finite numbers.
    """
    if spec.architecture == "vgg":
        return vgg_state(spec, tensors, path)
    from styler.features.networks import build_network, learned

    if spec.architecture == "torchvision":
        from styler.features.torchvision_models import torchvision_names

        tensors = torchvision_names(spec, tensors)
    expected = (build_network(spec) if model is None else model).state_dict()
    return check_state(spec, learned(expected), learned(tensors), path)


def vgg_shapes(spec: BackboneSpec) -> dict[str, tuple[int, ...]]:
    """The tensors of a VGG network's convolutions: names and shapes."""
    shapes: dict[str, tuple[int, ...]] = {}
    for op in vgg_ops(spec.blocks):
        if op.kind == "conv":
            shape = (op.out_channels, op.in_channels, op.kernel, op.kernel)
            shapes[f"{op.name}.weight"] = shape
            shapes[f"{op.name}.bias"] = (op.out_channels,)
    return shapes


def vgg_state(spec: BackboneSpec, tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The convolutions of a VGG network from a file's tensors.

    Args:
        spec: the network.
        tensors: under our names or under torchvision's; others (a classifier's) are left out.
        path: the file, for messages.

    Returns:
        Under our names, with the shapes the network needs.

    Raises:
        BackboneError: tensors are missing, of another network, not floating, or not finite.
    """
    shapes = vgg_shapes(spec)
    expected = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    return check_state(spec, expected, _our_names(spec, tensors), path)


def check_state(
    spec: BackboneSpec, expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Makes sure that tensors are those of a network: all, no others, and sane.

    Args:
        spec: the network.
        expected: tensors of the right shapes and kinds, without contents.
        found: the file's tensors under the same names.
        path: the file, for messages.

    Returns:
        `found` in the order of `expected`.

    Raises:
        BackboneError: tensors are missing, of another network, of another kind, or not finite.
    """
    hint = f"give the weights of {spec.name}, or name the network that these are for"
    foreign = sorted(key for key in found if key not in expected)
    missing = sorted(key for key in expected if key not in found)
    if foreign or missing:
        fault = f"has no {missing[0]}" if missing else f"has {foreign[0]}, which that network lacks"
        raise BackboneError(f"{path} does not fit {spec.name}: it {fault}", hint)
    for key, like in expected.items():
        tensor = found[key]
        if tensor.shape != like.shape:
            raise BackboneError(
                f"{path} does not fit {spec.name}: {key} should have shape {tuple(like.shape)}, "
                f"has {tuple(tensor.shape)}",
                hint,
            )
        if not _usable(tensor, like):
            raise BackboneError(
                f"{path} is damaged: {key} is not all finite numbers", "get the file again"
            )
    return {key: found[key] for key in expected}


def _our_names(spec: BackboneSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    ours = {key: value for key, value in tensors.items() if key.startswith("conv")}
    if ours:
        return ours
    # torchvision numbers the steps through; its numbers are the places of our steps.
    places = {f"features.{place}.": f"{op.name}." for place, op in enumerate(vgg_ops(spec.blocks))}
    renamed = {}
    for key, value in tensors.items():
        stem, dot, leaf = key.rpartition(".")
        if key.startswith("features."):
            renamed[places.get(stem + dot, stem + dot) + leaf] = value
    return renamed


def _usable(tensor: Tensor, like: Tensor) -> bool:
    if tensor.layout is not torch.strided or tensor.device.type != "cpu":
        return False
    if tensor.is_floating_point() != like.is_floating_point():
        return False
    # The extremes of numbers with a NaN among them are NaN.
    return tensor.numel() == 0 or all(
        bool(torch.isfinite(extreme)) for extreme in torch.aminmax(tensor)
    )
