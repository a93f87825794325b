"""The table and the JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from machine import Machine
from rich.console import Console
from rich.table import Table
from rows import Row

TOLERANCE = 0.1
"""Losses that differ by more are not losses of the same thing."""

BEGIN = "<!-- begin: output of make bench -->"
END = "<!-- end: output of make bench -->"
COLUMNS = (
    "program",
    "s/iteration",
    "speed-up",
    "peak MB",
    "iterating",
    "imports",
    "GFLOP/s",
    "of matmul",
    "loss",
)


def show(rows: Sequence[Row], machine: Machine, console: Console, *, notes: Sequence[str]) -> None:
    """Print the machine, the table, and what is to be said about it."""
    console.print(describe(machine), highlight=False)
    for (size, optimizer), group in groupby(rows, key=lambda row: (size_of(row), row.optimizer)):
        table = Table(
            title=f"{size}, {optimizer}",
            title_justify="left",
            title_style="bold",
            header_style="",
            box=None,
            pad_edge=False,
        )
        for name in COLUMNS:
            table.add_column(name, justify="right" if table.columns else "left", no_wrap=True)
        for row in group:
            table.add_row(*cells(row))
        console.print()
        console.print(table)
    console.print()
    for note in (*notes, *doubts(rows)):
        console.print(note, highlight=False)


def describe(machine: Machine) -> str:
    reached = [f"{value:.0f} GFLOP/s in {k}" for k, value in machine.matmul_gflops.items()]
    return (
        f"{machine.cpu}, {machine.cores} threads, {'' if machine.bf16 else 'no '}native bf16, "
        f"matmul {' and '.join(reached)}; torch {machine.torch}, Python {machine.python}, "
        f"{machine.system}; {machine.date}."
    )


def cells(row: Row) -> list[str]:
    seconds, speedup = row.seconds, row.speedup
    return [
        f"{row.program} {row.precision}",
        f"{seconds.median:.3f} ({seconds.least:.3f}–{seconds.greatest:.3f})",
        f"{speedup.median:.2f} ({speedup.least:.2f}–{speedup.greatest:.2f})",
        f"{row.peak_mb:.0f}",
        "–" if row.iterating_mb is None else f"{row.iterating_mb:.0f}",
        f"{row.imports_mb:.0f}",
        f"{row.gflops:.0f}",
        f"{row.share_of_matmul:.0%}",
        f"{row.loss_ratio:.2f}",
    ]


def size_of(row: Row) -> str:
    return f"{row.width}×{row.height}"


def doubts(rows: Sequence[Row]) -> list[str]:
    """A warning for each row whose loss says that it computed something else."""
    return [
        f"WARNING: {row.program} {row.precision} at {size_of(row)} started from a loss "
        f"of {row.first_loss:.4g}, {row.loss_ratio:.2f} of the peer's: not the same work"
        for row in rows
        if abs(row.loss_ratio - 1) > TOLERANCE
    ]


def update_document(
    file: Path, rows: Sequence[Row], machine: Machine, notes: Sequence[str]
) -> None:
    """Put the table into a Markdown file, in place of what is between `BEGIN` and `END`.

    Raises:
        SystemExit: the file has no such place.
    """
    before, begin, rest = file.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{file} has no lines {BEGIN} and {END} to put the table between")
    head = ("size", "optimizer", *COLUMNS)
    lines = [
        *(head, ["---", "---", "---", *["---:"] * (len(COLUMNS) - 1)]),
        *([size_of(row), row.optimizer, *cells(row)] for row in rows),
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    text = " ".join([describe(machine), *notes, *doubts(rows)])
    file.write_text(f"{before}{begin}\n\n{text}\n\n{table}\n\n{end}{after}", encoding="utf-8")


def save_json(
    file: Path, rows: Sequence[Row], machine: Machine, settings: Mapping[str, object]
) -> None:
    """Everything in the table and how it was measured, for other programs."""
    whole = {
        "machine": asdict(machine),
        "settings": dict(settings),
        "rows": [asdict(row) for row in rows],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
