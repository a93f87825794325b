"""What the classes of a network are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from styler.errors import ConfigError
from styler.features.layers import nearest

if TYPE_CHECKING:
    from styler.features.registry import BackboneSpec

IMAGENET_CLASSES = 1000
"""Of the ImageNet challenge; networks for it share one order."""

_IMAGENET_NETWORK = "alexnet"
"""A network of torchvision, any, whose record lists ImageNet's classes."""

_OFFERED = 6
"""A hint offers at most so many labels that hold the word asked for."""


def class_labels(network: BackboneSpec | str, units: int) -> tuple[str, ...] | None:
    """The names of a network's classes, in the order of its outputs.

    They are those that torchvision publishes with its weights: of ImageNet for every network with
    1000 outputs, whoever made it, else of the network's own data.

    Args:
        network: its record, or its name: ``resnet50``, ``torchvision:fcn_resnet50``.
        units: how many outputs it has.

    Returns:
        As many names as `units`, None when they are not known.

    Raises:
        BackboneError: torchvision does not work.

    Example:
        >>> labels = class_labels("alexnet", 1000)
        >>> labels[1]
        'goldfish'
        >>> class_labels("alexnet", 17) is None
        True
    """
    from styler.features.torchvision_models import torchvision_models

    models = torchvision_models()
    name = network if isinstance(network, str) else network.name
    prefix, _, builder = name.strip().lower().rpartition(":")
    if units == IMAGENET_CLASSES:
        builder = _IMAGENET_NETWORK
    elif prefix not in ("", "torchvision") or builder not in models.list_models():
        return None
    categories = models.get_model_weights(builder).DEFAULT.meta.get("categories", ())
    return tuple(categories) if len(categories) == units else None


def find_class(text: str, labels: Sequence[str] | None, units: int) -> int:
    """The index of a class.

    Args:
        text: an index ("1") or a label ("goldfish"). Case does not matter unless it is all that
            tells two labels apart (ImageNet's "Cardigan" is a dog, its "cardigan" a garment), nor
            whether words are parted by spaces, underscores or hyphens.
        labels: of all classes, None when they are not known.
        units: how many classes there are.

    Returns:
        From 0 to `units` − 1.

    Raises:
        ConfigError: there is no such class, or several have that label.

    Example:
        >>> find_class("Tiger_Cat", ["tabby", "tiger cat"], 2)
        1
        >>> find_class("0", None, 2)
        0
    """
    wanted = text.strip()
    if re.fullmatch(r"[-+]?\d+", wanted):
        return _checked(int(wanted), units)
    if labels is None:
        raise ConfigError(
            f"the names of this network's classes are not known, got '{text}'",
            f"use an index from 0 to {units - 1}",
        )
    folded = _folded(wanted)
    same = [index for index, label in enumerate(labels) if _folded(label) == folded]
    exact = [index for index in same if labels[index] == wanted]
    found = exact if len(exact) == 1 else same
    if len(found) > 1:
        places = " and ".join(f"{index} ({labels[index]})" for index in found)
        raise ConfigError(f"{len(found)} classes are called '{text}': {places}", "use the index")
    if not found:
        raise ConfigError(f"unknown class '{text}'", _offer(folded, labels))
    return found[0]


def _checked(index: int, units: int) -> int:
    if not 0 <= index < units:
        raise ConfigError(
            f"there is no class {index}: the network has {units}",
            f"use an index from 0 to {units - 1}",
        )
    return index


def _folded(label: str) -> str:
    return " ".join(re.split(r"[\s_-]+", label.casefold())).strip()


def _offer(folded: str, labels: Sequence[str]) -> str | None:
    """Labels that hold a word, or else are spelled nearly alike."""
    word = re.compile(rf"\b{re.escape(folded)}\b")
    holding = [label for label in labels if folded and word.search(_folded(label))]
    if holding:
        return f"did you mean {' or '.join(holding[:_OFFERED])}?"
    return nearest(folded, list(labels))
