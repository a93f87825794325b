"""A windy night: layered brush strokes that follow a swirling flow."""

from __future__ import annotations

import numpy as np
from PIL import Image

from painting.brush import Brush, Painting
from painting.canvas import Array, Canvas, fractal_noise, ramp

SKY = (
    (14, 22, 62), (22, 42, 104), (32, 72, 148), (58, 112, 178),
    (112, 160, 196), (186, 204, 190), (240, 228, 178),
)  # fmt: skip
GLOW = ((255, 246, 206), (250, 222, 120), (236, 178, 56), (196, 168, 96), (104, 150, 178))
LAND = ((12, 24, 44), (20, 50, 70), (36, 86, 86), (94, 122, 74), (196, 158, 64), (232, 196, 104))

POPLAR = ((10, 18, 26), (16, 34, 38), (34, 58, 40), (86, 84, 42))

# x, y, radius, spin of the eddies of wind
EDDIES = (
    (235, 215, 78, 4.2), (405, 268, 58, -3.6), (80, 105, 48, 3.0),
    (560, 300, 44, 3.2), (420, 80, 42, -2.8),
)  # fmt: skip
# x and top of the poplars, their half widths
TREES = ((84, 286, 24), (124, 392, 17))
# x, y, radius of the moon and the stars
LAMPS = (
    (600, 118, 44), (318, 70, 17), (150, 60, 13), (500, 176, 14), (34, 226, 15),
    (684, 258, 13), (200, 352, 12), (480, 40, 10), (318, 352, 10),
)  # fmt: skip


def paint(width: int = 720, seed: int = 7) -> Image.Image:
    """Paint the picture at a width in pixels."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(width=width, aspect=0.8)
    x, y = canvas.grid()
    wobble = fractal_noise(rng, canvas.drawn, 120 * canvas.unit)
    stream = _stream(x, y) + 5 * wobble
    colours = _sky(x, y, stream, wobble)
    down, right = np.gradient(stream)
    angle = np.arctan2(-right, down)
    ridge = _ridge(x)
    land = (y > ridge).astype(np.float32)
    colours, angle = _land(x, y, ridge, wobble, colours, angle)
    painting = Painting(canvas, (24, 34, 70), rng)
    painting.layer(Brush(width=26, length=110, coverage=2.5), angle, colours)
    painting.layer(Brush(width=15, length=80, coverage=2.2), angle, colours)
    painting.layer(Brush(width=9, length=52, coverage=1.3), angle, colours, 0.4 + 0.6 * land)
    near = _nearness(x, y)
    painting.layer(Brush(width=8, length=30, coverage=3.0), angle, colours, near * (1 - land))
    leaves, upright, poplars = _poplars(x, y, wobble)
    painting.layer(Brush(width=9, length=34, coverage=9, streaks=14), upright, leaves, poplars)
    return painting.dry()


def _stream(x: Array, y: Array) -> Array:
    """The stream function: strokes run along its level lines."""
    stream = y + 14 * np.sin(x / 74 + y / 160) + 10 * np.sin(x / 41 - y / 90)
    for cx, cy, radius, spin in EDDIES:
        stream += spin * radius * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * radius**2))
    for cx, cy, radius in LAMPS:
        distance = np.hypot(x - cx, y - cy) / radius
        share = np.clip(2.6 - distance, 0, 1)
        share = share * share * (3 - 2 * share)
        stream = stream * (1 - share) + (cy + 3 * radius * (2 - distance)) * share
    return stream


def _nearness(x: Array, y: Array) -> Array:
    """1 at the moon and stars, falling to 0 at twice their radius."""
    near = np.zeros_like(x)
    for cx, cy, radius in LAMPS:
        near = np.maximum(near, np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / (1.6 * radius) ** 2)))
    return near


def _sky(x: Array, y: Array, stream: Array, wobble: Array) -> Array:
    bands = 0.5 + 0.5 * np.sin(stream / 11 + wobble)
    tone = 0.12 + 0.16 * (y / 430) + 0.5 * bands**1.6 + 0.12 * wobble
    colours = ramp(SKY, tone)
    for cx, cy, radius in LAMPS:
        distance = np.hypot(x - cx, y - cy) / radius
        share = np.clip(1.9 - 0.75 * distance, 0, 1)[..., None]
        halo = ramp(GLOW, distance / 2.4 + 0.07 * np.sin(distance * 9))
        colours = colours * (1 - share) + halo * share
    return colours


def _ridge(x: Array) -> Array:
    return 438 + 20 * np.sin(x / 95 + 0.6) + 9 * np.sin(x / 37)


def _land(
    x: Array, y: Array, ridge: Array, wobble: Array, colours: Array, angle: Array
) -> tuple[Array, Array]:
    """Rolling hills in front of the sky, their strokes along their slopes."""
    for k, (low, tone) in enumerate(((0, 0.12), (38, 0.42), (84, 0.74))):
        edge = ridge + low + 12 * np.sin(x / (70 + 20 * k) + 2.1 * k)
        below = y > edge
        depth = np.clip((y - edge) / 60, 0, 1)
        rows = 0.5 + 0.5 * np.sin((y - edge) / 5.5 + 2 * wobble)
        shade = ramp(LAND, tone + 0.22 * rows + 0.1 * wobble - 0.18 * depth)
        colours = np.where(below[..., None], shade, colours)
        slope = np.gradient(edge, axis=1) * 1.0
        angle = np.where(below, np.arctan(slope) + 0.25 * np.sin(x / 40 + k), angle)
    return colours, angle


def _poplars(x: Array, y: Array, wobble: Array) -> tuple[Array, Array, Array]:
    """Dark flames of trees: their colours, the angles of their strokes, where they stand."""
    where = np.zeros_like(x)
    lick = np.zeros_like(x)
    for cx, top, half in TREES:
        down = np.clip((y - top) / (680 - top), 0, 1)
        sway = 4 * np.sin(y / 26 + cx)
        edge = half * np.sin(np.pi * np.minimum(down**0.8, 0.98)) ** 0.7
        inside = np.abs(x - cx - sway) < edge
        lick[inside] = (0.5 + 0.5 * np.sin((x - cx - sway) / 3.2 + y / 30 + 2 * wobble))[inside]
        where[inside] = 1
    angle = np.pi / 2 + 0.35 * np.sin(y / 13 + x / 9)
    return ramp(POPLAR, lick**1.5), angle.astype(np.float32), where
