"""Classifiers that slide over a map."""

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from traced_builders import hollow, hooked, pair, picture, same

from styler.errors import ImageError
from styler.features import get_backbone, summarise
from styler.features.convolutional import SlidingLinear, make_convolutional
from styler.features.traced import Traced, cut, trace
from styler.features.traced_extractor import TracedExtractor

SIDE = 8
"""Of the images whose features are as many as the classifiers below read: 4×4."""


def flat(value: Tensor) -> Tensor:
    return torch.flatten(value, 1)


def classifier() -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(), nn.Linear(3 * 4 * 4, 7), nn.ReLU(inplace=True), nn.Linear(7, 6), nn.ReLU(),
        nn.Dropout(), nn.Linear(6, 5),
    )  # fmt: skip


class Network(nn.Module):
    """A map of half the image's side, a pooling, a head."""

    def __init__(
        self,
        *,
        pool: nn.Module | None = None,
        flatten: Callable[[Tensor], Tensor] = flat,
        head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 3, 2, stride=2)
        self.pool, self.flatten = pool or nn.AdaptiveAvgPool2d(4), flatten
        self.classifier = head or classifier()
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        vector: Tensor = self.classifier(self.flatten(self.pool(self.features(image))))
        return vector


def convolutional(model: nn.Module) -> Traced:
    """As an extractor makes it: without weights, which come afterwards."""
    state = {key: value.clone() for key, value in model.state_dict().items()}
    traced = make_convolutional(trace(model.to("meta")), SIDE)
    traced.model.load_state_dict(state, assign=True)
    return traced


@pytest.mark.parametrize("flatten", [flat, nn.Flatten()], ids=["function", "module"])
@pytest.mark.parametrize("units", [4, (4, 4)], ids=str)
def test_each_cell_is_the_classifier_on_its_window(
    flatten: Callable[[Tensor], Tensor], units: int | tuple[int, int]
) -> None:
    model = Network(pool=nn.AdaptiveAvgPool2d(units), flatten=flatten)
    image = torch.randn(2, 3, 14, 18)
    features = model.features(image)
    places = list(itertools.product(range(4), range(6)))
    windows = [features[:, :, row : row + 4, column : column + 4] for row, column in places]
    expected = [model.classifier(window.flatten(1)) for window in windows]
    small = image[:, :, :SIDE, :SIDE]
    before = model(small)
    program = cut(convolutional(model), ["logits", "pool", "classifier.3"])
    found = program(image)
    assert found["logits"].shape == (2, 5, 4, 6)
    assert found["classifier.3"].shape == (2, 6, 4, 6)
    for (row, column), value in zip(places, expected, strict=True):
        torch.testing.assert_close(found["logits"][:, :, row, column], value)
    torch.testing.assert_close(found["pool"], features)  # the map before it
    torch.testing.assert_close(program(small)["logits"], before[:, :, None, None])


class Twice(nn.Module):
    """Its own pooled vector is used in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.fc = nn.AdaptiveAvgPool2d(4), nn.Linear(48, 48)

    def forward(self, image: Tensor) -> Tensor:
        vector = torch.flatten(self.pool(image), 1)
        result: Tensor = self.fc(vector) + vector
        return result


class Again(Twice):
    """Its one layer is called twice, on the map and on its own result."""

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.fc(self.fc(torch.flatten(self.pool(image), 1)))
        return result


@pytest.mark.parametrize(
    "model",
    [
        Network(pool=nn.AdaptiveAvgPool2d(1), head=nn.Linear(3, 5)),  # takes any size already
        Network(pool=nn.AdaptiveAvgPool2d((4, 2)), head=nn.Linear(24, 5)),
        Network(pool=nn.AdaptiveAvgPool2d(2), head=nn.Linear(12, 5)),  # from 4×4 at SIDE
        Network(pool=nn.AdaptiveMaxPool2d(4)),
        Network(pool=nn.AvgPool2d(1)),
        Network(flatten=lambda value: torch.flatten(value, 2), head=nn.Linear(16, 5)),
        Network(head=nn.Sequential(nn.Linear(48, 6), nn.Softmax(1))),
        Network(head=nn.Sequential(nn.LayerNorm(48), nn.Linear(48, 6))),
        Network(head=nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 3, 2, stride=2), Twice()),
        nn.Sequential(nn.Conv2d(3, 3, 2, stride=2), Again()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_other_heads_stay_as_they_are(model: nn.Module) -> None:
    traced = trace(model.to("meta"))
    nodes, outputs = list(traced.graph.nodes), dict(traced.outputs)
    assert make_convolutional(traced, SIDE) is traced
    assert list(traced.graph.nodes) == nodes
    assert traced.outputs == outputs
    assert not any(isinstance(module, SlidingLinear) for module in model.modules())


@pytest.mark.parametrize("bias", [True, False])
def test_a_sliding_layer_is_a_convolution_with_the_same_numbers(bias: bool) -> None:
    linear = nn.Linear(2 * 3 * 3, 4, bias=bias, dtype=torch.float64)
    sliding = SlidingLinear(linear, window=3)
    assert sliding.weight is linear.weight
    assert sliding.state_dict().keys() == linear.state_dict().keys()
    value = torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    kernels = linear.weight.view(4, 2, 3, 3)
    torch.testing.assert_close(sliding(value), F.conv2d(value, kernels, linear.bias))
    assert torch.autograd.gradcheck(sliding, value)
    point = SlidingLinear(nn.Linear(2, 3, bias=bias, dtype=torch.float64), window=1)
    torch.testing.assert_close(
        point(value), F.conv2d(value, point.weight[:, :, None, None], point.bias)
    )


def test_logits_of_alexnet_are_a_map() -> None:
    theirs, ours = pair("alexnet")
    image = picture(224, 224, batch=2)
    expected = hooked(theirs, image, ["classifier.1", "avgpool"])
    for layer, value in ours(image, expected).items():
        same(value, expected[layer].view_as(value))
    assert ours(image, ["logits"])["logits"].shape == (2, 1000, 1, 1)
    features = hooked(theirs, picture(384, 416), ["features"])["features"]
    found = ours(picture(384, 416), ["logits"])["logits"]
    assert found.shape == (1, 1000, 6, 7)  # 11×12 units behind the convolutions, 6×6 a window
    with torch.no_grad():
        corner = theirs.get_submodule("classifier")(features[:, :, -6:, -6:].flatten(1))
    same(found[:, :, -1, -1], corner)


def test_the_classifier_of_vgg_has_a_grid() -> None:
    ours = hollow("torchvision:vgg11")
    assert [ours.channels(f"classifier.{number}") for number in (0, 3, 6)] == [4096, 4096, 1000]
    for layer in ("classifier.0", "classifier.5", "logits"):
        assert (ours.stride(layer), ours.minimum_side(layer)) == (32, 224)
        assert ours(picture(384, 384), [layer])[layer].shape[2:] == (6, 6)
    before, field = ours.receptive_field("avgpool"), ours.receptive_field("logits")
    assert before is not None
    assert field is not None
    assert field.y.size == before.y.size + 6 * 32
    assert ours.minimum_side("avgpool") == 32
    with pytest.raises(ImageError, match="224×223 pixels is too small for logits") as caught:
        ours(picture(223, 224), ["logits"])
    assert "at least 224 pixels" in str(caught.value.hint)


def test_weights_of_a_classifier_are_held_once() -> None:
    given = torch.randn(4096, 256 * 6 * 6)
    ours = hollow("alexnet", {"classifier.1.weight": given})
    assert isinstance(ours, TracedExtractor)
    held = ours.traced.model.get_parameter("classifier.1.weight")
    assert held.data_ptr() == given.data_ptr()
    ours(picture(224, 224), ["logits"])
    assert not held.requires_grad


def test_bfloat16_classifiers_stay_near_float32() -> None:
    state = {
        "features.0.weight": torch.randn(64, 3, 11, 11) / 20,
        "features.10.bias": torch.rand(256),
        "classifier.1.weight": torch.randn(4096, 256 * 6 * 6) / 100,
    }
    exact, rough = (
        hollow("alexnet", state, dtype=dtype)(picture(256, 288), ["classifier.1"])["classifier.1"]
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert rough.dtype is torch.bfloat16
    error = (rough.float() - exact).norm() / exact.norm()
    assert 0 < float(error) < 0.03


def test_a_summary_counts_every_window() -> None:
    rows = {row.name: row for row in summarise(get_backbone("torchvision:vgg11"), (384, 256))}
    first, last = rows["classifier.0"], rows["classifier.6"]
    assert (first.kind, first.shape, last.shape) == ("linear", (4096, 6, 2), (1000, 6, 2))
    assert first.macs == 512 * 7 * 7 * 4096 * 12
    assert (last.stride, last.receptive_field) == (32, first.receptive_field)
