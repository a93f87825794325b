"""The two optimisers, one step at a time: Adam with projection, and L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

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


class AdamStepper:
    """Adam (arXiv 1412.6980), projected to valid pixels after each step.

    Moments are carried over to the next scale, resized as pictures, and their step count with
    them, so that the first steps of a scale are not warm-up steps again.
    """

    def __init__(self, parameter: ImageParameter, config: OptimizerConfig, lr: float) -> None:
        self.parameter = parameter
        self._config = config
        self._lr = lr
        self._adam = torch.optim.Adam(
            [parameter.raw], lr=lr, betas=(config.beta1, config.beta2), eps=config.eps
        )

    def step(self, evaluate: Evaluate) -> Evaluation:
        """One evaluation and one update."""
        evaluation = evaluate(self.parameter)
        self._adam.step()
        if self._config.clamp != "end":
            self.parameter.project_()
        return evaluation

    def restarted(self, parameter: ImageParameter, slower: float) -> AdamStepper:
        """Without moments."""
        return AdamStepper(parameter, self._config, self._lr * slower)

    def resized(self, size: tuple[int, int]) -> AdamStepper:
        """With the moments resized; the second stays non-negative."""
        parameter = self.parameter.resized(size)
        other = AdamStepper(parameter, self._config, self._lr)
        state = self._adam.state.get(self.parameter.raw, {})
        if state:
            carry = self.parameter.resized_state
            other._adam.state[parameter.raw] = {
                "step": state["step"].clone(),
                "exp_avg": carry(state["exp_avg"], size),
                "exp_avg_sq": carry(state["exp_avg_sq"], size),
            }
        return other


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
