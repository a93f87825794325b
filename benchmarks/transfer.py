"""Speed and memory of style transfer, side by side with a peer on the same machine.

    make bench
    python benchmarks/transfer.py --sizes 256,512 --rounds 3 --iterations 8 --json bench.json

Compared are styler, in bfloat16 where the processor has it and in float32, and `neural-style`
0.5.7 from PyPI (the `neural-style-pt` of ProGamerGov), which is installed into `.bench/` on first
use. It runs on the same Python, torch, torchvision and Pillow, with the same thread count.

Both do the same work: VGG-19 with the same weights file and max pooling; the same two pictures,
stored at the size wanted so that neither resamples; mean squared differences of the features at
relu4_2 and of the Gram matrices at relu1_1, 2_1, 3_1, 4_1, 5_1; L1 total variation; start from
the content; the same optimiser. Both report the losses of each iteration. The column `loss` is
the total that each program found at the first iteration relative to the peer's: 1.00 says that
they do compute the same thing (1.00 to 1.05, as the peer's pixels reach 256 and styler's 255).

How to read it:

s/iteration   median over rounds, with the least and the greatest. In each run the first three
              and the last iteration do not count, nor does anything before them: imports,
              loading, targets. Less is better.
speed-up      the peer's time over this one's, from the runs of the same round, which follow each
              other; median, least and greatest over the rounds. More is better.
peak MB       resident memory of the process at most, in 10⁶ bytes: median over rounds. `whole`
              covers the run from start to end: it is what has to be free. `iterating` covers the
              optimisation alone (Linux only): the peer first builds a classifier that it throws
              away. `imports` is the share of both that Python, torch and the other libraries
              take before anything is done.
GFLOP/s       operations of the convolutions, forward and back to the image, per second.
of matmul     the same as a share of what torch's own matrix product reaches on this machine in
              that precision.

Times on a machine that others use too are noisy: look at the least and the greatest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import prepare
from machine import Machine, look_at_machine
from measure import EXTRA, Run, measure
from prepare import Pictures
from report import save_json, show
from rich.console import Console
from rows import PEER, Case, Program, Row, summarise_case

OPTIMIZERS = ("adam", "lbfgs")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What every run is given."""

    weights: Path
    peer: Path
    folder: Path
    iterations: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    given = parse(arguments)
    console = Console()
    with tempfile.TemporaryDirectory(prefix="styler-bench-") as name:
        folder = Path(name)
        peer = prepare.install_peer()
        machine = look_at_machine()
        weights, real = prepare.weights(folder)
        if not real:
            console.print(
                "No VGG-19 weights at hand: both programs get the same random ones. Speed and "
                "memory do not depend on their values. For real ones, name the folder of "
                "vgg19-caffe.safetensors or vgg19-d01eb7cb.pth in STYLER_WEIGHTS_DIR, or bring "
                "the file with: styler weights import FILE",
                highlight=False,
            )
        inputs = Inputs(weights=weights, peer=peer, folder=folder, iterations=given.iterations)
        rows: list[Row] = []
        for case in cases(given.sizes, given.optimizers):
            pictures = prepare.pictures(case.side, folder)
            runs = measure_case(case, pictures, programs(machine), inputs, given.rounds, console)
            rows += summarise_case(case, pictures.size, runs, machine)
    show(rows, machine, console, real_weights=real, rounds=given.rounds)
    if given.json:
        save_json(given.json, rows, machine, settings={**vars(given), "real_weights": real})
