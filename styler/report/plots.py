"""Small plots as SVG, for pages that are to need no other file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np

CURVE = (200, 60)
"""Width and height of the box that a curve is drawn in, in units of SVG."""
POINTS = 32
"""The most points of a curve: more cannot be seen at this size, and pages hold thousands."""
BARS = 24
"""The most bars of a histogram."""

_SPREAD = 20
"""Longest over shortest from which on bars are equal in ratio, not in difference."""
_BOX = (320, 110)
_FLOOR = 88
"""Where the bars of a histogram stand, below which its words are."""


def curve(points: Sequence[tuple[float, float]]) -> str:
    """The ``points`` of an SVG polyline through a curve, which fills the box `CURVE`.

    Heights are logarithmic where all values are positive, as losses fall by powers of ten. Of many
    points, evenly chosen ones remain, the first and the last among them.

    Args:
        points: (x, y), x ascending. Those that are not finite are left out.

    Returns:
        Such as ``0,2 100,30 200,58``; empty where fewer than two points remain.

    Example:
        >>> curve([(0, 1000.0), (5, 100.0), (10, 10.0)])
        '0,2 100,30 200,58'
    """
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(finite) < 2:
        return ""
    count = min(len(finite), POINTS)
    chosen = [finite[round(k * (len(finite) - 1) / (count - 1))] for k in range(count)]
    xs, ys = zip(*chosen, strict=True)
    if min(ys) > 0:
        ys = tuple(math.log(y) for y in ys)
    width, height = CURVE
    margin = 2  # for the line's own width
    across = _along(xs, 0, width)
    down = _along(ys, height - margin, margin)
    return " ".join(f"{x},{y}" for x, y in zip(across, down, strict=True))


def histogram(seconds: Sequence[float], *, noun: str = "jobs") -> str:
    """How many took how long, as a whole ``<svg>`` element.

    Colours come from the page: bars have the class ``bar``, words the current colour.

    Args:
        seconds: of each; those that are negative or not finite are left out.
        noun: what was counted, in the plural.

    Returns:
        The element; empty where nothing was counted.

    Example:
        >>> histogram([1.0, 1.0, 3.0]).count("<rect")
        2
    """
    times = sorted(second for second in seconds if math.isfinite(second) and second >= 0)
    if not times:
        return ""
    edges = _edges(times)
    counts = np.histogram(times, bins=edges)[0].tolist()
    width, height = _BOX
    wide = width / len(counts)
    bars = [
        _Bar(x=number * wide, width=wide, share=count / max(counts), low=low, high=high, of=count)
        for number, (count, (low, high)) in enumerate(zip(counts, pairwise(edges), strict=True))
        if count
    ]
    middle = duration(float(np.median(times)))
    words = f"{noun} by time: {len(times)}, median {middle}"
    ends = (("start", 0, duration(times[0])), ("end", width, duration(times[-1])))
    return "".join(
        [
            f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">',
            *(bar.drawn(noun) for bar in bars),
            f'<line x1="0" x2="{width}" y1="{_FLOOR}" y2="{_FLOOR}" stroke="currentColor"/>',
            *(
                f'<text x="{x}" y="{height - 6}" text-anchor="{anchor}">{text}</text>'
                for anchor, x, text in ends
            ),
            f'<text x="{width // 2}" y="{height - 6}" text-anchor="middle">median {middle}</text>',
            "</svg>",
        ]
    )


def duration(seconds: float) -> str:
    """Seconds for people; of short times a tenth is told.

    Example:
        >>> [duration(seconds) for seconds in (0.25, 42.3, 75, 3700)]
        ['0.2 s', '42 s', '1:15 min', '1:01 h']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"


@dataclass(frozen=True, kw_only=True)
class _Bar:
    x: float
    width: float
    share: float
    low: float
    high: float
    of: int

    def drawn(self, noun: str) -> str:
        gap = min(1.0, self.width / 4)
        tall = max(1.0, self.share * (_FLOOR - 4))
        title = f"{duration(self.low)} to {duration(self.high)}: {self.of} {escape(noun)}"
        return (
            f'<rect class="bar" x="{self.x + gap:.1f}" y="{_FLOOR - tall:.1f}"'
            f' width="{self.width - 2 * gap:.1f}" height="{tall:.1f}"><title>{title}</title></rect>'
        )


def _along(values: Sequence[float], first: int, last: int) -> list[int]:
    """The least value at `first`, the greatest at `last`; in the middle where all are equal."""
    low, high = min(values), max(values)
    if not high > low:
        return [(first + last) // 2] * len(values)
    return [round(first + (value - low) / (high - low) * (last - first)) for value in values]


def _edges(times: Sequence[float]) -> list[float]:
    """Of the bars, from sorted times."""
    low, high = times[0], times[-1]
    count = max(1, min(BARS, math.ceil(math.sqrt(len(times)))))
    if not high > low:
        return [low, math.nextafter(high, math.inf)]
    spaced = np.geomspace if low > 0 and high / low > _SPREAD else np.linspace
    inner: list[float] = spaced(low, high, count + 1).tolist()
    return [low, *inner[1:-1], high]
