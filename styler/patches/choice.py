"""What is looked at when nobody says so, and what people write for units."""

from __future__ import annotations

import re

from styler.errors import ConfigError
from styler.features import Extractor

_USUAL = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
"""The last layer of each block of VGG-16, whose successors are poolings."""
_BLOCK = re.compile(r"relu(\d)_\d+")
_OFFERED = 4
"""A hint names so many layers."""
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def usual_layers(extractor: Extractor) -> list[str]:
    """One layer of each block of a VGG network: the third of its ReLUs, or its last one.

    Raises:
        ConfigError: the network is no VGG.

    Example:
        >>> from styler.features import load_extractor
        >>> usual_layers(load_extractor("vgg-lite"))
        ['relu1_2', 'relu2_2', 'relu3_3', 'relu4_3', 'relu5_1']
    """
    blocks: dict[str, str] = {}
    for layer in extractor.layers:
        match = _BLOCK.fullmatch(layer)
        if match and blocks.get(match[1]) not in _USUAL:
            blocks[match[1]] = layer
    if blocks:
        return list(blocks.values())
    step = max(1, len(extractor.layers) // _OFFERED)
    some = ",".join(extractor.layers[step - 1 :: step][:_OFFERED])
    raise ConfigError(
        f"no layers of {extractor.name} are named", f"name some, such as --layers {some}"
    )


def parse_numbers(text: str) -> list[int] | None:
    """Channels from what people write.

    Args:
        text: numbers and ranges with commas between them, or "all".

    Returns:
        The numbers; None for all.

    Raises:
        ConfigError: it cannot be read.

    Example:
        >>> parse_numbers("0-3, 12"), parse_numbers("all")
        ([0, 1, 2, 3, 12], None)
    """
    if text.strip() == "all":
        return None
    numbers: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        first = int(match[1]) if match else 1
        last = int(match[2] or match[1]) if match else 0
        if last < first:
            raise ConfigError(f"{text!r} names no units", "write 0-15, or 3,7,12, or all")
        numbers.extend(range(first, last + 1))
    return numbers
