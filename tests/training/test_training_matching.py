import pytest
import torch

from styler.losses.moments import Moments, mean_and_covariance, moments_distance
from styler.training.matching import tap_losses, unexplained


def test_a_rotated_copy_of_the_teacher_has_no_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.rand(2, 5, 8, 8, generator=generator)
    head, _ = torch.linalg.qr(torch.randn(9, 5, generator=generator))
    teacher = 3.0 * torch.einsum("tc,bchw->bthw", head, student)
    losses = tap_losses(student, teacher, head, torch.tensor(3.0))
    for loss in (losses.residual, losses.moments, losses.skew):
        assert float(loss) == pytest.approx(0, abs=1e-5)


def test_moments_through_a_head_are_those_of_the_mapped_features() -> None:
    generator = torch.Generator().manual_seed(1)
    student = torch.rand(3, 4, 8, 8, generator=generator)
    teacher = torch.rand(3, 6, 8, 8, generator=generator)
    head = torch.randn(6, 4, generator=generator)
    seen = mean_and_covariance(student)
    mapped = Moments(seen.mean @ head.T, head @ seen.covariance @ head.T)
    expected = moments_distance(mapped, mean_and_covariance(teacher)).mean()
    losses = tap_losses(student, teacher, head, torch.tensor(1.0))
    assert float(losses.moments) == pytest.approx(float(expected), rel=1e-4)


def test_skew_is_the_heads_deviation_from_orthonormal() -> None:
    features = torch.rand(1, 2, 4, 4)
    losses = tap_losses(features, features, torch.diag(torch.tensor([1.0, 2.0])), torch.tensor(1.0))
    assert float(losses.skew) == pytest.approx((0 + 9) / 2)


def test_unexplained_is_zero_for_any_linear_map_and_one_for_noise() -> None:
    generator = torch.Generator().manual_seed(2)
    student = torch.rand(4, 3, 16, 16, generator=generator)
    mixed = torch.einsum("tc,bchw->bthw", torch.randn(7, 3, generator=generator), student) + 2
    assert unexplained(student, mixed) == pytest.approx(0, abs=1e-6)
    noise = torch.randn(4, 7, 16, 16, generator=generator)
    assert unexplained(student, noise) == pytest.approx(1, abs=0.02)
