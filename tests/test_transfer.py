"""The pipeline on real pictures, with the embedded network."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from styler.config import TransferConfig, resolve
from styler.errors import ConfigError, DeviceError, ImageError, UsageError
from styler.features import load_extractor
from styler.images import read_picture, resize
from styler.losses import gram_matrix
from styler.network import extractor_for
from styler.starts import noise_image
from styler.styles.source import colours_of
from styler.transfer import Problem, transfer

SAMPLES = Path(__file__).parents[1] / "samples"


def sample(name: str, size: tuple[int, int]) -> Tensor:
    return resize(read_picture(SAMPLES / name).pixels, size)


@pytest.fixture(scope="module")
def content() -> Tensor:
    return sample("contents/chelsea.jpg", (96, 144))


@pytest.fixture(scope="module")
def style() -> Tensor:
    return sample("styles/flow_field.jpg", (120, 150))


def config(**values: object) -> TransferConfig:
    settings = {"schedule.steps": [12], "runtime.precision": "fp32", "schedule.min_side": 64}
    return resolve(("test", {**settings, **values})).config


def style_gap(image: Tensor, style: Tensor) -> float:
    """Relative distance of Gram matrices under a layer the objective does not read."""
    extractor = load_extractor("vgg-lite", pooling="average")
    layer = "relu3_2"
    ours, theirs = (gram_matrix(extractor(x, [layer])[layer]) for x in (image, style))
    return float((ours - theirs).norm() / theirs.norm())


def test_style_is_taken_on(content: Tensor, style: Tensor) -> None:
    result = transfer(content, style, config(**{"schedule.steps": [40]}))
    assert result.image.shape == content.shape
    assert 0 <= float(result.image.min()) <= float(result.image.max()) <= 1
    assert style_gap(result.image, style) < 0.5 * style_gap(content, style)
    assert result.run.trace[-1][1] < 0.5 * result.run.trace[0][1]


def test_strength_0_returns_the_content_and_more_strength_goes_further(
    content: Tensor, style: Tensor
) -> None:
    def at(strength: float) -> Tensor:
        return transfer(content, style, config(strength=strength, **{"schedule.scales": 1})).image

    assert torch.equal(at(0.0), content)
    moved = [float((at(s) - content).square().mean()) for s in (0.1, 0.5, 1.0)]
    assert moved == sorted(moved)
    assert moved[0] < 0.7 * moved[2]


def test_the_same_settings_give_the_same_bits(content: Tensor, style: Tensor) -> None:
    settings = config(**{"init.kind": "noise", "schedule.steps": [4]})
    one, two = (transfer(content, style, settings).image for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("kind", ["noise", "uniform", "style"])
def test_noise_depends_on_the_seed_alone(kind: str, style: Tensor) -> None:
    settings = config(**{"init.kind": kind}).init

    def noise(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return noise_image(settings, (64, 96), colours_of(style), (0.4, 0.5, 0.6), generator)

    assert torch.equal(noise(1), noise(1))
    assert not torch.equal(noise(1), noise(2))
    assert noise(1).shape == (1, 3, 64, 96)


def test_style_noise_has_the_colours_of_the_style(style: Tensor) -> None:
    muted = 0.35 + 0.3 * style  # away from black and white, where clamping would interfere
    settings = config(**{"init.kind": "style"}).init
    generator = torch.Generator().manual_seed(0)
    noise = noise_image(settings, (200, 200), colours_of(muted), (0, 0, 0), generator)
    expected, got = (x[0].flatten(1) for x in (muted, noise))
    assert torch.allclose(got.mean(1), expected.mean(1), atol=0.01)
    assert torch.allclose(got.cov(), expected.cov(), atol=2e-3)


def test_start_picture_is_used_and_needed(content: Tensor, style: Tensor) -> None:
    values = {"init.kind": "image", "init.image": "x.png", "schedule.scales": 1}
    settings = config(**values, **{"schedule.steps": [0]})
    start = sample("contents/coffee.jpg", (96, 144))
    result = transfer(content, style, settings, start=start)
    assert torch.equal(result.image, start)
    with pytest.raises(UsageError, match="start"):
        transfer(content, style, settings)


def test_stopping_early_still_gives_the_full_size(content: Tensor, style: Tensor) -> None:
    settings = config(**{"schedule.steps": [5, 5]})
    result = transfer(content, style, settings, should_stop=lambda done: done == 3)
    assert result.run.stopped
    assert result.image.shape == content.shape


def test_style_scale_and_enlarge_set_the_size_of_the_style(content: Tensor, style: Tensor) -> None:
    extractor = load_extractor("vgg-lite")

    def size(**values: object) -> tuple[int, int]:
        problem = Problem(content, style, config(**values), extractor)
        return problem.style_size(problem.levels[-1], (120, 150))

    assert size() == (115, 144)
    assert size(**{"style.scale": 0.5}) == (58, 72)
    assert size(**{"style.scale": 2.0}) == (120, 150)  # its own size: enlarging would blur it
    assert size(**{"style.scale": 2.0, "style.enlarge": True}) == (230, 288)


def test_result_keeps_an_odd_size_and_aspect(style: Tensor) -> None:
    odd = sample("contents/astronaut.jpg", (67, 131))
    assert transfer(odd, style, config(**{"schedule.steps": [1]})).image.shape == odd.shape


def test_too_small_pictures_are_refused_before_the_first_step(style: Tensor) -> None:
    with pytest.raises(ImageError, match="too small for relu5_1"):
        transfer(torch.rand(1, 3, 10, 400), style, config())
    with pytest.raises(ImageError, match="too small"):
        transfer(style, torch.rand(1, 3, 8, 8), config())


def test_scales_too_small_for_a_long_thin_picture_are_left_out(style: Tensor) -> None:
    thin = torch.rand(1, 3, 20, 200)
    problem = Problem(thin, style, config(), load_extractor("vgg-lite"))
    assert [level.size for level in problem.levels] == [(20, 200)]


def test_unknown_layer_is_refused(content: Tensor, style: Tensor) -> None:
    with pytest.raises(ConfigError) as caught:
        transfer(content, style, config(**{"style.layers": {"relu9_9": 1}}))
    assert "relu" in str(caught.value.hint)


@pytest.mark.parametrize(
    "picture",
    [torch.rand(3, 64, 64), torch.rand(2, 3, 64, 64), torch.zeros(1, 3, 64, 64, dtype=torch.uint8)],
)
def test_tensors_of_another_form_are_refused(picture: Tensor, style: Tensor) -> None:
    with pytest.raises(UsageError, match=r"expected float \(1, 3, H, W\)"):
        transfer(picture, style)


def test_a_picture_that_cannot_fit_in_memory_is_refused(style: Tensor) -> None:
    vast = torch.zeros(1, 3, 64, 64)
    with pytest.raises(DeviceError) as caught:
        transfer(vast, style, config(**{"schedule.size": 400_000}))
    assert "--size" in str(caught.value.hint)


def test_named_backbone_without_weights_says_three_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from styler.errors import BackboneError

    monkeypatch.setenv("STYLER_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("STYLER_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(BackboneError) as caught:
        extractor_for(config(**{"backbone.name": "vgg19-caffe"}))
    for way in ("vgg-lite", "styler weights import", "STYLER_WEIGHTS_DIR"):
        assert way in str(caught.value.hint)


def test_bf16_and_fp32_paint_nearly_the_same(content: Tensor, style: Tensor) -> None:
    images = [
        transfer(content, style, config(**{"runtime.precision": p, "schedule.scales": 1})).image
        for p in ("fp32", "bf16")
    ]
    assert float((images[0] - images[1]).abs().mean()) < 0.03


@pytest.mark.gpu
def test_cuda_paints_what_the_cpu_paints(content: Tensor, style: Tensor) -> None:
    images = [
        transfer(content, style, config(**{"runtime.device": d, "schedule.scales": 1})).image
        for d in ("cpu", "cuda")
    ]
    assert float((images[0] - images[1]).abs().mean()) < 0.02
