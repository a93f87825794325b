"""Laplacian loss: by hand, against SciPy, what it does not see, masks, small pictures."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.autograd import gradcheck

from styler.errors import UsageError
from styler.losses import LAPLACIAN_NORMALIZATIONS, LaplacianLoss
from styler.losses.functional import laplacian
from styler.losses.laplacian import FLAT_EDGES


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_scipy(image: np.ndarray, pool: int) -> np.ndarray:
    """The Laplacian of one picture (C, H, W) after pooling, summed over channels."""
    _, height, width = (side // pool for side in image.shape)
    cut = image[:, : height * pool, : width * pool]
    pooled = cut.reshape(-1, height, pool, width, pool).mean((2, 4))
    edges: np.ndarray = sum(-ndimage.laplace(channel) for channel in pooled)
    return edges[1:-1, 1:-1]


@pytest.mark.parametrize("pool", [1, 2, 3])
def test_maps_against_scipy(pool: int) -> None:
    images = np.random.default_rng(1).uniform(size=(2, 3, 10, 13))
    maps = LaplacianLoss((pool,)).represent(torch.from_numpy(images)).maps
    for image, actual in zip(images, maps, strict=True):
        expected = by_scipy(image, pool)
        np.testing.assert_allclose(actual[0].numpy(), expected / expected.size**0.5)


@pytest.mark.parametrize("prepared", [False, True])
def test_loss_by_hand(prepared: bool) -> None:
    # One channel of 3 × 4: two positions, whose Laplacians are 4·5 − 9 = 11 and 4·1 − 5 = −1; the
    # target's are 4·1 = 4 and −1.
    picture = torch.tensor([[[[0.0, 1.0, 0.0, 7.0], [2.0, 5.0, 1.0, 0.0], [9.0, 5.0, 0.0, 7.0]]]])
    target = torch.tensor([[[[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]])
    assert laplacian(picture).tolist() == [[[[11.0, -1.0]]]]
    expected = {"mse": (7**2 + 0**2) / 2, "relative": 49 / (4**2 + 1)}
    assert set(expected) == set(LAPLACIAN_NORMALIZATIONS)
    weight = torch.zeros(1, 1, 3, 4)
    weight[0, 0, 1, 1:3] = torch.tensor([1.0, 3.0])
    weighted = {"mse": 49 / 4, "relative": 49 / (16 + 3)}
    for normalization in LAPLACIAN_NORMALIZATIONS:
        loss = LaplacianLoss((1,), normalization)
        for mask, wanted in ((None, expected), (weight, weighted)):
            kept = loss.represent(target, mask)
            if prepared:
                kept = loss.prepare(kept)
            value = loss.compare(loss.represent(picture), kept)
            assert value.item() == pytest.approx(wanted[normalization])


@pytest.mark.parametrize("normalization", LAPLACIAN_NORMALIZATIONS)
def test_loss_against_scipy(normalization: str) -> None:
    picture, target = np.random.default_rng(2).uniform(size=(2, 2, 3, 18, 14))
    expected = []
    for pool in (1, 2, 4):
        for p, t in zip(picture, target, strict=True):
            own, goal = by_scipy(p, pool), by_scipy(t, pool)
            divisor = (goal**2).mean() if normalization == "relative" else 1
            expected.append(((own - goal) ** 2).mean() / divisor)
    loss = LaplacianLoss((4, 1, 2), normalization)
    value = loss(torch.from_numpy(picture), torch.from_numpy(target))
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(np.mean(expected))


def test_it_does_not_see_brightness_slopes_or_what_cancels_between_channels() -> None:
    loss = LaplacianLoss((1, 2))
    picture = rand(1, 3, 12, 16)
    slope = 0.3 + torch.linspace(0, 1, 16) - 0.2 * torch.linspace(0, 1, 12).view(-1, 1)
    assert loss(picture + slope, picture).item() == pytest.approx(0, abs=1e-10)
    tint = rand(1, 1, 12, 16, seed=1)
    opposite = torch.cat([tint, -tint, 0 * tint], dim=1)
    assert loss(picture + opposite, picture).item() == pytest.approx(0, abs=1e-10)
    assert loss(rand(1, 3, 12, 16, seed=2), picture).item() > 0.5


def test_relative_does_not_depend_on_contrast_or_size() -> None:
    loss = LaplacianLoss((4,))
    picture, target = rand(1, 3, 64, 64), rand(1, 3, 64, 64, seed=1)
    value = loss(picture, target).item()
    assert loss(255 * picture, 255 * target).item() == pytest.approx(value, rel=1e-4)
    assert loss(0 * picture, target).item() == pytest.approx(1)
    # Two noises are as far apart as their squares together, whatever their size.
    for batch, side in ((32, 32), (2, 256)):
        noises = rand(batch, 3, side, side), rand(batch, 3, side, side, seed=1)
        assert loss(*noises).item() == pytest.approx(2, rel=0.15)


def test_flat_targets_are_finite() -> None:
    loss = LaplacianLoss((2,))
    picture = rand(1, 3, 8, 8).requires_grad_()
    value = loss(picture, torch.full((1, 3, 8, 8), 0.5))
    (gradient,) = torch.autograd.grad(value, picture)
    assert 0 < value.item() <= 64 * 9 / FLAT_EDGES
    assert gradient.isfinite().all()


@pytest.mark.parametrize("normalization", LAPLACIAN_NORMALIZATIONS)
def test_a_binary_mask_is_a_crop(normalization: str) -> None:
    loss = LaplacianLoss((2,), normalization)
    picture, target = rand(2, 3, 16, 20), rand(1, 3, 16, 20, seed=1)
    mask = torch.zeros(1, 1, 16, 20)
    mask[..., 4:10, 6:16] = 0.5
    # Positions inside the mask see one pooled pixel around it, too.
    crop = (..., slice(2, 12), slice(4, 18))
    masked = loss.represent(target, mask)
    for against in (masked, loss.prepare(masked)):
        value = loss.compare(loss.represent(picture), against)
        torch.testing.assert_close(value, loss(picture[crop], target[crop]))


def test_pools_that_do_not_fit_are_left_out() -> None:
    picture, target = rand(1, 3, 40, 47), rand(1, 3, 40, 47, seed=1)
    torch.testing.assert_close(
        LaplacianLoss((4, 16))(picture, target), LaplacianLoss((4,))(picture, target)
    )
    assert LaplacianLoss((4, 16)).represent(rand(1, 3, 48, 48)).maps.shape == (1, 2, 10, 10)
    with pytest.raises(UsageError, match=r"of 11×40 is too small for pools of 4, 16.* 12 pixels"):
        LaplacianLoss((4, 16)).represent(rand(1, 3, 11, 40))


@pytest.mark.parametrize("normalization", LAPLACIAN_NORMALIZATIONS)
def test_gradcheck(normalization: str) -> None:
    loss = LaplacianLoss((1, 2), normalization)
    mask = rand(1, 1, 6, 7, seed=3).double()
    target = loss.prepare(loss.represent(rand(1, 2, 6, 7, seed=1).double(), mask))
    picture = rand(2, 2, 6, 7).double().requires_grad_()
    assert gradcheck(lambda f: loss.compare(loss.represent(f), target), (picture,))


def test_batch_and_precision() -> None:
    loss = LaplacianLoss((1, 2))
    picture, target = rand(3, 3, 8, 8), rand(3, 3, 8, 8, seed=1)
    alone = [loss(picture[i : i + 1], target[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss(picture, target), torch.stack(alone).mean())
    torch.testing.assert_close(
        loss(picture, target[:1]), loss(picture, target[:1].expand(3, -1, -1, -1))
    )
    large = (6e4 * picture).half()
    torch.testing.assert_close(
        loss(large, target.half()), loss(large.float(), target.half().float())
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(picture, target)
    assert torch.equal(inside, loss(picture, target))


def test_what_is_wrong_is_said() -> None:
    for pools in ((), (4, 0), (2.5,)):
        with pytest.raises(UsageError, match="expected whole numbers of 1 or more"):
            LaplacianLoss(pools)
    with pytest.raises(UsageError, match="normalization is 'var', expected one of relative, mse"):
        LaplacianLoss(normalization="var")
    with pytest.raises(UsageError, match="eps is -1"):
        LaplacianLoss(eps=-1)
    loss = LaplacianLoss((1,))
    picture = rand(1, 3, 6, 6)
    with pytest.raises(UsageError, match=r"image values have shape \(3, 6, 6\)"):
        loss(picture[0], picture)
    with pytest.raises(UsageError, match="expected floating point"):
        loss(picture.long(), picture)
    with pytest.raises(UsageError, match=r"target has shape \(1, 3, 6, 5\)"):
        loss(picture, picture[..., :5])
    with pytest.raises(UsageError, match="target has shape"):
        loss.compare(loss.represent(picture), loss.prepare(loss.represent(picture[..., :5])))
    mask = torch.ones(1, 1, 6, 6)
    with pytest.raises(UsageError, match="picture has a mask and the target has none"):
        loss.compare(loss.represent(picture, mask), loss.represent(picture))
    with pytest.raises(UsageError, match="weights sum to"):
        loss.represent(picture, 0 * mask)
    with pytest.raises(UsageError, match="weight has shape"):
        loss.represent(picture, mask[..., :5])
    with pytest.raises(UsageError, match="target has NaN"):
        loss.prepare(loss.represent(torch.full_like(picture, float("nan"))))
