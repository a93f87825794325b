"""What convolutions see beyond the border."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from styler.config import OptimizerConfig
from styler.engine import DirectGradient
from styler.errors import ConfigError, ImageError
from styler.features import Extractor, Padding, load_extractor
from styler.features.network import vgg_ops
from styler.features.registry import BackboneSpec
from styler.features.vgg import VggExtractor
from styler.features.weights import LoadedWeights
from styler.losses import ContentLoss, GramStyleLoss, LayerwiseLoss
from styler.memory import gradient_bytes, measured_bytes
from styler.objective import FeatureTerm, Objective
from styler.params import PixelImage
from styler.planner import Need, plans
from styler.tiled_features import features_of
from styler.tiled_gradient import TiledGradient

MODES: tuple[Padding, ...] = get_args(Padding)
OTHERS = MODES[1:]
CPU = torch.device("cpu")


def picture(height: int, width: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(
        1, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=dtype
    )


def build(
    spec: BackboneSpec,
    state: dict[str, Tensor],
    padding: Padding,
    dtype: torch.dtype = torch.float64,
) -> VggExtractor:
    weights = LoadedWeights(state=state, sha256="0" * 64, path=Path("x.pth"))
    return VggExtractor(spec, weights, device=CPU, dtype=dtype, pooling="max", padding=padding)


def by_hand(
    spec: BackboneSpec, state: dict[str, Tensor], padding: Padding, value: Tensor
) -> dict[str, Tensor]:
    """The same network of modules of torch."""
    found = {}
    for op in vgg_ops(spec.blocks):
        if op.kind == "conv":
            module = nn.Conv2d(op.in_channels, op.out_channels, 3, padding=1, padding_mode=padding)
            weight, bias = state[f"{op.name}.weight"], state[f"{op.name}.bias"]
            module.load_state_dict({"weight": weight, "bias": bias})
            value = module.double()(value)
        else:
            value = value.relu() if op.kind == "relu" else nn.functional.max_pool2d(value, 2)
        found[op.name] = value.detach()
        value = value.detach()
    return found


@pytest.mark.parametrize("size", [(16, 24), (19, 21)])
@pytest.mark.parametrize("padding", MODES)
def test_agrees_with_torchs_convolutions(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor], padding: Padding, size: tuple[int, int]
) -> None:
    extractor, image = build(tiny, tiny_state, padding), picture(*size)
    expected = by_hand(tiny, tiny_state, padding, extractor.normalise(image))
    found = extractor(image, extractor.layers)
    for layer in extractor.layers:
        torch.testing.assert_close(found[layer], expected[layer])
        assert torch.equal(found[layer], extractor(image, [layer])[layer])


def test_borders_differ_and_the_middle_does_not(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor]
) -> None:
    found = {mode: build(tiny, tiny_state, mode)(picture(40, 40), ["conv2_1"]) for mode in MODES}
    for one, other in itertools.combinations(MODES, 2):
        left, right = found[one]["conv2_1"], found[other]["conv2_1"]
        torch.testing.assert_close(left[..., 3:-3, 3:-3], right[..., 3:-3, 3:-3])
        for border in ((..., 0), (..., -1), (..., 0, slice(None)), (..., -1, slice(None))):
            assert not torch.allclose(left[border], right[border]), (one, other)


@pytest.mark.parametrize("padding", OTHERS)
def test_gradients_are_those_of_differences(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor], padding: Padding
) -> None:
    extractor = build(tiny, tiny_state, padding)
    image = picture(8, 9).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: tuple(extractor(x, ["conv1_2", "conv3_1"]).values()), (image,), fast_mode=True
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("padding", MODES)
def test_channels_lie_together(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor], padding: Padding, dtype: torch.dtype
) -> None:
    extractor = build(tiny, tiny_state, padding, dtype)
    for value in extractor(picture(16, 16, dtype=torch.float32), extractor.layers).values():
        assert value.dtype is dtype
        assert value.is_contiguous(memory_format=torch.channels_last)


def test_zeros_are_left_to_the_convolution(
    tiny_extractor: VggExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Tensor:
        raise AssertionError("padded in a copy")

    monkeypatch.setattr("torch.nn.functional.pad", refuse)
    assert tiny_extractor.padding == "zeros"
    tiny_extractor(picture(16, 16, dtype=torch.float32), ["relu3_2"])


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_a_wrapped_picture_that_is_shifted_has_its_features_shifted(pooling: str) -> None:
    extractor = load_extractor(
        "vgg-lite",
        dtype=torch.float64,
        pooling=pooling,
        padding="circular",
    )
    layers, image = [*extractor.layers], picture(32, 64)
    before, after = (
        extractor(shown, layers) for shown in (image, image.roll((32 - 16, 48), (2, 3)))
    )
    for layer in layers:
        stride = extractor.stride(layer)
        if layer != "pool5":  # whose units are 32 pixels apart
            shifted = before[layer].roll((16 // stride, 48 // stride), (2, 3))
            torch.testing.assert_close(after[layer], shifted, rtol=0, atol=1e-11)


def test_pooling_of_odd_sides_leaves_a_seam() -> None:
    extractor = load_extractor("vgg-lite", dtype=torch.float64, padding="circular")
    image = picture(34, 32)  # 17 rows at the second block, of which pooling drops one
    shifted = image.roll(16, 2)
    before, after = (extractor(shown, ["relu3_1"])["relu3_1"] for shown in (image, shifted))
    assert not torch.allclose(after, before.roll(4, 2), atol=1e-3)


def test_what_is_mirrored_must_be_larger_than_the_padding(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor]
) -> None:
    least = {mode: build(tiny, tiny_state, mode).minimum_side("conv3_1") for mode in MODES}
    assert least == {"zeros": 4, "reflect": 8, "replicate": 4, "circular": 4}
    for mode, side in least.items():
        extractor = build(tiny, tiny_state, mode)
        assert extractor(picture(side, side), ["conv3_1"])["conv3_1"].shape[2] == side // 4
        with pytest.raises(ImageError, match="too small for conv3_1"):
            extractor(picture(40, side - 1), ["conv3_1"])
    assert build(tiny, tiny_state, "reflect").minimum_side("conv1_1") == 2


def objective(extractor: Extractor, size: tuple[int, int]) -> Objective:
    layers = {"relu1_1": 1.0, "relu2_1": 0.5, "relu4_1": 2.0, "relu5_1": 0.5}
    style, content = LayerwiseLoss(GramStyleLoss(), layers), LayerwiseLoss(ContentLoss(), layers)
    seen, meant = extractor(picture(80, 70, 1), layers), extractor(picture(*size, 2), layers)
    return Objective(
        [
            FeatureTerm(
                name="style", weight=2.0, loss=style, targets=style.prepare(style.represent(seen))
            ),
            FeatureTerm(
                name="content",
                weight=1.0,
                loss=content,
                targets=content.prepare(content.represent(meant)),
            ),
        ]
    )


@pytest.mark.parametrize("sides", [[24], [40, 12], [16, 4, 2, 1]])
@pytest.mark.parametrize("padding", ["reflect", "replicate"])
def test_tiles_at_a_border_see_what_the_whole_picture_sees(
    padding: Padding, sides: list[int]
) -> None:
    extractor = load_extractor("vgg-lite", dtype=torch.float64, padding=padding, pooling="l2")
    size = (61, 75)
    wanted = objective(extractor, size)
    found = []
    for gradient in (DirectGradient(extractor, wanted), TiledGradient(extractor, wanted, sides)):
        parameter = PixelImage(picture(*size))
        parameter.raw.data = parameter.raw.data.double()
        evaluation = gradient(parameter)
        assert parameter.raw.grad is not None
        found.append((evaluation.total, parameter.raw.grad))
    (direct, whole), (tiled, pieced) = found
    torch.testing.assert_close(tiled, direct, rtol=1e-9, atol=0)
    assert float((pieced - whole).norm() / whole.norm()) < 1e-9


def need(extractor: Extractor) -> Need:
    return Need(
        extractor=extractor,
        layers=frozenset({"relu1_1", "relu4_1"}),
        placed=frozenset({"relu4_1"}),
        size=(2048, 2048),
        optimizer=OptimizerConfig(),
    )


def test_wrapped_pictures_are_taken_whole() -> None:
    extractor = load_extractor("vgg-lite", padding="circular")
    with pytest.raises(ConfigError, match="vgg-lite sees the opposite border") as caught:
        extractor.segments(["relu3_1"])
    assert "--padding" in str(caught.value.hint)
    assert [plan.tiled for plan in plans(need(extractor))] == [False]
    image = picture(520, 520, dtype=torch.float32)
    layers = ["relu1_1", "relu2_1"]
    whole = extractor(image, layers)
    for layer, value in features_of(extractor, image, layers).items():
        assert torch.equal(value, whole[layer])


@pytest.mark.parametrize("padding", ["reflect", "replicate"])
def test_others_are_planned_in_tiles(padding: Padding) -> None:
    zeros, padded = (load_extractor("vgg-lite", padding=mode) for mode in ("zeros", padding))
    (whole, *_), (more, *tiled) = plans(need(zeros)), plans(need(padded))
    assert more.bytes > whole.bytes
    assert all(plan.tiled for plan in tiled)
    assert tiled


@pytest.mark.parametrize("padding", MODES)
def test_memory_is_foreseen(padding: Padding) -> None:
    extractor = load_extractor("vgg-lite", padding=padding, pooling="average")
    layers, size = ["relu4_1"], (512, 512)
    kept = measured_bytes(extractor, layers) * size[0] * size[1]
    largest = 2 * 4 * 32 * size[0] * size[1]
    assert gradient_bytes(extractor, layers, size) - largest == pytest.approx(kept, rel=0.08)


def test_other_networks_are_refused() -> None:
    name = f"{Path(__file__).with_name('own_networks.py')}:Plain"
    with pytest.raises(ConfigError, match="Plain cannot pad by reflect") as caught:
        load_extractor(name, padding="reflect")
    assert "vgg-lite" in str(caught.value.hint)
