"""ReLUs that let a silent unit wake up, and leave everything else as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from styler.features import Extractor, extractor_of
from styler.features.redirect import RedirectedRelu
from styler.features.registry import BackboneSpec
from styler.features.vgg import VggExtractor
from styler.features.weights import LoadedWeights

Relu = Callable[[Tensor], Tensor]

ORDINARY: dict[str, Relu] = {
    "nn.ReLU": nn.ReLU(),
    "F.relu": F.relu,
    "F.relu by name": lambda value: F.relu(input=value),
    "torch.relu": torch.relu,
    "torch.relu by name": lambda value: torch.relu(input=value),
    "Tensor.relu": lambda value: value.relu(),
}
IN_PLACE: dict[str, Relu] = {
    "nn.ReLU": nn.ReLU(inplace=True),
    "F.relu": lambda value: F.relu(value, inplace=True),
    "F.relu by place": lambda value: F.relu(value, True),
    "F.relu_": F.relu_,
    "torch.relu_": torch.relu_,
    "Tensor.relu_": lambda value: value.relu_(),
}
every = pytest.mark.parametrize(
    "relu",
    [*ORDINARY.values(), *IN_PLACE.values()],
    ids=[*ORDINARY, *(f"{name} in place" for name in IN_PLACE)],
)


def all_of(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.bool)


def gradient_of(relu: Relu, value: Tensor, gradient: Tensor, wanted: Tensor | None) -> Tensor:
    """What a ReLU passes on of a gradient; `wanted` None: outside of the block."""
    value = value.clone().requires_grad_()
    if wanted is None:
        result = relu(value * 1.0)
    else:
        with RedirectedRelu(wanted):
            result = relu(value * 1.0)
    (passed,) = torch.autograd.grad(result, value, gradient)
    return passed


def formula(value: list[float], gradient: list[float], wanted: bool) -> list[float]:
    """Of one picture, as Lucid has it."""
    plain = [g if v > 0 else 0.0 for v, g in zip(value, gradient, strict=True)]
    if not wanted or any(plain):
        return plain
    return [0.0 if v < 0 and g > 0 else g for v, g in zip(value, gradient, strict=True)]


number = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0])
sample = st.tuples(
    st.lists(number, min_size=4, max_size=4),
    st.lists(number, min_size=4, max_size=4),
    st.booleans(),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(samples=st.lists(sample, min_size=1, max_size=4), feature_maps=st.booleans())
def test_the_gradient_of_each_picture_is_that_of_the_formula(
    samples: list[tuple[list[float], list[float], bool]], feature_maps: bool
) -> None:
    shape = (len(samples), 2, 1, 2) if feature_maps else (len(samples), 4)
    value = torch.tensor([values for values, _, _ in samples]).view(shape)
    gradient = torch.tensor([gradients for _, gradients, _ in samples]).view(shape)
    wanted = torch.tensor([wish for _, _, wish in samples])
    found = gradient_of(torch.relu, value, gradient, wanted).view(len(samples), 4)
    torch.testing.assert_close(found, torch.tensor([formula(*one) for one in samples]))


@every
def test_every_relu_is_caught(relu: Relu) -> None:
    value = torch.tensor([[-1.0, -2.0], [-1.0, 2.0]])
    gradient = torch.tensor([[-1.0, 3.0], [-1.0, -1.0]])
    outside = gradient_of(relu, value, gradient, None)
    assert outside.tolist() == [[0.0, 0.0], [0.0, -1.0]]
    within = gradient_of(relu, value, gradient, all_of(2))
    # The second number of the first picture would be pushed further down.
    assert within.tolist() == [[-1.0, 0.0], [0.0, -1.0]]


@every
def test_only_dead_pictures_that_are_wanted_are_helped(relu: Relu) -> None:
    value, gradient = torch.full((3, 2, 2, 2), -1.0), torch.full((3, 2, 2, 2), -1.0)
    passed = gradient_of(relu, value, gradient, torch.tensor([False, True, False]))
    assert passed.flatten(1).any(1).tolist() == [False, True, False]


@every
def test_a_picture_with_any_gradient_keeps_it_as_it_is(relu: Relu) -> None:
    generator = torch.Generator().manual_seed(0)
    value, gradient = (torch.randn(3, 4, 5, 5, generator=generator) for _ in range(2))
    expected = gradient_of(relu, value, gradient, None)
    assert torch.equal(gradient_of(relu, value, gradient, all_of(3)), expected)


@every
def test_values_are_those_of_a_relu(relu: Relu) -> None:
    value = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = value.clamp_min(0)
    with RedirectedRelu(all_of(2)):
        assert torch.equal(relu(value.clone()), expected)
        assert torch.equal(relu(value.clone().requires_grad_() * 1.0).detach(), expected)


@pytest.mark.parametrize("relu", IN_PLACE.values(), ids=IN_PLACE)
def test_in_place_stays_in_place(relu: Relu) -> None:
    value = torch.tensor([[-1.0, 2.0]], requires_grad=True)
    with RedirectedRelu(all_of(1)):
        changed = value * 1.0
        result = relu(changed)
    assert result.data_ptr() == changed.data_ptr()
    assert changed.tolist() == [[0.0, 2.0]]
    (gradient,) = torch.autograd.grad(changed.sum(), value)
    assert gradient.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("relu", ORDINARY.values(), ids=ORDINARY)
def test_an_ordinary_relu_leaves_its_input(relu: Relu) -> None:
    value = torch.tensor([[-1.0, 2.0]])
    with RedirectedRelu(all_of(1)):
        relu(value)
    assert value.tolist() == [[-1.0, 2.0]]


def test_a_part_of_a_tensor_can_be_changed_in_place() -> None:
    value = torch.tensor([[-1.0, -3.0, -2.0]], requires_grad=True)
    with RedirectedRelu(all_of(1)):
        whole = value * 1.0
        whole[:, :2].relu_()
    assert whole.tolist() == [[0.0, 0.0, -2.0]]
    (gradient,) = torch.autograd.grad(-whole.sum(), value)
    assert gradient.tolist() == [[-1.0, -1.0, -1.0]]


@pytest.mark.parametrize("shape", [(), (2,), (3, 2)])
def test_what_is_no_batch_of_pictures_is_let_be(shape: tuple[int, ...]) -> None:
    value, gradient = torch.full(shape, -1.0), torch.full(shape, -1.0)
    assert not bool(gradient_of(torch.relu, value, gradient, all_of(2)).any())


def test_other_functions_are_let_be() -> None:
    value, gradient = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.0, -1.0]])
    for function in (lambda v: v.clamp(min=0), F.relu6, F.elu, torch.sigmoid):
        expected = gradient_of(function, value, gradient, None)
        assert torch.equal(gradient_of(function, value, gradient, all_of(1)), expected)


def test_precision_stays_as_it_is() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        value = torch.tensor([[-1.0, -2.0]], dtype=dtype)
        passed = gradient_of(torch.relu, value, -torch.ones_like(value), all_of(1))
        assert passed.dtype == dtype
        assert passed.tolist() == [[-1.0, -1.0]]


def test_nothing_is_left_after_the_block_even_when_it_fails() -> None:
    value, gradient = torch.tensor([[-1.0]]), torch.tensor([[-1.0]])
    with pytest.raises(ZeroDivisionError), RedirectedRelu(all_of(1)):
        _ = 1 / 0
    assert gradient_of(torch.relu, value, gradient, None).tolist() == [[0.0]]
    assert F.relu(value).tolist() == [[0.0]]


GREY = torch.full((2, 3, 32, 32), 0.5)


def waking(
    extractor: Extractor, layer: str, channel: int, pictures: Tensor = GREY
) -> tuple[Tensor, Tensor]:
    """The gradients of two pictures by a silent unit, outside of the block and within."""
    gradients, values = [], []
    for redirected in (False, True):
        image = pictures.clone().requires_grad_()
        if redirected:
            with RedirectedRelu(torch.tensor([True, False])):
                maps = extractor(image, [layer])[layer]
        else:
            maps = extractor(image, [layer])[layer]
        (gradient,) = torch.autograd.grad(-maps[:, channel].sum(), image)
        gradients.append(gradient)
        values.append(maps.detach())
    assert float(values[0][:, channel].abs().max()) == 0
    assert torch.equal(values[0], values[1])
    return gradients[0], gradients[1]


def assert_wakes(extractor: Extractor, layer: str, channel: int) -> None:
    outside, within = waking(extractor, layer, channel)
    assert not bool(outside.any())
    assert bool(within[0].any())
    assert not bool(within[1].any())
    # It is of use: against it, what is before the ReLU rises. (Not so of a grey picture, in which
    # max pooling takes one of four equals.)
    before = layer.replace("relu", "conv")
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    _, within = waking(extractor, layer, channel, pictures)
    risen = pictures[:1] - 0.001 * within[:1] / within[:1].abs().max()
    start, end = (extractor(p, [before])[before][:, channel].mean() for p in (pictures[:1], risen))
    assert float(end) > float(start)


def test_a_silent_unit_of_a_vgg_wakes_up(tiny: BackboneSpec, tiny_state: dict[str, Tensor]) -> None:
    biases = [key for key in tiny_state if key.endswith("bias")]
    state = {**tiny_state, biases[2]: torch.full_like(tiny_state[biases[2]], -50.0)}
    state[biases[2]][1:] = 50.0
    extractor = VggExtractor(
        tiny,
        LoadedWeights(state=state, sha256="0" * 64, path=Path("tiny.pth")),
        device=torch.device("cpu"),
        dtype=torch.float32,
        pooling="max",
    )
    assert_wakes(extractor, "relu2_1", 0)


class Silent(nn.Module):
    """Its first unit is silent for grey pictures."""

    def __init__(self, branches: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.branches = branches
        with torch.no_grad():
            self.conv.weight.normal_(0, 0.2, generator=torch.Generator().manual_seed(3))
            self.conv.bias.copy_(torch.tensor([-9.0, 9.0, 9.0, 9.0]))

    def forward(self, image: Tensor) -> Tensor:
        maps = self.conv(image)
        if self.branches and float(maps.detach().sum()) > 1e9:
            return image
        self.relu(maps)  # only its effect is used
        doubled: Tensor = 2 * maps
        return doubled


@pytest.mark.parametrize("branches", [False, True], ids=["whole", "branching"])
def test_a_silent_unit_of_any_network_wakes_up(branches: bool) -> None:
    extractor = extractor_of(Silent(branches), name="silent")
    assert_wakes(extractor, "relu", 0)
    outside, within = waking(extractor, "logits", 0)
    assert not bool(outside.any())
    assert bool(within[0].any())


def test_a_traced_network_is_reached_too() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1))
    with torch.no_grad():
        model[0].weight.normal_(0, 0.2, generator=torch.Generator().manual_seed(3))
        model[0].bias.fill_(-9.0)
        model[2].weight.fill_(1.0)
    extractor = extractor_of(model, name="traced")
    assert not extractor.notice
    outside, within = waking(extractor, "1", 0)
    assert not bool(outside.any())
    assert bool(within[0].any())
    assert not bool(within[1].any())
