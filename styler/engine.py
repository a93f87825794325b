"""The optimisation loop that every pipeline shares.

An `Objective` says what is wanted, an `ImageParameter` what may change, a gradient evaluator how
the two meet. `run_levels` takes them through a schedule of scales.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from styler.config import OptimizerConfig
from styler.errors import DivergedError
from styler.features import Extractor
from styler.objective import Evaluation, Objective
from styler.params import ImageParameter
from styler.schedule import Level
from styler.steppers import Stepper, make_stepper

MAX_RECOVERIES = 3
"""Non-finite evaluations in a row before the engine gives up."""
SLOWER = 0.5
"""Factor on the step size after a non-finite evaluation."""
FLAT_STEPS = 10
"""Steps over which the loss is averaged to see whether it still falls."""
GPU_LOG_EVERY = 10
"""Steps between two looks at a GPU's numbers; each look makes the processor wait for it."""


class Gradient(Protocol):
    """Evaluates an objective and its gradient."""

    def __call__(self, parameter: ImageParameter) -> Evaluation:
        """Fill ``parameter.raw.grad``; the evaluation returned is detached."""
        ...


class DirectGradient:
    """The whole picture in one autograd pass.

    Args:
        extractor: computes the features.
        objective: judges them.
    """

    def __init__(self, extractor: Extractor, objective: Objective) -> None:
        self.extractor = extractor
        self.objective = objective

    def __call__(self, parameter: ImageParameter) -> Evaluation:
        """One forward and one backward pass."""
        parameter.raw.grad = None
        image = parameter.image()
        layers = self.objective.layers
        features = self.extractor(image, layers) if layers else {}
        evaluation = self.objective(image, features)
        evaluation.total.backward()  # type: ignore[no-untyped-call]
        return Evaluation(evaluation.total.detach(), evaluation.losses)


@dataclass(frozen=True, kw_only=True)
class StepEvent:
    """What a callback learns after a step.

    Args:
        level: index of the scale, from 0; of `levels`.
        levels: number of scales.
        step: steps done at this scale; of `steps`.
        steps: steps planned at this scale.
        done: steps done at all scales; of `planned`.
        planned: steps planned at all scales.
        evaluations: gradients computed so far; line searches need several a step.
        total: the weighted loss that the step started from.
        losses: name → unweighted loss that the step started from.
        size: (height, width) at this scale.
        seconds: since the start.
    """

    level: int
    levels: int
    step: int
    steps: int
    done: int
    planned: int
    evaluations: int
    total: float
    losses: dict[str, float]
    size: tuple[int, int]
    seconds: float
    _image: Callable[[], Tensor] = field(repr=False)

    @property
    def image(self) -> Tensor:
        """The picture after the step, (B, 3, H, W) in [0, 1]; computed only when asked for."""
        return self._image()


Callback = Callable[[StepEvent], None]

Between = Callable[[Stepper], Stepper | None]
"""Looks at the optimiser between two steps: gives the one to go on with, None to end."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What came out.

    Args:
        image: (B, 3, H, W) in [0, 1], at the size of the last scale reached.
        done: steps taken.
        planned: steps planned, but for those that a flat loss made needless.
        evaluations: gradients computed.
        recoveries: how often a non-finite evaluation was undone.
        trace: one entry per logged step: steps done, total, losses by name.
        stopped: whether it ended before `planned`.
        seconds: how long it took.
    """

    image: Tensor
    done: int
    planned: int
    evaluations: int
    recoveries: int
    trace: list[tuple[int, float, dict[str, float]]]
    stopped: bool
    seconds: float


class _Average:
    """Exponential moving average of iterates, without the bias to its start."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._sum: Tensor | None = None
        self._weight = 0.0

    def update(self, raw: Tensor) -> None:
        self._weight = self.decay * self._weight + 1 - self.decay
        if self._sum is None:
            self._sum = raw * (1 - self.decay)
        else:
            self._sum.lerp_(raw, 1 - self.decay)

    def value(self) -> Tensor | None:
        return None if self._sum is None else self._sum / self._weight


class _NonFiniteError(Exception):
    """An evaluation gave NaN or infinity."""


class _Run:
    """The state of one `run_levels`."""

    def __init__(
        self,
        levels: Sequence[Level],
        config: OptimizerConfig,
        callbacks: Sequence[Callback],
        should_stop: Callable[[int], bool] | None,
        between: Between | None,
        flat: float,
    ) -> None:
        self.levels = levels
        self.config = config
        self.flat = flat
        self.callbacks = callbacks
        self.should_stop = should_stop or (lambda _: False)
        self.between = between
        self.planned = sum(level.steps for level in levels)
        self.done = self.evaluations = self.recoveries = 0
        self.trace: list[tuple[int, float, dict[str, float]]] = []
        self.started = time.perf_counter()
        self.stepper: Stepper
        self.average = _Average(config.average)
        self.good: Tensor | None = None

    def image(self) -> Tensor:
        """The current result, detached and clamped."""
        parameter = self.stepper.parameter
        mean = self.average.value()
        with torch.no_grad():
            return parameter.decode(parameter.raw if mean is None else mean).clamp(0, 1)

    def run_level(self, index: int, gradient: Gradient) -> bool:
        """All steps of one scale; False when asked to stop."""
        level = self.levels[index]
        log_every = 1 if self.stepper.parameter.raw.device.type == "cpu" else GPU_LOG_EVERY
        failures = 0
        step = 0
        while step < level.steps:
            looked_at = (step + 1) % log_every == 0 or step + 1 == level.steps
            try:
                evaluation = self.stepper.step(self._guarded(gradient, looked_at))
            except _NonFiniteError:
                failures += 1
                self._recover(failures)
                continue
            failures = 0
            step += 1
            self.done += 1
            if self.config.average:
                self.average.update(self.stepper.parameter.raw.detach())
            if looked_at:
                self._report(index, step, evaluation)
            going = self._go_on()
            if self.should_stop(self.done) or not going:
                return False
            if index and self._is_flat(step):
                self.planned -= level.steps - step
                break
        return True

    def _is_flat(self, step: int) -> bool:
        """Whether the last steps of this scale have lowered the loss by too little."""
        if not self.flat or step < 2 * FLAT_STEPS:
            return False
        now, before = self.done - FLAT_STEPS, self.done - 2 * FLAT_STEPS
        late = [total for done, total, _ in self.trace if done > now]
        early = [total for done, total, _ in self.trace if before < done <= now]
        if not late or not early:
            return False
        return sum(late) / len(late) > (1 - self.flat) * sum(early) / len(early)

    def _go_on(self) -> bool:
        """Let pictures come and go, if anyone wants them to."""
        if self.between is None:
            return True
        stepper = self.between(self.stepper)
        if stepper is None:
            return False
        if stepper is not self.stepper:
            self.stepper = stepper
            self.average = _Average(self.config.average)
            self.good = None
        return True

    def _guarded(
        self, gradient: Gradient, looked_at: bool
    ) -> Callable[[ImageParameter], Evaluation]:
        """The gradient, counted, and checked where the numbers are looked at anyway."""

        def evaluate(parameter: ImageParameter) -> Evaluation:
            evaluation = gradient(parameter)
            self.evaluations += 1
            if looked_at:
                assert parameter.raw.grad is not None  # every `Gradient` fills it
                if not torch.isfinite(evaluation.total + parameter.raw.grad.sum()):
                    raise _NonFiniteError
                self.good = parameter.raw.detach().clone()
            return evaluation

        return evaluate

    def _recover(self, failures: int) -> None:
        """Back to the last picture whose loss was finite, with smaller steps."""
        if failures > MAX_RECOVERIES:
            raise DivergedError(
                f"the loss is not finite, {failures} times in a row (step {self.done})",
                "a smaller optimizer.lr or smaller weights help; --precision fp32 if it was bf16",
            )
        self.recoveries += 1
        parameter = self.stepper.parameter
        if self.good is not None:
            with torch.no_grad():
                parameter.raw.copy_(self.good)
        self.stepper = self.stepper.restarted(parameter, SLOWER)

    def _report(self, index: int, step: int, evaluation: Evaluation) -> None:
        total = float(evaluation.total)
        losses = {name: float(value) for name, value in evaluation.losses.items()}
        self.trace.append((self.done, total, losses))
        level = self.levels[index]
        event = StepEvent(
            level=index,
            levels=len(self.levels),
            step=step,
            steps=level.steps,
            done=self.done,
            planned=self.planned,
            evaluations=self.evaluations,
            total=total,
            losses=losses,
            size=level.size,
            seconds=time.perf_counter() - self.started,
            _image=self.image,
        )
        for callback in self.callbacks:
            callback(event)

    def enter(self, index: int) -> None:
        """Take picture and optimiser to the size of another scale."""
        mean = self.average.value()
        if mean is not None:
            with torch.no_grad():
                self.stepper.parameter.raw.copy_(mean)
        self.average = _Average(self.config.average)
        self.good = None
        self.stepper = self.stepper.resized(self.levels[index].size)

    def result(self, stopped: bool) -> RunResult:
        """What there is now."""
        return RunResult(
            image=self.image(),
            done=self.done,
            planned=self.planned,
            evaluations=self.evaluations,
            recoveries=self.recoveries,
            trace=self.trace,
            stopped=stopped,
            seconds=time.perf_counter() - self.started,
        )


def run_levels(
    parameter: ImageParameter,
    levels: Sequence[Level],
    gradients: Callable[[Level], Gradient],
    config: OptimizerConfig,
    *,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
    between: Between | None = None,
    flat: float = 0.0,
) -> RunResult:
    """Optimise a picture through a schedule of scales.

    Args:
        parameter: at the size of the first level.
        levels: coarse to fine.
        gradients: makes the gradient evaluator of a level; called once per level, when it starts.
        config: the optimiser.
        callbacks: called with a `StepEvent` after each step on a CPU, after every
            `GPU_LOG_EVERY`-th elsewhere.
        should_stop: asked after each step with the number of steps done; True ends the run.
        between: called after each step with the optimiser; what it gives is gone on with, so that
            pictures of a batch may leave it and others take their places. None ends the run.
        flat: a scale after the first ends once the mean loss of `FLAT_STEPS` steps is lower than
            that of as many before by less than this share; 0 takes all steps.

    Returns:
        The picture and how it was reached. A KeyboardInterrupt ends the run like `should_stop`.

    Raises:
        DivergedError: the loss stayed non-finite although the step size was lowered.
    """
    run = _Run(levels, config, callbacks, should_stop, between, flat)
    run.stepper = make_stepper(parameter, config)
    try:
        for index, level in enumerate(levels):
            if index:
                run.enter(index)
            if not run.run_level(index, gradients(level)):
                return run.result(stopped=run.done < run.planned)
    except KeyboardInterrupt:
        return run.result(stopped=True)
    return run.result(stopped=False)
