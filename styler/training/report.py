"""The numbers and sheets of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from styler.features import Extractor
from styler.images import write_picture
from styler.report.sheets import contact_sheet
from styler.training.evaluate import HURRIED, TEACHER, Judge, Pair, Row, medians
from styler.training.student import TAPS
from styler.training.taps import tap_mosaic

SHOWN_CHANNELS = (1, 4, 9, 16)
"""Channels whose pictures stand for a tap."""

SheetRow = list[tuple[str, Tensor]]


def summary(
    rows: Sequence[Row], students: Sequence[str], judges: Sequence[Judge]
) -> dict[str, Any]:
    """Everything measured, and its medians.

    Args:
        rows: of all pairs.
        students: their names.
        judges: who looked.

    Returns:
        "pairs": the losses, seconds and steps of every picture; "medians": of each student's
        losses as multiples of the teacher's after equal steps and after the first student's time.
    """
    found: dict[str, dict[str, float]] = {}
    for judge in judges:
        for student in students:
            for other in (TEACHER, HURRIED):
                ratios = medians(rows, judge.name, student, other)
                found[f"{student} / {other}, under {judge.name}"] = ratios
    pairs = {
        row.pair: {
            "losses": row.losses,
            "seconds": {name: round(p.seconds, 2) for name, p in row.painted.items()},
            "steps": {name: p.steps for name, p in row.painted.items()},
        }
        for row in rows
    }
    return {"medians": found, "pairs": pairs}


def contact_rows(
    rows: Sequence[Row], pairs: Sequence[Pair], students: Sequence[str]
) -> list[SheetRow]:
    """Content, style, each student's picture and the teacher's, for every pair."""
    return [
        [
            ("content", pair.content),
            ("style", pair.style),
            *((name, row.painted[name].image) for name in (*students, TEACHER)),
        ]
        for row, pair in zip(rows, pairs, strict=True)
    ]


def tap_row(extractor: Extractor) -> SheetRow:
    """Four channels of each tap."""
    return [(tap, tap_mosaic(extractor, tap, SHOWN_CHANNELS)) for tap in TAPS]


def speed_lines(seconds: Mapping[str, float], teacher: str) -> list[str]:
    """Time of an iteration by network, and how many fit into the teacher's."""
    return [
        f"{name} {value:.3f} s per iteration, 1/{seconds[teacher] / value:.2f}"
        for name, value in seconds.items()
    ]


def write_sheet(path: Path, rows: Sequence[SheetRow], height: int = 220) -> None:
    """Write a contact sheet, in place of an earlier one."""
    write_picture(path, contact_sheet(rows, height), overwrite=True)
