"""Masks at layers: hand values, brute force over receptive fields, and what holds for any mask."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from own_networks import Deciding, Plain, seeded
from torch import Tensor, nn
from torch.nn import functional as F

from styler.errors import ImageError, UsageError
from styler.features import (
    Extractor,
    ReceptiveField,
    Window,
    extractor_of,
    load_extractor,
)
from styler.regions.propagate import layer_mask, layer_masks, layer_sizes, resize_mask

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@functools.cache
def lite() -> Extractor:
    return load_extractor("vgg-lite", pooling="average")


def soft(seed: int, height: int, width: int) -> Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))


def half(height: int, width: int, left: int) -> Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., :left] = 1
    return mask


def brute(mask: Tensor, field: ReceptiveField, units: tuple[int, int], least: bool) -> Tensor:
    """The extreme of the mask in each unit's own box, cut off at the borders of the picture."""
    found = torch.empty(units)
    for row in range(units[0]):
        for column in range(units[1]):
            top, left, bottom, right = field.box(row, column)
            seen = mask[0, 0, max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
            found[row, column] = seen.min() if least else seen.max()
    return found


@settings(max_examples=60, deadline=None)
@given(
    own=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 99),
)
def test_a_resized_mask_keeps_its_mean_and_range(
    own: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    mask = soft(seed, *own)
    resized = resize_mask(mask, size)
    assert resized.shape == (1, 1, *size)
    assert float(resized.mean()) == pytest.approx(float(mask.mean()), abs=1e-6)
    assert float(resized.min()) >= float(mask.min()) - 1e-6
    assert float(resized.max()) <= float(mask.max()) + 1e-6


def test_whole_numbers_of_pixels_are_averaged_as_torch_does() -> None:
    mask = soft(0, 12, 18)
    assert torch.allclose(resize_mask(mask, (4, 6)), F.avg_pool2d(mask, 3), atol=1e-6)
    assert torch.equal(resize_mask(mask, (24, 36)), F.interpolate(mask, scale_factor=2))
    assert resize_mask(mask, (12, 18)) is mask


@pytest.mark.parametrize("size", [(16, 16), (33, 70), (101, 47)])
def test_layer_sizes_are_those_of_the_features(size: tuple[int, int]) -> None:
    for extractor, layers in (
        (lite(), LAYERS),
        (extractor_of(seeded(Plain)), ["act", "pool", "block.1"]),
        (extractor_of(seeded(Deciding)), ["stem", "block"]),
    ):
        names = extractor.resolve(layers)
        features = extractor(torch.rand(1, 3, *size), names)
        expected = {layer: tuple(features[layer].shape[2:]) for layer in names}
        assert layer_sizes(extractor, size, names) == expected
    assert layer_sizes(lite(), size, []) == {}
    with pytest.raises(ImageError, match="too small for relu5_1"):
        layer_sizes(lite(), (9, 40), LAYERS)


@settings(max_examples=10, deadline=None)
@given(
    height=st.integers(16, 70),
    width=st.integers(16, 70),
    seed=st.integers(0, 99),
    share=st.floats(0, 1),
)
def test_inside_is_below_simple_is_below_all(
    height: int, width: int, seed: int, share: float
) -> None:
    mask = soft(seed, height, width)
    mask = torch.where(mask > share, mask, 0.0)
    mask[..., width // 2 :] = 1
    units = layer_sizes(lite(), (height, width), LAYERS)
    inside, simple, all_ = (
        layer_masks(mask, lite(), units, margin) for margin in ("inside", "simple", "all")
    )
    for layer in LAYERS:
        assert inside[layer].shape == simple[layer].shape == (1, 1, *units[layer])
        assert bool((inside[layer] <= simple[layer] + 1e-6).all())
        assert bool((simple[layer] <= all_[layer] + 1e-6).all())
        assert float(inside[layer].sum()) >= 0.1 * float(simple[layer].sum()) - 1e-6
        assert float(inside[layer].min()) >= 0
        assert float(all_[layer].max()) <= 1


@settings(max_examples=10, deadline=None)
@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    seed=st.integers(0, 99),
    layer=st.sampled_from(LAYERS),
)
def test_simple_keeps_the_mean_where_cells_fill_the_picture(
    rows: int, columns: int, seed: int, layer: str
) -> None:
    mask = soft(seed, 16 * rows, 16 * columns)
    units = layer_sizes(lite(), (16 * rows, 16 * columns), [layer])
    found = layer_masks(mask, lite(), units, "simple")[layer]
    assert float(found.mean()) == pytest.approx(float(mask.mean()), abs=1e-6)
    stride = lite().stride(layer)
    assert torch.allclose(found, F.avg_pool2d(mask, stride), atol=1e-6)


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_1", "relu3_1", "pool2", "relu4_1"])
@pytest.mark.parametrize("size", [(64, 64), (57, 83)])
def test_extremes_are_those_of_each_units_receptive_field(
    layer: str, size: tuple[int, int]
) -> None:
    field = lite().receptive_field(layer)
    assert field is not None
    (units,) = layer_sizes(lite(), size, [layer]).values()
    mask = soft(1, *size)
    mask[..., 5:, 9:] = 0.5 + 0.5 * mask[..., 5:, 9:]  # so much is left that no window shrinks
    simple = layer_mask(mask, field, units, "simple")[0, 0]
    least = brute(mask, field, units, least=True)
    assert float(least.sum()) > 0.1 * float(simple.sum())
    found = layer_mask(mask, field, units, "inside")[0, 0]
    assert torch.allclose(found, torch.minimum(least, simple))
    assert torch.equal(
        layer_mask(mask, field, units, "all")[0, 0], brute(mask, field, units, least=False)
    )


def test_units_inside_see_nothing_of_the_other_half() -> None:
    # What "inside" promises, asked of the network itself.
    picture = soft(3, 96, 96).expand(1, 3, -1, -1).clone()
    other = picture.clone()
    other[..., 60:] = 0
    units = layer_sizes(lite(), (96, 96), ["relu2_1", "relu3_1"])
    masks = layer_masks(half(96, 96, 60), lite(), units, "inside")
    reached = layer_masks(1 - half(96, 96, 60), lite(), units, "all")
    one, two = (lite()(image, list(units)) for image in (picture, other))
    for layer, mask in masks.items():
        same = (one[layer] == two[layer]).all(1, keepdim=True)
        assert bool(same[mask == 1].all())
        assert torch.equal(mask == 0, reached[layer] == 1)
        assert 0 < float(mask.mean()) < 60 / 96


def test_hand_values_at_an_odd_size() -> None:
    # 7 pixels, pooled to 3 units of 2; the last pixel belongs to the last unit, which sees it.
    pooled = Window().through(kernel=3, padding=1).through(kernel=2, stride=2)
    field = ReceptiveField(y=Window(), x=pooled)
    mask = torch.tensor([1.0, 0.5, 0, 0, 0, 0, 1]).view(1, 1, 1, 7)

    def weights(margin: str) -> list[float]:
        return layer_mask(mask, field, (1, 3), margin)[0, 0, 0].tolist()

    assert weights("simple") == pytest.approx([0.75, 0, 1 / 3])
    assert weights("all") == [1, 0.5, 1]
    # Nothing is the case in a whole window: these shrink to the cells.
    assert weights("inside") == [0.5, 0, 0]


def test_cells_lie_in_the_middle_of_what_units_see() -> None:
    # A kernel of 7 with stride 4 and no padding: unit 0 is about pixel 3, its cell from 1.5 to 5.5.
    window = Window().through(kernel=7, stride=4)
    mask = torch.zeros(1, 1, 1, 15)
    mask[..., 5] = 1
    simple = layer_mask(mask, ReceptiveField(y=Window(), x=window), (1, 3), "simple")
    # The first cell begins with the picture: half of pixel 5 out of 5.5 pixels.
    assert simple[0, 0, 0].tolist() == pytest.approx([0.5 / 5.5, 0.5 / 4, 0])


def test_units_that_skip_pixels_count_by_those_that_they_see() -> None:
    every_other = Window().through(kernel=1, stride=2)
    mask = torch.tensor([1.0, 0, 1, 0, 1, 0]).view(1, 1, 1, 6)
    field = ReceptiveField(y=Window(), x=every_other)
    for margin in ("simple", "inside", "all"):
        assert layer_mask(mask, field, (1, 3), margin)[0, 0, 0].tolist() == [1, 1, 1]


def test_padding_is_nothing_and_not_black() -> None:
    field = lite().receptive_field("relu3_1")
    white = torch.ones(1, 1, 32, 32)
    assert torch.equal(layer_mask(white, field, (8, 8), "inside"), torch.ones(1, 1, 8, 8))
    assert torch.equal(layer_mask(1 - white, field, (8, 8), "all"), torch.zeros(1, 1, 8, 8))
    # One unit too many looks at padding alone.
    beyond = ReceptiveField(y=Window(), x=Window(0, 1, 2))
    found = layer_mask(torch.tensor([[[[0.0, 0, 1, 1]]]]), beyond, (1, 3), "simple")
    assert found[0, 0, 0].tolist() == [0, 1, 1]


def test_where_nothing_is_inside_windows_shrink_for_the_whole_layer() -> None:
    mask = half(64, 64, 32)
    field = lite().receptive_field("relu5_1")
    assert field is not None
    assert field.x.size > 64  # no unit sees the half alone
    inside = layer_mask(mask, field, (4, 4), "inside")
    assert torch.equal(inside[0, 0, 0], torch.tensor([1.0, 0, 0, 0]))
    # Narrower than a cell: as by "simple".
    line = half(64, 64, 5)
    simple = layer_mask(line, field, (4, 4), "simple")
    assert torch.equal(layer_mask(line, field, (4, 4), "inside"), simple)
    assert float(simple[0, 0, 0, 0]) == pytest.approx(5 / 16)
    nothing = torch.zeros(1, 1, 64, 64)
    assert not bool(layer_mask(nothing, field, (4, 4), "inside").any())


def test_units_that_see_everything_belong_by_the_whole() -> None:
    mask = half(8, 8, 4)
    assert torch.equal(layer_mask(mask, None, (2, 2), "simple")[0, 0, 0], torch.tensor([1.0, 0]))
    assert torch.equal(layer_mask(mask, None, (2, 3), "all"), torch.ones(1, 1, 2, 3))
    some = 0.5 + 0.5 * mask
    assert torch.equal(layer_mask(some, None, (2, 2), "inside"), torch.full((1, 1, 2, 2), 0.5))
    # No unit sees the half alone, and none can see less.
    assert torch.equal(layer_mask(mask, None, (1, 2), "inside")[0, 0, 0], torch.tensor([1.0, 0]))


def test_a_network_of_convolutions_with_strides() -> None:
    network = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 5, stride=3, padding=1), nn.Conv2d(4, 4, 3, stride=2))
    )
    extractor = extractor_of(network)
    mask = soft(5, 41, 50)
    units = layer_sizes(extractor, (41, 50), ["0", "1"])
    for margin in ("simple", "inside", "all"):
        for layer, found in layer_masks(mask, extractor, units, margin).items():
            field = extractor.receptive_field(layer)
            assert field is not None
            low, high = (brute(mask, field, units[layer], least=flag) for flag in (True, False))
            assert bool((low - 1e-6 <= found[0, 0]).all())
            assert bool((found[0, 0] <= high + 1e-6).all())


def test_other_tensors_and_margins_are_refused() -> None:
    mask = torch.ones(1, 1, 8, 8)
    with pytest.raises(UsageError, match=r"a mask is torch\.float32 \(8, 8\)"):
        layer_mask(mask[0, 0], None, (2, 2), "simple")
    with pytest.raises(UsageError, match=r"torch\.uint8"):
        layer_mask(mask.byte(), None, (2, 2), "simple")
    with pytest.raises(UsageError, match="margin is 'outside'"):
        layer_mask(mask, None, (2, 2), "outside")
