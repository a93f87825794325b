"""From runs to the rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from machine import Machine
from measure import Run
from prepare import NEURAL_STYLE
from report import Sheet, Spread, spread

from styler.features import get_backbone, summarise, totals

DEEPEST = "relu5_1"
"""The last layer that the recipe reads; neither program goes beyond it."""
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


@dataclass(frozen=True, kw_only=True)
class Program:
    """One of the competitors.

    Args:
        name: `styler` or the peer's.
        precision: of its convolutions, `fp32` or `bf16`.
    """

    name: str
    precision: str


PEER = Program(name=NEURAL_STYLE.label, precision="fp32")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is asked of all programs.

    Args:
        side: long side of the picture in pixels.
        optimizer: `adam` or `lbfgs`.
    """

    side: int
    optimizer: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One program in one case; see the head of `transfer` for the units.

    Args:
        program: its name.
        precision: `fp32` or `bf16`.
        height: of the picture in pixels.
        width: likewise.
        optimizer: `adam` or `lbfgs`.
        seconds: per iteration.
        speedup: the peer's time over this program's, round by round.
        peak_mb: whole run.
        iterating_mb: optimisation alone, None where it cannot be told.
        imports_mb: after imports.
        gflop: operations of the convolutions in one iteration, in 10⁹.
        gflops: the same per second.
        share_of_matmul: of the speed of a plain matrix product in that precision.
        first_loss: total loss at the first iteration.
        loss_ratio: the same over the peer's.
    """

    program: str
    precision: str
    height: int
    width: int
    optimizer: str
    seconds: Spread
    speedup: Spread
    peak_mb: float
    iterating_mb: float | None
    imports_mb: float
    gflop: float
    gflops: float
    share_of_matmul: float
    first_loss: float
    loss_ratio: float


def gflop_per_iteration(size: tuple[int, int]) -> float:
    """Operations of VGG-19's convolutions for one gradient, in 10⁹.

    Two for each multiplication with addition, once forward and once for the gradient of the input;
    weights get none. Losses, activations and the optimiser are some 3% more and not counted.
    """
    rows = summarise(get_backbone("vgg19-caffe"), size)
    deepest = next(place for place, row in enumerate(rows) if row.name == DEEPEST)
    return 2 * 2 * totals(rows[: deepest + 1]).macs / 1e9


def summarise_case(
    case: Case, size: tuple[int, int], runs: Mapping[Program, Sequence[Run]], machine: Machine
) -> list[Row]:
    """One row per program.

    Args:
        case: what was asked.
        size: (height, width) of the picture.
        runs: of each program, one per round in the same order; the peer is among them.
        machine: where.
    """
    peers = runs[PEER]
    work = gflop_per_iteration(size)

    def row(program: Program, own: Sequence[Run]) -> Row:
        def middle(value: Callable[[Run], float]) -> float:
            return median(value(run) for run in own)

        seconds = spread([run.seconds for run in own])
        iterating = [run.iterating for run in own if run.iterating is not None]
        gflops = work / seconds.median
        return Row(
            program=program.name,
            precision=program.precision,
            height=size[0],
            width=size[1],
            optimizer=case.optimizer,
            seconds=seconds,
            speedup=spread([b.seconds / a.seconds for a, b in zip(own, peers, strict=True)]),
            peak_mb=middle(lambda run: run.peak),
            iterating_mb=median(iterating) if iterating else None,
            imports_mb=middle(lambda run: run.imported),
            gflop=work,
            gflops=gflops,
            share_of_matmul=gflops / machine.matmul_gflops[program.precision],
            first_loss=own[0].loss,
            loss_ratio=own[0].loss / peers[0].loss,
        )

    return [row(program, own) for program, own in runs.items()]


def sheets(rows: Sequence[Row]) -> list[Sheet]:
    """One table per size and optimiser."""
    return [
        Sheet(
            keys={"size": size, "optimizer": optimizer},
            columns=COLUMNS,
            lines=[cells(row) for row in group],
        )
        for (size, optimizer), group in groupby(rows, key=lambda row: (size_of(row), row.optimizer))
    ]


def cells(row: Row) -> list[str]:
    return [
        f"{row.program} {row.precision}",
        row.seconds.text(3),
        row.speedup.text(2),
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
