"""An avenue after rain: short, broad dabs of a loaded brush in hot colours."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from painting.brush import Brush, Painting
from painting.canvas import Array, Canvas, fractal_noise, ramp

LEAVES = (
    (255, 244, 190), (255, 222, 92), (252, 178, 34), (240, 116, 26),
    (206, 52, 34), (140, 26, 52), (74, 24, 74), (34, 22, 62),
)  # fmt: skip
LIGHT = ((255, 252, 226), (200, 232, 222), (120, 196, 206))
BARK = ((28, 18, 40), (66, 36, 46), (122, 70, 50))
VANISHING = (372.0, 300.0)


def paint(width: int = 720, seed: int = 3) -> Image.Image:
    """Paint the picture at a width in pixels."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(width=width, aspect=0.8)
    x, y = canvas.grid()
    clumps = fractal_noise(rng, canvas.drawn, 95 * canvas.unit, 4)
    flutter = fractal_noise(rng, canvas.drawn, 60 * canvas.unit, 2)
    trees = _trees(rng, canvas)
    scene = _foliage(x, y, clumps)
    scene, wet = _ground(x, y, clumps, _stand(scene, trees))
    angle = np.where(wet > 0, 0.12 * flutter, 0.9 + 1.6 * flutter).astype(np.float32)
    bark = np.asarray(trees, dtype=np.float32)[..., 3] / 255 * (1 - wet)
    upright = (np.pi / 2 + 0.2 * flutter).astype(np.float32)
    painting = Painting(canvas, (70, 30, 50), rng)
    broad = Brush(width=28, length=54, coverage=3.0, two_tone=22)
    painting.layer(broad, angle, scene)
    painting.layer(Brush(width=17, length=34, coverage=2.2, two_tone=26), angle, scene)
    painting.layer(Brush(width=9, length=46, coverage=3.0, two_tone=24), upright, scene, bark)
    leaves = np.clip(clumps * 1.6, 0, 1) * (1 - wet) * (1 - 0.75 * bark)
    bright = np.clip(scene * 1.12 + 14, 0, 255)
    dabs = Brush(width=11, length=15, coverage=2.4, colour_jitter=20, two_tone=24)
    painting.layer(dabs, angle, bright, 0.15 * (1 - wet) + 0.85 * leaves)
    gleam = Brush(width=7, length=44, coverage=1.0, colour_jitter=12, two_tone=18)
    painting.layer(gleam, angle, np.clip(scene * 1.15 + 10, 0, 255), wet)
    return painting.dry(relief=0.034, gloss=0.6)


def _foliage(x: Array, y: Array, clumps: Array) -> Array:
    """Leaves, lighter towards the end of the avenue, with sky shining through there."""
    distance = np.hypot((x - VANISHING[0]) / 1.15, y - VANISHING[1])
    tone = distance / 520 + 0.30 * clumps + 0.06
    colours = ramp(LEAVES, tone)
    gap = np.clip(1.25 - distance / 105 + 0.7 * clumps, 0, 1)[..., None]
    return colours * (1 - gap) + ramp(LIGHT, distance / 150) * gap


def _trees(rng: np.random.Generator, canvas: Canvas) -> Image.Image:
    """Two rows of trunks and their boughs, on a transparent sheet."""
    sheet = Image.new("RGBA", canvas.drawn, (0, 0, 0, 0))
    draw = ImageDraw.Draw(sheet)
    for depth in (0.16, 0.24, 0.36, 0.55, 0.85):
        for side in (-1, 1):
            foot_x = VANISHING[0] + side * 340 * depth + rng.normal(0, 14 * depth)
            foot_y = VANISHING[1] + 30 + 190 * depth
            shade = np.clip(0.75 - 0.8 * depth + rng.normal(0, 0.06), 0, 1)
            ink = tuple(int(v) for v in ramp(BARK, np.float32(shade)))
            _grow(
                rng, canvas, draw, (foot_x, foot_y), 230 * depth + 30, 46 * depth, -np.pi / 2, ink
            )
    return sheet


def _grow(
    rng: np.random.Generator,
    canvas: Canvas,
    draw: ImageDraw.ImageDraw,
    foot: tuple[float, float],
    length: float,
    girth: float,
    heading: float,
    ink: tuple[int, ...],
) -> None:
    """A bough that bends and tapers, then forks while it is thick enough."""
    x, y = foot
    for step in range(12):
        heading += rng.normal(0, 0.07)
        x += np.cos(heading) * length / 12
        y += np.sin(heading) * length / 12
        r = 0.5 * girth * (1 - 0.45 * step / 12)
        box = np.array((x - r, y - 1.6 * r - 2, x + r, y + 1.6 * r + 2)) * canvas.unit
        draw.ellipse(box.tolist(), fill=(*ink, 255))
    if girth > 3.5:
        for turn in (-0.5, 0.45):
            bent = heading + turn + rng.normal(0, 0.15)
            _grow(rng, canvas, draw, (x, y), 0.66 * length, 0.52 * girth, bent, ink)


def _stand(scene: Array, trees: Image.Image) -> Array:
    sheet = np.asarray(trees, dtype=np.float32)
    share = sheet[..., 3:] / 255
    return scene * (1 - share) + sheet[..., :3] * share


def _ground(x: Array, y: Array, clumps: Array, scene: Array) -> tuple[Array, Array]:
    """The wet way: a darkened mirror of the scene between banks of fallen leaves."""
    horizon = VANISHING[1] + 32
    depth = y - horizon
    wet = ((depth > 0) & (np.abs(x - VANISHING[0]) < 12 + 1.25 * depth)).astype(np.float32)
    rows = scene.shape[0]
    scale = rows / float(y[-1, 0] + 1e-6)
    mirrored = np.clip((horizon - 1.05 * depth[:, 0]) * scale, 0, rows - 1).astype(np.intp)
    gloss = scene[mirrored] * 0.82 + np.asarray((14, 20, 40), dtype=np.float32)
    fallen = ramp(LEAVES, 0.25 + depth / 420 + 0.3 * clumps)
    ground = np.where(wet[..., None] > 0, gloss, fallen)
    standing = scene.mean(axis=2) < 60
    below = (depth > 0) & ~(standing & (wet == 0))
    return np.where(below[..., None], ground, scene).astype(np.float32), wet
