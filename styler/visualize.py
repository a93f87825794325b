"""Feature visualization: pictures that excite units of a network most, on the shared engine."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from styler.activation import Unit
from styler.config import VisualizeConfig
from styler.directions import pictures_in
from styler.engine import run_levels
from styler.errors import ConfigError, DeviceError, ImageError
from styler.features import Extractor
from styler.images import read_picture
from styler.memory import check_memory, gradient_bytes
from styler.params import FourierImage, ImageParameter, MacoImage, PixelImage
from styler.params.spectrum import mean_magnitude, natural_magnitude
from styler.runtime import free_memory, memory_errors_explained
from styler.schedule import Level
from styler.slots import Slot, Slots
from styler.steppers import Stepper
from styler.transforms import view_size
from styler.unit_gradient import UnitGradient

CPU_BATCH = 4
"""Pictures that are worked on together; with more, memory that the system has to find anew at each
step costs what fewer operations save."""
DEFAULT_SIDE = 160
"""Pixels of a picture's side where neither the settings nor the network ask for another."""
GPU_BATCH = 64
"""Likewise on a GPU, which one picture of this size leaves idle."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A unit with its pictures.

    Args:
        index: its place among the units asked for.
        unit: the unit.
        images: (each, 3 or 4, H, W) float32 sRGB in [0, 1], on the CPU.
        steps: taken.
        finished: whether it took all steps it should have.
        seconds: from the start of the run until it was done.
        frames: (3 or 4, H, W) uint8, while the first picture came to be.
    """

    index: int
    unit: Unit
    images: Tensor
    steps: int
    finished: bool
    seconds: float
    frames: tuple[Tensor, ...] = ()


@dataclass(frozen=True, kw_only=True)
class UnitsEvent:
    """What a callback learns after a step.

    Args:
        finished: units that are done; of `units`.
        units: units asked for.
        working: names of the units at work.
        share: of all work, from 0 to 1.
        seconds: since the start.
        notice: a line for the person when something had to change, mostly empty.
    """

    finished: int
    units: int
    working: tuple[str, ...]
    share: float
    seconds: float
    notice: str = ""


def start_of(config: VisualizeConfig, size: tuple[int, int]) -> Callable[..., ImageParameter]:
    """What makes the first picture of a unit from a generator.

    Args:
        config: its `parameter`.
        size: (height, width).

    Raises:
        ImageError: the folder of the spectrum holds no pictures.
    """
    own = config.parameter
    if own.kind == "maco":
        magnitude = natural_magnitude(size)
        if own.spectrum:
            files = pictures_in(Path(own.spectrum).expanduser())
            magnitude = mean_magnitude((read_picture(file).pixels for file in files), size)
        return lambda generator: MacoImage.noise(1, magnitude, size, generator, std=own.std)
    channels = 4 if own.alpha else 3
    if own.kind == "fourier":
        return lambda generator: FourierImage.noise(
            1,
            size,
            generator,
            std=own.std,
            channels=channels,
            decay=own.decay,
            decorrelate=own.decorrelate,
        )
    return lambda generator: PixelImage(
        (0.5 + own.std * torch.randn(1, channels, *size, generator=generator)).clamp(0, 1),
        config.optimizer.pixel_range,
    )


def visualize(
    units: Sequence[Unit],
    extractor: Extractor,
    config: VisualizeConfig | None = None,
    *,
    snapshots: int = 0,
    done: Callable[[Shown], None] | None = None,
    callbacks: Sequence[Callable[[UnitsEvent], None]] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> list[Shown]:
    """Pictures that excite units most.

    Units of the same layers are worked on together, each as if it were alone: its own seed, views,
    optimiser and end. The network is cut at the deepest layer that the group needs. When memory
    runs out, the group is halved.

    Args:
        units: from `styler.units.parse_units`, or made by hand.
        extractor: the network.
        config: every setting; None takes the defaults.
        snapshots: frames kept of each unit while it comes to be.
        done: called with each unit as soon as it is done.
        callbacks: called after each step.
        should_stop: asked after each step with the steps done; True ends the run.

    Returns:
        In the order of `units`; fewer when the run was stopped.

    Raises:
        ImageError: the pictures would be too small for a layer.
        DeviceError: one picture alone does not fit into memory.
        DivergedError: the loss stayed non-finite.

    Example:
        >>> from styler.config import UnitScheduleConfig
        >>> from styler.features import load_extractor
        >>> from styler.units import parse_units
        >>> extractor = load_extractor("vgg-lite")
        >>> config = VisualizeConfig(schedule=UnitScheduleConfig(size=32, steps=2))
        >>> shown = visualize(parse_units(["relu2_1:0-2"], extractor), extractor, config)
        >>> [one.unit.name for one in shown], shown[0].images.shape
        (['relu2_1:0', 'relu2_1:1', 'relu2_1:2'], torch.Size([1, 3, 32, 32]))
    """
    session = _Session(units, extractor, config or VisualizeConfig(), snapshots)
    session.done, session.callbacks = done, tuple(callbacks)
    for group in session.groups():
        if not session.work(group, should_stop):
            break
    return sorted(session.shown, key=lambda one: one.index)


class _Session:
    """One call of `visualize`."""

    def __init__(
        self,
        units: Sequence[Unit],
        extractor: Extractor,
        config: VisualizeConfig,
        snapshots: int,
    ) -> None:
        self.units = units
        self.extractor = extractor
        self.config = config
        self.each = config.pictures
        self.snapshots = snapshots
        self.done: Callable[[Shown], None] | None = None
        self.callbacks: Sequence[Callable[[UnitsEvent], None]] = ()
        self.shown: list[Shown] = []
        self.started = time.perf_counter()
        check_views(extractor, config, units)
        side = picture_side(extractor, config, units)
        self.size = (side, side)
        self.start = start_of(config, self.size)
        few = CPU_BATCH if extractor.device.type == "cpu" else GPU_BATCH
        self.batch = config.schedule.batch or self._fitting(max(1, few // self.each))

    def _fitting(self, batch: int) -> int:
        """As many units as memory has room for, where the need is known beforehand."""
        layers = frozenset().union(*(unit.layers for unit in self.units))
        views = max(1, self.config.view.crops) * self.each
        need = views * gradient_bytes(
            self.extractor, layers, view_size(self.config.view, self.size)
        )
        if not need:
            return batch
        memory = self.config.runtime.max_memory or free_memory(self.extractor.device)
        return max(1, min(batch, int(0.9 * memory) // need))

    def groups(self) -> Iterator[list[tuple[int, Unit]]]:
        """Units of the same layers."""
        found: dict[tuple[frozenset[str], str], list[tuple[int, Unit]]] = defaultdict(list)
        for index, unit in enumerate(self.units):
            found[unit.layers, unit.parts[0].layer].append((index, unit))
        yield from found.values()

    def work(
        self, group: Iterable[tuple[int, Unit]], should_stop: Callable[[int], bool] | None
    ) -> bool:
        """All units of a group; False when the run was stopped."""
        waiting = list(group)
        while waiting:
            slots: Slots | None = None
            try:
                with memory_errors_explained(self.extractor.device):
                    slots = self._slots(waiting)
                    return self._run(slots, should_stop)
            except DeviceError:
                if self.batch == 1 or slots is None:
                    raise
                waiting = slots.put_back()
                self.batch = max(1, min(self.batch, len(slots.active)) // 2)
                self._tell(slots, f"out of memory: going on with {self.batch} units at a time")
        return True

    def _slots(self, waiting: Sequence[tuple[int, Unit]]) -> Slots:
        return Slots(
            waiting,
            each=self.each,
            batch=self.batch,
            schedule=self.config.schedule,
            seed=self.config.runtime.seed,
            start=self.start,
            done=self._take,
            snapshots=self.snapshots,
        )

    def _run(self, slots: Slots, should_stop: Callable[[int], bool] | None) -> bool:
        gradient = UnitGradient(self.extractor, slots, self.config)
        look = slots.between(lambda: gradient.values)

        def between(stepper: Stepper) -> Stepper | None:
            following = look(stepper)
            self._tell(slots)
            return following

        waiting = len(slots.active) + len(slots.queue)
        rounds = -(-waiting // len(slots.active))
        run_levels(
            slots.parameter.with_raw(slots.parameter.raw.detach().to(self.extractor.device)),
            [Level(size=self.size, steps=rounds * self.config.schedule.steps)],
            lambda _: gradient,
            self.config.optimizer,
            should_stop=should_stop,
            between=between,
        )
        stopped = bool(slots.active)
        slots.leave()
        return not stopped

    def _take(self, slot: Slot, images: Tensor) -> None:
        one = Shown(
            index=slot.index,
            unit=slot.unit,
            images=images,
            steps=slot.steps,
            finished=slot.finished,
            seconds=time.perf_counter() - self.started,
            frames=tuple(slot.frames),
        )
        self.shown.append(one)
        if self.done:
            self.done(one)

    def _tell(self, slots: Slots, notice: str = "") -> None:
        if not self.callbacks:
            return
        finished = len(self.shown)
        begun = sum(slot.steps for slot in slots.active) / self.config.schedule.steps
        event = UnitsEvent(
            finished=finished,
            units=len(self.units),
            working=tuple(slot.unit.name for slot in slots.active),
            share=min(1.0, (finished + begun) / len(self.units)),
            seconds=time.perf_counter() - self.started,
            notice=notice,
        )
        for callback in self.callbacks:
            callback(event)


def picture_side(extractor: Extractor, config: VisualizeConfig, units: Sequence[Unit]) -> int:
    """Side in pixels of the pictures: as set, else `DEFAULT_SIDE` or what the network needs.

    Args:
        extractor: the network.
        config: its size and views.
        units: whose layers must have a unit.
    """
    if config.schedule.size is not None:
        return config.schedule.size
    less = DEFAULT_SIDE - view_size(config.view, (DEFAULT_SIDE, DEFAULT_SIDE))[0]
    if extractor.input_size is not None and not config.view.crops:
        return extractor.input_size + less
    needed = max((extractor.minimum_side(n) for u in units for n in u.layers), default=0)
    return DEFAULT_SIDE if config.view.crops else max(DEFAULT_SIDE, needed + less)


def check_views(extractor: Extractor, config: VisualizeConfig, units: Sequence[Unit]) -> None:
    """Makes sure that views are large enough for all layers.

    Raises:
        ImageError: a layer would have no unit; the hint says what size would do.
        ConfigError: there is nothing to show.
    """
    if not units:
        raise ConfigError("no units to visualize", "name some, such as relu4_1:37")
    if config.optimizer.average:
        raise ConfigError(
            "pictures of a batch come and go: there is no average of their iterates",
            "optimizer.average = 0; the preset inversion is for `styler invert`",
        )
    side = picture_side(extractor, config, units)
    view = view_size(config.view, (side, side))
    for unit in units:
        try:
            extractor.check_size(view, unit.layers)
        except ImageError as error:
            raise ImageError(f"{unit.name}: {error.message}", error.hint) from None
    layers = frozenset().union(*(unit.layers for unit in units))
    check_memory(extractor, layers, view, config.runtime.max_memory)
    placed = [unit for unit in units if any(isinstance(p.position, tuple) for p in unit.parts)]
    if placed:
        for size in {view, (side, side)}:  # of the views, and of the picture that is judged
            _check_positions(extractor, size, placed)


def _check_positions(extractor: Extractor, view: tuple[int, int], units: Sequence[Unit]) -> None:
    """Makes sure that layers have the positions at which units are looked at."""
    blank = torch.zeros(1, 3, *view, device=extractor.device)
    with torch.no_grad():
        features = extractor(blank, frozenset().union(*(unit.layers for unit in units)))
    for unit in units:
        for part in unit.parts:
            rows, columns = (*features[part.layer].shape[2:], 1, 1)[:2]
            if isinstance(part.position, tuple):
                row, column = part.position
                if row >= rows or column >= columns:
                    raise ConfigError(
                        f"{unit.name}: {part.layer} has {rows}×{columns} positions",
                        f"from @0,0 to @{rows - 1},{columns - 1}; @centre is the middle",
                    )
