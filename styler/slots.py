"""Many units at work together: a batch whose places are refilled from a queue."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from styler.activation import Unit
from styler.config import UnitScheduleConfig
from styler.engine import Between
from styler.params import ImageParameter
from styler.steppers import RowStepper, Stepper

LEAST_WINDOW = 5
"""Values on each side of a comparison that tells whether a unit still rises."""


@dataclass
class Slot:
    """A unit at work.

    Attributes:
        index: its place among all units asked for.
        unit: what its pictures are made for.
        generators: the randomness of each of its pictures, on the CPU.
        steps: taken so far.
        finished: whether it is done.
        values: its activation as each step began, while there is an early end to watch for.
        frames: of its first picture, (3 or 4, H, W) uint8 on the CPU, while it came to be.
    """

    index: int
    unit: Unit
    generators: list[torch.Generator]
    steps: int = 0
    finished: bool = False
    values: list[float] = field(default_factory=list)
    frames: list[Tensor] = field(default_factory=list)


Done = Callable[[Slot, Tensor], None]
"""Takes a unit that is done and its pictures, (each, C, H, W)."""


def seed_of(seed: int, name: str, picture: int) -> int:
    """The seed of one picture of a unit: the same alone and among others.

    Example:
        >>> seed_of(0, "relu4_1:37", 0) == seed_of(0, "relu4_1:38", 0)
        False
    """
    digest = hashlib.sha256(f"{seed}/{name}/{picture}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


class Slots:
    """Which units are at work, in the order of their pictures in the batch.

    Args:
        units: the queue, with the place of each among all units.
        each: pictures of each unit.
        batch: units at work together, at most.
        schedule: when a unit is done.
        seed: of all randomness.
        start: makes the parameter of one picture, from its generator.
        done: called when a unit is done.
        snapshots: frames kept of each unit.
    """

    def __init__(
        self,
        units: Iterable[tuple[int, Unit]],
        *,
        each: int,
        batch: int,
        schedule: UnitScheduleConfig,
        seed: int,
        start: Callable[[torch.Generator], ImageParameter],
        done: Done,
        snapshots: int = 0,
    ) -> None:
        self.queue = deque(units)
        self.each = each
        self.schedule = schedule
        self.seed = seed
        self.start = start
        self.done = done
        self.snapshots = snapshots
        self.active = [self._slot() for _ in range(min(batch, len(self.queue)))]
        self.changed = True
        self.parameter = self._first()

    def _slot(self) -> Slot:
        index, unit = self.queue.popleft()
        generators = [
            torch.Generator().manual_seed(seed_of(self.seed, unit.name, picture))
            for picture in range(self.each)
        ]
        return Slot(index, unit, generators)

    def _first(self) -> ImageParameter:
        """Of all pictures at work, as they start."""
        starts = [self.start(generator) for generator in self.generators]
        return starts[0].with_raw(torch.cat([start.raw.detach() for start in starts]))

    @property
    def generators(self) -> list[torch.Generator]:
        """Of all pictures at work."""
        return [generator for slot in self.active for generator in slot.generators]

    @property
    def progress(self) -> list[float]:
        """Of all pictures at work, from 0 to 1."""
        last = max(1, self.schedule.steps - 1)
        return [min(1.0, slot.steps / last) for slot in self.active for _ in slot.generators]

    @property
    def units(self) -> list[Unit]:
        """One for each picture at work."""
        return [slot.unit for slot in self.active for _ in slot.generators]

    def young(self, steps: int) -> Tensor:
        """(pictures,), whether each has taken fewer steps than that."""
        return torch.tensor([s.steps < steps for s in self.active for _ in s.generators])

    def between(self, values: Callable[[], Tensor]) -> Between:
        """What the engine is to ask between two steps.

        Args:
            values: gives (pictures,), the activations at the last step.
        """

        def look(stepper: Stepper) -> Stepper | None:
            assert isinstance(stepper, RowStepper)  # the settings allow no other
            self._count(values)
            self._keep_frames(stepper.parameter)
            following = self._replace(stepper)
            if following is not None:
                self.parameter = following.parameter
            return following

        return look

    def _count(self, values: Callable[[], Tensor]) -> None:
        for slot in self.active:
            slot.steps += 1
        if not self.schedule.flat and all(s.steps < self.schedule.steps for s in self.active):
            return  # nobody asks for the values, which a GPU would have to be waited for
        means = values().view(-1, self.each).mean(1).tolist()
        for slot, value in zip(self.active, means, strict=True):
            slot.values.append(value)

    def _keep_frames(self, parameter: ImageParameter) -> None:
        if not self.snapshots:
            return
        for place, slot in enumerate(self.active):
            share = slot.steps * self.snapshots / self.schedule.steps
            if len(slot.frames) < int(share):
                slot.frames.append(_frame(self._pictures(parameter, place)[0]))

    def _pictures(self, parameter: ImageParameter, place: int) -> Tensor:
        rows = slice(place * self.each, (place + 1) * self.each)
        with torch.no_grad():
            return parameter.decode(parameter.raw.detach()[rows]).clamp(0, 1).cpu()

    def _replace(self, stepper: RowStepper) -> RowStepper | None:
        """Let units that are done go, and others take their places."""
        kept: list[int] = []
        refilled = False
        for place, slot in enumerate(self.active):
            if not self._is_done(slot):
                kept.append(place)
                continue
            self.changed = slot.finished = True
            self.done(slot, self._pictures(stepper.parameter, place))
            if self.queue:
                self.active[place] = self._slot()
                for picture, generator in enumerate(self.active[place].generators):
                    raw = self.start(generator).raw.detach()[0]
                    stepper.put(place * self.each + picture, raw)
                refilled = True
                kept.append(place)
        if not kept:
            self.active = []
            return None
        if refilled or len(kept) < len(self.active):
            # Another optimiser, even of as many pictures: the engine keeps the last good picture of
            # this one, and newcomers must not be taken back to what was in their place.
            self.active = [self.active[place] for place in kept]
            rows = [place * self.each + k for place in kept for k in range(self.each)]
            return stepper.keep(rows)
        return stepper

    def _is_done(self, slot: Slot) -> bool:
        schedule = self.schedule
        if slot.steps >= schedule.steps:
            return True
        if not schedule.flat or slot.steps < schedule.least:
            return False
        return is_flat(slot.values, schedule.flat)

    def leave(self) -> None:
        """Give away all units at work as they are: the run was stopped."""
        for place, slot in enumerate(self.active):
            if slot.steps:
                self.done(slot, self._pictures(self.parameter, place))

    def put_back(self) -> list[tuple[int, Unit]]:
        """All units that are not done, those at work first; they would start anew."""
        waiting = [(slot.index, slot.unit) for slot in self.active]
        return [*waiting, *self.queue]


def is_flat(values: Sequence[float], least: float) -> bool:
    """Whether the last tenth of some values is hardly higher than the tenth before it.

    Args:
        values: one after each step.
        least: the rise that counts, as a share of the mean size of the values.

    Example:
        >>> is_flat([float(i) for i in range(100)], 0.01), is_flat([1.0] * 100, 0.01)
        (False, True)
    """
    window = max(LEAST_WINDOW, len(values) // 10)
    if len(values) < 2 * window:
        return False
    late = sum(values[-window:]) / window
    early = sum(values[-2 * window : -window]) / window
    return late - early < least * max(abs(late), abs(early), 1e-12)


def _frame(picture: Tensor) -> Tensor:
    return (picture * 255).round().to(torch.uint8)
