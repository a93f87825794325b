"""`styler visualize`: what units of a network look for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styler.cli import console, options
from styler.cli.options import LOOK, OUTPUT, SIZE
from styler.cli.running import check_weights, load_network
from styler.errors import ExitCode

if TYPE_CHECKING:
    from styler.cli.rerun import Rerun


@console.guarded
def command(
    units: Annotated[
        list[str],
        typer.Argument(
            metavar="UNIT...",
            help="LAYER:CHANNEL, LAYER:FIRST-LAST, LAYER:all, logits:LABEL, LAYER; see below.",
        ),
    ],
    preset: Annotated[str, options.preset("visualize")] = "default",
    pictures: Annotated[
        int | None,
        typer.Option(
            "--pictures", help="Pictures of each unit, which differ.", rich_help_panel=LOOK
        ),
    ] = None,
    between: Annotated[
        int, typer.Option(help="Pictures from A to B for A..B.", rich_help_panel=LOOK)
    ] = 5,
    parameter: options.Parameter = None,
    alpha: Annotated[
        bool,
        typer.Option("--alpha", help="Transparent where it does not matter.", rich_help_panel=LOOK),
    ] = False,
    spectrum_from: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            help="Folder of pictures whose spectrum maco takes.",
            rich_help_panel=LOOK,
        ),
    ] = None,
    seed: options.Seed = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the square pictures in pixels.", rich_help_panel=SIZE),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of each unit, at most.", rich_help_panel=SIZE)
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Units at a time; 0 for what suits the machine.", rich_help_panel=SIZE),
    ] = None,
    lr: options.LearningRate = None,
    backbone: options.Backbone = None,
    weights: options.Weights = None,
    device: options.Device = None,
    precision: options.Precision = None,
    set_: Annotated[
        list[str] | None, options.setting("visualize", "visualize/default --all")
    ] = None,
    output: Annotated[
        Path | None,
        options.output(
            "Folder, or a picture's file for one picture \\[default: visualize-BACKBONE]."
        ),
    ] = None,
    natural: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            help="Folder of photographs to compare with; the strongest is shown beside each unit.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    animation: Annotated[
        Path | None,
        typer.Option(
            "--animate",
            readable=False,
            help="How they came to be: .mp4, .gif, .webp or .png.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Show what units of a network look for, by pictures that excite them most.

    [bold]Units:[/] relu4_1:37 a channel, relu4_1:0-63 or relu4_1:all many, relu4_1:37@centre one
    neuron, logits:goldfish a class, relu4_1 a whole layer, relu4_1:vector.npy or
    relu4_1:photos/ a direction, relu4_1:-37 a channel to silence, A+B or 0.5*A+B joined,
    A..B from one to another.

    [bold]Examples:[/]

      styler visualize relu3_1:0-15

      styler visualize logits:goldfish logits:"school bus" --backbone squeezenet1_0

      styler visualize relu4_1:37 --pictures 4 --animate growing.gif

    Units that are there already, made with the same settings, are not made again: an
    interrupted run goes on where it was.
    """
    from styler.cli.unit_run import UnitRun
    from styler.config import VisualizeConfig, parse_set, resolve
    from styler.presets import load_preset

    console.mode.quiet, console.mode.json = quiet, json
    flags: dict[str, tuple[str, Any]] = {
        "--pictures": ("pictures", pictures),
        "--parameter": ("parameter.kind", parameter),
        "--alpha": ("parameter.alpha", alpha or None),
        "--spectrum-from": ("parameter.spectrum", str(spectrum_from) if spectrum_from else None),
        "--seed": ("runtime.seed", seed),
        "--size": ("schedule.size", size),
        "--steps": ("schedule.steps", steps),
        "--batch": ("schedule.batch", batch),
        "--lr": ("optimizer.lr", lr),
        "--backbone": ("backbone.name", backbone),
        "--weights": ("backbone.weights", str(weights) if weights else None),
        "--device": ("runtime.device", device),
        "--precision": ("runtime.precision", precision),
    }
    recipe = load_preset(preset, "visualize")
    resolved = resolve(
        (f"preset {recipe.name}", recipe.values),
        ("--set", parse_set(set_ or [])),
        *((flag, {key: value}) for flag, (key, value) in flags.items() if value is not None),
        root=VisualizeConfig,
    )
    extractor = load_network(resolved.config)
    from styler.units import parse_units
    from styler.visualize_job import VisualizeJob

    job = VisualizeJob(
        units=parse_units(units, extractor, between=between),
        output=output or Path(f"visualize-{re.sub(r'[^A-Za-z0-9._-]+', '-', extractor.name)}"),
        resolved=resolved,
        overwrite=overwrite,
        natural=natural,
        animation=animation,
    )
    run = UnitRun(job, extractor)
    if dry_run:
        run.plan()
    elif not run.go():
        raise typer.Exit(int(ExitCode.INTERRUPTED))


def again(job: Rerun) -> None:
    """Make one picture of a unit again."""
    from styler.cli.unit_run import UnitRun
    from styler.units import parse_units
    from styler.visualize_job import VisualizeJob

    resolved = job.resolved()
    extractor = load_network(resolved.config)
    check_weights(extractor, job.weights_sha256)
    name, _, number = (job.recipe.subject or "").partition(" #")
    made = VisualizeJob(
        units=parse_units([name], extractor),
        output=job.output,
        resolved=resolved,
        overwrite=job.overwrite,
        number=int(number or 1),
    )
    UnitRun(made, extractor, stop_after=job.stop_after).go()


def register(parent: typer.Typer) -> None:
    """Add the command of this module."""
    parent.command("visualize", no_args_is_help=True)(command)
