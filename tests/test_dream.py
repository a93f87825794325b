"""Dreams as a library: octaves, masks, guides, noise, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from styler.config import DreamConfig, OctaveConfig, resolve
from styler.dream import DreamProblem, checked_mask, dream, noise_picture
from styler.dreaming.octaves import dream_size, plan_octaves
from styler.engine import StepEvent
from styler.errors import ConfigError, DeviceError, ImageError, UsageError
from styler.features import Extractor, load_extractor


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", dtype=torch.float32)


def photo(height: int = 72, width: int = 96, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = 0.2 + 0.6 * torch.rand(1, 3, height // 8, width // 8, generator=generator)
    return F.interpolate(coarse, (height, width), mode="bilinear")


def config(**values: Any) -> DreamConfig:
    settings = {
        "layers": {"relu3_1": 1.0},
        "schedule.min_side": 32,
        "schedule.steps": [3],
        "schedule.octaves": 2,
        **values,
    }
    return resolve(("test", settings), root=DreamConfig).config


def activation(extractor: Extractor, image: Tensor) -> float:
    return float(extractor(image, ["relu3_1"])["relu3_1"].square().mean())


def test_a_dream_excites_its_layer_and_keeps_the_size(extractor: Extractor) -> None:
    result = dream(photo(), config(), extractor=extractor)
    assert result.image.shape == photo().shape
    assert (float(result.image.min()), float(result.image.max())) >= (0.0, 0.0)
    assert float(result.image.max()) <= 1.0
    assert activation(extractor, result.image) > 1.5 * activation(extractor, photo())
    assert result.run.done == result.run.planned == 6
    assert result.run.trace[-1][1] < 0


def test_the_seed_decides_and_nothing_else(extractor: Extractor) -> None:
    one, two = (dream(photo(), config(), extractor=extractor).image for _ in range(2))
    other = dream(photo(), config(**{"runtime.seed": 1}), extractor=extractor).image
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_adam_dreams_too_and_lbfgs_does_not(extractor: Extractor) -> None:
    values = {"optimizer.name": "adam", "optimizer.lr": 0.01}
    result = dream(photo(), config(**values), extractor=extractor)
    assert activation(extractor, result.image) > activation(extractor, photo())
    with pytest.raises(ConfigError, match="L-BFGS"):
        config(**{"optimizer.name": "lbfgs"})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"schedule.steps": []}, "schedule.steps is empty"),
        ({"layers": {"relu3_1": 0.0}}, "no layer with a weight"),
        ({"schedule.octaves": 2, "schedule.larger": 2}, "schedule.larger"),
        ({"ascent.normalization": "l2"}, "ascent.normalization"),
    ],
)
def test_settings_that_do_not_go_together(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config(**values)


def test_octaves_are_powers_of_the_factor() -> None:
    plan = plan_octaves((500, 1000), OctaveConfig(factor=2, octaves=3, larger=1, steps=(9, 5)))
    assert [(level.size, level.steps) for level in plan] == [
        ((250, 500), 9),
        ((500, 1000), 5),
        ((1000, 2000), 5),
    ]


@pytest.mark.parametrize(
    ("edge", "sizes"),
    [
        ("long", [(50, 100), (100, 200)]),
        ("short", [(100, 200), (200, 400)]),
        ("width", [(50, 100), (100, 200)]),
    ],
)
def test_size_and_smallest_octave_speak_of_an_edge(edge: Any, sizes: list[tuple[int, int]]) -> None:
    octaves = OctaveConfig(factor=2, octaves=None, size=200, min_side=100, edge=edge)
    assert [level.size for level in plan_octaves((500, 1000), octaves)] == sizes
    assert dream_size((500, 1000), octaves) == sizes[-1]


def test_a_large_picture_is_dreamt_smaller_and_keeps_its_own_detail(extractor: Extractor) -> None:
    generator = torch.Generator().manual_seed(4)
    fine = (photo(144, 192) + 0.1 * torch.randn(1, 3, 144, 192, generator=generator)).clamp(0, 1)
    settings = {"schedule.max_side": 96, "optimizer.lr": 1e-6}
    result = dream(fine, config(**settings), extractor=extractor)
    assert result.levels[-1].size == (72, 96)
    assert torch.allclose(result.image, fine, atol=1e-3)


def test_octaves_below_the_network_are_left_out(extractor: Extractor) -> None:
    tiny = config(**{"layers": {"pool5": 1.0}, "schedule.octaves": 4, "schedule.min_side": 16})
    problem = DreamProblem(photo(48, 64), tiny, extractor)
    assert [level.size for level in problem.levels] == [(34, 46), (48, 64)]
    assert problem.dropped == 2
    with pytest.raises(ImageError, match="the picture: an image of 64×24 pixels is too small"):
        DreamProblem(photo(24, 64), tiny, extractor)


def test_a_mask_keeps_black_and_dreams_white(extractor: Extractor) -> None:
    mask = torch.zeros(1, 1, 36, 48)
    mask[..., 24:] = 1.0
    free = dream(photo(), config(), extractor=extractor).image
    result = dream(photo(), config(), extractor=extractor, mask=mask).image
    assert torch.equal(result[..., :44], photo()[..., :44])
    assert float((result - photo())[..., 52:].abs().mean()) > 0.02
    white = dream(photo(), config(), extractor=extractor, mask=torch.ones(1, 3, 9, 12)).image
    assert torch.allclose(white, free, atol=1e-5)


def test_grey_lets_half_of_the_dream_be_seen(extractor: Extractor) -> None:
    settings = config(**{"schedule.octaves": 1, "schedule.steps": [1], "ascent.jitter": 0})
    free = dream(photo(), settings, extractor=extractor).image - photo()
    grey = torch.full((1, 1, 72, 96), 0.5)
    half = dream(photo(), settings, extractor=extractor, mask=grey).image - photo()
    assert torch.allclose(half, 0.5 * free, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "fits"), [((36, 48), True), ((37, 48), True), ((48, 48), False), ((96, 72), False)]
)
def test_masks_of_another_shape_are_refused(size: tuple[int, int], fits: bool) -> None:
    mask = torch.ones(1, 1, *size)
    if fits:
        assert checked_mask(mask, (72, 96)).shape == (1, 1, *size)
        return
    with pytest.raises(ImageError, match=f"the mask is {size[1]}×{size[0]}") as caught:
        checked_mask(mask, (72, 96))
    assert caught.value.hint


def test_a_guide_draws_the_dream_to_its_features(extractor: Extractor) -> None:
    guide = photo(64, 64, seed=9)
    settings = config(**{"schedule.steps": [6]})
    guided = dream(photo(), settings, extractor=extractor, guide=guide).image
    free = dream(photo(), settings, extractor=extractor).image

    def match(image: Tensor) -> float:
        x, y = (extractor(p, ["relu3_1"])["relu3_1"][0].flatten(1) for p in (image, guide))
        return float((x.T @ y).amax(1).mean() / x.norm(dim=0).mean())

    assert match(guided) > match(free)


def test_small_guides_and_wrong_tensors_are_refused(extractor: Extractor) -> None:
    deep = config(layers={"relu5_1": 1.0})
    with pytest.raises(ImageError, match="the guide: an image of 8×8"):
        dream(photo(), deep, extractor=extractor, guide=torch.rand(1, 3, 8, 8))
    with pytest.raises(UsageError, match="image is"):
        dream(photo()[0], extractor=extractor)
    with pytest.raises(UsageError, match="guide is"):
        dream(photo(), extractor=extractor, guide=(photo() * 255).to(torch.uint8))
    with pytest.raises(UsageError, match="mask is of shape"):
        dream(photo(), extractor=extractor, mask=torch.ones(72, 96))
    with pytest.raises(ImageError, match="black all over"):
        dream(photo(), extractor=extractor, mask=torch.zeros(1, 1, 72, 96))


def test_a_picture_beyond_memory_is_refused(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("styler.memory.free_memory", lambda device: 10**7)
    with pytest.raises(DeviceError, match="GB of memory"):
        DreamProblem(photo(512, 512), config(**{"ascent.tile": 0}), extractor)
    DreamProblem(photo(512, 512), config(**{"ascent.tile": 32}), extractor)


def test_stopping_gives_the_picture_so_far(extractor: Extractor) -> None:
    steps: list[StepEvent] = []
    result = dream(
        photo(),
        config(),
        extractor=extractor,
        callbacks=[steps.append],
        should_stop=lambda done: done == 4,
    )
    assert (result.run.stopped, result.run.done, len(steps)) == (True, 4, 4)
    assert [(step.level, step.size) for step in steps][-1] == (1, (72, 96))
    assert activation(extractor, result.image) > activation(extractor, photo())


def test_noise_is_grey_smooth_and_of_its_seed() -> None:
    one, two, other = noise_picture(64, 1), noise_picture(64, 1), noise_picture(64, 2)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.allclose(one.mean((2, 3)), torch.tensor(0.5), atol=0.01)
    assert float(one.std()) == pytest.approx(0.08, rel=0.1)
    spectrum = torch.fft.rfft2(one - one.mean()).abs().mean((0, 1))
    assert float(spectrum[1:5, 1:5].mean()) > 4 * float(spectrum[20:30, 20:30].mean())
