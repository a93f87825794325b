"""What a microscope is to show, settled before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from styler.config import Resolved, VisualizeConfig
from styler.errors import ConfigError, UsageError
from styler.features import EnsembleExtractor, Extractor
from styler.patches.choice import parse_numbers, usual_layers
from styler.patches.index import FieldChoice
from styler.patches.scan import Wanted
from styler.units import CLASSES

LAYERS = 6
"""The most layers that are chosen where none are named."""
UNITS = "0-15"
"""Units of each layer that are shown where none are named."""
SIZE = 128
"""Pixels of a synthetic picture's side where neither recipe nor network ask for another."""
STEPS = 96
"""Steps of a synthetic picture where the recipe asks for no other number."""

ROOM = 32
"""Pixels of it that may be out of a view."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be shown, and where.

    Args:
        output: folder of the site.
        units: layer → channels, both in order.
        resolved: settings of the synthetic pictures.
        images: folder of photographs; None for a site of synthetic pictures alone.
        k: patches of a unit at most.
        projections: of how many of these patches a projection is made, where units do not see the
            whole picture.
        field: what patches show; "auto": all that a unit can see, where that is known and no larger
            than photographs are shown, else what it does see.
        inside: whether only places count whose fields lie in a photograph wholly, see
            `styler.patches.scan.Wanted`.
        synthetic: whether there are synthetic pictures.
        overwrite: make anew what is there, and replace pages of others.

    Raises:
        UsageError: there would be nothing to see, or a number is out of range.
    """

    output: Path
    units: Mapping[str, Sequence[int]]
    resolved: Resolved[VisualizeConfig]
    images: Path | None = None
    k: int = 9
    projections: int = 1
    field: FieldChoice = "auto"
    inside: bool = False
    synthetic: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check what concerns no file."""
        if self.images is None and not self.synthetic:
            raise UsageError(
                "neither photographs nor synthetic pictures are asked for",
                "name a folder with --images, or leave --no-synthetic out",
            )
        if self.k < 1:
            raise UsageError(f"{self.k} patches of a unit are asked for", "choose 1 or more")
        if self.projections < 0:
            raise UsageError(f"{self.projections} projections are asked for", "choose 0 or more")

    @property
    def wanted(self) -> Wanted:
        """What is looked for in photographs: all units, so that others can be shown later."""
        return Wanted(layers=list(self.units), k=self.k, inside=self.inside)

    @property
    def count(self) -> int:
        """Units in all."""
        return sum(len(channels) for channels in self.units.values())


def chosen_units(extractor: Extractor, layers: Sequence[str], units: str) -> dict[str, list[int]]:
    """The units of a microscope.

    Args:
        extractor: the network.
        layers: names or aliases; none for `main_layers`.
        units: of each layer: ``all``, or numbers and ranges with commas between them; those that
            a layer does not have are left out.

    Returns:
        Layer → channels, both in order.

    Raises:
        ConfigError: a layer is unknown or has none of the units, the units cannot be read, or the
            network is an ensemble.

    Example:
        >>> from styler.features import load_extractor
        >>> chosen_units(load_extractor("vgg-lite"), ["r41", "relu1_2"], "0,22-30")
        {'relu1_2': [0, 22, 23], 'relu4_1': [0, 22, 23, 24, 25, 26, 27, 28, 29, 30]}
    """
    if isinstance(extractor, EnsembleExtractor):
        raise ConfigError("a microscope shows one network", "name one, not several")
    wanted = set(extractor.resolve(layers)) if layers else set(main_layers(extractor))
    ordered = [layer for layer in extractor.layers if layer in wanted]
    numbers = parse_numbers(units)
    found = {}
    for layer in ordered:
        count = extractor.channels(layer)
        channels = range(count) if numbers is None else sorted({n for n in numbers if n < count})
        if not channels:
            raise ConfigError(
                f"{layer} has none of the units {units}", f"it has {count}, from 0 to {count - 1}"
            )
        found[layer] = list(channels)
    return found


def small_and_fast(extractor: Extractor, layers: Sequence[str]) -> dict[str, Any]:
    """Settings of synthetic pictures that recipes and people may change, by dotted key.

    Args:
        extractor: the network. One that takes a single size, or has a layer for which pictures
            would be too small, has its own.
        layers: canonical names.
    """
    least = max(extractor.minimum_side(layer) for layer in layers)
    fits = extractor.input_size is None and least <= SIZE - ROOM
    return {"schedule.steps": STEPS, **({"schedule.size": SIZE} if fits else {})}


def main_layers(extractor: Extractor) -> list[str]:
    """A handful of layers in which a network can be looked at.

    Of a VGG network the `usual_layers`, one of each block. Of another, the end of each of its
    stages: of all layers with the same stride, the last of the least nested modules; and the
    classes. Where that is more than `LAYERS`, they are evenly chosen.

    Args:
        extractor: the network.

    Returns:
        Canonical names, in order.

    Example:
        >>> from styler.features import load_extractor
        >>> main_layers(load_extractor("vgg-lite"))
        ['relu1_2', 'relu2_2', 'relu3_3', 'relu4_3', 'relu5_1']
    """
    try:
        chosen = usual_layers(extractor)
    except ConfigError:  # it is no VGG
        chosen = _stages(extractor)
    count = min(LAYERS, len(chosen))
    return [chosen[round(k * (len(chosen) - 1) / max(1, count - 1))] for k in range(count)]


def _stages(extractor: Extractor) -> list[str]:
    stages: dict[int, str] = {}
    for layer in extractor.layers:
        try:
            stride = extractor.stride(layer)
        except ConfigError:  # a vector has none
            continue
        known = stages.get(stride)
        if known is None or layer.count(".") <= known.count("."):
            stages[stride] = layer
    ends = set(stages.values()) if stages else set(extractor.layers)
    if CLASSES in extractor.layers:
        ends.add(CLASSES)
    return [layer for layer in extractor.layers if layer in ends]
