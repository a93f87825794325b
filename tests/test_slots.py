"""A batch whose places are refilled: who is at work, when a unit is done, what is left over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from styler.activation import Part, Unit
from styler.config import OptimizerConfig, UnitScheduleConfig
from styler.engine import RunResult, run_levels
from styler.objective import Evaluation
from styler.params import ImageParameter, PixelImage
from styler.schedule import Level
from styler.slots import LEAST_WINDOW, Slot, Slots, is_flat, seed_of

SIDE = 4
ADAM = OptimizerConfig(lr=0.05)
Queue = Sequence[tuple[int, Unit]]


def units(count: int) -> list[tuple[int, Unit]]:
    return [(n, Unit(f"u{n}", (Part("layer", channel=n),))) for n in range(count)]


def start(generator: torch.Generator) -> PixelImage:
    return PixelImage(torch.rand(1, 3, SIDE, SIDE, generator=generator))


def goal(unit: Unit) -> float:
    """The grey that excites a unit most."""
    channel = unit.parts[0].channel
    assert channel is not None
    return 0.1 + 0.1 * (channel % 9)


@dataclass
class Desk:
    """Slots on a toy in the place of a network, and a record of what happened."""

    queue: Queue
    each: int = 1
    batch: int = 2
    seed: int = 0
    snapshots: int = 0
    fails_at: int = -1
    schedule: dict[str, Any] = field(default_factory=dict)
    slots: Slots = field(init=False)
    done: list[Slot] = field(default_factory=list)
    images: dict[str, Tensor] = field(default_factory=dict)
    seen: list[list[str]] = field(default_factory=list)
    changes: list[bool] = field(default_factory=list)
    progress: list[list[float]] = field(default_factory=list)
    young: list[list[bool]] = field(default_factory=list)
    draws: dict[str, list[float]] = field(default_factory=dict)
    values: list[Tensor] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self) -> None:
        self.slots = Slots(
            self.queue,
            each=self.each,
            batch=self.batch,
            schedule=UnitScheduleConfig(**self.schedule),
            seed=self.seed,
            start=start,
            done=self._take,
            snapshots=self.snapshots,
        )

    def _take(self, slot: Slot, images: Tensor) -> None:
        self.done.append(slot)
        self.images[slot.unit.name] = images

    def __call__(self, parameter: ImageParameter) -> Evaluation:
        """Each picture's squared distance from its unit's grey; see `styler.engine.Gradient`."""
        slots = self.slots
        if len(self.seen) == self.fails_at:
            raise MemoryError
        assert parameter.raw.shape[0] == len(slots.units) == len(slots.generators)
        self._note()
        slots.changed = False
        parameter.raw.grad = None
        goals = torch.tensor([goal(unit) for unit in slots.units]).view(-1, 1, 1, 1)
        losses = (parameter.image() - goals).square().mean((1, 2, 3))
        losses.sum().backward()
        self.values.append(1 - losses.detach())
        return Evaluation(losses.sum().detach(), {"distance": losses.sum().detach()})

    def _note(self) -> None:
        slots = self.slots
        self.seen.append([slot.unit.name for slot in slots.active])
        self.changes.append(slots.changed)
        self.progress.append(slots.progress)
        self.young.append(slots.young(2).tolist())
        for unit, generator in zip(slots.units, slots.generators, strict=True):
            self.draws.setdefault(unit.name, []).append(float(torch.rand(1, generator=generator)))

    def _ask(self) -> Tensor:
        self.asked += 1
        return self.values[-1]

    def run(self, stop: int | None = None, config: OptimizerConfig = ADAM) -> RunResult:
        slots = self.slots
        result = run_levels(
            slots.parameter.with_raw(slots.parameter.raw.detach()),
            [Level(size=(SIDE, SIDE), steps=10_000)],
            lambda _: self,
            config,
            should_stop=None if stop is None else lambda done: done >= stop,
            between=slots.between(self._ask),
        )
        slots.leave()
        return result

    def told(self) -> list[tuple[str, int, bool]]:
        """Of units that were given away, in that order: name, steps, whether they were done."""
        return [(slot.unit.name, slot.steps, slot.finished) for slot in self.done]


def test_places_are_refilled_in_the_order_asked_for() -> None:
    desk = Desk(units(5), schedule={"steps": 3})
    result = desk.run()
    assert desk.told() == [(f"u{n}", 3, True) for n in range(5)]
    assert [slot.index for slot in desk.done] == [0, 1, 2, 3, 4]
    assert desk.seen == [["u0", "u1"]] * 3 + [["u2", "u3"]] * 3 + [["u4"]] * 3
    assert result.done == 9
    assert desk.slots.active == []
    assert desk.slots.put_back() == []


def test_a_unit_keeps_the_place_that_it_was_given_among_all() -> None:
    desk = Desk([(7, units(8)[7][1]), (3, units(8)[3][1])], batch=1, schedule={"steps": 1})
    desk.run()
    assert [(slot.index, slot.unit.name) for slot in desk.done] == [(7, "u7"), (3, "u3")]


def test_the_objective_is_told_when_others_are_at_work_and_only_then() -> None:
    desk = Desk(units(5), schedule={"steps": 3})
    desk.run()
    assert [step for step, changed in enumerate(desk.changes) if changed] == [0, 3, 6]


def test_no_more_places_than_units() -> None:
    desk = Desk(units(2), batch=8, schedule={"steps": 2})
    assert len(desk.slots.active) == 2
    desk.run()
    assert desk.seen == [["u0", "u1"]] * 2


def test_pictures_of_a_unit_are_beside_each_other() -> None:
    desk = Desk(units(3), each=3, schedule={"steps": 2})
    assert [unit.name for unit in desk.slots.units] == ["u0"] * 3 + ["u1"] * 3
    assert desk.slots.parameter.raw.shape == (6, 3, SIDE, SIDE)
    assert len({float(picture.sum()) for picture in desk.slots.parameter.raw.detach()}) == 6
    desk.run()
    assert [images.shape[0] for images in desk.images.values()] == [3, 3, 3]


def test_progress_and_youth_are_of_each_picture() -> None:
    desk = Desk(units(3), each=2, schedule={"steps": 3})
    desk.run()
    assert [row[::2] for row in desk.progress] == [[0, 0], [0.5, 0.5], [1, 1], [0], [0.5], [1]]
    assert all(row[::2] == row[1::2] for row in desk.progress)
    assert [row[0] for row in desk.young] == [True, True, False] * 2
    assert Desk(units(1), schedule={"steps": 1}).slots.progress == [0.0]


FLAT = {"steps": 60, "least": 12, "flat": 0.02}


@pytest.mark.parametrize("name", ["adam", "nadam", "descent"])
@pytest.mark.parametrize("each", [1, 2])
def test_a_unit_is_the_same_alone_and_among_others(name: str, each: int) -> None:
    config = OptimizerConfig(name=name, lr=2.0 if name == "descent" else 0.05)
    many = Desk(units(7), each=each, batch=3, schedule=FLAT)
    many.run(config=config)
    assert len({slot.steps for slot in many.done}) > 1  # places are left at different times
    together = {name: (name, steps, finished) for name, steps, finished in many.told()}
    assert sorted(together) == [f"u{n}" for n in range(7)]
    for one in units(7):
        alone = Desk([one], each=each, batch=1, schedule=FLAT)
        alone.run(config=config)
        assert alone.told() == [together[one[1].name]]
        assert alone.draws[one[1].name] == many.draws[one[1].name]
        torch.testing.assert_close(
            alone.images[one[1].name], many.images[one[1].name], rtol=1e-5, atol=1e-6
        )


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    count=st.integers(1, 7),
    each=st.integers(1, 2),
    batch=st.integers(1, 4),
    steps=st.integers(1, 25),
    flat=st.sampled_from([0.0, 0.02, 0.2]),
)
def test_every_unit_is_done_once_with_the_steps_it_should_take(
    count: int, each: int, batch: int, steps: int, flat: float
) -> None:
    desk = Desk(units(count), each=each, batch=batch, schedule={"steps": steps, "flat": flat})
    desk.run()
    assert sorted(slot.index for slot in desk.done) == list(range(count))
    assert all(len(names) <= batch for names in desk.seen)
    assert sum(map(len, desk.seen)) == sum(slot.steps for slot in desk.done)
    begun = list(dict.fromkeys(name for names in desk.seen for name in names))
    assert begun == [f"u{n}" for n in range(count)]
    for slot in desk.done:
        assert slot.finished
        assert sum(slot.unit.name in names for names in desk.seen) == slot.steps <= steps
        if not flat:
            assert slot.steps == steps


def test_a_unit_ends_at_the_first_step_at_which_it_is_flat() -> None:
    desk = Desk(units(7), batch=3, schedule=FLAT)
    desk.run()
    for slot in desk.done:
        assert len(slot.values) == slot.steps
        flat = [n for n in range(1, slot.steps + 1) if is_flat(slot.values[:n], FLAT["flat"])]
        assert slot.steps == min([n for n in flat if n >= FLAT["least"]] + [FLAT["steps"]])
    assert min(slot.steps for slot in desk.done) < FLAT["steps"]


def test_the_least_number_of_steps_is_taken_by_flat_units_too() -> None:
    desk = Desk(units(2), schedule={"steps": 50, "least": 33, "flat": 1e9})
    desk.run()
    assert [slot.steps for slot in desk.done] == [33, 33]
    # Without a least number, as soon as there is something to compare.
    desk = Desk(units(2), schedule={"steps": 50, "flat": 1e9})
    desk.run()
    assert [slot.steps for slot in desk.done] == [2 * LEAST_WINDOW] * 2


def test_the_value_of_a_unit_is_the_mean_over_its_pictures() -> None:
    desk = Desk(units(2), each=3, schedule={"steps": 4, "flat": 1e-9})
    desk.run()
    for place, slot in enumerate(desk.done):
        expected = [float(values.view(2, 3)[place].mean()) for values in desk.values]
        assert slot.values == pytest.approx(expected)


def test_values_are_not_asked_for_while_nobody_needs_them() -> None:
    desk = Desk(units(3), schedule={"steps": 5})
    desk.run()
    assert desk.asked == 2
    assert [len(slot.values) for slot in desk.done] == [1, 1, 1]
    flat = Desk(units(3), schedule={"steps": 5, "flat": 0.1})
    flat.run()
    assert flat.asked == 10


def test_the_batch_shrinks_as_units_leave_an_empty_queue() -> None:
    desk = Desk(units(7), batch=7, schedule=FLAT)
    desk.run()
    sizes = [len(names) for names in desk.seen]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 7 > sizes[-1] > 0
    for before, after in zip(desk.seen, desk.seen[1:], strict=False):
        assert after == [name for name in before if name in after]  # in the same order


def test_pictures_are_those_of_the_last_step() -> None:
    desk = Desk(units(9), batch=4, schedule={"steps": 80})
    desk.run()
    for _, unit in units(9):
        torch.testing.assert_close(
            desk.images[unit.name], torch.full((1, 3, SIDE, SIDE), goal(unit)), rtol=0, atol=0.03
        )


def test_what_is_given_away_is_inside_0_and_1_and_stays_as_it_is() -> None:
    desk = Desk(units(3), batch=1, schedule={"steps": 2})
    given: list[Tensor] = []
    desk.slots.done = lambda slot, images: given.append(images.clone())
    config = OptimizerConfig(lr=3.0, clamp="end")
    desk.run(config=config)
    kept = Desk(units(3), batch=1, schedule={"steps": 2})
    kept.run(config=config)
    for images, later in zip(given, kept.images.values(), strict=True):
        assert 0 <= float(images.min()) < float(images.max()) <= 1
        assert torch.equal(images, later)  # not written over by those that came after


@pytest.mark.parametrize("each", [1, 2])
def test_frames_are_spread_evenly_and_are_of_the_first_picture(each: int) -> None:
    (slot,) = _done(Desk(units(1), each=each, snapshots=3, schedule={"steps": 6}))
    assert len(slot.frames) == 3
    for frame, steps in zip(slot.frames, (2, 4, 6), strict=True):
        then = Desk(units(1), each=each, schedule={"steps": steps})
        then.run()
        assert frame.dtype == torch.uint8
        assert torch.equal(frame, (255 * then.images["u0"][0]).round().to(torch.uint8))


def _done(desk: Desk) -> list[Slot]:
    desk.run()
    return desk.done


@pytest.mark.parametrize(("steps", "snapshots", "frames"), [(3, 8, 3), (7, 3, 3), (5, 0, 0)])
def test_there_are_as_many_frames_as_asked_for_or_as_steps(
    steps: int, snapshots: int, frames: int
) -> None:
    done = _done(Desk(units(3), snapshots=snapshots, schedule={"steps": steps}))
    assert [len(slot.frames) for slot in done] == [frames] * 3


def test_a_stopped_run_gives_away_what_has_begun() -> None:
    desk = Desk(units(5), schedule={"steps": 3})
    desk.run(stop=4)
    assert desk.told() == [("u0", 3, True), ("u1", 3, True), ("u2", 1, False), ("u3", 1, False)]
    short = Desk(units(5), schedule={"steps": 1})
    short.run()
    for name in ("u2", "u3"):
        torch.testing.assert_close(desk.images[name], short.images[name])


def test_a_run_stopped_between_two_units_gives_away_no_starts() -> None:
    desk = Desk(units(5), schedule={"steps": 3})
    desk.run(stop=3)
    assert desk.told() == [("u0", 3, True), ("u1", 3, True)]
    untouched = Desk(units(5))
    untouched.slots.leave()
    assert untouched.told() == []


def test_what_is_put_back_is_what_is_not_done_and_starts_anew() -> None:
    desk = Desk(units(6), schedule={"steps": 3}, fails_at=4)
    with pytest.raises(MemoryError):
        desk.run()
    waiting = desk.slots.put_back()
    assert waiting == units(6)[2:]
    rest = Desk(waiting, batch=1, schedule={"steps": 3})
    rest.run()
    undisturbed = Desk(units(6), schedule={"steps": 3})
    undisturbed.run()
    assert [slot.index for slot in desk.done + rest.done] == list(range(6))
    for name, images in {**desk.images, **rest.images}.items():
        torch.testing.assert_close(images, undisturbed.images[name])


def test_those_at_work_are_put_back_before_those_who_wait() -> None:
    desk = Desk(units(4))
    assert desk.slots.put_back() == units(4)


def test_each_picture_of_each_unit_has_a_seed_of_its_own() -> None:
    names = ["a", "b", "a/1", "1/a", ""]
    seeds = [seed_of(s, n, p) for s in (0, 1, 10) for n in names for p in (0, 1, 10)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert (
        seed_of(0, "relu4_1:37", 0) == 14971388194914886
    )  # the same on every machine and every day


def test_starts_hang_on_the_seed_and_on_the_name_alone() -> None:
    first = Desk(units(3), seed=5).slots.parameter.raw.detach()
    same = Desk(units(3), seed=5).slots.parameter.raw.detach()
    other = Desk(units(3), seed=6).slots.parameter.raw.detach()
    moved = Desk(units(3)[::-1], batch=3, seed=5).slots.parameter.raw.detach()
    assert torch.equal(first, same)
    assert not bool((first == other).any())
    assert torch.equal(moved[[2, 1]], first)
    expected = torch.Generator().manual_seed(seed_of(5, "u1", 0))
    torch.testing.assert_close(first[1:], start(expected).raw.detach())


rise = st.floats(1e-3, 10.0)


@settings(deadline=None, derandomize=True)
@given(slope=rise, offset=st.floats(-100, 100), count=st.integers(2 * LEAST_WINDOW, 150))
def test_a_steady_rise_is_flat_when_it_is_below_the_share(
    slope: float, offset: float, count: int
) -> None:
    values = [offset + slope * n for n in range(count)]
    window = max(LEAST_WINDOW, count // 10)
    late = sum(values[-window:]) / window
    early = sum(values[-2 * window : -window]) / window
    share = window * slope / max(abs(late), abs(early))  # of a line, the tenths differ by so much
    assert not is_flat(values, 0.99 * share)
    assert is_flat(values, 1.01 * share)


@pytest.mark.parametrize(
    ("values", "least", "flat"),
    [
        ([1.0] * 9, 0.5, False),  # too few to tell
        ([1.0] * 10, 0.5, True),
        ([1.0] * 5 + [1.2] * 5, 0.1, False),
        ([1.0] * 5 + [1.1] * 5, 0.1, True),
        ([1.0] * 5 + [0.2] * 5, 0.1, True),  # it falls
        ([-1.0] * 5 + [-0.5] * 5, 0.1, False),  # a rise below 0
        ([-1.0] * 10, 0.1, True),
        ([0.0] * 10, 0.1, True),
        ([0.0] * 5 + [1e-3] * 5, 0.5, False),  # from nothing to something
        ([0.0] * 50 + [1.0] * 50, 0.1, True),  # it rose long ago
        ([1.0] * 90 + [1.5] * 10, 0.1, False),
        ([1.0] * 85 + [1.5] * 15, 0.1, False),  # half of the tenth before
    ],
)
def test_flat_by_hand(values: list[float], least: float, flat: bool) -> None:
    assert is_flat(values, least) is flat
