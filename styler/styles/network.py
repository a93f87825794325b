"""The network that saved styles ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from styler.config import TransferConfig
from styler.errors import BackboneError
from styler.features import find_weights, get_backbone
from styler.features.registry import is_reference
from styler.styles.file import StyleFile


def with_network_of(config: TransferConfig, files: Sequence[StyleFile]) -> TransferConfig:
    """Settings with the network that saved styles were measured with, where any will do.

    ``auto`` becomes that network if its weights are at hand; nothing is downloaded, and no
    function that a file names is called.

    Args:
        config: all settings.
        files: the saved styles, if any.

    Returns:
        The settings, as they were unless the backbone is ``auto``.

    Raises:
        BackboneError: the settings name another network, before its weights are looked for, or the
            weights are not at hand.
    """
    backbone = config.backbone
    if not files:
        return config
    if backbone.name != "auto":
        if not is_reference(backbone.name):
            for file in files:
                file.check_backbone(get_backbone(backbone.name).name)
        return config
    name = files[0].record.backbone
    if backbone.weights is not None or is_reference(name):
        return config
    if find_weights(get_backbone(name)) is None:
        raise BackboneError(
            f"{files[0].path} was measured with {name}, whose weights are not at hand",
            "bring them with `styler weights fetch` or `styler weights import`, "
            "or save the style again from its picture",
        )
    return replace(config, backbone=replace(backbone, name=name))
