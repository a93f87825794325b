"""What counts as a ReLU among the functions that a network calls, in modules or outside of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_IN_PLACE: frozenset[Callable[..., Any]] = frozenset((F.relu_, torch.relu_, Tensor.relu_))
_RELUS: frozenset[Callable[..., Any]] = _IN_PLACE | {F.relu, torch.relu, Tensor.relu}
_RELU6_CEILING = 6.0
_CLIPPED: Mapping[Callable[..., Any], tuple[str, ...]] = {
    F.relu6: ("input", "inplace"),
    F.hardtanh: ("input", "min_val", "max_val", "inplace"),
}
"""Parameters, in order. `torch.nn.ReLU6` is a hardtanh from 0 to 6, and calls it."""


@dataclass(frozen=True)
class ReluCall:
    """A ReLU that is about to be computed.

    Args:
        value: what it is given.
        inplace: whether it changes that.
        ceiling: what it gives at most: 6 for a ReLU6, infinity for a plain one.
    """

    value: Tensor
    inplace: bool
    ceiling: float = math.inf


class ReluMode(TorchFunctionMode):
    """Within it, something takes the place of ReLUs, and of nothing else, in any network."""

    def relu(self, call: ReluCall) -> Tensor | None:
        """What takes the place of a ReLU; None leaves it as it is."""
        raise NotImplementedError

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Ask `relu` about ReLUs."""
        named = dict(kwargs or {})
        call = relu_call(func, args, named)
        found = None if call is None else self.relu(call)
        return func(*args, **named) if found is None else found


def relu_call(
    func: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]
) -> ReluCall | None:
    """The ReLU that a function's call is; None for any other call.

    Known are ``relu`` and ``relu_`` as functions of `torch` and of `torch.nn.functional` and as
    methods, which is what ``torch.nn.ReLU`` comes to, ``relu6``, and a ``hardtanh`` from 0 up,
    which is what ``torch.nn.ReLU6`` comes to. A ``clamp`` is none.

    Args:
        func: as a `torch.overrides.TorchFunctionMode` is told it.
        args: of the call.
        named: arguments of the call that are given by name.

    Example:
        >>> relu_call(F.relu, (torch.zeros(1),), {"inplace": True}).inplace
        True
        >>> relu_call(torch.sigmoid, (torch.zeros(1),), {}) is None
        True
    """
    if func in _RELUS:
        value = args[0] if args else named["input"]
        given = args[1] if len(args) > 1 else named.get("inplace", False)
        return ReluCall(value, bool(given) if func is F.relu else func in _IN_PLACE)
    if func not in _CLIPPED:
        return None
    given = {**dict(zip(_CLIPPED[func], args, strict=False)), **named}
    ceiling = _RELU6_CEILING if func is F.relu6 else float(given.get("max_val", 1.0))
    floor = 0.0 if func is F.relu6 else float(given.get("min_val", -1.0))
    if floor or ceiling <= 0:
        return None
    return ReluCall(given["input"], bool(given.get("inplace", False)), ceiling)
