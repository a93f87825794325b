"""Total variation: each norm by hand, and the gradient that jcjohnson/neural-style adds."""

import pytest
import torch
from torch.autograd import gradcheck

from styler.errors import UsageError
from styler.losses import VARIATION_NORMS, TotalVariationLoss
from styler.losses.functional import total_variation

# Down: 2, −2, 5 (3−1, 0−2, 9−4). Right: 1, 2 in the first row and −3, 9 in the second.
IMAGE = torch.tensor([[[[1.0, 2.0, 4.0], [3.0, 0.0, 9.0]]]])
BY_HAND = {
    "l1": 2 + 2 + 5 + 1 + 2 + 3 + 9,
    "l2": 4 + 4 + 25 + 1 + 4 + 9 + 81,
    "half-l2": (4 + 4 + 1 + 4) / 2,  # neither the last column down nor the last row right
    "lp": sum(d**1.5 for d in (2, 2, 5, 1, 2, 3, 9)),
}
# With the borders joined, every step down is followed by one back up, and the rows end in 1−4 = −3
# and 3−9 = −6.
WRAPPED = {
    "l1": BY_HAND["l1"] + 9 + 3 + 6,
    "l2": BY_HAND["l2"] + 33 + 9 + 36,
    "half-l2": (66 + 5 + 9 + 90 + 36) / 2,
    "lp": BY_HAND["lp"] + sum(d**1.5 for d in (2, 2, 5, 3, 6)),
}


def test_every_norm_is_tested_by_hand() -> None:
    assert set(BY_HAND) == set(WRAPPED) == set(VARIATION_NORMS)


@pytest.mark.parametrize("norm", VARIATION_NORMS)
def test_by_hand(norm: str) -> None:
    assert TotalVariationLoss(norm, "sum")(IMAGE).item() == pytest.approx(BY_HAND[norm])
    mean = TotalVariationLoss(norm, "mean")(IMAGE).item()
    assert mean == pytest.approx(BY_HAND[norm] / 6)
    wrapped = TotalVariationLoss(norm, "sum", wrap=True)(IMAGE).item()
    assert wrapped == pytest.approx(WRAPPED[norm])


@pytest.mark.parametrize(("power", "norm"), [(1.0, "l1"), (2.0, "l2")])
def test_lp_is_l1_and_l2_at_their_powers(power: float, norm: str) -> None:
    images = torch.randn(2, 3, 5, 4)
    expected = total_variation(images, norm)
    torch.testing.assert_close(total_variation(images, "lp", power=power), expected)


@pytest.mark.parametrize("norm", VARIATION_NORMS)
@pytest.mark.parametrize("power", [1.0, 1.5, 3.0])
def test_a_wrapped_picture_is_that_of_its_tiling(norm: str, power: float) -> None:
    # One period of the tiled picture has each of the pairs once, wherever it is cut.
    image = torch.rand(1, 3, 5, 4)
    tiled = torch.cat([image, image[:, :, :1]], dim=2)
    tiled = torch.cat([tiled, tiled[..., :1]], dim=3)
    down, right = tiled.diff(dim=2)[..., :-1].abs(), tiled.diff(dim=3)[..., :-1, :].abs()
    exponent = {"l1": 1.0, "lp": power}.get(norm, 2.0)
    expected = (down**exponent).sum() + (right**exponent).sum()
    expected = expected / 2 if norm == "half-l2" else expected
    loss = TotalVariationLoss(norm, "sum", power, wrap=True)
    torch.testing.assert_close(loss(image), expected)
    torch.testing.assert_close(loss(image.roll((2, 3), (2, 3))), expected)


def test_mean_pads_by_repetition() -> None:
    # The crowson recipe: repeat the last row and column, then average the squares.
    image = torch.rand(1, 3, 5, 4)
    padded = torch.nn.functional.pad(image, (0, 1, 0, 1), "replicate")
    right = padded[..., :-1, 1:] - padded[..., :-1, :-1]
    down = padded[..., 1:, :-1] - padded[..., :-1, :-1]
    expected = (right**2 + down**2).mean()
    torch.testing.assert_close(TotalVariationLoss("l2", "mean")(image), expected)


def test_half_l2_has_the_gradient_of_neural_style() -> None:
    # Its backward pass spreads x_diff + y_diff of the upper left (H−1) × (W−1) positions.
    image = torch.rand(1, 3, 5, 4, requires_grad=True)
    TotalVariationLoss("half-l2", "sum")(image).backward()
    with torch.no_grad():
        right = image[..., :-1, :-1] - image[..., :-1, 1:]
        down = image[..., :-1, :-1] - image[..., 1:, :-1]
        expected = torch.zeros_like(image)
        expected[..., :-1, :-1] += right + down
        expected[..., :-1, 1:] -= right
        expected[..., 1:, :-1] -= down
    torch.testing.assert_close(image.grad, expected)


@pytest.mark.parametrize("norm", VARIATION_NORMS)
@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 3, 1, 4), (1, 3, 4, 1), (1, 1, 1, 1)])
def test_flat_images_have_no_variation_and_no_gradient(
    norm: str, shape: tuple[int, int, int, int]
) -> None:
    for power in (1.0, 1.5, 8.0):
        for wrap in (False, True):
            image = torch.full(shape, 0.5, requires_grad=True)
            loss = TotalVariationLoss(norm, power=power, wrap=wrap)(image)
            loss.backward()
            assert loss.item() == 0
            assert image.grad is not None
            assert (image.grad == 0).all()


@pytest.mark.parametrize("norm", VARIATION_NORMS)
def test_gradcheck(norm: str) -> None:
    image = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    for wrap in (False, True):
        assert gradcheck(TotalVariationLoss(norm, power=2.5, wrap=wrap), (image,))


def test_batch_and_precision() -> None:
    images = torch.rand(3, 3, 5, 6)
    values = total_variation(images)
    assert values.shape == (3,)
    torch.testing.assert_close(values[1:2], total_variation(images[1:2]))
    torch.testing.assert_close(TotalVariationLoss("l2", "sum")(images), values.mean())
    torch.testing.assert_close(TotalVariationLoss("l2", "mean")(images), values.mean() / 90)
    large = (images * 6e4).half()
    torch.testing.assert_close(total_variation(large), total_variation(large.float()))
    assert total_variation(images.double()).dtype == torch.float64


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match="norm is 'l3', expected one of l1, l2, half-l2, lp"):
        TotalVariationLoss("l3")
    with pytest.raises(UsageError, match="reduction is 'none'"):
        TotalVariationLoss(reduction="none")
    for power in (0.9, 8.5, float("nan")):
        with pytest.raises(UsageError, match=f"power is {power}, expected 1 to 8"):
            TotalVariationLoss("lp", power=power)
        with pytest.raises(UsageError, match=f"power is {power}, expected 1 to 8"):
            total_variation(IMAGE, "lp", power=power)
    with pytest.raises(UsageError, match=r"\(3, 4, 4\)"):
        TotalVariationLoss()(torch.rand(3, 4, 4))
    with pytest.raises(UsageError, match="uint8, expected floating point"):
        TotalVariationLoss()(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
