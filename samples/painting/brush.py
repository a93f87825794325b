"""A brush of many bristles, dragged along a direction field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from painting.canvas import Array, Canvas, blur, light_relief

PATH_POINTS = 14


@dataclass(frozen=True, kw_only=True)
class Brush:
    """How one layer of strokes is painted; lengths are in design pixels.

    Args:
        width: Full width of a stroke.
        length: Mean length of a stroke.
        coverage: How many times the strokes would cover the canvas.
        colour_jitter: Standard deviation of a stroke's colour, in [0, 255].
        streaks: Standard deviation of a bristle's brightness within its stroke, in [0, 255].
        two_tone: How far the two sides of a stroke differ in brightness, in [0, 255].
    """

    width: float
    length: float
    coverage: float
    colour_jitter: float = 9.0
    streaks: float = 9.0
    two_tone: float = 14.0


class Painting:
    """Wet paint: a colour and a thickness for every pixel, changed stroke by stroke."""

    def __init__(self, canvas: Canvas, ground: tuple[int, int, int], rng: np.random.Generator):
        self.canvas = canvas
        self.rng = rng
        self.colour = Image.new("RGB", canvas.drawn, ground)
        self.thickness = Image.new("L", canvas.drawn, 90)
        self._draw_colour = ImageDraw.Draw(self.colour)
        self._draw_thickness = ImageDraw.Draw(self.thickness)

    def layer(self, brush: Brush, angle: Array, target: Array, where: Array | None = None) -> None:
        """Cover the canvas with strokes in random order.

        Args:
            brush: The brush.
            angle: Direction of the strokes in radians, (height, width).
            target: Colours to paint, (height, width, 3) in [0, 255].
            where: Chance in [0, 1] that a stroke starting at a pixel is painted.
        """
        width, height = self.canvas.drawn
        margin = 0.7 * brush.length * self.canvas.unit
        area = brush.width * brush.length * self.canvas.unit**2
        count = int(brush.coverage * (width + 2 * margin) * (height + 2 * margin) / area)
        start = self.rng.uniform(-margin, (width + margin, height + margin), (count, 2))
        if where is not None:
            cell = _inside(start, self.canvas.drawn)
            start = start[self.rng.random(count) < where[cell[:, 1], cell[:, 0]]]
        paths, normals = self._trace(start, brush, angle)
        middle = _inside(paths[:, PATH_POINTS // 2], self.canvas.drawn)
        colours = target[middle[:, 1], middle[:, 0]]
        for path, normal, colour in zip(paths, normals, colours, strict=True):
            self._stroke(brush, path, normal, colour)

    def _trace(self, start: NDArray[np.float64], brush: Brush, angle: Array) -> tuple[Array, Array]:
        """Follow the field from every start: points and unit normals, (strokes, points, 2)."""
        length = brush.length * self.canvas.unit * self.rng.uniform(0.6, 1.4, len(start))
        # half of the strokes run against the field, so that none of its sources stays bare
        step = (length / (PATH_POINTS - 1) * self.rng.choice((-1, 1), len(start)))[:, None]
        points, normals = [], []
        place = start.copy()
        for _ in range(PATH_POINTS):
            along = self._heading(angle, place)
            points.append(place)
            normals.append(along[:, ::-1] * (-1, 1))
            # a midpoint step stays on a circle where a plain one would spiral out of it
            place = place + self._heading(angle, place + along * step / 2) * step
        return (
            np.stack(points, axis=1).astype(np.float32),
            np.stack(normals, axis=1).astype(np.float32),
        )

    def _heading(self, angle: Array, place: NDArray[np.float64]) -> NDArray[np.float64]:
        cell = _inside(place, self.canvas.drawn)
        heading = angle[cell[:, 1], cell[:, 0]]
        return np.stack([np.cos(heading), np.sin(heading)], axis=1)

    def _stroke(self, brush: Brush, path: Array, normal: Array, colour: Array) -> None:
        rng = self.rng
        half = 0.5 * brush.width * self.canvas.unit * rng.uniform(0.7, 1.25)
        bristles = max(3, round(half * 0.9))
        line_width = max(1, round(2.6 * half / bristles))
        across = np.linspace(-1, 1, bristles) + rng.normal(0, 0.25 / bristles, bristles)
        # the belly of a stroke is full, its ends are rounded
        along = np.linspace(0, 1, PATH_POINTS)
        profile = np.clip(np.minimum(along + 0.04, (1 - along) * 0.9 + 0.03) * 5, 0, 1) ** 0.5
        colour = colour + rng.normal(0, brush.colour_jitter, 3) * (1, 0.8, 1)
        colour = colour + rng.normal(0, brush.colour_jitter)
        tones = across * brush.two_tone * rng.choice((-1, 1)) + _streaks(rng, bristles) * (
            brush.streaks
        )
        body = rng.uniform(70, 130)
        heights = body + 22 * np.abs(across) ** 3 + _streaks(rng, bristles) * 26
        first = rng.integers(0, 2, bristles)
        last = PATH_POINTS - rng.integers(0, 4, bristles)
        for i in rng.permutation(bristles):
            line = path + normal * (across[i] * half * profile)[:, None]
            points = line[first[i] : last[i]].ravel().tolist()
            fill = tuple(int(min(max(c + tones[i], 0), 255)) for c in colour)
            self._draw_colour.line(points, fill=fill, width=line_width)
            self._draw_thickness.line(
                points, fill=int(min(max(heights[i], 0), 255)), width=line_width
            )

    def dry(self, relief: float = 0.035, gloss: float = 0.6) -> Image.Image:
        """Light the paint and return the finished picture."""
        unit = self.canvas.unit
        fine = blur(np.asarray(self.thickness, dtype=np.float32), 0.35 * unit)
        pixels = np.asarray(self.colour, dtype=np.float32)
        lit = light_relief(pixels, fine * unit / 2.5, relief, gloss)
        return self.canvas.finish(lit)


def _streaks(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Random tones that neighbouring bristles partly share."""
    raw = rng.normal(0, 1, count + 2)
    return (raw[:-2] + 2 * raw[1:-1] + raw[2:]) / 6**0.5


def _inside(points: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.intp]:
    """Pixel indices (x, y) of points, moved inside the canvas."""
    return np.clip(points, 0, np.asarray(size) - 1).astype(np.intp)
