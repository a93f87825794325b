"""Maximum mean discrepancy: by hand, against sums of kernels over all pairs, Gram matrices."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist
from torch import Tensor

from styler.errors import UsageError
from styler.losses import (
    MMD_KERNELS,
    MMD_NORMALIZATIONS,
    GaussianMmdStyleLoss,
    GramStyleLoss,
    MmdStyleLoss,
    RawMoments,
    accumulate,
    blend,
)
from styler.losses.functional import kernel_distance

# Means (2, 1) and (2, 4); products [[5, 1], [1, 2]] and [[8, 10], [10, 17]].
PICTURE = torch.tensor([[[[1.0, 3.0]], [[2.0, 0.0]]]])
STYLE = torch.tensor([[[[0.0, 4.0]], [[3.0, 5.0]]]])
# ‖Δ first‖² = 9 of 20, ‖Δ second‖² = 9 + 81 + 81 + 225 of 64 + 100 + 100 + 289.
# With "relative" c is a multiple of E tᵀt = 25.
BY_HAND = {
    ("linear", 1.0, "none"): 9.0,
    ("linear", 1.0, "relative"): 9 / 20,
    ("polynomial", 0.0, "none"): 396.0,
    ("polynomial", 0.0, "relative"): 396 / 553,
    ("polynomial", 2.0, "none"): 396 + 2 * 2 * 9.0,
    ("polynomial", 1.0, "relative"): (396 + 2 * 25 * 9) / (553 + 2 * 25 * 20),
}


def features(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def rows(tensor: Tensor) -> np.ndarray:
    """(positions, channels) of one sample."""
    return tensor.flatten(1).T.numpy()


def discrepancy(
    kernel: Callable[[np.ndarray, np.ndarray], np.ndarray],
    picture: np.ndarray,
    style: np.ndarray,
    own: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> float:
    """E k(f, f′) + E k(t, t′) − 2 E k(f, t) over all pairs."""
    v = np.full(len(picture), 1 / len(picture)) if own is None else own / own.sum()
    w = np.full(len(style), 1 / len(style)) if weight is None else weight / weight.sum()
    pairs = v @ kernel(picture, picture) @ v + w @ kernel(style, style) @ w
    return float(pairs - 2 * (v @ kernel(picture, style) @ w))


@pytest.mark.parametrize(("kernel", "constant", "normalization"), BY_HAND)
def test_loss_by_hand(kernel: str, constant: float, normalization: str) -> None:
    loss = MmdStyleLoss(kernel, constant, normalization)
    expected = pytest.approx(BY_HAND[kernel, constant, normalization])
    assert loss(PICTURE, STYLE).item() == expected
    target = loss.prepare(loss.represent(STYLE))
    assert loss.compare(loss.represent(PICTURE), target).item() == expected


def test_every_name_is_tested_by_hand() -> None:
    assert {kernel for kernel, _, _ in BY_HAND} == set(MMD_KERNELS)
    assert {name for _, _, name in BY_HAND} == set(MMD_NORMALIZATIONS)


@pytest.mark.parametrize("masked", [False, True])
def test_against_all_pairs(masked: bool) -> None:
    picture, style = features(2, 3, 4, 5), features(2, 3, 6, 2, seed=1) + 0.5
    masks = [torch.rand(1, 1, *t.shape[2:], dtype=torch.float64) for t in (picture, style)]
    kernels = {
        ("linear", 1.0): lambda a, b: a @ b.T,
        ("polynomial", 0.0): lambda a, b: (a @ b.T) ** 2,
        ("polynomial", 0.7): lambda a, b: (a @ b.T + 0.7) ** 2,
    }
    for (name, constant), kernel in kernels.items():
        loss = MmdStyleLoss(name, constant, "none")
        own, weight = (m.numpy().ravel() if masked else None for m in masks)
        expected = [
            discrepancy(kernel, rows(p), rows(s), own, weight)
            for p, s in zip(picture, style, strict=True)
        ]
        found = loss.compare(
            loss.represent(picture, masks[0] if masked else None),
            loss.represent(style, masks[1] if masked else None),
        )
        assert found.item() == pytest.approx(np.mean(expected))


def test_without_a_constant_it_is_the_gram_loss() -> None:
    picture, style = features(2, 3, 4, 5), features(2, 3, 6, 2, seed=1)
    gram = GramStyleLoss("hw", "sum")(picture, style)
    torch.testing.assert_close(MmdStyleLoss("polynomial", 0, "none")(picture, style), gram)
    relative = GramStyleLoss("relative")(picture, style)
    torch.testing.assert_close(MmdStyleLoss("polynomial", 0)(picture, style), relative)


@pytest.mark.parametrize("kernel", MMD_KERNELS)
def test_scale_does_not_matter_and_zeros_are_at_one(kernel: str) -> None:
    loss = MmdStyleLoss(kernel)
    picture, style = features(1, 3, 4, 4).float(), features(1, 3, 4, 4, seed=1).float()
    expected = loss(picture, style).item()
    for scale in (1e-2, 1e3):
        assert loss(scale * picture, scale * style).item() == pytest.approx(expected, rel=1e-4)
    assert loss(torch.zeros_like(picture), style).item() == pytest.approx(1)


@pytest.mark.parametrize("kernel", MMD_KERNELS)
def test_blends_are_of_sums(kernel: str) -> None:
    loss = MmdStyleLoss(kernel)
    one, two = features(1, 3, 4, 4), features(1, 3, 2, 2, seed=1)
    mixed = loss.finalise(blend([loss.accumulate(one), loss.accumulate(two)], [1, 3]))
    whole = loss.represent(
        torch.cat([one.flatten(2), two.flatten(2).repeat(1, 1, 12)], 2)[:, :, None]
    )
    torch.testing.assert_close(mixed, whole)


def test_sums_that_hold_more_than_is_needed_are_taken() -> None:
    sums = accumulate(STYLE, first=True, second=True)
    assert MmdStyleLoss("linear").finalise(sums).second is None
    assert MmdStyleLoss().finalise(sums).second is not None


def gaussian(sigma: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.exp(-(cdist(a, b) ** 2) / (2 * sigma**2))


@pytest.mark.parametrize("masked", [False, True])
def test_gaussian_against_all_pairs(masked: bool) -> None:
    picture, style = features(2, 3, 10, 12), features(2, 3, 9, 11, seed=1) * 2 + 0.5
    loss = GaussianMmdStyleLoss(frequencies=20000)
    weight = torch.rand(1, 1, 10, 12, dtype=torch.float64) if masked else None
    expected = []
    for sample, reference in zip(picture, style, strict=True):
        # The mean over all pairs, those of a position with itself among them.
        count = len(rows(reference))
        sigma = np.sqrt(2 * (pdist(rows(reference)) ** 2).sum() / count**2)
        own = None if weight is None else weight.numpy().ravel()
        expected.append(
            discrepancy(lambda a, b, s=sigma: gaussian(s, a, b), rows(sample), rows(reference), own)
        )
    found = loss.compare(loss.represent(picture, weight), loss.prepare(loss.represent(style)))
    assert found.item() == pytest.approx(np.mean(expected), rel=0.03)


def test_gaussian_by_hand_with_its_own_frequencies() -> None:
    loss = GaussianMmdStyleLoss(frequencies=5, seed=3)
    picture, style = torch.tensor([[[[0.5]]]]).double(), torch.tensor([[[[0.0, 2.0]]]]).double()
    target = loss.prepare(loss.represent(style))
    assert target.axes is not None
    assert target.scale is not None
    assert target.scale.item() == pytest.approx(2**0.5)  # twice the variance, which is 1
    angles = target.axes[:, 0].numpy() / 2**0.5
    of_style = (np.exp(0j * angles) + np.exp(2j * angles)) / 2
    expected = np.mean(np.abs(np.exp(0.5j * angles) - of_style) ** 2)
    assert loss.compare(loss.represent(picture), target).item() == pytest.approx(expected)


def test_gaussian_depends_on_neither_scale_nor_place() -> None:
    loss = GaussianMmdStyleLoss()
    picture, style = features(1, 3, 6, 6), features(1, 3, 5, 5, seed=1)
    expected = loss(picture, style)
    torch.testing.assert_close(loss(100 * picture, 100 * style), expected)
    torch.testing.assert_close(loss(picture + 5, style + 5), expected)
    assert not torch.allclose(GaussianMmdStyleLoss(seed=1)(picture, style), expected, rtol=1e-6)


def test_gaussian_sees_what_moments_do_not() -> None:
    # Mean 0 and variance 1, both: two points, and a line.
    two = torch.tensor([-1.0, 1.0]).double().repeat(50).view(1, 1, 10, 10)
    line = torch.linspace(-1, 1, 100, dtype=torch.float64).view(1, 1, 10, 10)
    line = line / line.square().mean().sqrt()
    assert MmdStyleLoss()(two, line).item() == pytest.approx(0, abs=1e-12)
    assert GaussianMmdStyleLoss()(two, line).item() > 1e-4


def test_a_flat_target_is_at_most_two_away() -> None:
    loss = GaussianMmdStyleLoss()
    value = loss(features(1, 3, 5, 5), torch.ones(1, 3, 4, 4).double()).item()
    assert 0.5 < value <= 2


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match="'cubic', expected one of linear, polynomial"):
        MmdStyleLoss("cubic")
    with pytest.raises(UsageError, match="normalization is 'hw'"):
        MmdStyleLoss(normalization="hw")
    with pytest.raises(UsageError, match="constant is -1"):
        MmdStyleLoss(constant=-1)
    with pytest.raises(UsageError, match="eps is nan"):
        MmdStyleLoss(eps=float("nan"))
    with pytest.raises(UsageError, match="frequencies is 0"):
        GaussianMmdStyleLoss(0)
    first = accumulate(STYLE, first=True, second=False)
    with pytest.raises(UsageError, match="lack a moment that the polynomial kernel needs"):
        MmdStyleLoss().finalise(first)
    with pytest.raises(UsageError, match="lack a moment that the linear kernel needs"):
        MmdStyleLoss("linear").finalise(accumulate(STYLE, first=False, second=True))
    alone = RawMoments(torch.ones(1, 2))
    with pytest.raises(UsageError, match="only one of picture and target has second moments"):
        kernel_distance(alone, RawMoments(torch.ones(1, 2), torch.ones(1, 2, 2)))
    with pytest.raises(UsageError, match="'abs', expected one of none, relative"):
        kernel_distance(alone, alone, normalization="abs")
    with pytest.raises(UsageError, match=r"\(1, 3\), expected \(1, 2\)"):
        kernel_distance(alone, RawMoments(torch.ones(1, 3)))
