"""Optimal transport along directions: by hand, against POT and numpy's quantiles, rotations."""

import numpy as np
import ot
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from styler.errors import UsageError
from styler.losses import (
    SLICED_NORMALIZATIONS,
    HistogramStyleLoss,
    Samples,
    SlicedWassersteinLoss,
)
from styler.losses.functional import orthonormal_directions, sorted_distance


def features(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def by_quantiles(
    picture: np.ndarray,
    style: np.ndarray,
    own: np.ndarray | None = None,
    w: np.ndarray | None = None,
) -> float:
    """Mean over rows of the weighted squared difference from numpy's interpolated quantiles."""
    found = []
    for row, reference in zip(picture, style, strict=True):
        ranks, order = ranked(row, own)
        known, sort = ranked(reference, w)
        matched = np.interp(ranks, known, reference[sort])
        weights = None if own is None else own[order]
        found.append(np.average((row[order] - matched) ** 2, weights=weights))
    return float(np.mean(found))


def ranked(row: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Middles of the shares of sorted values that have a weight, and their order."""
    weight = np.ones_like(row) if weight is None else weight
    order = np.argsort(row, kind="stable")
    order = order[weight[order] > 0]
    shares = weight[order] / weight.sum()
    return np.cumsum(shares) - shares / 2, order


def test_histogram_by_hand() -> None:
    # Sorted: (0, 2) with (1, 5) and (−1, 7) with (3, 3): 1 + 9 and 16 + 16, over 4 of them.
    picture = torch.tensor([[[[2.0, 0.0]], [[-1.0, 7.0]]]])
    style = torch.tensor([[[[1.0, 5.0]], [[3.0, 3.0]]]])
    assert HistogramStyleLoss("none")(picture, style).item() == 42 / 4
    # The style's mean square is (1 + 25 + 9 + 9) / 4.
    assert HistogramStyleLoss("relative")(picture, style).item() == pytest.approx(42 / 44)
    assert HistogramStyleLoss()(picture, style).item() == pytest.approx(42 / 44)


def test_ranks_between_those_of_the_style_by_hand() -> None:
    # The style's 0 and 8 are at ranks 1/4 and 3/4; three positions are at 1/6, 1/2 and 5/6.
    picture = torch.tensor([[[[0.0, 6.0, 8.0]]]])
    style = torch.tensor([[[[8.0, 0.0]]]])
    assert HistogramStyleLoss("none")(picture, style).item() == pytest.approx((6 - 4) ** 2 / 3)


def test_gradient_by_hand() -> None:
    picture = torch.tensor([[[[2.0, 0.0]]]], requires_grad=True)
    HistogramStyleLoss("none")(picture, torch.tensor([[[[1.0, 5.0]]]])).backward()
    assert picture.grad is not None
    assert picture.grad.flatten().tolist() == [2 - 5, 0 - 1]


@pytest.mark.parametrize("seed", range(3))
def test_directions_are_bases(seed: int) -> None:
    directions = orthonormal_directions(5, 12, seed)
    assert directions.shape == (12, 5)
    for basis in (directions[:5], directions[5:10]):
        torch.testing.assert_close(basis @ basis.T, torch.eye(5, dtype=torch.float64))
    assert (directions[:5] - directions[5:10]).abs().max() > 0.1
    assert torch.equal(directions, orthonormal_directions(5, 12, seed))
    assert not torch.equal(directions, orthonormal_directions(5, 12, seed + 1))


def test_directions_favour_no_way() -> None:
    # Rows of random rotations: mean 0, second moments 1/C, fourth moments 3 / (C·(C + 2)).
    rows = orthonormal_directions(4, 40000)
    torch.testing.assert_close(rows.mean(0), torch.zeros(4).double(), rtol=0, atol=0.01)
    moments = rows.T @ rows / len(rows)
    torch.testing.assert_close(moments, torch.eye(4).double() / 4, rtol=0, atol=0.01)
    torch.testing.assert_close(
        rows.pow(4).mean(0), torch.full((4,), 1 / 8).double(), rtol=0.05, atol=0
    )
    # The first vector of a basis is as free as the others.
    assert rows[::4].mean(0).abs().max() < 0.02


def test_against_pot_where_sizes_match() -> None:
    picture, style = features(2, 5, 6, 7), features(2, 5, 7, 6, seed=1).exp()
    directions = orthonormal_directions(5, 9, 4)
    expected = [
        ot.emd2_1d(p @ d, s @ d, metric="sqeuclidean")
        for p, s in zip(picture.flatten(2).mT.numpy(), style.flatten(2).mT.numpy(), strict=True)
        for d in directions.numpy()
    ]
    loss = SlicedWassersteinLoss("none", directions=9, seed=4)
    assert loss(picture, style).item() == pytest.approx(np.mean(expected))
    sliced = [
        ot.sliced_wasserstein_distance(
            p.numpy().T, s.numpy().T, n_projections=9, projections=directions.numpy().T
        )
        for p, s in zip(picture.flatten(2), style.flatten(2), strict=True)
    ]
    assert loss(picture, style).item() == pytest.approx(np.mean(np.square(sliced)))


def test_near_pot_where_sizes_and_weights_differ() -> None:
    picture, style = features(1, 1, 40, 50), features(1, 1, 30, 21, seed=1).exp()
    own, weight = (
        torch.rand(1, 1, *t.shape[2:], dtype=torch.float64) + 0.1 for t in (picture, style)
    )
    loss = HistogramStyleLoss("none")
    value = loss.compare(loss.represent(picture, own), loss.represent(style, weight))
    flat = [t.numpy().ravel() for t in (picture, style, own, weight)]
    exact = ot.emd2_1d(
        flat[0], flat[1], flat[2] / flat[2].sum(), flat[3] / flat[3].sum(), metric="sqeuclidean"
    )
    assert value.item() == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("positions", "others"), [(12, 12), (7, 30), (50, 8), (1, 5), (6, 1)])
def test_against_quantiles_of_numpy(own: bool, weighted: bool, positions: int, others: int) -> None:
    generator = np.random.default_rng(positions + others)
    picture, style = features(1, 3, 1, positions), features(1, 3, 1, others, seed=1)
    weights = [generator.uniform(0.1, 1, size=n) for n in (positions, others)]
    for weight in weights:
        weight[2:4] = 0  # where there are so many
    masks = [torch.from_numpy(weight).view(1, 1, 1, -1) for weight in weights]
    loss = HistogramStyleLoss("none")
    value = loss.compare(
        loss.represent(picture, masks[0] if own else None),
        loss.represent(style, masks[1] if weighted else None),
    )
    expected = by_quantiles(
        picture[0, :, 0].numpy(),
        style[0, :, 0].numpy(),
        weights[0] if own else None,
        weights[1] if weighted else None,
    )
    assert value.item() == pytest.approx(expected)


@pytest.mark.parametrize("directions", [None, 2, 11])
@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck_with_weights_and_other_sizes(directions: int | None, masked: bool) -> None:
    loss = SlicedWassersteinLoss("none", directions=directions)
    mask = torch.rand(2, 1, 3, 4, dtype=torch.float64) if masked else None
    target = loss.prepare(loss.represent(features(1, 3, 2, 5, seed=1)))
    picture = features(2, 3, 3, 4).requires_grad_()
    assert gradcheck(lambda f: loss.compare(loss.represent(f, mask), target), (picture,))


def test_an_orthonormal_basis_sees_all_of_a_shift() -> None:
    # Along a whole basis the squares of a shift add up to its squared length.
    picture, shift = features(1, 6, 5, 5), torch.arange(6.0).double().view(1, 6, 1, 1)
    for seed in range(3):
        loss = SlicedWassersteinLoss("none", seed=seed)
        assert loss(picture + shift, picture).item() == pytest.approx(55 / 6)


def test_correlations_are_seen_by_directions_alone() -> None:
    # Channels with the same histograms, together in the picture and opposed in the style.
    line = torch.linspace(-1, 1, 40, dtype=torch.float64)
    picture, style = (torch.stack([line, other]).view(1, 2, 5, 8) for other in (line, -line))
    assert HistogramStyleLoss()(picture, style).item() == pytest.approx(0, abs=1e-12)
    assert SlicedWassersteinLoss()(picture, style).item() > 0.05


def test_relative_does_not_depend_on_scale() -> None:
    picture, style = features(1, 4, 5, 5).float(), features(1, 4, 6, 6, seed=1).float()
    for loss in (SlicedWassersteinLoss(), HistogramStyleLoss()):
        expected = loss(picture, style).item()
        for scale in (1e-3, 1e4):
            assert loss(scale * picture, scale * style).item() == pytest.approx(expected, rel=1e-4)
        assert loss(torch.zeros_like(picture), style).item() == pytest.approx(1, rel=0.05)


def test_descending_the_loss_makes_the_distribution() -> None:
    picture = features(1, 2, 10, 10).requires_grad_()
    style = torch.cat([features(1, 2, 5, 10, seed=1) - 4, features(1, 2, 5, 10, seed=2) + 4], dim=2)
    loss = SlicedWassersteinLoss("none", directions=16)
    target = loss.prepare(loss.represent(style))
    optimizer = torch.optim.Adam([picture], lr=0.3)
    for _ in range(50):
        optimizer.zero_grad()
        loss.compare(loss.represent(picture), target).backward()
        optimizer.step()
    found = picture.detach().flatten(2)[0]
    assert (found[0] < 0).sum().item() == pytest.approx(50, abs=1)  # two modes, each of half
    exact = ot.emd2(
        [], [], ot.dist(found.T.numpy(), style.flatten(2)[0].T.numpy(), metric="sqeuclidean")
    )
    assert exact < 0.3  # of squared distances that were some 20


def test_a_million_positions_take_their_ranks_exactly() -> None:
    line = torch.arange(2**20, dtype=torch.float32).view(1, 1, 2**10, 2**10)
    loss = HistogramStyleLoss("none", limit=2**20)
    assert loss(line.flip(3), line).item() == 0


def test_a_target_of_a_loss_is_what_the_function_takes() -> None:
    loss = HistogramStyleLoss("none")
    picture, style = features(2, 3, 4, 4), features(1, 3, 4, 4, seed=1)
    target = loss.prepare(Samples(style.flatten(2)))
    distances = sorted_distance(picture.flatten(2), None, target)
    assert distances.shape == (2,)
    torch.testing.assert_close(distances.mean(), loss(picture, style))


def test_what_is_wrong_is_said() -> None:
    assert set(SLICED_NORMALIZATIONS) == {"none", "relative"}
    for kind in (SlicedWassersteinLoss, HistogramStyleLoss):
        with pytest.raises(UsageError, match="'nona', expected one of none, relative"):
            kind("nona")
        with pytest.raises(UsageError, match="eps is -1"):
            kind(eps=-1)
        with pytest.raises(UsageError, match="limit is 0"):
            kind(limit=0)
    with pytest.raises(UsageError, match="directions is 0"):
        SlicedWassersteinLoss(directions=0)
    with pytest.raises(UsageError, match="directions is -2"):
        orthonormal_directions(3, -2)
    with pytest.raises(UsageError, match="channels is 0"):
        orthonormal_directions(0, 3)
