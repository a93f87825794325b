"""The two optimisers, one step at a time: Adam with projection, and L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam

from styler.config import OptimizerConfig
from styler.objective import Evaluation
from styler.params import ImageParameter

Evaluate = Callable[[ImageParameter], Evaluation]
"""Evaluates the objective and leaves its gradient in ``parameter.raw.grad``."""

ADAM_LR = 0.02
LBFGS_LR = 1.0


class Stepper(Protocol):
    """An optimiser bound to one parameter."""

    parameter: ImageParameter

    def step(self, evaluate: Evaluate) -> Evaluation:
        """Take one step; returns the evaluation it started from."""
        ...

    def restarted(self, parameter: ImageParameter, slower: float) -> Stepper:
        """The same optimiser without memory and with its step size times `slower`."""
        ...

    def resized(self, size: tuple[int, int]) -> Stepper:
        """The same optimiser on the parameter at another (height, width)."""
        ...


def make_stepper(parameter: ImageParameter, config: OptimizerConfig) -> Stepper:
    """The optimiser that the configuration names."""
    if config.name == "adam":
        return AdamStepper(parameter, config, config.lr or ADAM_LR)
    return LbfgsStepper(parameter, config, config.lr or LBFGS_LR)


@dataclass
class AdamMoments:
    """What Adam remembers: step count, mean and mean square of the gradient."""

    step: Tensor
    first: Tensor
    second: Tensor


class AdamStepper:
    """Adam (arXiv 1412.6980), projected to valid pixels after each step.

    Moments are carried over to the next scale, resized as pictures, and their step count with
    them, so that the first steps of a scale are not warm-up steps again.

    torch's update is called as a function: its optimiser class imports torch's compiler, which
    takes a second and 150 MB.
    """

    def __init__(
        self,
        parameter: ImageParameter,
        config: OptimizerConfig,
        lr: float,
        moments: AdamMoments | None = None,
    ) -> None:
        self.parameter = parameter
        self._config = config
        self._lr = lr
        zero = torch.zeros_like(parameter.raw.detach())
        self.moments = moments or AdamMoments(torch.tensor(0.0), zero, zero.clone())

    def step(self, evaluate: Evaluate) -> Evaluation:
        """One evaluation and one update."""
        evaluation = evaluate(self.parameter)
        gradient = self.parameter.raw.grad
        assert gradient is not None  # `evaluate` has just filled it
        with torch.no_grad():
            adam(
                [self.parameter.raw],
                [gradient],
                [self.moments.first],
                [self.moments.second],
                [],
                [self.moments.step],
                foreach=False,
                amsgrad=False,
                beta1=self._config.beta1,
                beta2=self._config.beta2,
                lr=self._lr,
                weight_decay=0.0,
                eps=self._config.eps,
                maximize=False,
            )
        if self._config.clamp != "end":
            self.parameter.project_()
        return evaluation

    def restarted(self, parameter: ImageParameter, slower: float) -> AdamStepper:
        """Without moments."""
        return AdamStepper(parameter, self._config, self._lr * slower)

    def resized(self, size: tuple[int, int]) -> AdamStepper:
        """With the moments resized; the second stays non-negative."""
        carry = self.parameter.resized_state
        moments = AdamMoments(
            self.moments.step.clone(),
            carry(self.moments.first, size),
            carry(self.moments.second, size),
        )
        return AdamStepper(self.parameter.resized(size), self._config, self._lr, moments)


class LbfgsStepper:
    """Limited-memory BFGS, one iteration a step.

    The loss handed to torch's optimiser is divided by the mean absolute gradient of the first
    evaluation: torch drops curvature pairs whose product is below 1e-10, and losses normalised by
    the number of pixels would never keep one.
    """

    def __init__(self, parameter: ImageParameter, config: OptimizerConfig, lr: float) -> None:
        self.parameter = parameter
        self._config = config
        self._lr = lr
        self._scale: Tensor | None = None
        self._lbfgs = torch.optim.LBFGS(
            [parameter.raw],
            lr=lr,
            max_iter=1,
            max_eval=25,
            history_size=config.history,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe" if config.line_search else None,
        )

    def step(self, evaluate: Evaluate) -> Evaluation:
        """One iteration: one evaluation, or several with line search."""
        started_from: list[Evaluation] = []

        def closure() -> Tensor:
            evaluation = evaluate(self.parameter)
            started_from.append(evaluation)
            return evaluation.total * self._scaled_gradient()

        self._lbfgs.step(closure)  # type: ignore[no-untyped-call]
        if self._config.clamp == "step":
            self.parameter.project_()
        return started_from[0]

    def _scaled_gradient(self) -> Tensor:
        gradient = self.parameter.raw.grad
        assert gradient is not None  # `evaluate` has just filled it
        if self._scale is None:
            mean = gradient.abs().mean()
            self._scale = torch.where(mean > 0, 1.0 / mean, torch.ones_like(mean))
        gradient.mul_(self._scale)
        return self._scale

    def restarted(self, parameter: ImageParameter, slower: float) -> LbfgsStepper:
        """Without curvature pairs."""
        return LbfgsStepper(parameter, self._config, self._lr * slower)

    def resized(self, size: tuple[int, int]) -> LbfgsStepper:
        """Without curvature pairs: they do not fit another size."""
        return self.restarted(self.parameter.resized(size), 1.0)
