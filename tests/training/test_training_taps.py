import pytest
import torch

from styler.config import UnitScheduleConfig
from styler.features import load_extractor
from styler.training import taps
from styler.training.taps import tap_mosaic


def test_each_picture_of_a_mosaic_excites_its_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taps, "SCHEDULE", UnitScheduleConfig(size=64, steps=60))
    extractor = load_extractor("vgg-lite", pooling="average")
    channels = (3, 5, 8, 13)
    mosaic = tap_mosaic(extractor, "relu2_1", channels)
    assert mosaic.shape == (1, 3, 128, 128)
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    chance = extractor(noise, ["relu2_1"])["relu2_1"].mean((0, 2, 3))
    for place, channel in enumerate(channels):
        top, left = 64 * (place // 2), 64 * (place % 2)
        picture = mosaic[..., top : top + 64, left : left + 64]
        made = extractor(picture, ["relu2_1"])["relu2_1"].mean((0, 2, 3))
        assert made[channel] > 2 * chance[channel]
