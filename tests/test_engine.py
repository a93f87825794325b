"""The loop: descent, scales, recovery, interruption, averages."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from styler.config import OptimizerConfig
from styler.engine import FLAT_STEPS, RunResult, StepEvent, run_levels
from styler.errors import DivergedError
from styler.objective import Evaluation, ImageTerm, Objective
from styler.params import ImageParameter, PixelImage
from styler.schedule import Level


class Descent:
    """A gradient of a loss on the pixels alone."""

    def __init__(self, loss: Callable[[Tensor], Tensor]) -> None:
        self.objective = Objective([ImageTerm(name="distance", weight=1.0, loss=loss)])

    def __call__(self, parameter: ImageParameter) -> Evaluation:
        parameter.raw.grad = None
        evaluation = self.objective(parameter.image(), {})
        evaluation.total.backward()
        return Evaluation(evaluation.total.detach(), evaluation.losses)


def target(size: tuple[int, int]) -> Tensor:
    return torch.linspace(0.1, 0.9, size[1]).expand(1, 3, *size)


def distance(size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    goal = target(size)
    return lambda image: (image - goal).square().mean()


def run(
    config: OptimizerConfig,
    levels: list[Level],
    callback: Callable[[StepEvent], None] | None = None,
    should_stop: Callable[[int], bool] | None = None,
) -> RunResult:
    start = PixelImage(torch.full((1, 3, *levels[0].size), 0.5), config.pixel_range)
    return run_levels(
        start,
        levels,
        lambda level: Descent(distance(level.size)),
        config,
        callbacks=[callback] if callback else [],
        should_stop=should_stop,
    )


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
@pytest.mark.parametrize("pixel_range", [1.0, 255.0])
def test_both_optimisers_reach_the_target(name: str, pixel_range: float) -> None:
    lr = 0.02 * pixel_range if name == "adam" else None
    config = OptimizerConfig(name=name, lr=lr, pixel_range=pixel_range)
    result = run(config, [Level(size=(8, 12), steps=120)])
    assert (result.image - target((8, 12))).abs().max() < 0.01


def test_lbfgs_moves_pixels_at_512_although_the_loss_is_a_mean() -> None:
    # A mean over 786 432 values has curvature products far below torch's 1e-10.
    size = (512, 512)
    result = run(OptimizerConfig(name="lbfgs"), [Level(size=size, steps=12)])
    assert (result.image - target(size)).abs().mean() < 1e-3


def test_adam_moves_alike_whatever_the_number_of_pixels() -> None:
    def moved(side: int) -> float:
        # So flat that gradients of a mean over 512 x 512 pixels are near Adam's usual 1e-8.
        descent = Descent(lambda image: 1e-2 * (image - 0.9).square().mean())
        start = PixelImage(torch.full((1, 3, side, side), 0.5))
        level = Level(size=(side, side), steps=5)
        image = run_levels(start, [level], lambda _: descent, OptimizerConfig()).image
        return float((image - 0.5).mean())

    assert moved(8) == pytest.approx(0.1, rel=0.01)
    assert moved(512) == pytest.approx(moved(8), rel=1e-3)


def test_adam_keeps_pixels_valid_at_each_step() -> None:
    extremes: list[float] = []

    def look(event: StepEvent) -> None:
        extremes.extend((float(event.image.min()), float(event.image.max())))

    goal = torch.full((1, 3, 4, 4), 3.0)
    start = PixelImage(torch.full((1, 3, 4, 4), 0.9))
    run_levels(
        start,
        [Level(size=(4, 4), steps=20)],
        lambda _: Descent(lambda image: (image - goal).square().mean()),
        OptimizerConfig(),
        callbacks=[look],
    )
    assert max(extremes) == 1.0
    assert float(start.raw.detach().max()) == 1.0  # the parameter itself, not only what is shown


def test_events_count_steps_levels_and_evaluations() -> None:
    events: list[StepEvent] = []
    levels = [Level(size=(4, 4), steps=2), Level(size=(8, 8), steps=3)]
    result = run(OptimizerConfig(), levels, events.append)
    assert [(e.level, e.step, e.done) for e in events] == [
        (0, 1, 1),
        (0, 2, 2),
        (1, 1, 3),
        (1, 2, 4),
        (1, 3, 5),
    ]
    assert {e.planned for e in events} == {5}
    assert (result.done, result.planned, result.evaluations) == (5, 5, 5)
    assert result.image.shape == (1, 3, 8, 8)
    assert not result.stopped


def test_line_search_counts_evaluations_apart_from_steps() -> None:
    config = OptimizerConfig(name="lbfgs", line_search=True)
    result = run(config, [Level(size=(8, 8), steps=3)])
    assert result.done == 3
    assert result.evaluations > 3


def test_moments_are_carried_to_the_next_scale() -> None:
    images: dict[int, Tensor] = {}
    levels = [Level(size=(4, 4), steps=5), Level(size=(8, 8), steps=1)]
    brighter = Descent(lambda image: (image - 0.9).square().mean())
    indifferent = Descent(lambda image: 0.0 * image.sum())
    run_levels(
        PixelImage(torch.full((1, 3, 4, 4), 0.5)),
        levels,
        lambda level: brighter if level is levels[0] else indifferent,
        OptimizerConfig(),
        callbacks=[lambda e: images.update({e.done: e.image})],
    )
    # Only the momentum of the first scale can move a picture whose gradient is zero.
    assert float(images[6].mean() - images[5].mean()) > 0.01


class NotFinite:
    """Gives NaN at some evaluations, as an overflow in half precision would."""

    def __init__(self, when: Callable[[int], bool]) -> None:
        self.when = when
        self.calls = 0

    def __call__(self, image: Tensor) -> Tensor:
        self.calls += 1
        loss = distance((8, 8))(image)
        return loss * float("nan") if self.when(self.calls) else loss


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_a_non_finite_loss_is_undone_and_the_run_goes_on(name: str) -> None:
    loss = NotFinite(lambda call: call == 3)
    result = run_levels(
        PixelImage(torch.full((1, 3, 8, 8), 0.5)),
        [Level(size=(8, 8), steps=100)],
        lambda _: Descent(loss),
        OptimizerConfig(name=name),
    )
    assert result.recoveries == 1
    assert result.done == 100
    assert (result.image - target((8, 8))).abs().max() < 0.05


def test_a_loss_that_stays_non_finite_is_an_error() -> None:
    loss = NotFinite(lambda call: call > 2)
    with pytest.raises(DivergedError, match="not finite"):
        run_levels(
            PixelImage(torch.full((1, 3, 8, 8), 0.5)),
            [Level(size=(8, 8), steps=100)],
            lambda _: Descent(loss),
            OptimizerConfig(),
        )


def test_ctrl_c_returns_the_picture_so_far() -> None:
    def interrupt(event: StepEvent) -> None:
        if event.done == 4:
            raise KeyboardInterrupt

    result = run(OptimizerConfig(), [Level(size=(8, 8), steps=50)], interrupt)
    assert result.stopped
    assert result.done == 4
    assert float((result.image - 0.5).abs().max()) > 0.02


def test_should_stop_ends_after_exactly_so_many_steps_with_the_same_picture() -> None:
    images: dict[int, Tensor] = {}
    levels = [Level(size=(4, 4), steps=5), Level(size=(8, 8), steps=5)]
    run(OptimizerConfig(), levels, lambda e: images.update({e.done: e.image}))
    stopped = run(OptimizerConfig(), levels, should_stop=lambda done: done >= 7)
    assert (stopped.done, stopped.stopped) == (7, True)
    assert torch.equal(stopped.image, images[7])


def test_average_of_iterates_is_returned_without_bias() -> None:
    images: list[Tensor] = []
    decay = 0.8
    plain = OptimizerConfig()
    levels = [Level(size=(4, 4), steps=6)]
    run(plain, levels, lambda e: images.append(e.image))
    averaged = run(OptimizerConfig(average=decay), levels).image
    weights = torch.tensor([decay ** (5 - i) for i in range(6)])
    expected = sum(w * image for w, image in zip(weights, images, strict=True)) / weights.sum()
    assert torch.allclose(averaged, expected, atol=1e-6)


def test_zero_steps_return_the_start() -> None:
    result = run(OptimizerConfig(average=0.9), [Level(size=(4, 4), steps=0)])
    assert torch.equal(result.image, torch.full((1, 3, 4, 4), 0.5))


def test_the_same_run_gives_the_same_bits() -> None:
    levels = [Level(size=(8, 8), steps=10), Level(size=(16, 16), steps=10)]
    one, two = (run(OptimizerConfig(), levels).image for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("flat", [0.0, 0.05])
def test_a_scale_ends_once_its_loss_is_flat(flat: float) -> None:
    levels = [Level(size=(8, 8), steps=60), Level(size=(16, 16), steps=500)]
    planned: list[int] = []
    result = run_levels(
        PixelImage(torch.full((1, 3, 8, 8), 0.5)),
        levels,
        # What is left in the end, 0.01, cannot be lowered.
        lambda level: Descent(lambda image: 0.01 + distance(level.size)(image)),
        OptimizerConfig(),
        callbacks=[lambda step: planned.append(step.planned)],
        flat=flat,
    )
    assert not result.stopped
    assert result.done == result.planned == len(planned)
    assert planned[0] == 560
    if flat:
        assert 60 + 2 * FLAT_STEPS <= result.done < 200
        assert [done for done, _, _ in result.trace] == list(range(1, result.done + 1))
    else:
        assert result.done == 560
