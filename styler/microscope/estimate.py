"""How long a site takes and how large it becomes, from a few steps of the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from styler.microscope.build import Microscope
from styler.microscope.sheets import CELL
from styler.microscope.synthetic import Chunk, in_chunks, units_of
from styler.visualize import UnitsEvent, visualize

_PATCH = 0.3
"""Bytes of a pixel of a sheet, as JPEG."""
_PICTURE = 0.9
"""Of a synthetic picture."""
_SMALL = 16_000
"""Of a small photograph."""
_CARD = 2_500
"""Of a unit on its page."""
_PAGE = 30_000
"""Of a page without units."""
_BACK = 3
"""Passes through the network for a projection or an effective field, against one to look."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of what is left to do.

    Args:
        photographs: to be looked at.
        pictures: synthetic ones to be made.
        looking: seconds for photographs, with projections.
        making: seconds for synthetic pictures.
        bytes: of the whole site.
    """

    photographs: int
    pictures: int
    looking: float
    making: float
    bytes: int


def estimate(microscope: Microscope, steps: int) -> Estimate:
    """What is left to do, after a few steps of it, of which nothing is kept.

    Args:
        microscope: whose site it is.
        steps: that are taken with the first pictures of each layer.

    Raises:
        OutputError: what is kept of photographs is damaged.
        DeviceError: memory ran out.
    """
    plan = microscope.plan
    scan = microscope.scan()
    todo = 0 if scan is None else len(scan.todo)
    missing = microscope.missing_chunks()
    looking = 0.0
    if scan is not None:
        backward = plan.count * min(plan.projections, plan.k) if todo else 0
        looking = (scan.pace() or 0.0) * (todo + _BACK * backward)
    return Estimate(
        photographs=todo,
        pictures=sum(len(chunk.channels) for chunk in missing),
        looking=looking,
        making=_making(microscope, missing, steps),
        bytes=_bytes(microscope),
    )


def _making(microscope: Microscope, missing: Sequence[Chunk], steps: int) -> float:
    """Seconds for synthetic pictures: a layer's chunks are taken to last as long as its first."""
    config = in_chunks(microscope.plan.resolved.config)
    of_unit: dict[str, float] = {}
    for chunk in missing:
        if chunk.layer not in of_unit:
            ends: list[UnitsEvent] = []
            visualize(
                units_of(chunk, microscope.extractor),
                microscope.extractor,
                config,
                callbacks=[ends.append],
                should_stop=lambda done: done >= steps,
            )
            taken = ends[-1].seconds - ends[0].seconds
            whole = taken / max(ends[-1].share - ends[0].share, 1e-9)
            of_unit[chunk.layer] = whole / len(chunk.channels)
    return sum(of_unit[chunk.layer] * len(chunk.channels) for chunk in missing)


def _bytes(microscope: Microscope) -> int:
    """Of the whole site."""
    plan = microscope.plan
    total = _PAGE * (len(plan.units) + 1) + _CARD * plan.count
    if plan.synthetic:
        total += round(_PICTURE * plan.count * microscope.side**2)
    if microscope.sources is not None:
        shown = min(len(microscope.sources.files), plan.count * plan.k)
        cells = plan.k + min(plan.projections, plan.k)
        total += round(_PATCH * plan.count * cells * CELL**2) + _SMALL * shown
    return total
