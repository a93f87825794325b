"""Tables for the terminal and for Markdown, and the JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from machine import Machine
from rich.console import Console
from rich.table import Table

TABLE_WIDTH = 120
"""Columns of a terminal that most tables need."""


def terminal(width: int = TABLE_WIDTH) -> Console:
    """Where to show tables: rather overlong lines than cut numbers."""
    console = Console()
    console.width = max(console.width, width)
    return console


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Several measurements of one thing, one per round."""

    median: float
    least: float
    greatest: float
    rounds: tuple[float, ...]

    def text(self, digits: int, scale: float = 1.0) -> str:
        """The median, with the least and the greatest behind it."""
        parts = (f"{scale * n:.{digits}f}" for n in (self.median, self.least, self.greatest))
        return "{} ({}–{})".format(*parts)


def spread(values: Sequence[float]) -> Spread:
    return Spread(
        median=median(values), least=min(values), greatest=max(values), rounds=tuple(values)
    )


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One table.

    Args:
        keys: what all its lines have in common; columns of their own in Markdown.
        columns: their heads; the first one is to the left.
        lines: a cell for each column.
    """

    keys: Mapping[str, str]
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]


def show(
    sheets: Sequence[Sheet], machine: Machine, console: Console, *, notes: Sequence[str]
) -> None:
    """Print the machine, the tables, and what is to be said about them."""
    console.print(describe(machine), highlight=False)
    for sheet in sheets:
        table = Table(
            title=", ".join(sheet.keys.values()),
            title_justify="left",
            title_style="bold",
            header_style="",
            box=None,
            pad_edge=False,
        )
        for name in sheet.columns:
            table.add_column(name, justify="right" if table.columns else "left", no_wrap=True)
        for line in sheet.lines:
            table.add_row(*line)
        console.print()
        console.print(table)
    console.print()
    for note in notes:
        console.print(note, highlight=False)


def describe(machine: Machine) -> str:
    reached = [f"{value:.0f} GFLOP/s in {k}" for k, value in machine.matmul_gflops.items()]
    return (
        f"{machine.cpu}, {machine.cores} threads, {'' if machine.bf16 else 'no '}native bf16, "
        f"matmul {' and '.join(reached)}; torch {machine.torch}, Python {machine.python}, "
        f"{machine.system}; {machine.date}."
    )


def update_document(
    file: Path, name: str, sheets: Sequence[Sheet], machine: Machine, notes: Sequence[str]
) -> None:
    """Put the tables, as one, into a Markdown file, in place of what is between two comments.

    Args:
        file: the document.
        name: of the command, which the comments name.
        sheets: with the same columns.
        machine: where.
        notes: what is to be said about it.

    Raises:
        SystemExit: the file has no such place.
    """
    begin, end = f"<!-- begin: output of {name} -->", f"<!-- end: output of {name} -->"
    before, begin, rest = file.read_text(encoding="utf-8").partition(begin)
    _, end, after = rest.partition(end)
    if not end:
        raise SystemExit(f"{file} has no two comments “output of {name}” to put the table between")
    keys, columns = sheets[0].keys, sheets[0].columns
    lines = [
        [*keys, *columns],
        [*["---"] * (len(keys) + 1), *["---:"] * (len(columns) - 1)],
        *([*sheet.keys.values(), *line] for sheet in sheets for line in sheet.lines),
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    text = " ".join([describe(machine), *notes])
    file.write_text(f"{before}{begin}\n\n{text}\n\n{table}\n\n{end}{after}", encoding="utf-8")


def save_json(
    file: Path, rows: Sequence[Any], machine: Machine, settings: Mapping[str, object]
) -> None:
    """Everything in the tables and how it was measured, for other programs.

    Args:
        file: replaced where it exists.
        rows: dataclasses.
        machine: where.
        settings: how.
    """
    whole = {
        "machine": asdict(machine),
        "settings": dict(settings),
        "rows": [asdict(row) for row in rows],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
