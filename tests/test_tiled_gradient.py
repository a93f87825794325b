"""Tile by tile: the same values and gradients as of the whole picture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from styler.engine import DirectGradient
from styler.errors import ConfigError, UsageError
from styler.features import EnsembleExtractor, Extractor, Padding, extractor_of, load_extractor
from styler.features.base import Pooling
from styler.losses import (
    ContentLoss,
    FeatureLoss,
    GramStyleLoss,
    LayerwiseLoss,
    MmdStyleLoss,
    MomentStyleLoss,
    TotalVariationLoss,
    WassersteinStyleLoss,
)
from styler.objective import Evaluation, FeatureTerm, ImageTerm, Objective, Term
from styler.params import PixelImage
from styler.tiled_gradient import TiledGradient
from styler.tiled_network import TiledNetwork

STYLES = {
    "gram": GramStyleLoss("hw"),
    "gatys": GramStyleLoss("gatys"),
    "relative": GramStyleLoss("relative"),
    "moments": MomentStyleLoss(),
    "wasserstein": WassersteinStyleLoss(),
    "mmd-linear": MmdStyleLoss("linear"),
    "mmd-polynomial": MmdStyleLoss("polynomial"),
}
DEEP = ("relu1_1", "relu2_1", "conv3_2", "relu4_1", "relu5_1")


def picture(seed: int, height: int, width: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Blobs and noise: something for every scale."""
    generator = torch.Generator().manual_seed(seed)
    fine = torch.rand(1, 3, height, width, generator=generator, dtype=dtype)
    coarse = torch.rand(1, 3, 3, 4, generator=generator, dtype=dtype)
    return (fine + nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")) / 2


def masks_for(features: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        layer: torch.rand(1, 1, *value.shape[-2:], generator=generator, dtype=value.dtype)
        for layer, value in features.items()
    }


def style_term(
    extractor: Extractor,
    loss: FeatureLoss[Tensor],
    layers: tuple[str, ...],
    size: tuple[int, int],
    *,
    masked: bool = False,
    name: str = "style",
) -> FeatureTerm:
    dtype = extractor.dtype
    layerwise = LayerwiseLoss(loss, {layer: 0.5 + i for i, layer in enumerate(layers)})
    own = extractor(picture(1, *size, dtype), layers)
    target = layerwise.prepare(layerwise.represent(extractor(picture(2, 70, 90, dtype), layers)))
    masks = masks_for(own, 3) if masked else {}
    return FeatureTerm(name=name, weight=1.7, loss=layerwise, targets=target, masks=masks)


def content_term(extractor: Extractor, size: tuple[int, int], *, masked: bool) -> FeatureTerm:
    loss = LayerwiseLoss(ContentLoss(), {"relu3_1": 1.0, "relu4_2": 0.5})
    features = extractor(picture(4, *size, extractor.dtype), loss.layers)
    masks = masks_for(features, 5) if masked else None
    targets = loss.prepare(loss.represent(features, masks))
    return FeatureTerm(name="content", weight=0.8, loss=loss, targets=targets)


def both(
    extractor: Extractor, terms: list[Term], image: Tensor, sides: int | list[int]
) -> tuple[tuple[Evaluation, Tensor], tuple[Evaluation, Tensor]]:
    objective = Objective(terms)
    found = []
    for gradient in (
        DirectGradient(extractor, objective),
        TiledGradient(extractor, objective, sides),
    ):
        parameter = PixelImage(image, pixel_range=255)
        parameter.raw.data = parameter.raw.data.to(image.dtype)
        evaluation = gradient(parameter)
        assert parameter.raw.grad is not None
        found.append((evaluation, parameter.raw.grad))
    return found[0], found[1]


def assert_equal(
    extractor: Extractor,
    terms: list[Term],
    image: Tensor,
    sides: int | list[int],
    tolerance: float,
) -> None:
    (direct, whole), (tiled, pieced) = both(extractor, terms, image, sides)
    assert tiled.total.item() == pytest.approx(direct.total.item(), rel=tolerance)
    for name, value in direct.losses.items():
        assert tiled.losses[name].item() == pytest.approx(value.item(), rel=tolerance)
    assert (pieced - whole).norm() <= tolerance * whole.norm()


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(33, 150),
    width=st.integers(33, 150),
    side=st.integers(8, 120),
    kind=st.sampled_from(sorted(STYLES)),
    depth=st.integers(1, 5),
    masked=st.booleans(),
    pooling=st.sampled_from(["max", "average"]),
)
def test_equal_to_direct(
    height: int, width: int, side: int, kind: str, depth: int, masked: bool, pooling: Pooling
) -> None:
    extractor = load_extractor("vgg-lite", dtype=torch.float64, pooling=pooling)
    size = (height, width)
    terms: list[Term] = [
        style_term(extractor, STYLES[kind], DEEP[:depth], size, masked=masked),
        content_term(extractor, size, masked=masked),
        ImageTerm(name="smoothness", weight=2.0, loss=TotalVariationLoss()),
    ]
    assert_equal(extractor, terms, picture(0, *size), side, 1e-7)


@pytest.mark.parametrize("kind", sorted(STYLES))
@pytest.mark.parametrize(("size", "side"), [((201, 333), 96), ((255, 190), 101)])
def test_equal_to_direct_in_float32(kind: str, size: tuple[int, int], side: int) -> None:
    extractor = load_extractor("vgg-lite", pooling="average")
    terms: list[Term] = [
        style_term(extractor, STYLES[kind], DEEP, size),
        content_term(extractor, size, masked=False),
    ]
    assert_equal(extractor, terms, picture(0, *size, torch.float32), side, 1e-4)


@pytest.mark.parametrize("sides", [[40], [40, 12], [200, 9, 5], [33, 8, 4, 2], []])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_the_last_parts_may_be_run_whole(sides: list[int], pooling: Pooling) -> None:
    extractor = load_extractor("vgg-lite", dtype=torch.float64, pooling=pooling)
    size = (101, 130)
    terms: list[Term] = [
        style_term(extractor, MomentStyleLoss(), (*DEEP, "pool3"), size, masked=True),
        content_term(extractor, size, masked=False),
    ]
    assert_equal(extractor, terms, picture(0, *size), sides, 1e-9)


def test_two_styles_in_two_regions_and_a_batch() -> None:
    extractor = load_extractor("vgg-lite", dtype=torch.float64)
    size = (75, 98)
    terms: list[Term] = [
        style_term(extractor, MomentStyleLoss(), DEEP, size, masked=True, name="sky"),
        style_term(extractor, GramStyleLoss(), DEEP[1:3], size, masked=True, name="sea"),
        content_term(extractor, size, masked=False),
    ]
    image = torch.cat([picture(0, *size), picture(9, *size)])
    assert_equal(extractor, terms, image, 40, 1e-9)


def test_pixels_alone_and_features_alone() -> None:
    extractor = load_extractor("vgg-lite", dtype=torch.float64)
    image = picture(0, 50, 60)
    smooth = ImageTerm(name="smoothness", weight=1.0, loss=TotalVariationLoss("l1"))
    assert_equal(extractor, [smooth], image, 20, 1e-12)
    content = content_term(extractor, (50, 60), masked=False)
    assert_equal(extractor, [content], image, 20, 1e-9)


class Branches(nn.Module):
    """Dilation, a stride, and a sum of branches that see more and less."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 6, 5, stride=2, padding=2)
        self.wide = nn.Conv2d(6, 8, 3, padding=3, dilation=3)
        self.narrow = nn.Conv2d(6, 8, 1)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.last = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        value = torch.relu(self.stem(image))
        joined = torch.relu(self.wide(value)) + torch.relu(self.narrow(value))
        found: Tensor = self.last(self.pool(joined))
        return found


@settings(max_examples=15, deadline=None)
@given(height=st.integers(30, 90), width=st.integers(30, 90), side=st.integers(4, 60))
def test_other_networks_in_one_part(height: int, width: int, side: int) -> None:
    extractor = extractor_of(Branches(), name="branches", dtype=torch.float64)
    assert len(extractor.segments(["last"])) == 1
    size = (height, width)
    terms: list[Term] = [style_term(extractor, GramStyleLoss(), ("stem", "pool", "last"), size)]
    assert_equal(extractor, terms, picture(0, *size), side, 1e-9)


@settings(max_examples=8, deadline=None)
@given(
    height=st.integers(33, 110),
    width=st.integers(33, 110),
    side=st.integers(8, 90),
    padding=st.sampled_from(["reflect", "replicate"]),
    pooling=st.sampled_from(["average", "l2"]),
    rescaled=st.booleans(),
)
def test_other_borders_and_poolings(
    height: int, width: int, side: int, padding: Padding, pooling: Pooling, rescaled: bool
) -> None:
    extractor = load_extractor(
        "vgg-lite",
        dtype=torch.float64,
        pooling=pooling,
        padding=padding,
        rescale_pooling=rescaled,
    )
    size = (height, width)
    terms: list[Term] = [
        style_term(extractor, MomentStyleLoss(), DEEP, size, masked=True),
        content_term(extractor, size, masked=False),
    ]
    assert_equal(extractor, terms, picture(0, *size), side, 1e-7)


@settings(max_examples=6, deadline=None)
@given(height=st.integers(33, 110), width=st.integers(33, 110), side=st.integers(8, 90))
def test_several_networks_at_once(height: int, width: int, side: int) -> None:
    own = extractor_of(Branches(), name="branches", dtype=torch.float64)
    extractor = EnsembleExtractor([load_extractor("vgg-lite", dtype=torch.float64), own])
    layers = ("vgg-lite:relu1_1", "branches:pool", "vgg-lite:relu4_1", "branches:last")
    size = (height, width)
    terms: list[Term] = [
        style_term(extractor, MomentStyleLoss(), layers, size, masked=True),
        style_term(extractor, GramStyleLoss(), layers[1:3], size, name="other"),
    ]
    assert_equal(extractor, terms, picture(0, *size), side, 1e-7)


def test_units_that_see_everything_are_refused() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Conv2d(4, 4, 1))
    extractor = extractor_of(module, name="global")
    with pytest.raises(ConfigError, match="units of 2 in global see the whole image"):
        extractor.segments(["2"])


def test_parts_are_cut_where_units_are_far_apart() -> None:
    extractor = load_extractor("vgg-lite")
    parts = extractor.segments(["relu1_1", "relu2_2", "relu5_1"])
    assert [part.output for part in parts] == ["pool2", "pool3", "pool4", None]
    assert [part.layers for part in parts] == [("relu1_1", "relu2_2"), (), (), ("relu5_1",)]
    assert [part.output for part in extractor.segments(["relu2_1"])] == [None]
    assert [part.output for part in extractor.segments(["pool2"])] == [None]


def test_what_cannot_be_tiled_says_so() -> None:
    extractor = load_extractor("vgg-lite")

    class Everywhere(ContentLoss):
        tileable = False

    term = content_term(extractor, (40, 40), masked=False)
    loss = LayerwiseLoss(Everywhere(), term.loss.weights)
    odd = FeatureTerm(name="odd", weight=1.0, loss=loss, targets=term.targets)
    with pytest.raises(UsageError, match="odd cannot be taken tile by tile: Everywhere"):
        TiledGradient(extractor, Objective([odd]), 32)
    with pytest.raises(UsageError, match="5 sides for a network in 4 parts"):
        TiledNetwork(extractor, ["relu5_1"], [32] * 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_seam(dtype: torch.dtype) -> None:
    """Along borders of tiles the gradient is as large, beside that of the whole, as elsewhere."""
    extractor = load_extractor("vgg-lite", dtype=dtype, pooling="average")
    size, side = (256, 320), 64
    loss = LayerwiseLoss(MomentStyleLoss(), dict.fromkeys(DEEP, 1.0))
    style = extractor(picture(2, 200, 200, torch.float32), DEEP)
    target = loss.prepare(loss.represent(style))
    term = FeatureTerm(name="style", weight=1.0, loss=loss, targets=target)
    (_, whole), (_, tiled) = both(extractor, [term], picture(0, *size, torch.float32), side)
    border = torch.zeros(size, dtype=torch.bool)
    for at in range(side, max(size), side):
        border[at - 2 : at + 2] = True
        border[:, at - 2 : at + 2] = True
    magnitude = (tiled.abs() / whole.abs().mean()).mean((0, 1))
    direct = (whole.abs() / whole.abs().mean()).mean((0, 1))
    along = magnitude[border].mean() / direct[border].mean()
    elsewhere = magnitude[~border].mean() / direct[~border].mean()
    assert (along / elsewhere).item() == pytest.approx(1, abs=0.02)
    assert (tiled - whole)[..., border].norm() < 0.05 * whole[..., border].norm()
