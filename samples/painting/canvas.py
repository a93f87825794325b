"""What every painting shares: design coordinates, noise, palettes, relief lighting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Array = NDArray[np.float32]
Colour = tuple[int, int, int]

SUPERSAMPLING = 2.5


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """A canvas whose geometry is designed at `DESIGN_WIDTH` and drawn at any size.

    Args:
        width: Width of the finished picture, in pixels.
        aspect: Height divided by width.
    """

    width: int
    aspect: float

    DESIGN_WIDTH = 720

    @property
    def finished(self) -> tuple[int, int]:
        """Width and height of the finished picture."""
        return self.width, round(self.width * self.aspect)

    @property
    def drawn(self) -> tuple[int, int]:
        """Width and height while painting, before the final reduction."""
        width, height = self.finished
        return round(width * SUPERSAMPLING), round(height * SUPERSAMPLING)

    @property
    def unit(self) -> float:
        """Drawn pixels per design pixel."""
        return self.drawn[0] / self.DESIGN_WIDTH

    def grid(self) -> tuple[Array, Array]:
        """Design coordinates x and y of every drawn pixel, each of shape (height, width)."""
        width, height = self.drawn
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        return x / self.unit, y / self.unit

    def finish(self, pixels: Array) -> Image.Image:
        """Round colours in [0, 255] and reduce the drawing to its finished size."""
        image = Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))
        return image.resize(self.finished, Image.Resampling.LANCZOS)


def smooth_noise(
    rng: np.random.Generator, size: tuple[int, int], cells: tuple[float, float]
) -> Array:
    """Smooth noise in [-1, 1] for a (width, height), with cells of the given width and height."""
    columns, rows = (max(2, round(s / c) + 1) for s, c in zip(size, cells, strict=True))
    coarse = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)


def fractal_noise(
    rng: np.random.Generator, size: tuple[int, int], cell: float, octaves: int = 4
) -> Array:
    """Octaves of smooth noise, each half as large and half as strong, scaled to about [-1, 1]."""
    total = np.zeros(size[::-1], dtype=np.float32)
    for octave in range(octaves):
        step = max(cell / 2**octave, 1.0)
        total += smooth_noise(rng, size, (step, step)) / 2**octave
    return total / 1.5


def ramp(colours: Sequence[Colour], position: Array) -> Array:
    """Colours along a palette: 0 gives its first entry, 1 its last; shape (..., 3)."""
    table = np.asarray(colours, dtype=np.float32)
    place = np.clip(position, 0, 1) * (len(table) - 1)
    below = np.minimum(place.astype(np.intp), len(table) - 2)
    share = (place - below)[..., None]
    return table[below] * (1 - share) + table[below + 1] * share


def blur(values: Array, radius: float) -> Array:
    """Gaussian blur of values in [0, 255]."""
    image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32)


def light_relief(pixels: Array, height: Array, strength: float, gloss: float = 0.0) -> Array:
    """Light a painted surface from the upper left.

    Args:
        pixels: Colours in [0, 255], (height, width, 3).
        height: Thickness of the paint, in drawn pixels.
        strength: Share of the slope that becomes light or shade.
        gloss: Brightness added where the slope faces the light squarely.
    """
    down, right = np.gradient(height)
    facing = (right + down) * np.float32(strength)
    lit = pixels * (1 + np.clip(facing, -0.45, 0.3))[..., None]
    shine = np.clip(facing - 0.22, 0, 0.5) * gloss
    return lit + shine[..., None] * (255 - lit)
