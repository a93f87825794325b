"""Values that the shell offers after an option, found without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

VGG = ("vgg-lite", "vgg16", "vgg19", "vgg19-caffe")
"""The networks that presets are made for."""
BACKBONES = (*VGG, "alexnet", "squeezenet1_0", "googlenet", "inception_v3", "resnet50")
"""All of `styler.features.BACKBONES`, which is slow to import."""
DEVICES = ("auto", "cpu", "cuda", "mps")


def complete(*values: str) -> Callable[[str], Iterable[str]]:
    """A completion callback for fixed values.

    Example:
        >>> list(complete("adam", "lbfgs")("l"))
        ['lbfgs']
    """
    return lambda incomplete: [value for value in values if value.startswith(incomplete)]


def settings(incomplete: str) -> Iterable[str]:
    """Keys for ``--set``."""
    from styler.config import KEYS

    return [f"{key}=" for key in KEYS if key.startswith(incomplete)]


def presets(incomplete: str) -> Iterable[tuple[str, str]]:
    """Names of presets with their descriptions."""
    from styler.presets import list_presets

    found = ((preset.name, preset.description) for preset in list_presets("transfer"))
    return [(name, what) for name, what in found if name.startswith(incomplete)]
