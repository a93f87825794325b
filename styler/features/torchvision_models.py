"""Networks of torchvision: built without weights, and their weights files checked.

torchvision is imported only when one of its networks is asked for: its compiled part works only
with the torch it was built for, and the VGG networks do without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

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

Task = Literal["classification", "segmentation", "detection"]

_WITHOUT_EXTRAS = {"aux_logits": False, "transform_input": False, "init_weights": False}
_OPTIONS = {"googlenet": _WITHOUT_EXTRAS, "inception_v3": _WITHOUT_EXTRAS}
"""The auxiliary classifiers serve training alone. ``transform_input`` turns an image that was
normalised with ImageNet's mean and deviation into one in [−1, 1], as these two networks were
trained with; their `Preprocessing` does so at once."""

_AUXILIARY = re.compile(r"(aux1|aux2|AuxLogits|aux_classifier)\.")
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)")
_DETECTOR = "backbone."
"""What the tensors of a detection network's backbone are called by in its files."""

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


def _models_with(builder: str) -> tuple[Any, Task]:
    models = torchvision_models()
    places: dict[Task, Any] = {
        "classification": models,
        "segmentation": models.segmentation,
        "detection": models.detection,
    }
    known = {name: task for task, place in places.items() for name in _names(models, place)}
    if builder not in known:
        raise BackboneError(
            f"torchvision has no network '{builder}' for images", nearest(builder, list(known))
        )
    return models, known[builder]


def _names(models: Any, place: Any) -> list[str]:
    names: list[str] = models.list_models(module=place)
    return names


def torchvision_spec(builder: str) -> BackboneSpec:
    """The record of any of torchvision's networks that classify, segment or detect.

    Args:
        builder: name of a function of ``torchvision.models``, ``.segmentation`` or ``.detection``.

    Returns:
        A record named ``torchvision:BUILDER``.

    Raises:
        BackboneError: there is no such network, or torchvision does not work.

    Example:
        >>> torchvision_spec("resnet18").weights[0].filename
        'resnet18-f37072fd.pth'
    """
    models, task = _models_with(builder)
    entries = models.get_model_weights(builder)
    default = entries.DEFAULT
    usable = [default, *(entry for entry in entries if entry is not default)]
    if builder.startswith("vit_"):  # made for one size of image
        usable = [entry for entry in usable if entry.meta["min_size"] == _VIT_SIZE]
    transforms: Any = default.transforms()
    if task == "detection":  # the network itself normalises
        transforms = _whole(models, builder, task).get_submodule("transform")
        mean, std = transforms.image_mean, transforms.image_std
    else:
        mean, std = transforms.mean, transforms.std
    return BackboneSpec(
        name=f"torchvision:{builder}",
        description=f"{builder} of torchvision",
        architecture="torchvision",
        preprocessing=Preprocessing(mean=tuple(mean), std=tuple(std)),
        weights=tuple(_weight_file(entry) for entry in usable),
        native_side=_side(builder, transforms),
        task=task,
    )


def _side(builder: str, transforms: Any) -> int:
    """Side of the images that a network was evaluated with, in pixels."""
    crop = getattr(transforms, "crop_size", None)
    if crop is None or builder.startswith("vit_"):
        return _VIT_SIZE[0]
    return int(crop[0])


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

    Of a detection network it is the backbone, most often with its feature pyramid.

    Raises:
        BackboneError: torchvision does not work or has no such network.
    """
    models, task = _models_with(spec.builder)
    model = _whole(models, spec.builder, task)
    return model.get_submodule("backbone") if task == "detection" else model


def _whole(models: Any, builder: str, task: Task) -> nn.Module:
    options: dict[str, Any] = dict(_OPTIONS.get(builder, {}))
    if task != "classification":
        options["weights_backbone"] = None
    model: nn.Module
    try:
        with torch.device("meta"):
            model = models.get_model(builder, weights=None, **options)
    # RegNet computes its widths with tensors, the anchors of detection networks are numbers.
    except (NotImplementedError, RuntimeError):
        with torch.random.fork_rng(devices=[]):
            model = models.get_model(builder, weights=None, **options).to("meta")
    return model


def torchvision_names(spec: BackboneSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file under the names that torchvision gives them today.

    Args:
        spec: the network.
        tensors: the file's. The names in its first DenseNet files are brought up to date;
            auxiliary classifiers are left out, and of detection networks all but the backbone.
    """
    kept = {
        _OLD_DENSENET.sub(r"\1\2", key): value
        for key, value in tensors.items()
        if not _AUXILIARY.match(key)
    }
    if spec.task != "detection" or not any(key.startswith(_DETECTOR) for key in kept):
        return kept
    return {
        key.removeprefix(_DETECTOR): value
        for key, value in kept.items()
        if key.startswith(_DETECTOR)
    }
