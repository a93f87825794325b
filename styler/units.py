"""What people write for a unit of a network, and what it means.

``relu4_1:37`` a channel, ``relu4_1:0-63`` channels, ``relu4_1:all`` every one, ``relu4_1`` the
whole layer, ``logits:goldfish`` a class, ``relu4_1:37@centre`` or ``@3,5`` one neuron,
``relu4_1:-37`` a channel to be silenced, ``relu4_1:FILE`` a direction. ``A+B`` and ``0.5*A+B`` join
units, ``A..B`` goes from one to the other. A unit's own name means the same unit again.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

from styler.activation import Part, Position, Unit
from styler.directions import is_direction, read_direction
from styler.errors import ConfigError
from styler.features import Extractor
from styler.features.labels import class_labels, find_class

CLASSES = "logits"
"""The layer whose channels are classes and have names."""

_RANGE = re.compile(r"(\d+)-(\d+)")
_NUMBER = re.compile(r"-?\d+")
_WEIGHT = re.compile(r"(-?\d*\.?\d+)\*(.+)")
_SHARE = re.compile(r"(.+) ([01]\.\d\d)")
_NAMED = re.compile(r"(\d+) .+")
_PLACE = re.compile(r"(\d+),(\d+)")

LONGEST_STEM = 120
"""Characters of a file's name; systems allow some 255 bytes."""


def parse_units(texts: Sequence[str], extractor: Extractor, *, between: int = 5) -> list[Unit]:
    """Units from what people write.

    Args:
        texts: see the module.
        extractor: the network they are units of.
        between: pictures from one unit to another for ``A..B``, both ends among them.

    Returns:
        In the order given, each once.

    Raises:
        ConfigError: a layer, channel or label is unknown (the closest are offered), or the text
            cannot be read.
        ImageError: a picture of a direction cannot be read.

    Example:
        >>> from styler.features import load_extractor
        >>> [unit.name for unit in parse_units(["r41:3-5"], load_extractor("vgg-lite"))]
        ['relu4_1:3', 'relu4_1:4', 'relu4_1:5']
    """
    if between < 2:
        raise ConfigError(f"{between} pictures from one unit to another are asked for", "2 or more")
    found: dict[str, Unit] = {}
    for text in texts:
        for unit in _units(text.strip(), extractor, between):
            found.setdefault(unit.name, unit)
    return list(found.values())


def _units(text: str, extractor: Extractor, between: int) -> Iterator[Unit]:
    start, dots, end = text.partition("..")
    if dots:
        match = _SHARE.fullmatch(end)
        shares = [float(match[2])] if match else [n / (between - 1) for n in range(between)]
        end = match[1] if match else end
        yield from _path(_joined(start, extractor), _joined(end, extractor), shares)
        return
    layer, colon, selector = text.partition(":")
    channels = _span(selector, layer, extractor) if colon else None
    if channels is None:
        yield _joined(text, extractor)
        return
    (name,) = extractor.resolve([layer])
    for channel in channels:
        yield Unit(unit_name(extractor, name, channel), (Part(name, channel=channel),))


def _span(selector: str, layer: str, extractor: Extractor) -> range | None:
    """The channels of ``all`` and ``0-63``; None for any other selector."""
    match = _RANGE.fullmatch(selector)
    if match is None and selector != "all":
        return None
    (name,) = extractor.resolve([layer])
    if match is None:
        return range(extractor.channels(name))
    first, last = int(match[1]), int(match[2])
    if last < first:
        raise ConfigError(f"{layer}:{selector} is empty", f"write {layer}:{last}-{first}")
    _check_channel(last, name, extractor)
    return range(first, last + 1)


def _path(start: Unit, end: Unit, shares: Sequence[float]) -> Iterator[Unit]:
    """From one unit to another."""
    for share in shares:
        parts = [
            dataclasses.replace(part, weight=part.weight * factor)
            for unit, factor in ((start, 1 - share), (end, share))
            for part in unit.parts
            if factor
        ]
        yield Unit(f"{start.name}..{end.name} {share:.2f}", tuple(parts))


def _joined(text: str, extractor: Extractor) -> Unit:
    parts, names = [], []
    for piece in text.split("+"):
        match = _WEIGHT.fullmatch(piece.strip())
        weight, rest = (float(match[1]), match[2]) if match else (1.0, piece.strip())
        name, part = _part(rest, extractor)
        parts.append(dataclasses.replace(part, weight=part.weight * weight))
        names.append(f"{weight:g}*{name}" if match else name)
    return Unit("+".join(names), tuple(parts))


def _part(text: str, extractor: Extractor) -> tuple[str, Part]:
    layer, colon, rest = text.partition(":")
    if not layer:
        raise ConfigError(f"{text!r} names no layer", "write LAYER:CHANNEL, such as relu4_1:37")
    if not colon:
        layer, position, tail = _position(layer)
        (name,) = extractor.resolve([layer])
        return f"{name}{tail}", Part(name, position=position)
    (name,) = extractor.resolve([layer])
    if is_direction(rest):
        vector = read_direction(rest, name, extractor)
        return f"{name}:{rest}", Part(name, direction=vector)
    selector, position, tail = _position(rest)
    channel, sign = _channel(selector, name, extractor)
    minus = "-" if sign < 0 else ""
    label = unit_name(extractor, name, channel).partition(":")[2]
    part = Part(name, channel=channel, weight=sign, position=position)
    return f"{name}:{minus}{label}{tail}", part


def _position(text: str) -> tuple[str, Position, str]:
    """Splits ``37@3,5`` into ``37``, (3, 5) and ``@3,5``."""
    selector, at, place = text.rpartition("@")
    if not at:
        return text, "all", ""
    match = _PLACE.fullmatch(place)
    if match:
        return selector, (int(match[1]), int(match[2])), f"@{match[1]},{match[2]}"
    if place in ("centre", "center"):
        return selector, "centre", "@centre"
    raise ConfigError(f"@{place} is no position", "write @centre, or @row,column such as @3,5")


def _channel(selector: str, layer: str, extractor: Extractor) -> tuple[int, float]:
    """A channel by its number or label, and 1, or −1 for one that is to be silenced."""
    negative = selector.startswith("-")
    selector = selector.removeprefix("-").strip()
    if layer == CLASSES:
        named = _NAMED.fullmatch(selector)  # "1 goldfish", as a unit's own name has it
        selector = named[1] if named else selector
        channel = find_class(selector, _labels(extractor), extractor.channels(layer))
    elif _NUMBER.fullmatch(selector):
        channel = int(selector)
        _check_channel(channel, layer, extractor)
    else:
        count = extractor.channels(layer)
        raise ConfigError(
            f"{layer} has no channel {selector!r}",
            f"a number from 0 to {count - 1}, or a file with a direction",
        )
    return channel, -1.0 if negative else 1.0


def _check_channel(channel: int, layer: str, extractor: Extractor) -> None:
    count = extractor.channels(layer)
    if channel >= count:
        raise ConfigError(
            f"{layer} of {extractor.name} has no channel {channel}",
            f"it has {count}, from 0 to {count - 1}",
        )


def _labels(extractor: Extractor) -> tuple[str, ...] | None:
    return class_labels(extractor.name, extractor.channels(CLASSES))


def unit_name(extractor: Extractor, layer: str, channel: int) -> str:
    """What a channel is called: its number, and of a class its label.

    Args:
        extractor: the network.
        layer: canonical name.
        channel: from 0.
    """
    labels = _labels(extractor) if layer == CLASSES else None
    return f"{layer}:{channel}" + (f" {labels[channel]}" if labels else "")


def file_stem(unit: Unit) -> str:
    """The name of a unit's file, without ending: letters, digits and a few signs, sortable.

    Example:
        >>> file_stem(Unit("layer1.0.relu:7", ())), file_stem(Unit("logits:1 goldfish", ()))
        ('layer1.0.relu_0007', 'logits_0001_goldfish')
    """
    padded = re.sub(r":(-?)(\d+)", _sortable, unit.name)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", padded.replace("..", "_to_")).strip("_")
    return plain[:LONGEST_STEM]


def _sortable(match: re.Match[str]) -> str:
    return f"_{'minus_' if match[1] else ''}{int(match[2]):04d}"
