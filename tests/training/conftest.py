"""A folder of synthetic pictures, and the embedded network as a teacher."""

from pathlib import Path

import pytest
import torch

from styler.features import find_weights, get_backbone
from styler.images import write_picture


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twenty pictures of blurred noise, of different sizes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    generator = torch.Generator().manual_seed(3)
    for number in range(20):
        coarse = torch.rand(1, 3, 6, 8, generator=generator)
        size = (40 + number, 60)
        pixels = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
        write_picture(folder / f"{number:02}.png", pixels)
    return folder


@pytest.fixture
def teacher() -> Path:
    path = find_weights(get_backbone("vgg-lite"))
    assert path is not None
    return path
