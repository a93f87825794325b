"""Inversion: the recipe by its formula, and what comes of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styler.config import VisualizeConfig, resolve
from styler.features import Extractor, load_extractor
from styler.invert import inversion_term, invert
from styler.presets import load_preset
from styler.reference import ReferenceProblem
from styler.reference_gradient import is_still

FAST = {"schedule.size": 64, "optimizer.lr": 0.2, "optimizer.average": 0.8}


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite")


def blobs(seed: int) -> Tensor:
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (48, 64), mode="bicubic").clamp(0, 1)


def preset(**values: object) -> VisualizeConfig:
    recipe = load_preset("inversion", "visualize")
    return resolve(("preset", recipe.values), ("test", values), root=VisualizeConfig).config


def test_the_preset_is_mahendran_and_vedaldis_formula(extractor: Extractor) -> None:
    config, x, reference = preset(**{"schedule.size": 64}), blobs(2), blobs(1)
    problem = ReferenceProblem(reference, ["relu4_1"], extractor, config, inversion_term)
    objective = problem.gradient("relu4_1", torch.Generator()).objective(None)
    total = float(objective(x, extractor(x, ["relu4_1"])).total)
    phi, phi0 = (extractor(p, ["relu4_1"])["relu4_1"].double() for p in (x, reference))
    difference = (phi - phi0).square().sum() / phi0.square().sum()
    right, down = x.diff(dim=3).square().sum(), x.diff(dim=2).square().sum()
    expected = difference + 0.1 * (2 * x - 1).pow(6).mean() + 4 * (right + down) / x.numel()
    assert total == pytest.approx(float(expected), rel=1e-4)


def test_how_the_preset_descends() -> None:
    config = preset()
    adam, own = config.optimizer, config.parameter
    assert is_still(config.view)
    assert (adam.name, adam.lr, adam.beta1, adam.beta2) == ("adam", 0.05, 0.9, 0.999)
    assert adam.average == 0.95
    assert (own.kind, own.decorrelate, own.std, own.decay) == ("fourier", True, 0.01, 1.0)
    assert (config.schedule.size, config.schedule.steps) == (224, 300)


def test_a_shallow_layer_gives_the_picture_back_and_a_deep_one_less_of_it(
    extractor: Extractor,
) -> None:
    image = blobs(1)
    config = preset(**FAST, **{"schedule.steps": 150})
    shallow, deep = invert(image, ["relu1_1", "relu5_1"], extractor, config)
    near, far = (float((p.image - image).abs().mean()) for p in (shallow, deep))
    assert near < 0.03
    assert far > 2 * near
    assert shallow.likeness.error < 0.02
    assert shallow.likeness.error < deep.likeness.error < 0.5
    assert deep.likeness.cosine > 0.8


@pytest.mark.parametrize("kind", ["pixels", "fourier", "maco"])
def test_every_parameterisation_comes_nearer(extractor: Extractor, kind: str) -> None:
    values = {"parameter.kind": kind, "schedule.size": 48, "schedule.steps": 12}
    more = {"parameter.std": 3.0} if kind == "maco" else {}
    (inverted,) = invert(blobs(1), ["relu2_1"], extractor, preset(**values, **more))
    trace = [losses["features"] for _, _, losses in inverted.run.trace]
    assert trace[-1] < 0.9 * trace[0]


def test_without_settings_the_preset_is_taken(extractor: Extractor) -> None:
    (stopped,) = invert(blobs(1), ["relu1_1"], extractor, should_stop=lambda done: done == 2)
    assert stopped.image.shape == (1, 3, 168, 224)
    assert (stopped.run.done, stopped.run.planned, stopped.run.stopped) == (2, 300, True)


@pytest.mark.weights
def test_vgg19_is_inverted_like_any(weights_dir: object) -> None:
    extractor = load_extractor("vgg19-caffe", pooling="native")
    config = preset(**FAST, **{"schedule.steps": 60})
    (inverted,) = invert(blobs(1), ["relu2_1"], extractor, config)
    assert inverted.likeness.error < 0.05
