"""Sums over positions: by hand, in tiles, under masks, in every layout and precision."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from styler.errors import UsageError
from styler.losses import FeatureSums, accumulate, blend
from styler.losses.statistics import _positions_last


def both(features: Tensor, weight: Tensor | None = None) -> FeatureSums:
    return accumulate(features, weight, first=True, second=True)


def assert_same(one: FeatureSums, other: FeatureSums) -> None:
    torch.testing.assert_close(one.count, other.count)
    torch.testing.assert_close(one.first, other.first)
    torch.testing.assert_close(one.second, other.second)


def test_sums_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0, 3.0]], [[0.0, -1.0, 4.0]]]])
    weight = torch.tensor([[[[1.0, 0.5, 2.0]]]])
    sums = both(features, weight)
    assert sums.count.tolist() == [3.5]
    assert sums.first is not None
    assert sums.second is not None
    assert sums.first.tolist() == [[1 + 1 + 6, 0 - 0.5 + 8]]
    assert sums.second.tolist() == [[[1 + 2 + 18, 0 - 1 + 24], [0 - 1 + 24, 0 + 0.5 + 32]]]


def test_only_what_is_asked_for_is_summed() -> None:
    features = torch.rand(1, 2, 3, 3)
    assert accumulate(features, first=True, second=False).second is None
    assert accumulate(features, first=False, second=True).first is None


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_sums_of_tiles_are_the_sums_of_the_whole(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    seed, masked = data.draw(st.integers(0, 999)), data.draw(st.booleans())
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)
    weight = torch.rand(2, 1, height, width, generator=generator) if masked else None
    rows = _cuts(data, height)
    columns = _cuts(data, width)
    total = None
    for row in rows:
        for column in columns:
            mask = None if weight is None else weight[..., row, column]
            tile = both(features[..., row, column], mask)
            total = tile if total is None else total + tile
    assert total is not None
    assert_same(total, both(features, weight))


def _cuts(data: st.DataObject, length: int) -> list[slice]:
    inner = data.draw(st.lists(st.integers(1, length), max_size=3))
    edges = sorted({0, length, *inner})
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_binary_mask_is_a_crop(batch: int) -> None:
    features = torch.randn(2, 3, 5, 6)
    mask = torch.zeros(batch, 1, 5, 6, dtype=torch.bool)
    mask[..., 1:4, 2:5] = True
    assert_same(both(features, mask), both(features[..., 1:4, 2:5]))


@pytest.mark.parametrize("masked", [False, True])
def test_channels_last_is_read_in_place_and_gives_the_same(masked: bool) -> None:
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    weight = torch.rand(2, 1, 4, 5, dtype=torch.float64) if masked else None
    last = features.to(memory_format=torch.channels_last).requires_grad_()
    first = features.clone().requires_grad_()
    assert _positions_last(last).data_ptr() == last.data_ptr()
    assert _positions_last(first).data_ptr() == first.data_ptr()
    assert_same(both(last, weight), both(first, weight))
    for leaf in (last, first):
        sums = both(leaf, weight)
        assert sums.first is not None
        assert sums.second is not None
        torch.autograd.backward([sums.first.sin().sum(), sums.second.cos().sum()])
    assert last.grad is not None
    assert last.grad.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last.grad, first.grad, check_stride=False)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_to_features_and_weight(layout: torch.memory_format) -> None:
    features = torch.randn(2, 3, 2, 3, dtype=torch.float64).to(memory_format=layout)
    weight = torch.rand(1, 1, 2, 3, dtype=torch.float64) + 0.1
    mixing = torch.randn(3, 3, dtype=torch.float64)  # the gradient reaching F Fᵀ is not symmetric

    def function(features: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        sums = both(features, weight)
        assert sums.first is not None
        assert sums.second is not None
        return sums.count, sums.first, sums.second.sin() * mixing

    inputs = features.requires_grad_(), weight.requires_grad_()
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)
    assert gradcheck(lambda f: function(f, None)[2], inputs[:1])


def test_precision_follows_the_features() -> None:
    features = torch.rand(1, 2, 3, 3)
    for dtype, expected in [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ]:
        sums = both(features.to(dtype), torch.ones(1, 1, 3, 3))
        for tensor in (sums.count, sums.first, sums.second):
            assert tensor is not None
            assert tensor.dtype == expected


def test_half_precision_features_are_converted_before_they_are_multiplied() -> None:
    features = torch.full((1, 2, 8, 8), 60000.0, dtype=torch.float16)
    sums = both(features)
    assert sums.second is not None
    expected = features.double()[0, 0, 0, 0].item() ** 2 * 64
    torch.testing.assert_close(sums.second, torch.full((1, 2, 2), expected))


def test_autocast_does_not_reach_in() -> None:
    features = torch.rand(1, 8, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = both(features, torch.rand(1, 1, 16, 16).round())
        plain = both(features)
    assert inside.second is not None
    assert inside.second.dtype == torch.float32
    assert_same(plain, both(features))


def test_blend_counts_styles_and_not_their_sizes() -> None:
    small, large = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 9, 7)
    mixed = blend([both(small), both(large)], [1, 3])
    mean = 0.25 * small.mean((2, 3)) + 0.75 * large.mean((2, 3))
    torch.testing.assert_close(mixed.first, mean)
    torch.testing.assert_close(mixed.count, torch.ones(1))
    torch.testing.assert_close(blend([both(small)], [7]).first, small.mean((2, 3)))


@pytest.mark.parametrize("weights", [[], [1.0], [1.0, -1.0], [0.0, 0.0], [1.0, float("nan")]])
def test_blend_refuses_weights(weights: list[float]) -> None:
    sums = both(torch.ones(1, 1, 2, 2))
    with pytest.raises(UsageError, match="weight"):
        blend([sums, sums], weights)


def test_map_reaches_every_tensor() -> None:
    moved = both(torch.rand(1, 2, 2, 2, requires_grad=True)).map(lambda t: t.detach().double())
    for tensor in (moved.count, moved.first, moved.second):
        assert tensor is not None
        assert tensor.dtype == torch.float64
        assert not tensor.requires_grad
    assert (
        accumulate(torch.rand(1, 2, 2, 2), first=False, second=False).map(torch.neg).first is None
    )


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.rand(2, 3, 3), r"\(2, 3, 3\), expected non-empty \(B, C, H, W\)"),
        (torch.rand(1, 2, 0, 3), r"\(1, 2, 0, 3\)"),
        (torch.ones(1, 2, 3, 3, dtype=torch.int64), "torch.int64, expected floating point"),
    ],
)
def test_bad_features(features: Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        both(features)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.ones(3, 3), r"\(3, 3\), expected \(2 or 1, 1, 3, 3\)"),
        (torch.ones(3, 1, 3, 3), r"\(3, 1, 3, 3\)"),
        (torch.ones(1, 1, 3, 4), r"\(1, 1, 3, 4\)"),
        (-torch.ones(1, 1, 3, 3), "negative"),
        (torch.full((1, 1, 3, 3), float("nan")), "non-finite"),
        (torch.full((1, 1, 3, 3), float("inf")), "non-finite"),
        (torch.ones(1, 1, 3, 3, device="meta"), "weight is on meta, features are on cpu"),
    ],
)
def test_bad_weight(weight: Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        both(torch.rand(2, 2, 3, 3), weight)


def test_a_tile_outside_the_mask_sums_to_zero() -> None:
    sums = both(torch.rand(1, 2, 3, 3), torch.zeros(1, 1, 3, 3))
    assert sums.count.tolist() == [0]


def test_sums_of_different_kinds_do_not_add() -> None:
    features = torch.rand(1, 2, 3, 3)
    with pytest.raises(UsageError, match=r"second \(1, 2, 2\).*expected the same shapes"):
        both(features) + accumulate(features, first=True, second=False)
    with pytest.raises(UsageError, match=r"\(1, 2\).*\(1, 3\)"):
        both(features) + both(torch.rand(1, 3, 3, 3))


def test_compiles_into_one_graph_on_paper() -> None:
    # Tracing alone: no compiler is needed, and a graph break raises.
    traced = torch.compile(lambda f, w: both(f, w).second, backend="eager", fullgraph=True)
    features, weight = torch.rand(1, 2, 3, 3), torch.rand(1, 1, 3, 3)
    torch.testing.assert_close(traced(features, weight), both(features, weight).second)
