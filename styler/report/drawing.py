"""Simple drawings, as SVG for browsers and as pixels for everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image, ImageColor, ImageDraw, ImageFont
from torch import Tensor

PALETTE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "paper": ("#fbfaf8", "#161618"),
        "ink": ("#1d1d1f", "#ececee"),
        "soft": ("#63636a", "#a3a3ab"),
        "line": ("#dcdad5", "#37373c"),
        "blue": ("#0b62c4", "#7cb7ff"),
        "orange": ("#b4520f", "#ffab70"),
        "green": ("#19703a", "#6fce8f"),
        "purple": ("#7443b5", "#c7a6f7"),
        "teal": ("#0b6f78", "#6ad0d8"),
        "red": ("#b3261e", "#ff8a80"),
        "gold": ("#7a5b00", "#e8c35a"),
        "pink": ("#a82a70", "#f79ac8"),
    }
)
"""Colours by name: on light and on dark paper. Pixels are always on light paper."""
HUES = ("blue", "orange", "green", "purple", "teal", "red", "gold", "pink")
"""Those that tell things apart, in the order in which they are given out."""

_DENSITY = 2
"""Pixels for each unit of a drawing."""
_FINER = 2
"""Pixels are worked out from so many in each direction, which makes slanted lines smooth."""
_SUBSTITUTES = str.maketrans({"×": "x", "–": "-", "—": "-", "−": "-"})
"""For what the font of pixels lacks."""
_FONTS = "system-ui,-apple-system,'Segoe UI',Roboto,sans-serif"


@dataclass(frozen=True, kw_only=True)
class Box:
    """A filled rectangle; in a browser, `title` is shown to who points at it.

    What its `opacity`, 0 to 1, lets through is the paper.
    """

    x: float
    y: float
    width: float
    height: float
    colour: str
    title: str = ""
    opacity: float = 1.0

    def element(self) -> str:
        """As SVG."""
        title = f"<title>{escape(self.title)}</title>" if self.title else ""
        thin = f' fill-opacity="{self.opacity:.2f}"' if self.opacity < 1 else ""
        return (
            f'<rect class="d-{self.colour}" x="{self.x:.1f}" y="{self.y:.1f}"'
            f' width="{self.width:.1f}" height="{self.height:.1f}"{thin}>{title}</rect>'
        )

    def draw(self, pen: ImageDraw.ImageDraw, factor: int) -> None:
        """As pixels, `factor` for each unit."""
        left, top = round(self.x * factor), round(self.y * factor)
        right = round((self.x + self.width) * factor) - 1
        bottom = round((self.y + self.height) * factor) - 1
        if right >= left and bottom >= top:
            own, paper = (ImageColor.getrgb(PALETTE[name][0]) for name in (self.colour, "paper"))
            fill = tuple(
                round(self.opacity * a + (1 - self.opacity) * b)
                for a, b in zip(own, paper, strict=True)
            )
            pen.rectangle((left, top, right, bottom), fill=fill)


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A line through points."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float = 1.0

    def element(self) -> str:
        """As SVG."""
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)
        return (
            f'<polyline class="d-of-{self.colour}" fill="none" stroke-width="{self.width:g}"'
            f' stroke-linejoin="round" points="{points}"/>'
        )

    def draw(self, pen: ImageDraw.ImageDraw, factor: int) -> None:
        """As pixels, `factor` for each unit."""
        points = [(x * factor, y * factor) for x, y in self.points]
        width = max(1, round(self.width * factor))
        pen.line(points, fill=PALETTE[self.colour][0], width=width, joint="curve")


@dataclass(frozen=True, kw_only=True)
class Words:
    """A line of text that stands on `y`; its start, middle or end is at `x`, as `anchor` says."""

    x: float
    y: float
    text: str
    colour: str = "ink"
    anchor: str = "start"
    height: float = 13

    def element(self) -> str:
        """As SVG."""
        return (
            f'<text class="d-{self.colour}" x="{self.x:.1f}" y="{self.y:.1f}"'
            f' font-size="{self.height:g}" text-anchor="{self.anchor}">{escape(self.text)}</text>'
        )

    def draw(self, pen: ImageDraw.ImageDraw, factor: int) -> None:
        """As pixels, `factor` for each unit."""
        font = ImageFont.load_default(self.height * factor)
        text = self.text.translate(_SUBSTITUTES)
        before = {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor]
        left = self.x * factor - before * font.getlength(text)
        fill = PALETTE[self.colour][0]
        pen.text((left, self.y * factor), text, fill=fill, font=font, anchor="ls")


Shape = Box | Stroke | Words


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Shapes on paper, the later ones over the earlier ones.

    Args:
        width: of the paper.
        height: of the paper.
        label: what it shows, for who cannot see it.
        shapes: in the paper's units, y downwards.

    Example:
        >>> box = Box(x=0, y=0, width=10, height=5, colour="blue")
        >>> drawing = Drawing(width=20, height=10, label="a box", shapes=(box,))
        >>> drawing.svg().count("<rect")  # the paper, too
        2
        >>> drawing.pixels().shape
        torch.Size([1, 3, 20, 40])
    """

    width: int
    height: int
    label: str
    shapes: tuple[Shape, ...]

    def svg(self) -> str:
        """One ``<svg>`` element, which needs nothing else and follows the reader's light or dark.

        Its classes begin with ``d-``, so that they mean nothing to a page around it.
        """
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}"'
                f' role="img" aria-label="{escape(self.label)}" font-family="{_FONTS}">',
                f"<style>{_rules()}</style>",
                f'<rect class="d-paper" width="{self.width}" height="{self.height}"/>',
                *(shape.element() for shape in self.shapes),
                "</svg>",
            ]
        )

    def pixels(self) -> Tensor:
        """(1, 3, 2 · height, 2 · width) in [0, 1], on light paper."""
        factor = _DENSITY * _FINER
        size = self.width * factor, self.height * factor
        image = Image.new("RGB", size, PALETTE["paper"][0])
        pen = ImageDraw.Draw(image)
        for shape in self.shapes:
            shape.draw(pen, factor)
        array = np.asarray(image.reduce(_FINER), dtype=np.float32) / 255
        return torch.from_numpy(array).permute(2, 0, 1)[None]


def colour_variables() -> str:
    """The palette as CSS, for a page around a drawing: ``var(--ink)``."""
    light, dark = (
        "".join(f"--{name}:{pair[place]};" for name, pair in PALETTE.items()) for place in (0, 1)
    )
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    )


def _rules() -> str:
    light, dark = (
        "".join(
            f".d-{name}{{fill:{pair[place]}}}.d-of-{name}{{stroke:{pair[place]}}}"
            for name, pair in PALETTE.items()
        )
        for place in (0, 1)
    )
    return f"{light}@media (prefers-color-scheme:dark){{{dark}}}"
