"""Values of options that are written as lists."""

from __future__ import annotations

import re

from styler.errors import ConfigError

LEAST_CANVAS = 16
"""Pixels of a side, at least."""


def layer_weights(flag: str, text: str | None) -> dict[str, float] | None:
    """Layers with their weights.

    Raises:
        ConfigError: a weight is no number.

    Example:
        >>> layer_weights("--layers", "relu1_1, relu3_1=.5")
        {'relu1_1': 1.0, 'relu3_1': 0.5}
    """
    if text is None:
        return None
    layers = {}
    for part in text.split(","):
        name, sign, weight = part.partition("=")
        try:
            layers[name.strip()] = float(weight) if sign else 1.0
        except ValueError:
            raise ConfigError(
                f"{flag} {part.strip()}: {weight!r} is not a number", "write relu1_1=1,relu3_1=.5"
            ) from None
    return layers


UNITS = {
    "": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)},
}
"""Bytes in a unit, by its lower-case name."""


def byte_count(flag: str, text: str | None) -> int | None:
    """An amount of memory.

    Raises:
        ConfigError: it is none.

    Example:
        >>> byte_count("--max-memory", "4GiB"), byte_count("--max-memory", "1.5 GB")
        (4294967296, 1500000000)
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", text.lower())
    if found is None or found[2] not in UNITS:
        raise ConfigError(f"{flag} {text} is no amount of memory", "write 4GiB, 4GB or 800MB")
    return int(float(found[1]) * UNITS[found[2]])


def step_counts(text: str | None) -> list[int] | None:
    """Steps per scale.

    Raises:
        ConfigError: one is no whole number.

    Example:
        >>> step_counts("150,120,80")
        [150, 120, 80]
    """
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"--steps {text} is not a list of whole numbers", "write 100 or 150,120,80"
        ) from None


def canvas(flag: str, text: str | None, default: int) -> tuple[int, int]:
    """The (height, width) of a picture, written as its width and height.

    Args:
        flag: that says it.
        text: such as 1024 or 1024x512.
        default: side of a square where nothing is said.

    Raises:
        ConfigError: it is no size.

    Example:
        >>> canvas("--size", "1024x512", 512), canvas("--size", "256", 512)
        ((512, 1024), (256, 256))
    """
    if text is None:
        return default, default
    found = re.fullmatch(r"\s*(\d+)\s*(?:[x×]\s*(\d+))?\s*", text.lower())
    if found is None:
        raise ConfigError(f"{flag} {text} is no size", "write 1024 or 1024x512")
    width, height = int(found[1]), int(found[2] or found[1])
    if min(width, height) < LEAST_CANVAS:
        raise ConfigError(
            f"{flag} {text} is too small", f"sides have {LEAST_CANVAS} pixels at least"
        )
    return height, width
