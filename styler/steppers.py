"""The optimisers, one step at a time: Adam and its like with projection, and L-BFGS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.nadam import nadam

from styler.config import OptimizerConfig
from styler.objective import Evaluation
from styler.params import ImageParameter

Evaluate = Callable[[ImageParameter], Evaluation]
"""Evaluates the objective and leaves its gradient in ``parameter.raw.grad``."""

ADAM_LR = 0.02
LBFGS_LR = 1.0
NADAM_DECAY = 0.004
"""Per step, of NAdam's momentum: psi of its authors."""


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


@runtime_checkable
class RowStepper(Stepper, Protocol):
    """An optimiser that treats each picture of a batch as if it were alone."""

    def keep(self, rows: Sequence[int]) -> RowStepper:
        """The same optimiser for some pictures of the batch, with what it remembers of them."""
        ...

    def put(self, row: int, raw: Tensor) -> None:
        """Let another picture, of which nothing is remembered, take a place in the batch."""
        ...


def make_stepper(parameter: ImageParameter, config: OptimizerConfig) -> Stepper:
    """The optimiser that the configuration names."""
    if config.name == "lbfgs":
        return LbfgsStepper(parameter, config, config.lr or LBFGS_LR)
    if config.name == "descent":
        return DescentStepper(parameter, config, config.lr or ADAM_LR)
    return AdamStepper(parameter, config, config.lr or ADAM_LR)


@dataclass
class AdamMoments:
    """What Adam remembers of B pictures.

    Attributes:
        step: (B,), steps taken.
        momentum: (B,), the product of NAdam's momentum factors; Adam has no use for it.
        first: mean of the gradient.
        second: mean square of the gradient.
    """

    step: Tensor
    momentum: Tensor
    first: Tensor
    second: Tensor

    @classmethod
    def of(cls, raw: Tensor) -> AdamMoments:
        """Nothing yet."""
        batch = raw.shape[0]
        zero = torch.zeros_like(raw.detach())
        return cls(torch.zeros(batch), torch.ones(batch), zero, zero.clone())


class AdamStepper:
    """Adam (arXiv 1412.6980) or NAdam (Dozat 2016), projected to valid pixels after each step.

    Moments are carried over to the next scale, resized as pictures, and their step count with
    them, so that the first steps of a scale are not warm-up steps again. Each picture of a batch
    has its own.

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
        self.moments = moments or AdamMoments.of(parameter.raw)

    def step(self, evaluate: Evaluate) -> Evaluation:
        """One evaluation and one update."""
        evaluation = evaluate(self.parameter)
        gradient = self.parameter.raw.grad
        assert gradient is not None  # `evaluate` has just filled it
        with torch.no_grad():
            self._update(gradient)
        if self._config.clamp != "end":
            self.parameter.project_()
        return evaluation

    def _update(self, gradient: Tensor) -> None:
        moments, raw = self.moments, self.parameter.raw.detach()
        alike = bool((moments.step == moments.step[0]).all())
        # Pictures that have all taken as many steps share one update.
        groups = [slice(None)] if alike else [slice(i, i + 1) for i in range(len(raw))]
        for rows in groups:
            step = moments.step[rows][0].clone()
            momentum = moments.momentum[rows][0].clone()
            arrays = ([raw[rows]], [gradient[rows]], [moments.first[rows]], [moments.second[rows]])
            self._update_alike(arrays, step, momentum)
            moments.step[rows] = step
            moments.momentum[rows] = momentum

    def _update_alike(
        self,
        arrays: tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]],
        step: Tensor,
        momentum: Tensor,
    ) -> None:
        raw, gradient, first, second = arrays
        config = self._config
        if config.name == "nadam":
            nadam(
                raw,
                gradient,
                first,
                second,
                [momentum],
                [step],
                foreach=False,
                beta1=config.beta1,
                beta2=config.beta2,
                lr=self._lr,
                weight_decay=0.0,
                momentum_decay=NADAM_DECAY,
                eps=config.eps,
            )
            return
        adam(
            raw,
            gradient,
            first,
            second,
            [],
            [step],
            foreach=False,
            amsgrad=False,
            beta1=config.beta1,
            beta2=config.beta2,
            lr=self._lr,
            weight_decay=0.0,
            eps=config.eps,
            maximize=False,
        )

    def keep(self, rows: Sequence[int]) -> AdamStepper:
        """The same optimiser for some pictures of the batch, with their moments."""
        chosen, moments = torch.tensor(rows), self.moments
        here = chosen.to(moments.first.device)
        kept = AdamMoments(
            moments.step[chosen],
            moments.momentum[chosen],
            moments.first[here],
            moments.second[here],
        )
        parameter = self.parameter.with_raw(self.parameter.raw.detach()[here])
        return AdamStepper(parameter, self._config, self._lr, kept)

    def put(self, row: int, raw: Tensor) -> None:
        """Let another picture, without moments, take a place in the batch."""
        with torch.no_grad():
            self.parameter.raw[row] = raw
        self.moments.step[row] = 0.0
        self.moments.momentum[row] = 1.0
        self.moments.first[row] = 0.0
        self.moments.second[row] = 0.0

    def restarted(self, parameter: ImageParameter, slower: float) -> AdamStepper:
        """Without moments."""
        return AdamStepper(parameter, self._config, self._lr * slower)

    def resized(self, size: tuple[int, int]) -> AdamStepper:
        """With the moments resized; the second stays non-negative."""
        carry = self.parameter.resized_state
        moments = AdamMoments(
            self.moments.step.clone(),
            self.moments.momentum.clone(),
            carry(self.moments.first, size),
            carry(self.moments.second, size),
        )
        return AdamStepper(self.parameter.resized(size), self._config, self._lr, moments)


class DescentStepper:
    """Plain steps against the gradient, projected to valid pixels after each."""

    def __init__(self, parameter: ImageParameter, config: OptimizerConfig, lr: float) -> None:
        self.parameter = parameter
        self._config = config
        self._lr = lr

    def step(self, evaluate: Evaluate) -> Evaluation:
        """One evaluation and one update."""
        evaluation = evaluate(self.parameter)
        gradient = self.parameter.raw.grad
        assert gradient is not None  # `evaluate` has just filled it
        with torch.no_grad():
            self.parameter.raw.sub_(gradient, alpha=self._lr)
        if self._config.clamp != "end":
            self.parameter.project_()
        return evaluation

    def restarted(self, parameter: ImageParameter, slower: float) -> DescentStepper:
        """With smaller steps."""
        return DescentStepper(parameter, self._config, self._lr * slower)

    def resized(self, size: tuple[int, int]) -> DescentStepper:
        """It remembers nothing that would have to be resized."""
        return self.restarted(self.parameter.resized(size), 1.0)

    def keep(self, rows: Sequence[int]) -> DescentStepper:
        """The same optimiser for some pictures of the batch."""
        here = torch.tensor(rows, device=self.parameter.raw.device)
        return self.restarted(self.parameter.with_raw(self.parameter.raw.detach()[here]), 1.0)

    def put(self, row: int, raw: Tensor) -> None:
        """Let another picture take a place in the batch."""
        with torch.no_grad():
            self.parameter.raw[row] = raw


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
