"""What the nodes of a traced network see of the image, and how large it has to be for them."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from styler.features.convolutional import SlidingLinear
from styler.features.receptive_field import ReceptiveField, Window
from styler.features.traced import Traced, arguments, reached_by_image

Pair = tuple[int, int]

_POINTWISE_MODULES = (
    nn.BatchNorm2d,
    nn.Dropout,
    nn.ELU,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Identity,
    nn.LeakyReLU,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.ReLU6,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Tanh,
)
_POINTWISE_FUNCTIONS = (
    operator.add, operator.sub, operator.mul, operator.truediv, torch.add, torch.mul,
    F.relu, torch.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardswish, F.mish,
    torch.sigmoid, torch.tanh, F.batch_norm, F.dropout,
)  # fmt: skip
_POINTWISE_METHODS = frozenset({"add", "sub", "mul", "div", "relu", "sigmoid", "tanh", "clone"})
_POOL_ARGUMENTS: Mapping[Any, tuple[str, ...]] = {
    F.max_pool2d: ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    F.avg_pool2d: ("input", "kernel_size", "stride", "padding", "ceil_mode"),
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A convolution or pooling: (vertical, horizontal), in units of its input.

    Attributes:
        kernel: taps.
        stride: distance of neighbouring windows.
        padding: units added on each side.
        dilation: distance of the taps.
        ceil: a last window that only partly fits counts.
    """

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil: bool = False

    def side(self, side: int, axis: int) -> int:
        """Units of the output for units of the input; 0 when the input is too small."""
        stride, padding = self.stride[axis], self.padding[axis]
        room = side + 2 * padding - (self.kernel[axis] - 1) * self.dilation[axis] - 1
        units = (room + (stride - 1 if self.ceil else 0)) // stride + 1
        if self.ceil and (units - 1) * stride >= side + padding:
            units -= 1  # a window must begin inside the image or its left border
        return max(units, 0)

    def window(self, window: Window, axis: int) -> Window:
        """The windows of the output for those of the input."""
        return window.through(
            kernel=self.kernel[axis],
            stride=self.stride[axis],
            padding=self.padding[axis],
            dilation=self.dilation[axis],
        )


POINT = Step()
"""What works on each position alone."""


def fields(traced: Traced) -> dict[fx.Node, ReceptiveField | None]:
    """The receptive fields of all nodes of a network.

    Args:
        traced: the network.

    Returns:
        By node. None for what sees the whole image, and behind operations that are neither
        convolution, pooling, sum, concatenation of channels, nor a function of single units.
    """
    modules = dict(traced.model.named_modules())
    reached = reached_by_image(traced.graph)
    found: dict[fx.Node, ReceptiveField | None] = {}
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            found[node] = ReceptiveField(y=Window(), x=Window())
        else:
            step = _step(node, modules)
            inputs = [found[source] for source in node.all_input_nodes if source in reached]
            found[node] = None if step is None else _through(step, inputs)
    return found


def _through(step: Step, inputs: Sequence[ReceptiveField | None]) -> ReceptiveField | None:
    known = [field for field in inputs if field is not None]
    if not known or len(known) < len(inputs):
        return None
    y, x = known[0].y, known[0].x
    for field in known[1:]:
        if (field.y.jump, field.x.jump) != (y.jump, x.jump):
            return None  # one unit is spread over a map
        y, x = y.hull(field.y), x.hull(field.x)
    return ReceptiveField(y=step.window(y, 0), x=step.window(x, 1))


def minimum_sides(traced: Traced) -> dict[fx.Node, int]:
    """The smallest side of a square image, in pixels, with which each node has a unit.

    Args:
        traced: the network.

    Returns:
        By node. Operations that `fields` does not know are taken to need nothing, and where their
        results meet others, the others count.
    """
    modules = dict(traced.model.named_modules())
    reached = reached_by_image(traced.graph)
    steps = {node: _step(node, modules) for node in traced.graph.nodes if node in reached}
    found: dict[fx.Node, int] = {}
    side = 0
    while len(found) < len(steps):
        side += 1
        for node in _with_units(steps, side):
            found.setdefault(node, side)
    return found


def _with_units(steps: Mapping[fx.Node, Step | None], side: int) -> Iterator[fx.Node]:
    """The nodes that have a unit for a square image of this side."""
    unknown = (-1, -1)
    units: dict[fx.Node, Pair] = {}
    for node, step in steps.items():
        inputs = [units[source] for source in node.all_input_nodes if source in steps]
        known = [pair for pair in inputs if pair != unknown]
        if any(0 in pair for pair in inputs):
            units[node] = (0, 0)
        elif node.op == "placeholder":
            units[node] = (side, side)
        elif step is None or not known:
            units[node] = unknown
        else:
            height, width = known[0]
            units[node] = step.side(height, 0), step.side(width, 1)
        if 0 not in units[node]:
            yield node


def _step(node: fx.Node, modules: Mapping[str, nn.Module]) -> Step | None:
    """What a node does to the grid; None when that is not known."""
    if node.op == "call_module":
        return _module_step(modules[str(node.target)])
    if node.op == "call_method":
        return POINT if node.target in _POINTWISE_METHODS else None
    return _function_step(node) if node.op == "call_function" else None


def _function_step(node: fx.Node) -> Step | None:
    if node.target in _POINTWISE_FUNCTIONS:
        return POINT
    if node.target is torch.cat:
        return POINT if arguments(node, ("tensors", "dim")).get("dim") == 1 else None
    if node.target in _POOL_ARGUMENTS:
        given = arguments(node, _POOL_ARGUMENTS[node.target])
        return _pool_step(given, given.get("stride") or given["kernel_size"])
    return None


def _module_step(module: nn.Module) -> Step | None:
    if isinstance(module, _POINTWISE_MODULES):
        return POINT
    if isinstance(module, nn.Conv2d) and not isinstance(module.padding, str):
        return Step(
            kernel=_pair(module.kernel_size),
            stride=_pair(module.stride),
            padding=_pair(module.padding),
            dilation=_pair(module.dilation),
        )
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        return _pool_step(vars(module), module.stride)
    if isinstance(module, SlidingLinear):
        return Step(kernel=_pair(module.window))
    return None


def _pool_step(given: Mapping[str, Any], stride: int | Pair) -> Step:
    return Step(
        kernel=_pair(given["kernel_size"]),
        stride=_pair(stride),
        padding=_pair(given.get("padding", 0)),
        dilation=_pair(given.get("dilation", 1)),
        ceil=bool(given.get("ceil_mode", False)),
    )


def _pair(value: int | Sequence[int]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
