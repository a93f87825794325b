"""Networks of torchvision: built without weights, and their weights files checked.

torchvision is imported only when one of its networks is asked for: its compiled part works only
with the torch it was built for, and the VGG networks do without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from styler.errors import BackboneError
from styler.features.layers import nearest
from styler.features.registry import (
    TORCHVISION_LICENCE,
    TORCHVISION_SOURCE,
    BackboneSpec,
    Preprocessing,
    WeightFile,
    torchvision_digest,
)
from styler.features.weights import check_state

_WITHOUT_EXTRAS = {"aux_logits": False, "transform_input": False, "init_weights": False}
_OPTIONS = {"googlenet": _WITHOUT_EXTRAS, "inception_v3": _WITHOUT_EXTRAS}
"""The auxiliary classifiers serve training alone. ``transform_input`` turns an image that was
normalised with ImageNet's mean and deviation into one in [−1, 1], as these two networks were
trained with; their `Preprocessing` does so at once."""

_AUXILIARY = re.compile(r"(aux1|aux2|AuxLogits)\.")
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)")
_COUNTER = ".num_batches_tracked"
_VIT_SIZE = (224, 224)


def torchvision_models() -> Any:
    """The module ``torchvision.models``.

    Raises:
        BackboneError: torchvision is missing, or was built for another torch.
    """
    try:
        from torchvision import models
    # After a first failed import, the next one in the same process ends in an AttributeError.
    except (ImportError, RuntimeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise BackboneError(
            f"torchvision does not work with this torch: {reason}",
            "`pip install --upgrade --force-reinstall torch torchvision` installs a matching "
            "pair; VGG networks work without torchvision",
        ) from error
    return models


def _models_with(builder: str) -> Any:
    models = torchvision_models()
    known = models.list_models(module=models)
    if builder not in known:
        raise BackboneError(
            f"torchvision has no classification network '{builder}'", nearest(builder, known)
        )
    return models


def torchvision_spec(builder: str) -> BackboneSpec:
    """The record of any of torchvision's classification networks.

    Args:
        builder: name of a function of ``torchvision.models``.

    Returns:
        A record named ``torchvision:BUILDER``.

    Raises:
        BackboneError: there is no such network, or torchvision does not work.

    Example:
        >>> torchvision_spec("resnet18").weights[0].filename
        'resnet18-f37072fd.pth'
    """
    models = _models_with(builder)
    entries = models.get_model_weights(builder)
    default = entries.DEFAULT
    usable = [default, *(entry for entry in entries if entry is not default)]
    if builder.startswith("vit_"):  # made for one size of image
        usable = [entry for entry in usable if entry.meta["min_size"] == _VIT_SIZE]
    transforms = default.transforms()
    return BackboneSpec(
        name=f"torchvision:{builder}",
        description=f"{builder} of torchvision",
        architecture="torchvision",
        preprocessing=Preprocessing(mean=tuple(transforms.mean), std=tuple(transforms.std)),
        weights=tuple(_weight_file(entry) for entry in usable),
    )


def _weight_file(entry: Any) -> WeightFile:
    filename = entry.url.rpartition("/")[2]
    return WeightFile(
        filename=filename,
        licence=entry.meta.get("license", TORCHVISION_LICENCE),
        source=TORCHVISION_SOURCE,
        url=entry.url,
        sha256=torchvision_digest(filename),
    )


def build_torchvision(spec: BackboneSpec) -> nn.Module:
    """A network of torchvision without weights, on the device ``meta``.

    Raises:
        BackboneError: torchvision does not work or has no such network.
    """
    models = _models_with(spec.builder)
    options = _OPTIONS.get(spec.builder, {})
    model: nn.Module
    try:
        with torch.device("meta"):
            model = models.get_model(spec.builder, weights=None, **options)
    except NotImplementedError:  # RegNet computes its widths with tensors
        with torch.random.fork_rng(devices=[]):
            model = models.get_model(spec.builder, weights=None, **options).to("meta")
    return model


def torchvision_state(
    spec: BackboneSpec, tensors: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """The tensors of a torchvision network from a file's.

    Args:
        spec: the network.
        tensors: under torchvision's names, those of its first DenseNet files among them;
            auxiliary classifiers and counters of training batches are left out.
        path: the file, for messages.

    Returns:
        Under torchvision's names, with the shapes the network needs.

    Raises:
        BackboneError: tensors are missing, of another network, not numbers, or not finite.
    """
    expected = {
        key: value
        for key, value in build_torchvision(spec).state_dict().items()
        if not key.endswith(_COUNTER)
    }
    found = {
        _OLD_DENSENET.sub(r"\1\2", key): value
        for key, value in tensors.items()
        if not key.endswith(_COUNTER) and not _AUXILIARY.match(key)
    }
    return check_state(spec, expected, found, path)


def fill(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Gives a network on the device ``meta`` its tensors, in their own precision.

    Args:
        model: the network.
        state: from `torchvision_state`.
    """
    whole = model.state_dict()
    for key, value in whole.items():
        whole[key] = state[key] if key in state else torch.zeros(value.shape, dtype=value.dtype)
    model.load_state_dict(whole, assign=True)
