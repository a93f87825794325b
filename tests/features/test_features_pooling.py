"""Pooling by the root of the mean square, and pooling that is as large as that by maximum."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from own_networks import Deciding, Plain, seeded
from torch import Tensor

from styler.errors import ConfigError, UsageError
from styler.features import extractor_of, load_extractor
from styler.features.base import resolve_pooling
from styler.features.pooling import (
    RESCALE,
    PoolingKind,
    l2_pool,
    pooling_function,
    pooling_name,
)
from styler.features.registry import BackboneSpec, get_backbone
from styler.features.vgg import VggExtractor, run_ops
from styler.features.weights import LoadedWeights
from styler.images import fit_long_side, read_picture, resize
from styler.memory import gradient_bytes, measured_bytes

CONTENTS = Path(__file__).parents[2] / "samples/contents"
KINDS: tuple[PoolingKind, ...] = get_args(PoolingKind)
CPU = torch.device("cpu")


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def windows(value: Tensor, side: int) -> Tensor:
    return value.unfold(2, side, side).unfold(3, side, side).flatten(4)


def build(
    spec: BackboneSpec, state: dict[str, Tensor], pooling: PoolingKind, *, rescaled: bool = False
) -> VggExtractor:
    weights = LoadedWeights(state=state, sha256="0" * 64, path=Path("x.pth"))
    return VggExtractor(
        spec,
        weights,
        device=CPU,
        dtype=torch.float64,
        pooling=pooling,
        rescale_pooling=rescaled,
    )


@pytest.mark.parametrize(("height", "width", "side"), [(8, 6, 2), (7, 9, 2), (10, 7, 3), (2, 2, 2)])
def test_l2_is_the_root_of_the_mean_square(height: int, width: int, side: int) -> None:
    value = numbers(2, 3, height, width).requires_grad_()
    found = l2_pool(value, side)
    expected = windows(value, side).square().mean(-1).sqrt()
    assert found.shape == (2, 3, height // side, width // side)
    torch.testing.assert_close(found, expected)
    weights = numbers(*found.shape, seed=1)
    (own,) = torch.autograd.grad((weights * found).sum(), value)
    (formula,) = torch.autograd.grad((weights * expected).sum(), value)
    torch.testing.assert_close(own, formula)
    assert not bool(own[:, :, side * (height // side) :].any())


def test_l2_agrees_with_the_root_of_the_sum() -> None:
    value = numbers(1, 4, 12, 12).abs()
    torch.testing.assert_close(l2_pool(value, 2), F.lp_pool2d(value, 2, 2) / 2)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(2, 9), width=st.integers(2, 9), seed=st.integers(0, 10**6))
def test_l2_lies_between_the_mean_and_the_largest(height: int, width: int, seed: int) -> None:
    value = numbers(1, 2, height, width, seed=seed).relu()
    mean, root, most = (
        pooling_function(kind, rescaled=False)(value, 2) for kind in ("average", "l2", "max")
    )
    assert bool((mean <= root + 1e-12).all())
    assert bool((root <= most + 1e-12).all())


@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_differences(kind: PoolingKind, rescaled: bool) -> None:
    value = numbers(2, 2, 5, 6)
    value[0, 0, :2, :2] = 0
    # Of a window with several largest values max pooling has no gradient.
    value = value if kind == "max" else value.relu()
    value = numbers(2, 2, 5, 6) if kind == "max" else value
    pool = pooling_function(kind, rescaled=rescaled)
    assert torch.autograd.gradcheck(lambda x: pool(x, 2), (value.requires_grad_(),))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_nothing_but_zeros_has_a_gradient_of_zero(dtype: torch.dtype) -> None:
    value = torch.zeros(1, 2, 4, 4, dtype=dtype, requires_grad=True)
    if dtype == torch.float64:
        assert torch.autograd.gradcheck(lambda x: l2_pool(x, 2), (value,))
    (gradient,) = torch.autograd.grad(l2_pool(value, 2).sum(), value)
    assert torch.equal(gradient, torch.zeros_like(value))
    # Squares of these are too small for the precision, and their root would be 0.
    tiny = torch.full_like(value, 1e-30, requires_grad=True)
    (gradient,) = torch.autograd.grad(l2_pool(tiny, 2).sum(), tiny)
    assert bool(torch.isfinite(gradient).all())
    assert float(gradient.detach().max()) <= 0.5


def test_values_stay_and_lie_in_memory_as_they_did() -> None:
    value = numbers(2, 3, 7, 8).to(memory_format=torch.channels_last)
    before = value.clone()
    given = value.requires_grad_()
    found = l2_pool(given, 2)
    (gradient,) = torch.autograd.grad(found.sum(), given)
    assert torch.equal(value, before)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_pools_as_it_is_told(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor], kind: PoolingKind, rescaled: bool
) -> None:
    image = numbers(1, 3, 18, 17).sigmoid()
    extractor = build(tiny, tiny_state, kind, rescaled=rescaled)
    below = extractor(image, ["relu1_2"])["relu1_2"]
    found = extractor(image, ["conv2_1", "pool1", "relu1_2", "conv1_2"])
    assert torch.equal(found["relu1_2"], below)
    own = windows(below, 2)
    plain = {
        "max": own.amax(-1),
        "average": own.mean(-1),
        "l2": own.square().mean(-1).sqrt(),
    }[kind]
    expected = plain * (RESCALE[kind] if rescaled else 1)
    torch.testing.assert_close(found["pool1"], expected)
    weight, bias = (tiny_state[f"conv2_1.{name}"].double() for name in ("weight", "bias"))
    torch.testing.assert_close(found["conv2_1"], F.conv2d(expected, weight, bias, padding=1))


@pytest.mark.parametrize("rescaled", [False, True])
def test_gradients_of_a_network_with_l2_are_finite_where_nothing_is_active(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor], rescaled: bool
) -> None:
    dead = {
        key: torch.full_like(value, -1.0) if key == "conv1_2.bias" else value * (key != "x")
        for key, value in tiny_state.items()
    }
    dead["conv1_2.weight"] = torch.zeros_like(dead["conv1_2.weight"])
    image = numbers(1, 3, 16, 16).sigmoid().requires_grad_()
    found = build(tiny, dead, "l2", rescaled=rescaled)(image, ["pool1", "relu3_1"])
    assert not bool(found["pool1"].detach().any())
    (gradient,) = torch.autograd.grad(sum(value.sum() for value in found.values()), image)
    assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("kind", ["average", "l2"])
def test_rescaled_activations_are_as_large_as_those_of_max_pooling(kind: PoolingKind) -> None:
    layers = ["relu2_1", "relu3_1", "relu4_1", "relu5_1"]
    pixels = read_picture(CONTENTS / "coffee.jpg").pixels
    image = resize(pixels, fit_long_side((pixels.shape[2], pixels.shape[3]), 320))

    def means(pooling: PoolingKind, rescaled: bool) -> Tensor:
        extractor = load_extractor("vgg-lite", pooling=pooling, rescale_pooling=rescaled)
        return torch.stack([value.mean() for value in extractor(image, layers).values()])

    largest = means("max", False)
    assert torch.equal(means("max", True), largest)
    rescaled, plain = means(kind, True) / largest, means(kind, False) / largest
    assert 0.75 < float(rescaled.min()) < float(rescaled.max()) < 1.35
    assert float(plain.max()) < 0.9
    assert float(plain.min()) < 0.4


def test_names_tell_how_a_network_pools(tiny: BackboneSpec, tiny_state: dict[str, Tensor]) -> None:
    names = [pooling_name(kind, rescaled=rescaled) for kind in KINDS for rescaled in (False, True)]
    assert names == ["max", "max", "average", "average×1.45", "l2", "l2×1.33"]
    assert build(tiny, tiny_state, "l2").pooling_name == "l2"
    assert build(tiny, tiny_state, "l2", rescaled=True).pooling_name == "l2×1.33"
    assert load_extractor("vgg-lite", pooling="native", rescale_pooling=True).pooling == "average"


@pytest.mark.parametrize("model", [Plain, Deciding])
def test_other_networks_have_no_l2(model: type[Plain]) -> None:
    with pytest.raises(ConfigError, match="net cannot pool by l2") as caught:
        extractor_of(seeded(model), name="net", pooling="l2")
    assert caught.value.hint == "use max or average"
    with pytest.raises(ConfigError, match="resnet50 cannot pool by l2"):
        resolve_pooling(get_backbone("resnet50"), "l2")


def test_pooling_of_other_networks_is_not_rescaled() -> None:
    name = f"{Path(__file__).with_name('own_networks.py')}:Plain"
    with pytest.raises(ConfigError, match=r"pooling of .*Plain cannot be rescaled") as caught:
        load_extractor(name, pooling="average", rescale_pooling=True)
    assert "vgg-lite" in str(caught.value.hint)


def test_steps_have_no_pooling_of_their_own(tiny_extractor: VggExtractor) -> None:
    with pytest.raises(UsageError, match="no native pooling"):
        run_ops((), {}, torch.zeros(1), [], "native")


@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_foreseen(kind: PoolingKind, rescaled: bool) -> None:
    extractor = load_extractor("vgg-lite", pooling=kind, rescale_pooling=rescaled)
    layers, size = ["relu4_1"], (512, 512)
    kept = measured_bytes(extractor, layers) * size[0] * size[1]
    largest = 2 * 4 * 32 * size[0] * size[1]
    assert gradient_bytes(extractor, layers, size) - largest == pytest.approx(kept, rel=0.06)


def test_a_spec_may_name_either_as_its_own(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor]
) -> None:
    for native in ("max", "average"):
        spec = dataclasses.replace(tiny, native_pooling=native)
        assert resolve_pooling(spec, "native") == native
        assert resolve_pooling(spec, "l2") == "l2"
