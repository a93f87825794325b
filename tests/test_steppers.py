"""Optimisers one step at a time, in which each picture of a batch is as if it were alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from styler.config import OptimizerConfig
from styler.objective import Evaluation
from styler.params import FourierImage, ImageParameter, PixelImage
from styler.steppers import (
    ADAM_LR,
    AdamMoments,
    AdamStepper,
    DescentStepper,
    LbfgsStepper,
    RowStepper,
    Stepper,
    make_stepper,
)

SIZE = (3, 4)
Optimizer = Callable[[list[Tensor]], torch.optim.Optimizer]


def pictures(batch: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.2 + 0.6 * torch.rand(batch, 3, *SIZE, generator=generator)


def settings_of(name: str, **values: Any) -> OptimizerConfig:
    return OptimizerConfig(**{"name": name, "lr": 0.03, "clamp": "end", **values})


class Towards:
    """The squared distance of each picture from a goal of its own, and its gradient."""

    def __init__(self, goals: Tensor) -> None:
        self.goals = goals

    def __call__(self, parameter: ImageParameter) -> Evaluation:
        parameter.raw.grad = None
        # Steeper in some places than in others, so that Adam's second moments differ.
        steepness = torch.linspace(0.1, 3.0, SIZE[1])
        losses = ((parameter.image() - self.goals) * steepness).square().sum((1, 2, 3))
        losses.sum().backward()
        return Evaluation(losses.sum().detach(), {"distance": losses.detach()})


def walked(stepper: Stepper, goals: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        stepper.step(Towards(goals))
    return stepper.parameter.raw.detach().clone()


def reference(optimizer: Optimizer, start: Tensor, goal: Tensor, steps: int) -> Tensor:
    """One picture with torch's own optimiser."""
    parameter = PixelImage(start[None])
    own = optimizer([parameter.raw])
    for _ in range(steps):
        Towards(goal[None])(parameter)
        own.step()
    return parameter.raw.detach()[0]


OPTIMIZERS: dict[str, Optimizer] = {
    "adam": lambda raw: torch.optim.Adam(raw, lr=0.03, betas=(0.8, 0.95), eps=1e-6, foreach=False),
    "nadam": lambda raw: torch.optim.NAdam(
        raw, lr=0.03, betas=(0.8, 0.95), eps=1e-6, momentum_decay=0.004, foreach=False
    ),
    "descent": lambda raw: torch.optim.SGD(raw, lr=0.03, foreach=False),
}
every = pytest.mark.parametrize("name", OPTIMIZERS)


def made(name: str, raw: Tensor) -> RowStepper:
    config = settings_of(name, beta1=0.8, beta2=0.95, eps=1e-6)
    stepper = make_stepper(PixelImage(raw), config)
    assert isinstance(stepper, RowStepper)
    return stepper


@every
def test_each_picture_goes_where_torch_takes_it_alone(name: str) -> None:
    starts, goals = pictures(3), pictures(3, seed=1)
    found = walked(made(name, starts), goals, 12)
    for row in range(3):
        expected = reference(OPTIMIZERS[name], starts[row], goals[row], 12)
        torch.testing.assert_close(found[row], expected, rtol=1e-5, atol=1e-6)
    assert float((found - starts).abs().max()) > 0.05


@every
def test_pictures_come_and_go_and_are_each_as_if_alone(name: str) -> None:
    starts, goals = pictures(4), pictures(4, seed=1)
    stepper = made(name, starts[:3])
    walked(stepper, goals[:3], 3)
    stepper.put(1, starts[3])  # the fourth takes the place of the second
    assert torch.equal(stepper.parameter.raw.detach()[1], starts[3])
    walked(stepper, goals[[0, 3, 2]], 4)
    kept = stepper.keep([2, 1])  # the first leaves, and the others change places
    found = walked(kept, goals[[2, 3]], 5)
    for place, (row, steps) in enumerate([(2, 12), (3, 9)]):
        expected = reference(OPTIMIZERS[name], starts[row], goals[row], steps)
        torch.testing.assert_close(found[place], expected, rtol=1e-5, atol=1e-6)


events = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(plan=events, name=st.sampled_from(["adam", "nadam"]))
def test_any_coming_and_going_is_the_same_as_each_alone(
    plan: list[tuple[int, int]], name: str
) -> None:
    starts, goals = pictures(3 + len(plan)), pictures(3 + len(plan), seed=1)
    stepper, rows, steps = made(name, starts[:3]), [0, 1, 2], [0, 0, 0]
    for newcomer, (place, more) in enumerate(plan, start=3):
        walked(stepper, goals[rows], more)
        steps = [count + more for count in steps]
        stepper.put(place, starts[newcomer])
        rows[place], steps[place] = newcomer, 0
    found = walked(stepper, goals[rows], 2)
    for place, row in enumerate(rows):
        alone = walked(made(name, starts[row : row + 1]), goals[row : row + 1], steps[place] + 2)
        torch.testing.assert_close(found[place], alone[0], rtol=1e-6, atol=1e-7)


@every
def test_those_who_stay_do_not_notice_who_leaves(name: str) -> None:
    starts, goals = pictures(3), pictures(3, seed=1)
    stepper = made(name, starts)
    walked(stepper, goals, 4)
    before = stepper.parameter.raw.detach().clone()
    kept = stepper.keep([0, 2])
    assert torch.equal(kept.parameter.raw.detach(), before[[0, 2]])
    found = walked(kept, goals[[0, 2]], 4)
    assert torch.equal(stepper.parameter.raw.detach(), before)  # what was left behind is unchanged
    torch.testing.assert_close(found, walked(stepper, goals, 4)[[0, 2]])


def test_a_newcomer_remembers_nothing_and_others_all() -> None:
    stepper = made("nadam", pictures(2))
    assert isinstance(stepper, AdamStepper)
    walked(stepper, pictures(2, seed=1), 3)
    kept = [stepper.moments.first[0].clone(), stepper.moments.second[0].clone()]
    stepper.put(1, pictures(1, seed=2)[0])
    fresh = AdamMoments.of(pictures(1))
    moments = stepper.moments
    assert moments.step.tolist() == [3.0, 0.0]
    assert float(moments.momentum[0]) < 1.0
    assert float(moments.momentum[1]) == 1.0
    assert torch.equal(moments.first[1], fresh.first[0])
    assert torch.equal(moments.second[1], fresh.second[0])
    assert torch.equal(moments.first[0], kept[0])
    assert torch.equal(moments.second[0], kept[1])


def test_descent_goes_against_the_gradient_by_the_step_size() -> None:
    starts, goals = pictures(2), pictures(2, seed=1)
    stepper = made("descent", starts)
    evaluation = stepper.step(Towards(goals))
    steepness = torch.linspace(0.1, 3.0, SIZE[1]).square()
    expected = starts - 0.03 * 2 * steepness * (starts - goals)
    torch.testing.assert_close(stepper.parameter.raw.detach(), expected)
    losses = (steepness * (starts - goals).square()).sum((1, 2, 3))
    torch.testing.assert_close(evaluation.losses["distance"], losses)  # of before the step


@every
def test_pixels_are_projected_after_each_step_unless_at_the_end(name: str) -> None:
    goals = torch.full((1, 3, *SIZE), 4.0)
    for clamp in ("auto", "step", "end"):
        config = settings_of(name, lr=0.3, clamp=clamp)
        found = walked(make_stepper(PixelImage(pictures(1)), config), goals, 5)
        assert (float(found.max()) <= 1.0) == (clamp != "end")


@every
def test_restarted_is_without_memory_and_slower(name: str) -> None:
    starts, goals = pictures(1), pictures(1, seed=1)
    stepper = made(name, starts)
    before = walked(stepper, goals, 6)
    again = stepper.restarted(stepper.parameter, 0.5)
    first = walked(again, goals, 1) - before
    fresh = make_stepper(
        PixelImage(before), settings_of(name, lr=0.015, beta1=0.8, beta2=0.95, eps=1e-6)
    )
    torch.testing.assert_close(first, walked(fresh, goals, 1) - before)
    twice = again.restarted(PixelImage(before), 0.5)
    torch.testing.assert_close(walked(twice, goals, 1) - before, first / 2, rtol=1e-4, atol=1e-7)


@every
def test_resized_goes_on_with_the_picture_at_another_size(name: str) -> None:
    stepper = made(name, pictures(2))
    walked(stepper, pictures(2, seed=1), 3)
    resized = stepper.resized((7, 5))
    expected = stepper.parameter.resized((7, 5)).image()
    torch.testing.assert_close(resized.parameter.image(), expected)

    def indifferent(parameter: ImageParameter) -> Evaluation:
        parameter.raw.grad = torch.zeros_like(parameter.raw)
        return Evaluation(torch.zeros(()), {})

    resized.step(indifferent)
    moved = (resized.parameter.image() - expected).detach().abs().mean()
    # Without a gradient only momentum moves a picture.
    assert float(moved) > 1e-3 if name != "descent" else float(moved) == 0


def test_resized_moments_keep_their_count() -> None:
    stepper = made("nadam", pictures(2))
    assert isinstance(stepper, AdamStepper)
    walked(stepper, pictures(2, seed=1), 3)
    stepper.put(1, pictures(1)[0])
    moments = stepper.resized((6, 8)).moments
    assert moments.step.tolist() == [3.0, 0.0]
    assert torch.equal(moments.momentum, stepper.moments.momentum)
    assert moments.first.shape == moments.second.shape == (2, 3, 6, 8)
    assert float(moments.second.min()) >= 0
    torch.testing.assert_close(moments.first[0].mean(), stepper.moments.first[0].mean())
    stepper.moments.step[0] = 99.0
    assert moments.step.tolist() == [3.0, 0.0]  # a copy


def test_coefficients_start_without_memory_at_another_size() -> None:
    parameter = FourierImage.noise(1, SIZE, torch.Generator().manual_seed(0))
    stepper = make_stepper(parameter, settings_of("adam"))
    walked(stepper, pictures(1), 2)
    resized = stepper.resized((5, 6))
    assert isinstance(resized, AdamStepper)
    assert resized.moments.first.shape == resized.parameter.raw.shape
    assert not bool(resized.moments.first.any())


@pytest.mark.parametrize(
    ("name", "kind", "by_rows"),
    [
        ("adam", AdamStepper, True),
        ("nadam", AdamStepper, True),
        ("descent", DescentStepper, True),
        ("lbfgs", LbfgsStepper, False),
    ],
)
def test_only_lbfgs_mixes_pictures(name: str, kind: type, by_rows: bool) -> None:
    stepper = make_stepper(PixelImage(pictures(2)), OptimizerConfig(name=name))
    assert isinstance(stepper, kind)
    assert isinstance(stepper, RowStepper) == by_rows


@pytest.mark.parametrize("name", ["adam", "nadam", "descent"])
def test_the_step_size_has_a_default(name: str) -> None:
    def push(parameter: ImageParameter) -> Evaluation:
        parameter.raw.grad = torch.ones_like(parameter.raw)
        return Evaluation(torch.zeros(()), {})

    stepper = make_stepper(PixelImage(pictures(1)), OptimizerConfig(name=name))
    stepper.step(push)
    moved = pictures(1) - stepper.parameter.raw.detach()
    # NAdam's first step is Adam's times what its momentum schedule makes of it.
    low = 0.5 if name == "nadam" else 0.999
    assert low * ADAM_LR < float(moved.min()) <= float(moved.max()) < 2 * ADAM_LR


def rows_of(stepper: RowStepper, rows: Sequence[int]) -> Tensor:
    return stepper.keep(rows).parameter.raw.detach()


@every
def test_pictures_can_be_kept_in_any_order_and_in_the_range_of_their_pixels(name: str) -> None:
    parameter = PixelImage(pictures(3), pixel_range=255.0)
    stepper = make_stepper(parameter, settings_of(name))
    assert isinstance(stepper, RowStepper)
    torch.testing.assert_close(rows_of(stepper, [2, 0]), 255 * pictures(3)[[2, 0]])
    torch.testing.assert_close(stepper.keep([1]).parameter.image(), pictures(3)[1:2])
