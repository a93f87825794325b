import itertools
from pathlib import Path
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from styler.errors import BackboneError, ConfigError, DeviceError, ImageError
from styler.features import Extractor, Padding, Pooling, load_extractor
from styler.features.registry import CAFFE, BackboneSpec, get_backbone
from styler.features.vgg import VggExtractor
from styler.features.weights import LoadedWeights, vgg_shapes, vgg_state

CPU = torch.device("cpu")


def picture(height: int = 19, width: int = 26, batch: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def build(
    spec: BackboneSpec,
    state: dict[str, Tensor],
    dtype: torch.dtype = torch.float32,
    pooling: str = "max",
) -> VggExtractor:
    weights = LoadedWeights(state=state, sha256="0" * 64, path=Path("x.pth"))
    return VggExtractor(
        spec, weights, device=CPU, dtype=dtype, pooling="max" if pooling == "max" else "average"
    )


def test_a_layers_value_does_not_depend_on_what_else_is_asked(
    tiny_extractor: VggExtractor,
) -> None:
    image, names = picture(), tiny_extractor.layers
    alone = {name: tiny_extractor(image, [name])[name] for name in names}
    assert bool((alone["conv1_1"] < 0).any())  # an in-place ReLU would show
    together = tiny_extractor(image, names)
    assert list(together) == list(names)
    for name in names:
        assert torch.equal(together[name], alone[name]), name
    for pair in itertools.permutations(names, 2):
        both = tiny_extractor(image, pair)
        assert list(both) == list(pair)
        assert all(torch.equal(both[name], alone[name]) for name in pair), pair


def test_gradients_do_not_depend_on_what_else_is_asked(tiny_extractor: VggExtractor) -> None:
    def gradient(layer: str, asked: list[str]) -> Tensor:
        image = picture().requires_grad_()
        return torch.autograd.grad(tiny_extractor(image, asked)[layer].square().sum(), image)[0]

    for layer in tiny_extractor.layers:
        alone, together = gradient(layer, [layer]), gradient(layer, list(tiny_extractor.layers))
        assert torch.equal(alone, together), layer


def test_agrees_with_torchvisions_vgg19() -> None:
    from torchvision import models

    spec = get_backbone("vgg19")
    torch.manual_seed(3)
    theirs = models.vgg19(weights=None, init_weights=True).features.eval()
    tensors = {f"features.{key}": value.detach() for key, value in theirs.state_dict().items()}
    ours = build(spec, vgg_state(spec, tensors, Path("x.pth")))
    image = picture(48, 40)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    value = (image - mean) / std
    found = ours(image, ours.layers)
    with torch.no_grad():
        for name, module in zip(ours.layers, theirs, strict=True):
            value = module(value)
            scale = float(value.abs().max())
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5 * scale)


def test_caffe_networks_eat_bgr_from_0_to_255(tiny: BackboneSpec) -> None:
    spec = get_backbone("vgg19-caffe")
    small = BackboneSpec(
        name="small", description="", preprocessing=spec.preprocessing, blocks=tiny.blocks
    )
    state = {key: torch.randn(shape) for key, shape in vgg_shapes(small).items()}
    image = picture()
    blue, green, red = (255 * image[:, c] for c in (2, 1, 0))
    by_hand = torch.stack([blue - 103.939, green - 116.779, red - 123.68], dim=1)
    expected = F.conv2d(by_hand, state["conv1_1.weight"], state["conv1_1.bias"], padding=1)
    found = build(small, state)(image, ["conv1_1"])["conv1_1"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)
    assert spec.preprocessing == CAFFE


def test_mean_and_deviation_are_per_channel(tiny_extractor: VggExtractor) -> None:
    grey = torch.full((1, 3, 2, 2), 0.5)
    expected = torch.tensor([0.1 / 0.2, 0.0, -0.1 / 0.4])
    torch.testing.assert_close(tiny_extractor.normalise(grey)[0, :, 1, 0], expected)


def test_average_pooling_replaces_max_pooling(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor]
) -> None:
    image = picture(16, 16)
    found = build(tiny, tiny_state, pooling="average")(image, ["relu1_2", "pool1", "conv2_1"])
    value = found["relu1_2"]
    mean = value.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    torch.testing.assert_close(found["pool1"], mean)
    most = build(tiny, tiny_state)(image, ["pool1"])["pool1"]
    assert torch.equal(most, value.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2)))


def test_only_the_image_takes_a_gradient(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor], tiny_extractor: VggExtractor
) -> None:
    before = {key: value.clone() for key, value in tiny_state.items()}
    image = picture().requires_grad_()
    features = tiny_extractor(image, ["relu3_2", "relu1_1"])
    torch.autograd.backward([f.square().mean() for f in features.values()])
    assert image.grad is not None
    assert bool(torch.isfinite(image.grad).all())
    assert float(image.grad.abs().sum()) > 0
    for key, value in tiny_state.items():
        assert not value.requires_grad
        assert value.grad is None
        assert torch.equal(value, before[key])


def test_gradient_in_double_precision(tiny: BackboneSpec, tiny_state: dict[str, Tensor]) -> None:
    extractor = build(tiny, tiny_state, dtype=torch.float64, pooling="average")
    image = picture(4, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: tuple(extractor(x, ["conv2_1", "relu3_1"]).values()),
        (image,),
        fast_mode=True,
    )


def test_the_pass_is_cut_at_the_deepest_layer(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor]
) -> None:
    # A NaN in a deeper weight cannot be reached.
    poisoned = {
        k: v * float("nan") if k.startswith("conv2_1") else v for k, v in tiny_state.items()
    }
    extractor = build(tiny, poisoned)
    assert bool(torch.isfinite(extractor(picture(), ["pool1"])["pool1"]).all())
    assert bool(torch.isnan(extractor(picture(), ["conv2_1"])["conv2_1"]).all())
    assert extractor(picture(), []) == {}


def test_bfloat16_stays_near_float32(tiny: BackboneSpec, tiny_state: dict[str, Tensor]) -> None:
    layers = ["relu1_1", "conv3_2"]
    exact = build(tiny, tiny_state)(picture(), layers)
    rough = build(tiny, tiny_state, dtype=torch.bfloat16)(picture(), layers)
    for layer in layers:
        assert rough[layer].dtype is torch.bfloat16
        error = (rough[layer].float() - exact[layer]).norm() / exact[layer].norm()
        assert 0 < float(error) < 0.03


def test_samples_of_a_batch_are_independent(tiny_extractor: VggExtractor) -> None:
    batch = picture(batch=3)
    together = tiny_extractor(batch, ["relu3_2"])["relu3_2"]
    for index in range(3):
        alone = tiny_extractor(batch[index : index + 1], ["relu3_2"])["relu3_2"]
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-4, atol=1e-4)


def test_two_calls_give_the_same_bytes(tiny_extractor: VggExtractor) -> None:
    first, second = (tiny_extractor(picture(), ["relu3_2"])["relu3_2"] for _ in range(2))
    assert torch.equal(first, second)


def test_what_is_known_of_layers(tiny_extractor: VggExtractor) -> None:
    assert tiny_extractor.layers[:6] == (
        "conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1",
    )  # fmt: skip
    assert [tiny_extractor.channels(n) for n in ("c11", "pool1", "r21", "conv3_2")] == [4, 5, 6, 8]
    assert [tiny_extractor.stride(n) for n in ("c11", "pool1", "r21", "pool3")] == [1, 2, 2, 8]
    assert tiny_extractor.receptive_field("r21").y.size == 10
    assert isinstance(tiny_extractor, Extractor)


def test_strides_are_those_of_the_features(tiny_extractor: VggExtractor) -> None:
    for name, value in tiny_extractor(picture(32, 48), tiny_extractor.layers).items():
        stride = tiny_extractor.stride(name)
        assert value.shape == (1, tiny_extractor.channels(name), 32 // stride, 48 // stride)


def test_too_small_an_image_is_refused_before_it_is_run(tiny_extractor: VggExtractor) -> None:
    with pytest.raises(ImageError, match="40×3 pixels is too small for conv3_1") as caught:
        tiny_extractor(picture(3, 40), ["relu1_1", "conv3_1"])
    assert "4 pixels" in str(caught.value.hint)
    tiny_extractor.check_size((4, 4), ["conv3_1"])
    tiny_extractor.check_size((1, 1), ["conv1_1"])
    tiny_extractor.check_size((1, 1), [])
    assert tiny_extractor(picture(4, 4), ["conv3_1"])["conv3_1"].shape[2:] == (1, 1)


@pytest.mark.parametrize(
    "image",
    [torch.rand(3, 8, 8), torch.rand(1, 4, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)],
)
def test_what_is_no_image_is_refused(tiny_extractor: VggExtractor, image: Tensor) -> None:
    with pytest.raises(ImageError, match=r"an image is a floating \(B, 3, H, W\) tensor"):
        tiny_extractor(image, ["conv1_1"])


def test_another_device_is_refused(tiny_extractor: VggExtractor) -> None:
    with pytest.raises(DeviceError, match="the image is on meta, the network on cpu"):
        tiny_extractor(picture().to("meta"), ["conv1_1"])


def test_unknown_layers_are_refused(tiny_extractor: VggExtractor) -> None:
    with pytest.raises(ConfigError, match="unknown layer 'relu9_1'"):
        tiny_extractor(picture(), ["relu9_1"])
    with pytest.raises(ConfigError, match="number"):
        tiny_extractor(picture(), ["21"])


def test_aliases_give_canonical_keys_once(tiny_extractor: VggExtractor) -> None:
    assert list(tiny_extractor(picture(), ["r31", "block3_conv1", "C11"])) == ["relu3_1", "conv1_1"]


def test_loading_the_embedded_network() -> None:
    extractor = load_extractor("vgg-lite")
    assert extractor.name == "vgg-lite"
    assert extractor.device == CPU
    assert extractor.weights_sha256 == get_backbone("vgg-lite").weights[0].sha256
    relu = extractor(picture(64, 64), ["relu5_1"])["relu5_1"]
    assert relu.shape == (1, 384, 4, 4)
    assert 0.1 < float((relu > 0).float().mean()) < 0.9


def test_auto_is_the_embedded_network_on_a_fresh_machine() -> None:
    assert load_extractor().name == "vgg-lite"


def test_missing_weights_name_the_ways_to_get_them() -> None:
    with pytest.raises(BackboneError, match="no weights for vgg19: found no vgg19-dcbb9e9d") as e:
        load_extractor("vgg19")
    for way in ("--backbone vgg-lite", "styler weights import", "STYLER_WEIGHTS_DIR", "fetch"):
        assert way in str(e.value.hint)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"got torch\.float16"):
        load_extractor("vgg-lite", dtype=torch.float16)
    with pytest.raises(ConfigError, match="pooling is max, average, l2 or native, got 'min'"):
        load_extractor("vgg-lite", pooling=cast("Pooling", "min"))
    with pytest.raises(ConfigError, match=r"padding is zeros, .* or circular, got 'same'"):
        load_extractor("vgg-lite", padding=cast("Padding", "same"))
    with pytest.raises(DeviceError, match="unknown device 'gpu'"):
        load_extractor("vgg-lite", device="gpu")


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu() -> None:
    image = picture(64, 64)
    here = load_extractor("vgg-lite")(image, ["relu4_2"])["relu4_2"]
    there = load_extractor("vgg-lite", device="cuda")(image.cuda(), ["relu4_2"])["relu4_2"]
    torch.testing.assert_close(there.cpu(), here, rtol=1e-2, atol=1e-2)


@pytest.mark.weights
def test_the_real_vgg19_sees_more_in_a_picture_than_in_grey(weights_dir: Path) -> None:
    extractor = load_extractor("auto")
    assert extractor.name == "vgg19-caffe"
    assert extractor.weights_sha256 == get_backbone("vgg19-caffe").weights[0].sha256
    rows = torch.linspace(0, 12.0, 96).sin().view(1, 1, 96, 1)
    image = (0.5 + 0.4 * rows * rows.transpose(2, 3)).expand(1, 3, 96, 96)
    names = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"]
    busy, grey = extractor(image, names), extractor(torch.full_like(image, 0.5), names)
    for name in names:
        assert bool(torch.isfinite(busy[name]).all())
        # ReLUs of a trained network are sparse but not dead.
        assert 0.01 < float((busy[name] > 0).float().mean()) < 0.9, name
        assert float(busy[name].var()) > float(grey[name].var()) * 0.5, name
    # Caffe's input of 0 to 255 shows in the size of the activations.
    assert 5 < float(busy["relu2_1"].mean()) < 5000


@pytest.mark.weights
def test_the_embedded_network_follows_its_teacher_on_edges(weights_dir: Path) -> None:
    teacher, student = load_extractor("vgg19-caffe"), load_extractor("vgg-lite")
    flat = torch.full((1, 3, 64, 64), 0.5)
    edge = flat.clone()
    edge[..., 32:] = 0.9
    for extractor in (teacher, student):
        feature = {k: extractor(x, ["relu3_1"])["relu3_1"] for k, x in (("f", flat), ("e", edge))}
        change = (feature["e"] - feature["f"]).norm(dim=1)[0, 8]
        assert float(change[7:9].mean()) > float(change[2:5].mean())
