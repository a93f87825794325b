"""`styler transfer`: one content, one style or several, one picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styler.cli import console, options
from styler.cli.completion import choices, painters, starts
from styler.cli.options import LOOK, NETWORK, SIZE
from styler.cli.running import run_job, show_plan
from styler.cli.values import layer_weights, step_counts
from styler.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from styler.cli.rerun import Rerun


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
    strength: Annotated[
        float | None,
        typer.Option(
            help="0 keeps the content, 1 takes only the style \\[default: 0.5].",
            rich_help_panel=LOOK,
        ),
    ] = None,
    style_scale: Annotated[
        float | None,
        typer.Option(help="Size of the strokes: 2 is twice as large.", rich_help_panel=LOOK),
    ] = None,
    style_loss: Annotated[
        str | None,
        typer.Option(
            help="gram, moments or wasserstein.",
            rich_help_panel=LOOK,
            autocompletion=choices("style.loss"),
        ),
    ] = None,
    content_weight: Annotated[
        float | None, typer.Option(help="Alpha of J(G).", rich_help_panel=LOOK)
    ] = None,
    style_weight: Annotated[
        float | None, typer.Option(help="Beta of J(G).", rich_help_panel=LOOK)
    ] = None,
    smoothness: options.Smoothness = None,
    content_layers: Annotated[
        str | None,
        typer.Option(help="Such as relu4_2 or relu3_1=1,relu4_2=.5.", rich_help_panel=LOOK),
    ] = None,
    style_layers: Annotated[
        str | None,
        typer.Option(help="Such as relu1_1=1,relu3_1=.5.", rich_help_panel=LOOK),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Start from content, noise, uniform, style or a picture's file.",
            rich_help_panel=LOOK,
            autocompletion=starts,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the noise to start from.", rich_help_panel=LOOK)
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Long side of the result in pixels \\[default: the content's own].",
            rich_help_panel=SIZE,
        ),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            help="Steps per scale, coarse to fine: 100 or 150,120,80.", rich_help_panel=SIZE
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="adam or lbfgs.", rich_help_panel=SIZE, autocompletion=choices("optimizer.name")
        ),
    ] = None,
    lr: options.LearningRate = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="auto, vgg-lite, vgg19, vgg16 or vgg19-caffe; see `styler weights list`.",
            rich_help_panel=NETWORK,
            autocompletion=painters,
        ),
    ] = None,
    weights: options.Weights = None,
    pooling: Annotated[
        str | None,
        typer.Option(
            help="max or average.",
            rich_help_panel=NETWORK,
            autocompletion=choices("backbone.pooling"),
        ),
    ] = None,
    device: options.Device = None,
    precision: options.Precision = None,
    set_: Annotated[list[str] | None, options.setting("transfer", "transfer/default")] = None,
    output: Annotated[
        Path | None,
        options.output(
            "The result: .png, .jpg, .tif, .webp or .bmp \\[default: CONTENT+STYLE.png]."
        ),
    ] = None,
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
    from styler.config import parse_set, resolve
    from styler.jobs import TransferJob
    from styler.presets import load_preset
    from styler.styles.choice import blend_stem, parse_style

    console.mode.quiet, console.mode.json = quiet, json
    flags: dict[str, tuple[str, Any]] = {
        "--strength": ("strength", strength),
        "--style-scale": ("style.scale", style_scale),
        "--style-loss": ("style.loss", style_loss),
        "--style-weight": ("style.weight", style_weight),
        "--style-layers": ("style.layers", layer_weights("--style-layers", style_layers)),
        "--content-weight": ("content.weight", content_weight),
        "--content-layers": ("content.layers", layer_weights("--content-layers", content_layers)),
        "--smoothness": ("smoothness.weight", smoothness),
        "--seed": ("runtime.seed", seed),
        "--size": ("schedule.size", size),
        "--steps": ("schedule.steps", step_counts(steps)),
        "--optimizer": ("optimizer.name", optimizer),
        "--lr": ("optimizer.lr", lr),
        "--backbone": ("backbone.name", backbone),
        "--weights": ("backbone.weights", str(weights) if weights else None),
        "--pooling": ("backbone.pooling", pooling),
        "--device": ("runtime.device", device),
        "--precision": ("runtime.precision", precision),
    }
    recipe = load_preset(preset, "transfer")
    resolved = resolve(
        (f"preset {recipe.name}", recipe.values),
        ("--set", parse_set(set_ or [])),
        *((flag, {key: value}) for flag, (key, value) in flags.items() if value is not None),
        ("--init", _init(init)),
    )
    chosen = tuple(parse_style(text) for text in styles)
    job = TransferJob(
        content=content,
        styles=chosen,
        output=output or Path(f"{content.stem}+{blend_stem(chosen)}.png"),
        resolved=resolved,
        overwrite=overwrite,
        bit_depth=bit_depth,
    )
    if dry_run:
        show_plan(job)
    else:
        run_job(job)


def _init(text: str | None) -> dict[str, str]:
    from styler.config import START_KINDS

    if text is None:
        return {}
    if text in START_KINDS:
        return {"init.kind": text}
    if not Path(text).suffix and not os.path.exists(text):
        raise ConfigError(
            f"--init {text} is no kind of start and no file", did_you_mean(text, START_KINDS)
        )
    return {"init.kind": "image", "init.image": text}


def again(rerun: Rerun) -> None:
    """Make the picture of a recipe again."""
    from styler.cli.rerun import styles_of
    from styler.jobs import TransferJob
    from styler.styles.choice import StyleChoice

    weights = rerun.recipe.weights
    start = {"init.image": str(rerun.sources["start"])} if "start" in rerun.sources else {}
    job = TransferJob(
        content=rerun.source("content"),
        styles=tuple(
            StyleChoice(path=rerun.source(name), weight=weights.get(name, 1.0))
            for name in styles_of(rerun.recipe) or ["style"]
        ),
        output=rerun.output,
        resolved=rerun.resolved(start),
        overwrite=rerun.overwrite,
        bit_depth=rerun.recipe.bit_depth,
    )
    run_job(job, stop_after=rerun.stop_after, weights_sha256=rerun.weights_sha256)


def register(parent: typer.Typer) -> None:
    """Add the command of this module."""
    parent.command("transfer", no_args_is_help=True)(command)
