"""``python -m styler.training.evaluate``: judges the embedded network by what it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from styler.cli import console
from styler.cli.usage import Command

if TYPE_CHECKING:
    from styler.training.evaluate import Row

SPEED_SIDE = 512
"""Side of the picture that an iteration is timed on, in pixels."""

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command(cls=Command, no_args_is_help=True)
@console.guarded
def evaluate(
    weights: Annotated[
        list[Path],
        typer.Argument(readable=False, help="Students' weights; the first sets the time."),
    ],
    images: Annotated[
        Path, typer.Option(readable=False, help="Folder with contents/ and styles/.")
    ],
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of content and style.")] = 12,
    size: Annotated[int, typer.Option(min=64, help="Long side of the pictures.")] = 256,
    out: Annotated[
        Path, typer.Option(readable=False, help="Folder for the sheets and the numbers.")
    ] = Path("out/evaluation"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="Of convolutions: auto, fp32, bf16.")] = "auto",
) -> None:
    """Paint pairs with VGG-19 and with its students, and let VGG-19 and SqueezeNet judge.

    VGG-19 and SqueezeNet are looked for as always: STYLER_WEIGHTS_DIR, then the cache.

    [bold]Examples:[/]

      python -m styler.training.evaluate vgg-lite.safetensors vgg-lite-v0.safetensors
      --images pictures/
    """
    from styler.images.output import write_atomically
    from styler.training import report
    from styler.training.evaluate import (
        TEACHER,
        evaluate,
        iteration_seconds,
        judges_for,
        load_students,
        load_teacher,
        read_pairs,
        settings,
        unexplained_taps,
    )

    chosen = read_pairs(images / "contents", images / "styles", pairs)
    config = settings(size)
    students = load_students(weights, device, precision)
    teacher = load_teacher(device, precision)
    judges = judges_for(teacher, config)
    rows: list[Row] = []
    for row in evaluate(chosen, students, teacher, judges, config):
        rows.append(row)
        console.say(_line(row, next(iter(students)), TEACHER))
    result = report.summary(rows, tuple(students), judges)
    seconds = iteration_seconds({**students, TEACHER: teacher}, SPEED_SIDE)
    result["seconds per iteration at 512 px"] = seconds
    result["unexplained"] = unexplained_taps(students, teacher, chosen, size)
    out.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(rows), 4):
        part = report.contact_rows(rows[start : start + 4], chosen[start : start + 4], [*students])
        report.write_sheet(out / f"pairs-{start // 4 + 1}.jpg", part)
    report.write_sheet(out / "taps.jpg", [report.tap_row(next(iter(students.values())))])
    numbers = out / "evaluation.json"
    write_atomically(numbers, (json.dumps(result, indent=1) + "\n").encode())
    for name, values in result["medians"].items():
        console.say(f"{name}: " + "  ".join(f"{key} {value:.2f}" for key, value in values.items()))
    for name, taps in result["unexplained"].items():
        console.say(f"{name} unexplained: " + "  ".join(f"{t} {v:.3f}" for t, v in taps.items()))
    for line in report.speed_lines(seconds, TEACHER):
        console.say(line)
    console.result(numbers)


def _line(row: Row, student: str, teacher: str) -> str:
    parts = [row.pair]
    for judge in row.losses:
        style, content = (row.ratio(judge, loss, student, teacher) for loss in ("style", "content"))
        parts.append(f"{judge}: style {style:.2f} content {content:.2f}")
    seconds = {name: round(painted.seconds, 1) for name, painted in row.painted.items()}
    return "  ".join([*parts, "seconds " + " ".join(f"{n} {s}" for n, s in seconds.items())])


def main() -> None:
    """Run the command."""
    app(prog_name="python -m styler.training.evaluate")
