"""Values that the shell offers after an option, found without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

DEVICES = ("auto", "cpu", "cuda", "mps")


def complete(*values: str) -> Callable[[str], Iterable[str]]:
    """A completion callback for fixed values.

    Example:
        >>> list(complete("adam", "lbfgs")("l"))
        ['lbfgs']
    """
    return lambda incomplete: [value for value in values if value.startswith(incomplete)]


def choices(key: str) -> Callable[[str], Iterable[str]]:
    """A completion callback for a setting that is one of a few names.

    Example:
        >>> list(choices("optimizer.name")("l"))
        ['lbfgs']
    """

    def callback(incomplete: str) -> Iterable[str]:
        from styler import config

        return complete(*config.choices(key))(incomplete)

    return callback


def starts(incomplete: str) -> Iterable[str]:
    """Kinds of initial picture that need no file."""
    from styler.config import START_KINDS

    return complete(*START_KINDS)(incomplete)


def backbones(incomplete: str) -> Iterable[str]:
    """Names of all networks."""
    from styler.features.registry import BACKBONES

    return complete(*BACKBONES)(incomplete)


def painters(incomplete: str) -> Iterable[str]:
    """Names of the networks that presets are made for, and `auto`."""
    from styler.features.registry import BACKBONES

    names = [name for name, spec in BACKBONES.items() if spec.architecture == "vgg"]
    return complete("auto", *names)(incomplete)


def settings(incomplete: str) -> Iterable[str]:
    """Keys for ``--set``."""
    from styler.config import keys

    return [f"{key}=" for key in keys() if key.startswith(incomplete)]


def presets(incomplete: str) -> Iterable[tuple[str, str]]:
    """Names of presets with their descriptions."""
    from styler.presets import list_presets

    found = ((preset.name, preset.description) for preset in list_presets("transfer"))
    return [(name, what) for name, what in found if name.startswith(incomplete)]
