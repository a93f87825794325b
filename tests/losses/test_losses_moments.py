"""Mean and covariance: by hand, against numpy, flat targets."""

import numpy as np
import pytest
import torch

from styler.errors import UsageError
from styler.losses import Moments, MomentStyleLoss, accumulate, map_tensors, mean_and_covariance
from styler.losses.functional import moments_distance, moments_from_sums

# Two channels at two positions: mean (2, 1) and covariance [[1, −1], [−1, 1]].
PICTURE = torch.tensor([[[[1.0, 3.0]], [[2.0, 0.0]]]])
# Mean (2, 4) and covariance [[4, 2], [2, 1]].
STYLE = torch.tensor([[[[0.0, 4.0]], [[3.0, 5.0]]]])
# ‖μ − μₜ‖² = 9 of ‖μₜ‖² = 20; ‖Σ − Σₜ‖² = 9 + 9 + 9 + 0 of ‖Σₜ‖² = 16 + 4 + 4 + 1.
BY_HAND = 9 / 20 + 27 / 25


def test_moments_by_hand() -> None:
    mean, covariance = mean_and_covariance(STYLE)
    assert mean.tolist() == [[2, 4]]
    assert covariance.tolist() == [[[4, 2], [2, 1]]]
    weighted = mean_and_covariance(STYLE, torch.tensor([[[[1.0, 3.0]]]]))
    assert weighted.mean.tolist() == [[3, 4.5]]  # (0 + 3·4)/4 and (3 + 3·5)/4
    # Deviations (−3, −1.5) and (1, .5): (9 + 3·1)/4, (4.5 + 3·.5)/4, (2.25 + 3·.25)/4.
    assert weighted.covariance.tolist() == [[[3, 1.5], [1.5, 0.75]]]


def test_loss_by_hand() -> None:
    loss = MomentStyleLoss()
    assert loss(PICTURE, STYLE).item() == pytest.approx(BY_HAND)
    target = loss.prepare(loss.represent(STYLE))
    assert loss.compare(loss.represent(PICTURE), target).item() == pytest.approx(BY_HAND)


def test_moments_against_numpy() -> None:
    features = np.random.default_rng(3).normal(1, 2, size=(2, 4, 5, 6))
    weight = np.random.default_rng(4).uniform(size=(2, 1, 5, 6))
    for aweights in (None, weight):
        tensor = None if aweights is None else torch.from_numpy(aweights)
        mean, covariance = mean_and_covariance(torch.from_numpy(features), tensor)
        for i in range(2):
            rows = features[i].reshape(4, -1)
            w = None if aweights is None else aweights[i].ravel()
            np.testing.assert_allclose(mean[i], np.average(rows, axis=1, weights=w))
            np.testing.assert_allclose(covariance[i], np.cov(rows, ddof=0, aweights=w), atol=1e-12)


def test_error_of_the_subtraction_is_as_documented() -> None:
    features = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for offset in (1.0, 30.0, 1000.0):
        shifted = (features + offset).double()
        single = mean_and_covariance(shifted.float()).covariance.double()
        error = (single - mean_and_covariance(shifted.float().double()).covariance).abs().max()
        assert error.item() < 5e-7 * (1 + offset**2)


def test_scale_does_not_matter() -> None:
    loss = MomentStyleLoss()
    for scale in (1e-2, 1.0, 1e4):
        assert loss(scale * PICTURE, scale * STYLE).item() == pytest.approx(BY_HAND, rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 1e-3, 0.7, 300.0])
def test_flat_target_is_finite_and_does_not_drown_the_rest(value: float) -> None:
    picture = (PICTURE * max(value, 1e-3)).requires_grad_()
    loss = MomentStyleLoss()(picture, torch.full((1, 2, 8, 8), value))
    (gradient,) = torch.autograd.grad(loss, picture)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    if value >= 0.7:
        # The picture's ‖Σ‖ is 2 v², the target's ‖μ‖² is 2 v²: (2 / (1e-3·2))² and the mean's part.
        assert loss.item() == pytest.approx(1e6, rel=0.01)


def test_statistics_move_as_a_whole() -> None:
    moments = mean_and_covariance(PICTURE.clone().requires_grad_())
    detached = map_tensors(torch.Tensor.detach, moments)
    assert isinstance(detached, Moments)
    assert not detached.mean.requires_grad
    assert not detached.covariance.requires_grad


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match="eps is nan"):
        MomentStyleLoss(eps=float("nan"))
    with pytest.raises(UsageError, match="lack the first or second moment"):
        moments_from_sums(accumulate(PICTURE, first=False, second=True))
    with pytest.raises(UsageError, match=r"\(1, 3\), expected \(1, 2\)"):
        moments_distance(mean_and_covariance(PICTURE), mean_and_covariance(torch.ones(1, 3, 2, 2)))
