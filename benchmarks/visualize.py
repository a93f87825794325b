"""Speed and memory of feature visualization, side by side with a peer on the same machine.

    make bench-visualize
    python benchmarks/visualize.py --networks squeezenet1_0 --units 64 --rounds 8 --ladder

Compared are styler, in bfloat16 where the processor has it and in float32, and `torch-lucent` from
PyPI, which is installed into `.bench/` on first use. All run on the same Python, torch and
torchvision, with torch's own choice of threads, each in a process of its own that stays alive and
is given a few units to show at a time, in turns: peer, styler, peer, styler. Linux or macOS.

All follow one recipe, Lucid's, which is the peer's default and styler's preset `lucid`: pictures of
128 pixels, Fourier coefficients, decorrelated colours, random moves, turns and scales, Adam with
0.05; the mean of one channel of one layer. Both load one file of weights. The peer is called as
its manual says, `render_vis(model, "layer:channel")`, which shows one unit at a time, runs the
whole network, and first enlarges what it shows it to 224 pixels. A second row, `same view`, has it
show the network as many pixels as styler does. With `--ladder` there are two more rows of the peer,
each with one more change that its users could make, and one of styler with one unit at a time:
together they say where the difference comes from.

How to read it:

ms/step       of one unit: median over the rounds, with the least and the greatest. The first step
              of a unit does not count, nor does anything before it: imports, loading, and a round
              in which buffers are allocated. Less is better.
s/unit        what a unit takes at that speed, with the recipe's 512 steps.
speed-up      the time of the peer as it is called over this one's, from the same round: median,
              least and greatest over the rounds. More is better.
peak MB       resident memory of the process at most, while it shows units, in 10⁶ bytes (where the
              system cannot tell, since its start).
imports       the share of it that Python, torch and other libraries take before anything is done.
GFLOP         operations of all convolutions and products of matrices in one step of one unit,
              counted while it is made: forward, back to the picture, and for the peer also those of
              the gradients of weights that nobody asks for.
GFLOP/s       the same per second.
of matmul     the same as a share of what torch's own matrix product reaches on this machine in
              that precision.
activation    of the channels in the pictures after these few steps, as float32 styler sees them
              without any moves, over that in the peer's pictures: somewhere near 1 says that both
              go as far with a step.

Times on a machine that others use too are noisy: look at the least and the greatest.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import prepare
from machine import Machine, look_at_machine
from prepare import LUCENT
from report import save_json, show, terminal, update_document
from sessions import Session
from subjects import STEPS, SUBJECTS, Subject
from unit_rows import PEER, Measured, Row, Way, row_of, sheets

UNIT_WORKERS = Path(__file__).with_name("unit_workers.py")
TABLE_WIDTH = 150


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What every program is given.

    Args:
        folder: for pictures.
        weights: a file of torchvision's tensors.
        peer: the folder of the peer's package.
        units: channels from 0 to be shown.
        rounds: in which they are shown.
        steps: of each.
        tell: says what is going on.
    """

    folder: Path
    weights: Path
    peer: Path
    units: int
    rounds: int
    steps: int
    tell: Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, show, save."""
    given = parse(arguments)
    console = terminal(TABLE_WIDTH)
    peer = prepare.install_peer(LUCENT)
    machine = look_at_machine()
    rows: list[Row] = []
    notes = [
        f"{given.rounds} rounds, {given.units} units with {given.steps} steps each; "
        f"s/unit is for {STEPS} steps."
    ]
    competitors = ways(machine, given.ladder)
    with (
        tempfile.TemporaryDirectory(prefix="styler-bench-") as name,
        console.status("preparing") as status,
    ):
        for network in given.networks:
            subject, weights = SUBJECTS[network], Path(name) / f"{network}.pth"
            notes.append(f"Weights of {network}: {work('network', network, str(weights))}.")
            inputs = Inputs(
                folder=Path(name),
                weights=weights,
                peer=peer,
                units=given.units,
                rounds=given.rounds,
                steps=given.steps,
                tell=status.update,
            )
            found = compare(subject, competitors, inputs)
            rows += [row_of(subject, way, own, found[PEER], machine) for way, own in found.items()]
    show(sheets(rows), machine, console, notes=notes)
    if given.update:
        update_document(given.update, "make bench-visualize", sheets(rows), machine, notes)
    if given.json:
        settings = {"rounds": given.rounds, "units": given.units, "steps": given.steps}
        save_json(given.json, rows, machine, {**settings, "notes": notes})


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Feature visualization beside torch-lucent.")
    parser.add_argument("--networks", type=networks, default=list(SUBJECTS), help="some of them")
    parser.add_argument("--units", type=int, default=64, help="channels that are shown")
    parser.add_argument("--rounds", type=int, default=8, help="in which they are shown")
    parser.add_argument("--steps", type=int, default=5, help="of each unit; one is not measured")
    parser.add_argument("--ladder", action="store_true", help="what each difference makes")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--update", type=Path, help="Markdown file to put the table into")
    given = parser.parse_args(arguments)
    if given.rounds < 1 or given.units % given.rounds:
        parser.error("--units must be a multiple of --rounds")
    if given.steps < 2:
        parser.error("--steps must be 2 or more: the first one is not measured")
    return given


def networks(text: str) -> list[str]:
    found = text.split(",")
    if not set(found) <= set(SUBJECTS):
        raise argparse.ArgumentTypeError(f"expected {' or '.join(SUBJECTS)}, got {text}")
    return found


def ways(machine: Machine, ladder: bool) -> list[Way]:
    """The competitors, in the order in which they take turns."""
    found = [PEER, variant("same view", "view")]
    if ladder:
        found += [
            variant("frozen too", "view", "frozen"),
            variant("cut too", "view", "frozen", "cut"),
            Way(name="styler, one at a time", batch=1),
        ]
    precisions = ("fp32", "bf16") if machine.bf16 else ("fp32",)
    return found + [Way(name="styler", precision=precision) for precision in precisions]


def variant(label: str, *options: str) -> Way:
    return Way(name=f"{PEER.name}, {label}", peer=True, options=options)


def compare(subject: Subject, competitors: Sequence[Way], inputs: Inputs) -> dict[Way, Measured]:
    """Let them take turns."""
    folders = {way: inputs.folder / f"{subject.name}{i}" for i, way in enumerate(competitors)}
    with ExitStack() as stack:
        sessions: dict[Way, Session] = {}
        for way, folder in folders.items():
            folder.mkdir()
            session = Session(command(way, subject, inputs), environment(way, inputs))
            sessions[way] = stack.enter_context(session)
        seconds: dict[Way, list[float]] = {way: [] for way in competitors}
        for turn in range(-1, inputs.rounds):  # the first round warms up
            for way, session in sessions.items():
                inputs.tell(f"{subject.name}, round {turn + 1}/{inputs.rounds}: {way.name}")
                taken = session.ask(request(turn, inputs, folders[way]))["seconds"]
                if turn < 0:
                    session.restart_peak()
                else:
                    seconds[way].append(taken)
        inputs.tell(f"{subject.name}: looking at the pictures")
        peaks = {way: session.restart_peak() for way, session in sessions.items()}
        counts = {way: session.ask({"count": 0})["gflop"] for way, session in sessions.items()}
        ends = {way: session.end() for way, session in sessions.items()}
    where = [str(folder) for folder in folders.values()]
    judged = work("judge", subject.name, str(inputs.weights), *where)
    return {
        way: Measured(
            seconds=tuple(seconds[way]),
            peak=peaks[way] or ends[way],
            imported=sessions[way].imported,
            gflop=counts[way],
            activation=activation,
        )
        for way, activation in zip(competitors, json.loads(judged), strict=True)
    }


def request(turn: int, inputs: Inputs, folder: Path) -> dict[str, object]:
    """What is asked of every program in a round; before the first one, for practice."""
    few = inputs.units // inputs.rounds
    first = max(turn, 0) * few
    return {
        "channels": list(range(first, first + few)),
        "steps": inputs.steps,
        "pictures": None if turn < 0 else str(folder / f"{turn:03d}.npy"),
    }


def command(way: Way, subject: Subject, inputs: Inputs) -> list[str]:
    start = [sys.executable, str(UNIT_WORKERS), "peer" if way.peer else "styler"]
    own = way.options if way.peer else (way.precision, str(way.batch))
    return [*start, subject.name, str(inputs.weights), *own]


def environment(way: Way, inputs: Inputs) -> dict[str, str]:
    return {"PYTHONPATH": str(inputs.peer)} if way.peer else {}


def work(*arguments: str) -> str:
    return prepare.work(*arguments, script=UNIT_WORKERS).strip()


if __name__ == "__main__":
    main()
