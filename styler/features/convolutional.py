"""Fully connected classifiers as convolutions, so that a network takes images of any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from styler.features.registry import BackboneSpec
from styler.features.traced import OUTPUT, Traced, arguments, shapes, trace

TRAINED_SIDE = 224
"""Side of the images that AlexNet and VGG were trained with, in pixels."""

_VECTOR_MODULES = (nn.Linear, nn.ReLU, nn.Dropout)
"""What a classifier may consist of: all of them work on a map as on a vector."""


class SlidingLinear(nn.Linear):
    """A linear layer for maps: a convolution with the layer's own numbers.

    Every window of the map is one input of the linear layer, read channel by channel as
    ``torch.flatten`` does. The weights stay a matrix: torch's convolution would bring a copy of
    the 411 MB of VGG's first layer into another order, and on a CPU takes ten times as long for one
    window. The windows are copied instead, 10 MB of them for an image of 512×512 pixels.

    Args:
        linear: the layer; its tensors are shared.
        window: side of a window in units of the map. The layer has `window`² inputs per channel.

    Example:
        >>> head = SlidingLinear(nn.Linear(3 * 2 * 2, 5), window=2)
        >>> head(torch.rand(1, 3, 4, 6)).shape
        torch.Size([1, 5, 3, 5])

    References:
        Sermanet et al. 2013, arXiv 1312.6229, section 3.5; Long, Shelhamer & Darrell 2014,
        arXiv 1411.4038, section 3.1.
    """

    def __init__(self, linear: nn.Linear, *, window: int) -> None:
        super().__init__(linear.in_features, linear.out_features, device="meta")
        self.weight = linear.weight
        self.bias = linear.bias
        self.window = window
        self.train(linear.training)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, out_features, H − window + 1, W − window + 1)."""
        if self.window == 1:
            return super().forward(input.movedim(1, -1)).movedim(-1, 1)
        batch, _, height, width = input.shape
        windows = F.unfold(input, self.window).transpose(1, 2)
        found = super().forward(windows)
        grid = height - self.window + 1, width - self.window + 1
        return found.view(batch, *grid, self.out_features).movedim(-1, 1)


@dataclass(frozen=True, kw_only=True)
class _Head:
    """The end of a network: adaptive average pooling, flattening, linear layers."""

    source: fx.Node
    pool: fx.Node
    flatten: fx.Node
    linears: tuple[fx.Node, ...]
    window: int


def make_convolutional(traced: Traced, side: int = TRAINED_SIDE) -> Traced:
    """Lets a fully connected classifier slide over the map that it reads.

    This is for networks that end in average pooling to k×k units, flattening, and nothing but
    linear layers, ReLUs and dropout (AlexNet, VGG). The pooling goes, the first linear layer
    becomes a k×k convolution, the others 1×1 convolutions. With an image of the side that the
    network was trained with, the pooling does nothing and the results are the same, as maps of
    1×1; larger images give larger maps, smaller ones none. Units next to the border of a larger
    map see less padding than those of an image cut out there.

    Paths of modules and names of tensors stay as they are. The outputs of the pooling and of the
    flattening become the map before them.

    Args:
        traced: the network. It is changed.
        side: of the images it was trained with, in pixels.

    Returns:
        The network. One that ends differently, or whose pooling does something to an image of
        `side`, is returned as it is: with global pooling it takes images of any size already.
    """
    head = _find_head(traced)
    if head is None or not _pooling_does_nothing(traced, head, side):
        return traced
    for number, node in enumerate(reversed(head.linears)):
        path = str(node.target)
        linear: Any = traced.model.get_submodule(path)
        traced.model.set_submodule(path, SlidingLinear(linear, window=1 if number else head.window))
    head.flatten.replace_all_uses_with(head.source)
    traced.graph.erase_node(head.flatten)
    traced.graph.erase_node(head.pool)
    gone = (head.flatten, head.pool)
    outputs = {name: head.source if node in gone else node for name, node in traced.outputs.items()}
    return replace(traced, outputs=outputs)


def trace_backbone(spec: BackboneSpec, model: nn.Module) -> Traced:
    """Records a network as its record has it: a detector up to its backbone, a classifier sliding.

    Args:
        spec: the network.
        model: it. It may be changed.

    Raises:
        Untraceable: what it does depends on the image.
    """
    headed = spec.task != "detection"
    traced = trace(model, channels=spec.preprocessing.channels, headed=headed)
    return make_convolutional(traced) if spec.architecture == "torchvision" and headed else traced


def _pooling_does_nothing(traced: Traced, head: _Head, side: int) -> bool:
    return shapes(traced, (side, side))[head.source][2:] == (head.window, head.window)


def _find_head(traced: Traced) -> _Head | None:
    """Goes from the network's result back to the pooling; None when something else is there."""
    modules = _modules_called_once(traced)
    node = traced.outputs[OUTPUT]
    linears: list[fx.Node] = []
    while len(node.users) == 1 and type(module := modules.get(node)) in _VECTOR_MODULES:
        if isinstance(module, nn.Linear):
            linears.append(node)
        node = node.all_input_nodes[0]
    if not linears or len(node.users) != 1 or not _flattens(node, modules.get(node)):
        return None
    pool = node.all_input_nodes[0]
    window = _pooled_side(modules.get(pool))
    if window is None or len(pool.users) != 1:
        return None
    return _Head(
        source=pool.all_input_nodes[0],
        pool=pool,
        flatten=node,
        linears=tuple(linears),
        window=window,
    )


def _modules_called_once(traced: Traced) -> dict[fx.Node, nn.Module]:
    modules: Mapping[str, nn.Module] = dict(traced.model.named_modules())
    calls = [node for node in traced.graph.nodes if node.op == "call_module"]
    times = Counter(modules[str(node.target)] for node in calls)
    return {node: module for node in calls if times[module := modules[str(node.target)]] == 1}


def _flattens(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether a node makes a vector of each sample's map."""
    if isinstance(module, nn.Flatten):
        return (module.start_dim, module.end_dim) == (1, -1)
    if node.op != "call_function" or node.target is not torch.flatten:
        return False
    given = arguments(node, ("input", "start_dim", "end_dim"))
    return given.get("start_dim") == 1 and given.get("end_dim", -1) == -1


def _pooled_side(module: nn.Module | None) -> int | None:
    """Units a side of adaptive average pooling to a square; None for anything else."""
    if not isinstance(module, nn.AdaptiveAvgPool2d):
        return None
    size = module.output_size
    sides = {size} if isinstance(size, int) else set(size or ())
    side = sides.pop() if len(sides) == 1 else None
    return side if side is not None and side > 1 else None
