"""Curling waves in the manner of a colour woodcut: flat inks, carved lines, foam, paper."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from painting.canvas import Array, Canvas, Colour, fractal_noise, ramp, smooth_noise

PAPER: Colour = (240, 228, 200)
INDIGO: Colour = (24, 40, 84)
BLUES: tuple[Colour, ...] = ((38, 72, 128), (74, 122, 164), (140, 178, 190), (205, 214, 200))
SKY = ((92, 118, 146), (178, 186, 180), (236, 218, 180), (240, 196, 148), (226, 150, 112))
AIR = ((44, 70, 116), (84, 114, 148), (150, 168, 170), (214, 172, 128), (206, 116, 88))
SUN = (545.0, 150.0)
SUN_INK: Colour = (206, 66, 46)

Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Wave:
    """A wave as a tapering band whose spine winds into a spiral; lengths in design pixels.

    Args:
        x: Where its foot stands.
        y: Where its foot stands.
        size: Length of the spine.
        body: Width of the foot.
        rise: Heading of the foot in radians, negative is upwards.
        curl: How far the spine turns, in radians.
        mirrored: Whether it curls to the left.
    """

    x: float
    y: float
    size: float
    body: float
    rise: float = -0.95
    curl: float = 6.6
    mirrored: bool = False

    def at(self, along: Points, across: Points | float) -> Points:
        """Points at shares of the spine (0 foot, 1 tip) and of the half width (1 outer edge)."""
        s = np.linspace(0, 1, 400)
        heading = self.rise + self.curl * s**2.1
        pace = self.size * (1.25 - s) / 400
        spine_x, spine_y = np.cumsum(np.cos(heading) * pace), np.cumsum(np.sin(heading) * pace)
        half = 0.5 * self.body * ((1 - along) ** 0.9 + 0.015)
        turn = np.interp(along, s, heading)
        offset = half * across
        x = np.interp(along, s, spine_x) + offset * np.sin(turn)
        y = np.interp(along, s, spine_y) - offset * np.cos(turn)
        return np.stack([self.x + (-x if self.mirrored else x), self.y + y], axis=-1)

    def strip(self, start: float, end: float, inner: float, outer: float) -> Points:
        """Outline of a strip along the wave that tapers to a point at both ends."""
        along = np.linspace(start, end, 70)
        swell = np.sin(np.pi * np.linspace(0, 1, 70)) ** 0.35
        middle, half = (inner + outer) / 2, (outer - inner) / 2 * swell
        return np.concatenate([self.at(along, middle + half), self.at(along, middle - half)[::-1]])


class Print:
    """Flat inks on paper, laid polygon by polygon."""

    def __init__(self, canvas: Canvas, ground: Array):
        self.unit = canvas.unit
        self.image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
        self._draw = ImageDraw.Draw(self.image)

    def fill(self, outline: Points, ink: Colour) -> None:
        """Fill an outline."""
        self._draw.polygon((outline * self.unit).ravel().tolist(), fill=ink)

    def dot(self, x: float, y: float, radius: float, ink: Colour) -> None:
        """Fill a disc."""
        box = np.array((x - radius, y - radius, x + radius, y + radius)) * self.unit
        self._draw.ellipse(box.tolist(), fill=ink)

    def line(self, points: Points, thickness: float, ink: Colour) -> None:
        """A carved line, pointed at both ends."""
        tangent = np.gradient(points, axis=0)
        normal = tangent[:, ::-1] * (-1, 1) / np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
        swell = np.sin(np.pi * np.linspace(0.03, 0.97, len(points))) ** 0.6
        edge = normal * (0.5 * thickness * swell)[:, None]
        self.fill(np.concatenate([points + edge, (points - edge)[::-1]]), ink)


def paint(width: int = 720, seed: int = 5) -> Image.Image:
    """Paint the picture at a width in pixels."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(width=width, aspect=0.8)
    sheet = Print(canvas, _sky(rng, canvas))
    _air(rng, sheet)
    sheet.dot(*SUN, 74, SUN_INK)
    _clouds(rng, sheet)
    _sea(rng, sheet, 330)
    for wave in _waves(rng):
        _wave(rng, sheet, wave)
    return canvas.finish(_press(rng, canvas, np.asarray(sheet.image, dtype=np.float32)))


def _sky(rng: np.random.Generator, canvas: Canvas) -> Array:
    _, y = canvas.grid()
    tone = y / 380 + 0.05 * smooth_noise(rng, canvas.drawn, (300 * canvas.unit, 12 * canvas.unit))
    return ramp(SKY, tone)


def _air(rng: np.random.Generator, sheet: Print) -> None:
    """The sky's carved lines: they part around the sun as wood grain does around a knot."""
    for y in np.arange(6, 345, 9.5):
        start = rng.uniform(-160, 0)
        while start < 730:
            x = np.linspace(start, start + rng.uniform(90, 260), 60)
            dx, dy = x - SUN[0], y - SUN[1]
            push = np.sign(dy + 0.1) * 66 * np.exp(-np.abs(dy) / 70) * np.exp(-((dx / 105) ** 2))
            points = np.stack([x, y + push + 4 * np.sin(x / 70 + y / 40)], axis=-1)
            ink = AIR[int(np.clip(y / 345 * len(AIR), 0, len(AIR) - 1))]
            sheet.line(points, rng.uniform(1.4, 3.4), ink)
            start = x[-1] + rng.uniform(4, 30)


def _clouds(rng: np.random.Generator, sheet: Print) -> None:
    """Long bands of mist, each a few carved lines."""
    for _ in range(16):
        x, y = rng.uniform(-60, 700), rng.uniform(20, 310)
        length = rng.uniform(120, 300)
        t = np.linspace(0, 1, 40)
        for k in range(int(rng.integers(2, 5))):
            shift = rng.uniform(-40, 40)
            points = np.stack([x + shift + length * t, y + 8 * k + 5 * np.sin(5 * t + x)], axis=-1)
            sheet.line(points, rng.uniform(2, 5), PAPER)


def _sea(rng: np.random.Generator, sheet: Print, top: float) -> None:
    """Open water: a flat ink with rows of carved ripples."""
    x = np.linspace(-10, 730, 90)
    edge = np.stack([x, top + 8 * np.sin(x / 60)], axis=-1)
    sheet.fill(np.concatenate([edge, [(730, 600), (-10, 600)]]), BLUES[0])
    for row in range(34):
        y = top + 8 + 8 * row
        for px in np.arange(-40 + rng.uniform(0, 60), 740, 62):
            t = np.linspace(0, 1, 24)
            length = rng.uniform(40, 80)
            points = np.stack(
                [px + length * t, y + 8 * np.sin((px + length * t) / 60) - 5 * np.sin(np.pi * t)],
                axis=-1,
            )
            sheet.line(points, rng.uniform(1.6, 3.6), BLUES[int(rng.integers(1, 4))])


def _waves(rng: np.random.Generator) -> list[Wave]:
    """The waves, from the far ones to the near ones."""
    far = [
        Wave(x=px + rng.uniform(-12, 12), y=400, size=rng.uniform(190, 240), body=70,
             mirrored=bool(rng.random() < 0.25))
        for px in range(-20, 760, 92)
    ]  # fmt: skip
    great = [
        Wave(x=40, y=480, size=640, body=230, rise=-1.15, curl=6.2),
        Wave(x=560, y=520, size=400, body=150, rise=-1.0),
    ]
    middle = [
        Wave(x=px + rng.uniform(-15, 15), y=530, size=rng.uniform(260, 330), body=110)
        for px in range(-80, 760, 130)
    ]
    near = [
        Wave(x=px + rng.uniform(-15, 15), y=640, size=rng.uniform(330, 420), body=140,
             mirrored=bool(rng.random() < 0.3))
        for px in range(-120, 800, 150)
    ]  # fmt: skip
    return far + great + middle + near


def _wave(rng: np.random.Generator, sheet: Print, wave: Wave) -> None:
    """One wave: body, stripes along it, carved hatching, foam on its outer edge."""
    outline = np.linspace(0, 1, 120)
    line = 1.2 + wave.size / 300
    edge = np.concatenate([wave.at(outline, 1.0), wave.at(outline, -1.0)[::-1]])
    sheet.fill(edge, INDIGO)
    cuts = np.linspace(0.97, -0.97, max(5, round(wave.body / 16)))
    for k, (outer, inner) in enumerate(itertools.pairwise(cuts)):
        ink = (*BLUES, PAPER)[(4, 2, 0, 1, 3, 0)[k % 6]]
        gap = 0.12 * (outer - inner)
        sheet.fill(wave.strip(-0.02, rng.uniform(0.88, 1.0), inner + gap, outer - gap), ink)
    for _ in range(int(wave.body / 3)):
        start, across = rng.uniform(0, 0.75), rng.uniform(-0.95, 0.9)
        along = np.linspace(start, start + rng.uniform(0.08, 0.25), 20)
        ink = INDIGO if rng.random() < 0.6 else PAPER
        sheet.line(wave.at(np.minimum(along, 1), across), rng.uniform(0.6, 1.2) * line, ink)
    _foam(rng, sheet, wave, line)


def _foam(rng: np.random.Generator, sheet: Print, wave: Wave, line: float) -> None:
    """Lobes of foam with claws along the crest, and spray thrown off it."""
    count = max(7, round(wave.size / 15))
    along = np.linspace(0.30, 0.86, count) + rng.normal(0, 0.008, count)
    centre, beyond = wave.at(along, 1.0), wave.at(along, 1.5)
    radius = wave.size * 0.026 * rng.uniform(0.7, 1.25, count) * (1.25 - along)
    side = -1.0 if wave.mirrored else 1.0
    outward = beyond - centre
    outward /= np.maximum(np.hypot(*outward.T), 1e-9)[:, None]
    for grow, ink in ((line, INDIGO), (0.0, PAPER)):
        for (x, y), (ox, oy), r in zip(centre, outward, radius, strict=True):
            sheet.dot(x, y, r + grow, ink)
            for turn in (-0.5, 0.35, 1.1):
                angle = np.arctan2(oy, ox) + side * turn
                t = np.linspace(0, 1, 14)
                bend = angle + side * 1.9 * t
                claw = np.stack([x + np.cumsum(np.cos(bend)) * r * 0.19,
                                 y + np.cumsum(np.sin(bend)) * r * 0.19], axis=-1)  # fmt: skip
                sheet.line(claw, r * 0.55 + 2 * grow, ink)
    for (x, y), r in zip(centre, radius, strict=True):
        sheet.dot(x + 0.2 * r, y + 0.2 * r, 0.42 * r, BLUES[2])
        sheet.dot(x + 0.05 * r, y + 0.05 * r, 0.36 * r, PAPER)
    for _ in range(int(wave.size / 12)):
        k = int(rng.integers(0, count))
        reach = radius[k] * rng.uniform(1.6, 5)
        x, y = centre[k] + outward[k] * reach + rng.normal(0, radius[k], 2)
        sheet.dot(x, y, rng.uniform(0.7, 2.2) * wave.size / 320, PAPER)


def _press(rng: np.random.Generator, canvas: Canvas, inked: Array) -> Array:
    """Print it: grain of the block, uneven ink, fibres of the paper."""
    unit = canvas.unit
    _, y = canvas.grid()
    flow = 26 * smooth_noise(rng, canvas.drawn, (260 * unit, 110 * unit))
    grain = np.sin((y + flow) * 1.15 + 2.2 * smooth_noise(rng, canvas.drawn, (90 * unit, 5 * unit)))
    patches = fractal_noise(rng, canvas.drawn, 60 * unit, 4)
    speckle = rng.normal(0, 1, inked.shape[:2]).astype(np.float32)
    share = np.clip(0.08 + 0.06 * grain + 0.07 * patches + 0.05 * speckle, 0, 0.4)[..., None]
    paper = np.asarray(PAPER, dtype=np.float32) + 5 * patches[..., None]
    return (inked * (1 - share) + paper * share).astype(np.float32)
