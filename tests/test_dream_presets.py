"""Each historical dream against its recipe, written out here from its source."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from styler.config import DreamConfig, resolve
from styler.dream import DreamProblem, dream
from styler.dreaming.octaves import dream_size, plan_octaves
from styler.features import Extractor, load_extractor
from styler.images import resize
from styler.params import PixelImage
from styler.presets import list_presets, load_preset

PRESETS = [preset.name for preset in list_presets("dream")]


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", dtype=torch.float64, pooling="max")


def preset(name: str, **changes: object) -> DreamConfig:
    values = load_preset(name, "dream").values
    return resolve(("preset", values), ("test", changes), root=DreamConfig).config


def small(name: str, layers: list[str], steps: int) -> DreamConfig:
    """The preset at a size for tests, on layers of the network that is always there."""
    return preset(
        name,
        **{
            "layers": dict.fromkeys(layers, 1.0),
            "schedule.size": 64,
            "schedule.min_side": 16,
            "schedule.steps": [steps],
        },
    )


def photo() -> Tensor:
    coarse = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    return F.interpolate(coarse, (64, 64), mode="bilinear")


def shifts(generator: torch.Generator, play: int) -> tuple[int, int]:
    """Two whole numbers from -play to play."""
    down, right = (torch.randint(-play, play + 1, (), generator=generator) for _ in range(2))
    return int(down), int(right)


def gradient(x: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(activation(x), x)
    return found


def rolled(x: Tensor, shift: tuple[int, int], step: Callable[[Tensor], Tensor]) -> Tensor:
    """np.roll, a step, and back."""
    return step(x.roll(shift, (2, 3))).roll((-shift[0], -shift[1]), (2, 3))


def test_deepdream_2015_is_the_notebook(extractor: Extractor) -> None:
    config = small("deepdream-2015", ["relu3_1"], steps=4)
    generator = torch.Generator().manual_seed(0)

    def objective_l2(x: Tensor) -> Tensor:
        return 0.5 * extractor(x / 255, ["relu3_1"])["relu3_1"].square().sum()

    def make_step(x: Tensor) -> Tensor:
        g = gradient(x, objective_l2)
        return x + 1.5 / g.abs().mean() * g

    sizes = [round(64 / 1.4**octave) for octave in (3, 2, 1, 0)]
    assert sizes == [23, 33, 46, 64]
    detail = torch.zeros(1, 3, 23, 23, dtype=torch.float64)
    for side in sizes:
        base = 255 * resize(photo(), (side, side))
        detail = F.interpolate(detail, (side, side), mode="bicubic", antialias=True)
        src = (base + detail).clamp(0, 255)
        for _ in range(4):
            src = rolled(src, shifts(generator, 32), make_step).clamp(0, 255)
        detail = src - base
    result = dream(photo(), config, extractor=extractor)
    assert [level.size for level in result.levels] == [(side, side) for side in sizes]
    assert torch.allclose(result.image, src / 255, atol=1e-6)

    shipped = preset("deepdream-2015")
    assert (shipped.backbone.name, shipped.layers) == ("googlenet", {"inception4c": 1.0})
    assert shipped.schedule.steps == (10,)
    assert shipped.zoom.rate == 0.05


def test_deepdream_tf_is_the_tutorial(extractor: Extractor) -> None:
    layers = ["relu3_1", "relu4_1"]
    config = small("deepdream-tf", layers, steps=3)
    generator = torch.Generator().manual_seed(0)

    def calc_loss(x: Tensor) -> Tensor:
        features = extractor((x + 1) / 2, layers)
        return torch.stack([features[layer].mean() for layer in layers]).sum()

    def step(x: Tensor) -> Tensor:
        g = gradient(x, calc_loss)
        return x + g / g.std(correction=0) * 0.01  # without their 1e-8 against a division by 0

    sizes = [round(64 * 1.3**octave) for octave in (-2, -1, 0, 1, 2)]
    img = 2 * photo() - 1
    for side in sizes:
        img = 2 * resize((img + 1) / 2, (side, side)) - 1
        for _ in range(3):
            img = rolled(img, shifts(generator, 512), step).clamp(-1, 1)
    expected = resize((img + 1) / 2, (64, 64))
    result = dream(photo(), config, extractor=extractor)
    assert [level.size for level in result.levels] == [(side, side) for side in sizes]
    assert torch.allclose(result.image, expected, atol=1e-6)

    shipped = preset("deepdream-tf")
    assert shipped.layers == {"Mixed_6a": 1.0, "Mixed_6c": 1.0}
    assert shipped.schedule.steps == (50,)
    plan = plan_octaves((600, 1000), shipped.schedule)
    assert [level.size[1] for level in plan] == [296, 385, 500, 650, 845]
    assert dream_size((600, 1000), shipped.schedule) == (600, 1000)


def gaussian(sigma: float) -> Tensor:
    axis = torch.arange(9.0, dtype=torch.float64) - 4
    taps = torch.exp(-((axis / sigma) ** 2) / 2)
    kernel = torch.outer(taps, taps)
    return (kernel / kernel.sum()).expand(3, 1, 9, 9)


def cascade(g: Tensor, sigma: float) -> Tensor:
    padded = F.pad(g, (4, 4, 4, 4), mode="reflect")
    smoothed = [F.conv2d(padded, gaussian(c * sigma), groups=3) for c in (0.5, 1.0, 2.0)]
    return torch.stack(smoothed).mean(0)


def test_deepdream_gordic_is_the_repository(extractor: Extractor) -> None:
    config = small("deepdream-gordic", ["relu4_3"], steps=5)
    generator = torch.Generator().manual_seed(0)

    def mean_square(x: Tensor) -> Tensor:
        feature = extractor(x, ["relu4_3"])["relu4_3"]
        return F.mse_loss(feature, torch.zeros_like(feature))

    sizes = [round(64 * 1.8**level) for level in (-2, -1, 0)]  # 11 pixels are less than min_side
    img = photo()
    for side in sizes:
        img = resize(img, (side, side))
        for iteration in range(5):
            g = rolled(img, shifts(generator, 32), lambda x: gradient(x, mean_square))
            g = cascade(g, sigma=(iteration + 1) / 5 * 2.0 + 0.5)
            g = (g - g.mean()) / g.std(correction=0)
            # Their pixels are divided by the standard deviation, so that a step is times that.
            img = (img + 0.226 * 0.09 * g).clamp(0, 1)
    result = dream(photo(), config, extractor=extractor)
    assert [level.size for level in result.levels] == [(side, side) for side in sizes]
    assert torch.allclose(result.image, img, atol=1e-6)

    shipped = preset("deepdream-gordic")
    assert (shipped.backbone.name, shipped.layers) == ("vgg16", {"relu4_3": 1.0})
    plan = plan_octaves((800, 400), shipped.schedule)
    assert [level.size[1] for level in plan] == [103, 185, 333, 600]
    assert [level.steps for level in plan] == [10] * 4
    assert dream_size((800, 400), shipped.schedule) == (1200, 600)


def test_the_default_step_has_the_same_mean_for_every_picture_and_octave() -> None:
    config = preset("default", **{"backbone.name": "vgg-lite"})
    assert config == DreamConfig(backbone=config.backbone)
    problem = DreamProblem(photo().float(), config, load_extractor("vgg-lite"))
    generator = torch.Generator().manual_seed(0)
    for contrast in (0.1, 1.0):
        parameter = PixelImage(0.5 + contrast * (photo().float() - 0.5))
        problem.gradient(problem.levels[-1], generator)(parameter)
        assert parameter.raw.grad is not None
        assert float(parameter.raw.grad.abs().mean()) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_every_shipped_preset_says_what_it_is(name: str) -> None:
    shipped = load_preset(name, "dream")
    assert shipped.description
    assert shipped.source.strip()
    assert preset(name)


def test_the_default_comes_first() -> None:
    assert PRESETS[0] == "default"
    assert set(PRESETS) >= {"default", "deepdream-2015", "deepdream-tf", "deepdream-gordic"}
