"""Values that the shell offers after an option, found without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from styler.config import Kind

DEVICES = ("auto", "cpu", "cuda", "mps")


def complete(*values: str) -> Callable[[str], Iterable[str]]:
    """A completion callback for fixed values.

    Example:
        >>> list(complete("adam", "lbfgs")("l"))
        ['lbfgs']
    """
    return lambda incomplete: [value for value in values if value.startswith(incomplete)]


def choices(key: str, kind: Kind = "transfer") -> Callable[[str], Iterable[str]]:
    """A completion callback for a setting that is one of a few names.

    Args:
        key: dotted.
        kind: of work whose setting it is.

    Example:
        >>> list(choices("optimizer.name")("l"))
        ['lbfgs']
    """

    def callback(incomplete: str) -> Iterable[str]:
        from styler import config

        return complete(*config.choices(key, config.CONFIGS[kind]))(incomplete)

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


def settings(kind: Kind) -> Callable[[str], Iterable[str]]:
    """A completion callback for ``--set`` of a kind of work."""

    def callback(incomplete: str) -> Iterable[str]:
        from styler import config

        known = config.keys(config.CONFIGS[kind])
        return [f"{key}=" for key in known if key.startswith(incomplete)]

    return callback


def presets(kind: Kind) -> Callable[[str], Iterable[tuple[str, str]]]:
    """A completion callback for presets of a kind, with their descriptions."""

    def callback(incomplete: str) -> Iterable[tuple[str, str]]:
        from styler.presets import list_presets

        found = ((preset.name, preset.description) for preset in list_presets(kind))
        return [(name, what) for name, what in found if name.startswith(incomplete)]

    return callback


def all_presets(incomplete: str) -> Iterable[tuple[str, str]]:
    """Presets of all kinds, with their descriptions; with their kind where a name is not enough."""
    from styler.presets import list_all_presets

    found = [preset for presets in list_all_presets().values() for preset in presets]
    names = [preset.name for preset in found]
    labels = [(p.name if names.count(p.name) == 1 else f"{p.kind}/{p.name}", p) for p in found]
    return [(name, p.description) for name, p in labels if name.startswith(incomplete)]
