"""Pictures that settings name, by what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from styler.config.transfer import TransferConfig

NO_MASK = ("-", "none")
"""What stands in a list of masks for a style that counts whole."""


def setting_files(config: TransferConfig) -> dict[str, str]:
    """The pictures that a transfer's settings name and that it looks at.

    Args:
        config: all settings.

    Returns:
        Paths by what they are for: `start`, `color`, `protect`, `content-mask`, `content-mask 2`
        and so on, `style-mask` likewise.

    Example:
        >>> from styler.config import RegionConfig
        >>> masks = RegionConfig(content_masks=("a.png", "b.png"), style_masks=("none", "c.png"))
        >>> setting_files(TransferConfig(regions=masks))
        {'content-mask': 'a.png', 'content-mask 2': 'b.png', 'style-mask 2': 'c.png'}
    """
    found = {
        "start": config.init.image if config.init.kind == "image" else None,
        "color": config.color.image if config.color.mode == "match" else None,
        "protect": config.regions.protect,
        **numbered("content-mask", config.regions.content_masks),
        **numbered("style-mask", config.regions.style_masks),
    }
    return {name: path for name, path in found.items() if path and path.lower() not in NO_MASK}


def with_files(config: TransferConfig, places: Mapping[str, str]) -> TransferConfig:
    """The settings with the pictures elsewhere.

    Args:
        config: all settings.
        places: new paths by the names that `setting_files` gives; others stay.
    """
    regions = config.regions
    contents, styles = (
        tuple(places.get(name, path) for name, path in numbered(kind, paths).items())
        for kind, paths in (
            ("content-mask", regions.content_masks),
            ("style-mask", regions.style_masks),
        )
    )
    return replace(
        config,
        init=replace(config.init, image=places.get("start", config.init.image)),
        color=replace(config.color, image=places.get("color", config.color.image)),
        regions=replace(
            regions,
            protect=places.get("protect", regions.protect),
            content_masks=contents,
            style_masks=styles,
        ),
    )


def file_settings(config: TransferConfig) -> dict[str, Any]:
    """The settings that name pictures, by their dotted keys.

    Args:
        config: all settings.
    """
    return {
        "init.image": config.init.image,
        "color.image": config.color.image,
        "regions.protect": config.regions.protect,
        "regions.content_masks": config.regions.content_masks,
        "regions.style_masks": config.regions.style_masks,
    }


def numbered(name: str, paths: tuple[str, ...]) -> dict[str, str]:
    """Several files of one kind by their names: see `numbered_names`."""
    return dict(zip(numbered_names(name, len(paths)), paths, strict=True))


def numbered_names(name: str, count: int) -> list[str]:
    """What several things of one kind are called: the first as the kind, others with a number.

    Example:
        >>> numbered_names("style", 3)
        ['style', 'style 2', 'style 3']
    """
    return [f"{name} {number}" if number > 1 else name for number in range(1, count + 1)]
