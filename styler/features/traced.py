"""A network of any architecture as a graph, in which the output of every module has a name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from styler.errors import ConfigError
from styler.features.probing import hollow_copy, is_memory_error, main_output
from styler.features.traced_inplace import make_ordinary

OUTPUT = "logits"
"""Name of what the whole network gives."""

MAX_POOL_ARGUMENTS = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
"""Parameters of a max pooling that say where it looks, in order."""


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A network and its graph.

    Attributes:
        model: the network, frozen, in evaluation mode, with no operation in place.
        graph: its operations, in order.
        outputs: the node that holds each module's output, by module path; a module called again
            has ``_1``, ``_2``, … after its path. What the network gives is ``logits``, see
            `main_output`.
        channels: of the image.
    """

    model: nn.Module
    graph: fx.Graph
    outputs: Mapping[str, fx.Node]
    channels: int = 3


class Untraceable(Exception):  # noqa: N818 — it is no error of anybody's
    """A network cannot be recorded; the message is the reason, in one line."""


class _Recorder(fx.Tracer):
    """Notes the node that each module's call ends in, and what was in place before."""

    def __init__(self, in_place: Collection[nn.Module]) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Node] = {}
        self.rewritten: list[tuple[fx.Node, fx.Node]] = []
        self._in_place = in_place

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
            if m in self._in_place and args and isinstance(args[0], fx.Proxy):
                self.rewritten.append((args[0].node, result.node))
        return result


def trace(model: nn.Module, *, channels: int = 3, headed: bool = True) -> Traced:
    """Freezes a network and records what it does.

    Operations in place are made ordinary ones: a ReLU in place overwrites the output of the
    module before it, which would then hold other values than that module gave. A gradient keeps
    no more memory for it, since convolutions and normalisations do not need what they gave.

    Args:
        model: from an image (B, C, H, W) to a tensor or a table of them. It is changed.
        channels: C.
        headed: its result counts as ``logits``.

    Returns:
        The network and its graph.

    Raises:
        Untraceable: what it does depends on the numbers in the image, or on values being
            overwritten; it is then frozen and otherwise as before.
    """
    model.eval().requires_grad_(False)
    in_place = [module for module in model.modules() if getattr(module, "inplace", False) is True]
    for module in in_place:
        vars(module).update(inplace=False)
    recorder = _Recorder(in_place)
    try:
        graph = recorder.trace(model)
        reason = make_ordinary(graph, dict(model.named_modules()), recorder.rewritten)
    except Exception as error:
        if is_memory_error(error):
            raise
        reason = one_line(error)
    if reason is not None:
        for module in in_place:
            vars(module).update(inplace=True)
        raise Untraceable(reason)
    result = next(node for node in graph.nodes if node.op == "output").args[0]
    head = main_output(result, fx.Node) if headed else None
    outputs = recorder.outputs if head is None else {**recorder.outputs, OUTPUT: head}
    return Traced(model=model, graph=graph, outputs=outputs, channels=channels)


def one_line(error: Exception) -> str:
    """What an error says, without what follows its first line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


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


def reached_by_image(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that depend on the image; those of weights and learned positions, say, do not."""
    reached: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or not reached.isdisjoint(node.all_input_nodes):
            reached.add(node)
    return reached


def outputs_of_image(traced: Traced) -> Iterator[tuple[str, fx.Node]]:
    """The outputs that depend on the image, by name."""
    reached = reached_by_image(traced.graph)
    return ((name, node) for name, node in traced.outputs.items() if node in reached)


class _Shapes(fx.Interpreter):
    """Runs a graph and keeps the shapes of all tensors on the way.

    What cannot be computed is left out with all that depends on it, except that a network's own
    check of its input ends the run.
    """

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        super().__init__(model, graph=graph)
        self.extra_traceback = False
        self.found: dict[fx.Node, tuple[int, ...]] = {}
        self.error: Exception | None = None
        self._failed: set[fx.Node] = set()

    def run_node(self, n: fx.Node) -> object:
        result: object = None
        if self._failed.isdisjoint(n.all_input_nodes):
            try:
                result = super().run_node(n)
            except AssertionError:
                raise
            except Exception as error:
                self.error = self.error or error
                self._failed.add(n)
        else:
            self._failed.add(n)
        if isinstance(result, Tensor):
            self.found[n] = tuple(result.shape)
        return result


def shapes(traced: Traced, size: tuple[int, int]) -> dict[fx.Node, tuple[int, ...]]:
    """The shapes of all tensors in a network for one image, without computing them.

    Args:
        traced: the network.
        size: (height, width) of the image in pixels.

    Returns:
        By node; nodes that hold no tensor are left out.

    Raises:
        Exception: the network takes no such image.
    """
    found, error = partial_shapes(traced, hollow_copy(traced.model), size)
    if error is not None:
        raise error
    return found


def partial_shapes(
    traced: Traced, hollow: nn.Module, size: tuple[int, int]
) -> tuple[dict[fx.Node, tuple[int, ...]], Exception | None]:
    """The shapes of the tensors in a network as far as it takes an image of some size.

    Args:
        traced: the network.
        hollow: a copy of it on the device ``meta``.
        size: (height, width) of the image in pixels.

    Returns:
        Shapes by node, and the first error, None when all of the network ran.
    """
    runner = _Shapes(hollow, traced.graph)
    try:
        with torch.no_grad():
            runner.run(torch.empty(1, traced.channels, *size, device="meta"))
    except AssertionError as error:
        return runner.found, error
    return runner.found, runner.error


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
            given = average_arguments(pool, name)
            if node.op == "call_module":
                traced.model.set_submodule(str(node.target), nn.AvgPool2d(**given))
            else:
                node.target = F.avg_pool2d
                node.args = (given.pop("input"),)
                node.kwargs = given
    if not found:
        raise no_max_pooling(name)


def average_arguments(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The arguments of an average pooling in the place of a max pooling.

    Args:
        given: those of the max pooling, by name.
        name: of the network, for messages.

    Raises:
        ConfigError: no average can stand in for it.
    """
    kept = dict(given)
    if kept.pop("dilation", 1) not in (1, (1, 1)) or kept.pop("return_indices", False):
        raise ConfigError(f"the max pooling of {name} cannot become an average", "use max")
    return {**kept, "count_include_pad": False}


def no_max_pooling(name: str) -> ConfigError:
    """The error for average pooling of a network that has nothing to replace."""
    return ConfigError(f"{name} has no max pooling to replace by an average", "use pooling max")


def _max_pool(node: fx.Node, modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """The arguments of a max pooling; nothing for another node."""
    if node.op == "call_function" and node.target is F.max_pool2d:
        given = arguments(node, MAX_POOL_ARGUMENTS)
        yield {key: given[key] for key in MAX_POOL_ARGUMENTS if key in given}
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    if isinstance(module, nn.MaxPool2d):
        yield {key: getattr(module, key) for key in MAX_POOL_ARGUMENTS[1:]}


def arguments(node: fx.Node, names: Iterable[str]) -> dict[str, Any]:
    """The arguments of a function's call by name.

    Args:
        node: the call.
        names: of the function's parameters, in order.
    """
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}
