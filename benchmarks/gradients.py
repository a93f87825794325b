"""What one gradient costs as pictures grow: time, memory, and what was predicted of it.

    make bench-gradients
    python benchmarks/gradients.py --sizes 256,512,1024 --json gradients.json

Each line is a process of its own: `vgg19` (or `vgg-lite`) with the default preset, one scale, a
square picture; some steps of Adam or L-BFGS. Lines named `tiles` are given so little memory that
the planner has to take the picture in tiles.

How to read it:

s/step        median of the steps after the first.
µs/pixel      the same over pixels.
over ^1       time over that of the first line of its kind, in proportion to pixels: 1 is linear.
predicted MB  what the planner says that the run takes beyond program, network and pictures.
measured MB   what it took: the greatest resident memory of the run less that before it (Linux).
ratio         predicted over measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import prepare
from machine import look_at_machine
from report import Sheet, show, terminal, update_document

WORKER = Path(__file__).with_name("gradient_worker.py")
COLUMNS = (
    "line",
    "network",
    "size",
    "tiles",
    "s/step",
    "µs/pixel",
    "over ^1",
    "predicted MB",
    "measured MB",
    "ratio",
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table.

    Args:
        name: of its kind.
        network: that it computes with.
        side: of the picture in pixels.
        precision: `fp32` or `bf16`.
        optimizer: `adam` or `lbfgs`.
        memory: bytes that the planner is told to keep to; 0 for what is free.
        steps: to take.
        weights: a file, empty for what is at hand.
    """

    name: str
    network: str
    side: int
    precision: str
    optimizer: str = "adam"
    memory: int = 0
    steps: int = 4
    weights: str = ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, show, save."""
    given = parse(arguments)
    console = terminal()
    machine = look_at_machine()
    precision = "bf16" if machine.bf16 else "fp32"
    found: list[dict[str, Any]] = []
    for line in lines(given.sizes, given.network, precision):
        with console.status(f"{line.name} {line.network} {line.side} px"):
            try:
                found.append({**asdict(line), **measure(line)})
            except SystemExit as error:  # the others are worth showing all the same
                console.print(f"{line.name}, {line.side} px: {error}", style="red")
    sheets = [Sheet(keys={}, columns=COLUMNS, lines=cells(found))]
    notes = [f"{given.network} in {precision} unless the line says otherwise."]
    show(sheets, machine, console, notes=notes)
    if given.update:
        update_document(given.update, "make bench-gradients", sheets, machine, notes)
    if given.json:
        given.json.write_text(json.dumps({"machine": asdict(machine), "rows": found}, indent=2))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="One gradient as pictures grow.")
    sizes = "256,512,1024,2048,4096"
    parser.add_argument("--sizes", type=sides, default=sides(sizes), help="sides in pixels")
    parser.add_argument("--network", default="vgg19-caffe", help="the larger of the two networks")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--update", type=Path, help="Markdown file to put the table into")
    return parser.parse_args(arguments)


def sides(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def lines(sizes: Sequence[int], network: str, precision: str) -> list[Line]:
    """Growth with pixels, then other settings for the prediction of memory."""
    found = [
        Line(
            name="growth",
            network=network,
            side=side,
            precision=precision,
            steps=6 if side <= 1024 else 2,
        )
        for side in sizes
    ]
    middle = sorted(sizes)[len(sizes) // 2]
    gigabyte = 10**9
    found += [
        Line(name="tiles", network=network, side=middle, precision=precision, memory=gigabyte),
        Line(
            name="tiles",
            network=network,
            side=middle,
            precision=precision,
            memory=7 * gigabyte // 10,
        ),
        Line(name="fp32", network=network, side=middle // 2, precision="fp32"),
        Line(
            name="L-BFGS",
            network=network,
            side=middle // 2,
            precision=precision,
            optimizer="lbfgs",
            steps=14,
        ),
        Line(name="lite", network="vgg-lite", side=middle, precision=precision),
        Line(name="lite", network="vgg-lite", side=2 * middle, precision=precision, steps=3),
        Line(
            name="lite, tiles",
            network="vgg-lite",
            side=2 * middle,
            precision=precision,
            memory=3 * gigabyte // 2,
            steps=3,
        ),
    ]
    return found


def measure(line: Line) -> dict[str, Any]:
    """What the worker says."""
    found: dict[str, Any] = json.loads(prepare.work(json.dumps(asdict(line)), script=WORKER))
    return found


def cells(found: Sequence[dict[str, Any]]) -> list[list[str]]:
    first: dict[tuple[str, str], float] = {}
    lines = []
    for row in found:
        pace = row["seconds"] / row["side"] ** 2
        base = first.setdefault((row["name"], row["network"]), pace)
        lines.append(
            [
                row["name"],
                row["network"],
                f"{row['side']}²",
                ", ".join(map(str, row["sides"])) or "none",
                f"{row['seconds']:.3f}",
                f"{1e6 * pace:.2f}",
                f"{pace / base:.2f}",
                f"{row['predicted'] / 1e6:.0f}",
                f"{row['measured'] / 1e6:.0f}",
                f"{row['predicted'] / row['measured']:.2f}",
            ]
        )
    return lines


if __name__ == "__main__":
    main(sys.argv[1:])
