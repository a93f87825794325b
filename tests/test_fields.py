"""What units see: published numbers, gradients, and parts of an image that stand for the whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import RECIPES, AllSeen, build, fill
from torch import Tensor, nn

from styler.errors import BackboneError, ConfigError, ImageError, UsageError
from styler.features import EnsembleExtractor, Extractor, extractor_of, load_extractor
from styler.features.traced_steps import Step
from styler.fields import LayerField, Tile, receptive_field, tile_of

ORACLE = [
    ("alexnet", "features.0", 11, 4, (-2, 8)),
    ("alexnet", "features.3", 51, 8, (-18, 32)),
    ("alexnet", "features.6", 99, 16, (-34, 64)),
    ("alexnet", "features.8", 131, 16, (-50, 80)),
    ("alexnet", "features.10", 163, 16, (-66, 96)),
    ("vgg16", "conv1_2", 5, 1, (-2, 2)),
    ("vgg16", "conv2_2", 14, 2, (-6, 7)),
    ("vgg16", "conv3_3", 40, 4, (-18, 21)),
    ("vgg16", "conv4_3", 92, 8, (-42, 49)),
    ("vgg16", "conv5_3", 196, 16, (-90, 105)),
    ("vgg19", "conv3_4", 48, 4, (-22, 25)),
    ("vgg19", "conv4_4", 116, 8, (-54, 61)),
    ("vgg19", "conv5_4", 252, 16, (-118, 133)),
    ("googlenet", "inception3a", 43, 8, (-15, 27)),
    ("googlenet", "inception3b", 59, 8, (-23, 35)),
    ("googlenet", "inception4a", 107, 16, (-39, 67)),
    ("googlenet", "inception4e", 235, 16, (-103, 131)),
    ("googlenet", "inception5b", 379, 32, (-167, 211)),
    ("inception_v3", "Mixed_5b", 63, 8, (-18, 44)),
    ("inception_v3", "Mixed_6a", 159, 16, (-58, 100)),
    ("inception_v3", "Mixed_6e", 927, 16, (-442, 484)),
    ("inception_v3", "Mixed_7c", 1311, 32, (-618, 692)),
    ("resnet50", "layer1", 35, 4, (-17, 17)),
    ("resnet50", "layer2", 91, 8, (-45, 45)),
    ("resnet50", "layer3", 267, 16, (-133, 133)),
    ("resnet50", "layer4", 427, 32, (-213, 213)),
]
"""Araujo, Norris & Sim 2019 give the sizes and strides; the windows follow from the paddings."""


def picture(size: tuple[int, int], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, *size, generator=generator, dtype=torch.float64)


def extent(touched: Tensor) -> tuple[int, int]:
    """First row that anything touches, and the one past the last; (0, 0) for none."""
    places = torch.nonzero(touched).flatten()
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)


@pytest.mark.parametrize(("network", "layer", "side", "stride", "window"), ORACLE)
def test_networks_everybody_knows(
    network: str, layer: str, side: int, stride: int, window: tuple[int, int]
) -> None:
    field = receptive_field(network, layer, 299)
    assert field.sees == (side, side)
    assert field.stride == (stride, stride)
    assert field.window == (window, window)


@pytest.mark.parametrize(
    ("network", "layer", "size", "grid"),
    [
        ("alexnet", "features.12", (224, 224), (6, 6)),
        ("alexnet", "logits", (224, 256), (1, 2)),
        ("vgg19", "pool5", (224, 255), (7, 7)),
        ("googlenet", "inception5b", (224, 224), (7, 7)),
        ("squeezenet1_0", "features.12", (224, 224), (13, 13)),
        ("squeezenet1_0", "features.2", (35, 36), (7, 7)),  # with ceil_mode: 15 → 7, 15 → 7
        ("inception_v3", "Mixed_7c", (299, 299), (8, 8)),
        ("resnet50", "layer4", (224, 193), (7, 7)),
    ],
)
def test_the_map_of_a_layer(
    network: str, layer: str, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    assert receptive_field(network, layer, size).grid == grid


def drawn(recipes: list[dict[str, Any]], size: tuple[int, int]) -> tuple[nn.Module, LayerField]:
    """A network and the field of its last layer; the image grows where it is too small."""
    net = build(recipes)
    layer = str(len(recipes))
    try:
        return net, receptive_field(net, layer, size)
    except ImageError as error:
        with pytest.raises(RuntimeError):
            fill(net, None)(picture((min(size), min(size))))
        least = int(str(error.hint).split()[3])
        return net, receptive_field(net, layer, (least + 3, least))


@settings(max_examples=150, deadline=None)
@given(
    side=st.integers(1, 20),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 6),
    dilation=st.integers(1, 3),
    padding=st.integers(0, 2),
    ceil=st.booleans(),
)
def test_units_of_a_pooling(
    side: int, kernel: int, stride: int, dilation: int, padding: int, ceil: bool
) -> None:
    padding = min(padding, kernel // 2)
    two = [(value, value) for value in (kernel, stride, padding, dilation)]
    step = Step(kernel=two[0], stride=two[1], padding=two[2], dilation=two[3], ceil=ceil)
    try:
        value = F.max_pool2d(torch.zeros(1, 1, side, side), *two, ceil_mode=ceil)
    except RuntimeError:  # torch has no words for a map without units
        assert step.side(side, 0) == 0
    else:
        assert step.side(side, 0) == step.side(side, 1) == value.shape[2]


SIZES = st.tuples(st.integers(16, 44), st.integers(16, 44))


EVEN = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@EVEN
@settings(max_examples=60, deadline=None)
@given(recipes=RECIPES, size=SIZES, data=st.data())
def test_units_see_what_their_gradients_reach(
    recipes: list[dict[str, Any]], size: tuple[int, int], data: st.DataObject
) -> None:
    net, field = drawn(recipes, size)
    image = torch.ones(1, 3, *field.size, dtype=torch.float64, requires_grad=True)
    with AllSeen():
        value = fill(net, None)(image)
    assert field.grid == tuple(value.shape[2:])
    rows, columns = field.grid
    asked = data.draw(st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1)))
    for row, column in {asked, (rows // 2, columns // 2), (0, columns - 1), (rows - 1, 0)}:
        (gradient,) = torch.autograd.grad(value[0, :, row, column].sum(), image, retain_graph=True)
        touched = gradient.abs().sum((0, 1))
        (top, bottom), (left, right) = extent(touched.sum(1)), extent(touched.sum(0))
        box = field.inside(row, column)
        if not field.clipped(row, column):
            assert (top, left, bottom, right) == box
        elif bottom:
            assert top >= box[0]
            assert left >= box[1]
            assert bottom <= box[2]
            assert right <= box[3]


@EVEN
@settings(max_examples=60, deadline=None)
@given(recipes=RECIPES, size=SIZES, seed=st.integers(1, 9), data=st.data())
def test_a_tile_stands_for_the_image(
    recipes: list[dict[str, Any]], size: tuple[int, int], seed: int, data: st.DataObject
) -> None:
    net, field = drawn(recipes, size)
    fill(net, seed)
    image = picture(field.size, seed).requires_grad_()
    value = net(image)
    rows, columns = field.grid
    asked = data.draw(st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1)))
    for row, column in {asked, (0, 0), (rows - 1, columns - 1), (rows // 2, columns // 2)}:
        tile = tile_of(field, row, column)
        part = tile.of(image).detach().requires_grad_()
        found = net(part)[0, :, tile.row, tile.column]
        scale = float(value.detach().abs().max())
        torch.testing.assert_close(found, value[0, :, row, column], rtol=1e-12, atol=1e-12 * scale)
        (whole,) = torch.autograd.grad(value[0, 0, row, column], image, retain_graph=True)
        (small,) = torch.autograd.grad(found[0], part)
        scale = float(whole.abs().max())
        torch.testing.assert_close(small, tile.of(whole), rtol=1e-12, atol=1e-12 * scale)
        tile.of(whole).zero_()
        assert not whole.any()


class Residual(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.short = nn.Conv2d(channels, out, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, value: Tensor) -> Tensor:
        way = self.conv2(self.relu(self.bn1(self.conv1(value))))
        way += self.short(value)
        return self.relu(way)


def small_resnet() -> Extractor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = nn.Sequential(
            nn.Conv2d(3, 6, 7, 2, 3),
            nn.MaxPool2d(3, 2, 1),
            Residual(6, 6, 1),
            Residual(6, 8, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        )
    return extractor_of(net, name="small", dtype=torch.float64)


def networks() -> list[tuple[Extractor, str]]:
    lite = load_extractor("vgg-lite", dtype=torch.float64)
    odd = load_extractor("vgg-lite", dtype=torch.float64, padding="reflect", pooling="average")
    resnet = small_resnet()
    return [
        *((lite, layer) for layer in ("conv1_1", "relu2_2", "pool2", "relu4_1", "pool5")),
        *((odd, layer) for layer in ("relu1_2", "conv3_1")),
        *((resnet, layer) for layer in ("1", "2.relu_1", "3")),
    ]


def test_tiles_of_extractors() -> None:
    image = picture((151, 118))
    for extractor, layer in networks():
        value = extractor(image, [layer])[layer]
        field = receptive_field(extractor, layer, (151, 118))
        rows, columns = field.grid
        assert field.grid == tuple(value.shape[2:])
        assert field.field == extractor.receptive_field(layer)
        corners = [(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)]
        for row, column in [*corners, (rows // 2, columns // 3), (rows // 3, columns // 2)]:
            tile = tile_of(field, row, column)
            found = extractor(tile.of(image), [layer])[layer][0, :, tile.row, tile.column]
            scale = float(value.abs().max())
            torch.testing.assert_close(
                found, value[0, :, row, column], rtol=1e-12, atol=1e-12 * scale
            )


def test_tiles_are_as_small_as_can_be() -> None:
    field = receptive_field("vgg19", "relu3_3", (512, 512))
    assert {tile_of(field, 40, column).size for column in range(9, 100)} == {(42, 42)}
    assert tile_of(field, 0, 127) == Tile(top=0, left=488, bottom=22, right=512, row=0, column=5)
    seen = receptive_field("vgg19", "relu3_3", (60, 512))
    assert tile_of(seen, 14, 60).size == (24, 42)
    net = nn.Sequential(nn.Conv2d(3, 2, (1, 7)), nn.Conv2d(2, 2, (3, 1)))
    least = receptive_field(net, "1", 20)
    assert least.least == 7  # extractors take no image with a shorter side
    assert [tile_of(least, row, 4).box for row in (0, 17)] == [(0, 4, 7, 11), (13, 4, 20, 11)]


def test_boxes_at_the_border() -> None:
    field = receptive_field("vgg16", "conv2_2", (32, 40))
    assert field.grid == (16, 20)
    assert field.box(0, 19) == (-6, 32, 8, 46)
    assert field.inside(0, 19) == (0, 32, 8, 40)
    assert field.clipped(0, 10)
    assert not field.clipped(5, 10)
    assert field.box(5, 10) == field.inside(5, 10) == (4, 14, 18, 28)
    for place in ((16, 0), (0, 20), (-1, 0), (0, -1)):
        with pytest.raises(UsageError, match="conv2_2 has no unit at"):
            field.box(*place)
        with pytest.raises(UsageError, match="conv2_2 has no unit at"):
            tile_of(field, *place)


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(4, 4, 1)

    def forward(self, value: Tensor) -> Tensor:
        return value * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(value, 1)))


class Spread(nn.Module):
    """A map of one unit, which is spread over another of the same stride."""

    def forward(self, value: Tensor) -> Tensor:
        return value + F.max_pool2d(value, 32, 1)


class Uneven(nn.Module):
    """Two maps of one size, whose units are not as far apart."""

    def __init__(self) -> None:
        super().__init__()
        self.ways = nn.ModuleList(
            [nn.Conv2d(4, 4, 1, stride=(1, 2)), nn.Conv2d(4, 4, (1, 17), stride=1)]
        )

    def forward(self, value: Tensor) -> Tensor:
        return self.ways[0](value) + self.ways[1](value)


class Rows(nn.Module):
    """What changes places: rows left out, moved, or taken from elsewhere."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, value: Tensor) -> Tensor:
        if self.how == "cut":
            return value[:, :, 1:]
        if self.how == "one":
            return value[:, :, 3]
        if self.how == "from the end":
            return value[..., 1:]
        if self.how == "twice":
            return torch.cat([value, value], 2)
        upper, lower = value.chunk(2, 2)
        return upper if self.how == "half" else torch.cat([lower, upper], 2)


class Attention(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        flat = value.flatten(2)
        return (flat @ (flat.transpose(1, 2) @ flat).softmax(-1)).view(value.shape)


@pytest.mark.parametrize(
    "last",
    [
        SqueezeExcite(),
        Spread(),
        Uneven(),
        Rows("cut"),
        Rows("from the end"),
        Rows("twice"),
        Rows("half"),
        Rows("swapped"),
        Attention(),
        nn.AdaptiveAvgPool2d(7),
        nn.Upsample(scale_factor=2),
        nn.ConvTranspose2d(4, 4, 3, stride=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(4, 4, 3, padding="same", padding_mode="circular"),
        nn.Conv2d(4, 4, 3, padding=2, padding_mode="reflect"),
        nn.Conv2d(4, 4, 2, padding="same", padding_mode="replicate"),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.GroupNorm(2, 4),
        nn.ReflectionPad2d(2),
        nn.ZeroPad2d(-1),
        nn.Sequential(nn.Flatten(), nn.Linear(4 * 32 * 32, 5)),
    ],
)
def test_units_that_see_the_whole_image(last: nn.Module) -> None:
    field = receptive_field(nn.Sequential(nn.Conv2d(3, 4, 1), last), "logits", 32)
    assert (field.field, field.sees, field.stride, field.window) == (None, None, None, None)
    assert field.box(0, 0) == field.inside(0, 0) == (0, 0, 32, 32)
    assert not field.clipped(0, 0)
    assert tile_of(field, 0, 0).box == (0, 0, 32, 32)
    if isinstance(last, nn.Sequential):
        assert field.grid == (1, 1)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_mirrored_borders_show_what_is_near(mode: str) -> None:
    net = nn.Sequential(*[nn.Conv2d(3, 3, 5, padding=2, padding_mode=mode) for _ in range(2)])
    fill(net.double().requires_grad_(False), 1)
    field = receptive_field(net, "1", (14, 17))
    assert field.sees == (9, 9)
    image = picture((14, 17)).requires_grad_()
    value = net(image)
    for row, column in ((0, 0), (13, 16), (7, 8), (1, 15)):
        (gradient,) = torch.autograd.grad(value[0, 0, row, column], image, retain_graph=True)
        touched = gradient.abs().sum((0, 1))
        (top, bottom), (left, right) = extent(touched.sum(1)), extent(touched.sum(0))
        assert (top, left, bottom, right) == field.inside(row, column)


class Placed(nn.Module):
    """Adds something of its own to every place, as networks for one size of image do."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.places = nn.Parameter(torch.zeros(1, 4, *shape))
        self.end = nn.Conv2d(4, 4, 3)

    def forward(self, value: Tensor) -> Tensor:
        return self.end(self.conv(value) + self.places)


def test_networks_for_one_size_have_no_tiles() -> None:
    for shape, croppable in (((24, 24), False), ((1, 24), False), ((1, 1), True)):
        field = receptive_field(Placed(*shape), "end", 24)
        assert field.sees == (5, 5)
        assert field.croppable is croppable
        assert (tile_of(field, 8, 8).size == (24, 24)) is not croppable
    with pytest.raises(ImageError, match=r"end takes no image of 30×24 pixels"):
        receptive_field(Placed(24, 24), "end", (24, 30))


def test_circular_borders_of_an_extractor() -> None:
    extractor = load_extractor("vgg-lite", padding="circular")
    field = receptive_field(extractor, "relu2_1", (32, 48))
    assert (field.grid, field.field) == ((16, 24), None)


def test_several_networks() -> None:
    own = extractor_of(nn.Sequential(nn.Conv2d(3, 8, 3, 2)), name="own")
    both = EnsembleExtractor([load_extractor("vgg-lite"), own])
    field = receptive_field(both, "own:0", (32, 48))
    assert (field.layer, field.grid, field.sees) == ("own:0", (15, 23), (3, 3))
    assert receptive_field(both, "vgg-lite:r21", 32).layer == "vgg-lite:relu2_1"
    two = EnsembleExtractor([own, extractor_of(nn.Sequential(nn.Conv2d(3, 8, 5)), name="two")])
    with pytest.raises(ConfigError, match="0 is a layer of several networks"):
        receptive_field(two, "0", 32)


def test_a_module_stays_as_it_is() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True)).train()
    assert receptive_field(net, "1", 9).grid == (7, 7)  # two channels are no image, but a map
    assert net.training
    assert net[1].inplace
    assert all(value.requires_grad and value.device.type == "cpu" for value in net.parameters())


class Wilful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, value: Tensor) -> Tensor:
        return self.conv(value) if value.mean() > 0 else self.conv(-value)


def test_networks_that_cannot_be_traced() -> None:
    for network in (Wilful(), extractor_of(Wilful(), name="Wilful")):
        with pytest.raises(BackboneError, match="nobody knows what units of Wilful see") as caught:
            receptive_field(network, "conv", 32)
        assert "gradients" in str(caught.value.hint)


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match="conv4_9") as unknown:
        receptive_field("vgg16", "conv4_9", 224)
    assert "conv4_" in str(unknown.value.hint)
    with pytest.raises(ConfigError, match="layer9"):
        receptive_field("resnet50", "layer9", 224)
    with pytest.raises(BackboneError, match="unknown backbone 'vgg61'"):
        receptive_field("vgg61", "conv4_1", 224)
    for network in ("vgg-lite", load_extractor("vgg-lite")):
        with pytest.raises(ImageError, match="64×15 pixels is too small for relu5_1") as small:
            receptive_field(network, "relu5_1", (15, 64))
        assert "at least 16 pixels" in str(small.value.hint)
    with pytest.raises(ImageError, match="48×8 pixels is too small for 0"):
        receptive_field(nn.Sequential(nn.Conv2d(3, 1, 9)), "0", (8, 48))
    with pytest.raises(ConfigError, match="logits is no map"):
        receptive_field(nn.Sequential(nn.Conv2d(3, 1, 9), Rows("one")), "logits", 32)
    with pytest.raises(UsageError, match="height and a width"):
        receptive_field("vgg16", "conv1_1", (0, 5))
