"""Caricature: the term by hand, the recipe, and what comes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from styler.activation import COSINE_FLOOR
from styler.caricature import CaricatureTerm, caricature, caricature_term
from styler.config import UnitScheduleConfig, VisualizeConfig, resolve
from styler.features import Extractor, load_extractor
from styler.presets import load_preset
from styler.reference import ReferenceProblem

IMAGE = torch.zeros(1, 3, 1, 1)


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite")


def blobs(seed: int, height: int = 48, width: int = 64) -> torch.Tensor:
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


def exaggeration(f: np.ndarray, t: np.ndarray, power: float) -> float:
    """Position by position, as the formula says."""
    total = 0.0
    for one, other in zip(f.reshape(-1, f.shape[-1]), t.reshape(-1, t.shape[-1]), strict=True):
        dot = float(one @ other)
        cosine = dot / float(np.linalg.norm(one) * np.linalg.norm(other))
        total += dot * max(cosine, COSINE_FLOOR) ** power if power else dot
    return total / float((t**2).sum())


@pytest.mark.parametrize("power", [0.0, 1.0, 2.5])
def test_the_term_is_its_formula(power: float) -> None:
    generator = np.random.default_rng(3)
    f, t = generator.normal(size=(2, 2, 5, 4, 6))
    term = CaricatureTerm("relu1_1", torch.from_numpy(t), power)
    value = term(IMAGE, {"relu1_1": torch.from_numpy(f)})
    expected = exaggeration(np.moveaxis(f, 1, -1), np.moveaxis(t, 1, -1), power)
    assert float(value) == pytest.approx(-expected, rel=1e-5)


def test_a_picture_is_as_exaggerated_as_it_is_strong() -> None:
    reference = torch.rand(1, 7, 4, 5)
    for strength in (0.5, 1.0, 3.0):
        term = CaricatureTerm("relu1_1", reference, 2.0)
        value = term(IMAGE, {"relu1_1": strength * reference})
        assert float(value) == pytest.approx(-strength, rel=1e-5)


def test_a_position_without_features_asks_for_nothing() -> None:
    reference = torch.rand(1, 3, 2, 2)
    reference[..., 0, 0] = 0
    features = torch.rand(1, 3, 2, 2, requires_grad=True)
    term = CaricatureTerm("relu1_1", reference, 2.0)
    (gradient,) = torch.autograd.grad(term(IMAGE, {"relu1_1": features}), features)
    assert gradient.isfinite().all()
    assert float(gradient[..., 0, 0].abs().max()) == 0
    assert float(gradient[..., 1, 1].abs().max()) > 0


def test_features_of_zeros_have_a_finite_gradient() -> None:
    features = torch.zeros(1, 3, 2, 2, dtype=torch.bfloat16, requires_grad=True)
    for reference in (torch.rand(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)):
        value = CaricatureTerm("relu1_1", reference, 2.0)(IMAGE, {"relu1_1": features})
        assert value.dtype == torch.float32
        (gradient,) = torch.autograd.grad(value, features)
        assert gradient.isfinite().all()


def preset(**values: object) -> VisualizeConfig:
    recipe = load_preset("caricature", "visualize")
    return resolve(("preset", recipe.values), ("test", values), root=VisualizeConfig).config


def test_the_preset_is_dot_times_the_fourth_power_of_the_cosine_and_two_penalties(
    extractor: Extractor,
) -> None:
    config, x, reference = preset(**{"schedule.size": 64}), blobs(2), blobs(1)
    problem = ReferenceProblem(reference, ["relu3_1"], extractor, config, caricature_term(config))
    objective = problem.gradient("relu3_1", torch.Generator()).objective(None)
    total = float(objective(x, extractor(x, ["relu3_1"])).total)
    f, t = (
        extractor(p, ["relu3_1"])["relu3_1"].movedim(1, -1).double().numpy() for p in (x, reference)
    )
    squares = x.diff(dim=2).square().sum() + x.diff(dim=3).square().sum()
    expected = (
        -exaggeration(f, t, 4.0)
        + 10 * float((2 * x - 1).pow(6).mean())
        + 5 * float(squares) / x.numel()
    )
    assert total == pytest.approx(expected, rel=1e-4)


def test_the_preset_is_lucids_in_the_rest() -> None:
    config = preset()
    view, adam, own = config.view, config.optimizer, config.parameter
    assert (adam.name, adam.lr, config.schedule.steps) == ("adam", 0.05, 300)
    assert config.schedule.size == 224
    assert (own.kind, own.std, own.decay, own.decorrelate) == ("fourier", 0.01, 1.0, True)
    assert (view.pad, view.jitter, view.degrees) == (12, (8, 4), 10)
    assert view.scales == pytest.approx([0.9 + i / 50 for i in range(11)])
    assert (view.noise, view.crops, config.redirect) == (0.0, 0, 16)


def test_a_caricature_shows_more_of_the_same(extractor: Extractor) -> None:
    config = preset(**{"schedule.size": 64, "schedule.steps": 60, "optimizer.lr": 0.2})
    faint = 0.5 + 0.4 * (blobs(1) - 0.5)
    (drawn,) = caricature(faint, ["relu3_1"], extractor, config)
    assert drawn.likeness.gain > 1.3
    assert drawn.likeness.cosine > 0.7
    first, last = drawn.run.trace[0][2], drawn.run.trace[-1][2]
    assert last["exaggeration"] < first["exaggeration"] - 1


def test_without_settings_the_preset_is_taken(extractor: Extractor) -> None:
    stopped = caricature(blobs(1), ["relu1_1"], extractor, should_stop=lambda done: done == 1)
    assert stopped[0].image.shape == (1, 3, 168, 224)
    assert (stopped[0].run.done, stopped[0].run.planned) == (1, 300)
    quick = VisualizeConfig(schedule=UnitScheduleConfig(size=32, steps=1))
    assert caricature(blobs(1), ["relu1_1"], extractor, quick)[0].image.shape == (1, 3, 24, 32)
