"""How the losses of a run fell, as its recipe remembers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from styler.report.provenance import Outcome
from styler.schedule import Level

SHARES = (0.9, 0.99)
"""Of a fall, those whose time is told."""

TOTAL = "total"
"""What the curve of the weighted sum is called."""

Points = Sequence[tuple[int, float]]
"""(steps done, loss); the loss is the one that the last of these steps started from."""


@dataclass(frozen=True, kw_only=True)
class Fall:
    """How far a loss fell, and when.

    Args:
        name: of the term, or `TOTAL`.
        size: (height, width) of the scale at which it fell; None for the whole run.
        steps: taken meanwhile.
        first: the loss before them.
        last: the loss before the last of them.
        reached: share of the fall → steps after which it was reached for good; empty for a loss
            that rose.
    """

    name: str
    size: tuple[int, int] | None = None
    steps: int
    first: float
    last: float
    reached: dict[float, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Section:
    """The steps of one scale.

    Args:
        begin: steps done before it.
        end: steps done after it.
        size: (height, width); None where several scales cannot be told apart.
    """

    begin: int
    end: int
    size: tuple[int, int] | None


def curves(outcome: Outcome, weights: Mapping[str, float]) -> dict[str, list[tuple[int, float]]]:
    """The total and the weighted terms, as far as they are known.

    Args:
        outcome: of the run.
        weights: of the terms, by name; others are left out.

    Returns:
        Name → (steps done, weighted loss); the total comes first.

    Example:
        >>> outcome = Outcome(
        ...     done=2, planned=2, evaluations=2, recoveries=0, seconds=1.0, losses={},
        ...     trace=[(1, 9.0), (2, 4.0)], terms={"style": [4.0, 1.5]},
        ... )
        >>> curves(outcome, {"style": 2.0})
        {'total': [(1, 9.0), (2, 4.0)], 'style': [(1, 8.0), (2, 3.0)]}
    """
    steps = [done for done, _ in outcome.trace]
    terms = {
        name: [
            (done, weight * loss) for done, loss in zip(steps, outcome.terms[name], strict=False)
        ]
        for name, weight in weights.items()
        if name in outcome.terms
    }
    return {TOTAL: list(outcome.trace), **terms}


def sections(outcome: Outcome, levels: Sequence[Level]) -> list[Section]:
    """When the run went through which scale.

    A scale after the first may have ended early because the loss was flat; when is not known, so
    more than one such scale is told as one.

    Args:
        outcome: of the run.
        levels: the scales planned, coarse to fine.

    Example:
        >>> outcome = Outcome(
        ...     done=7, planned=9, evaluations=7, recoveries=0, seconds=1.0, losses={}, trace=[]
        ... )
        >>> plan = [Level(size=(12, 16), steps=5), Level(size=(24, 32), steps=4)]
        >>> [(section.begin, section.end, section.size) for section in sections(outcome, plan)]
        [(0, 5, (12, 16)), (5, 7, (24, 32))]
    """
    taken = [level for level in levels if level.steps]
    cut_short = outcome.planned < sum(level.steps for level in taken)
    if cut_short and len(taken) > 2:
        rest = Section(begin=taken[0].steps, end=outcome.done, size=None)
        found = [Section(begin=0, end=taken[0].steps, size=taken[0].size), rest]
    else:
        ends = [sum(level.steps for level in taken[: n + 1]) for n in range(len(taken))]
        found = [
            Section(begin=end - level.steps, end=min(end, outcome.done), size=level.size)
            for end, level in zip(ends, taken, strict=True)
        ]
    return [section for section in found if section.begin < section.end]


def falls(outcome: Outcome, weights: Mapping[str, float], levels: Sequence[Level]) -> list[Fall]:
    """How the total fell, in all and at each scale, and every term of it.

    Losses of different scales are not of one measure, so a total may rise where a scale begins.

    Args:
        outcome: of the run.
        weights: of the terms, by name.
        levels: the scales planned, coarse to fine.

    Returns:
        The whole run, its scales where there are several, its terms; empty where fewer than two
        losses are known.
    """
    known = curves(outcome, weights)
    whole = Section(begin=0, end=outcome.done, size=None)
    total, *terms = (_fall(name, points, whole) for name, points in known.items())
    parts = sections(outcome, levels)
    scales = [_fall(TOTAL, known[TOTAL], part) for part in parts] if len(parts) > 1 else []
    return [fall for fall in (total, *scales, *terms) if fall is not None]


def _fall(name: str, points: Points, section: Section) -> Fall | None:
    """None where too little is known of a section."""
    inside = [(done, loss) for done, loss in points if section.begin < done <= section.end]
    if len(inside) < 2:
        return None
    first, last = inside[0][1], inside[-1][1]
    return Fall(
        name=name,
        size=section.size,
        steps=section.end - section.begin,
        first=first,
        last=last,
        reached={
            share: _time(inside, first - share * (first - last)) - 1 - section.begin
            for share in SHARES
            if last < first
        },
    )


def _time(points: Points, most: float) -> int:
    """The first step from which on the loss is no larger."""
    late = [done for done, loss in points if loss > most]
    return next(done for done, _ in points if not late or done > late[-1])
