"""Nearest neighbours by cosine: by hand, against scipy's distance matrices, features near zero."""

import numpy as np
import ot
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor
from torch.autograd import gradcheck

from styler.errors import UsageError
from styler.losses import CENTRINGS, NeighbourStyleLoss, RelaxedEmdLoss
from styler.losses.functional import nearest_neighbours

LOSSES = [*(NeighbourStyleLoss(name) for name in CENTRINGS), RelaxedEmdLoss()]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=[*CENTRINGS, "remd"])


def features(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) + 0.5


def rows(tensor: Tensor) -> np.ndarray:
    """(positions, channels) of one sample."""
    return tensor.flatten(1).T.numpy()


def mask(*shape: int, seed: int = 0) -> Tensor:
    """Weights of which a third is 0."""
    weight = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    weight = (weight - 0.33).clamp_min(0)
    weight[..., 0, 0] = 0.5
    return weight


def test_nearest_by_hand() -> None:
    # Cosines 3/5 and 4/5 with the axes; then −1 and 0; the mean of .2 and 1.
    picture = torch.tensor([[[[3.0, -2.0]], [[4.0, 0.0]]]])
    style = torch.tensor([[[[7.0, 0.0]], [[0.0, 0.1]]]])
    assert NeighbourStyleLoss("none")(picture, style).item() == pytest.approx(0.6)
    # From the style: .4 and 2 to the first axis, .2 and 1 to the second; the mean of .4 and .2.
    assert RelaxedEmdLoss()(picture, style).item() == pytest.approx(0.6)
    assert RelaxedEmdLoss()(style, picture).item() == pytest.approx(0.6)


def test_the_other_side_may_be_the_greater() -> None:
    picture = torch.tensor([[[[5.0]], [[0.0]]]])
    style = torch.tensor([[[[2.0, 0.0]], [[0.0, 2.0]]]])
    assert NeighbourStyleLoss("none")(picture, style).item() == 0
    assert RelaxedEmdLoss()(picture, style).item() == pytest.approx((0 + 1) / 2)


def test_centring_by_hand() -> None:
    # Less its mean (1, 0) the picture is (−1, 0) and (1, 0); the style less (0, 5) is (0, ∓1).
    picture = torch.tensor([[[[0.0, 2.0]], [[0.0, 0.0]]]])
    style = torch.tensor([[[[0.0, 0.0]], [[4.0, 6.0]]]])
    assert NeighbourStyleLoss("own")(picture, style).item() == pytest.approx(1)
    # Less the style's mean the picture is (0, −5) and (2, −5): cosines 1 and 5/√29 with (0, −1).
    expected = (1 - 5 / 29**0.5) / 2
    assert NeighbourStyleLoss("target")(picture, style).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("centring", CENTRINGS)
@pytest.mark.parametrize("masked", [False, True])
def test_neighbours_against_scipy(centring: str, masked: bool) -> None:
    picture, style = features(2, 4, 5, 6), features(2, 4, 7, 3, seed=1)
    own = mask(2, 1, 5, 6) if masked else torch.ones(2, 1, 5, 6).double()
    other = mask(1, 1, 7, 3, seed=1) if masked else torch.ones(1, 1, 7, 3).double()
    expected = []
    for sample, reference, weight in zip(picture, style, own, strict=True):
        a, b, v, w = rows(sample), rows(reference), weight.numpy().ravel(), other.numpy().ravel()
        mean = np.average(b, axis=0, weights=w)
        if centring != "none":
            a = a - (np.average(a, axis=0, weights=v) if centring == "own" else mean)
            b = b - mean
        least = cdist(a, b[w > 0], "cosine").min(axis=1)
        expected.append(np.average(least, weights=v))
    loss = NeighbourStyleLoss(centring)
    target = loss.prepare(loss.represent(style, other))
    found = loss.compare(loss.represent(picture, own), target)
    assert found.item() == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sizes", [((5, 6), (7, 3)), ((2, 2), (9, 9)), ((9, 9), (2, 2))])
def test_relaxed_emd_against_scipy(masked: bool, sizes: tuple[tuple[int, int], ...]) -> None:
    picture, style = features(2, 4, *sizes[0]), features(2, 4, *sizes[1], seed=1)
    ones = [torch.ones(1, 1, *size).double() for size in sizes]
    masks = [mask(1, 1, *size, seed=i) for i, size in enumerate(sizes)]
    own, other = masks if masked else ones
    v, w = own.numpy().ravel(), other.numpy().ravel()
    expected = []
    for sample, reference in zip(picture, style, strict=True):
        distances = cdist(rows(sample), rows(reference), "cosine")
        there = np.average(distances[:, w > 0].min(axis=1), weights=v)
        back = np.average(distances[v > 0].min(axis=0), weights=w)
        expected.append(max(there, back))
    loss = RelaxedEmdLoss()
    target = loss.prepare(loss.represent(style, other))
    found = loss.compare(loss.represent(picture, own), target)
    assert found.item() == pytest.approx(np.mean(expected))


def test_relaxed_emd_is_below_the_distance_that_it_relaxes() -> None:
    for seed in range(5):
        picture, style = features(1, 3, 5, 4, seed=seed), features(1, 3, 4, 4, seed=seed + 9)
        distances = cdist(rows(picture[0]), rows(style[0]), "cosine")
        exact = ot.emd2([], [], distances)
        relaxed = RelaxedEmdLoss()(picture, style).item()
        assert 0.3 * exact < relaxed <= exact + 1e-12


@every_loss
def test_gradcheck_with_weights(loss: NeighbourStyleLoss | RelaxedEmdLoss) -> None:
    target = loss.prepare(loss.represent(features(1, 3, 4, 4, seed=1), mask(1, 1, 4, 4)))
    own = mask(2, 1, 2, 3, seed=3) + 0.01
    picture = features(2, 3, 2, 3).requires_grad_()
    assert gradcheck(lambda f: loss.compare(loss.represent(f, own), target), (picture,))


def test_the_gradient_is_that_of_the_least_distances() -> None:
    picture, style = features(1, 3, 4, 5).requires_grad_(), features(1, 3, 5, 5, seed=1)
    units = [t.flatten(2)[0] / t.flatten(2)[0].norm(dim=0) for t in (picture, style)]
    distances = 1 - units[0].T @ units[1]
    there, back = distances.min(1).values.mean(), distances.min(0).values.mean()
    for loss, whole in (
        (NeighbourStyleLoss("none"), there),
        (RelaxedEmdLoss(), torch.maximum(there, back)),
    ):
        (expected,) = torch.autograd.grad(whole, picture, retain_graph=True)
        (found,) = torch.autograd.grad(loss(picture, style), picture)
        torch.testing.assert_close(found, expected)


@every_loss
def test_strength_does_not_matter(loss: NeighbourStyleLoss | RelaxedEmdLoss) -> None:
    picture, style = features(1, 4, 5, 5).float(), features(1, 4, 6, 6, seed=1).float()
    expected = loss(picture, style).item()
    for scale in (1e-3, 1e4):
        assert loss(scale * picture, scale * style).item() == pytest.approx(expected, rel=1e-4)


def test_only_the_own_mean_hides_a_shift() -> None:
    picture, shift = features(1, 4, 6, 6), torch.tensor([3.0, 0, -1, 0]).double().view(1, 4, 1, 1)
    values = {name: NeighbourStyleLoss(name)(picture + shift, picture) for name in CENTRINGS}
    assert values["own"].item() == pytest.approx(0, abs=1e-12)
    assert values["target"].item() > 0.05
    assert values["none"].item() > 0.05


@every_loss
def test_features_near_zero_have_bounded_gradients(
    loss: NeighbourStyleLoss | RelaxedEmdLoss,
) -> None:
    style = features(1, 8, 6, 6, seed=1)
    length = style.square().sum(1).mean().sqrt()
    # A length of 1% is the least that is divided by. The mean is over 36 positions, and as many of
    # the style may have one and the same neighbour.
    steepest = 100 if isinstance(loss, RelaxedEmdLoss) else 100 / 36
    for near in (0.0, 1e-30, 1e-12, 1e-4):
        picture = features(1, 8, 6, 6)
        picture[..., :3] *= near
        picture.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(picture, style), picture)
        assert (gradient.square().sum(1).sqrt() * length).max().item() < 1.01 * steepest


def test_one_neighbour_of_equals() -> None:
    ones = torch.ones(2, 3, 4)
    assert nearest_neighbours(ones, ones).tolist() == [[0] * 4] * 2
    weight = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert nearest_neighbours(ones, ones, weight).tolist() == [[2] * 4] * 2
    assert nearest_neighbours(ones[:1], ones).shape == (2, 4)
    assert nearest_neighbours(ones, ones[:1]).shape == (2, 4)


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match="'mean', expected one of own, target, none"):
        NeighbourStyleLoss("mean")
    with pytest.raises(UsageError, match="limit is 0"):
        RelaxedEmdLoss(limit=0)
