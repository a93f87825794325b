"""Feature visualization: what comes out excites, alone and among others alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from styler import visualize as module
from styler.activation import ActivationTerm, Part, Unit
from styler.config import VisualizeConfig, resolve
from styler.errors import ConfigError, DeviceError, ImageError
from styler.features import Extractor, extractor_of, load_extractor
from styler.units import parse_units
from styler.visualize import Shown, UnitsEvent, picture_side, visualize

QUICK = {"schedule.size": 48, "schedule.steps": 6, "view.pad": 4, "view.jitter": [4, 2]}


@pytest.fixture(scope="module")
def lite() -> Extractor:
    return load_extractor("vgg-lite", dtype=torch.float64)


def settings(**values: Any) -> VisualizeConfig:
    named = {key.replace("__", "."): value for key, value in values.items()}
    return resolve(("test", {**QUICK, **named}), root=VisualizeConfig).config


def shown(texts: Sequence[str], extractor: Extractor, **values: Any) -> list[Shown]:
    return visualize(parse_units(texts, extractor), extractor, settings(**values))


def activation(extractor: Extractor, image: Tensor, layer: str, channel: int) -> float:
    return float(extractor(image.to(extractor.dtype), [layer])[layer][:, channel].mean())


@pytest.mark.parametrize("kind", ["fourier", "pixels", "maco"])
def test_pictures_excite_their_unit_more_than_the_start_does(kind: str, lite: Extractor) -> None:
    values = {"parameter__kind": kind, "parameter__std": 3.0 if kind == "maco" else 0.01}
    if kind == "maco":
        values |= {"optimizer__name": "nadam", "optimizer__lr": 1.0}
    (start,) = shown(
        ["relu2_1:3"],
        lite,
        schedule__steps=1,
        optimizer__lr=1e-9,
        **{k: v for k, v in values.items() if k != "optimizer__lr"},
    )
    (one,) = shown(["relu2_1:3"], lite, schedule__steps=25, **values)
    before = activation(lite, start.images, "relu2_1", 3)
    assert activation(lite, one.images, "relu2_1", 3) > 1.3 * before
    assert one.images.shape == (1, 3, 48, 48)
    assert 0 <= float(one.images.min()) < float(one.images.max()) <= 1


def test_a_unit_is_the_same_alone_and_among_others(lite: Extractor) -> None:
    many = shown(["relu2_1:0-4"], lite, schedule__batch=2)
    for one in many:
        (alone,) = shown([one.unit.name], lite)
        torch.testing.assert_close(alone.images, one.images, rtol=0, atol=1e-5)


def test_the_seed_decides(lite: Extractor) -> None:
    (first,), (same,), (other,) = (
        shown(["relu2_1:1"], lite, runtime__seed=seed) for seed in (5, 5, 6)
    )
    assert torch.equal(first.images, same.images)
    assert not torch.allclose(first.images, other.images, atol=0.02)


def test_units_of_several_layers_come_in_the_order_asked_for(lite: Extractor) -> None:
    texts = ["relu2_1:3", "relu1_1:2", "relu2_1:1", "relu1_1", "relu1_1:2+relu2_1:1"]
    assert [one.unit.name for one in shown(texts, lite)] == texts


def test_more_pictures_of_a_unit_differ_more_with_diversity(lite: Extractor) -> None:
    def likeness(weight: float) -> float:
        (one,) = shown(
            ["relu3_1:3"], lite, pictures=3, diversity=weight, schedule__steps=20, view__noise=0.0
        )
        assert one.images.shape[0] == 3
        maps = lite(one.images.double(), ["relu3_1"])["relu3_1"].flatten(2)
        grams = torch.nn.functional.normalize((maps @ maps.mT).flatten(1), dim=1)
        return float((grams @ grams.T).triu(1).sum() / 3)

    assert likeness(100.0) < likeness(0.0)


def test_a_negative_unit_silences(lite: Extractor) -> None:
    (up,), (down,) = (
        shown([text], lite, schedule__steps=20) for text in ("conv2_1:3", "conv2_1:-3")
    )
    assert (
        activation(lite, down.images, "conv2_1", 3) < 0 < activation(lite, up.images, "conv2_1", 3)
    )


def test_a_transparent_picture_has_four_channels(lite: Extractor) -> None:
    (one,) = shown(["relu2_1:3"], lite, parameter__alpha=True)
    assert one.images.shape == (1, 4, 48, 48)
    assert 0 < float(one.images[:, 3].mean()) < 1


def test_crops_see_many_views_of_one_picture(lite: Extractor) -> None:
    (one,) = shown(["relu2_1:3"], lite, view__crops=3, view__crop_side=32, schedule__size=64)
    assert one.images.shape == (1, 3, 64, 64)


def test_flat_units_end_early_and_make_room(lite: Extractor) -> None:
    still: dict[str, Any] = {
        "view__pad": 0,
        "view__jitter": [],
        "view__scales": [1.0],
        "view__degrees": 0,
        "view__noise": 0.0,
    }
    made = shown(
        ["relu1_1:0-3"],
        lite,
        schedule__steps=400,
        schedule__least=20,
        schedule__flat=0.05,
        schedule__batch=2,
        **still,
    )
    assert [one.unit.name for one in made] == [f"relu1_1:{n}" for n in range(4)]
    assert all(20 <= one.steps < 400 and one.finished for one in made)
    assert len({one.steps for one in made}) > 1


def test_a_stopped_run_gives_what_there_is(lite: Extractor) -> None:
    units = parse_units(["relu1_1:0-3"], lite)
    made = visualize(units, lite, settings(schedule__batch=2), should_stop=lambda done: done >= 9)
    assert [(one.unit.name, one.steps, one.finished) for one in made] == [
        ("relu1_1:0", 6, True),
        ("relu1_1:1", 6, True),
        ("relu1_1:2", 3, False),
        ("relu1_1:3", 3, False),
    ]


def test_events_count_up_and_units_are_told_as_they_are_done(lite: Extractor) -> None:
    told: list[str] = []
    events: list[UnitsEvent] = []
    visualize(
        parse_units(["relu1_1:0-2"], lite),
        lite,
        settings(schedule__batch=1),
        done=lambda one: told.append(one.unit.name),
        callbacks=[events.append],
    )
    assert told == ["relu1_1:0", "relu1_1:1", "relu1_1:2"]
    shares = [event.share for event in events]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert events[-1].finished == events[-1].units == 3


def test_frames_show_how_a_picture_came_to_be(lite: Extractor) -> None:
    (one,) = visualize(parse_units(["relu2_1:3"], lite), lite, settings(), snapshots=3)
    assert len(one.frames) == 3
    last = one.frames[-1].float() / 255
    torch.testing.assert_close(last, one.images[0], rtol=0, atol=0.51 / 255)
    assert not torch.equal(one.frames[0], one.frames[-1])


class Hungry(torch.nn.Module):
    """Runs out of memory for more than some pictures."""

    most = 99

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[0] > Hungry.most:
            raise torch.OutOfMemoryError("no more")
        result: Tensor = self.conv(image)
        return result


@pytest.fixture(scope="module")
def hungry() -> Extractor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return extractor_of(Hungry(), name="hungry")


def test_a_batch_is_halved_when_memory_runs_out(
    hungry: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hungry, "most", 2)
    events: list[UnitsEvent] = []
    units = [Unit(f"conv:{n % 4} {n}", (Part("conv", channel=n % 4),)) for n in range(8)]
    made = visualize(units, hungry, settings(schedule__batch=8), callbacks=[events.append])
    assert [one.unit for one in made] == units
    assert [event.notice for event in events if event.notice] == [
        "out of memory: going on with 4 units at a time",
        "out of memory: going on with 2 units at a time",
    ]


def test_one_picture_that_does_not_fit_is_an_error(
    hungry: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hungry, "most", 0)
    with pytest.raises(DeviceError, match="out of memory"):
        shown(["conv:1"], hungry)


def test_nothing_takes_a_gradient_but_the_picture() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    extractor = extractor_of(model, name="own")
    shown(["1:2"], extractor)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_sizes_come_from_the_network_where_it_needs_more(lite: Extractor) -> None:
    config = resolve(("test", {}), root=VisualizeConfig).config
    units = parse_units(["relu2_1:1"], lite)
    assert picture_side(lite, config, units) == module.DEFAULT_SIDE
    assert picture_side(lite, settings(), units) == 48


def test_a_picture_too_small_for_a_layer_is_refused_before_any_work(lite: Extractor) -> None:
    with pytest.raises(ImageError) as caught:
        shown(["relu5_1:3"], lite, schedule__size=16, view__pad=0, view__jitter=[8])
    assert "relu5_1:3" in caught.value.message
    with pytest.raises(ConfigError, match="no units"):
        visualize([], lite, settings())


def test_a_position_past_the_end_is_refused(lite: Extractor) -> None:
    with pytest.raises(ConfigError) as caught:
        shown(["relu3_1:3@12,0"], lite)
    assert "12×12 positions" in caught.value.message
    (one,) = shown(["relu3_1:3@11,2"], lite)
    assert one.finished


def test_a_newcomer_starts_from_its_own_picture_even_after_a_bad_step(lite: Extractor) -> None:
    units = parse_units(["relu1_1:0-1"], lite)
    calls = 0
    plain = ActivationTerm.__call__

    def spoiled(self: ActivationTerm, image: Tensor, features: Any) -> Tensor:
        nonlocal calls
        calls += 1
        value = plain(self, image, features)
        return value * float("nan") if calls == 7 else value

    config = settings(schedule__batch=1, schedule__steps=6, optimizer__lr=1e-9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ActivationTerm, "__call__", spoiled)
        first, second = visualize(units, lite, config)
    (alone,) = shown(["relu1_1:1"], lite, schedule__steps=6, optimizer__lr=1e-9)
    torch.testing.assert_close(second.images, alone.images, rtol=0, atol=1e-4)
    assert not torch.allclose(first.images, second.images, atol=1e-2)


def test_averages_of_iterates_are_refused(lite: Extractor) -> None:
    with pytest.raises(ConfigError, match="average"):
        shown(["relu1_1:0"], lite, optimizer__average=0.9)


def test_lbfgs_would_mix_pictures() -> None:
    with pytest.raises(ConfigError, match="L-BFGS"):
        settings(optimizer__name="lbfgs")
