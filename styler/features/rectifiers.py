"""Other ways back through a ReLU: those of deconvnets and of guided backpropagation."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from styler.errors import ConfigError, did_you_mean
from styler.features.relu_calls import ReluCall, ReluMode

Rule = Literal["guided", "deconv"]
"""What becomes of a gradient g at a ReLU of x."""

RULES: tuple[Rule, ...] = get_args(Rule)
"""All rules."""


class _Ruled(torch.autograd.Function):
    """A ReLU whose gradient follows a rule."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, inplace: bool, ceiling: float, guided: bool) -> Tensor:
        if guided:
            ctx.save_for_backward((value > 0) & (value < ceiling))
        # Not by a ReLU, which would be met by a block around this one.
        if inplace:  # a network may look at the changed tensor again
            ctx.mark_dirty(value)
            return value.clamp_(0, ceiling)
        return value.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        passed = gradients[0].clamp_min(0)
        for active in ctx.saved_tensors:
            passed = passed * active
        return passed, None, None, None


class ReluRule(ReluMode):
    """Within it, gradients of ReLUs follow a rule; made by `relu_rule`.

    Attributes:
        rule: which.
        met: how many ReLUs were computed within it. A network with none is left as it is.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self.met = 0

    def relu(self, call: ReluCall) -> Tensor:
        """Let the gradient follow the rule."""
        self.met += 1
        ruled: Tensor = _Ruled.apply(call.value, call.inplace, call.ceiling, self.rule == "guided")
        return ruled


def relu_rule(rule: Rule) -> ReluRule:
    """A block in which gradients pass ReLUs by another rule than that of the derivative.

    With x what a ReLU is given and g the gradient that arrives from above, the derivative gives
    g · [x > 0]. "deconv" gives g · [g > 0], which is a ReLU on the way back; "guided" does both:
    g · [g > 0] · [x > 0]. A ReLU6 has [0 < x < 6] in the place of [x > 0]. ReLUs that are modules,
    functions or methods, in place or not, are met in any network. Values stay the same.

    The forward pass belongs inside of the block, the backward pass need not. The rules are for
    what excites: the gradient has to be that of an activation, not that of a loss.

    Args:
        rule: "guided" or "deconv".

    Returns:
        The block, which counts the ReLUs in `ReluRule.met`.

    Raises:
        ConfigError: there is no such rule.

    Example:
        >>> x = torch.tensor([-1.0, 2.0, -3.0, 4.0], requires_grad=True)
        >>> above = torch.tensor([1.0, 1.0, -1.0, -1.0])
        >>> with relu_rule("guided"):
        ...     y = torch.nn.functional.relu(x)
        >>> torch.autograd.grad(y, x, above)[0]
        tensor([0., 1., 0., 0.])
        >>> with relu_rule("deconv"):
        ...     y = torch.nn.ReLU()(x)
        >>> torch.autograd.grad(y, x, above)[0]
        tensor([1., 1., 0., 0.])

    References:
        Zeiler & Fergus 2013, arXiv 1311.2901, section 2.1 (deconv): the backward pass through a
        convolution is the filtering with transposed filters, through max pooling the unpooling by
        switches, so that the rule makes the whole deconvnet out of a gradient, as Simonyan et al.
        2013, arXiv 1312.6034, section 4, explain. Where windows of a pooling overlap, gradients
        that meet are summed. Springenberg et al. 2014, arXiv 1412.6806, section 3.4 (guided).
    """
    if rule not in RULES:
        raise ConfigError(f"unknown rule for ReLUs '{rule}'", did_you_mean(rule, RULES))
    return ReluRule(rule)
