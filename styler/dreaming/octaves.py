"""The sizes that a dream goes through."""

from __future__ import annotations

from styler.config import OctaveConfig
from styler.schedule import Level, edge_of, fit_edge


def dream_size(picture: tuple[int, int], config: OctaveConfig) -> tuple[int, int]:
    """The (height, width) of the written result: the picture's own unless `size` is given."""
    return fit_edge(picture, config.size, config.edge) if config.size else picture


def plan_octaves(picture: tuple[int, int], config: OctaveConfig) -> list[Level]:
    """The octaves for a picture, coarse to fine.

    Each side is the working size's times a power of `factor`, rounded.

    Args:
        picture: (height, width) of the picture.
        config: see `OctaveConfig`. The octaves that are larger than the picture are always there;
            of the others, the finest is.

    Example:
        >>> plan = plan_octaves((600, 800), OctaveConfig(factor=2, octaves=3, steps=(9, 5)))
        >>> [(level.size, level.steps) for level in plan]
        [((150, 200), 9), ((300, 400), 5), ((600, 800), 5)]
    """
    height, width = working_size(picture, config)
    side = edge_of((height, width), config.edge)
    sizes: list[tuple[int, int]] = []
    power = config.larger
    while config.octaves is None or len(sizes) < config.octaves:
        scale = config.factor**power
        # Half a pixel of tolerance, so that 192 / 1.4142 ** 2 still counts as 96.
        if power < 0 and side * scale < config.min_side - 0.5:
            break
        sizes.append((max(1, round(height * scale)), max(1, round(width * scale))))
        power -= 1
    steps = config.steps
    return [
        Level(size=size, steps=steps[min(index, len(steps) - 1)])
        for index, size in enumerate(reversed(sizes))
    ]


def working_size(picture: tuple[int, int], config: OctaveConfig) -> tuple[int, int]:
    """The (height, width) of the octave that `factor` is counted from.

    Args:
        picture: (height, width) of the picture.
        config: its `size` is taken, or else the picture's own within `max_side`.
    """
    if config.size is not None:
        return fit_edge(picture, config.size, config.edge)
    if edge_of(picture, config.edge) <= config.max_side:
        return picture
    return fit_edge(picture, config.max_side, config.edge)
