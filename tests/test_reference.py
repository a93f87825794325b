"""One picture for each layer: seeds, order, ends, refusals, and the layers of a network."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from styler.config import ParameterConfig, UnitScheduleConfig, ViewConfig, VisualizeConfig
from styler.engine import StepEvent
from styler.errors import ConfigError, ImageError, UsageError
from styler.features import Extractor, extractor_of, load_extractor
from styler.invert import inversion_term
from styler.reference import DEFAULT_SIDE, LayerPicture, ReferenceProblem, default_layers

LAYERS = ("relu1_1", "relu2_1", "relu3_1")


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite")


def picture(height: int = 48, width: int = 64) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(5))


def settings(**values: object) -> VisualizeConfig:
    small = VisualizeConfig(schedule=UnitScheduleConfig(size=32, steps=3))
    return dataclasses.replace(small, **values)


def problem(
    extractor: Extractor,
    layers: tuple[str, ...] = LAYERS,
    image: Tensor | None = None,
    **values: object,
) -> ReferenceProblem:
    reference = picture() if image is None else image
    return ReferenceProblem(reference, layers, extractor, settings(**values), inversion_term)


def test_a_picture_is_the_same_alone_and_among_others(extractor: Extractor) -> None:
    together = problem(extractor).solve()
    assert [one.layer for one in together] == list(LAYERS)
    for one in together:
        (alone,) = problem(extractor, (one.layer,)).solve()
        assert torch.equal(alone.image, one.image)
    assert not torch.equal(together[0].image, together[1].image)


def test_the_seed_is_the_runs(extractor: Extractor) -> None:
    def image(seed: int) -> Tensor:
        runtime = dataclasses.replace(VisualizeConfig().runtime, seed=seed)
        return problem(extractor, ("relu1_1",), runtime=runtime).solve()[0].image

    assert torch.equal(image(1), image(1))
    assert not torch.equal(image(1), image(2))


def test_pictures_have_the_references_aspect(extractor: Extractor) -> None:
    assert problem(extractor, image=picture(30, 90)).size == (11, 32)
    assert problem(extractor, image=picture(90, 30)).size == (32, 11)
    schedule = UnitScheduleConfig(steps=1)
    assert max(problem(extractor, schedule=schedule).size) == DEFAULT_SIDE
    made = problem(extractor, ("relu1_1",)).solve()[0].image
    assert made.shape == (1, 3, 24, 32)
    assert (made.dtype, made.min() >= 0, made.max() <= 1) == (torch.float32, True, True)


def test_aliases_are_resolved_and_layers_taken_once(extractor: Extractor) -> None:
    assert problem(extractor, ("r21", "block2_conv1", "conv1_1")).layers == ["relu2_1", "conv1_1"]


def test_events_count_all_layers(extractor: Extractor) -> None:
    events: list[StepEvent] = []
    done: list[str] = []
    problem(extractor).solve(callbacks=[events.append], done=lambda one: done.append(one.layer))
    assert done == list(LAYERS)
    assert [event.done for event in events] == list(range(1, 10))
    assert {(event.planned, event.levels) for event in events} == {(9, 3)}
    assert [event.level for event in events] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [event.step for event in events] == [1, 2, 3] * 3
    assert events[4].image.shape == (1, 3, 24, 32)


@pytest.mark.parametrize(
    ("last", "steps"), [(1, [1]), (3, [3]), (4, [3, 1]), (6, [3, 3]), (9, [3, 3, 3])]
)
def test_a_stop_gives_what_there_is(extractor: Extractor, last: int, steps: list[int]) -> None:
    made = problem(extractor).solve(should_stop=lambda done: done >= last)
    assert [one.run.done for one in made] == steps
    assert all(one.run.planned == 3 for one in made)


def test_a_stop_between_two_layers_starts_no_other(extractor: Extractor) -> None:
    asked: list[bool] = []

    def done(one: LayerPicture) -> None:
        asked.append(True)

    made = problem(extractor).solve(done=done, should_stop=lambda _: bool(asked))
    assert [one.layer for one in made] == ["relu1_1"]
    assert not made[0].run.stopped


def test_likeness_is_that_of_the_features(extractor: Extractor) -> None:
    posed = problem(extractor)
    image = torch.rand(1, 3, 24, 32)
    got = posed.likeness(image, "relu2_1")
    f, t = (
        extractor(x, ["relu2_1"])["relu2_1"].double().numpy().ravel()
        for x in (image, posed.reference)
    )
    assert got.error == pytest.approx(np.sum((f - t) ** 2) / np.sum(t**2))
    assert got.cosine == pytest.approx(f @ t / np.linalg.norm(f) / np.linalg.norm(t))
    assert got.gain == pytest.approx(f @ t / np.sum(t**2))
    same = posed.likeness(posed.reference, "relu2_1")
    assert (same.error, same.cosine, same.gain) == pytest.approx((0, 1, 1))


def test_one_layer_of_several_costs_what_it_costs_alone(extractor: Extractor) -> None:
    posed = problem(extractor, ("relu1_1", "relu5_1"))
    assert posed.planned == 6
    assert posed.alone("relu5_1").planned == 3
    assert posed.layers == ["relu1_1", "relu5_1"]
    large = problem(
        extractor, ("relu1_1", "relu5_1"), schedule=UnitScheduleConfig(size=128, steps=1)
    )
    shallow, deep = large.seconds()
    assert 0 < shallow < deep


def test_what_makes_no_sense_is_refused(extractor: Extractor) -> None:
    with pytest.raises(UsageError, match=r"expected float \(1, 3, H, W\)"):
        problem(extractor, image=torch.rand(3, 8, 8))
    with pytest.raises(UsageError, match="uint8"):
        problem(extractor, image=torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ConfigError, match="no layers"):
        problem(extractor, ())
    with pytest.raises(ConfigError, match=r"unknown layer 'relu4_9'"):
        problem(extractor, ("relu4_9",))
    with pytest.raises(ConfigError, match=r"parameter\.alpha"):
        problem(extractor, parameter=ParameterConfig(alpha=True))


def test_a_picture_that_is_too_small_is_refused_with_the_layer(extractor: Extractor) -> None:
    narrow = picture(16, 256)
    with pytest.raises(ImageError, match=r"^relu5_1: .* 32×2 .*too small") as caught:
        problem(extractor, ("relu1_1", "relu5_1"), image=narrow)
    assert "at least 16 pixels" in str(caught.value.hint)
    cropped = ViewConfig(crops=2, crop_side=16)
    problem(extractor, ("relu1_1",), view=cropped)
    with pytest.raises(ImageError, match="pool5"):
        problem(extractor, ("pool5",), view=cropped)


def staged() -> Extractor:
    """Stages of stride 2, 4 and 8, then a vector."""
    stages = [
        (f"stage{n}", nn.Sequential(nn.Conv2d(c, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 1)))
        for n, c in ((1, 3), (2, 4), (3, 4))
    ]
    head = [("pool", nn.AdaptiveAvgPool2d(1)), ("flat", nn.Flatten()), ("fc", nn.Linear(4, 5))]
    return extractor_of(nn.Sequential(OrderedDict([*stages, *head])), name="staged")


def test_default_layers_are_the_outputs_of_stages() -> None:
    assert default_layers(staged()) == ["stage1", "stage2", "stage3"]
    one = extractor_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), name="one")
    assert [one.stride(layer) for layer in default_layers(one)] == [1]


@pytest.mark.weights
def test_default_layers_of_squeezenet(weights_dir: object) -> None:
    squeezenet = load_extractor("squeezenet1_0")
    assert default_layers(squeezenet) == ["features.1", "features.5", "features.10", "features"]


def test_a_network_without_maps_has_no_default_layers() -> None:
    flat = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3))
    with pytest.raises(ConfigError, match="no layer of flat has a map"):
        default_layers(extractor_of(flat, name="flat"))
