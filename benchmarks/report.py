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
    peaks = ", ".join(f"{value:.0f} GFLOP/s in {k}" for k, value in machine.matmul_gflops.items())
    console.print(
        f"{machine.cpu}, {machine.cores} threads, native bf16: {'yes' if machine.bf16 else 'no'}; "
        f"matmul reaches {peaks}",
        f"torch {machine.torch}, Python {machine.python}, {machine.system}, {machine.date}",
        sep="\n",
        highlight=False,
    )
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
