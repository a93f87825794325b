"""A leaded window: a sun over hills and a river, in jewel-coloured pieces of glass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from painting.canvas import Array, Canvas, blur, fractal_noise, light_relief, ramp, smooth_noise

SUN = (470.0, 205.0)
SUN_RINGS = (0.0, 34.0, 74.0, 112.0)

SUN_GLASS = ((255, 236, 130), (255, 196, 40), (252, 140, 20), (226, 62, 24))
SKY_GLASS = (
    (228, 44, 60), (206, 30, 110), (150, 34, 150), (92, 44, 176),
    (48, 66, 196), (24, 104, 208), (20, 150, 206), (96, 200, 214),
)  # fmt: skip
HILL_GLASS = ((18, 84, 96), (16, 112, 70), (64, 160, 50), (160, 196, 40), (232, 196, 48))
RIVER_GLASS = ((20, 112, 210), (60, 190, 226), (176, 234, 232), (28, 70, 190))


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """For every pixel, its piece, the distance to the nearest other, and the place within."""

    index: NDArray[np.intp]
    to_edge: Array
    x: Array
    y: Array


def paint(width: int = 720, seed: int = 11) -> Image.Image:
    """Paint the picture at a width in pixels."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(width=width, aspect=0.8)
    seeds = _seeds(rng)
    x, y = canvas.grid()
    bend = 7 * smooth_noise(rng, canvas.drawn, (90 * canvas.unit,) * 2)
    sway = 7 * smooth_noise(rng, canvas.drawn, (90 * canvas.unit,) * 2)
    pieces = _cut(x + bend, y + sway, seeds)
    glass = _glass(rng, canvas, seeds, pieces)
    return canvas.finish(_lead(rng, canvas, glass, pieces.to_edge))


def _seeds(rng: np.random.Generator) -> Array:
    """Centres of the pieces: rings around the sun, rays beyond them, rows along the land."""
    found: list[tuple[float, float]] = [SUN]
    radius, ring = 34.0, 0
    while radius < 640:
        count = max(8, round(2 * np.pi * radius / (34 + 0.10 * radius)))
        turn = rng.uniform(0, 2 * np.pi)
        for k in range(count):
            angle = turn + 2 * np.pi * k / count + rng.normal(0, 0.05)
            r = radius + rng.normal(0, 3)
            point = (SUN[0] + r * np.cos(angle), SUN[1] + r * np.sin(angle))
            if point[1] < _horizon(point[0]) - 12:
                found.append(point)
        ring += 1
        radius += 36 + 3.2 * ring
    for row in range(7):
        step = 34 + 5 * row
        for px in np.arange(-20 + rng.uniform(0, step), 760, step):
            py = _horizon(px) + 14 + row * (22 + 1.6 * row) + rng.normal(0, 3)
            found.append((float(px), float(py)))
    points = np.asarray(found, dtype=np.float32)
    inside = (np.abs(points[:, 0] - 360) < 420) & (np.abs(points[:, 1] - 288) < 350)
    return points[inside]


def _horizon(x: float) -> float:
    return float(392 + 30 * np.sin(x / 120 + 0.4) - 14 * np.sin(x / 52))


def _river(x: Array, y: Array) -> NDArray[np.bool_]:
    middle = 400 - 0.9 * (y - 380) + 50 * np.sin((y - 380) / 45)
    return np.abs(x - middle) < 22 + 0.42 * (y - 380)


def _cut(x: Array, y: Array, seeds: Array) -> Pieces:
    """Give every pixel to its nearest seed and measure how far the border with the next one is."""
    first = np.full(x.shape, np.inf, dtype=np.float32)
    second = first.copy()
    index = np.zeros(x.shape, dtype=np.intp)
    other = index.copy()
    for k, (sx, sy) in enumerate(seeds):
        distance = (x - sx) ** 2 + (y - sy) ** 2
        nearest = distance < first
        runner_up = ~nearest & (distance < second)
        second = np.where(nearest, first, np.where(runner_up, distance, second))
        other = np.where(nearest, index, np.where(runner_up, k, other))
        first = np.where(nearest, distance, first)
        index = np.where(nearest, k, index)
    gap = np.hypot(*np.moveaxis(seeds[index] - seeds[other], -1, 0))
    to_edge = (second - first) / (2 * np.maximum(gap, 1e-3))
    centre = seeds[index]
    return Pieces(index=index, to_edge=to_edge, x=x - centre[..., 0], y=y - centre[..., 1])


def _colours(rng: np.random.Generator, seeds: Array) -> Array:
    """One colour for every piece."""
    x, y = seeds[:, 0], seeds[:, 1]
    from_sun = np.hypot(x - SUN[0], y - SUN[1])
    turn = np.arctan2(y - SUN[1], x - SUN[0])
    rays = 0.10 * np.sign(np.sin(turn * 9))
    sky = ramp(SKY_GLASS, (from_sun - 120) / 430 + rays + rng.normal(0, 0.05, len(x)))
    sun = ramp(SUN_GLASS, from_sun / 125 + rng.normal(0, 0.06, len(x)))
    folds = 0.5 + 0.5 * np.sin((y - 400) / 22 + x / 75)
    hills = ramp(HILL_GLASS, folds + rng.normal(0, 0.12, len(x)))
    river = np.asarray(RIVER_GLASS, dtype=np.float32)[rng.integers(0, len(RIVER_GLASS), len(x))]
    ground = np.asarray([_horizon(float(v)) for v in x]) < y
    land = np.where(_river(x, y)[:, None], river, hills)
    colours = np.where((from_sun < 125)[:, None], sun, sky)
    colours = np.where(ground[:, None], land, colours)
    return np.clip(colours * rng.uniform(0.82, 1.12, (len(x), 1)), 0, 255).astype(np.float32)


def _glass(rng: np.random.Generator, canvas: Canvas, seeds: Array, pieces: Pieces) -> Array:
    """Colour the pieces: a gradient and streaks of its own in each, ripples over all."""
    count, unit = len(seeds), canvas.unit
    colours = _colours(rng, seeds)[pieces.index]
    turn = rng.uniform(0, np.pi, count).astype(np.float32)[pieces.index]
    along = pieces.x * np.cos(turn) + pieces.y * np.sin(turn)
    across = pieces.y * np.cos(turn) - pieces.x * np.sin(turn)
    wobble = fractal_noise(rng, canvas.drawn, 22 * unit, 4)
    pitch = rng.uniform(0.35, 0.9, count).astype(np.float32)[pieces.index]
    streaks = np.sin(across * pitch + 2.6 * wobble) * rng.uniform(0.02, 0.11, count)[pieces.index]
    gradient = 0.011 * along * rng.uniform(0.3, 1.0, count)[pieces.index]
    glow = 0.16 * np.clip(pieces.to_edge / 14, 0, 1) - 0.08
    light = 1.0 + gradient + streaks + glow + 0.10 * wobble
    ripples = blur(128 + 90 * fractal_noise(rng, canvas.drawn, 9 * unit, 2), 0.8 * unit)
    lit = light_relief(colours * light[..., None].astype(np.float32), ripples, 0.016, 0.9)
    pale = np.clip(gradient + streaks + 0.08, 0, 0.3)[..., None]
    return (lit + pale * (255 - lit)).astype(np.float32)


def _lead(rng: np.random.Generator, canvas: Canvas, glass: Array, to_edge: Array) -> Array:
    """Lay rounded strips of lead over the borders, with a shadow on the glass."""
    half = 2.7 + 0.7 * smooth_noise(rng, canvas.drawn, (40 * canvas.unit,) * 2)
    shadow = 0.45 + 0.55 * np.clip((to_edge - half) / 3.5, 0, 1)
    profile = np.sqrt(np.clip(1 - (to_edge / half) ** 2, 0, 1))
    grain = fractal_noise(rng, canvas.drawn, 5 * canvas.unit, 2)
    metal = np.full_like(glass, 1.0) * np.array((34, 34, 40), dtype=np.float32)
    metal = metal * (1 + 0.25 * grain[..., None])
    metal = light_relief(metal, profile * half * canvas.unit, 0.9, 0.55)
    cover = np.clip((half - to_edge) * canvas.unit + 0.5, 0, 1)[..., None]
    return glass * shadow[..., None] * (1 - cover) + metal * cover
