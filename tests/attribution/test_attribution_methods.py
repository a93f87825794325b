"""Attributions by hand, by independent formulas, and on networks whose answer is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from traced_builders import pair, picture

from styler.attribution import METHODS, AttributeConfig, Method, attribute, find_target
from styler.attribution import methods as module
from styler.attribution.cam import combined, grad_cam, plus_weights
from styler.attribution.layers import deepest_map
from styler.attribution.sampled import baseline, captum_attributions, square_count
from styler.errors import ConfigError, ImageError, UsageError
from styler.features import Extractor, Preprocessing, extractor_of, load_extractor

AS_IT_IS = Preprocessing(mean=(0.0, 0.0, 0.0))


@pytest.fixture
def captum() -> Any:
    return pytest.importorskip("captum.attr", reason="captum is not installed")


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return make()


class Head(nn.Module):
    """Global average pooling and a linear layer, for which CAM was made."""

    def __init__(self, decides: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 8, 3)
        self.end = nn.ReLU(inplace=True)
        self.aside = nn.Conv2d(6, 2, 1)
        self.linear = nn.Linear(8, 5)
        self.decides = decides

    def forward(self, image: Tensor) -> Tensor:
        maps = self.act(self.first(image))
        self.aside(maps)
        if self.decides and maps.sum() < -1e9:
            maps = -maps
        maps = self.end(self.second(maps))
        return self.linear(maps.mean((2, 3)))  # type: ignore[no-any-return]


class Square(nn.Module):
    """Looks at one square of the picture alone."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, image: Tensor) -> Tensor:
        return self.scale * image[:, :, 16:24, 8:16].mean((1, 2, 3))[:, None]


class Linear(nn.Module):
    """The sum of all pixels, each with its own weight, in a picture of 64×64."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(3, 64, 64))

    def forward(self, image: Tensor) -> Tensor:
        return (image * self.weights).sum((1, 2, 3))[:, None]


def opened(model: nn.Module, dtype: torch.dtype = torch.float64) -> Extractor:
    return extractor_of(model, name="mine", preprocessing=AS_IT_IS, dtype=dtype)


def head(decides: bool = False) -> Extractor:
    return opened(seeded(lambda: Head(decides)))


IMAGE = picture(40, 48).double()


def quick(**changes: Any) -> AttributeConfig:
    return dataclasses.replace(AttributeConfig(), **{"samples": 4, "steps": 8, **changes})


def test_the_gradient_is_that_of_the_network_itself() -> None:
    model = seeded(Head).double()
    image = IMAGE.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(image)[0, 2], image)
    found = attribute(IMAGE, opened(model), "logits:2", "gradient")
    assert found.raw is not None
    torch.testing.assert_close(found.raw, expected.float())
    torch.testing.assert_close(found.map, expected.float().abs().amax(1, keepdim=True))
    assert (found.signed, found.layer, found.error) == (False, None, None)
    assert found.target.score == pytest.approx(float(model(IMAGE).detach()[0, 2]))


def test_guided_and_deconv_follow_their_rules() -> None:
    """On a network of two layers, written out."""
    model = seeded(Head).double()
    weight = model.get_parameter("linear.weight").detach()[2] / (17 * 21)
    first, second = model.get_submodule("first"), model.get_submodule("second")
    with torch.no_grad():
        before = first(IMAGE)
        middle = second(F.relu(before))
        for rule, masks in (("guided", (middle > 0, before > 0)), ("deconv", (True, True))):
            back = F.relu(weight.view(1, -1, 1, 1).expand_as(middle)) * masks[0]
            if rule == "deconv":  # of one activation, or of one place's
                counts = (F.relu(middle) * weight.view(1, -1, 1, 1)).sum(1, keepdim=True)
                back = back * (counts == counts.max())
            back = F.conv_transpose2d(back, second.weight)
            back = F.relu(back) * masks[1]
            expected = F.conv_transpose2d(back, first.weight, stride=2, output_padding=1)
            found = attribute(IMAGE, opened(model), "logits:2", rule)  # type: ignore[arg-type]
            assert found.raw is not None
            torch.testing.assert_close(found.raw, expected.float())


@pytest.mark.parametrize("rule", ["guided", "deconv"])
def test_a_rule_for_relus_needs_relus(rule: Method) -> None:
    bare = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    with pytest.raises(ConfigError, match="mine has no ReLU before logits"):
        attribute(IMAGE, opened(bare), "logits:0", rule)


def test_smoothgrad_without_noise_is_the_gradient(captum: Any) -> None:
    extractor = head()
    found = attribute(IMAGE, extractor, "logits:1", "smoothgrad", quick(noise=0.0)).raw
    expected = attribute(IMAGE, extractor, "logits:1", "gradient").raw
    torch.testing.assert_close(found, expected)


def test_smoothgrad_is_the_mean_over_noisy_pictures(captum: Any) -> None:
    """Of a network whose gradient is the picture's double: noise of mean zero averages out."""

    class Squares(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Parameter(torch.ones(()))

        def forward(self, image: Tensor) -> Tensor:
            return self.one * image.square().sum((1, 2, 3))[:, None]

    image = picture(16, 16).double()
    config = quick(samples=64, noise=0.2, batch=5)
    found = attribute(image, opened(Squares()), "logits:0", "smoothgrad", config).raw
    assert found is not None
    error = (found - 2 * image.float()) / (2 * 0.2 * float(image.max() - image.min()))
    assert float(error.std()) == pytest.approx(1 / 8, rel=0.1)
    assert abs(float(error.mean())) < 0.02


def test_smoothgrad_hangs_on_its_seed_alone(captum: Any) -> None:
    extractor = head()

    def found(seed: int) -> Tensor:
        runtime = dataclasses.replace(AttributeConfig().runtime, seed=seed)
        config = quick(runtime=runtime)
        return attribute(IMAGE, extractor, "logits:1", "smoothgrad", config).map

    state = torch.random.get_rng_state()
    one = found(1)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(found(1), one)
    assert not torch.equal(found(2), one)


@pytest.mark.parametrize("kind", ["auto", "black", "grey", "white", "mean", "blur"])
def test_integrated_gradients_of_a_linear_network_are_exact(captum: Any, kind: Any) -> None:
    model, image = seeded(Linear), picture(64, 64).double()
    extractor = opened(model)
    found = attribute(image, extractor, "logits:0", "integrated", quick(baseline=kind, steps=3))
    start = baseline(image, extractor, kind)
    expected = model.get_parameter("weights").detach().double() * (image - start)
    assert found.raw is not None
    torch.testing.assert_close(found.raw, expected.float())
    torch.testing.assert_close(found.map, expected.sum(1, keepdim=True).float())
    assert found.signed
    assert found.error is not None
    assert found.error < 1e-5


@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 99), channel=st.integers(0, 4), grey=st.booleans())
def test_integrated_gradients_are_complete(seed: int, channel: int, grey: bool) -> None:
    pytest.importorskip("captum.attr", reason="captum is not installed")
    extractor, image = head(), picture(24, 24, seed=seed).double()
    kind = "grey" if grey else "black"
    found = attribute(
        image, extractor, f"logits:{channel}", "integrated", quick(baseline=kind, steps=300)
    )
    with torch.no_grad():
        ends = [
            extractor(x, ["logits"])["logits"][0, channel]
            for x in (image, torch.zeros_like(image) + 0.5 * grey)
        ]
    gained = float(ends[0] - ends[1])
    assert found.error is not None
    assert float(found.map.double().sum()) == pytest.approx(
        gained, abs=max(2e-3, 0.02 * abs(gained))
    )
    assert found.error == pytest.approx(
        abs(float(found.map.double().sum()) - gained) / abs(gained), abs=1e-3
    )


def test_baselines() -> None:
    extractor, image = load_extractor("vgg-lite"), picture(64, 48)
    assert baseline(image, extractor, "white").unique().tolist() == [1.0]
    mean = baseline(image, extractor, "mean")
    assert float(extractor.normalise(mean).abs().max()) < 1e-5
    blurred = baseline(image, extractor, "blur")
    assert blurred.shape == image.shape
    assert float(blurred.std()) < 0.2 * float(image.std())
    assert float(blurred.mean()) == pytest.approx(float(image.mean()), abs=0.02)


def test_occlusion_finds_the_one_square_that_matters(captum: Any) -> None:
    image = torch.full((1, 3, 40, 32), 0.75, dtype=torch.float64)
    config = quick(window=8, stride=8, batch=3)
    found = attribute(image, opened(seeded(Square)), "logits:0", "occlusion", config)
    expected = torch.zeros(1, 1, 40, 32)
    expected[..., 16:24, 8:16] = 2 * (0.75 - 0.5)  # what is lost when it is grey
    torch.testing.assert_close(found.map, expected)
    assert (found.raw, found.signed) == (None, True)
    against = attribute(1 - image, opened(seeded(Square)), "logits:0", "occlusion", config).map
    torch.testing.assert_close(against, -expected)


def test_occlusion_averages_over_squares_that_overlap_and_covers_every_pixel(captum: Any) -> None:
    image = torch.full((1, 3, 40, 34), 0.75, dtype=torch.float64)
    calls: list[tuple[int, int]] = []
    config = quick(window=16, stride=8, batch=4)
    found = attribute(
        image, opened(seeded(Square)), "logits:0", "occlusion", config,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    total = square_count((40, 34), config) + 1
    assert total == 4 * 4 + 1
    assert calls[-1] == (total, total)
    assert calls == sorted(calls)
    # The square at rows 16 to 24, columns 8 to 16 is hidden whole by four of the windows.
    assert float(found.map[0, 0, 20, 12]) == pytest.approx(0.5)
    # Of the windows over row 10 half lie at rows 8 to 24.
    assert float(found.map[0, 0, 10, 12]) == pytest.approx(0.25)
    assert float(found.map[0, 0, 39, 33]) == 0.0


def test_a_window_larger_than_the_picture_is_the_picture(captum: Any) -> None:
    image = torch.full((1, 3, 32, 40), 0.75, dtype=torch.float64)
    config = quick(window=1000, stride=1000)
    found = attribute(image, opened(seeded(Square)), "logits:0", "occlusion", config)
    assert found.map[..., :32].unique().tolist() == [0.5]


@pytest.mark.parametrize("decides", [False, True], ids=["traced", "hooked"])
def test_grad_cam_of_a_head_with_pooling_is_cam(decides: bool) -> None:
    extractor = head(decides)
    assert bool(extractor.notice) == decides
    target = find_target("logits:2", IMAGE, extractor)
    coarse = grad_cam(IMAGE, extractor, target, "end")
    with torch.no_grad():
        maps = extractor(IMAGE, ["end"])["end"]
    weights = seeded(Head).get_parameter("linear.weight").double()[2]
    cam = torch.einsum("c,bchw->bhw", weights, maps)[:, None].clamp_min(0)
    torch.testing.assert_close(coarse * maps.shape[2] * maps.shape[3], cam)
    assert bool(cam.any())
    found = attribute(IMAGE, extractor, "logits:2")
    assert (found.method, found.layer) == ("gradcam", "end")
    enlarged = F.interpolate(coarse.float(), (40, 48), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found.map, enlarged)


@pytest.mark.parametrize("decides", [False, True], ids=["traced", "hooked"])
@pytest.mark.parametrize("layer", ["first", "act", "second"])
def test_grad_cam_is_that_of_an_independent_formula(layer: str, decides: bool) -> None:
    """The network is run in two parts, with a leaf between them; ReLUs in place follow."""
    model, extractor = seeded(Head).double(), head(decides)
    parts = {
        "first": lambda maps: model.second(F.relu(maps)),
        "act": model.second,
        "second": lambda maps: maps,
    }
    leaf = extractor(IMAGE, [layer])[layer].detach().clone().requires_grad_()
    score = model.linear(F.relu(parts[layer](leaf)).mean((2, 3)))[0, 3]
    (gradient,) = torch.autograd.grad(score, leaf)
    alphas = gradient.sum((2, 3)) / (leaf.shape[2] * leaf.shape[3])
    expected = sum(alphas[0, k] * leaf.detach()[0, k] for k in range(leaf.shape[1]))
    target = find_target("logits:3", IMAGE, extractor)
    found = grad_cam(IMAGE, extractor, target, layer)
    torch.testing.assert_close(found[0, 0], torch.as_tensor(expected).clamp_min(0))


@pytest.mark.parametrize("layer", ["act", "end"])
def test_grad_cam_is_captums(captum: Any, layer: str) -> None:
    model = seeded(Head).double()
    model.get_submodule("act").inplace = model.get_submodule("end").inplace = False  # type: ignore[assignment]
    peer = captum.LayerGradCam(model, model.get_submodule(layer))
    expected = peer.attribute(IMAGE, target=3, relu_attributions=True)
    target = find_target("logits:3", IMAGE, head())
    torch.testing.assert_close(grad_cam(IMAGE, head(), target, layer), expected.detach())


def test_a_caller_without_gradients_gets_them_all_the_same() -> None:
    expected = attribute(IMAGE, head(), "logits:2", "guided").map
    with torch.no_grad():
        assert torch.equal(attribute(IMAGE, head(), "logits:2", "guided").map, expected)
        assert bool(attribute(IMAGE, head(), "logits:2", "gradcam").map.any())


def test_a_deconvnet_of_a_class_starts_at_the_place_that_counts_most() -> None:
    """Of squares side by side, it is the one that is brightest."""
    image = torch.zeros(1, 3, 64, 64)
    image[..., 8:16, 8:16], image[..., 40:48, 40:48] = 0.6, 1.0

    class Bright(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 1, 8, stride=8, bias=False)
            self.conv.weight.data.fill_(1.0)
            self.relu = nn.ReLU()

        def forward(self, image: Tensor) -> Tensor:
            return self.relu(self.conv(image)).mean((2, 3))  # type: ignore[no-any-return]

    extractor = opened(Bright(), torch.float32)
    found = attribute(image, extractor, "logits:0", "deconv")
    expected = torch.zeros(1, 1, 64, 64)
    expected[..., 40:48, 40:48] = 1 / 64
    torch.testing.assert_close(found.map, expected)
    assert found.layer == "relu"
    placed = attribute(image, extractor, "relu:0@1,1", "deconv")
    assert placed.layer is None
    assert placed.map.nonzero().amin(0).tolist() == [0, 0, 8, 8]
    assert attribute(image, extractor, "logits:0", "guided").map[0, 0, 10, 10] > 0


def test_grad_cam_plus_is_that_of_the_derivatives_of_an_exponential() -> None:
    """Each derivative by itself, of exp of a score that is linear in the map."""
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(1, 3, 2, 2, generator=generator, dtype=torch.float64)
    slope = torch.randn(1, 3, 2, 2, generator=generator, dtype=torch.float64)
    leaf = maps.clone().requires_grad_()
    above = torch.exp((leaf * slope).sum())
    (first,) = torch.autograd.grad(above, leaf, create_graph=True)
    second, third = torch.zeros_like(maps), torch.zeros_like(maps)
    for place in torch.cartesian_prod(torch.arange(3), torch.arange(2), torch.arange(2)).tolist():
        at = (0, *place)
        (again,) = torch.autograd.grad(first[at], leaf, create_graph=True)
        second[at] = again[at].detach()
        third[at] = torch.autograd.grad(again[at], leaf, retain_graph=True)[0][at]
    alpha = second / (2 * second + maps.sum((2, 3), keepdim=True) * third)
    positive = 2 * second + maps.sum((2, 3), keepdim=True) * third > 0
    weights = (alpha * positive * first.detach().clamp_min(0)).sum((2, 3)) / above.detach()
    torch.testing.assert_close(plus_weights(maps, slope), weights)


def test_grad_cam_plus_weighs_places_where_grad_cam_averages() -> None:
    extractor = head()
    found = attribute(IMAGE, extractor, "logits:2", "gradcam++", quick(layer="end"))
    with torch.no_grad():
        maps = extractor(IMAGE, ["end"])["end"]
    slopes = seeded(Head).get_parameter("linear.weight").double()[2] / (17 * 21)
    weights = plus_weights(maps, slopes.view(1, -1, 1, 1).expand_as(maps))
    coarse = combined(maps, weights).detach()
    expected = F.interpolate(coarse.float(), (40, 48), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found.map, expected)
    assert bool((found.map >= 0).all())


@pytest.mark.parametrize("method", ["gradient", "guided", "deconv", "gradcam", "integrated"])
def test_twice_the_score_has_twice_the_map(method: Method) -> None:
    if method == "integrated":
        pytest.importorskip("captum.attr", reason="captum is not installed")
    model = seeded(Head)
    single = attribute(IMAGE, opened(model), "logits:2", method, quick()).map
    with torch.no_grad():
        model.get_parameter("linear.weight").mul_(2)
    double = attribute(IMAGE, opened(model), "logits:2", method, quick()).map
    torch.testing.assert_close(double, 2 * single)


def test_the_layer_of_grad_cam_is_the_last_with_places() -> None:
    image = picture(64, 96)
    for name, layer in (("squeezenet1_0", "classifier.2"), ("googlenet", "inception5b")):
        extractor = pair(name)[1]
        assert deepest_map(image, extractor, find_target(None, image, extractor)) == layer
    extractor = load_extractor("vgg-lite")
    target = find_target("pool3:1@3,9", image, extractor)
    assert deepest_map(image, extractor, target) == "relu3_3"


def test_a_layer_aside_or_without_places_is_refused() -> None:
    extractor = head()
    with pytest.raises(ConfigError, match="logits:2 does not depend on aside"):
        attribute(IMAGE, extractor, "logits:2", "gradcam", quick(layer="aside"))
    with pytest.raises(ConfigError, match="linear has no places"):
        attribute(IMAGE, extractor, "logits:2", "gradcam", quick(layer="linear"))
    with pytest.raises(ConfigError, match="no layer with places before logits"):
        attribute(IMAGE, opened(seeded(Square)), "logits:0", "gradcam++")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_finite_maps_of_the_pictures_size(method: Method) -> None:
    if method in module.CAPTUM_METHODS:
        pytest.importorskip("captum.attr", reason="captum is not installed")
    for dtype in (torch.float32, torch.bfloat16):
        extractor = load_extractor("vgg-lite", dtype=dtype)
        image, config = picture(40, 56), quick(samples=2, steps=2, window=24, stride=24)
        found = attribute(image, extractor, "relu3_1:5", method, config)
        assert found.map.shape == (1, 1, 40, 56)
        assert found.map.dtype == torch.float32
        assert bool(found.map.isfinite().all())
        assert bool(found.map.any())
        assert found.signed or float(found.map.min()) >= 0
        assert found.raw is None or found.raw.shape == image.shape
        assert found.target.name.startswith("relu3_1:5@")


@pytest.mark.parametrize("method", METHODS)
def test_a_flat_picture_is_no_trouble(method: Method) -> None:
    if method in module.CAPTUM_METHODS:
        pytest.importorskip("captum.attr", reason="captum is not installed")
    image = torch.zeros(1, 3, 32, 32)
    config = quick(samples=2, steps=2, window=16, stride=16)
    found = attribute(image, load_extractor("vgg-lite"), "relu2_1:5", method, config)
    assert bool(found.map.isfinite().all())


def test_without_captum_three_methods_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'captum'")

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(ConfigError, match="need Captum") as caught:
        captum_attributions()
    assert "pip install 'styler[attribution]'" in str(caught.value.hint)
    extractor = load_extractor("vgg-lite")
    for method in METHODS:
        if method in module.CAPTUM_METHODS:
            with pytest.raises(ConfigError, match="need Captum"):
                attribute(picture(32, 32), extractor, "relu2_1:5", method)
        else:
            attribute(picture(32, 32), extractor, "relu2_1:5", method)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 0}, "samples = 0"),
        ({"steps": 0}, "steps = 0"),
        ({"noise": -0.1}, "noise = -0.1"),
        ({"noise": float("nan")}, "noise = nan"),
        ({"window": 0, "stride": 0}, "window = 0"),
        ({"batch": 0}, "batch = 0"),
        ({"baseline": "pink"}, "baseline = 'pink'"),
        ({"layer": "relu9_1"}, "unknown layer 'relu9_1'"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        attribute(
            picture(32, 32), load_extractor("vgg-lite"), "relu2_1:5", "gradcam", quick(**change)
        )
    assert message in caught.value.message
    assert caught.value.hint


def test_windows_with_gaps_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave gaps"):
        AttributeConfig(window=8, stride=9)


def test_bad_pictures_and_methods_are_refused() -> None:
    extractor = load_extractor("vgg-lite")
    with pytest.raises(ConfigError, match="unknown method 'gradcm'") as caught:
        attribute(picture(32, 32), extractor, "relu2_1:5", "gradcm")  # type: ignore[arg-type]
    assert caught.value.hint is not None
    assert "gradcam" in caught.value.hint
    with pytest.raises(UsageError, match="image is"):
        attribute(torch.zeros(2, 3, 32, 32), extractor, "relu2_1:5")
    with pytest.raises(ImageError, match="too small"):
        attribute(picture(8, 8), extractor, "relu5_1:5")
