"""Small networks of chance: recipes that hypothesis draws, and modules made of them."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

CHANNELS = 4
POOLS = (F.max_pool2d, F.max_pool2d_with_indices, torch.max_pool2d)

KERNELS = st.sampled_from([(1, 1), (2, 2), (3, 3), (1, 7), (7, 1), (4, 3), (5, 2)])
STRIDES = st.tuples(st.integers(1, 3), st.integers(1, 2))
GAPS = st.tuples(st.integers(1, 2), st.integers(1, 3))


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    kernel, gaps = draw(KERNELS), draw(GAPS)
    padding = draw(st.sampled_from(["valid", "same", "numbers", "numbers"]))
    stride = (1, 1) if padding == "same" else draw(STRIDES)
    if padding == "numbers":
        reaches = [(k - 1) * gap for k, gap in zip(kernel, gaps, strict=True)]
        padding = draw(st.tuples(*(st.integers(0, reach) for reach in reaches)))
    return {
        "kind": draw(st.sampled_from(["convolution", "convolution", "function"])),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": gaps,
        "groups": draw(st.sampled_from([1, 2])),
    }


@st.composite
def poolings(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["max", "average"]))
    kernel = draw(KERNELS)
    recipe = {
        "kind": kind,
        "functional": draw(st.booleans()),
        "kernel_size": kernel,
        "stride": draw(st.one_of(st.none(), STRIDES)),
        "padding": draw(st.tuples(*(st.integers(0, k // 2) for k in kernel))),
        "ceil_mode": draw(st.booleans()),
    }
    if kind == "max":
        recipe["dilation"] = draw(GAPS)
    return recipe


@st.composite
def branches(draw: st.DrawFn) -> dict[str, Any]:
    """Several ways on one grid, joined by a sum or one after the other."""
    odd = st.sampled_from([(1, 1), (3, 3), (1, 7), (7, 1), (5, 3)])
    kernels = draw(st.lists(odd, min_size=2, max_size=3))
    return {
        "kind": "branches",
        "kernels": kernels,
        "stride": draw(STRIDES),
        "join": draw(st.sampled_from(["cat", "sum", "in place", "method"])),
    }


PADS = st.fixed_dictionaries(
    {"kind": st.just("pad"), "pad": st.tuples(*[st.integers(0, 3)] * 4), "module": st.booleans()}
)
POINTS = st.fixed_dictionaries({"kind": st.sampled_from(["relu", "norm", "split", "slice"])})
RECIPES = st.lists(
    st.one_of(convolutions(), poolings(), branches(), PADS, POINTS), min_size=1, max_size=5
)


class Joined(nn.Module):
    def __init__(self, recipe: dict[str, Any]) -> None:
        super().__init__()
        self.join = recipe["join"]
        out = CHANNELS if self.join != "cat" else 1
        self.ways = nn.ModuleList(
            nn.Conv2d(CHANNELS, out, k, stride=recipe["stride"], padding=(k[0] // 2, k[1] // 2))
            for k in recipe["kernels"]
        )
        self.last = nn.Conv2d(out * (len(self.ways) if self.join == "cat" else 1), CHANNELS, 1)

    def forward(self, value: Tensor) -> Tensor:
        first, *others = [way(value) for way in self.ways]
        if self.join == "cat":
            return self.last(torch.cat([first, *others], 1))
        for other in others:
            if self.join == "sum":
                first = first + other
            elif self.join == "method":
                first = first.add(other)
            else:
                first += other
        return self.last(first)


class Function(nn.Module):
    """What modules do, done by functions."""

    def __init__(self, call: Callable[..., Tensor], given: dict[str, Any], *shape: int) -> None:
        super().__init__()
        self.call, self.given = call, given
        self.weight = nn.Parameter(torch.zeros(shape)) if shape else None

    def forward(self, value: Tensor) -> Tensor:
        if self.weight is None:
            return self.call(value, **self.given)
        return self.call(value, self.weight, **self.given)


class Parts(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, value: Tensor) -> Tensor:
        if self.kind == "slice":
            return torch.cat([value[:, 2:], value[:, :2]], dim=-3)
        first, second = value.chunk(2, 1)
        return torch.cat([second, first * 2], 1)


BY_KIND: dict[str, tuple[Any, Any]] = {
    "max": (nn.MaxPool2d, F.max_pool2d),
    "average": (nn.AvgPool2d, F.avg_pool2d),
}


def _module(recipe: dict[str, Any]) -> nn.Module:
    kind = recipe["kind"]
    given = {key: value for key, value in recipe.items() if key not in ("kind", "functional")}
    if kind == "convolution":
        return nn.Conv2d(CHANNELS, CHANNELS, **given)
    if kind == "function":
        kernel, groups = given.pop("kernel_size"), given["groups"]
        return Function(F.conv2d, given, CHANNELS, CHANNELS // groups, *kernel)
    if kind in ("max", "average"):
        module, function = BY_KIND[kind]
        return Function(function, given) if recipe["functional"] else module(**given)
    if kind == "pad":
        pad = recipe["pad"]
        return nn.ZeroPad2d(pad) if recipe["module"] else Function(F.pad, {"pad": pad})
    if kind == "branches":
        return Joined(recipe)
    plain = {"split": Parts("split"), "slice": Parts("slice"), "relu": nn.ReLU()}
    return plain.get(kind) or nn.BatchNorm2d(CHANNELS)


def build(recipes: list[dict[str, Any]]) -> nn.Module:
    """A network from three channels, in float64 and with weights of zero."""
    net = nn.Sequential(nn.Conv2d(3, CHANNELS, 1), *(_module(recipe) for recipe in recipes))
    return net.double().eval().requires_grad_(False)


def fill(net: nn.Module, seed: int | None) -> nn.Module:
    """Gives it weights of chance, or for None such that add up all that they see."""
    generator = torch.Generator().manual_seed(seed or 0)
    for name, value in net.named_parameters():
        if seed is None:
            value.fill_(0 if name.endswith("bias") else 1)
        else:
            scale = 1 / value[0].numel() ** 0.5
            value.copy_(torch.randn(value.shape, generator=generator, dtype=value.dtype) * scale)
    return net


class AllSeen(TorchFunctionMode):
    """Max pooling that adds up its window, so that the gradient shows all of it."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func not in POOLS:
            return func(*args, **given)
        names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
        named = {**dict(zip(names, args, strict=False)), **given}
        value = named.pop("input")
        named.pop("return_indices", None)
        shape = F.max_pool2d(value, **named).shape[2:]
        kernel, gaps = _two(named["kernel_size"]), _two(named.get("dilation", 1))
        steps = _two(named.get("stride") or kernel)
        top, left = _two(named.get("padding", 0))
        far = [s * n + k * g for s, n, k, g in zip(steps, shape, kernel, gaps, strict=True)]
        padded = F.pad(value, (left, far[1], top, far[0]))
        return sum(
            padded[
                ...,
                row * gaps[0] : row * gaps[0] + steps[0] * (shape[0] - 1) + 1 : steps[0],
                column * gaps[1] : column * gaps[1] + steps[1] * (shape[1] - 1) + 1 : steps[1],
            ]
            for row in range(kernel[0])
            for column in range(kernel[1])
        )


def _two(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
