"""Several networks as one: layers of all of them, each looked at by its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from torch import Tensor

from styler.errors import ConfigError
from styler.features.base import Extractor
from styler.features.layers import nearest
from styler.features.receptive_field import ReceptiveField

SEPARATOR = ","
"""Between the names of several networks."""


class EnsembleExtractor(Extractor):
    """Networks that are shown the same picture, one after the other.

    Their layers are called ``NETWORK:LAYER``, such as ``vgg-lite:relu4_1``. A bare ``relu4_1``, or
    an alias of it, means that layer of every network, and all of them must have it. Each network
    has its own preprocessing; what can be told of the ensemble in one value only, `preprocessing`,
    `pooling`, `padding` and `native_side`, is that of the first.

    Args:
        members: the networks, two or more, on one device and in one precision.

    Raises:
        ConfigError: there are fewer, a name is there twice, or they differ in device, precision
            or padding.

    Example:
        >>> import torch
        >>> from styler.features import extractor_of, load_extractor
        >>> own = extractor_of(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)), name="own")
        >>> both = EnsembleExtractor([load_extractor("vgg-lite"), own])
        >>> features = both(torch.rand(1, 3, 32, 48), ["vgg-lite:r21", "own:0"])
        >>> {name: tuple(feature.shape) for name, feature in features.items()}
        {'vgg-lite:relu2_1': (1, 64, 16, 24), 'own:0': (1, 8, 30, 46)}
    """

    def __init__(self, members: Sequence[Extractor]) -> None:
        _check(members)
        first = members[0]
        super().__init__(
            name=SEPARATOR.join(member.name for member in members),
            layers=[_named(member, layer) for member in members for layer in member.layers],
            preprocessing=first.preprocessing,
            device=first.device,
            dtype=first.dtype,
            pooling=first.pooling,
            weights_sha256=_digest(members),
        )
        self.members = tuple(members)
        self.padding = first.padding
        self.rescale_pooling = first.rescale_pooling
        self.native_side = first.native_side
        self.input_size = next((m.input_size for m in members if m.input_size), None)
        self.notice = "; ".join(m.notice for m in members if m.notice) or None

    @property
    def pooling_name(self) -> str:
        """How the networks pool: one word, or one for each where they differ."""
        names = [member.pooling_name for member in self.members]
        return names[0] if len(set(names)) == 1 else SEPARATOR.join(names)

    def resolve(self, layers: Iterable[str]) -> list[str]:
        """Canonical names of layers, each once, in the order given; a bare one becomes several.

        Raises:
            ConfigError: one is unknown, or is bare and not a layer of all networks.
        """
        return list(dict.fromkeys(name for layer in layers for name in self._expand(layer)))

    def parts(self, layers: Iterable[str]) -> list[tuple[Extractor, list[str]]]:
        """What is wanted of each network.

        Args:
            layers: canonical names, or what `resolve` makes such of.

        Returns:
            The networks of which anything is, with their own names of these layers.
        """
        wanted = [self._single(layer) for layer in self.resolve(layers)]
        found = [
            (member, [layer for whose, layer in wanted if whose is member])
            for member in self.members
        ]
        return [(member, own) for member, own in found if own]

    def check_size(self, size: tuple[int, int], layers: Iterable[str]) -> None:
        """Makes sure that an image is of a size that all networks concerned take.

        Raises:
            ImageError: it is not.
            ConfigError: a layer is unknown.
        """
        for member, own in self.parts(layers):
            member.check_size(size, own)

    def channels(self, layer: str) -> int:
        """Channels of a layer."""
        member, own = self._single(layer)
        return member.channels(own)

    def stride(self, layer: str) -> int:
        """Distance of a layer's neighbouring units in pixels of the image."""
        member, own = self._single(layer)
        return member.stride(own)

    def minimum_side(self, layer: str) -> int:
        """The smallest side of an image, in pixels, with which a layer has a unit."""
        member, own = self._single(layer)
        return member.minimum_side(own)

    def receptive_field(self, layer: str) -> ReceptiveField | None:
        """What a layer's units see; None where that is the whole image."""
        member, own = self._single(layer)
        return member.receptive_field(own)

    def _ready(self, image: Tensor) -> Tensor:
        """The image as it is: each network makes its own input of it."""
        return image

    def _run(self, normalised: Tensor, wanted: Sequence[str]) -> Mapping[str, Tensor]:
        found: dict[str, Tensor] = {}
        for member, own in self.parts(wanted):
            features = member(normalised, own)
            found.update({_named(member, layer): value for layer, value in features.items()})
        return found

    def _check_borders(self) -> None:
        for member in self.members:
            member._check_borders()

    def _single(self, layer: str) -> tuple[Extractor, str]:
        """The network that has a layer, and its own name of it."""
        found = list(self._owners(layer))
        if len(found) > 1:
            names = " or ".join(_named(member, own) for member, own in found)
            raise ConfigError(f"{layer} is a layer of several networks", f"use {names}")
        return found[0]

    def _expand(self, layer: str) -> list[str]:
        return [_named(member, own) for member, own in self._owners(layer)]

    def _owners(self, layer: str) -> Iterator[tuple[Extractor, str]]:
        """The networks that a name means, with their own names of the layer."""
        wanted = layer.strip()
        for member in self.members:
            prefix = _named(member, "")
            if wanted.lower().startswith(prefix.lower()):
                return iter([(member, member.resolve([wanted[len(prefix) :]])[0])])
        if ":" in wanted:
            raise ConfigError(f"unknown layer '{layer}'", nearest(wanted, self.layers))
        return self._all(wanted)

    def _all(self, layer: str) -> Iterator[tuple[Extractor, str]]:
        """A layer of every network."""
        found: list[tuple[Extractor, str]] = []
        faults: dict[str, ConfigError] = {}
        for member in self.members:
            try:
                found.append((member, member.resolve([layer])[0]))
            except ConfigError as fault:
                faults[member.name] = fault
        if faults and not found:
            raise next(iter(faults.values()))
        if faults:
            names = ", ".join(_named(member, own) for member, own in found)
            raise ConfigError(
                f"{' and '.join(faults)} of several networks have no layer '{layer}'",
                f"name it with its network: {names}",
            )
        return iter(found)


def members(extractor: Extractor, layer: str) -> list[str]:
    """The layers that a name means: one, or the same of each network of an ensemble.

    Args:
        extractor: a network or several.
        layer: a name or an alias; of an ensemble also ``NETWORK:LAYER``, which means one layer.

    Returns:
        Canonical names.

    Raises:
        ConfigError: the layer is unknown, or bare and not a layer of all networks.

    Example:
        >>> from styler.features import load_extractor
        >>> members(load_extractor("vgg-lite"), "r41")
        ['relu4_1']
    """
    return extractor.resolve([layer])


def spread(extractor: Extractor, weights: Mapping[str, float]) -> dict[str, float]:
    """Weights of layers by canonical name; a layer of several networks is shared among them.

    So a loss that is a weighted sum over layers becomes the mean over networks.

    Args:
        extractor: a network or several.
        weights: by name or alias; those of weight 0 are left out without a look.

    Returns:
        Weights by canonical name. What is named twice has the weight that was given last.

    Raises:
        ConfigError: a layer is unknown.

    Example:
        >>> from styler.features import load_extractor
        >>> spread(load_extractor("vgg-lite"), {"r41": 0.5, "relu5_1": 0.0})
        {'relu4_1': 0.5}
    """
    found: dict[str, float] = {}
    for layer, weight in weights.items():
        if weight:
            names = members(extractor, layer)
            found.update(dict.fromkeys(names, weight / len(names)))
    return found


def network_names(name: str) -> list[str]:
    """The networks that a name stands for: one, or several with commas between them.

    Raises:
        ConfigError: ``auto`` is one of several.

    Example:
        >>> network_names("vgg19-caffe, vgg-lite")
        ['vgg19-caffe', 'vgg-lite']
    """
    names = [each.strip() for each in name.split(SEPARATOR)]
    if len(names) > 1 and "auto" in names:
        raise ConfigError(
            f"backbone '{name}': auto is one network and cannot be one of several",
            "name each of them, such as vgg19-caffe,vgg-lite",
        )
    return names


def _named(member: Extractor, layer: str) -> str:
    return f"{member.name}:{layer}"


def _check(members: Sequence[Extractor]) -> None:
    if len(members) < 2:
        raise ConfigError(f"an ensemble has two networks or more, got {len(members)}")
    names = [member.name for member in members]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} is there twice among several networks", "name each once")
    for one, other in pairwise(members):
        if (one.device, one.dtype) != (other.device, other.dtype):
            raise ConfigError(
                f"{one.name} computes on {one.device} in {one.dtype}, "
                f"{other.name} on {other.device} in {other.dtype}",
                "load both for one device and precision",
            )
        if one.padding != other.padding:
            raise ConfigError(
                f"{one.name} pads by {one.padding}, {other.name} by {other.padding}",
                "load both with one padding",
            )


def _digest(members: Sequence[Extractor]) -> str:
    text = "".join(f"{member.name} {member.weights_sha256}\n" for member in members)
    return hashlib.sha256(text.encode()).hexdigest()
