"""How good a feature visualization is: numbers that a person need not look for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from styler.activation import ActivationTerm, Unit
from styler.config import ViewConfig
from styler.errors import UsageError
from styler.features import Extractor
from styler.natural import fitting, on_grey, square, strongest_natural, takes
from styler.objective import Features
from styler.runtime import memory_errors_explained
from styler.transforms import Draw, Robust

__all__ = ["Quality", "as_written", "judge", "square", "strongest_natural"]

VIEWS = 16
"""Random views of which the robust activation is the mean."""
VIEW_SEED = 2**61 - 1
"""Added to the seed of those views; seeds of units at work have 56 bits, so none is the same."""
JITTER = 16
"""Pixels of play of those views, or an eighth of the picture's side if that is less."""
SCALES = (0.9, 0.95, 1.0, 1.05, 1.1)
"""Factors of those views."""
DEGREES = 10
"""By which those views are turned at most, either way."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What is known of a unit's picture.

    Args:
        clean: activation of the picture as it is written, with 8 bits a value.
        robust: mean activation over unseen random views, as a share of `clean`; None where `clean`
            is not above 0.
        rank: of the unit among all channels of its layer, by their mean activations over all
            positions of the picture, 1 for the most active; equals share a rank. None for units
            that are not one channel, or one to be silenced.
        channels: of the layer; None likewise.
        natural: the strongest activation by a photograph; None when none were looked at.
        ratio: `clean` as a multiple of `natural`; None where that is not above 0.
        dead: the parts of the unit that are to be active are exactly 0 together, in the picture
            and in each of its views, and no photograph looked at made the unit positive. It is what
            a ReLU gives that nothing excites. A logit below 0 is not dead, nor is a unit that a
            photograph excites while its picture does not, nor one that is only to be silenced.
    """

    clean: float
    robust: float | None = None
    rank: int | None = None
    channels: int | None = None
    natural: float | None = None
    ratio: float | None = None
    dead: bool = False

    def words(self, photographs: int | None = None) -> str:
        """For people, in one short line.

        Args:
            photographs: how many were looked at, if that is known.

        Example:
            >>> quality = Quality(clean=11.2, robust=0.83, rank=1, channels=512, ratio=3.4)
            >>> quality.words(1000)
            'activation 11.2, rank 1 of 512, 3.4× the strongest of 1000 photographs, robust 0.83'
            >>> Quality(clean=0.0, dead=True).words()
            'dead: never active'
        """
        if self.dead:
            return "dead: never active"
        words = [f"activation {_number(self.clean, 3)}"]
        if self.rank is not None:
            words.append(f"rank {self.rank} of {self.channels}")
        many = photographs is not None and photographs > 1
        strongest = f"strongest of {photographs} photographs" if many else "strongest photograph"
        if self.ratio is not None and self.ratio >= 0:
            words.append(f"{_number(self.ratio, 2)}× the {strongest}")
        elif self.natural is not None:
            words.append(f"the {strongest} {_number(self.natural, 3)}")
        if self.robust is not None:
            words.append(f"robust {self.robust:.2f}")
        return ", ".join(words)


def _number(value: float, digits: int) -> str:
    """With some significant digits, large ones as whole numbers."""
    return f"{value:.0f}" if abs(value) >= 10**digits - 0.5 else f"{value:.{digits}g}"


def judge(
    units: Sequence[Unit],
    images: Tensor,
    extractor: Extractor,
    *,
    natural: Mapping[str, float] | None = None,
    seed: int = 0,
    batch: int = 8,
) -> list[Quality]:
    """Judge pictures by the network that they were made for.

    Units of the same layers pass through the network together, cut at the deepest. All are seen
    through the same `VIEWS` views, so that a picture's numbers do not depend on the others. Views
    are smaller than the picture by their jitter and show nothing beyond it but at turned or shrunk
    corners, which are grey. A network that takes one size alone is shown pictures scaled to it, and
    views of that size, grey at the sides; likewise a picture too small for a layer is enlarged.

    Directions are judged by the dot product times the squared cosine, whatever power the pictures
    were made with.

    Args:
        units: one for each picture.
        images: (B, 3 or 4, H, W) in [0, 1]; transparent ones are judged on grey.
        extractor: the network.
        natural: the strongest activation of each unit by a photograph, by its name.
        seed: of the views.
        batch: pictures or views at a time.

    Returns:
        One for each picture.

    Raises:
        UsageError: there are not as many pictures as units.
        ConfigError: a layer is unknown.
        DeviceError: memory ran out.

    Example:
        >>> from styler.activation import Part
        >>> from styler.features import load_extractor
        >>> unit = Unit("relu1_1:1", (Part("relu1_1", channel=1),))
        >>> (quality,) = judge([unit], torch.zeros(1, 3, 32, 32), load_extractor("vgg-lite"))
        >>> quality.channels
        32
    """
    if len(units) != len(images):
        raise UsageError(f"{len(images)} pictures of {len(units)} units", "judge one of each")
    found: dict[int, Quality] = {}
    groups: dict[frozenset[str], list[int]] = defaultdict(list)
    for index, unit in enumerate(units):
        groups[unit.layers].append(index)
    with torch.no_grad(), memory_errors_explained(extractor.device):
        for members in groups.values():
            for start in range(0, len(members), batch):
                some = members[start : start + batch]
                judging = _Judging([units[index] for index in some], extractor)
                judged = judging(as_written(images[some]), natural or {}, seed, batch)
                found.update(zip(some, judged, strict=True))
    return [found[index] for index in range(len(units))]


def as_written(images: Tensor) -> Tensor:
    """Pictures with 8 bits a value, transparent ones on grey, as (B, 3, H, W)."""
    rounded = (images.clamp(0, 1) * 255).round() / 255
    return on_grey(rounded[:, :3], rounded[:, 3:] if rounded.shape[1] == 4 else None)


class _Judging:
    """Some units of the same layers, whose pictures are judged together."""

    def __init__(self, units: Sequence[Unit], extractor: Extractor) -> None:
        self.units = units
        self.extractor = extractor
        self.layers = units[0].layers
        self.wanted = [
            replace(unit, parts=tuple(part for part in unit.parts if part.weight > 0))
            for unit in units
        ]

    def __call__(
        self, images: Tensor, natural: Mapping[str, float], seed: int, batch: int
    ) -> list[Quality]:
        size = (images.shape[-2], images.shape[-1])
        shown = fitting(size, self.extractor, self.layers)
        images = images if shown == size else square(images, shown[0])
        images = images.to(self.extractor.device)
        features = self.extractor(images, self.layers)
        clean, silent = self._values(features, 1)
        robust, still = self._robust(images, seed, batch)
        values, means = clean[:, 0].tolist(), robust.tolist()
        silences = (silent[:, 0] & still).tolist()
        judged = []
        for row, unit in enumerate(self.units):
            value, strongest = values[row], natural.get(unit.name)
            excited = strongest is not None and strongest > 0
            rank, channels = _rank(unit, features, row)
            judged.append(
                Quality(
                    clean=value,
                    robust=means[row] / value if value > 0 else None,
                    rank=rank,
                    channels=channels,
                    natural=strongest,
                    ratio=value / strongest if strongest is not None and excited else None,
                    dead=silences[row] and bool(self.wanted[row].parts) and not excited,
                )
            )
        return judged

    def _robust(self, images: Tensor, seed: int, batch: int) -> tuple[Tensor, Tensor]:
        """The mean activation over the views, and whether none excites: both (B,)."""
        draw = self._draw((images.shape[-2], images.shape[-1]), seed)
        total = torch.zeros(len(images), device=images.device)
        still = torch.ones(len(images), dtype=torch.bool, device=images.device)
        each = max(1, batch // len(images))
        for start in range(0, VIEWS, each):
            thetas = draw.theta[start : start + each]
            views = Draw(thetas.repeat(len(images), 1, 1), draw.size)(images)
            values, silent = self._values(self.extractor(views, self.layers), len(thetas))
            total += values.sum(1)
            still &= silent.all(1)
        return total / VIEWS, still

    def _draw(self, size: tuple[int, int], seed: int) -> Draw:
        """The views of every picture."""
        jitter = 2 * (min(JITTER, min(size) // 8) // 2)
        smaller = takes(self.extractor, (size[0] - jitter, size[1] - jitter), self.layers)
        config = ViewConfig(
            pad=0 if smaller else jitter // 2,
            jitter=(jitter,),
            scales=SCALES,
            degrees=DEGREES,
            noise=0.0,
        )
        generator = torch.Generator().manual_seed(VIEW_SEED + seed)
        return Robust(config).draw(size, [generator] * VIEWS, [1.0] * VIEWS)

    def _values(self, features: Features, each: int) -> tuple[Tensor, Tensor]:
        """Of each view of each unit, (B, each): its activation, and whether nothing excites it."""

        def seen(units: Sequence[Unit]) -> Tensor:
            rows = [unit for unit in units for _ in range(each)]
            return ActivationTerm(rows).values(features).view(len(units), each)

        return seen(self.units), seen(self.wanted) == 0


def _rank(unit: Unit, features: Features, row: int) -> tuple[int | None, int | None]:
    part = unit.parts[0]
    if len(unit.parts) > 1 or part.channel is None or part.weight <= 0:
        return None, None
    maps = features[part.layer][row].float()
    means = maps.flatten(1).mean(1) if maps.ndim == 3 else maps
    return int((means > means[part.channel]).sum()) + 1, len(means)
