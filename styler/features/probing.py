"""Finds out what a network takes and gives by running copies of it that hold no numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

Key = TypeVar("Key")
Kind = TypeVar("Kind")
Shapes = Mapping[Key, tuple[int, ...]]

SIDES = (224, 256, 299, 384, 448, 512, 128, 96, 64, 32, 28)
"""Sides in pixels of the images that networks are commonly made for; the first one, which most
networks for ImageNet take and the least flexible ones demand, is divided by every usual stride."""

STRIDES = 2688
"""Pixels by which an image may well grow where that costs nothing: a multiple of every usual
stride (1 to 128 in powers of two, 3, 6, 7, 12, 14, 28), which then adds the same number of units
however a network rounds. It keeps windows of 7 and of 12 units whole."""

_FEW = 2
"""So few units may grow by any factor with twice the side, where a network pads nothing."""

_NEARLY = 0.9
"""Of the growth of the image's area: a token for the class does not grow."""

_HEADS = ("out", "logits")
"""Names under which networks that give several tensors have their main one."""


def is_memory_error(error: BaseException) -> bool:
    """Whether the machine ran out of memory, which is no property of the network."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


def main_output(result: object, kind: type[Kind]) -> Kind | None:
    """The tensor that a network's result stands for.

    Args:
        result: what the network gave.
        kind: the type of a tensor: ``Tensor``, or ``fx.Node`` in a graph.

    Returns:
        The result itself, or of a table the entry "out", "logits" or else the first; None when
        that is no tensor.
    """
    if isinstance(result, Mapping):
        entries = [result[name] for name in _HEADS if name in result] or list(result.values())
        result = next((entry for entry in entries if isinstance(entry, kind)), None)
    return result if isinstance(result, kind) else None


def hollow_copy(model: nn.Module) -> nn.Module:
    """A copy of a network on the device ``meta``: shapes without numbers, in float32.

    Tensors that are plain attributes are taken along.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for table in (vars(module), module._parameters, module._buffers):
            for value in table.values():
                if isinstance(value, Tensor):
                    memo[id(value)] = _hollow(value)
    return copy.deepcopy(model, memo)


def _hollow(value: Tensor) -> Tensor:
    dtype = torch.float32 if value.is_floating_point() else value.dtype
    empty = torch.empty(value.shape, dtype=dtype, device="meta")
    if isinstance(value, nn.Parameter):
        return nn.Parameter(empty, requires_grad=False)
    return empty


class _Found(BaseException):
    """Carries the first layer out of a network; networks that catch their errors let it pass."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module


def input_channels(model: nn.Module) -> int:
    """Channels of the image that a network takes.

    They are those of the first convolution that an image comes to, or of the linear layer on
    square patches that comes before. A network that fails before either is judged by the first
    of its layers in the order of their registration; one without such layers takes 3.

    Args:
        model: the network. It is not changed.

    Example:
        >>> input_channels(nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3)))
        1
    """
    hollow = hollow_copy(model).eval()
    layers = [m for m in hollow.modules() if isinstance(m, nn.Conv2d | nn.Conv3d | nn.Linear)]

    def stop(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        raise _Found(module)

    for layer in layers:
        layer.register_forward_pre_hook(stop)
    first: nn.Module | None = next(iter(layers), None)
    try:
        hollow(torch.empty(1, 3, SIDES[0], SIDES[0], device="meta"))
    except _Found as found:
        first = found.module
    except Exception as error:
        if is_memory_error(error):
            raise
    return 3 if first is None else _channels(first)


def _channels(layer: nn.Module) -> int:
    if isinstance(layer, nn.Linear):
        units = layer.in_features
        return 1 if units % 3 and isqrt(units) ** 2 == units else 3
    return int(layer.in_channels)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Probe(Generic[Key]):
    """What is known of a network after two runs.

    Attributes:
        side: of the image of the first run, in pixels; all of the network ran.
        shapes: of what was found in it.
        more: by how much the side of the second image is larger.
        larger: the shapes for it; what is missing there has one size only.
        runs_larger: all of the network ran there too.
    """

    side: int
    more: int
    shapes: Shapes[Key]
    larger: Shapes[Key]
    runs_larger: bool

    def is_layer(self, key: Key) -> bool:
        """Whether it is a map (1, C, H, W) or a vector (1, C), the same C for all images."""
        small, large = self.shapes.get(key, ()), self.larger.get(key)
        if len(small) not in (2, 4) or small[0] != 1 or 0 in small:
            return False
        if large is None:  # a side that does not divide the image's is a number of tokens
            return len(small) == 2 or (small[2] == small[3] and self.side % small[2] == 0)
        if len(small) != len(large) or small[:2] != large[:2]:
            return False
        return len(small) == 2 or self._grows_as_a_map(small[2:], large[2:])

    def _grows_as_a_map(self, small: tuple[int, ...], large: tuple[int, ...]) -> bool:
        """Whether two sides grow as those of an image; numbers of tokens grow as its area."""
        if small == large:
            return small[0] == small[1] <= self.side
        if (small[0] == large[0]) != (small[1] == large[1]):
            return False
        area = (1 + self.more / self.side) ** 2
        return small[1] <= _FEW or large[1] < _NEARLY * area * small[1]

    def is_fixed(self, key: Key) -> bool:
        """Whether it can be had of images of one size only."""
        return key not in self.larger

    def stride(self, key: Key) -> int | None:
        """Distance of neighbouring units in pixels; None when their number is always the same."""
        small = self.shapes[key]
        if len(small) != 4:
            return None
        if key not in self.larger:
            return self.side // small[3]
        units = self.larger[key][3] - small[3]
        return max(1, round(self.more / units)) if units > 0 else None


def probe(
    run: Callable[[int], tuple[Shapes[Key], Exception | None]],
    sides: Iterable[int],
    more: int | None = None,
) -> Probe[Key]:
    """Runs a network on images of one side after the other, until one suits it.

    Args:
        run: from a side in pixels to the shapes found, as far as the network ran, and the error
            that ended it.
        sides: to try, in order.
        more: by how much the second image is to be larger than the first. None, and where the
            network does not take that: twice as large.

    Returns:
        What was found.

    Raises:
        Exception: the first side's error, when none suits.
    """
    first: Exception | None = None
    for side in dict.fromkeys(sides):
        shapes, error = run(side)
        if error is None:
            step = more or side
            larger, failed = run(side + step)
            if failed is not None and step != side:
                step = side
                larger, failed = run(side + step)
            return Probe(
                side=side, more=step, shapes=shapes, larger=larger, runs_larger=failed is None
            )
        first = first or error
    raise first or ValueError("no sides to try")


def smallest_sides(
    units_at: Callable[[int], Collection[Key]], side: int, guess: Mapping[Key, int] | None = None
) -> dict[Key, int]:
    """The smallest side with which each part of a network has a unit.

    Args:
        units_at: from a side in pixels to what has units there; larger sides have no fewer.
        side: with which all that is of interest has some.
        guess: sides that are taken at their word when none of them is too small; nothing that
            they name may need a smaller one.

    Returns:
        By key, for all that has units with `side`.
    """
    if guess and _suffice(units_at, guess):
        return dict(guess)
    least: dict[Key, int] = {}

    def search(low: int, high: int, at_low: set[Key], at_high: set[Key]) -> None:
        new = at_high - at_low
        if high - low == 1:
            least.update(dict.fromkeys(new, high))
        elif new:
            middle = (low + high) // 2
            between = set(units_at(middle))
            search(low, middle, at_low, between)
            search(middle, high, between, at_high)

    search(0, side, set(), set(units_at(side)))
    return least


def _suffice(units_at: Callable[[int], Collection[Key]], guess: Mapping[Key, int]) -> bool:
    return all(
        {key for key, least in guess.items() if least <= side} <= set(units_at(side))
        for side in set(guess.values())
    )
