"""The patches of photographs that excite units most, for those who write programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from styler.features import Extractor
from styler.patches.index import FieldChoice, field_of, index_of
from styler.patches.record import Index
from styler.patches.scan import Scan, Wanted
from styler.patches.sources import find_sources


def top_patches(  # noqa: PLR0913 — all but three by name
    images: str | Path | Sequence[str | Path],
    extractor: Extractor,
    layers: Sequence[str],
    *,
    units: Sequence[int] | None = None,
    k: int = 9,
    per_image: int = 1,
    side: int | None = None,
    inside: bool = False,
    field: FieldChoice = "auto",
) -> Index:
    """Find the patches of photographs that excite units of a network most.

    All layers are had of one pass of each photograph through the network. Photographs are shown
    whole, transparent ones on grey, unless the network takes squares alone, or they are more than
    four times as long as wide. Of equal activations that of the photograph whose path comes first
    counts, and in it the place that comes first, row by row.

    Args:
        images: a folder, with all below it, or files. Of files with the same content the first
            counts.
        extractor: the network.
        layers: names or aliases, at least one.
        units: channels of each layer; None for all.
        k: patches of a unit, at most.
        per_image: patches of one photograph among them, at most; they share at most half of what
            the unit sees.
        side: shorter side in pixels at which photographs are shown; None for that of the network's
            own pictures.
        inside: whether only places count whose fields lie in the photograph wholly: padding around
            it excites many units. In layers whose units see more than half of its shorter side all
            places count.
        field: what a patch shows: all that the unit can see ("theoretical"), the part that 90% of
            its gradient's energy comes from ("effective"), the whole photograph ("full"), or what
            suits the layer ("auto"): all that it can see where that is known and no larger than
            photographs are shown, else the effective field.

    Returns:
        For each unit its patches, the strongest first, in pixels of the photographs' files, and how
        its activation is distributed. `styler.patches.crops.crops` cuts the patches out. A unit
        whose activation was 0 in all photographs has none.

    Raises:
        ImageError: not one photograph could be read, or a layer cannot be had at that size.
        ConfigError: a layer, unit or field is unknown.
        UsageError: a number is too small.
        DeviceError: memory ran out.

    Example:
        >>> import tempfile, torch
        >>> from styler.features import load_extractor
        >>> from styler.images import write_picture
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     picture = torch.zeros(1, 3, 64, 96)
        ...     picture[..., 20:28, 50:58] = 1
        ...     _ = write_picture(f"{folder}/white.png", picture)
        ...     index = top_patches(folder, load_extractor("vgg-lite"), ["relu1_1"], side=64)
        >>> unit = index.layers[0].units[0]
        >>> unit.name, unit.patches[0].box
        ('relu1_1:0', Box(top=20.0, left=50.0, bottom=23.0, right=53.0))

    References:
        Zeiler, Fergus 2013, "Visualizing and Understanding Convolutional Networks", arXiv
        1311.2901, section 4 (the nine strongest activations of a unit; there from crops of 224
        pixels, here from whole photographs).
    """
    scan = Scan(
        extractor,
        Wanted(layers=layers, units=units, k=k, per_image=per_image, side=side, inside=inside),
        find_sources(images),
    )
    for layer in scan.layers:
        field_of(extractor, layer, scan.framing, field)
    scan.run()
    return index_of(scan, field)
