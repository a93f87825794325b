"""How soon styler reaches the loss that a peer ends with: its objective, its pictures.

    make bench-race
    python benchmarks/race.py --side 512 --iterations 500

The peer, `neural-style` from PyPI, runs with its defaults: L-BFGS from noise on the whole picture,
VGG-19, squared errors of Gram matrices and of relu4_2, total variation. styler minimises the same
objective (preset `johnson`) coarse to fine, in bfloat16 where the processor has it. Then both
pictures, rounded to 8 bits, are judged by one function: that objective in float32, whole, at the
full size. Times count from the first iteration to the last, without imports and loading.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import prepare
from machine import look_at_machine
from prepare import NEURAL_STYLE, Pictures
from report import Sheet, show, terminal, update_document
from transfer import count

RACER = Path(__file__).with_name("racer.py")
COLUMNS = ("program", "iterations", "seconds", "loss", "over peer")


def main(arguments: Sequence[str] | None = None) -> None:
    """Race, show, save."""
    given = parse(arguments)
    console = terminal()
    peer = prepare.install_peer(NEURAL_STYLE)
    machine = look_at_machine()
    with tempfile.TemporaryDirectory(prefix="styler-race-") as name:
        folder = given.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        weights, real = prepare.weights(folder)
        if not real:
            raise SystemExit("a race needs real weights of VGG-19: set STYLER_WEIGHTS_DIR")
        pictures = prepare.pictures(given.side, folder)
        with console.status(f"{NEURAL_STYLE.label}: {given.iterations} iterations"):
            theirs = run_peer(pictures, weights, peer, folder / "peer.png", given)
        with console.status("styler"):
            found = json.loads(
                prepare.work(
                    str(pictures.content),
                    str(pictures.style),
                    str(weights),
                    str(folder / "peer.png"),
                    str(folder / "styler.png"),
                    script=RACER,
                )
            )
    lines = [
        [NEURAL_STYLE.label, str(given.iterations), f"{theirs:.0f}", f"{found['peer']:.1f}", "1.0"],
        [
            "styler, same loss",
            str(found["steps"]),
            f"{found['seconds']:.0f}",
            f"{found['loss']:.1f}",
            f"{theirs / found['seconds']:.1f}",
        ],
        [
            "styler, to its end",
            str(found["all_steps"]),
            f"{found['all_seconds']:.0f}",
            f"{found['last']:.1f}",
            f"{theirs / found['all_seconds']:.1f}",
        ],
    ]
    size = f"{pictures.size[1]}×{pictures.size[0]}"
    sheets = [Sheet(keys={"size": size}, columns=COLUMNS, lines=lines)]
    show(sheets, machine, console, notes=[])
    if given.update:
        update_document(given.update, "make bench-race", sheets, machine, [])
    if given.json:
        whole: dict[str, Any] = {"machine": asdict(machine), "peer_seconds": theirs, **found}
        given.json.write_text(json.dumps(whole, indent=2), encoding="utf-8")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time to the peer's loss.")
    parser.add_argument("--side", type=count, default=512, help="long side in pixels")
    parser.add_argument("--iterations", type=count, default=500, help="of the peer")
    parser.add_argument("--keep", type=Path, help="folder for the pictures of both")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--update", type=Path, help="Markdown file to put the table into")
    return parser.parse_args(arguments)


def run_peer(
    pictures: Pictures, weights: Path, peer: Path, output: Path, given: argparse.Namespace
) -> float:
    """Seconds from the peer's first iteration to its last."""
    options = {
        "content_image": pictures.content,
        "style_image": pictures.style,
        "output_image": output,
        "model_file": weights,
        "image_size": given.side,
        "num_iterations": given.iterations,
        "gpu": "c",
        "seed": 0,
        "print_iter": 1,
        "save_iter": 0,
    }
    flags = [word for name, value in options.items() for word in (f"-{name}", str(value))]
    command = [sys.executable, str(prepare.WORKERS), "peer", *flags, "-disable_check"]
    environment = {**os.environ, "PYTHONPATH": str(peer), "PYTHONUNBUFFERED": "1"}
    times = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        times = [time.perf_counter() for line in process.stdout if line.startswith("Iteration")]
    if process.returncode or not output.is_file():
        raise SystemExit(f"{NEURAL_STYLE.label} failed")
    return (times[-1] - times[0]) * len(times) / (len(times) - 1)


if __name__ == "__main__":
    main()
