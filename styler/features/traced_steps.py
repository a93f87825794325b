"""What the nodes of a traced network do to the grid of a map: kernels, strides and borders."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from styler.features.convolutional import SlidingLinear
from styler.features.receptive_field import Window
from styler.features.traced import arguments

Pair = tuple[int, int]
Given = int | Sequence[int]
"""A number for both axes, or one for each."""

_POINTWISE_MODULES = (
    nn.AlphaDropout, nn.CELU, nn.ChannelShuffle, nn.Dropout, nn.Dropout2d, nn.ELU, nn.GELU,
    nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.Identity, nn.LeakyReLU, nn.LocalResponseNorm,
    nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid,
    nn.Softmax2d, nn.Softplus, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip
_POINTWISE_FUNCTIONS = frozenset({
    operator.abs, operator.add, operator.iadd, operator.imul, operator.isub, operator.itruediv,
    operator.mul, operator.neg, operator.pow, operator.sub, operator.truediv,
    torch.abs, torch.add, torch.clamp, torch.clip, torch.div, torch.exp, torch.log, torch.maximum,
    torch.minimum, torch.mul, torch.neg, torch.pow, torch.relu, torch.sigmoid, torch.sqrt,
    torch.square, torch.sub, torch.tanh,
    F.celu, F.dropout, F.dropout2d, F.elu, F.gelu, F.hardsigmoid, F.hardswish, F.hardtanh,
    F.leaky_relu, F.local_response_norm, F.logsigmoid, F.mish, F.prelu, F.relu, F.relu6, F.selu,
    F.silu, F.softplus, F.softsign, F.tanhshrink, F.threshold,
})  # fmt: skip
_POINTWISE_METHODS = frozenset({
    "abs", "add", "clamp", "clip", "clone", "contiguous", "detach", "div", "double", "exp", "float",
    "log", "mul", "neg", "pow", "relu", "sigmoid", "sqrt", "square", "sub", "tanh",
})  # fmt: skip
_JOINS = frozenset({torch.cat, torch.concat, torch.concatenate})
_SPLITS = frozenset({torch.chunk, torch.split, "chunk", "split"})
"""Functions and methods whose third argument is the dimension."""

_CHANNELS = (1, -3)
"""The dimension of channels, as it may be called."""

_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_BATCH_NORM = ("input", "running_mean", "running_var", "weight", "bias", "training")
_PAD = ("input", "pad", "mode", "value")
_POOL_ARGUMENTS: Mapping[Any, tuple[str, ...]] = {
    F.max_pool2d: ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    torch.max_pool2d: ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    F.avg_pool2d: ("input", "kernel_size", "stride", "padding", "ceil_mode"),
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A convolution or pooling: (vertical, horizontal), in units of its input.

    Attributes:
        kernel: taps.
        stride: distance of neighbouring windows.
        padding: units added before the first.
        after: units added after the last; None for as many as before the first.
        dilation: distance of the taps.
        ceil: a last window that only partly fits counts.
    """

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    after: Pair | None = None
    dilation: Pair = (1, 1)
    ceil: bool = False

    def side(self, side: int, axis: int) -> int:
        """Units of the output for units of the input; 0 when the input is too small."""
        stride, padding = self.stride[axis], self.padding[axis]
        after = padding if self.after is None else self.after[axis]
        room = side + padding + after - (self.kernel[axis] - 1) * self.dilation[axis] - 1
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


def step_of(node: fx.Node, modules: Mapping[str, nn.Module]) -> Step | None:
    """What a node does to the grid.

    Args:
        node: of a network's graph.
        modules: the network's, by path, itself among them.

    Returns:
        The step; None when it is not known, or does not go from map to map place by place.
    """
    if node.op == "call_module":
        return _module_step(modules[str(node.target)])
    if node.op == "call_method":
        known = node.target in _POINTWISE_METHODS or _chooses_channels(node)
        return POINT if known else None
    return _function_step(node, modules) if node.op == "call_function" else None


def _function_step(node: fx.Node, modules: Mapping[str, nn.Module]) -> Step | None:
    step: Step | None = None
    if node.target in _POINTWISE_FUNCTIONS or _joins_channels(node) or _chooses_channels(node):
        step = POINT
    elif node.target in _POOL_ARGUMENTS:
        given = arguments(node, _POOL_ARGUMENTS[node.target])
        step = _pool_step(given, given.get("stride") or given["kernel_size"])
    elif node.target in (F.conv2d, torch.conv2d):
        step = _convolution_step(arguments(node, _CONVOLUTION), modules)
    elif node.target is F.batch_norm and not arguments(node, _BATCH_NORM).get("training", False):
        step = POINT
    elif node.target is F.pad:
        given = arguments(node, _PAD)
        if given.get("mode", "constant") == "constant":
            step = _pad_step(given["pad"])
    return step


def _joins_channels(node: fx.Node) -> bool:
    return node.target in _JOINS and arguments(node, ("tensors", "dim")).get("dim") in _CHANNELS


def _chooses_channels(node: fx.Node) -> bool:
    """Whether a node gives some channels of a map, or the map in parts of some channels each."""
    if node.target in _SPLITS:
        return arguments(node, ("input", "sections", "dim")).get("dim") in _CHANNELS
    if node.target is not operator.getitem:
        return False
    source, index = node.args
    if isinstance(index, int):
        return isinstance(source, fx.Node) and source.target in _SPLITS
    everything = slice(None)
    return isinstance(index, tuple) and all(
        part == everything or (dim == 1 and isinstance(part, slice))
        for dim, part in enumerate(index)
    )


def _module_step(module: nn.Module) -> Step | None:
    step: Step | None = None
    if isinstance(module, _POINTWISE_MODULES):
        step = POINT
    elif isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
        step = POINT  # without running means it takes those of the whole map
    elif isinstance(module, nn.Conv2d):
        step = _padded_step(
            module.kernel_size, module.stride, module.padding, module.dilation, module.padding_mode
        )
    elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        step = _pool_step(vars(module), module.stride)
    elif isinstance(module, nn.ConstantPad2d):
        step = _pad_step(module.padding)
    elif isinstance(module, SlidingLinear):
        step = Step(kernel=_pair(module.window))
    return step


def _convolution_step(given: Mapping[str, Any], modules: Mapping[str, nn.Module]) -> Step | None:
    """A call of a function that convolves; None where its kernel is no parameter or buffer."""
    weight = given["weight"]
    if not isinstance(weight, fx.Node) or weight.op != "get_attr":
        return None
    path, _, name = str(weight.target).rpartition(".")
    kernel = getattr(modules[path], name).shape[2:]
    stride, dilation = given.get("stride", 1), given.get("dilation", 1)
    return _padded_step(kernel, stride, given.get("padding", 0), dilation)


def _padded_step(
    kernel: Sequence[int],
    stride: Given,
    padding: Given | str,
    dilation: Given,
    mode: str = "zeros",
) -> Step | None:
    """A convolution; None where units at a border see what is not next to them."""
    reach = tuple((taps - 1) * gap for taps, gap in zip(kernel, _pair(dilation), strict=True))
    if padding == "same":
        before = reach[0] // 2, reach[1] // 2
        after = reach[0] - before[0], reach[1] - before[1]
    else:
        before = after = _pair(0 if isinstance(padding, str) else padding)
    far = any(2 * pad > room for pad, room in zip(before + after, reach + reach, strict=True))
    if mode == "circular" or (mode != "zeros" and far):
        return None
    return Step(
        kernel=_pair(kernel),
        stride=_pair(stride),
        padding=before,
        after=after,
        dilation=_pair(dilation),
    )


def _pool_step(given: Mapping[str, Any], stride: Given) -> Step:
    return Step(
        kernel=_pair(given["kernel_size"]),
        stride=_pair(stride),
        padding=_pair(given.get("padding", 0)),
        dilation=_pair(given.get("dilation", 1)),
        ceil=bool(given.get("ceil_mode", False)),
    )


def _pad_step(pad: Sequence[Any]) -> Step | None:
    """Numbers around a map: (left, right) or (left, right, top, bottom); none may be cut off."""
    if len(pad) not in (2, 4) or not all(isinstance(each, int) and each >= 0 for each in pad):
        return None
    left, right, top, bottom = (*pad, 0, 0)[:4]
    return Step(padding=(top, left), after=(bottom, right))


def _pair(value: Given) -> Pair:
    if isinstance(value, int):
        return value, value
    return value[0], value[-1]
