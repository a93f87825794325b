"""The network that saved styles ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from styler.config import TransferConfig
from styler.errors import BackboneError
from styler.features import find_weights, get_backbone
from styler.features.ensemble import network_names
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
        names = network_names(backbone.name)
        if not any(map(is_reference, names)):
            wanted = ",".join(get_backbone(name).name for name in names)
            for file in files:
                file.check_backbone(wanted)
        return config
    name = files[0].record.backbone
    names = network_names(name)
    if backbone.weights is not None or any(map(is_reference, names)):
        return config
    if any(find_weights(get_backbone(each)) is None for each in names):
        raise BackboneError(
            f"{files[0].path} was measured with {name}, whose weights are not at hand",
            "bring them with `styler weights fetch` or `styler weights import`, "
            "or save the style again from its picture",
        )
    return replace(config, backbone=replace(backbone, name=name))
