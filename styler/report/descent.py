"""Losses over the steps of a run, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from styler.report.budget import MARGIN, WIDTH
from styler.report.convergence import TOTAL, Points, Section
from styler.report.drawing import Box, Shape, Stroke, Words

DECADES = 4
"""Powers of ten that are shown at most: a term that starts at zero would flatten all others."""

_LEFT, _RIGHT = 75, WIDTH - 190
"""Between them are the curves, before them the losses, behind them the names."""
_HEIGHT = 240
_APART = 17
"""Between the lines of names."""
_TICKS = 6
"""About how many steps are named below the curves."""


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """Where steps and losses are in the plot."""

    top: float
    steps: int
    low: float
    high: float

    def x(self, step: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * step / self.steps

    def y(self, loss: float) -> float:
        spread = math.log(self.high / self.low)
        risen = math.log(max(loss, self.low) / self.low) / spread
        return self.top + _HEIGHT * (1 - risen)


def descent(
    curves: Mapping[str, Points],
    sections: Sequence[Section],
    hues: Mapping[str, str],
    top: float,
) -> tuple[list[Shape], float]:
    """Curves from left to right, with a line where a scale begins.

    Args:
        curves: name → (steps done, weighted loss); see `styler.report.convergence.curves`.
        sections: the scales.
        hues: name → colour; the total has the ink's.
        top: where the plot begins.

    Returns:
        The shapes, and where they end; none where no curve has two points above zero.
    """
    shown = {name: points for name, points in curves.items() if _visible(points)}
    if not shown:
        return [], top
    losses = [loss for points in shown.values() for _, loss in points if loss > 0]
    high = max(losses)
    low = max(min(losses), high / 10**DECADES)
    if high < 1.2 * low:  # all alike: in the middle
        low, high = low / 2, high * 2
    steps = max(done for points in shown.values() for done, _ in points)
    frame = _Frame(top=top + 40, steps=steps, low=low, high=high)
    return [
        Words(x=MARGIN, y=top + 14, text="weighted loss by step", colour="soft"),
        *_grid(frame),
        *_scales(frame, sections),
        *_lines(frame, shown, sections, hues),
    ], frame.top + _HEIGHT + 30


def _visible(points: Points) -> bool:
    return sum(loss > 0 for _, loss in points) > 1


def _grid(frame: _Frame) -> Iterable[Shape]:
    for loss in _round_losses(frame.low, frame.high):
        y = frame.y(loss)
        yield Box(x=_LEFT, y=y - 0.5, width=_RIGHT - _LEFT, height=1, colour="line")
        yield Words(x=_LEFT - 8, y=y + 4, text=f"{loss:g}", colour="soft", anchor="end")
    bottom = frame.top + _HEIGHT
    apart = _round_step(frame.steps / _TICKS)
    for step in range(0, frame.steps + 1, apart):
        yield Words(x=frame.x(step), y=bottom + 18, text=f"{step}", colour="soft", anchor="middle")


def _scales(frame: _Frame, sections: Sequence[Section]) -> Iterable[Shape]:
    if len(sections) < 2:
        return
    for section in sections:
        x = frame.x(section.begin)
        if section.begin:
            yield Box(x=x - 0.5, y=frame.top - 16, width=1, height=_HEIGHT + 16, colour="soft")
        text = "later scales" if section.size is None else f"{section.size[1]}×{section.size[0]}"
        if frame.x(section.end) - x > 8 * len(text):
            yield Words(x=x + 5, y=frame.top - 6, text=text, colour="soft", height=12)


def _lines(
    frame: _Frame,
    curves: Mapping[str, Points],
    sections: Sequence[Section],
    hues: Mapping[str, str],
) -> Iterable[Shape]:
    """The total comes last, over the others; names stand where their curves end, if they can."""
    order = sorted(curves, key=lambda name: name == TOTAL)
    for name in order:
        colour, width = hues.get(name, "ink"), 2.5 if name == TOTAL else 1.75
        for section in sections:  # of two scales, losses are no one curve
            inside = [point for point in curves[name] if section.begin < point[0] <= section.end]
            points = tuple((frame.x(done), frame.y(loss)) for done, loss in inside)
            if len(points) > 1:
                yield Stroke(points=points, colour=colour, width=width)
    lowest = -math.inf
    for name in sorted(curves, key=lambda name: -curves[name][-1][1]):
        last = curves[name][-1][1]
        lowest = max(frame.y(last) + 4, lowest + _APART)
        text, colour = f"{name} {last:.3g}", hues.get(name, "ink")
        yield Words(x=_RIGHT + 10, y=lowest, text=text, colour=colour)


def _round_losses(low: float, high: float) -> list[float]:
    """Powers of ten, and numbers between them where there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if high / low > 10**3 else (1, 3) if high / low > 30 else (1, 2, 5)
    # As a person writes them: 0.3 and not 3 times 0.1.
    losses = (float(f"{factor}e{decade}") for decade in decades for factor in factors)
    return [loss for loss in losses if low <= loss <= high]


def _round_step(least: float) -> int:
    """The first of 1, 2, 5, 10, 20, ... that is not below."""
    decade = int(10 ** max(0, math.floor(math.log10(max(least, 1)))))
    return next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= least)
