"""Gaussian Wasserstein loss: by hand, against scipy's matrix root, and where roots are singular."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from styler.errors import UsageError
from styler.losses import Gaussian, Moments, WassersteinStyleLoss, mean_and_covariance
from styler.losses.functional import gaussian_wasserstein


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_scipy(picture: torch.Tensor, style: torch.Tensor, eps: float) -> float:
    """Mean(Δμ²) + mean diag(Σ₁ + Σ₂ − 2·sqrt(Σ₂^½ Σ₁ Σ₂^½)) of one sample, with matrix roots."""
    means, covariances = [], []
    for sample in (picture, style):
        rows = sample.numpy().reshape(sample.shape[0], -1)
        means.append(rows.mean(axis=1))
        covariances.append(np.cov(rows, ddof=0) + eps * np.eye(len(rows)))
    root = sqrtm(covariances[1]).real
    inner = sqrtm(root @ covariances[0] @ root).real
    spread = np.diag(covariances[0] + covariances[1] - 2 * inner).mean()
    return float(np.mean((means[0] - means[1]) ** 2) + spread)


def test_commuting_covariances_by_hand() -> None:
    # Diagonal: the distance is Σ (μ₁ − μ₂)² + (σ₁ − σ₂)² over channels, halved for two of them.
    one = Moments(torch.tensor([[0.0, 1.0]]), torch.diag(torch.tensor([4.0, 9.0]))[None])
    two = Moments(torch.tensor([[3.0, 1.0]]), torch.diag(torch.tensor([1.0, 25.0]))[None])
    distance = gaussian_wasserstein(one, two, eps=0)
    assert distance.tolist() == pytest.approx([(9 + (2 - 1) ** 2 + (3 - 5) ** 2) / 2])


@pytest.mark.parametrize("eps", [0.0, 1e-4, 0.1])
def test_against_scipy(eps: float) -> None:
    picture, style = features(2, 4, 6, 5), 2 * features(2, 4, 7, 3, seed=1) + 0.5
    loss = WassersteinStyleLoss(eps)
    expected = np.mean([by_scipy(p, s, eps) for p, s in zip(picture, style, strict=True)])
    assert loss(picture, style).item() == pytest.approx(expected, rel=1e-6)
    prepared = loss.prepare(loss.represent(style))
    assert prepared.factor is not None
    assert loss.compare(loss.represent(picture), prepared).item() == pytest.approx(expected)


def test_the_factor_is_a_root_of_the_ridged_covariance() -> None:
    loss = WassersteinStyleLoss(eps=0.5)
    target = loss.prepare(loss.represent(features(1, 3, 4, 4)))
    assert target.factor is not None
    torch.testing.assert_close(
        target.factor @ target.factor.mT, target.covariance + 0.5 * torch.eye(3)[None].double()
    )


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_pictures_are_at_distance_zero_and_rest(scale: float, dtype: torch.dtype) -> None:
    picture = (scale * features(1, 8, 6, 6, dtype=dtype)).requires_grad_()
    loss = WassersteinStyleLoss()(picture, picture.detach())
    (gradient,) = torch.autograd.grad(loss, picture)
    assert abs(loss.item()) < 1e-6 * scale**2
    assert gradient.abs().max().item() < 1e-4 * scale


@pytest.mark.parametrize("positions", [1, 2, 5])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_fewer_positions_than_channels(positions: int, scale: float) -> None:
    style = scale * features(1, 16, 1, positions, seed=1, dtype=torch.float32)
    for start in (scale * features(1, 16, 1, positions, dtype=torch.float32), style.clone()):
        picture = start.requires_grad_()
        loss = WassersteinStyleLoss()(picture, style)
        (gradient,) = torch.autograd.grad(loss, picture)
        assert loss.isfinite()
        assert gradient.isfinite().all()


def test_rank_deficient_value_against_scipy() -> None:
    picture, style = features(1, 6, 1, 3), features(1, 6, 1, 4, seed=1)
    expected = by_scipy(picture[0], style[0], 1e-2)
    assert WassersteinStyleLoss(1e-2)(picture, style).item() == pytest.approx(expected, rel=1e-6)


def test_dead_channels_and_flat_pictures() -> None:
    style = features(1, 4, 5, 5, dtype=torch.float32).relu()
    style[:, 2:] = 0
    for start in (torch.zeros(1, 4, 5, 5), torch.full((1, 4, 5, 5), 3.0)):
        picture = start.requires_grad_()
        for eps in (0.0, 1e-4):
            loss = WassersteinStyleLoss(eps)(picture, style)
            (gradient,) = torch.autograd.grad(loss, picture)
            assert loss.isfinite()
            assert gradient.isfinite().all()


def test_eigenvalues_below_rounding_get_no_gradient_from_the_root() -> None:
    # d/dσ² of σ² − 2σ is 1 − 1/σ: 0.5 at σ = 2, and −1e20 at σ = 1e-20, were that not noise.
    covariance = torch.diag(torch.tensor([4.0, 1e-40], dtype=torch.float64))[None].requires_grad_()
    mean, one = torch.zeros(1, 2).double(), torch.eye(2).double()[None]
    distance = gaussian_wasserstein(Moments(mean, covariance), Moments(mean, one), eps=0)
    (gradient,) = torch.autograd.grad(distance.sum(), covariance)
    torch.testing.assert_close(gradient[0].diagonal(), torch.tensor([0.25, 0.5]).double())


def test_no_gradient_goes_to_the_target() -> None:
    style = features(1, 3, 4, 4, seed=1).requires_grad_()
    loss = WassersteinStyleLoss()(features(1, 3, 4, 4).requires_grad_(), style)
    (gradient,) = torch.autograd.grad(loss, style, allow_unused=True)
    assert gradient is None


def test_a_picture_of_nan_gives_nan_and_spares_the_other_samples() -> None:
    picture = features(2, 3, 4, 4)
    picture[0, 0, 0, 0] = float("nan")
    distances = gaussian_wasserstein(
        mean_and_covariance(picture), mean_and_covariance(features(1, 3, 4, 4, seed=1))
    )
    assert distances[0].isnan()
    assert distances[1].isfinite()


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match=r"eps is -0\.0001, expected a finite number of 0 or more"):
        WassersteinStyleLoss(eps=-1e-4)
    loss = WassersteinStyleLoss()
    with pytest.raises(UsageError, match=r"\(1, 4\), expected \(1, 3\)"):
        loss(features(1, 3, 4, 4), features(1, 4, 4, 4))
    broken = Gaussian(torch.zeros(1, 2), torch.full((1, 2, 2), float("nan")))
    with pytest.raises(UsageError, match="target has NaN"):
        loss.prepare(broken)


def test_relative_is_over_the_mean_square_of_the_style() -> None:
    generator = torch.Generator().manual_seed(3)
    picture, style = torch.rand(2, 1, 4, 6, 6, generator=generator, dtype=torch.float64)
    plain, relative = WassersteinStyleLoss(), WassersteinStyleLoss(normalization="relative")
    expected = plain(picture, style) / style.square().mean()
    assert float(relative(picture, style)) == pytest.approx(float(expected), rel=1e-9)
    assert float(relative(torch.zeros_like(style), style)) == pytest.approx(1, rel=2e-2)
    with pytest.raises(UsageError, match="normalization"):
        WassersteinStyleLoss(normalization="absolute")
