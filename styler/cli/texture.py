"""`styler texture`: a picture of any size that looks like a style and shows nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from styler.cli import console, options
from styler.cli import transfer_options as shared
from styler.cli.options import LOOK, SIZE
from styler.cli.running import run_job, show_plan
from styler.cli.values import canvas

if TYPE_CHECKING:
    from styler.cli.rerun import Rerun


@console.guarded
def command(
    styles: Annotated[
        list[str],
        typer.Argument(
            metavar="STYLE...",
            help="The picture to make a texture of, or a file of `styler style save`; several are "
            "blended, FILE:WEIGHT says how much of each.",
        ),
    ],
    size: Annotated[
        str | None,
        typer.Option(
            help="Pixels of the result: 1024 for a square, or 1024x512 \\[default: the preset's].",
            rich_help_panel=SIZE,
        ),
    ] = None,
    tileable: Annotated[
        bool,
        typer.Option(
            "--tileable",
            help="Without borders: copies of it beside each other show no seam.",
            rich_help_panel=LOOK,
        ),
    ] = False,
    preset: Annotated[str, options.preset("texture")] = "default",
    style_scale: shared.StyleScale = None,
    style_loss: shared.StyleLoss = None,
    style_layers: shared.StyleLayers = None,
    smoothness: options.Smoothness = None,
    color: shared.Color = None,
    init: shared.Init = None,
    seed: shared.Seed = None,
    steps: shared.Steps = None,
    optimizer: shared.Optimizer = None,
    lr: options.LearningRate = None,
    backbone: shared.Backbone = None,
    weights: options.Weights = None,
    pooling: options.Pooling = None,
    device: options.Device = None,
    precision: options.Precision = None,
    max_memory: options.MaxMemory = None,
    set_: Annotated[list[str] | None, options.setting("texture", "texture/default")] = None,
    output: Annotated[
        Path | None,
        options.output(
            "The result: .png, .jpg, .tif, .webp or .bmp \\[default: STYLE+texture.png]."
        ),
    ] = None,
    timelapse: options.Timelapse = None,
    explain: options.Explain = False,
    bit_depth: options.BitDepth = None,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Make a texture of a style, of any size.

    [bold]Examples:[/]

      styler texture bark.jpg --size 1024

      styler texture bark.jpg --size 512 --tileable -o wallpaper.png

      styler texture waves.jpg:0.7 dots.jpg:0.3 --size 1024x512

    Ctrl-C saves the picture as it is. The result carries its recipe:
    `styler show` prints it, `styler rerun` makes it again.
    """
    given = {**locals(), "size": None}
    from styler.jobs import TransferJob
    from styler.styles.choice import blend_stem, parse_style
    from styler.texture import SIDE

    console.mode.quiet, console.mode.json = quiet, json
    more = {"--tileable": {"backbone.padding": "circular"}} if tileable else {}
    resolved = shared.settings(preset, set_, init, given, kind="texture", more=more)
    chosen = tuple(parse_style(text) for text in styles)
    job = TransferJob(
        content=None,
        styles=chosen,
        output=output or Path(f"{blend_stem(chosen)}+texture.png"),
        resolved=resolved,
        canvas=canvas("--size", size, resolved.config.schedule.size or SIDE),
        timelapse=timelapse,
        overwrite=overwrite,
        bit_depth=bit_depth,
    )
    if dry_run:
        show_plan(job)
    else:
        run_job(job, explained=explain)


def again(rerun: Rerun) -> None:
    """Make the texture of a recipe again."""
    from styler.cli.transfer import again_as

    run_job(
        again_as(rerun, content=None),
        stop_after=rerun.stop_after,
        weights_sha256=rerun.weights_sha256,
    )


def register(parent: typer.Typer) -> None:
    """Add the command of this module."""
    parent.command("texture", no_args_is_help=True)(command)
