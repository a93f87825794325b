"""How photographs excite units: what a visualization has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from styler.activation import ActivationTerm, Unit
from styler.errors import ImageError
from styler.features import Extractor
from styler.images import read_picture, resize
from styler.runtime import memory_errors_explained
from styler.transforms import GREY


def strongest_natural(
    units: Sequence[Unit],
    pictures: Iterable[Path],
    extractor: Extractor,
    *,
    side: int,
    progress: Callable[[int], None] | None = None,
    skipped: Callable[[Path, ImageError], None] | None = None,
    batch: int = 8,
) -> dict[str, tuple[float, Path]]:
    """The photograph that excites each unit most.

    Every photograph is read once and passes through the network once, up to the deepest layer of
    all units. A few are in memory at a time, however many there are.

    Args:
        units: what is to be excited, of any layers.
        pictures: files. Of each the largest centred square is taken, transparent ones on grey.
        extractor: the network.
        side: to which the square is scaled, in pixels: that of the pictures compared with. Where
            a layer cannot be had at that size, it is the smallest at which all can.
        progress: called after each few photographs, with the number looked at so far.
        skipped: called with each file that cannot be read, which is passed over.
        batch: photographs at a time.

    Returns:
        By name of the unit: the activation, as `ActivationTerm.values` has it, and the photograph;
        of equals the first.

    Raises:
        ImageError: not one file could be read.
        ConfigError: a layer is unknown.
        DeviceError: memory ran out.

    Example:
        >>> from styler.activation import Part
        >>> from styler.features import load_extractor
        >>> unit = Unit("relu1_1:1", (Part("relu1_1", channel=1),))
        >>> strongest_natural([unit], [], load_extractor("vgg-lite"), side=64)
        Traceback (most recent call last):
        styler.errors.ImageError: none of the photographs could be read

    References:
        Borowski et al. 2021, "Exemplary Natural Images Explain CNN Activations Better than
        State-of-the-Art Feature Visualization", arXiv 2010.12606 (why they are compared).
    """
    term = ActivationTerm(units)
    side = fitting((side, side), extractor, term.layers)[0]
    best = torch.full((len(units),), -torch.inf)
    found: dict[str, tuple[float, Path]] = {}
    looked = 0
    for paths, squares in _read(pictures, side, batch, skipped):
        with torch.no_grad(), memory_errors_explained(extractor.device):
            values = _responses(term, squares.to(extractor.device), extractor).cpu()
        highest, rows = values.max(0)
        for place in (highest > best).nonzero().flatten().tolist():
            found[units[place].name] = (float(highest[place]), paths[int(rows[place])])
        best = torch.maximum(best, highest)
        looked += len(paths)
        if progress:
            progress(looked)
    if not looked:
        raise ImageError("none of the photographs could be read", "name a folder of photographs")
    return found


def _read(
    pictures: Iterable[Path],
    side: int,
    batch: int,
    skipped: Callable[[Path, ImageError], None] | None,
) -> Iterator[tuple[list[Path], Tensor]]:
    """Files that can be read and their squares, (N, 3, side, side), a few at a time."""
    paths: list[Path] = []
    squares: list[Tensor] = []
    for path in pictures:
        try:
            picture = read_picture(path)
        except ImageError as error:
            if skipped:
                skipped(path, error)
            continue
        paths.append(path)
        squares.append(square(on_grey(picture.pixels, picture.alpha), side))
        if len(paths) == batch:
            yield paths, torch.cat(squares)
            paths, squares = [], []
    if paths:
        yield paths, torch.cat(squares)


def _responses(term: ActivationTerm, images: Tensor, extractor: Extractor) -> Tensor:
    """How active all units are in each image, (N, units)."""
    features = extractor(images, term.layers)
    # A term wants the features of a picture for each unit: the same ones, which are not copied.
    return torch.stack(
        [
            term.values(
                {
                    layer: maps[row].expand(len(term.units), *maps.shape[1:])
                    for layer, maps in features.items()
                }
            )
            for row in range(len(images))
        ]
    )


def takes(extractor: Extractor, size: tuple[int, int], layers: Iterable[str]) -> bool:
    """Whether layers of a network can be had of an image of a size, (height, width).

    Raises:
        ConfigError: a layer is unknown.
    """
    try:
        extractor.check_size(size, layers)
    except ImageError:
        return False
    return True


def fitting(size: tuple[int, int], extractor: Extractor, layers: Iterable[str]) -> tuple[int, int]:
    """The size at which pictures are shown to a network: their own, if layers can be had of it.

    Args:
        size: (height, width) in pixels.
        extractor: the network.
        layers: that are wanted.

    Returns:
        The size itself, else that of the smallest square of which all layers can be had.

    Raises:
        ConfigError: a layer is unknown.

    Example:
        >>> from styler.features import load_extractor
        >>> extractor = load_extractor("vgg-lite")
        >>> fitting((64, 48), extractor, ["relu4_1"]), fitting((6, 5), extractor, ["relu4_1"])
        ((64, 48), (8, 8))
    """
    wanted = list(layers)
    if takes(extractor, size, wanted):
        return size
    least = max(extractor.minimum_side(layer) for layer in wanted)
    return least, least


def on_grey(colours: Tensor, alpha: Tensor | None) -> Tensor:
    """A picture as it is seen on grey.

    Args:
        colours: (B, 3, H, W).
        alpha: (B, 1, H, W), straight; None where all is opaque.
    """
    return colours if alpha is None else alpha * colours + (1 - alpha) * GREY


def square(picture: Tensor, side: int) -> Tensor:
    """The largest centred square of pictures, scaled.

    Args:
        picture: (B, C, H, W) in [0, 1].
        side: of the result, in pixels.

    Returns:
        (B, C, side, side).
    """
    height, width = picture.shape[-2:]
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    return resize(picture[..., top : top + least, left : left + least], (side, side))
