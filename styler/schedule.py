"""Scales, coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass

from styler.config import ScheduleConfig
from styler.images import fit_long_side


@dataclass(frozen=True, kw_only=True)
class Level:
    """One scale: a size and the steps taken there.

    Args:
        size: (height, width) of the picture.
        steps: optimiser steps.
    """

    size: tuple[int, int]
    steps: int


def fit_edge(size: tuple[int, int], side: int, edge: str) -> tuple[int, int]:
    """A size of the same aspect whose long or short edge, or whose width, is `side`.

    Example:
        >>> fit_edge((600, 800), 400, "long"), fit_edge((600, 800), 300, "short")
        ((300, 400), (300, 400))
        >>> fit_edge((800, 600), 300, "width")
        (400, 300)
    """
    return fit_long_side(size, round(side * max(size) / edge_of(size, edge)))


def edge_of(size: tuple[int, int], edge: str) -> int:
    """The `long` or the `short` side of a (height, width), or its `width`."""
    return {"long": max(size), "short": min(size), "width": size[1]}[edge]


def output_size(content: tuple[int, int], config: ScheduleConfig) -> tuple[int, int]:
    """The (height, width) of the written result: the content's own unless `size` is given."""
    return fit_edge(content, config.size, config.edge) if config.size else content


def plan_levels(content: tuple[int, int], config: ScheduleConfig) -> list[Level]:
    """The scales for a content picture.

    Sizes are fractions of the finest one, so that the number of scales and not their look changes
    with the size of the picture.

    Args:
        content: (height, width) of the content picture.
        config: see `ScheduleConfig`.

    Example:
        >>> plan = plan_levels((600, 900), ScheduleConfig(size=512))
        >>> [(level.size, level.steps) for level in plan]
        [((85, 128), 150), ((171, 256), 120), ((341, 512), 80)]
    """
    own = max(content) if config.edge == "long" else min(content)
    finest = config.size or min(own, config.max_side)
    sides = [float(finest)]
    # Half a pixel of tolerance, so that 512 / sqrt(2) ** 4 still counts as 128.
    while sides[-1] / config.factor >= config.min_side - 0.5:
        if config.scales is not None and len(sides) >= config.scales:
            break
        sides.append(sides[-1] / config.factor)
    sides.reverse()
    steps = config.steps
    return [
        Level(
            size=content if side == own else fit_edge(content, round(side), config.edge),
            steps=steps[min(i, len(steps) - 1)],
        )
        for i, side in enumerate(sides)
    ]


def aligned(levels: list[Level], grid: int) -> list[Level]:
    """The scales with sides that are multiples of a grid, at least one.

    Example:
        >>> aligned([Level(size=(85, 128), steps=9)], 16)
        [Level(size=(80, 128), steps=9)]
    """
    return [
        Level(
            size=(
                max(grid, round(level.size[0] / grid) * grid),
                max(grid, round(level.size[1] / grid) * grid),
            ),
            steps=level.steps,
        )
        for level in levels
    ]
