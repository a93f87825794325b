"""How good a feature visualization is: numbers that a person need not look for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from styler.activation import ActivationTerm, Unit
from styler.config import ViewConfig
from styler.errors import ImageError
from styler.features import Extractor
from styler.images import read_picture, resize
from styler.transforms import Robust

VIEWS = 16
"""Random views of which the robust activation is the mean."""
VIEW_SEED = 2**61 - 1
"""Of those views: no optimisation draws from it."""
JITTER = 16
"""Pixels of play of those views, or an eighth of the picture's side if that is less."""
GREY = 0.5
"""What a transparent picture is judged on."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What is known of a unit's picture.

    Args:
        clean: activation of the picture as it is written, with 8 bits a value.
        robust: mean activation over unseen random views, as a share of `clean`; None where `clean`
            is not above 0.
        rank: of the unit among all channels of its layer, by their mean activations, 1 for the
            most active; None for units that are no single channel.
        channels: of the layer; None likewise.
        natural: the strongest activation by a photograph; None when none were looked at.
        ratio: `clean` as a multiple of `natural`; None where that is not above 0.
        dead: neither the picture nor any view of it makes the unit differ from 0, which is what a
            ReLU gives that nothing excites.
    """

    clean: float
    robust: float | None = None
    rank: int | None = None
    channels: int | None = None
    natural: float | None = None
    ratio: float | None = None
    dead: bool = False

    def words(self) -> str:
        """For people, in one short line.

        Example:
            >>> Quality(clean=11.2, robust=0.83, rank=1, channels=512).words()
            'activation 11.2, rank 1 of 512, robust 0.83'
        """
        if self.dead:
            return "dead: nothing excites it"
        words = [f"activation {self.clean:.3g}"]
        if self.rank is not None:
            words.append(f"rank {self.rank} of {self.channels}")
        if self.ratio is not None:
            words.append(f"{self.ratio:.2g}× the strongest photograph")
        if self.robust is not None:
            words.append(f"robust {self.robust:.2f}")
        return ", ".join(words)


def judge(
    units: Sequence[Unit],
    images: Tensor,
    extractor: Extractor,
    *,
    natural: Mapping[str, float] | None = None,
    batch: int = 8,
) -> list[Quality]:
    """Judge pictures by the network that they were made for.

    Args:
        units: one for each picture.
        images: (B, 3 or 4, H, W) in [0, 1]; transparent ones are judged on grey.
        extractor: the network.
        natural: the strongest activation of each unit by a photograph, by its name.
        batch: pictures at a time.

    Returns:
        One for each picture.
    """
    found: dict[int, Quality] = {}
    groups: dict[frozenset[str], list[int]] = defaultdict(list)
    for index, unit in enumerate(units):
        groups[unit.layers].append(index)
    for members in groups.values():
        for start in range(0, len(members), batch):
            some = members[start : start + batch]
            chosen = [units[index] for index in some]
            judged = _judge(chosen, as_written(images[some]), extractor, natural or {})
            found.update(zip(some, judged, strict=True))
    return [found[index] for index in range(len(units))]


def as_written(images: Tensor) -> Tensor:
    """Pictures with 8 bits a value, transparent ones on grey, as (B, 3, H, W)."""
    rounded = (images.clamp(0, 1) * 255).round() / 255
    if rounded.shape[1] == 3:
        return rounded
    colours, alpha = rounded[:, :3], rounded[:, 3:]
    return alpha * colours + (1 - alpha) * GREY


def _judge(
    units: Sequence[Unit], images: Tensor, extractor: Extractor, natural: Mapping[str, float]
) -> list[Quality]:
    term = ActivationTerm(units)
    images = images.to(extractor.device)
    size = (images.shape[-2], images.shape[-1])
    jitter = min(JITTER, min(size) // 8)
    least = max(extractor.minimum_side(layer) for layer in term.layers)
    if min(size) - jitter < least or extractor.input_size is not None:
        jitter = 0
    views = Robust(
        ViewConfig(pad=0, jitter=(jitter,), scales=(0.9, 0.95, 1.0, 1.05, 1.1), degrees=10, noise=0)
    )
    generators = [torch.Generator().manual_seed(VIEW_SEED) for _ in units]
    with torch.no_grad():
        features = extractor(images, term.layers)
        clean = term.values(features).tolist()
        seen = []
        for _ in range(VIEWS):
            draw = views.draw(size, generators, [1.0] * len(units))
            seen.append(term.values(extractor(draw(images), term.layers)))
    viewed = torch.stack(seen)
    means, silent = viewed.mean(0).tolist(), (viewed == 0).all(0).tolist()
    judged = []
    for row, unit in enumerate(units):
        rank, channels = _rank(unit, features, row)
        strongest = natural.get(unit.name)
        judged.append(
            Quality(
                clean=clean[row],
                robust=means[row] / clean[row] if clean[row] > 0 else None,
                rank=rank,
                channels=channels,
                natural=strongest,
                ratio=clean[row] / strongest if strongest and strongest > 0 else None,
                dead=clean[row] == 0 and silent[row],
            )
        )
    return judged


def _rank(unit: Unit, features: Mapping[str, Tensor], row: int) -> tuple[int | None, int | None]:
    part = unit.parts[0]
    if len(unit.parts) > 1 or part.channel is None or part.weight < 0:
        return None, None
    maps = features[part.layer][row].float()
    means = maps.flatten(1).mean(1) if maps.ndim == 3 else maps
    return int((means > means[part.channel]).sum()) + 1, len(means)


def strongest_natural(
    units: Sequence[Unit],
    pictures: Iterable[Path],
    extractor: Extractor,
    *,
    side: int,
    progress: Callable[[int], None] | None = None,
    batch: int = 8,
) -> dict[str, tuple[float, Path]]:
    """The photograph that excites each unit most.

    Every photograph is seen once, whatever the number of units and layers. Files that cannot be
    read are passed over.

    Args:
        units: what is to be excited.
        pictures: files; of each the largest centred square is taken.
        extractor: the network.
        side: to which the square is scaled, in pixels: that of the pictures compared with.
        progress: called with the number of photographs looked at.
        batch: photographs at a time.

    Returns:
        By name of the unit: the activation, and the photograph.

    Raises:
        ImageError: not one file could be read.
    """
    found: dict[str, tuple[float, Path]] = {}
    looked = 0
    waiting: list[tuple[Path, Tensor]] = []

    def look() -> None:
        images = torch.cat([image for _, image in waiting]).to(extractor.device)
        with torch.no_grad():
            features = extractor(images, frozenset().union(*(unit.layers for unit in units)))
        for unit in units:
            values = ActivationTerm([unit] * len(images)).values(features)
            value, place = float(values.max()), int(values.argmax())
            if unit.name not in found or value > found[unit.name][0]:
                found[unit.name] = (value, waiting[place][0])
        waiting.clear()

    for path in pictures:
        try:
            waiting.append((path, square(read_picture(path).pixels, side)))
        except ImageError:
            continue
        looked += 1
        if len(waiting) == batch:
            look()
        if progress:
            progress(looked)
    if waiting:
        look()
    if not looked:
        raise ImageError("none of the photographs could be read", "name a folder of photographs")
    return found


def square(picture: Tensor, side: int) -> Tensor:
    """The largest centred square of a picture, scaled.

    Args:
        picture: (1, C, H, W).
        side: of the result, in pixels.

    Returns:
        (1, C, side, side).
    """
    height, width = picture.shape[-2:]
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    return resize(picture[..., top : top + least, left : left + least], (side, side))
