"""Gram style loss: each formula by hand and against plain numpy."""

import numpy as np
import pytest
import torch

from styler.errors import UsageError
from styler.losses import GRAM_NORMALIZATIONS, GramStyleLoss, accumulate, gram_matrix
from styler.losses.functional import gram_distance, gram_from_sums

# Two channels at three positions.
PICTURE = torch.tensor([[[[1.0, 2.0, 0.0]], [[0.0, 1.0, 3.0]]]])
STYLE = torch.tensor([[[[1.0, 1.0, 1.0]], [[2.0, 0.0, 1.0]]]])
# F Fᵀ is [[5, 2], [2, 10]] for the picture and [[3, 3], [3, 5]] for the style, so their difference
# is [[2, -1], [-1, 5]], with squares 4 + 1 + 1 + 25 = 31; those of the style's add up to 52.
BY_HAND = {
    ("none", "mean"): 31 / 4,
    ("none", "sum"): 31.0,
    ("hw", "mean"): 31 / 9 / 4,
    ("hw", "sum"): 31 / 9,
    ("chw", "mean"): 31 / 36 / 4,
    ("chw", "sum"): 31 / 36,
    ("gatys", "mean"): 31 / (4 * 2**2 * 3**2),
    ("relative", "mean"): 31 / 52,
}


@pytest.mark.parametrize(("normalization", "reduction"), BY_HAND)
def test_loss_by_hand(normalization: str, reduction: str) -> None:
    loss = GramStyleLoss(normalization, reduction)(PICTURE, STYLE)
    assert loss.item() == pytest.approx(BY_HAND[normalization, reduction])


def test_every_normalization_is_tested_by_hand() -> None:
    assert {name for name, _ in BY_HAND} == set(GRAM_NORMALIZATIONS)


@pytest.mark.parametrize("normalization", GRAM_NORMALIZATIONS)
def test_matrix_against_numpy(normalization: str) -> None:
    features = np.random.default_rng(1).normal(size=(2, 4, 5, 3)).astype(np.float32)
    divisor = {"none": 1, "chw": 4 * 15}.get(normalization, 15)
    expected = np.einsum("bchw,bdhw->bcd", features, features) / divisor
    actual = gram_matrix(torch.from_numpy(features), normalization)
    assert actual.shape == (2, 4, 4)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_picture_and_style_may_differ_in_size() -> None:
    tiled = STYLE.repeat(1, 1, 2, 4)
    assert GramStyleLoss("hw")(tiled, STYLE).item() == pytest.approx(0, abs=1e-12)
    assert GramStyleLoss("none")(tiled, STYLE).item() > 1


def test_relative_does_not_depend_on_scale() -> None:
    loss = GramStyleLoss("relative")
    for scale in (1e-3, 1.0, 1e4):
        assert loss(scale * PICTURE, scale * STYLE).item() == pytest.approx(31 / 52, rel=1e-5)


@pytest.mark.parametrize("normalization", GRAM_NORMALIZATIONS)
def test_zero_target_is_finite(normalization: str) -> None:
    picture = PICTURE.clone().requires_grad_()
    loss = GramStyleLoss(normalization)(picture, torch.zeros_like(STYLE))
    loss.backward()
    assert picture.grad is not None
    assert loss.isfinite()
    assert picture.grad.isfinite().all()


def test_sums_of_parts_make_the_matrix_of_the_whole() -> None:
    loss = GramStyleLoss("hw")
    whole = loss.represent(STYLE)
    halves = [loss.accumulate(part) for part in (STYLE[..., :1], STYLE[..., 1:])]
    torch.testing.assert_close(loss.finalise(halves[0] + halves[1]), whole)


def test_names_and_numbers_are_checked() -> None:
    with pytest.raises(UsageError, match="'hww', expected one of none, hw") as caught:
        GramStyleLoss("hww")
    assert caught.value.hint is not None
    assert "hw" in caught.value.hint
    with pytest.raises(UsageError, match="reduction is 'max'"):
        GramStyleLoss(reduction="max")
    with pytest.raises(UsageError, match="eps is -1"):
        GramStyleLoss(eps=-1)
    for normalization in ("gatys", "relative"):
        with pytest.raises(UsageError, match="expected 'mean'"):
            GramStyleLoss(normalization, "sum")
    with pytest.raises(UsageError, match="normalization"):
        gram_matrix(PICTURE, "frobenius")
    with pytest.raises(UsageError, match="no second moment"):
        gram_from_sums(accumulate(PICTURE, first=True, second=False))
    with pytest.raises(UsageError, match=r"\(1, 3, 3\), expected \(1, 2, 2\)"):
        gram_distance(torch.ones(1, 2, 2), torch.ones(1, 3, 3))
