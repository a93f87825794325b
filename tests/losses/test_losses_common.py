"""What every loss on features promises: batches, precision, layout, masks, gradients, devices."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from styler.errors import UsageError
from styler.losses import (
    ContentLoss,
    FeatureLoss,
    GaussianMmdStyleLoss,
    GramStyleLoss,
    HistogramStyleLoss,
    MmdStyleLoss,
    MomentStyleLoss,
    NeighbourStyleLoss,
    RelaxedEmdLoss,
    SampleLoss,
    SlicedWassersteinLoss,
    StyleLoss,
    WassersteinStyleLoss,
    map_tensors,
)

STYLES: dict[str, StyleLoss[Any]] = {
    "gram-none": GramStyleLoss("none"),
    "gram-hw": GramStyleLoss("hw"),
    "gram-chw-sum": GramStyleLoss("chw", "sum"),
    "gram-gatys": GramStyleLoss("gatys"),
    "gram-relative": GramStyleLoss("relative"),
    "moments": MomentStyleLoss(),
    "wasserstein": WassersteinStyleLoss(),
    "mmd-linear": MmdStyleLoss("linear"),
    "mmd-polynomial": MmdStyleLoss("polynomial"),
    "mmd-polynomial-none": MmdStyleLoss("polynomial", 0.5, "none"),
}
SAMPLES: dict[str, SampleLoss] = {
    "swd": SlicedWassersteinLoss(),
    "swd-none-many": SlicedWassersteinLoss("none", directions=11),
    "histogram": HistogramStyleLoss(),
    "nn": NeighbourStyleLoss(),
    "nn-target": NeighbourStyleLoss("target"),
    "nn-none": NeighbourStyleLoss("none"),
    "remd": RelaxedEmdLoss(),
    "mmd-gaussian": GaussianMmdStyleLoss(frequencies=16),
}
CONTENTS: dict[str, FeatureLoss[Any]] = {
    "content-mse": ContentLoss("mse"),
    "content-gatys": ContentLoss("gatys"),
    "content-variance": ContentLoss("variance"),
}
every_loss = pytest.mark.parametrize(
    "loss",
    [*STYLES.values(), *SAMPLES.values(), *CONTENTS.values()],
    ids=[*STYLES, *SAMPLES, *CONTENTS],
)
every_style = pytest.mark.parametrize(
    "loss", [*STYLES.values(), *SAMPLES.values()], ids=[*STYLES, *SAMPLES]
)
every_sum = pytest.mark.parametrize("loss", STYLES.values(), ids=STYLES)
every_sample = pytest.mark.parametrize("loss", SAMPLES.values(), ids=SAMPLES)


def features(batch: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 4, 6, 5, generator=generator).to(dtype)


@every_loss
def test_a_scalar_in_float32_that_is_zero_at_the_target(loss: FeatureLoss[Any]) -> None:
    value = loss(features(3), features(3, seed=1))
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert value.item() > 0
    assert loss(features(), features()).item() == pytest.approx(0, abs=1e-6)


@every_loss
def test_the_loss_is_the_mean_of_its_samples(loss: FeatureLoss[Any]) -> None:
    picture, target = features(3), features(3, seed=1)
    alone = [loss(picture[i : i + 1], target[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss(picture, target), torch.stack(alone).mean())


@every_loss
def test_one_target_serves_a_batch(loss: FeatureLoss[Any]) -> None:
    picture, target = features(3), features(1, seed=1)
    expected = loss(picture, target.expand(3, -1, -1, -1))
    torch.testing.assert_close(loss(picture, target), expected)
    prepared = loss.prepare(loss.represent(target))
    torch.testing.assert_close(loss.compare(loss.represent(picture), prepared), expected)


@every_loss
def test_a_sample_has_the_same_gradient_whatever_is_beside_it(loss: FeatureLoss[Any]) -> None:
    gradients = []
    for others in (1, 2):
        picture = features(3).clone()
        picture[1:] *= others
        picture.requires_grad_()
        loss(picture, features(3, seed=1)).backward()
        assert picture.grad is not None
        gradients.append(picture.grad[0])
    torch.testing.assert_close(gradients[0], gradients[1])


@every_loss
def test_gradcheck(loss: FeatureLoss[Any]) -> None:
    target = loss.prepare(loss.represent(features(1, seed=1, dtype=torch.float64)))
    picture = features(2, dtype=torch.float64).requires_grad_()
    assert loss(picture, picture.detach()).dtype == torch.float64
    assert gradcheck(lambda f: loss.compare(loss.represent(f), target), (picture,))


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_features_give_the_float32_result(
    loss: FeatureLoss[Any], dtype: torch.dtype
) -> None:
    picture, target = features(2, dtype=dtype), features(2, seed=1, dtype=dtype)
    value = loss(picture, target)
    assert value.dtype == torch.float32
    # The same numbers, converted by the caller, give the same; rounding them costs little.
    torch.testing.assert_close(value, loss(picture.float(), target.float()))
    torch.testing.assert_close(value, loss(features(2), features(2, seed=1)), rtol=0.03, atol=0)


@every_loss
def test_large_half_precision_features_do_not_overflow(loss: FeatureLoss[Any]) -> None:
    picture = (features() * 6e4).half().requires_grad_()
    target = (features(seed=1) * 6e4).half()
    value = loss(picture, target)
    exact = loss(picture.detach().double(), target.double())
    torch.testing.assert_close(value.double(), exact, rtol=1e-4, atol=0)


@every_loss
def test_autocast_changes_nothing(loss: FeatureLoss[Any]) -> None:
    picture, target = features(), features(seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(picture, target)
    assert torch.equal(inside, loss(picture, target))


@every_loss
def test_channels_last_gives_the_same(loss: FeatureLoss[Any]) -> None:
    picture, target = features(2), features(2, seed=1)
    last = picture.to(memory_format=torch.channels_last)
    torch.testing.assert_close(loss(last, target), loss(picture, target))


@every_style
def test_a_binary_mask_is_a_crop(loss: FeatureLoss[Any]) -> None:
    mask = torch.zeros(1, 1, 6, 5)
    mask[..., 2:5, 1:4] = 1
    target = loss.represent(features(seed=1))
    masked = loss.compare(loss.represent(features(2), mask), target)
    cropped = loss.compare(loss.represent(features(2)[..., 2:5, 1:4]), target)
    torch.testing.assert_close(masked, cropped, rtol=1e-4, atol=1e-6)


@every_style
def test_a_binary_mask_of_the_target_is_a_crop(loss: FeatureLoss[Any]) -> None:
    mask = torch.zeros(2, 1, 6, 5)
    mask[0, :, 2:5, 1:4] = 1
    mask[1, :, :2, 3:] = 1
    style, picture = features(2, seed=1), loss.represent(features(2))
    masked = loss.compare(picture, loss.prepare(loss.represent(style, mask)))
    parts = style[:1, :, 2:5, 1:4], style[1:, :, :2, 3:]
    cropped = [loss(features(2)[i : i + 1], part) for i, part in enumerate(parts)]
    torch.testing.assert_close(masked, torch.stack(cropped).mean(), rtol=1e-4, atol=1e-6)


@every_style
def test_where_things_are_does_not_matter(loss: FeatureLoss[Any]) -> None:
    order = torch.randperm(30, generator=torch.Generator().manual_seed(2))
    moved = features(2).flatten(2)[..., order].view(2, 4, 3, 10)
    target = features(seed=1)
    torch.testing.assert_close(loss(moved, target), loss(features(2), target))
    torch.testing.assert_close(loss(features(2), target.flip(2)), loss(features(2), target))


@every_sample
def test_flat_and_zero_features_have_finite_gradients(loss: SampleLoss) -> None:
    for value in (0.0, 0.5):
        flat = torch.full((1, 4, 6, 5), value)
        for start, target in (
            (flat, features(seed=1)),
            (features(), flat),
            (flat, flat),
            (flat, torch.zeros_like(flat)),
        ):
            picture = start.clone().requires_grad_()
            found = loss(picture, target)
            (gradient,) = torch.autograd.grad(found, picture)
            assert found.isfinite()
            assert gradient.isfinite().all()


@every_sample
def test_samples_are_not_taken_tile_by_tile(loss: SampleLoss) -> None:
    assert not loss.tileable
    with pytest.raises(UsageError, match="cannot be taken tile by tile"):
        loss.crop(loss.represent(features()), slice(0, 1), slice(0, 1))


@every_sum
def test_tiles_give_the_whole_and_its_gradient(loss: StyleLoss[Any]) -> None:
    target = loss.prepare(loss.represent(features(seed=1, dtype=torch.float64)))
    whole = features(dtype=torch.float64).requires_grad_()
    value = loss.compare(loss.represent(whole), target)
    (gradient,) = torch.autograd.grad(value, whole)

    tiled = whole.detach().clone().requires_grad_()
    tiles = tiled[:, :, :2], tiled[:, :, 2:]
    with torch.no_grad():  # first pass: sums, no graph
        sums = loss.accumulate(tiles[0]) + loss.accumulate(tiles[1])
    fixed = sums.map(lambda t: t.detach().requires_grad_())
    moments = [t for t in (fixed.first, fixed.second) if t is not None]
    again = loss.compare(loss.finalise(fixed), target)
    torch.testing.assert_close(again, value)
    to_sums = torch.autograd.grad(again, moments)
    for tile in tiles:  # second pass: each tile against the fixed gradient of the sums
        part = loss.accumulate(tile)
        present = [t for t in (part.first, part.second) if t is not None]
        torch.autograd.backward(present, to_sums, inputs=[tiled])
    torch.testing.assert_close(tiled.grad, gradient)


@every_loss
def test_a_prepared_target_is_constant_and_moves(loss: FeatureLoss[Any]) -> None:
    target = loss.prepare(loss.represent(features(seed=1).requires_grad_()))
    moved = map_tensors(lambda t: t.clone(), target)
    assert type(moved) is type(target)
    assert not loss.compare(loss.represent(features()), moved).requires_grad


@every_loss
def test_a_bad_picture_passes_through_and_a_bad_target_does_not(loss: FeatureLoss[Any]) -> None:
    broken = features()
    broken[0, 0, 0, 0] = float("nan")
    assert loss(broken, features(seed=1)).isnan()
    with pytest.raises(UsageError, match="NaN or infinite"):
        loss.prepare(loss.represent(broken))


@every_loss
def test_bad_shapes(loss: FeatureLoss[Any]) -> None:
    with pytest.raises(UsageError, match=r"\(4, 6, 5\), expected non-empty \(B, C, H, W\)"):
        loss(features()[0], features())
    with pytest.raises(UsageError, match="target has shape"):
        loss(features(), features()[:, :3])
    with pytest.raises(UsageError, match="target has shape"):
        loss(features(3), features(2))
    with pytest.raises(UsageError, match="expected floating point"):
        loss(features().long(), features())


@every_style
def test_an_empty_mask_is_refused(loss: FeatureLoss[Any]) -> None:
    with pytest.raises(UsageError, match=r"weights sum to \[0.0\]"):
        loss.represent(features().requires_grad_(), torch.zeros(1, 1, 6, 5))


@pytest.mark.gpu
@every_loss
def test_on_a_gpu(loss: FeatureLoss[Any]) -> None:
    picture, target = features(2).requires_grad_(), features(2, seed=1)
    expected = loss(picture, target)
    (gradient,) = torch.autograd.grad(expected, picture)
    there = picture.detach().cuda().requires_grad_()
    value = loss(there, target.cuda())
    (moved,) = torch.autograd.grad(value, there)
    assert value.device.type == "cuda"
    torch.testing.assert_close(value.cpu(), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(moved.cpu(), gradient, rtol=1e-3, atol=1e-6)
