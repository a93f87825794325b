"""Values of options that are written as lists."""

from __future__ import annotations

from styler.errors import ConfigError


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
