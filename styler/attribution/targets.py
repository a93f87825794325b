"""What is explained: a class, or a unit at a place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from styler.activation import Part
from styler.errors import ConfigError
from styler.features import Extractor
from styler.units import CLASSES, parse_units, unit_name

Place = Literal["mean"] | tuple[int, int] | None
"""Where a unit is looked at: its mean over all places, (row, column), or None in a vector."""

_HOW = "name a class, such as goldfish, or a unit, such as relu4_1:37"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A unit of a network in one picture.

    Args:
        name: by which a person knows it: ``logits:1 goldfish``, ``relu4_1:37@3,5``.
        layer: canonical name.
        channel: of the layer.
        place: where.
        score: its activation in the picture.
    """

    name: str
    layer: str
    channel: int
    place: Place
    score: float

    def of(self, features: Tensor) -> Tensor:
        """The unit's activation in each of several pictures, at its one place.

        Args:
            features: the layer's, (B, C, H, W) or (B, C).

        Returns:
            (B,), float32 (float64 of float64).

        Example:
            >>> target = Target(name="x", layer="x", channel=1, place=(0, 1), score=0.0)
            >>> target.of(torch.arange(8.0).view(1, 2, 2, 2))
            tensor([5.])
        """
        return _active(features, self.channel, self.place)


def find_target(text: str | None, image: Tensor, extractor: Extractor) -> Target:
    """The unit that a person means, in a picture.

    A class is looked at as a whole: where a network gives a map of classes, as it does of images
    larger than those that it was trained with, the mean over the map, as in dense evaluation. A
    channel of any other map is looked at where it is strongest in this picture. A place behind an
    ``@`` is taken as it is.

    Args:
        text: a class by its label or index, ``goldfish``, ``1``, ``logits:goldfish``; or a unit,
            ``relu4_1:37``, ``relu4_1:37@3,5``, ``relu4_1:37@centre``. None for the class that the
            network gives the highest score.
        image: (1, 3, H, W), sRGB in [0, 1], on the extractor's device.
        extractor: the network.

    Raises:
        ConfigError: there is no such class, layer, channel or place; several units are named, or
            a direction; the network has no classes and none is named.
        ImageError: the picture is too small for the layer.

    Example:
        >>> from styler.features import load_extractor
        >>> target = find_target("r21:3@4,8", torch.rand(1, 3, 32, 32), load_extractor("vgg-lite"))
        >>> target.name, target.place
        ('relu2_1:3@4,8', (4, 8))

    References:
        Simonyan & Zisserman 2014, arXiv 1409.1556, section 3.2 (class scores averaged over
        places).
    """
    if text is None:
        return _likeliest(image, extractor)
    part = _part(text, extractor)
    channel = part.channel or 0
    features = _features(image, extractor, part.layer)
    place = _place(part, features)
    name = unit_name(extractor, part.layer, channel)
    if isinstance(place, tuple):
        name += f"@{place[0]},{place[1]}"
    score = float(_active(features, channel, place))
    return Target(name=name, layer=part.layer, channel=channel, place=place, score=score)


def _likeliest(image: Tensor, extractor: Extractor) -> Target:
    if CLASSES not in extractor.layers:
        raise ConfigError(
            f"{extractor.name} knows no classes: a target is needed",
            f"--target {_example(extractor)}, or --backbone squeezenet1_0",
        )
    features = _features(image, extractor, CLASSES)
    scores = features.flatten(2).mean(2) if features.ndim > 2 else features
    channel = int(scores[0].argmax())
    return Target(
        name=unit_name(extractor, CLASSES, channel),
        layer=CLASSES,
        channel=channel,
        place="mean" if features.ndim > 2 else None,
        score=float(scores[0, channel]),
    )


def _features(image: Tensor, extractor: Extractor, layer: str) -> Tensor:
    with torch.no_grad():
        found = extractor(image, [layer])[layer]
    return found.to(torch.promote_types(found.dtype, torch.float32))


def _part(text: str, extractor: Extractor) -> Part:
    """The one channel that is meant."""
    units = parse_units([_as_unit(text.strip(), extractor)], extractor)
    parts = [part for unit in units for part in unit.parts]
    if len(parts) != 1:
        raise ConfigError(f"{text} is {len(parts)} units, one is explained at a time", _HOW)
    if parts[0].direction is not None:
        raise ConfigError(f"{text} is a direction, not a unit", _HOW)
    if parts[0].channel is None:
        raise ConfigError(
            f"{text} is a whole layer, not a unit", f"write {parts[0].layer}:0 for a channel"
        )
    if parts[0].weight != 1:
        raise ConfigError(
            f"{text} has a weight, and what excites a unit does not depend on it", _HOW
        )
    return parts[0]


def _as_unit(text: str, extractor: Extractor) -> str:
    """A bare label or index as a unit; anything else as it is."""
    if ":" in text:
        return text
    bare = text.partition("@")[0]
    try:
        if bare.isdecimal():  # modules have such names, too, but no module as a whole is a target
            raise ConfigError(f"{bare} is a number")
        extractor.resolve([bare])
    except ConfigError:
        if CLASSES in extractor.layers:
            return f"{CLASSES}:{text}"
        raise ConfigError(
            f"{extractor.name} knows no classes, got '{text}'",
            f"name a unit, such as {_example(extractor)}, or use --backbone squeezenet1_0",
        ) from None
    return text


def _example(extractor: Extractor) -> str:
    return f"{extractor.layers[-1]}:0"


def _place(part: Part, features: Tensor) -> Place:
    """Where a unit is looked at in a picture whose features are known."""
    if features.ndim == 2:
        if part.position != "all":
            raise ConfigError(f"units of {part.layer} have no places", "leave out what follows @")
        return None
    rows, columns = features.shape[2:]
    if part.position == "all":
        if part.layer == CLASSES:
            return "mean"
        strongest = int(features[0, part.channel].argmax())
        return strongest // columns, strongest % columns
    if part.position == "centre":
        return rows // 2, columns // 2
    row, column = part.position
    if row >= rows or column >= columns:
        raise ConfigError(
            f"{part.layer} has {rows}×{columns} places in this picture, got {row},{column}",
            f"from @0,0 to @{rows - 1},{columns - 1}; @centre is the middle",
        )
    return row, column


def _active(features: Tensor, channel: int, place: Place) -> Tensor:
    wide = features[:, channel].to(torch.promote_types(features.dtype, torch.float32))
    if place is None:
        return wide
    if place == "mean":
        return wide.mean((1, 2))
    return wide[:, place[0], place[1]]
