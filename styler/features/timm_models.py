"""Networks of timm: named, described and built without weights.

timm is an optional part and is imported only when one of its networks is asked for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from styler.errors import BackboneError
from styler.features.layers import nearest
from styler.features.registry import GREY, TIMM_PREFIX, BackboneSpec, Preprocessing, WeightFile

_SOURCE = "timm"
_UNKNOWN_LICENCE = "not stated by timm"


def timm_library() -> Any:
    """The module ``timm``.

    Raises:
        BackboneError: timm is missing or does not work.
    """
    try:
        import timm
        import timm.data
    except (ImportError, RuntimeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise BackboneError(
            f"networks of timm need timm, which cannot be imported: {reason}",
            "`pip install 'styler[timm]'` installs it",
        ) from error
    return timm


def timm_spec(builder: str) -> BackboneSpec:
    """The record of one of timm's networks.

    Mean, deviation and size of the input are those of timm's data configuration of the network.

    Args:
        builder: the name of an architecture, or one with the tag of its weights
            (``resnet50.a1_in1k``).

    Returns:
        A record named ``timm:BUILDER``.

    Raises:
        BackboneError: there is no such network, or timm does not work.
    """
    timm = timm_library()
    tags = timm.list_pretrained()
    if not timm.is_model(builder) or ("." in builder and builder not in tags):
        known = tags if "." in builder else timm.list_models()
        raise BackboneError(f"timm has no network '{builder}'", nearest(builder, known))
    stated = timm.models.get_pretrained_cfg(builder)
    config = timm.data.resolve_data_config(pretrained_cfg=stated.to_dict() if stated else {})
    licence = (stated.license if stated else None) or _UNKNOWN_LICENCE
    return BackboneSpec(
        name=f"{TIMM_PREFIX}{builder}",
        description=f"{builder} of timm",
        architecture="timm",
        preprocessing=_preprocessing(config),
        native_side=config["input_size"][1],
        weights=tuple(
            WeightFile(filename=f"{builder}{suffix}", licence=licence, source=_SOURCE)
            for suffix in (".safetensors", ".pth")
        ),
    )


def _preprocessing(config: dict[str, Any]) -> Preprocessing:
    if config["input_size"][0] == 1:
        return Preprocessing(
            mean=tuple(config["mean"])[:1],
            std=tuple(config["std"])[:1],
            channel_order=GREY.channel_order,
        )
    return Preprocessing(mean=tuple(config["mean"]), std=tuple(config["std"]))


def build_timm(spec: BackboneSpec) -> nn.Module:
    """A network of timm with weights of chance, from a generator of its own.

    Raises:
        BackboneError: timm does not work.
    """
    timm = timm_library()
    with torch.random.fork_rng(devices=[]):
        model: nn.Module = timm.create_model(spec.builder, pretrained=False, exportable=True)
    return model
