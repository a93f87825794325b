"""Features as samples: masks, blends, and few positions that stand for many."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from styler.errors import UsageError
from styler.losses import (
    GaussianMmdStyleLoss,
    HistogramStyleLoss,
    NeighbourStyleLoss,
    RelaxedEmdLoss,
    SampleLoss,
    Samples,
    SlicedWassersteinLoss,
    join_samples,
    thin_samples,
)
from styler.losses.samples import average

LOSSES = [
    SlicedWassersteinLoss("none"),
    HistogramStyleLoss(),
    NeighbourStyleLoss(),
    RelaxedEmdLoss(),
    GaussianMmdStyleLoss(),
]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)


def features(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_represent_flattens_positions_and_weights() -> None:
    loss = NeighbourStyleLoss()
    picture = features(2, 3, 4, 5)
    samples = loss.represent(picture.half(), torch.rand(2, 1, 4, 5))
    assert samples.values.shape == (2, 3, 20)
    assert samples.values.dtype == torch.float32
    assert samples.weight is not None
    assert samples.weight.shape == (2, 20)
    assert samples.values[1, 2, 7] == picture.half()[1, 2, 1, 2].float()
    assert loss.represent(picture).weight is None


def test_joined_weights_by_hand() -> None:
    one = Samples(torch.zeros(1, 1, 2), torch.tensor([[3.0, 1.0]]))
    two = Samples(torch.ones(1, 1, 4))
    joined = join_samples([one, two, Samples(torch.ones(1, 1, 9))], [2, 6, 0])
    assert joined.values.flatten().tolist() == [0, 0, 1, 1, 1, 1]
    assert joined.weight is not None
    # A quarter of all, in the proportion 3 to 1; then three quarters, in four equal parts.
    assert joined.weight[0].tolist() == pytest.approx([0.1875, 0.0625, *[0.1875] * 4])


@every_loss
def test_the_share_of_a_style_does_not_depend_on_its_size(loss: SampleLoss) -> None:
    picture, one, two = features(1, 3, 5, 5), features(1, 3, 4, 4, seed=1), features(1, 3, 3, 3)
    small = [loss.represent(one), loss.represent(two + 1)]
    large = [small[0], loss.represent((two + 1).repeat(1, 1, 1, 5))]
    values = [
        loss.compare(loss.represent(picture), loss.prepare(join_samples(parts, [1, 3])))
        for parts in (small, large)
    ]
    # Ranks are interpolated between repeated values, too: a little is left of the size.
    torch.testing.assert_close(values[0], values[1], rtol=0.05, atol=0)


@every_loss
def test_a_blend_of_one_is_that_one(loss: SampleLoss) -> None:
    picture, style = loss.represent(features(2, 3, 5, 5)), features(2, 3, 4, 6, seed=1)
    alone = loss.represent(style)
    other = loss.represent(features(2, 3, 2, 2, seed=2))
    expected = loss.compare(picture, loss.prepare(alone))
    joined = join_samples([alone, other], [0.7, 0])
    torch.testing.assert_close(loss.compare(picture, loss.prepare(joined)), expected)
    halves = [loss.represent(style[:, :, :2]), loss.represent(style[:, :, 2:])]
    again = loss.compare(picture, loss.prepare(join_samples(halves, [1, 1])))
    torch.testing.assert_close(again, expected)


@every_loss
def test_weights_of_a_target_act_like_repetition(loss: SampleLoss) -> None:
    picture, style = features(1, 3, 30, 30), features(1, 3, 20, 20, seed=1) * 2
    weight = torch.ones(1, 1, 20, 20, dtype=torch.float64)
    weight[..., :10] = 3
    repeated = torch.cat([style, style[..., :10], style[..., :10]], dim=3)
    own = loss.represent(picture)
    weighted = loss.compare(own, loss.prepare(loss.represent(style, weight)))
    doubled = loss.compare(own, loss.prepare(loss.represent(repeated)))
    torch.testing.assert_close(weighted, doubled, rtol=0.01, atol=0)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60), most=st.integers(1, 200))
def test_thinned_positions_are_spread_evenly(height: int, width: int, most: int) -> None:
    rows = torch.arange(height).view(-1, 1).expand(height, width).flatten()
    columns = torch.arange(width).repeat(height)
    thin = thin_samples(Samples(torch.stack([rows, columns]).float()[None]), most)
    count = thin.values.shape[2]
    assert count == min(most, height * width)
    kept = thin.values[0].long()
    assert len({(int(y), int(x)) for y, x in kept.T}) == count  # none twice
    if count >= 100:
        for line, length in zip(kept, (height, width), strict=True):
            middle = line.float().mean().item()
            assert middle == pytest.approx((length - 1) / 2, abs=0.15 * length)


def test_no_column_is_left_out_where_rows_and_positions_are_in_step() -> None:
    side = 256
    columns = torch.arange(side).repeat(side).float()
    kept = thin_samples(Samples(columns.view(1, 1, -1)), 4096).values.flatten()
    counts = torch.bincount(kept.long(), minlength=side)
    assert counts.min().item() >= 4  # 16 of each were perfect
    assert counts.max().item() <= 32


def test_thinning_goes_by_weight() -> None:
    values = torch.arange(1000.0).expand(2, 1, -1)
    weight = torch.zeros(2, 1000)
    weight[0, 100:200] = 1
    weight[0, 900:] = 3
    weight[1, :200:4] = 1e-9
    weight[1, 5] = 1e-3
    thin = thin_samples(Samples(values, weight), 40)
    assert thin.weight is None
    assert (thin.values[0] >= 100).all()
    assert ((thin.values[0] < 200).sum(), (thin.values[0] >= 900).sum()) == (10, 30)
    assert (thin.values[1] == 5).sum() >= 39


def test_what_is_few_stays_as_it_is() -> None:
    samples = Samples(torch.rand(1, 2, 9), torch.rand(1, 9))
    assert thin_samples(samples, 9) is samples
    weight = torch.zeros(2, 9)
    weight[0, [1, 4, 8]] = torch.tensor([0.5, 3.0, 1.0])
    weight[1, 7] = 2
    few = thin_samples(Samples(torch.arange(9.0).expand(2, 1, 9), weight), 5)
    assert few.weight is not None
    assert few.weight.tolist() == [[0.5, 3, 1], [2, 0, 0]]
    assert few.values[0].tolist() == [[1, 4, 8]]
    assert few.values[1, 0, 0] == 7


@every_loss
def test_targets_are_bounded_and_stand_for_the_whole(loss: SampleLoss) -> None:
    style, picture = features(1, 3, 40, 50, seed=1) * 2 + 1, features(1, 3, 20, 20)
    whole = loss(picture, style)
    limit, loss.limit = loss.limit, 500
    try:
        target = loss.prepare(loss.represent(style))
        assert target.values.shape == (1, 3, 500)
        few = loss.compare(loss.represent(picture), target)
        # The nearest of fewer is further off.
        torch.testing.assert_close(few, whole, rtol=0.25, atol=0.004)
        # Preparing changes nothing but the time.
        torch.testing.assert_close(loss(picture, style), few)
    finally:
        loss.limit = limit


@every_loss
def test_in_parts_as_at_once(loss: SampleLoss, monkeypatch: pytest.MonkeyPatch) -> None:
    style = features(1, 3, 6, 7, seed=1)
    weight = torch.rand(2, 1, 3, 5, dtype=torch.float64)
    found = []
    for at_once in (2**24, 60, 1):
        for name in ("sliced", "neighbours", "mmd"):
            monkeypatch.setattr(f"styler.losses.{name}.VALUES_AT_ONCE", at_once)
        picture = features(2, 3, 3, 5).requires_grad_()
        value = loss.compare(loss.represent(picture, weight), loss.prepare(loss.represent(style)))
        found.append((value, *torch.autograd.grad(value, picture)))
    for value, gradient in found[1:]:
        torch.testing.assert_close(value, found[0][0])
        torch.testing.assert_close(gradient, found[0][1])


@every_loss
def test_no_gradient_goes_to_the_target(loss: SampleLoss) -> None:
    style = features(1, 3, 4, 4, seed=1).requires_grad_()
    value = loss(features(1, 3, 4, 4).requires_grad_(), style)
    (gradient,) = torch.autograd.grad(value, style, allow_unused=True)
    assert gradient is None


@every_loss
def test_precision_of_a_target_does_not_matter(loss: SampleLoss) -> None:
    target = loss.prepare(loss.represent(features(1, 3, 4, 4, seed=1)))
    picture = features(1, 3, 4, 4)
    value = loss.compare(loss.represent(picture.float()), target)
    assert value.dtype == torch.float32
    exact = loss.compare(loss.represent(picture), target)
    torch.testing.assert_close(value.double(), exact, rtol=1e-4, atol=1e-6)


def test_average_by_hand() -> None:
    rows = torch.tensor([[[1.0, 3.0], [0.0, 8.0]]])
    assert average(rows, None).tolist() == [[2, 4]]
    assert average(rows, torch.tensor([[3.0, 1.0]])).tolist() == [[1.5, 2]]
    assert average(rows[:, 1], torch.tensor([[3.0, 1.0]])).tolist() == [2]


def test_what_is_wrong_is_said() -> None:
    one = Samples(torch.ones(1, 2, 3))
    with pytest.raises(UsageError, match="1 shares for 2 styles"):
        join_samples([one, one], [1])
    with pytest.raises(UsageError, match="0 shares for 0 styles"):
        join_samples([], [])
    with pytest.raises(UsageError, match="share is -1"):
        join_samples([one, one], [2, -1])
    with pytest.raises(UsageError, match="shares are all 0"):
        join_samples([one], [0])
    with pytest.raises(UsageError, match=r"\(1, 2\), \(1, 3\), expected the same"):
        join_samples([one, Samples(torch.ones(1, 3, 3))], [1, 1])
    for limit in (0, -3, 1.5, float("nan")):
        with pytest.raises(UsageError, match=f"limit is {limit}, expected a whole number"):
            NeighbourStyleLoss(limit=limit)
    with pytest.raises(UsageError, match="most is 0"):
        thin_samples(one, 0)
    nn, swd = NeighbourStyleLoss(), SlicedWassersteinLoss()
    foreign = nn.prepare(nn.represent(features(1, 2, 3, 3)))
    with pytest.raises(UsageError, match="prepared by another loss"):
        GaussianMmdStyleLoss().compare(swd.represent(features(1, 2, 3, 3)), foreign)
