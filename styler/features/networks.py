"""Networks that are modules of torch: built, given their tensors, and told apart by them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from styler.features.registry import BackboneSpec

_COUNTER = "num_batches_tracked"
"""Training batches that a batch normalisation has seen; evaluation has no use for it."""

Entry = TypeVar("Entry")


def build_network(spec: BackboneSpec) -> nn.Module:
    """A network that is no VGG of ours.

    Args:
        spec: the network.

    Returns:
        Those of torchvision on the device ``meta``, those of timm with weights of chance, those of
        somebody's own with their weights.

    Raises:
        BackboneError: the library does not work, or the network cannot be had.
    """
    if spec.architecture == "timm":
        from styler.features.timm_models import build_timm

        return build_timm(spec)
    if spec.architecture == "module":
        from styler.features.references import own_network

        return own_network(spec.name)[0]
    from styler.features.torchvision_models import build_torchvision

    return build_torchvision(spec)


def learned(tensors: Mapping[str, Entry]) -> dict[str, Entry]:
    """A table of tensors without the counters of training batches."""
    return {key: value for key, value in tensors.items() if key.rpartition(".")[2] != _COUNTER}


def fill(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Gives a network its tensors, in their own precision and without copying them.

    Args:
        model: the network.
        state: from `network_state`.

    Returns:
        The network.
    """
    whole = model.state_dict()
    for key, value in whole.items():
        if key in state:
            whole[key] = state[key]
        elif value.is_meta:
            whole[key] = torch.zeros(value.shape, dtype=value.dtype)
    model.load_state_dict(whole, assign=True)
    return model


def state_sha256(model: nn.Module) -> str:
    """A digest of a network's tensors: their names, kinds, shapes and bytes.

    Example:
        >>> ones = nn.Linear(2, 2).requires_grad_(False)
        >>> state_sha256(ones) == state_sha256(ones.double())
        False
    """
    digest = hashlib.sha256()
    for key, value in learned(model.state_dict()).items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
