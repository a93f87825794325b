"""Self-similarity: by hand, against SciPy, what it does not see, samples, masks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch import Tensor
from torch.autograd import gradcheck

from styler.errors import UsageError
from styler.losses import SelfSimilarityLoss
from styler.losses.functional import self_similarity, self_similarity_distance
from styler.losses.similarity import FLAT_DISTANCE, sample

# Three positions of two channels: along one axis, along the other, and halfway.
FEATURES = torch.tensor([[[[2.0, 0.0, 3.0]], [[0.0, 1.0, 3.0]]]])
NEAR = 1 - 0.5**0.5
# All three in one direction but the first, which is at a right angle.
OTHER = torch.tensor([[[[0.0, 1.0, 5.0]], [[1.0, 0.0, 0.0]]]])


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_scipy(picture: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None) -> float:
    """The weighted formula for one sample of (C, positions)."""
    w = np.ones(picture.shape[1]) if weight is None else weight
    shares = []
    for features in (picture, target):
        distances = cdist(features.T, features.T, "cosine")
        shares.append(distances / (w @ distances))
    return float(w @ np.abs(shares[0] - shares[1]) @ w / w.sum())


def test_matrix_by_hand() -> None:
    # Columns: distances to the first (0, 1, NEAR), the second (1, 0, NEAR), the third.
    expected = torch.tensor(
        [
            [0.0, 1 / (1 + NEAR), 0.5],
            [1 / (1 + NEAR), 0.0, 0.5],
            [NEAR / (1 + NEAR), NEAR / (1 + NEAR), 0.0],
        ]
    )
    torch.testing.assert_close(self_similarity(FEATURES)[0], expected)


@pytest.mark.parametrize("prepared", [False, True])
def test_loss_by_hand(prepared: bool) -> None:
    # The other's columns: (0, ½, ½), (1, 0, 0), (1, 0, 0).
    far, near = 1 / (1 + NEAR), NEAR / (1 + NEAR)
    columns = (far - 0.5) + (0.5 - near), (1 - far) + near, 0.5 + 0.5
    loss = SelfSimilarityLoss()
    target = loss.represent(OTHER)
    if prepared:
        target = loss.prepare(target)
    value = loss.compare(loss.represent(FEATURES), target)
    assert value.item() == pytest.approx(sum(columns) / 3)
    distance = self_similarity_distance(FEATURES, OTHER)
    assert distance.tolist() == pytest.approx([sum(columns) / 3])


@pytest.mark.parametrize("weighted", [False, True])
def test_against_scipy(weighted: bool) -> None:
    generator = np.random.default_rng(4)
    picture, target = generator.normal(0.5, 1, size=(2, 2, 5, 3, 4))
    weight = generator.uniform(0, 2, size=(1, 1, 3, 4)) if weighted else None
    flat = None if weight is None else weight.ravel()
    expected = [
        by_scipy(p.reshape(5, 12), t.reshape(5, 12), flat)
        for p, t in zip(picture, target, strict=True)
    ]
    loss = SelfSimilarityLoss()
    mask = None if weight is None else torch.from_numpy(weight)
    target_there = loss.represent(torch.from_numpy(target), mask)
    for against in (target_there, loss.prepare(target_there)):
        value = loss.compare(loss.represent(torch.from_numpy(picture)), against)
        assert value.dtype == torch.float64
        assert value.item() == pytest.approx(np.mean(expected))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.integers(1, 6), st.integers(2, 6))
def test_it_sees_likeness_only(seed: int, factor: float, channels: int, side: int) -> None:
    features = rand(1, channels, side, side, seed=seed, dtype=torch.float64) + 0.01
    loss = SelfSimilarityLoss()
    other = rand(1, channels, side, side, seed=seed + 1, dtype=torch.float64)
    assert 0 <= loss(other, features).item() <= 2 + 1e-9
    # Lengths of features, and a rotation of all of them, change no angle between them.
    lengths = factor * (0.5 + rand(1, 1, side, side, seed=seed + 2, dtype=torch.float64))
    turn, _ = torch.linalg.qr(
        torch.randn(
            channels,
            channels,
            dtype=torch.float64,
            generator=torch.Generator().manual_seed(seed),
        )
    )
    turned = torch.einsum("ij,bjhw->bihw", turn, lengths * features)
    assert loss(turned, features).item() == pytest.approx(0, abs=1e-5)


def test_the_loss_does_not_depend_on_the_number_of_positions() -> None:
    loss = SelfSimilarityLoss()
    values = [loss(rand(1, 8, n, n), rand(1, 8, n, n, seed=1)).item() for n in (8, 16, 32)]
    assert max(values) < 1.1 * min(values)


@pytest.mark.parametrize(
    "size", [(1, 1), (32, 32), (33, 33), (200, 300), (1, 5000), (5000, 1), (3, 2000), (90, 11)]
)
def test_samples_are_many_and_spread_evenly(size: tuple[int, int]) -> None:
    height, width = size
    numbers = torch.arange(height * width, dtype=torch.float64).view(1, 1, height, width)
    taken = sample(numbers, 1024)[0, 0]
    assert taken.numel() <= 1024
    if height * width <= 1024:
        assert torch.equal(taken, numbers[0, 0])
        return
    assert taken.numel() > 500
    for places, side in ((taken[:, 0] // width, height), (taken[0] % width, width)):
        count = len(places)
        gaps = places.diff()
        assert gaps.numel() == 0 or (
            gaps.min() >= side // count and gaps.max() <= -(-side // count)
        )
        # As far from one end as from the other, to within the gap.
        assert abs(places[0].item() - (side - 1 - places[-1].item())) <= 1


def test_only_sampled_positions_are_kept_and_counted() -> None:
    loss = SelfSimilarityLoss(positions=16)
    picture, target = rand(2, 3, 9, 12), rand(1, 3, 9, 12, seed=1)
    prepared = loss.prepare(loss.represent(target))
    assert prepared.features.shape == (1, 3, 3, 5)
    assert prepared.matrix is not None
    assert prepared.matrix.shape == (1, 15, 15)
    sampled = self_similarity_distance(sample(picture, 16), sample(target, 16))
    value = loss.compare(loss.represent(picture), prepared)
    torch.testing.assert_close(value, sampled.mean())
    torch.testing.assert_close(loss(picture, target), value)


def test_a_binary_mask_is_a_crop() -> None:
    loss = SelfSimilarityLoss()
    picture, target = rand(2, 4, 5, 6), rand(1, 4, 5, 6, seed=1)
    mask = torch.zeros(1, 1, 5, 6)
    mask[..., 1:4, 2:5] = 3
    masked = loss.represent(target, mask)
    crop = (..., slice(1, 4), slice(2, 5))
    expected = loss(picture[crop], target[crop])
    for against in (masked, loss.prepare(masked)):
        torch.testing.assert_close(loss.compare(loss.represent(picture), against), expected)
        # A mask of the picture's own does not count twice.
        torch.testing.assert_close(loss.compare(loss.represent(picture, mask), against), expected)


def test_gradcheck() -> None:
    loss = SelfSimilarityLoss(positions=9)
    mask = rand(1, 1, 4, 4, seed=3).double()
    target = loss.prepare(loss.represent(rand(1, 3, 4, 4, seed=1).double(), mask))
    picture = rand(2, 3, 4, 4).double().requires_grad_()
    assert gradcheck(lambda f: loss.compare(loss.represent(f), target), (picture,))


def test_gradients_are_finite_where_features_are_zero_equal_or_the_target() -> None:
    loss = SelfSimilarityLoss()
    some = rand(1, 3, 4, 4)
    with_zeros = some.clone()
    with_zeros[..., :2] = 0
    for features, target in (
        (with_zeros, some),
        (some, with_zeros),
        (torch.zeros(1, 3, 4, 4), some),
        (torch.full((1, 3, 4, 4), 7.0), some),
        (some, torch.full((1, 3, 4, 4), 7.0)),
        (some, some),
    ):
        picture = features.clone().requires_grad_()
        value = loss(picture, target)
        (gradient,) = torch.autograd.grad(value, picture)
        assert 0 <= value.item() <= 2
        # A change of a tenth of a feature changes the loss by a bounded amount.
        assert gradient.abs().max() < 1 / FLAT_DISTANCE
    assert loss(some, some).item() == 0
    flat = torch.full((1, 3, 4, 4), 7.0)
    assert loss(flat, 2 * flat).item() == pytest.approx(0, abs=0.02)


def test_half_precision_and_autocast_give_the_float32_result() -> None:
    loss = SelfSimilarityLoss()
    picture, target = 6e4 * rand(1, 4, 6, 5), 6e4 * rand(1, 4, 6, 5, seed=1)
    expected = loss(picture.half().float(), target.half().float())
    torch.testing.assert_close(loss(picture.half(), target.half()), expected)
    assert loss.represent(picture.half()).features.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(picture, target), loss(picture, target))
        inside = loss(picture, target)
    assert torch.equal(inside, loss(picture, target))


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match="positions is 1, expected at least 2"):
        SelfSimilarityLoss(positions=1)
    loss = SelfSimilarityLoss()
    with pytest.raises(UsageError, match=r"\(2, 1, 3\), expected non-empty \(B, C, H, W\)"):
        loss(FEATURES[0], OTHER)
    with pytest.raises(UsageError, match="expected floating point"):
        loss(FEATURES.long(), OTHER)
    with pytest.raises(UsageError, match=r"target has shape \(1, 1, 1, 3\)"):
        loss(FEATURES, OTHER[:, :1])
    with pytest.raises(UsageError, match="target has shape"):  # though both are sampled alike
        loss(rand(1, 2, 63, 63), rand(1, 2, 64, 64))
    with pytest.raises(UsageError, match="target has shape"):
        loss.compare(loss.represent(FEATURES), loss.prepare(loss.represent(OTHER[..., :2])))
    mask = torch.ones(1, 1, 1, 3)
    with pytest.raises(UsageError, match="picture has a mask and the target has none"):
        loss.compare(loss.represent(FEATURES, mask), loss.represent(OTHER))
    with pytest.raises(UsageError, match="weights sum to"):
        loss.represent(OTHER, 0 * mask)
    with pytest.raises(UsageError, match=r"weight has shape \(1, 1, 1, 2\)"):
        loss.represent(OTHER, mask[..., :2])
    with pytest.raises(UsageError, match="target has NaN"):
        loss.prepare(loss.represent(torch.full_like(OTHER, float("nan"))))
    with pytest.raises(UsageError, match="cannot be taken tile by tile"):
        loss.crop(loss.represent(OTHER), slice(0, 1), slice(0, 1))
    assert loss(torch.full_like(OTHER, float("nan")), OTHER).isnan()
