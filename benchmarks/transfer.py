"""Speed and memory of style transfer, side by side with a peer on the same machine.

    make bench
    python benchmarks/transfer.py --sizes 256,512 --rounds 3 --iterations 8 --json bench.json

Compared are styler, in bfloat16 where the processor has it and in float32, and `neural-style` from
PyPI (neural-style-pt by ProGamerGov), which is installed into `.bench/` on first use. All run on
the same Python, torch, torchvision and Pillow, with torch's own choice of threads, each in a
process of its own, one after the other, in turns: peer, styler, peer, styler. Linux or macOS.

All do the same work: VGG-19 with max pooling and the same file of weights; the same two pictures,
stored at the size wanted so that nobody resamples; mean squared differences of the features at
relu4_2 and of the Gram matrices at relu1_1, 2_1, 3_1, 4_1, 5_1; L1 total variation; start from
the content; the same optimiser and step size; losses reported at each iteration.

How to read it:

s/iteration   median over the rounds, with the least and the greatest. Of each run the first three
              iterations and the last do not count, nor does anything before them: imports,
              loading, targets. Less is better.
speed-up      the peer's time over this one's, from runs of the same round, which follow each
              other: median, least and greatest over the rounds. More is better.
peak MB       resident memory of the process at most, from start to end, in 10⁶ bytes: what has
              to be free. Median over the rounds, like the next two.
iterating     the same during the optimisation alone (Linux only). The peer first builds a
              classifier that it throws away; here that does not count against it.
imports       the share of both that Python, torch and other libraries take before anything is
              done. Some are imported later, so it is a lower bound.
GFLOP/s       operations of the convolutions, forward and back to the image, per second.
of matmul     the same as a share of what torch's own matrix product reaches on this machine in
              that precision.
loss          the total at the first iteration over the peer's. The peer's pixels reach 256 and
              styler's 255, and squared Gram matrices go with the fourth power: 0.98 to 1.00 says
              that both compute the same thing.

Not in it: after many iterations L-BFGS holds up to 200 copies of the picture, in both programs.
Times on a machine that others use too are noisy: look at the least and the greatest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import prepare
from machine import Machine, look_at_machine
from measure import EXTRA, Run, measure
from prepare import NEURAL_STYLE, Pictures
from report import save_json, show, terminal, update_document
from rows import PEER, Case, Program, Row, doubts, sheets, summarise_case

OPTIMIZERS = ("adam", "lbfgs")
RANDOM_WEIGHTS = (
    "No weights of VGG-19 are at hand: both programs ran with the same random ones, on whose "
    "values neither speed nor memory depends. For real ones name the folder of "
    "vgg19-caffe.safetensors or vgg19-d01eb7cb.pth in STYLER_WEIGHTS_DIR, or bring the file with "
    "`styler weights import FILE`."
)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What every run is given.

    Args:
        folder: for results.
        weights: a .pth file that both programs read.
        peer: the folder of the peer's package.
        iterations: measured per run.
    """

    folder: Path
    weights: Path
    peer: Path
    iterations: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, show, save."""
    given = parse(arguments)
    console = terminal()
    peer = prepare.install_peer(NEURAL_STYLE)
    machine = look_at_machine()
    competitors = programs(machine)
    cases = [Case(side=s, optimizer=o) for s in given.sizes for o in given.optimizers]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="styler-bench-") as name:
        folder = Path(name)
        weights, real = prepare.weights(folder)
        inputs = Inputs(folder=folder, weights=weights, peer=peer, iterations=given.iterations)
        for case in cases:
            pictures = prepare.pictures(case.side, folder)
            runs: dict[Program, list[Run]] = {program: [] for program in competitors}
            for turn in range(given.rounds):
                for program in competitors:
                    label = f"{case.side} px, {case.optimizer}, round {turn + 1}/{given.rounds}"
                    with console.status(f"{label}: {program.name} {program.precision}"):
                        runs[program].append(run(program, case, pictures, inputs))
            rows += summarise_case(case, pictures.size, runs, machine)
    notes = [
        f"{given.rounds} rounds of {given.iterations} iterations.",
        "pystiche 1.0.1 has no row: it does not import with today's torchvision.",
    ]
    if not real:
        notes.append(RANDOM_WEIGHTS)
    notes += doubts(rows)
    show(sheets(rows), machine, console, notes=notes)
    if given.update:
        update_document(given.update, "make bench", sheets(rows), machine, notes)
    if given.json:
        settings = {
            "rounds": given.rounds,
            "iterations": given.iterations,
            "weights": "real" if real else "random",
        }
        save_json(given.json, rows, machine, settings)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and memory beside neural-style.")
    parser.add_argument("--sizes", type=sides, default=[256, 512], help="long sides in pixels")
    parser.add_argument("--optimizers", type=optimizers, default=list(OPTIMIZERS))
    parser.add_argument("--rounds", type=count, default=3, help="runs of each program")
    parser.add_argument("--iterations", type=count, default=8, help="measured in each run")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--update", type=Path, help="Markdown file to put the table into")
    return parser.parse_args(arguments)


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return number


def sides(text: str) -> list[int]:
    found = [count(part) for part in text.split(",")]
    if min(found) < 64 or any(side % 4 for side in found):
        raise argparse.ArgumentTypeError(f"expected multiples of 4 from 64, got {text}")
    return found


def optimizers(text: str) -> list[str]:
    found = text.split(",")
    if not set(found) <= set(OPTIMIZERS):
        raise argparse.ArgumentTypeError(f"expected {' or '.join(OPTIMIZERS)}, got {text}")
    return found


def programs(machine: Machine) -> list[Program]:
    """The competitors, in the order in which they take turns."""
    precisions = ("bf16", "fp32") if machine.bf16 else ("fp32",)
    return [PEER, *(Program(name="styler", precision=precision) for precision in precisions)]


def run(program: Program, case: Case, pictures: Pictures, inputs: Inputs) -> Run:
    """One run of one program."""
    worker = [sys.executable, str(prepare.WORKERS)]
    content, style = str(pictures.content), str(pictures.style)
    output, weights = str(inputs.folder / "result.png"), str(inputs.weights)
    iterations = str(inputs.iterations + EXTRA)
    if program != PEER:
        own = [content, style, output, weights, case.optimizer, program.precision]
        return measure([*worker, "styler", *own, str(case.side), iterations])
    options = {
        "content_image": content,
        "style_image": style,
        "output_image": output,
        "model_file": weights,
        "image_size": str(case.side),
        "num_iterations": iterations,
        "optimizer": case.optimizer,
        "init": "image",
        "gpu": "c",
        "print_iter": "1",
        "save_iter": "0",
    }
    flags = [word for name, value in options.items() for word in (f"-{name}", value)]
    command = [*worker, "peer", *flags, "-disable_check"]
    return measure(command, {"PYTHONPATH": str(inputs.peer)})


if __name__ == "__main__":
    main()
