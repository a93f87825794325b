"""Gradients for pictures that would have none: ReLUs that let a silent unit wake up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_RELUS: frozenset[Callable[..., Any]] = frozenset(
    (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
)


class _Redirected(torch.autograd.Function):
    """A ReLU whose gradient, where it would vanish for a whole picture, goes on regardless."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, wanted: Tensor) -> Tensor:
        ctx.save_for_backward(value, wanted)
        return value.relu()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        value, wanted = ctx.saved_tensors
        plain = gradient * (value > 0)
        # What is already silent must not be pushed further down: descent follows −gradient.
        lifting = torch.where((value < 0) & (gradient > 0), torch.zeros_like(gradient), gradient)
        dead = wanted & (plain.flatten(1).abs().amax(1) == 0)
        return torch.where(dead.view(-1, *[1] * (value.ndim - 1)), lifting, plain), None


class RedirectedRelu(TorchFunctionMode):
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

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Take the place of ReLUs, and of nothing else."""
        named = dict(kwargs or {})
        if func in _RELUS:
            value = cast(Tensor, args[0] if args else named["input"])
            if value.shape[0] == self.wanted.shape[0]:
                return _Redirected.apply(value, self.wanted)
        return func(*args, **named)
