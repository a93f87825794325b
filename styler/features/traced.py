"""A network of any architecture as a graph, in which the output of every module has a name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from styler.errors import ConfigError

OUTPUT = "logits"
"""Name of what the whole network gives."""

_MAX_POOL_ARGUMENTS = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A network and its graph.

    Attributes:
        model: the network, frozen, in evaluation mode, with no operation in place.
        graph: its operations, in order.
        outputs: the node that holds each module's output, by module path; a module called again
            has ``_1``, ``_2``, … after its path. What the network gives is ``logits``.
    """

    model: nn.Module
    graph: fx.Graph
    outputs: Mapping[str, fx.Node]


class _Recorder(fx.Tracer):
    """Notes the node that each module's call ends in."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Node] = {}

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> object:
        result = super().call_module(m, forward, args, kwargs)
        if isinstance(result, fx.Proxy):
            path = self.path_of_module(m)
            calls = 0
            name = path
            while name in self.outputs:
                calls += 1
                name = f"{path}_{calls}"
            self.outputs[name] = result.node
        return result


def trace(model: nn.Module) -> Traced:
    """Freezes a network and records what it does.

    Operations in place are made ordinary ones: a ReLU in place overwrites the output of the
    module before it, which would then hold other values than that module gave. A gradient keeps
    no more memory for it, since convolutions and normalisations do not need what they gave.

    Args:
        model: from an image (B, 3, H, W) to one tensor. It is changed.

    Returns:
        The network and its graph.
    """
    model.eval().requires_grad_(False)
    for module in model.modules():
        if getattr(module, "inplace", False):
            vars(module).update(inplace=False)
    recorder = _Recorder()
    graph = recorder.trace(model)
    for node in graph.nodes:
        if node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
    result = next(node for node in graph.nodes if node.op == "output").args[0]
    return Traced(model=model, graph=graph, outputs={**recorder.outputs, OUTPUT: result})


def cut(traced: Traced, wanted: Iterable[str]) -> fx.GraphModule:
    """The part of a network that some of its layers need, as a function of the image.

    Args:
        traced: the network; its weights are shared, not copied.
        wanted: keys of its `outputs`.

    Returns:
        A module from the image to the wanted outputs by name.
    """
    names = list(wanted)
    needed = _ancestors(traced.outputs[name] for name in names)
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in traced.graph.nodes:
        # The image stays the argument even of a network of which nothing is wanted.
        if node in needed or node.op == "placeholder":
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output({name: copies[traced.outputs[name]] for name in names})
    return fx.GraphModule(traced.model, graph)


def _ancestors(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(node.all_input_nodes)
    return found


def outputs_of_image(traced: Traced) -> Iterator[tuple[str, fx.Node]]:
    """The outputs that depend on the image; those of learned positions, say, do not."""
    reached: set[fx.Node] = set()
    for node in traced.graph.nodes:
        if node.op == "placeholder" or not reached.isdisjoint(node.all_input_nodes):
            reached.add(node)
    return ((name, node) for name, node in traced.outputs.items() if node in reached)


class _Shapes(fx.Interpreter):
    """Runs a graph and keeps the shapes of all tensors on the way."""

    def __init__(self, traced: Traced) -> None:
        super().__init__(traced.model, graph=traced.graph)
        self.found: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> object:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.found[n] = tuple(result.shape)
        return result


def shapes(traced: Traced, size: tuple[int, int]) -> dict[fx.Node, tuple[int, ...]]:
    """The shapes of all tensors in a network for one image.

    Args:
        traced: a network whose weights are on the device ``meta``, so that nothing is computed.
        size: (height, width) of the image in pixels.

    Returns:
        By node; nodes that hold no tensor are left out.
    """
    runner = _Shapes(traced)
    with torch.no_grad():
        runner.run(torch.empty(1, 3, *size, device="meta"))
    return runner.found


def average_pools(traced: Traced, name: str) -> None:
    """Puts average pooling in the place of every max pooling of a network.

    Where max pooling has a border of padding, the average is that of the pixels inside.

    Args:
        traced: the network. It is changed.
        name: of the network, for messages.

    Raises:
        ConfigError: it has no max pooling, or one that no average can stand in for.
    """
    modules = dict(traced.model.named_modules())
    found = False
    for node in traced.graph.nodes:
        for pool in _max_pool(node, modules):
            found = True
            if pool.pop("dilation", 1) not in (1, (1, 1)):
                raise ConfigError(f"the max pooling of {name} cannot become an average", "use max")
            if node.op == "call_module":
                traced.model.set_submodule(
                    str(node.target), nn.AvgPool2d(**pool, count_include_pad=False)
                )
            else:
                node.target = F.avg_pool2d
                node.args = (pool.pop("input"),)
                node.kwargs = {**pool, "count_include_pad": False}
    if not found:
        raise ConfigError(f"{name} has no max pooling to replace by an average", "use pooling max")


def _max_pool(node: fx.Node, modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """The arguments of a max pooling; nothing for another node."""
    if node.op == "call_function" and node.target is F.max_pool2d:
        given = arguments(node, _MAX_POOL_ARGUMENTS)
        yield {key: given[key] for key in _MAX_POOL_ARGUMENTS if key in given}
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    if isinstance(module, nn.MaxPool2d):
        yield {key: getattr(module, key) for key in _MAX_POOL_ARGUMENTS[1:]}


def arguments(node: fx.Node, names: Iterable[str]) -> dict[str, Any]:
    """The arguments of a function's call by name.

    Args:
        node: the call.
        names: of the function's parameters, in order.
    """
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}
