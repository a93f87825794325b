"""What is printed of a picture's loss: where it comes from, and how it fell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from styler.cli import console

if TYPE_CHECKING:
    from rich.table import Table

    from styler.explain import Explanation
    from styler.report.convergence import Fall
    from styler.report.provenance import Outcome

BAR = 12
"""Letters of the longest bar in a table."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


def show_explanation(explanation: Explanation, outcome: Outcome, **more: object) -> None:
    """Print where a loss comes from and how it fell, or tell it as one event.

    Args:
        explanation: of a picture's loss.
        outcome: of its run.
        more: of the event.
    """
    from styler.report.convergence import falls
    from styler.report.explanation import balance, summary

    descents = falls(outcome, explanation.weights, explanation.levels)
    if console.mode.json:
        console.event("explained", **more, **_fields(explanation, descents))
        return
    if explanation.reduced:
        height, width = explanation.levels[-1].size
        console.note(f"looked at smaller than its {width}×{height}: --size {max(height, width)}")
    console.table(_parts_table(explanation))
    console.say(summary(explanation))
    for line in balance(explanation):
        console.say(line)
    if descents:
        console.say("")
        console.table(_falls_table(descents))


def _parts_table(explanation: Explanation) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("term", no_wrap=True)
    table.add_column("layer", no_wrap=True)
    for heading in ("loss", "weight"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("share of loss", "share of gradient"):
        table.add_column(heading, no_wrap=True)
    table.add_column("pull", justify="right", no_wrap=True)
    before = None
    for part in explanation.parts:
        table.add_row(
            part.term if part.term != before else "",
            part.layer or "",
            f"{part.loss:.4g}",
            f"{part.weight:.4g}",
            _bar(part.share),
            _bar(part.gradient_share),
            f"{part.pull:+.2f}",
        )
        before = part.term
    return table


def _bar(share: float) -> str:
    """A share as a number and as a bar, which none has that is negative."""
    from styler.report.budget import percent

    eighths = round(8 * BAR * max(0.0, share))
    whole, rest = divmod(eighths, 8)
    return f"{percent(share):>7} {'█' * whole}{_EIGHTHS[rest]}".rstrip()


def _falls_table(descents: Sequence[Fall]) -> Table:
    from rich.table import Table

    from styler.report.convergence import SHARES
    from styler.report.explanation import reached, where

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("weighted loss", no_wrap=True)
    for heading in ("steps", "first", "last", *(f"{share:.0%} after" for share in SHARES)):
        table.add_column(heading, justify="right", no_wrap=True)
    for fall in descents:
        times = [reached(fall, share) for share in SHARES]
        numbers = f"{fall.steps}", f"{fall.first:.4g}", f"{fall.last:.4g}"
        table.add_row(where(fall), *numbers, *times)
    return table


def _fields(explanation: Explanation, descents: Sequence[Fall]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "size": explanation.size,
        "total": explanation.total,
        "gradient": explanation.gradient,
        "agreement": explanation.agreement,
        "parts": [asdict(part) for part in explanation.parts],
        "cosines": explanation.cosines,
        "falls": [
            {**asdict(fall), "reached": {f"{k:.0%}": v for k, v in fall.reached.items()}}
            for fall in descents
        ],
    }
