"""Layer names: one canonical spelling, the aliases people know, and help with the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence

from styler.errors import ConfigError, did_you_mean

_LISTED = 16
"""A hint lists at most so many names; a large network has hundreds."""

_KINDS = {"conv": "conv", "c": "conv", "relu": "relu", "r": "relu"}
_UNIT = re.compile(r"(conv|relu|c|r)[-_. ]?(\d)[-_. ]?(\d{1,2})")
_POOL = re.compile(r"(?:pool|p)[-_. ]?(\d)")
_KERAS_UNIT = re.compile(r"block(\d)_conv(\d{1,2})")
_KERAS_POOL = re.compile(r"block(\d)_pool")
_CLASSIFIER = re.compile(r"logits|prob|softmax|predictions|fc[-_. ]?\d|classifier(\.\d+)?")


def resolve_layer(name: str, available: Sequence[str]) -> str:
    """The canonical name of a layer.

    Canonical names of VGG networks are ``conv4_2`` (before the ReLU), ``relu4_2`` and ``pool4``;
    other networks use their module paths. Aliases of the former, in any case: ``r42``, ``r4_2``,
    ``relu42``, ``c42``, ``conv4-2``, ``p4``, and the names of Keras, ``block4_conv2`` (whose
    convolutions include the ReLU, hence ``relu4_2``) and ``block4_pool``.

    Args:
        name: what was asked for.
        available: the canonical names of the network.

    Returns:
        One of `available`.

    Raises:
        ConfigError: the name is a bare number, or names no layer of the network; VGG networks
            are kept without their classifiers.

    Example:
        >>> resolve_layer("block4_conv2", ["conv4_2", "relu4_2", "pool4"])
        'relu4_2'
        >>> resolve_layer("C4-2", ["conv4_2", "relu4_2", "pool4"])
        'conv4_2'
    """
    wanted = name.strip()
    if wanted in available:
        return wanted
    if re.fullmatch(r"[-+]?\d+", wanted):
        raise ConfigError(
            f"a layer is given by name, got the number {wanted}, which means different layers "
            "in different libraries",
            _known(available),
        )
    folded = wanted.lower()
    by_folded = {known.lower(): known for known in reversed(available)}
    for candidate in (folded, _from_alias(folded)):
        if candidate in by_folded:
            return by_folded[candidate]
    if "conv1_1" in available and _CLASSIFIER.fullmatch(folded):
        raise ConfigError(
            f"layer '{name}' is one of a classifier, and this network is kept without",
            "torchvision:vgg16 keeps the classifier: classifier.0 is fc6, logits the result",
        )
    raise ConfigError(f"unknown layer '{name}'", nearest(wanted, available))


def _from_alias(folded: str) -> str | None:
    if match := _UNIT.fullmatch(folded):
        kind, block, index = match.groups()
        return f"{_KINDS[kind]}{block}_{index}"
    if match := _KERAS_UNIT.fullmatch(folded):
        return f"relu{match[1]}_{match[2]}"
    if match := _POOL.fullmatch(folded) or _KERAS_POOL.fullmatch(folded):
        return f"pool{match[1]}"
    return None


def nearest(name: str, available: Sequence[str]) -> str | None:
    """A hint with the names nearest to a mistyped one, or with the first of many.

    Example:
        >>> nearest("relu41", ["relu4_1", "pool1"])
        'did you mean relu4_1?'
        >>> nearest("x", [f"c{number}" for number in range(17)])[-14:]
        'c15 and 1 more'
    """
    hint = did_you_mean(name.lower(), available)
    if hint is None or hint.startswith("did you mean"):
        return hint
    return _known(available)


def _known(available: Sequence[str]) -> str:
    shown = ", ".join(available[:_LISTED])
    more = len(available) - _LISTED
    return f"known: {shown}" + (f" and {more} more" if more > 0 else "")
