"""A folder of pictures: `styler batch` beside loops of single commands.

    make bench-batch
    python benchmarks/batch.py --contents 24 --rounds 2 --json batch.json

Compared are, one after the other and in turns:

- a shell loop of `styler transfer`, the default preset on the embedded network;
- `styler batch`, the same pairs and settings, with one worker and with one per processor;
- a loop of `neural-style` from PyPI, which knows VGG-19 only, and no folders;
- `styler batch` on the same VGG-19, with the peer's objective, optimiser and start.

All pictures have the same long side and number of steps. Loops cost the same for each pair, so
they are run for the first few pairs only; batches run for all of them, or for the first few where
VGG-19 is the network. Everything that a user waits for counts: imports, loading, targets, files.

How to read it:

s/picture     wall time over pictures: median over the rounds, least and greatest.
per minute    pictures, from the median.
over loop     time of the loop of `styler transfer` over this one's, from runs of the same round.
over peer     time of the peer's loop over this one's, likewise.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import prepare
from machine import look_at_machine
from PIL import Image
from prepare import NEURAL_STYLE, ROOT
from report import Sheet, Spread, save_json, show, spread, terminal, update_document
from transfer import count

STYLER = (sys.executable, "-m", "styler")
COLUMNS = ("program", "network", "pictures", "s/picture", "per minute", "over loop", "over peer")
LOOP = "loop of styler transfer"
PEER = f"loop of {NEURAL_STYLE.label}"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all programs are given.

    Args:
        folder: for inputs and results.
        contents: pictures.
        styles: pictures.
        side: long side of all of them, in pixels.
        steps: of each transfer.
        weights: VGG-19 in a file that both programs read.
        peer: the folder of the peer's package.
    """

    folder: Path
    contents: Sequence[Path]
    styles: Sequence[Path]
    side: int
    steps: int
    weights: Path
    peer: Path

    def pairs(self) -> list[tuple[Path, Path]]:
        """Every content in every style, styles going round first."""
        return [(content, style) for content in self.contents for style in self.styles]


@dataclass(frozen=True, kw_only=True)
class Program:
    """One line of the table.

    Args:
        name: of the program.
        network: that it computes with.
        pictures: that it makes.
        run: makes that many.
    """

    name: str
    network: str
    pictures: int
    run: Callable[[Work, int], None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one program did; see the head of this file for the units."""

    program: str
    network: str
    pictures: int
    seconds: Spread
    over_loop: Spread
    over_peer: Spread


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, show, save."""
    given = parse(arguments)
    console = terminal()
    peer = prepare.install_peer(NEURAL_STYLE)
    machine = look_at_machine()
    with tempfile.TemporaryDirectory(prefix="styler-bench-") as name:
        folder = Path(name)
        weights, real = prepare.weights(folder)
        work = Work(
            folder=folder,
            contents=contents(folder / "contents", given.contents, given.side),
            styles=styles(folder / "styles", given.side),
            side=given.side,
            steps=given.steps,
            weights=weights,
            peer=peer,
        )
        competitors = programs(len(work.pairs()), machine.cores, given.few)
        seconds: dict[str, list[float]] = {program.name: [] for program in competitors}
        for turn in range(given.rounds):
            for program in competitors:
                with console.status(f"round {turn + 1}/{given.rounds}: {program.name}"):
                    started = time.perf_counter()
                    program.run(work, program.pictures)
                    elapsed = time.perf_counter() - started
                seconds[program.name].append(elapsed / program.pictures)
    rows = [row(program, seconds) for program in competitors]
    sheets = [
        Sheet(
            keys={"size": f"{given.side} px", "length": f"{given.steps} steps"},
            columns=COLUMNS,
            lines=[cells(each) for each in rows],
        )
    ]
    notes = [f"{given.rounds} rounds."]
    if not real:
        notes.append("No weights of VGG-19 are at hand: random ones, which take as long.")
    show(sheets, machine, console, notes=notes)
    if given.update:
        update_document(given.update, "make bench-batch", sheets, machine, notes)
    if given.json:
        settings = {"rounds": given.rounds, "side": given.side, "steps": given.steps}
        save_json(given.json, rows, machine, settings)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Folders beside loops of single commands.")
    parser.add_argument("--contents", type=count, default=24, help="pictures")
    parser.add_argument("--side", type=count, default=128, help="long side in pixels")
    parser.add_argument("--steps", type=count, default=150, help="of each transfer")
    parser.add_argument("--few", type=count, default=6, help="pairs of loops and of VGG-19")
    parser.add_argument("--rounds", type=count, default=2, help="runs of each program")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--update", type=Path, help="Markdown file to put the table into")
    return parser.parse_args(arguments)


def contents(folder: Path, number: int, side: int) -> list[Path]:
    """Different parts of the sample photographs, all of one size."""
    folder.mkdir()
    sources = sorted((ROOT / "samples" / "contents").glob("*.jpg"))
    height = side * prepare.ASPECT[1] // prepare.ASPECT[0]
    made = []
    for index in range(number):
        with Image.open(sources[index % len(sources)]) as picture:
            share = 0.5 + 0.5 * (index + 1) / number
            width = int(share * min(picture.width, picture.height * side / height))
            box = (0, 0, width, width * height // side)
            target = folder / f"{index:03d}.png"
            picture.resize((side, height), Image.Resampling.LANCZOS, box).save(target)
            made.append(target)
    return made


def styles(folder: Path, side: int) -> list[Path]:
    """Three of the sample styles."""
    folder.mkdir()
    made = []
    for source in sorted((ROOT / "samples" / "styles").glob("*.jpg"))[:3]:
        target = folder / f"{source.stem}.png"
        with Image.open(source) as picture:
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
            picture.save(target)
        made.append(target)
    return made


def programs(pairs: int, cores: int, few: int) -> list[Program]:
    """The competitors, in the order in which they take turns."""
    few = min(few, pairs)
    several = f"styler batch, {cores} workers"
    found = [
        Program(name=LOOP, network="vgg-lite", pictures=few, run=loop),
        Program(name="styler batch", network="vgg-lite", pictures=pairs, run=batch()),
        Program(name=several, network="vgg-lite", pictures=pairs, run=batch(workers=cores)),
        Program(name=PEER, network="vgg19", pictures=few, run=peer_loop),
        Program(
            name="styler batch, peer's recipe", network="vgg19", pictures=few, run=batch(vgg=True)
        ),
    ]
    return found if cores > 1 else [program for program in found if program.name != several]


def loop(work: Work, pictures: int) -> None:
    """A command for each pair."""
    for number, (content, style) in enumerate(work.pairs()[:pictures]):
        output = work.folder / f"loop{number}.png"
        own = ["transfer", str(content), str(style), "-o", str(output), "--overwrite"]
        call([*STYLER, *own, "--backbone", "vgg-lite", *size(work)])


def batch(*, workers: int = 1, vgg: bool = False) -> Callable[[Work, int], None]:
    """One command for all pairs."""

    def run(work: Work, pictures: int) -> None:
        output = work.folder / "batch"
        shutil.rmtree(output, ignore_errors=True)
        own = ["batch", str(work.folder / "contents"), str(work.folder / "styles")]
        how = ["-o", str(output), "--limit", str(pictures), "--workers", str(workers)]
        network = like_the_peer(work) if vgg else ["--backbone", "vgg-lite"]
        call([*STYLER, *own, *how, *network, *size(work)])
        made = len(list(output.rglob("*.png"))) - 1  # the contact sheet
        if made != pictures:
            raise SystemExit(f"{made} pictures were made, expected {pictures}")

    return run


def size(work: Work) -> list[str]:
    return ["--size", str(work.side), "--steps", str(work.steps), "--quiet"]


def like_the_peer(work: Work) -> list[str]:
    """The peer's defaults, but for the optimiser and the start, which both are told."""
    settings = ("optimizer.name=adam", "optimizer.lr=1.0", "init.kind=content", "schedule.scales=1")
    changed = [word for setting in settings for word in ("--set", setting)]
    return ["--preset", "johnson", "--weights", str(work.weights), *changed]


def peer_loop(work: Work, pictures: int) -> None:
    """The peer's command for each pair."""
    for content, style in work.pairs()[:pictures]:
        options = {
            "content_image": content,
            "style_image": style,
            "output_image": work.folder / "peer.png",
            "model_file": work.weights,
            "image_size": work.side,
            "num_iterations": work.steps,
            "optimizer": "adam",
            "init": "image",
            "gpu": "c",
            "print_iter": 0,
            "save_iter": 0,
        }
        flags = [word for name, value in options.items() for word in (f"-{name}", str(value))]
        command = [sys.executable, str(prepare.WORKERS), "peer", *flags, "-disable_check"]
        call(command, {"PYTHONPATH": str(work.peer)})


def call(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    """Run a program.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} … failed:\n{done.stderr}")


def row(program: Program, seconds: dict[str, list[float]]) -> Row:
    own = seconds[program.name]

    def over(other: str) -> Spread:
        return spread([a / b for a, b in zip(seconds[other], own, strict=True)])

    return Row(
        program=program.name,
        network=program.network,
        pictures=program.pictures,
        seconds=spread(own),
        over_loop=over(LOOP),
        over_peer=over(PEER),
    )


def cells(row: Row) -> list[str]:
    return [
        row.program,
        row.network,
        str(row.pictures),
        row.seconds.text(2),
        f"{60 / row.seconds.median:.1f}",
        row.over_loop.text(2),
        row.over_peer.text(2),
    ]


if __name__ == "__main__":
    main()
