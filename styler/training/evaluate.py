"""Judge a student by what it makes: ``python -m styler.training.evaluate --help``.

Pictures are made from the same contents and styles with the teacher, with the teacher in the
student's time, and with each student; then networks look at them: the teacher, which the student
imitates, and one that nobody optimised for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from styler.config import ContentConfig, ScheduleConfig, StyleConfig, TransferConfig
from styler.engine import DirectGradient
from styler.errors import ImageError, UsageError
from styler.features import Extractor, load_extractor
from styler.features.base import Pooling
from styler.features.vgg import VggExtractor
from styler.images import read_picture, resize
from styler.params import PixelImage
from styler.runtime import resolve_device, resolve_precision
from styler.training.data import PICTURES
from styler.training.matching import POSITIONS, unexplained
from styler.training.student import TAPS, student_of_file
from styler.transfer import Problem

TEACHER, HURRIED = "teacher", "teacher in the student's time"
"""Names of the two pictures that students are compared with."""

SQUEEZENET_STYLE = ("features.1", "features.4", "features.7", "features.10", "features.12")
SQUEEZENET_CONTENT = "features.9"
"""Layers of SqueezeNet at about the strides of the VGG layers that the default preset reads."""


@dataclass(frozen=True)
class Pair:
    """One content and one style.

    Args:
        name: ``content+style``.
        content: (1, 3, H, W) sRGB in [0, 1].
        style: (1, 3, H', W') likewise.
    """

    name: str
    content: Tensor
    style: Tensor


def read_pairs(contents: Path, styles: Path, count: int) -> list[Pair]:
    """Combine the pictures of two folders, so that each occurs about equally often.

    Args:
        contents: folder of content pictures.
        styles: folder of style pictures.
        count: pairs wanted.

    Returns:
        At most `count` different pairs, the same for the same folders.

    Raises:
        ImageError: a folder holds no picture.
    """
    left, right = _pictures(contents), _pictures(styles)
    # A stride without a common divisor leads every content to every style before it repeats.
    stride = len(left) + 1 if math.gcd(len(left) + 1, len(right)) == 1 else 1
    chosen = []
    for number in range(min(count, len(left) * len(right))):
        turn, place = divmod(number, len(left))
        chosen.append((left[place], right[(place + turn * stride) % len(right)]))
    return [
        Pair(f"{c.stem}+{s.stem}", read_picture(c).pixels, read_picture(s).pixels)
        for c, s in chosen
    ]


def _pictures(folder: Path) -> list[Path]:
    found = sorted(f for f in folder.glob("*") if f.suffix.lower() in PICTURES)
    if not found:
        raise ImageError(f"no pictures in {folder}", "name a folder of pictures")
    return found


@dataclass(frozen=True)
class Painted:
    """A picture and what it cost.

    Args:
        image: (1, 3, H, W).
        seconds: of optimisation.
        steps: taken.
    """

    image: Tensor
    seconds: float
    steps: int


def paint(pair: Pair, extractor: Extractor, config: TransferConfig) -> Painted:
    """Make the picture of a pair."""
    started = time.perf_counter()
    result = Problem(pair.content, pair.style, config, extractor).solve()
    return Painted(result.image, time.perf_counter() - started, result.run.done)


def hurried(config: TransferConfig, share: float) -> TransferConfig:
    """The same settings with fewer steps at each scale: a share of each, at least one."""
    steps = tuple(max(1, round(share * number)) for number in config.schedule.steps)
    schedule = ScheduleConfig(size=config.schedule.size, steps=steps)
    return TransferConfig(strength=config.strength, schedule=schedule)


class Judge:
    """Measures how far a picture is from its style and its content, as a network sees it.

    Args:
        name: of the network.
        extractor: the network.
        config: whose style and content losses are measured, unweighted.
    """

    def __init__(self, name: str, extractor: Extractor, config: TransferConfig) -> None:
        self.name = name
        self.extractor = extractor
        self.config = config

    def __call__(self, pair: Pair, image: Tensor) -> dict[str, float]:
        """The losses "style" and "content" of a picture at its own size."""
        objective = Problem(pair.content, pair.style, self.config, self.extractor)
        terms = objective.objective(objective.levels[-1])
        with torch.no_grad():
            losses = terms(image, self.extractor(image, terms.layers)).losses
        return {name: float(losses[name]) for name in ("style", "content")}


def settings(size: int) -> TransferConfig:
    """The default preset at a size."""
    return TransferConfig(schedule=ScheduleConfig(size=size))


def load_students(files: Sequence[Path], device: str, precision: str) -> dict[str, Extractor]:
    """Students by the names of their files, with the pooling of the default preset.

    Raises:
        BackboneError: a file is missing, damaged or no student.
        UsageError: two files have the same name.
    """
    place, pooling = resolve_device(device), TransferConfig().backbone.pooling
    dtype = resolve_precision(precision, place)
    found: dict[str, Extractor] = {}
    for file in files:
        spec, weights = student_of_file(file)
        if spec.name in found:
            raise UsageError(f"two files are called {file.name}", "rename one")
        found[spec.name] = VggExtractor(spec, weights, device=place, dtype=dtype, pooling=pooling)
    return found


def load_teacher(device: str, precision: str, pooling: Pooling = "average") -> Extractor:
    """VGG-19 as Gatys et al. used it."""
    place = resolve_device(device)
    dtype = resolve_precision(precision, place)
    return load_extractor("vgg19-caffe", device=place, dtype=dtype, pooling=pooling)


def judges_for(teacher: Extractor, config: TransferConfig) -> list[Judge]:
    """The teacher itself, and SqueezeNet with max pooling, as it was trained."""
    other = load_extractor("squeezenet1_0", device=teacher.device, dtype=torch.float32)
    layers = TransferConfig(
        content=ContentConfig(layers={SQUEEZENET_CONTENT: 1.0}),
        style=StyleConfig(layers=dict.fromkeys(SQUEEZENET_STYLE, 1.0)),
        schedule=config.schedule,
    )
    return [Judge("VGG-19", teacher, config), Judge("SqueezeNet", other, layers)]


@dataclass(frozen=True)
class Row:
    """One pair's outcome.

    Args:
        pair: its name.
        painted: pictures by painter: the students' names, `TEACHER`, `HURRIED`.
        losses: judge → painter → "style" and "content" → loss.
    """

    pair: str
    painted: Mapping[str, Painted]
    losses: Mapping[str, Mapping[str, Mapping[str, float]]]

    def ratio(self, judge: str, loss: str, painter: str, other: str) -> float:
        """A painter's loss as a multiple of another's."""
        of = self.losses[judge]
        return of[painter][loss] / of[other][loss]


def evaluate(
    pairs: Sequence[Pair],
    students: Mapping[str, Extractor],
    teacher: Extractor,
    judges: Sequence[Judge],
    config: TransferConfig,
) -> Iterator[Row]:
    """Paint every pair with everybody, and have the judges look.

    The hurried teacher takes the time of the first student.

    Args:
        pairs: what to paint.
        students: by name, at least one.
        teacher: the network they imitate.
        judges: who looks.
        config: settings of all pictures.

    Yields:
        A row per pair.
    """
    for pair in pairs:
        painted = {name: paint(pair, student, config) for name, student in students.items()}
        slow = painted[TEACHER] = paint(pair, teacher, config)
        share = painted[next(iter(students))].seconds / slow.seconds
        painted[HURRIED] = paint(pair, teacher, hurried(config, share))
        losses = {
            judge.name: {name: judge(pair, result.image) for name, result in painted.items()}
            for judge in judges
        }
        yield Row(pair.name, painted, losses)


def medians(rows: Sequence[Row], judge: str, painter: str, other: str) -> dict[str, float]:
    """Median over pairs of a painter's style and content losses as multiples of another's."""
    return {
        loss: median(row.ratio(judge, loss, painter, other) for row in rows)
        for loss in ("style", "content")
    }


def unexplained_taps(
    students: Mapping[str, Extractor], teacher: Extractor, pairs: Sequence[Pair], side: int
) -> dict[str, dict[str, float]]:
    """What of the teacher's taps students do not know, over the pairs' own pictures.

    Args:
        students: by name.
        teacher: the network they imitate.
        pairs: whose contents and styles are looked at.
        side: of the square that each is resized to, in pixels.

    Returns:
        Student → tap → `matching.unexplained`.
    """
    pictures = {id(p): p for pair in pairs for p in (pair.content, pair.style)}.values()
    images = torch.cat([resize(picture, (side, side)) for picture in pictures])
    batches = torch.split(images.to(teacher.device), 4)

    def taps(extractor: Extractor, tap: str) -> Tensor:
        with torch.no_grad():
            features = [extractor(batch, [tap])[tap] for batch in batches]
        stride = max(1, side // extractor.stride(tap) // POSITIONS)
        return torch.cat(features)[:, :, ::stride, ::stride]

    return {
        name: {tap: unexplained(taps(student, tap), taps(teacher, tap)) for tap in TAPS}
        for name, student in students.items()
    }


def iteration_seconds(
    extractors: Mapping[str, Extractor], side: int, rounds: int = 5
) -> dict[str, float]:
    """Median time of one gradient of the default objective, taken in turns.

    Args:
        extractors: by name.
        side: of the square picture, in pixels.
        rounds: gradients of each, after one that warms up.

    Returns:
        Seconds by name.
    """
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, side, side, generator=generator)
    config = TransferConfig(schedule=ScheduleConfig(size=side, scales=1))
    runs: dict[str, Callable[[], object]] = {}
    for name, extractor in extractors.items():
        problem = Problem(picture, picture.flip(3), config, extractor)
        gradient = DirectGradient(extractor, problem.objective(problem.levels[-1]))
        runs[name] = partial(gradient, PixelImage(picture.to(extractor.device)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if number:
                times[name].append(time.perf_counter() - started)
    return {name: median(values) for name, values in times.items()}


if __name__ == "__main__":
    from styler.cli.evaluate import main

    main()
