"""Textures: sizes, seams, and what they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from styler.config import TransferConfig, resolve
from styler.errors import ConfigError
from styler.images import read_picture, resize
from styler.presets import load_preset
from styler.texture import texture

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="module")
def style() -> Tensor:
    return resize(read_picture(SAMPLES / "styles/flow_field.jpg").pixels, (160, 200))


def config(**values: object) -> TransferConfig:
    settings = {"backbone.name": "vgg-lite", "schedule.steps": [40], "runtime.precision": "fp32"}
    recipe = load_preset("default", "texture").values
    return resolve(("preset", recipe), ("test", {**settings, **values})).config


def steps_across(image: Tensor, dim: int) -> tuple[float, float]:
    """Mean difference of neighbours across the wrapped border, and inside."""
    wrapped = (image - image.roll(1, dim)).abs()
    border = wrapped.select(dim, 0).mean()
    return float(border), float(wrapped.mean())


def test_a_texture_has_the_size_asked_for(style: Tensor) -> None:
    result = texture(style, (70, 110), config(**{"schedule.steps": [2]}))
    assert result.image.shape == (1, 3, 70, 110)


def test_it_comes_from_the_seed_alone(style: Tensor) -> None:
    def made(seed: int) -> Tensor:
        settings = config(**{"schedule.steps": [3], "runtime.seed": seed})
        return texture(style, (64, 64), settings).image

    assert torch.equal(made(1), made(1))
    assert not torch.equal(made(1), made(2))


def test_a_seamless_texture_is_the_same_wherever_it_begins(style: Tensor) -> None:
    """With circular padding nothing tells the border from the inside: rolled noise gives the
    rolled texture."""
    start = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    settings = config(
        **{
            "backbone.padding": "circular",
            "schedule.steps": [3],
            "schedule.scales": 1,
            "init.kind": "image",
            "init.image": "x.png",
        }
    )
    from styler.network import extractor_for
    from styler.texture import blank, without_content
    from styler.transfer import Problem

    settings = without_content(settings, (64, 64))
    extractor = extractor_for(settings)

    def made(noise: Tensor) -> Tensor:
        return Problem(blank((64, 64)), style, settings, extractor, start=noise).solve().image

    moved = made(start.roll(32, 3)).roll(-32, 3)
    assert float((moved - made(start)).abs().mean()) < 1e-3


def test_a_seamless_texture_has_no_border(style: Tensor) -> None:
    result = texture(style, (96, 96), config(**{"backbone.padding": "circular"})).image
    open_ = texture(style, (96, 96), config()).image
    for dim in (2, 3):
        border, inside = steps_across(result, dim)
        assert border < 1.25 * inside  # of a single line of 96; large ones are measured elsewhere
        seam, _ = steps_across(open_, dim)
        assert seam > 1.5 * border


def test_what_a_texture_cannot_have(style: Tensor) -> None:
    with pytest.raises(ConfigError, match="weight is 0"):
        texture(style, (64, 64), config(strength=0.0))
    with pytest.raises(ConfigError, match="no content"):
        texture(style, (64, 64), config(**{"color.mode": "content"}))
