"""`styler transfer`: one content, one style or several, one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from styler.cli import console, options
from styler.cli import transfer_options as shared
from styler.cli.running import run_job, show_plan

if TYPE_CHECKING:
    from styler.cli.rerun import Rerun
    from styler.jobs import TransferJob


@console.guarded
def command(
    content: Annotated[
        Path, typer.Argument(readable=False, metavar="CONTENT", help="The picture to paint.")
    ],
    styles: Annotated[
        list[str],
        typer.Argument(
            metavar="STYLE...",
            help="The picture to paint it like, or a file of `styler style save`; several are "
            "blended, FILE:WEIGHT says how much of each.",
        ),
    ],
    preset: Annotated[str, options.preset("transfer")] = "default",
    strength: shared.Strength = None,
    style_scale: shared.StyleScale = None,
    style_loss: shared.StyleLoss = None,
    content_loss: shared.ContentLoss = None,
    content_weight: shared.ContentWeight = None,
    style_weight: shared.StyleWeight = None,
    smoothness: options.Smoothness = None,
    content_layers: shared.ContentLayers = None,
    style_layers: shared.StyleLayers = None,
    color: shared.Color = None,
    content_mask: shared.ContentMask = None,
    style_mask: shared.StyleMask = None,
    protect: shared.Protect = None,
    init: shared.Init = None,
    seed: shared.Seed = None,
    size: shared.Size = None,
    steps: shared.Steps = None,
    optimizer: shared.Optimizer = None,
    lr: options.LearningRate = None,
    backbone: shared.Backbone = None,
    weights: options.Weights = None,
    pooling: options.Pooling = None,
    padding: options.Padding = None,
    device: options.Device = None,
    precision: options.Precision = None,
    max_memory: options.MaxMemory = None,
    set_: Annotated[list[str] | None, options.setting("transfer", "transfer/default")] = None,
    output: Annotated[
        Path | None,
        options.output(
            "The result: .png, .jpg, .tif, .webp or .bmp \\[default: CONTENT+STYLE.png]."
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
    """Paint the content in the style.

    [bold]Examples:[/]

      styler transfer photo.jpg painting.jpg

      styler transfer photo.jpg painting.jpg --strength 0.8 -o strong.jpg

      styler transfer photo.jpg painting.jpg --preset gatys2015

      styler transfer photo.jpg waves.jpg:0.7 starry.style:0.3

    Ctrl-C saves the picture as it is. The result carries its recipe:
    `styler show` prints it, `styler rerun` makes it again.
    """
    given = locals()
    from styler.jobs import TransferJob
    from styler.styles.choice import blend_stem, parse_style

    console.mode.quiet, console.mode.json = quiet, json
    resolved = shared.settings(preset, set_, init, given)
    chosen = tuple(parse_style(text) for text in styles)
    job = TransferJob(
        content=content,
        styles=chosen,
        output=output or Path(f"{content.stem}+{blend_stem(chosen)}.png"),
        resolved=resolved,
        timelapse=timelapse,
        overwrite=overwrite,
        bit_depth=bit_depth,
    )
    if dry_run:
        show_plan(job)
    else:
        run_job(job, explained=explain)


def again(rerun: Rerun) -> None:
    """Make the picture of a recipe again."""
    run_job(
        again_as(rerun, content=rerun.source("content")),
        stop_after=rerun.stop_after,
        weights_sha256=rerun.weights_sha256,
    )


def again_as(rerun: Rerun, *, content: Path | None) -> TransferJob:
    """The job of a recipe.

    Args:
        rerun: what is to be made again.
        content: where the content is now; None for a texture.
    """
    from styler.cli.rerun import numbered_sources
    from styler.config import file_settings, with_files
    from styler.jobs import TransferJob
    from styler.styles.choice import StyleChoice

    known, weights = rerun.recipe.resolved(), rerun.recipe.weights
    moved = {name: str(path) for name, path in rerun.sources.items()}
    return TransferJob(
        content=content,
        styles=tuple(
            StyleChoice(path=rerun.source(name), weight=weights.get(name, 1.0))
            for name in numbered_sources(rerun.recipe, "style") or ["style"]
        ),
        output=rerun.output,
        resolved=rerun.resolved(file_settings(with_files(known.config, moved))),
        canvas=rerun.recipe.size,
        overwrite=rerun.overwrite,
        bit_depth=rerun.recipe.bit_depth,
    )


def register(parent: typer.Typer) -> None:
    """Add the command of this module."""
    parent.command("transfer", no_args_is_help=True)(command)
