"""From the rounds of feature visualization to the rows of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from machine import Machine
from prepare import LUCENT
from report import Sheet, Spread, spread
from subjects import STEPS, Subject

COLUMNS = (
    "program",
    "ms/step",
    "s/unit",
    "speed-up",
    "peak MB",
    "imports",
    "GFLOP",
    "GFLOP/s",
    "of matmul",
    "activation",
)


@dataclass(frozen=True, kw_only=True)
class Way:
    """One of the competitors.

    Args:
        name: of the program, with what is special about it.
        precision: of its convolutions, `fp32` or `bf16`.
        peer: whether it is the peer.
        options: of the peer, see `unit_workers.Peer`.
        batch: of styler: units at a time, 0 for its own choice.
    """

    name: str
    precision: str = "fp32"
    peer: bool = False
    options: tuple[str, ...] = ()
    batch: int = 0


PEER = Way(name=LUCENT.label, peer=True)
"""As its manual says."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was found out about one way.

    Args:
        seconds: of a step of a unit, one per round.
        peak: megabytes resident at most.
        imported: megabytes resident after imports.
        gflop: operations of a step of a unit, in 10⁹.
        activation: mean of the channels in their pictures.
    """

    seconds: tuple[float, ...]
    peak: float
    imported: float
    gflop: float
    activation: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of showing one layer's units; see the head of `visualize` for the units.

    Args:
        network: its name.
        layer: its name.
        program: name of the way.
        precision: `fp32` or `bf16`.
        seconds: per step of a unit.
        seconds_per_unit: with all steps of the recipe.
        speedup: the time of the peer as it is called over this one's, round by round.
        peak_mb: while it shows units.
        imports_mb: after imports.
        gflop: operations in one step of a unit, in 10⁹.
        gflops: the same per second.
        share_of_matmul: of the speed of a plain matrix product in that precision.
        activation_ratio: of the channels, over that in the peer's pictures; None where they are
            silent in those, as channels of random networks may be.
    """

    network: str
    layer: str
    program: str
    precision: str
    seconds: Spread
    seconds_per_unit: float
    speedup: Spread
    peak_mb: float
    imports_mb: float
    gflop: float
    gflops: float
    share_of_matmul: float
    activation_ratio: float | None


def row_of(subject: Subject, way: Way, own: Measured, peer: Measured, machine: Machine) -> Row:
    """The row of one way.

    Args:
        subject: what was shown.
        way: how.
        own: what was measured of it.
        peer: the same of `PEER`, round by round.
        machine: where.
    """
    seconds = spread(own.seconds)
    gflops = own.gflop / seconds.median
    return Row(
        network=subject.name,
        layer=subject.layer,
        program=way.name,
        precision=way.precision,
        seconds=seconds,
        seconds_per_unit=STEPS * seconds.median,
        speedup=spread([b / a for a, b in zip(own.seconds, peer.seconds, strict=True)]),
        peak_mb=own.peak,
        imports_mb=own.imported,
        gflop=own.gflop,
        gflops=gflops,
        share_of_matmul=gflops / machine.matmul_gflops[way.precision],
        activation_ratio=own.activation / peer.activation if peer.activation else None,
    )


def sheets(rows: Sequence[Row]) -> list[Sheet]:
    """One table per layer."""
    return [
        Sheet(
            keys={"network": network, "layer": layer},
            columns=COLUMNS,
            lines=[cells(row) for row in group],
        )
        for (network, layer), group in groupby(rows, key=lambda row: (row.network, row.layer))
    ]


def cells(row: Row) -> list[str]:
    return [
        f"{row.program} {row.precision}",
        row.seconds.text(1, scale=1e3),
        f"{row.seconds_per_unit:.1f}",
        row.speedup.text(1),
        f"{row.peak_mb:.0f}",
        f"{row.imports_mb:.0f}",
        f"{row.gflop:.2f}",
        f"{row.gflops:.0f}",
        f"{row.share_of_matmul:.0%}",
        "–" if row.activation_ratio is None else f"{row.activation_ratio:.2f}",
    ]
