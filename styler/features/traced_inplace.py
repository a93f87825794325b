"""Makes a graph's operations in place ordinary ones, where that changes nothing else.

An operation in place does two things: it gives a result, and it changes what it was given. The
second is no more than a saving of memory as long as nothing looks at the changed tensor again but
through the result. Where something does, the network needs to be run as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

_FUNCTIONS: Mapping[Any, Any] = {
    torch.relu_: torch.relu,
    F.relu_: F.relu,
    torch.sigmoid_: torch.sigmoid,
}
"""Functions in place that have a name of their own, and the ordinary ones."""

_ACTIVATIONS = (F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.silu, F.mish, F.hardswish,
                F.hardsigmoid, F.hardtanh, F.celu, F.rrelu, F.threshold)  # fmt: skip
"""Functions with a parameter ``inplace``, which is their last but for `F.rrelu`'s."""

_ALIASES = frozenset({
    "view", "reshape", "flatten", "unflatten", "transpose", "permute", "chunk", "split", "narrow",
    "squeeze", "unsqueeze", "select", "expand", "unbind", "getitem", "contiguous", "to", "float",
    "detach", "view_as", "movedim", "dropout", "dropout2d", "identity",
})  # fmt: skip
"""Operations that may give the same numbers in the same memory."""


def make_ordinary(
    graph: fx.Graph,
    modules: Mapping[str, nn.Module],
    rewritten: Iterable[tuple[fx.Node, fx.Node]],
) -> str | None:
    """Replaces all operations in place.

    Args:
        graph: of a network. It is changed.
        modules: the network's, by path.
        rewritten: inputs and results of modules that worked in place and no longer do.

    Returns:
        Why that cannot be done, None when it has been.
    """
    places = {node: place for place, node in enumerate(graph.nodes)}
    pairs = [*rewritten, *(pair for node in graph.nodes for pair in _ordinary(node))]
    for changed, result in pairs:
        for node in _same_memory(changed, modules):
            late = [user for user in node.users if places[user] > places[result]]
            if late:
                return f"{node.name} is changed in place and read again by {late[0].name}"
        if not result.users:
            return f"{changed.name} is changed in place"
    return None


def _ordinary(node: fx.Node) -> Iterator[tuple[fx.Node, fx.Node]]:
    """Replaces one operation in place: what it changed and its result; nothing for others."""
    given = node.args[0] if node.args else None
    if not isinstance(given, fx.Node):
        return
    if node.op == "call_method":
        name = str(node.target)
        if name.endswith("_") and not name.endswith("__"):
            node.target = name.removesuffix("_")
            yield given, node
    elif node.op == "call_function":
        if node.target in _FUNCTIONS:
            node.target = _FUNCTIONS[node.target]
            yield given, node
        elif node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
            yield given, node
        elif node.target in _ACTIVATIONS and node.args[-1] is True:
            node.args = (*node.args[:-1], False)
            yield given, node


def _same_memory(node: fx.Node, modules: Mapping[str, nn.Module]) -> Iterator[fx.Node]:
    """A node and those before it that it may share its numbers with."""
    yield node
    while _name(node, modules) in _ALIASES and node.all_input_nodes:
        node = node.all_input_nodes[0]
        yield node


def _name(node: fx.Node, modules: Mapping[str, nn.Module]) -> str:
    if node.op == "call_module":
        return type(modules[str(node.target)]).__name__.lower()
    if node.op == "call_method":
        return str(node.target)
    return getattr(node.target, "__name__", "")
