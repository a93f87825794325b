"""Content loss: each formula by hand, masks, tiles."""

import numpy as np
import pytest
import torch

from styler.errors import UsageError
from styler.losses import CONTENT_NORMALIZATIONS, ContentLoss
from styler.losses.functional import content_distance, content_divisor

PICTURE = torch.tensor([[[[1.0, 2.0]], [[0.0, 5.0]]]])
TARGET = torch.tensor([[[[0.0, 4.0]], [[0.0, 4.0]]]])  # mean 2, variance 4
# Differences 1, −2, 0, 1 with squares that add up to 6.
BY_HAND = {"mse": 6 / 4, "gatys": 3.0, "variance": 6 / 4 / 4, "relative": 6 / 32}
# A weight of 1 and 3: Σ w Δ² = 1 + 3·5 = 16 and Σ w = 4 per channel; weighted mean of the target
# 3 and variance (9 + 3·1)/4 = 3; Σ w t² = 3·16 per channel.
WEIGHT = torch.tensor([[[[1.0, 3.0]]]])
BY_HAND_WEIGHTED = {"mse": 16 / 8, "gatys": 8.0, "variance": 16 / 8 / 3, "relative": 16 / 96}


def test_every_normalization_is_tested_by_hand() -> None:
    assert set(BY_HAND) == set(BY_HAND_WEIGHTED) == set(CONTENT_NORMALIZATIONS)


@pytest.mark.parametrize("normalization", CONTENT_NORMALIZATIONS)
@pytest.mark.parametrize("prepared", [False, True])
def test_loss_by_hand(normalization: str, prepared: bool) -> None:
    loss = ContentLoss(normalization)
    for weight, expected in ((None, BY_HAND), (WEIGHT, BY_HAND_WEIGHTED)):
        target = loss.represent(TARGET, weight)
        if prepared:
            target = loss.prepare(target)
        value = loss.compare(loss.represent(PICTURE), target)
        assert value.item() == pytest.approx(expected[normalization])
        distance = content_distance(PICTURE, TARGET, normalization, weight)
        assert distance.tolist() == pytest.approx([expected[normalization]])


def test_variance_against_numpy() -> None:
    generator = np.random.default_rng(2)
    picture, target = generator.normal(2, 3, size=(2, 2, 3, 4, 5))
    expected = np.mean(
        [np.mean((p - t) ** 2) / t.var() for p, t in zip(picture, target, strict=True)]
    )
    actual = ContentLoss("variance")(torch.from_numpy(picture), torch.from_numpy(target))
    assert actual.dtype == torch.float64
    assert actual.item() == pytest.approx(expected)


@pytest.mark.parametrize("normalization", CONTENT_NORMALIZATIONS)
def test_a_binary_mask_is_a_crop(normalization: str) -> None:
    loss = ContentLoss(normalization)
    picture, target = torch.rand(2, 3, 5, 6), torch.rand(1, 3, 5, 6)
    mask = torch.zeros(1, 1, 5, 6)
    mask[..., 1:4, 2:5] = 1
    masked = loss.compare(loss.represent(picture), loss.represent(target, mask))
    crop = (..., slice(1, 4), slice(2, 5))
    torch.testing.assert_close(masked, loss(picture[crop], target[crop]))


@pytest.mark.parametrize("normalization", CONTENT_NORMALIZATIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_tiles_of_a_prepared_target_add_up(normalization: str, masked: bool) -> None:
    loss = ContentLoss(normalization)
    picture, features = torch.rand(2, 3, 5, 6), torch.rand(2, 3, 5, 6)
    mask = torch.rand(1, 1, 5, 6) if masked else None
    target = loss.prepare(loss.represent(features, mask))
    whole = loss.compare(loss.represent(picture), target)
    total = torch.zeros(())
    for rows in (slice(0, 2), slice(2, 5)):
        for columns in (slice(0, 5), slice(5, 6)):
            tile = loss.represent(picture[..., rows, columns])
            total += loss.compare(tile, target.crop(rows, columns))
    torch.testing.assert_close(total, whole)


def test_variance_does_not_depend_on_scale() -> None:
    loss = ContentLoss("variance")
    for scale in (1e-3, 1.0, 1e4):
        assert loss(scale * PICTURE, scale * TARGET).item() == pytest.approx(6 / 16, rel=1e-5)


def test_zeros_are_as_far_off_as_the_target_itself() -> None:
    target = torch.rand(3, 4, 5, 6) + 2
    loss = ContentLoss("relative")
    assert loss(torch.zeros_like(target), target).item() == pytest.approx(1)
    assert loss(3 * target, target).item() == pytest.approx(4)


@pytest.mark.parametrize(
    ("normalization", "value"), [("variance", 0.0), ("variance", 7.0), ("relative", 0.0)]
)
def test_targets_that_give_no_measure_are_finite(normalization: str, value: float) -> None:
    picture = PICTURE.clone().requires_grad_()
    loss = ContentLoss(normalization)(picture, torch.full_like(TARGET, value))
    (gradient,) = torch.autograd.grad(loss, picture)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_a_target_keeps_the_precision_of_its_features() -> None:
    loss = ContentLoss()
    target = loss.prepare(loss.represent(TARGET.bfloat16().requires_grad_()))
    assert target.features.dtype == torch.bfloat16
    assert not target.features.requires_grad


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match="'l2', expected one of mse, gatys, variance, relative"):
        ContentLoss("l2")
    with pytest.raises(UsageError, match=r"eps is -0\.1"):
        ContentLoss(eps=-0.1)
    loss = ContentLoss()
    with pytest.raises(UsageError, match=r"\(1, 2, 1, 3\), expected \(1, 2, 1, 2\)"):
        loss(PICTURE, torch.rand(1, 2, 1, 3))
    with pytest.raises(UsageError, match="weights sum to"):
        loss.prepare(loss.represent(TARGET, torch.zeros(1, 1, 1, 2)))
    with pytest.raises(UsageError, match="weights sum to"):
        content_divisor(TARGET, "gatys", torch.zeros(1, 1, 1, 2))
    with pytest.raises(UsageError, match="picture has a mask and the target has none"):
        loss.compare(loss.represent(PICTURE, WEIGHT), loss.represent(TARGET))
    with pytest.raises(UsageError, match=r"weight has shape \(1, 1, 3, 3\)"):
        loss.represent(TARGET, torch.ones(1, 1, 3, 3))
    with pytest.raises(UsageError, match="target has NaN"):
        loss.prepare(loss.represent(torch.full_like(TARGET, float("nan"))))
