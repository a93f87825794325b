"""Blends are what the sums of one picture would be of which each style covers its share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from styler.config import resolve
from styler.errors import ConfigError, ImageError, UsageError
from styler.features import Extractor, load_extractor
from styler.images import resize
from styler.losses import FeatureSums, Gaussian, Moments, accumulate
from styler.styles.cache import StyleCache
from styler.styles.file import StyleFile
from styler.styles.source import (
    PictureStyle,
    StyleBlend,
    StyleShare,
    StyleSource,
    as_source,
    colours_of,
    measure,
    varied,
)
from styler.styles.views import View, views
from styler.tiled_features import LARGE, sums_of
from styler.transfer import Problem, transfer

LAYERS = {"relu1_1": 1.0, "relu2_1": 1.0}


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", pooling="average")


def picture(seed: int, height: int = 48, width: int = 48) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def shares(*weighted: tuple[Tensor, float]) -> list[StyleShare]:
    return [StyleShare(source=PictureStyle(p), weight=w) for p, w in weighted]


def config(**values: object) -> object:
    settings = {"schedule.size": 48, "schedule.scales": 1, "schedule.steps": [2]}
    return resolve(("t", {**settings, "style.layers": LAYERS, **values})).config


def targets(style: object, extractor: Extractor, **values: object) -> dict[str, Tensor]:
    settings = config(**{"content.weight": 0.0, **values})
    problem = Problem(picture(9), style, settings, extractor)
    found = problem.objective(problem.levels[-1]).terms[0].targets
    return {
        layer: t.covariance if isinstance(t, Moments | Gaussian) else t
        for layer, t in found.items()
    }


@pytest.mark.parametrize("normalization", ["none", "hw", "chw", "gatys", "relative"])
def test_gram_matrices_are_the_weighted_mean(extractor: Extractor, normalization: str) -> None:
    values = {"style.loss": "gram", "style.normalization": normalization}
    one, two = picture(1), picture(2)
    mixed = targets(shares((one, 3), (two, 1)), extractor, **values)
    parts = [targets(style, extractor, **values) for style in (one, two)]
    for layer in LAYERS:
        expected = 0.75 * parts[0][layer] + 0.25 * parts[1][layer]
        assert torch.allclose(mixed[layer], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["moments", "w2"])
def test_moments_are_those_of_a_picture_of_both(extractor: Extractor, loss: str) -> None:
    # Two styles are the halves of one wide picture, but for the seam between these.
    dark, light = 0.3 * picture(1, 192, 192), 0.5 + 0.5 * picture(2, 192, 192)
    values = {"style.loss": loss, "style.layers": {"conv1_1": 1.0}, "schedule.size": 384}
    both = torch.cat([dark, light], dim=3)
    mixed = targets(shares((dark, 1), (light, 1)), extractor, **values)["conv1_1"]
    whole = targets(both, extractor, **values)["conv1_1"]
    alone = targets(dark, extractor, **values)["conv1_1"]
    assert float((mixed - whole).norm() / whole.norm()) < 0.05
    assert float((alone - whole).norm() / whole.norm()) > 0.5


def test_a_large_picture_weighs_no_more_than_a_small_one(extractor: Extractor) -> None:
    values = {"style.loss": "gram", "schedule.size": 96}
    small, large = picture(1, 32, 32), picture(2, 96, 96)
    mixed = targets(shares((small, 1), (large, 1)), extractor, **values)
    parts = [targets(style, extractor, **values) for style in (small, large)]
    for layer in LAYERS:
        expected = (parts[0][layer] + parts[1][layer]) / 2
        assert torch.allclose(mixed[layer], expected, rtol=1e-4, atol=1e-5)


def test_only_proportions_matter_and_zero_leaves_out(extractor: Extractor) -> None:
    one, two = picture(1), picture(2)
    first = targets(shares((one, 1), (two, 3)), extractor)
    second = targets(shares((one, 0.25), (two, 0.75)), extractor)
    alone = targets(shares((one, 2), (two, 0)), extractor)
    for layer, plain in targets(one, extractor).items():
        assert torch.allclose(first[layer], second[layer], rtol=1e-5, atol=1e-7)
        assert torch.equal(alone[layer], plain)


def test_one_style_with_a_weight_paints_the_same_bits(extractor: Extractor) -> None:
    one, settings = picture(1), config(**{"init.kind": "style"})
    plain, shared = (
        transfer(picture(9), style, settings, extractor=extractor).image
        for style in (one, shares((one, 0.3)))
    )
    assert torch.equal(plain, shared)
    assert as_source(shares((one, 0.3))).pixels is one


def test_colours_of_a_blend_are_those_of_all_its_pixels() -> None:
    one, two = 0.2 * picture(1, 40, 40), 0.5 + 0.4 * picture(2, 40, 40)
    blended = StyleBlend(shares((one, 1), (two, 1))).colours()
    together = colours_of(torch.cat([one, two], dim=3))
    assert torch.allclose(blended.mean, together.mean, atol=1e-6)
    assert torch.allclose(blended.covariance, together.covariance, rtol=1e-3)


@pytest.mark.parametrize("weights", [(), (0.0, 0.0), (1.0, -0.1), (float("inf"), 1.0)])
def test_weights_that_are_no_shares_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="weights of the styles"):
        StyleBlend(shares(*((picture(1), weight) for weight in weights)))


def test_every_style_of_a_blend_is_checked(extractor: Extractor) -> None:
    with pytest.raises(UsageError, match=r"style is torch\.uint8"):
        PictureStyle(torch.zeros(1, 3, 48, 48, dtype=torch.uint8))
    settings = config(**{"style.layers": {"relu5_1": 1.0}})
    with pytest.raises(ImageError, match=r"the style: .* too small for relu5_1"):
        Problem(picture(9), shares((picture(1), 1), (picture(2, 9, 9), 1)), settings, extractor)


def left(width: int, columns: int) -> Tensor:
    """A mask of the left columns."""
    mask = torch.zeros(1, 1, 4, width)
    mask[..., :columns] = 1
    return mask


def own(size: tuple[int, int]) -> tuple[int, int]:
    return size


def near(one: FeatureSums, two: FeatureSums, rtol: float = 1e-4) -> bool:
    assert one.first is not None
    assert two.first is not None
    assert one.second is not None
    assert two.second is not None
    pairs = [(one.count, two.count), (one.first, two.first), (one.second, two.second)]
    return all(torch.allclose(a, b, rtol=rtol, atol=rtol) for a, b in pairs)


def test_masked_sums_are_those_of_the_positions_that_the_mask_selects(extractor: Extractor) -> None:
    pixels, layers = picture(1, 64, 96), ["relu1_1", "relu2_1", "relu3_1"]
    style = PictureStyle(pixels, mask=left(96, 48))
    sums = style.sums(own, extractor, layers)
    features = extractor(pixels, layers)
    for layer in layers:
        cut = features[layer][..., : features[layer].shape[3] // 2]
        assert near(sums[layer], accumulate(cut, first=True, second=True))
    # At another size, with half of a cell.
    third = PictureStyle(pixels, mask=left(96, 36)).sums(lambda _: (32, 48), extractor, ["relu3_1"])
    wide = extractor(resize(pixels, (32, 48)), ["relu3_1"])["relu3_1"]
    weight = torch.tensor([1.0] * 4 + [0.5] + [0.0] * 7).expand(1, 1, 8, 12)
    assert near(third["relu3_1"], accumulate(wide, weight, first=True, second=True))


def test_a_mask_that_cuts_a_picture_out_gives_that_pictures_sums(extractor: Extractor) -> None:
    # Its units see one pixel more on each side, which is the same with and without what is around.
    inner = picture(1, 32, 32)
    inner[..., [0, -1], :] = inner[..., :, [0, -1]] = 0.5
    outer = torch.full((1, 3, 48, 64), 0.5)
    outer[..., 8:40, 16:48] = inner
    mask = torch.zeros(1, 1, 48, 64)
    mask[..., 9:39, 17:47] = 1
    found = PictureStyle(outer, mask=mask).sums(own, extractor, ["conv1_1"])["conv1_1"]
    alone = torch.zeros(1, 1, 32, 32)
    alone[..., 1:31, 1:31] = 1
    cut = PictureStyle(inner, mask=alone).sums(own, extractor, ["conv1_1"])["conv1_1"]
    assert near(found, cut)


def test_a_white_mask_is_none(extractor: Extractor) -> None:
    pixels = picture(1, 45, 61)
    white = PictureStyle(pixels, mask=torch.ones(1, 1, 5, 7)).sums(own, extractor, LAYERS)
    for layer, sums in PictureStyle(pixels).sums(own, extractor, LAYERS).items():
        assert near(white[layer], sums, rtol=1e-5)


def test_masked_sums_in_tiles_are_those_of_the_whole(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, layers = picture(1, 150, 203), ["relu1_1", "relu3_1", "relu4_1"]
    style = PictureStyle(pixels, mask=picture(2, 40, 50)[:, :1])
    whole = style.sums(own, extractor, layers)
    assert pixels[0, 0].numel() < LARGE
    monkeypatch.setattr("styler.tiled_features.LARGE", 64 * 64)
    monkeypatch.setattr("styler.tiled_features.SIDE", 64)
    tiled = style.sums(own, extractor, layers)
    for layer in layers:
        assert near(tiled[layer], whole[layer])
    ((share, seen),) = style.features(own, extractor, layers)
    assert share == 1
    for layer, (features, weight) in seen.items():
        assert weight is not None
        assert near(accumulate(features, weight, first=True, second=True), whole[layer])
    with pytest.raises(UsageError, match="weight has shape"):
        sums_of(extractor, pixels, ["relu1_1"], {"relu1_1": torch.ones(1, 1, 3, 3)})


def test_features_are_those_of_each_picture_with_its_share(extractor: Extractor) -> None:
    one, two = picture(1), picture(2, 32, 40)
    masked = PictureStyle(two, mask=left(40, 20))
    shares_ = [StyleShare(source=PictureStyle(one)), StyleShare(source=masked, weight=3)]
    parts = StyleBlend(shares_).features(own, extractor, ["relu2_1"])
    assert [share for share, _ in parts] == [0.25, 0.75]
    (features, none), (others, weight) = (part["relu2_1"] for _, part in parts)
    assert none is None
    assert weight is not None
    assert torch.equal(features, extractor(one, ["relu2_1"])["relu2_1"])
    assert others.shape[2:] == weight.shape[2:] == (16, 20)
    assert weight[0, 0, 0].tolist() == [1.0] * 10 + [0.0] * 10


def test_a_saved_style_has_no_features(extractor: Extractor) -> None:
    saved = StyleFile.__new__(StyleFile)
    saved.path = Path("flow.style")
    assert isinstance(saved, StyleSource)
    with pytest.raises(
        ConfigError, match=r"flow\.style is a saved style, which holds sums"
    ) as caught:
        StyleBlend([StyleShare(source=saved)]).features(own, extractor, ["relu1_1"])
    assert "give its picture" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="cannot be mirrored or turned"):
        varied(StyleBlend([*shares((picture(1), 1)), StyleShare(source=saved)]), ["flip"])
    assert varied(saved, []) is saved


@pytest.mark.parametrize(
    ("invariance", "count"), [(["flip"], 2), (["turn"], 4), (["flip", "turn"], 8)]
)
def test_views_are_shown_and_count_as_one_picture(
    extractor: Extractor, invariance: list[str], count: int
) -> None:
    pixels, mask = picture(1, 32, 48), picture(3, 32, 48)[:, :1]
    style = PictureStyle(pixels, mask=mask, invariance=invariance)
    shown = [view.of(pixels) for view in views(invariance)]
    assert len({tuple(p.flatten().tolist()) for p in shown}) == count
    parts = [
        PictureStyle(view.of(pixels), mask=view.of(mask)).sums(own, extractor, LAYERS)
        for view in views(invariance)
    ]
    found = style.sums(own, extractor, LAYERS)
    for layer in LAYERS:
        total = sum((part[layer] for part in parts[1:]), start=parts[0][layer])
        assert near(found[layer], total.map(lambda t: t / count))
    seen = style.features(own, extractor, LAYERS)
    assert [share for share, _ in seen] == [1 / count] * count


def test_invariant_statistics_are_those_of_the_turned_picture(extractor: Extractor) -> None:
    pixels = picture(1, 32, 48)
    both = [PictureStyle(p, invariance=["flip", "turn"]) for p in (pixels, pixels.rot90(1, (2, 3)))]
    one, two = (style.sums(own, extractor, LAYERS) for style in both)
    plain = PictureStyle(pixels).sums(own, extractor, LAYERS)
    for layer in LAYERS:
        assert near(one[layer], two[layer])
        assert not near(one[layer], plain[layer])
    # The size at which it is seen is that of the picture as it is.
    small = both[0].sums(lambda size: (size[0] // 2, size[1] // 2), extractor, ["relu1_1"])
    assert float(small["relu1_1"].count) == pytest.approx(16 * 24)


def test_a_blend_is_varied_in_its_pictures(extractor: Extractor) -> None:
    blended = varied(StyleBlend(shares((picture(1), 1), (picture(2), 3))), ["flip"])
    parts = blended.features(own, extractor, ["relu1_1"])
    assert [share for share, _ in parts] == [0.125, 0.125, 0.375, 0.375]
    one, mirrored = (part["relu1_1"][0] for _, part in parts[:2])
    assert torch.allclose(extractor(picture(1).flip(3), ["relu1_1"])["relu1_1"], mirrored)
    assert not torch.allclose(one, mirrored)


def test_views_of_a_picture_are_cached_apart_and_masks_not_at_all(extractor: Extractor) -> None:
    pixels, cache = picture(1), StyleCache()
    known = {"digest": "00", "cache": cache}
    plain = measure(pixels, (48, 48), extractor, ["relu1_1"])["relu1_1"]
    for style in (
        PictureStyle(pixels, **known, invariance=["flip", "turn"]),
        PictureStyle(pixels, **known, mask=left(48, 24)),
        PictureStyle(pixels, **known, invariance=["flip"]),
    ):
        fresh = style.replaced(digest=None, cache=None)
        for _ in range(2):
            first, again = (s.sums(own, extractor, ["relu1_1"])["relu1_1"] for s in (style, fresh))
            assert torch.equal(first.second, again.second)
    kept = PictureStyle(pixels, **known).sums(own, extractor, ["relu1_1"])["relu1_1"]
    assert torch.equal(kept.second, plain.second)
    assert len(cache._known) == 8
    assert [view.name for view in (View(), View(turns=1, mirrored=True))] == [
        "",
        " turned 1 mirrored",
    ]


def test_colours_of_a_masked_style_are_those_of_its_part() -> None:
    pixels = picture(1, 40, 60)
    found = PictureStyle(pixels, mask=left(60, 24)).colours()
    cut = colours_of(pixels[..., :24])
    assert torch.allclose(found.mean, cut.mean, atol=1e-6)
    assert torch.allclose(found.covariance, cut.covariance, rtol=1e-5, atol=1e-7)
    # A weight of a half counts like half of the pixels.
    halves = colours_of(pixels, torch.full((1, 1, 40, 60), 0.5))
    assert torch.allclose(halves.mean, colours_of(pixels).mean, atol=1e-6)
    assert torch.allclose(halves.covariance, colours_of(pixels).covariance, rtol=2e-3)
    single = torch.zeros(1, 1, 40, 60)
    single[..., 3, 7] = 1
    alone = colours_of(pixels, single)
    assert torch.allclose(alone.mean[0], pixels[0, :, 3, 7])
    assert torch.allclose(alone.covariance, torch.zeros(1, 3, 3), atol=1e-9)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(4, 4), r"the mask of a style is torch\.float32 \(4, 4\)"),
        (torch.ones(1, 1, 4, 4, dtype=torch.uint8), r"torch\.uint8"),
        (torch.full((1, 1, 4, 4), 1.5), r"outside of \[0, 1\]"),
        (torch.full((1, 1, 4, 4), float("nan")), r"outside of \[0, 1\]"),
    ],
)
def test_masks_that_are_none_are_refused(mask: Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PictureStyle(picture(1), mask=mask)


def test_a_mask_that_selects_nothing_is_refused_at_any_size(extractor: Extractor) -> None:
    with pytest.raises(ImageError, match="selects nothing"):
        PictureStyle(picture(1), mask=torch.zeros(1, 1, 4, 4))
    with pytest.raises(UsageError, match=r"invariance is \['turned'\]"):
        PictureStyle(picture(1), invariance=["turned"])
    dot = torch.zeros(1, 1, 48, 48)
    dot[..., :2, :2] = 1
    style = PictureStyle(picture(1), mask=dot)
    style.check(own, extractor, ["relu1_1"])
    for ask in (style.check, style.sums, style.features):
        with pytest.raises(ImageError, match="its mask selects nothing at 16×16 pixels"):
            ask(lambda _: (16, 16), extractor, ["relu1_1"])
