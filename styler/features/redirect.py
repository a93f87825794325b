"""Gradients for pictures that would have none: ReLUs that let a silent unit wake up."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from styler.features.relu_calls import ReluCall, ReluMode


class _Redirected(torch.autograd.Function):
    """A ReLU whose gradient, where it would vanish for a whole picture, goes on regardless."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, wanted: Tensor, inplace: bool) -> Tensor:
        ctx.save_for_backward(value > 0, value < 0, wanted)
        if inplace:  # a network may look at the changed tensor again
            ctx.mark_dirty(value)
            return value.relu_()
        return value.relu()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        active, silent, wanted = ctx.saved_tensors
        plain = gradient * active
        dead = wanted & (plain.flatten(1).abs().amax(1) == 0)
        if not bool(dead.any()):
            return plain, None, None
        # What is already silent must not be pushed further down: descent follows −gradient.
        lifting = torch.where(silent & (gradient > 0), torch.zeros_like(gradient), gradient)
        return torch.where(dead.view(-1, *[1] * (plain.ndim - 1)), lifting, plain), None, None


class RedirectedRelu(ReluMode):
    """Within it, a ReLU passes on the gradient of each picture that would else have none at all.

    Pictures are the first dimension. It reaches modules and functions alike, in any network.

    Args:
        wanted: (B,), whether a picture is to be helped.

    Example:
        >>> value = torch.tensor([[-1.0, -2.0], [-1.0, 2.0]], requires_grad=True)
        >>> with RedirectedRelu(torch.tensor([True, True])):
        ...     torch.nn.ReLU()(value).sum().neg().backward()
        >>> value.grad
        tensor([[-1., -1.],
                [-0., -1.]])

    References:
        Lucid, "redirected ReLU gradients": for a loss that is minimised.
    """

    def __init__(self, wanted: Tensor) -> None:
        super().__init__()
        self.wanted = wanted

    def relu(self, call: ReluCall) -> Tensor | None:
        """Redirect plain ReLUs whose first dimension is the pictures'."""
        value = call.value
        if math.isfinite(call.ceiling) or value.ndim < 2 or len(value) != len(self.wanted):
            return None
        redirected: Tensor = _Redirected.apply(value, self.wanted, call.inplace)
        return redirected
