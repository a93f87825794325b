import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from styler.features.network import Op, minimum_side, output_side, vgg_ops
from styler.features.receptive_field import ReceptiveField, Window, chain_fields

STEP = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2))


def support(gradient: Tensor) -> tuple[int, int]:
    touched = torch.nonzero(gradient.flatten()).flatten()
    return int(touched[0]), int(touched[-1])


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, min_size=1, max_size=4), data=st.data())
def test_a_unit_sees_exactly_what_its_gradient_reaches(
    steps: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    # Positive weights leave no gradient to cancel: its support is the field, clipped by the image.
    image = torch.ones(1, 1, 120, dtype=torch.float64, requires_grad=True)
    value, window = image, Window()
    for kernel, stride, padding, dilation in steps:
        reach = (kernel - 1) * dilation
        pad = min(padding, reach)
        if value.shape[-1] + 2 * pad <= reach:
            break
        weight = torch.ones(1, 1, kernel, dtype=torch.float64)
        value = F.conv1d(value, weight, stride=stride, padding=pad, dilation=dilation)
        window = window.through(kernel=kernel, stride=stride, padding=pad, dilation=dilation)
    unit = data.draw(st.integers(0, value.shape[-1] - 1))
    (gradient,) = torch.autograd.grad(value[0, 0, unit], image)
    first, last = window.span(unit)
    seen = support(gradient)
    assert window.size >= seen[1] - seen[0] + 1
    if first >= 0 and last < 120:
        assert seen == (first, last)
    else:
        assert seen[0] >= max(first, 0)
        assert seen[1] <= min(last, 119)


@settings(max_examples=25, deadline=None)
@given(blocks=st.lists(st.integers(1, 3), min_size=1, max_size=3), data=st.data())
def test_small_vgg_networks_agree_with_their_gradient(
    blocks: list[int], data: st.DataObject
) -> None:
    ops = vgg_ops([[1] * depth for depth in blocks])
    ops = ops[: data.draw(st.integers(1, len(ops)))]
    side = 64
    image = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    value = image
    for op in ops:
        if op.kind == "conv":
            value = F.conv2d(value, torch.ones(1, 1, 3, 3, dtype=torch.float64), padding=1)
        elif op.kind == "pool":
            value = F.avg_pool2d(value, 2)
    row, column = (data.draw(st.integers(0, value.shape[-1] - 1)) for _ in range(2))
    (gradient,) = torch.autograd.grad(value[0, 0, row, column], image)
    top, left, bottom, right = chain_fields(ops)[ops[-1].name].box(row, column)
    assert support(gradient[0, 0].sum(1)) == (max(top, 0), min(bottom, side) - 1)
    assert support(gradient[0, 0].sum(0)) == (max(left, 0), min(right, side) - 1)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # AlexNet: kernel, stride, padding of each convolution and pooling.
        ([(11, 4, 2)], Window(-2, 8, 4)),
        ([(11, 4, 2), (3, 2, 0), (5, 1, 2)], Window(-18, 32, 8)),
        ([(11, 4, 2), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1)], Window(-34, 64, 16)),
    ],
)
def test_alexnet(steps: list[tuple[int, int, int]], expected: Window) -> None:
    window = Window()
    for kernel, stride, padding in steps:
        window = window.through(kernel=kernel, stride=stride, padding=padding)
    assert window == expected


def test_hull_of_branches() -> None:
    stem = Window().through(kernel=3, stride=2, padding=1)
    wide, tall = stem.through(kernel=7, padding=3), stem
    assert wide.hull(tall) == tall.hull(wide) == wide
    field = ReceptiveField(y=tall, x=wide)
    assert field.box(1, 1) == (1, -5, 4, 10)
    with pytest.raises(ValueError, match="jumps 2 and 1"):
        stem.hull(Window())


def test_dilation_spreads_the_taps() -> None:
    assert Window().through(kernel=3, padding=2, dilation=2) == Window(-2, 2, 1)


@settings(max_examples=40, deadline=None)
@given(blocks=st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_minimum_side_is_the_smallest_that_leaves_a_unit(blocks: list[int]) -> None:
    ops = vgg_ops([[1] * depth for depth in blocks])

    def final(side: int, steps: tuple[Op, ...]) -> int:
        for op in steps:
            side = output_side(op, side)
        return side

    least = minimum_side(ops)
    assert least == 2 ** len(blocks)
    assert final(least, ops) == 1
    assert final(least - 1, ops) == 0
