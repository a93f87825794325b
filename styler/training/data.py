"""Training pictures: read once, then cropped and distorted as they are needed."""

from __future__ import annotations

import math
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from styler.errors import ImageError
from styler.images import fit_long_side, read_picture, resize

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
"""Endings of the files that count as pictures in folders and archives."""
LONGEST = 512
"""Larger pictures are reduced to this long side: crops are taken at about their own resolution."""
HELD_OUT_EVERY = 20
"""One picture in so many is never trained on."""


@dataclass(frozen=True)
class Source:
    """The pictures of one place.

    Args:
        name: of the file or folder.
        training: (3, H, W) uint8 each.
        held_out: likewise; every 20th picture.
    """

    name: str
    training: list[Tensor]
    held_out: list[Tensor]

    @property
    def share(self) -> float:
        """Relative chance of a crop to come from here: the root of the number of pixels."""
        return math.sqrt(sum(picture[0].numel() for picture in self.training))


def read_source(path: Path) -> Source:
    """Read all pictures of a folder (with its subfolders), a tar archive, or one file.

    Args:
        path: the place.

    Returns:
        Its pictures in the order of their names.

    Raises:
        ImageError: there are none, or one cannot be read.
    """
    if not path.exists():
        raise ImageError(f"no training pictures at {path}", "give a folder, a .tar or a picture")
    training: list[Tensor] = []
    held_out: list[Tensor] = []
    for number, file in enumerate(_files(path), start=1):
        (held_out if number % HELD_OUT_EVERY == 0 else training).append(_read(file))
    if not training:
        raise ImageError(f"no pictures in {path}", f"looked for {', '.join(sorted(PICTURES))}")
    return Source(path.name, training, held_out)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file() and path.suffix.lower() in PICTURES:
        yield path
    elif path.is_dir():
        yield from sorted(f for f in path.rglob("*") if f.suffix.lower() in PICTURES)
    else:
        with tempfile.TemporaryDirectory(prefix="styler-") as folder:
            try:
                with tarfile.open(path) as archive:
                    archive.extractall(folder, filter="data")
            except (tarfile.TarError, OSError) as error:
                raise ImageError(f"{path} is no readable tar archive: {error}") from error
            yield from _files(Path(folder))


def _read(file: Path) -> Tensor:
    pixels = read_picture(file).pixels
    size = (pixels.shape[2], pixels.shape[3])
    if max(size) > LONGEST:
        pixels = resize(pixels, fit_long_side(size, LONGEST))
    return (pixels[0] * 255).round().to(torch.uint8)


class Crops:
    """Random square crops of several sources.

    Args:
        sources: where the pictures come from, each as often as its `Source.share`.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.pictures = [source.training for source in sources]
        self.shares = torch.tensor([source.share for source in sources])

    def __call__(self, count: int, side: int, generator: torch.Generator) -> Tensor:
        """Draw crops.

        Args:
            count: B.
            side: of the crops, in pixels.
            generator: source of the randomness, on the CPU.

        Returns:
            (B, 3, side, side) float32 sRGB in [0, 1], at half to 1.6 times the picture's own
            resolution, every other one mirrored.
        """
        chosen = torch.multinomial(self.shares, count, replacement=True, generator=generator)
        return torch.cat([self._one(self.pictures[place], side, generator) for place in chosen])

    def _one(self, pictures: list[Tensor], side: int, generator: torch.Generator) -> Tensor:
        picture = pictures[int(torch.randint(len(pictures), (), generator=generator))]
        u, v, w, mirror = torch.rand(4, generator=generator).tolist()
        zoom = 2.0 ** (-1 + 1.7 * w)
        window = min(round(side / zoom), *picture.shape[1:])
        top = int(u * (picture.shape[1] - window + 1))
        left = int(v * (picture.shape[2] - window + 1))
        crop = picture[None, :, top : top + window, left : left + window].float() / 255
        crop = resize(crop, (side, side))
        return crop.flip(3) if mirror < 0.5 else crop


PLAIN = 0.4
"""Share of crops that stay as they are."""


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Take pictures off the manifold of photographs, so that the student follows there too.

    Some stay plain; the others get each of these by chance: a blend with another picture of the
    batch, colours mixed by a random matrix, more or less contrast, white noise, coarse noise.

    Args:
        images: (B, 3, H, W) in [0, 1].
        generator: source of the randomness, on the CPU.

    Returns:
        Likewise, clamped.
    """
    batch, _, height, width = images.shape

    def chance(probability: float) -> Tensor:
        return (torch.rand(batch, 1, 1, 1, generator=generator) < probability).float()

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, 1, 1, 1, generator=generator)

    def noise(h: int, w: int) -> Tensor:
        return torch.randn(batch, 3, h, w, generator=generator)

    result = images.lerp(images.roll(1, 0), chance(0.3) * uniform(0.2, 0.5))
    mixing = torch.eye(3) + 0.35 * torch.randn(batch, 3, 3, generator=generator)
    order = torch.stack([torch.randperm(3, generator=generator) for _ in range(batch)])
    mixing = mixing.gather(1, order[:, :, None].expand(-1, -1, 3))
    mean = result.mean((2, 3), keepdim=True)
    mixed = torch.einsum("bij,bjhw->bihw", mixing, result - mean) + mean
    result = result.lerp(mixed, chance(0.4))
    contrast = 1 + chance(0.5) * (2 ** uniform(-1.5, 1.0) - 1)
    result = (result - mean) * contrast + mean + chance(0.3) * uniform(-0.25, 0.25)
    result = result + chance(0.3) * uniform(0, 0.2) * noise(height, width)
    coarse = noise(-(-height // 6), -(-width // 6))
    coarse = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    result = result + chance(0.2) * uniform(0, 0.25) * coarse
    return images.lerp(result, 1 - chance(PLAIN)).clamp(0, 1)
