"""What the tests of patches share: small networks of one's own, and folders of photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from styler.features import Extractor, Preprocessing, extractor_of

PLAIN = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Small(nn.Module):
    """Two convolutions with a pooling between, and a unit that is always dead."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.first = nn.Conv2d(3, 6, 3, padding=1)
            self.act = nn.ReLU()
            self.pool = nn.MaxPool2d(2)
            self.second = nn.Conv2d(6, 5, 3, padding=1)
            self.last = nn.ReLU()
        with torch.no_grad():
            self.second.weight[2] = 0
            self.second.bias[2] = -1  # type: ignore[index]

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.first(x)))
        return self.last(self.second(x))  # type: ignore[no-any-return]


class Red(nn.Module):
    """One unit: how red a pixel is; another, how dark."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            self.see.weight.zero_()
            self.see.weight[0, 0] = 1
            self.see.weight[1, 0] = -1
            self.see.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        return self.see(x)  # type: ignore[no-any-return]


class Deciding(Small):
    """Looks at the numbers in the picture, which no trace can follow."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.mean() > -1e6 else -x


@pytest.fixture(scope="session")
def small() -> Extractor:
    return extractor_of(Small(), name="small", preprocessing=PLAIN)


@pytest.fixture(scope="session")
def red() -> Extractor:
    return extractor_of(Red(), name="red", preprocessing=PLAIN)


@pytest.fixture(scope="session")
def deciding() -> Extractor:
    return extractor_of(Deciding(), name="deciding", preprocessing=PLAIN)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven photographs of chance, in two folders and several shapes."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number in range(7):
        where = folder / "more" if number % 3 == 2 else folder
        blobs(where / f"{number}.png", number, (40 + 5 * number, 32 + 7 * (number % 3)))
    return folder


Paint = Callable[..., Path]


@pytest.fixture
def paint() -> Paint:
    """Paints a picture: of a path, a seed, and (width, height)."""
    return blobs


def blobs(path: Path, seed: int, size: tuple[int, int] = (48, 36)) -> Path:
    """A picture of coloured blobs, (width, height)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """The bytes of all files of a folder, by their paths."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return read
