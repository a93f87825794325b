"""The zoom: geometry, colours that hold, and films that end early."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from styler.config import DreamConfig, resolve
from styler.dreaming.zoom import contrast_limits, toned, zoom_frames, zoomed
from styler.engine import StepEvent
from styler.features import Extractor, load_extractor


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", dtype=torch.float32)


def photo(height: int = 48, width: int = 64) -> Tensor:
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(2))
    return F.interpolate(coarse, (height, width), mode="bilinear")


def config(**values: Any) -> DreamConfig:
    settings = {"layers": {"relu2_1": 1.0}, "schedule.min_side": 16, "zoom.steps": 1, **values}
    return resolve(("test", settings), root=DreamConfig).config


def dot(height: int, width: int, y: float, x: float) -> Tensor:
    """A soft dot at pixels from the centre, y down, x right."""
    rows = torch.arange(height)[:, None] - (height - 1) / 2
    columns = torch.arange(width)[None, :] - (width - 1) / 2
    spot = torch.exp(-((rows - y).square() + (columns - x).square()) / 8)
    return spot.expand(1, 3, height, width)


def centre(image: Tensor) -> tuple[float, float]:
    """Where the dot is, from the centre."""
    light = image.mean((0, 1)).clamp_min(0)
    rows = torch.arange(light.shape[0]) - (light.shape[0] - 1) / 2
    columns = torch.arange(light.shape[1]) - (light.shape[1] - 1) / 2
    total = light.sum()
    return float((light.sum(1) * rows).sum() / total), float((light.sum(0) * columns).sum() / total)


def test_nothing_moves_at_rate_0() -> None:
    assert torch.allclose(zoomed(photo(), 0.0, 0.0), photo(), atol=1e-5)


def test_the_zoom_moves_points_away_from_the_centre() -> None:
    y, x = centre(zoomed(dot(81, 121, 10, -20), 0.2, 0.0))
    assert (y, x) == (pytest.approx(10 / 0.8, abs=0.2), pytest.approx(-20 / 0.8, abs=0.2))


def test_the_turn_is_anticlockwise_and_keeps_distances_in_wide_pictures() -> None:
    y, x = centre(zoomed(dot(121, 181, 0, 30), 0.0, 30.0))
    assert (y, x) == (pytest.approx(-15, abs=0.3), pytest.approx(30 * 3**0.5 / 2, abs=0.3))


def test_frames_begin_with_the_picture_and_go_on_from_the_last(extractor: Extractor) -> None:
    settings = config(**{"optimizer.lr": 1e-9, "zoom.rate": 0.1, "zoom.contrast": 100.0})
    frames = list(zoom_frames(photo(), settings, 3, extractor=extractor))
    assert torch.equal(frames[0], photo())
    for before, after in pairwise(frames):
        assert torch.allclose(after, zoomed(before, 0.1, 0.0), atol=1e-5)


def test_frames_dream_and_differ_in_their_draws(extractor: Extractor) -> None:
    still = config(**{"zoom.rate": 0.0, "zoom.contrast": 100.0})
    frames = list(zoom_frames(photo(), still, 4, extractor=extractor))
    excited = [float(extractor(f, ["relu2_1"])["relu2_1"].square().mean()) for f in frames]
    assert excited == sorted(excited)
    again = list(zoom_frames(photo(), still, 4, extractor=extractor))
    assert all(torch.equal(a, b) for a, b in zip(frames, again, strict=True))


def test_frames_have_the_size_of_a_dream(extractor: Extractor) -> None:
    for values, size in (({"schedule.size": 32}, (24, 32)), ({"schedule.max_side": 40}, (30, 40))):
        frames = zoom_frames(photo(), config(**values), 2, extractor=extractor)
        assert [frame.shape for frame in frames] == [(1, 3, *size)] * 2


def test_events_count_frames_and_steps_of_the_whole_film(extractor: Extractor) -> None:
    events: list[StepEvent] = []
    settings = config(**{"zoom.octaves": 2, "zoom.steps": 3})
    list(zoom_frames(photo(), settings, 3, extractor=extractor, callbacks=[events.append]))
    assert [event.done for event in events] == list(range(1, 13))
    assert {event.planned for event in events} == {12}
    assert [(event.level, event.step) for event in events][5:7] == [(0, 6), (1, 1)]
    assert {event.levels for event in events} == {2}
    seconds = [event.seconds for event in events]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(("stop", "frames"), [(1, 1), (2, 2), (3, 2), (4, 3), (99, 5)])
def test_a_film_that_is_stopped_keeps_whole_frames(
    extractor: Extractor, stop: int, frames: int
) -> None:
    settings = config(**{"zoom.octaves": 2})
    got = list(
        zoom_frames(
            photo(), settings, 5, extractor=extractor, should_stop=lambda done: done >= stop
        )
    )
    assert len(got) == frames


def test_contrast_is_held_and_never_raised() -> None:
    image = photo()
    assert torch.allclose(toned(image, (9.0, 9.0)), image, atol=1e-6)
    held = toned(image, (0.05, 0.02))
    light = held.mean(1, keepdim=True)
    assert float(light.std()) == pytest.approx(0.05, rel=1e-3)
    assert float((held - light).square().mean().sqrt()) == pytest.approx(0.02, rel=1e-3)
    assert float(light.mean()) == pytest.approx(float(image.mean()), abs=1e-4)


def test_pale_first_frames_do_not_hold_the_film_to_their_paleness() -> None:
    grey = torch.full((1, 3, 8, 8), 0.5)
    assert contrast_limits(grey, 1.3) == (0.2, 0.07)
    strong = contrast_limits((photo() > 0.5).float(), 1.3)
    assert strong[0] > 0.2
    assert strong[1] > 0.07


def test_a_long_film_does_not_burn_out(extractor: Extractor) -> None:
    vivid = config(**{"optimizer.lr": 0.05, "zoom.octaves": 1})
    *_, last = zoom_frames(photo(), vivid, 25, extractor=extractor)
    *_, burnt = zoom_frames(
        photo(), config(**{"optimizer.lr": 0.05, "zoom.octaves": 1, "zoom.contrast": 100.0}), 25,
        extractor=extractor,
    )  # fmt: skip

    def clipped(image: Tensor) -> float:
        return float(((image < 0.01) | (image > 0.99)).float().mean())

    assert clipped(burnt) > 0.5
    assert clipped(last) < 0.5 * clipped(burnt)
