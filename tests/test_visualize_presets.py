"""The recipes of feature visualization do what their sources say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from styler.config import VisualizeConfig, resolve
from styler.params import FourierImage, MacoImage
from styler.presets import list_presets, load_preset
from styler.transforms import Crops, transform_of, view_size
from styler.visualize import start_of


def recipe(name: str) -> VisualizeConfig:
    values = load_preset(name, "visualize").values
    return resolve((f"preset {name}", values), root=VisualizeConfig).config


def test_every_preset_resolves() -> None:
    names = [preset.name for preset in list_presets("visualize")]
    assert names[0] == "default"
    assert {"lucid", "maco", "rigorous"} <= set(names)
    for name in names:
        recipe(name)


def test_the_default_preset_is_the_default() -> None:
    assert recipe("default") == VisualizeConfig()


def test_lucid_starts_from_its_own_formula() -> None:
    config = recipe("lucid")
    picture = start_of(config, (128, 128))(torch.Generator().manual_seed(4))
    assert isinstance(picture, FourierImage)
    raw = picture.raw.detach()[0].double().numpy()
    assert raw.std() == pytest.approx(0.01, rel=0.02)
    down, right = np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)[None]
    frequency = np.sqrt(down**2 + right**2)
    scale = 1 / np.maximum(frequency, 1 / 128) * np.sqrt(128 * 128)
    waves = np.fft.irfft2((raw[..., 0] + 1j * raw[..., 1]) * scale, s=(128, 128)) / 4
    root = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
    root = root / np.linalg.norm(root, axis=0).max()
    colours = waves.reshape(3, -1).T @ root.T
    expected = 1 / (1 + np.exp(-colours.T.reshape(3, 128, 128)))
    np.testing.assert_allclose(picture.image().detach()[0].numpy(), expected, atol=1e-5)


def test_lucid_moves_turns_and_scales_as_its_chain_does() -> None:
    config = recipe("lucid")
    assert view_size(config.view, (128, 128)) == (128 + 2 * 12 - 8 - 4,) * 2
    assert config.view.scales == pytest.approx([1 + (i - 5) / 50 for i in range(11)])
    assert (config.view.pad, config.view.jitter, config.view.degrees) == (12, (8, 4), 10)
    assert (config.view.noise, config.view.crops) == (0.0, 0)


def test_lucid_takes_512_steps_of_adam_and_redirects_16() -> None:
    config = recipe("lucid")
    adam = config.optimizer
    assert (adam.name, adam.lr, adam.beta1, adam.beta2) == ("adam", 0.05, 0.9, 0.999)
    assert (config.schedule.size, config.schedule.steps, config.redirect) == (128, 512, 16)
    assert config.schedule.flat == config.smoothness.weight == config.range_weight == 0
    assert config.diversity == 1e2


def test_maco_optimises_phases_by_nadam() -> None:
    config = recipe("maco")
    picture = start_of(config, (64, 64))(torch.Generator().manual_seed(4))
    assert isinstance(picture, MacoImage)
    assert (config.optimizer.name, config.optimizer.lr) == ("nadam", 1.0)
    assert (config.schedule.size, config.schedule.steps) == (512, 256)
    assert config.view.noise == 0.08


def test_maco_looks_at_32_crops_that_shrink_from_half_to_a_twentieth() -> None:
    config = recipe("maco")
    transform = transform_of(config.view)
    assert isinstance(transform, Crops)
    generator = torch.Generator().manual_seed(4)
    for progress, side in ((0.0, 0.5), (0.5, 0.275), (1.0, 0.05)):
        draw = transform.draw((512, 512), [generator], [progress])
        assert draw.views == 32
        torch.testing.assert_close(draw.theta[:, 0, 0], torch.full((32,), side))


def test_rigorous_goes_on_until_nothing_rises() -> None:
    config = recipe("rigorous")
    schedule = config.schedule
    assert (schedule.least, schedule.steps, schedule.size) == (2500, 20000, 224)
    assert schedule.flat > 0
    assert (config.view.pad, config.view.jitter, config.view.degrees) == (16, (16, 8), 5)
    assert set(config.view.scales) == {1, 0.975, 1.025, 0.95, 1.05}
    assert (config.optimizer.name, config.optimizer.lr) == ("adam", 0.05)
