import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import models
from traced_builders import REGISTERED, hollow, pair, picture

from styler.errors import BackboneError, ConfigError, ImageError
from styler.features import get_backbone, summarise, totals
from styler.features.torchvision_models import build_torchvision
from styler.features.traced_extractor import TracedExtractor


def averaging(name: str, pooling: str) -> TracedExtractor:
    """Weights that add up all they see, so that no gradient cancels or is cut off."""
    state = {}
    for key, value in build_torchvision(get_backbone(name)).state_dict().items():
        if value.ndim == 4:
            state[key] = torch.full(value.shape, 1 / value[0].numel())
        elif key.endswith(("running_var", "weight")):
            state[key] = torch.ones(value.shape)
        elif not key.endswith("num_batches_tracked"):
            state[key] = torch.full(value.shape, 0.0 if "running_mean" in key else 0.1)
    return hollow(
        name, state, dtype=torch.float64, pooling="max" if pooling == "max" else "average"
    )


def extent(touched: Tensor) -> tuple[int, int]:
    places = torch.nonzero(touched).flatten()
    return int(places[0]), int(places[-1]) + 1


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("alexnet", "features.0"),
        ("alexnet", "features.12"),
        ("squeezenet1_0", "features.3"),
        ("squeezenet1_0", "features.7"),
        ("googlenet", "conv1.bn"),
        ("googlenet", "maxpool2"),
        ("googlenet", "inception3a.branch4"),
        ("inception_v3", "Mixed_6a"),
        pytest.param("inception_v3", "Mixed_6b.branch7x7_2", marks=pytest.mark.slow),
        ("resnet50", "layer1.0.downsample.1"),
        ("resnet50", "layer2.0"),
        ("torchvision:mobilenet_v2", "features.2"),
    ],
)
def test_a_unit_sees_what_its_gradient_reaches(name: str, layer: str) -> None:
    extractor = averaging(name, "max" if "mobilenet" in name else "average")
    field = extractor.receptive_field(layer)
    assert field is not None
    side = max(field.y.size, field.x.size) + 2 * field.y.jump + 16
    image = torch.full((1, 3, side, side), 0.9, dtype=torch.float64, requires_grad=True)
    value = extractor(image, [layer])[layer]
    for row, column in itertools.product({0, value.shape[2] // 2}, {value.shape[3] // 2}):
        (gradient,) = torch.autograd.grad(value[0, :, row, column].sum(), image, retain_graph=True)
        seen = gradient.abs().sum((0, 1))
        top, left, bottom, right = field.box(row, column)
        assert extent(seen.sum(1)) == (max(top, 0), min(bottom, side))
        assert extent(seen.sum(0)) == (max(left, 0), min(right, side))
    assert extractor.stride(layer) == field.y.jump == field.x.jump


def test_the_receptive_field_of_resnet50_by_hand() -> None:
    resnet = hollow("resnet50")
    field = resnet.receptive_field("layer4")
    assert field is not None
    # A 3×3 kernel widens the field by twice its input's stride. torchvision strides in the 3×3
    # convolutions; with strides in the 1×1 ones, as first published, it would be 483.
    size, stride = 7 + 2 * 2, 4
    for blocks in (3, 4, 6, 3):
        size += 2 * stride
        stride *= 1 if blocks == 3 and stride == 4 else 2
        size += 2 * stride * (blocks - 1)
    assert (field.y.size, field.y.jump) == (size, stride) == (427, 32)
    assert resnet.receptive_field("avgpool") is None
    assert resnet.receptive_field("logits") is None
    with pytest.raises(ConfigError, match="logits of resnet50 has no stride"):
        resnet.stride("logits")


@pytest.mark.parametrize("name", [*REGISTERED, "torchvision:densenet121", "torchvision:vgg11"])
def test_minimum_sides_are_the_smallest_that_run(name: str) -> None:
    extractor = hollow(name)
    known = models.get_model_weights(name.removeprefix("torchvision:")).DEFAULT.meta["min_size"]
    # Classifiers that slide over a map need as many units as they read: 6×6 or 7×7.
    least = {"alexnet": 223, "torchvision:vgg11": 224}.get(name, known[0])
    assert extractor.minimum_side("logits") == least
    sides: dict[int, str] = {}
    for layer in extractor.layers:
        sides.setdefault(extractor.minimum_side(layer), layer)
    assert list(sides) == sorted(sides)
    for side, layer in sides.items():
        value = extractor(picture(side, side), [layer])[layer]
        assert value.numel() > 0
        if side > 1:
            with pytest.raises(RuntimeError):  # torch itself cannot do with less
                extractor._run(picture(side - 1, side - 1), [layer])
            with pytest.raises(ImageError, match="is too small for"):
                extractor(picture(side - 1, 300), [layer])


def test_average_pooling_of_a_module() -> None:
    _, ours = pair("alexnet", "average")
    found = ours(picture(), ["features.1", "features.2"])
    mean = found["features.1"].unfold(2, 3, 2).unfold(3, 3, 2).mean((-1, -2))
    torch.testing.assert_close(found["features.2"], mean)
    assert ours.pooling == "average"


def test_average_pooling_counts_no_padding() -> None:
    _, ours = pair("resnet50", "average")
    found = ours(picture(), ["relu", "maxpool"])
    value = found["relu"]
    total = F.pad(value, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2).sum((-1, -2))
    inside = F.pad(torch.ones_like(value), (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2)
    torch.testing.assert_close(found["maxpool"], total / inside.sum((-1, -2)))


def test_average_pooling_of_a_function() -> None:
    _, ours = pair("inception_v3", "average")
    found = ours(picture(), ["Mixed_5d", "Mixed_6a"])
    mean = found["Mixed_5d"].unfold(2, 3, 2).unfold(3, 3, 2).mean((-1, -2))
    torch.testing.assert_close(found["Mixed_6a"][:, -288:], mean)


def test_networks_without_max_pooling_cannot_take_averages() -> None:
    with pytest.raises(ConfigError, match="mobilenet_v2 has no max pooling to replace"):
        hollow("torchvision:mobilenet_v2", pooling="average")


@pytest.mark.parametrize(
    "name",
    [*REGISTERED, "torchvision:mobilenet_v3_small", "torchvision:resnet18", "torchvision:vgg11"],
)
def test_parameters_and_operations_are_the_published_ones(name: str) -> None:
    known = models.get_model_weights(name.removeprefix("torchvision:")).DEFAULT
    (side,) = known.transforms().crop_size
    sums = totals(summarise(get_backbone(name), (side, side)))
    auxiliary = 27_161_264 - 23_834_568 if name == "inception_v3" else 0
    assert sums.parameters == known.meta["num_params"] - auxiliary
    assert sums.macs / 1e9 == pytest.approx(known.meta["_ops"], abs=6e-4)


def test_rows_of_a_summary() -> None:
    rows = {row.name: row for row in summarise(get_backbone("resnet50"), (64, 96))}
    conv, norm = rows["layer2.0.conv2"], rows["layer2.0.bn2"]
    assert conv.shape == norm.shape == (128, 8, 12)
    assert conv.weights == conv.parameters == 128 * 128 * 9
    assert conv.macs == conv.weights * 8 * 12
    assert (norm.kind, norm.parameters, norm.weights, norm.macs) == ("norm", 256, 128, 0)
    assert (conv.kind, conv.stride, rows["maxpool"].receptive_field) == ("conv", 8, 11)
    assert rows["fc"].shape == (1000, 1, 1)
    assert (rows["fc"].receptive_field, rows["fc"].stride) == (None, None)
    assert rows["layer1.0.relu_2"].kind == "relu"
    assert "layer1.0" not in rows
    wide = {row.name: row for row in summarise(get_backbone("inception_v3"), (80, 80))}
    before, after = (wide[f"Mixed_6b.branch7x7_{number}.conv"] for number in (1, 2))
    # A window of one row and seven columns.
    assert before.receptive_field is not None
    assert after.receptive_field == before.receptive_field + 6 * 16


def test_summaries_that_cannot_be() -> None:
    with pytest.raises(ImageError, match="300×222 pixels is too small for alexnet") as caught:
        summarise(get_backbone("alexnet"), (222, 300))
    assert "223 pixels" in str(caught.value.hint)
    for name in ("vit_b_16", "convnext_tiny", "swin_t"):
        with pytest.raises(BackboneError, match=f"needs a network of convolutions, got .*{name}"):
            summarise(get_backbone(f"torchvision:{name}"), (64, 64))
