"""Rules for gradients of ReLUs: by hand, by other people's code, and in whole networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from own_networks import Rectified, seeded
from torch import Tensor, nn
from traced_builders import pair, picture

from styler.errors import ConfigError
from styler.features import Extractor, extractor_of
from styler.features.rectifiers import RULES, Rule, relu_rule
from styler.features.redirect import RedirectedRelu
from styler.features.relu_calls import relu_call

Function = Callable[[Tensor], Tensor]

RELUS: dict[str, Function] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu by name": lambda value: F.relu(input=value),
    "F.relu in place": lambda value: F.relu(value, inplace=True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda value: value.relu(),
    "Tensor.relu_": lambda value: value.relu_(),
    "hardtanh": lambda value: F.hardtanh(value, 0.0, float("inf")),
}
CLIPPED: dict[str, Function] = {
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "F.relu6": F.relu6,
    "F.relu6 in place": lambda value: F.relu6(value, inplace=True),
    "F.relu6 by place": lambda value: F.relu6(value, True),
    "hardtanh": lambda value: F.hardtanh(value, max_val=6.0, min_val=0.0),
}
IN_PLACE = [name for name in (*RELUS, *CLIPPED) if "place" in name or name.endswith("_")]
every = pytest.mark.parametrize("relu", RELUS.values(), ids=RELUS)
every_clipped = pytest.mark.parametrize("relu", CLIPPED.values(), ids=CLIPPED)

VALUE = torch.tensor([-1.0, 0.0, 2.0, 7.0, -1.0, 0.0, 2.0, 7.0])
ABOVE = torch.tensor([3.0, 3.0, 3.0, 3.0, -3.0, -3.0, -3.0, -3.0])
UNIT = (0, 3, 1, 2)
"""Of `Small`: one that a picture excites."""
PASSED = {"guided": [0, 0, 3, 3, 0, 0, 0, 0], "deconv": [3, 3, 3, 3, 0, 0, 0, 0]}
PASSED_CLIPPED = {"guided": [0, 0, 3, 0, 0, 0, 0, 0], "deconv": [3, 3, 3, 3, 0, 0, 0, 0]}


def passed(relu: Function, rule: Rule, value: Tensor = VALUE, above: Tensor = ABOVE) -> Tensor:
    """What comes back of a gradient; the backward pass is outside of the block."""
    leaf = value.clone().requires_grad_()
    with relu_rule(rule) as block:
        given = leaf * 1.0
        result = relu(given)
    assert block.met == 1
    torch.testing.assert_close(result.detach(), relu(value.clone()))
    (gradient,) = torch.autograd.grad(result, leaf, above)
    return gradient


@every
@pytest.mark.parametrize("rule", RULES)
def test_the_rule_of_a_relu_by_hand(relu: Function, rule: Rule) -> None:
    assert passed(relu, rule).tolist() == PASSED[rule]


@every_clipped
@pytest.mark.parametrize("rule", RULES)
def test_the_rule_of_a_relu6_by_hand(relu: Function, rule: Rule) -> None:
    assert passed(relu, rule).tolist() == PASSED_CLIPPED[rule]


number = st.floats(-9, 9, width=32)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(pairs=st.lists(st.tuples(number, number), min_size=1, max_size=9))
def test_the_rule_is_that_of_the_formula(pairs: list[tuple[float, float]]) -> None:
    value, above = (torch.tensor(column) for column in zip(*pairs, strict=True))
    guided = [g if g > 0 and x > 0 else 0.0 for x, g in pairs]
    deconv = [g if g > 0 else 0.0 for _, g in pairs]
    assert passed(torch.relu, "guided", value, above).tolist() == pytest.approx(guided)
    assert passed(torch.relu, "deconv", value, above).tolist() == pytest.approx(deconv)


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_stays_in_place(name: str) -> None:
    relu = {**RELUS, **CLIPPED}[name]
    leaf = torch.tensor([[-1.0, 2.0]], requires_grad=True)
    with relu_rule("guided"):
        changed = leaf * 1.0
        result = relu(changed)
    assert result.data_ptr() == changed.data_ptr()
    assert changed.tolist() == [[0.0, 2.0]]
    (gradient,) = torch.autograd.grad(changed.sum(), leaf)
    assert gradient.tolist() == [[0.0, 1.0]]


def test_other_functions_are_let_be() -> None:
    others: list[Function] = [F.leaky_relu, F.elu, torch.sigmoid, F.hardtanh, F.silu]
    for function in (*others, lambda value: value.clamp(min=0)):
        leaf = VALUE.clone().requires_grad_()
        (expected,) = torch.autograd.grad(function(leaf), leaf, ABOVE)
        with relu_rule("guided") as block:
            result = function(leaf)
        assert torch.equal(torch.autograd.grad(result, leaf, ABOVE)[0], expected)
        assert block.met == 0


def test_precision_and_layout_stay() -> None:
    value = torch.randn(2, 4, 5, 5).to(memory_format=torch.channels_last)
    for dtype in (torch.float64, torch.bfloat16):
        leaf = value.to(dtype).requires_grad_()
        with relu_rule("deconv"):
            result = F.relu(leaf)
        assert result.is_contiguous(memory_format=torch.channels_last)
        assert torch.autograd.grad(result.sum(), leaf)[0].dtype == dtype


def test_nothing_is_left_after_the_block() -> None:
    with pytest.raises(ZeroDivisionError), relu_rule("deconv"):
        _ = 1 / 0
    leaf = VALUE.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.relu(leaf), leaf, ABOVE)
    assert gradient.tolist() == [0, 0, 3, 3, 0, 0, -3, -3]


def test_blocks_within_each_other_the_inner_one_counts() -> None:
    leaf = VALUE.clone().requires_grad_()
    with relu_rule("guided") as outer, relu_rule("deconv") as inner:
        result = F.relu(leaf)
    assert (outer.met, inner.met) == (0, 1)
    assert torch.autograd.grad(result, leaf, ABOVE)[0].tolist() == PASSED["deconv"]
    assert relu_call(F.relu6, (leaf,), {}) is not None
    with RedirectedRelu(torch.tensor([True])), relu_rule("guided"):
        result = F.relu(leaf[None])
    assert torch.autograd.grad(result, leaf, ABOVE[None])[0].tolist() == PASSED["guided"]


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown rule for ReLUs 'giuded'") as caught:
        relu_rule("giuded")  # type: ignore[arg-type]
    assert caught.value.hint == "did you mean guided?"


class Small(nn.Module):
    """Two layers with pooling, as written in the paper."""

    def __init__(self, modules: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3, padding=1)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.modules_ = modules

    def forward(self, image: Tensor) -> Tensor:
        relu1, relu2 = (self.relu1, self.relu2) if self.modules_ else (F.relu, F.relu)
        maps = F.max_pool2d(relu1(self.first(image)), 2)
        return F.max_pool2d(relu2(self.second(maps)), 2)


def small(modules: bool = True) -> Small:
    made: Small = seeded(lambda: Small(modules)).eval()
    return made


def of_unit(network: nn.Module, image: Tensor, rule: Rule) -> Tensor:
    leaf = image.clone().requires_grad_()
    with relu_rule(rule):
        maps = network(leaf)
    (gradient,) = torch.autograd.grad(maps[UNIT], leaf)
    return gradient


def test_the_deconvnet_is_that_of_zeiler_and_fergus() -> None:
    network, image = small(), picture(24, 20)
    with torch.no_grad():
        maps1, switches1 = F.max_pool2d(F.relu(network.first(image)), 2, return_indices=True)
        maps2, switches2 = F.max_pool2d(F.relu(network.second(maps1)), 2, return_indices=True)
        back = torch.zeros_like(maps2)
        back[UNIT] = maps2[UNIT]
        back = F.relu(F.max_unpool2d(back, switches2, 2, output_size=maps1.shape[-2:]))
        back = F.conv_transpose2d(back, network.second.weight, padding=1)
        back = F.relu(F.max_unpool2d(back, switches1, 2, output_size=image.shape[-2:]))
        expected = F.conv_transpose2d(back, network.first.weight, padding=1)
        activation = float(maps2[UNIT])
    assert activation > 0
    found = activation * of_unit(network, image, "deconv")
    torch.testing.assert_close(found, expected)
    assert bool(expected.any())


@pytest.mark.parametrize(
    ("rule", "peer"), [("guided", "GuidedBackprop"), ("deconv", "Deconvolution")]
)
def test_modules_give_what_captum_gives(rule: Rule, peer: str) -> None:
    captum = pytest.importorskip("captum.attr", reason="captum is not installed")
    network, image = small(), picture(24, 20)
    flat = nn.Sequential(network, nn.Flatten())
    _, channel, row, column = UNIT
    unit = (channel * 6 + row) * 5 + column
    with pytest.warns(UserWarning, match="hooks"):
        expected = getattr(captum, peer)(flat).attribute(
            image.clone().requires_grad_(), target=unit
        )
    found = of_unit(network, image, rule)
    torch.testing.assert_close(found, expected)
    # In the paper's network with functions instead, hooks on modules find nothing, and this does.
    assert torch.equal(of_unit(small(modules=False), image, rule), found)


def differ(extractor: Extractor, image: Tensor, layer: str) -> None:
    """Makes sure that the rules reach all ReLUs, and that values stay."""
    gradients, values = [], []
    for rule in (None, *RULES):
        leaf = image.clone().requires_grad_()
        if rule is None:
            maps = extractor(leaf, [layer])[layer]
        else:
            with relu_rule(rule) as block:
                maps = extractor(leaf, [layer])[layer]
            assert block.met > 0
        gradients.append(torch.autograd.grad(maps.flatten(2).sum(), leaf)[0])
        values.append(maps.detach())
    assert torch.equal(values[0], values[1])
    assert torch.equal(values[0], values[2])
    for one in range(3):
        for other in range(one):
            assert not torch.allclose(gradients[one], gradients[other])


def test_a_vgg_is_reached(tiny_extractor: Extractor) -> None:
    differ(tiny_extractor, picture(32, 40), "relu3_1")


@pytest.mark.parametrize("decides", [False, True], ids=["traced", "hooked"])
def test_functions_in_place_are_reached(decides: bool) -> None:
    extractor = extractor_of(seeded(lambda: Rectified(decides)), name="rectified")
    assert bool(extractor.notice) == decides
    differ(extractor, picture(20, 24), "logits")


def test_googlenet_of_torchvision_is_reached() -> None:
    _, extractor = pair("googlenet")
    differ(extractor, picture(64, 64), "inception3a")
