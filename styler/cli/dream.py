"""`styler dream`: what a network sees in a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styler.cli import console, options
from styler.cli.dreaming import run_dream, run_film, show_plan
from styler.cli.options import LOOK, SIZE
from styler.cli.values import layer_weights, step_counts

if TYPE_CHECKING:
    from styler.cli.rerun import Rerun
    from styler.presets import Preset

FILM = "Film"

NOISE_STEPS = 36
"""Steps per octave that make a picture of noise as vivid as a few make a photograph."""


@console.guarded
def command(
    image: Annotated[
        Path | None,
        typer.Argument(
            readable=False,
            metavar="[IMAGE]",
            help="The picture to dream in \\[default: noise].",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[str, options.preset("dream")] = "default",
    layers: Annotated[
        str | None,
        typer.Option(
            help="What is excited: relu4_1 or relu4_1=1,relu3_1=.5; see `styler layers`.",
            rich_help_panel=LOOK,
        ),
    ] = None,
    guide: Annotated[
        Path | None,
        typer.Option(
            readable=False, help="A picture whose features the dream follows.", rich_help_panel=LOOK
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            help="A picture of the same shape: white dreams, black stays.",
            rich_help_panel=LOOK,
        ),
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Size of a step.", rich_help_panel=LOOK)] = None,
    jitter: Annotated[
        int | None,
        typer.Option(help="Pixels that the picture is moved by at random.", rich_help_panel=LOOK),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the jitter and the noise.", rich_help_panel=LOOK)
    ] = None,
    set_: Annotated[list[str] | None, options.setting("dream", "dream/default")] = None,
    zoom: Annotated[
        int | None,
        typer.Option(
            metavar="FRAMES", help="Make a film that sinks into the dream.", rich_help_panel=FILM
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help="Share by which a frame is nearer \\[default: 0.03].", rich_help_panel=FILM
        ),
    ] = None,
    degrees: Annotated[
        float | None, typer.Option(help="A frame is turned by.", rich_help_panel=FILM)
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames per second \\[default: 24].", rich_help_panel=FILM)
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Long side of the result in pixels \\[default: the picture's own].",
            rich_help_panel=SIZE,
        ),
    ] = None,
    octaves: Annotated[
        int | None, typer.Option(help="Sizes that it is dreamt at.", rich_help_panel=SIZE)
    ] = None,
    factor: Annotated[
        float | None, typer.Option(help="Ratio of neighbouring octaves.", rich_help_panel=SIZE)
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(help="Steps per octave, coarse to fine: 10 or 20,10,5.", rich_help_panel=SIZE),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            help="Side of the tiles that large pictures are cut into; 0: none.",
            rich_help_panel=SIZE,
        ),
    ] = None,
    backbone: options.Backbone = None,
    weights: options.Weights = None,
    pooling: options.Pooling = None,
    device: options.Device = None,
    precision: options.Precision = None,
    output: Annotated[
        Path | None,
        options.output(
            "The result: .png, .jpg, .tif, .webp or .bmp; of a film .mp4, .gif, .webp or "
            ".png \\[default: IMAGE+dream.png, or .webp]."
        ),
    ] = None,
    bit_depth: options.BitDepth = None,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Bring out what a network sees in a picture, or in noise.

    [bold]Examples:[/]

      styler dream photo.jpg

      styler dream photo.jpg --layers relu5_1 --steps 20 -o deep.jpg

      styler dream photo.jpg --guide flowers.jpg --mask sky.png

      styler dream photo.jpg --zoom 120 --degrees 1 -o zoom.mp4

      styler dream --size 768 --seed 7

    Ctrl-C saves the picture as it is. A picture carries its recipe:
    `styler show` prints it, `styler rerun` makes it again.
    """
    from styler.config import DreamConfig, parse_set, resolve
    from styler.dream_job import DreamJob
    from styler.presets import load_preset

    console.mode.quiet, console.mode.json = quiet, json
    flags: dict[str, tuple[str, Any]] = {
        "--layers": ("layers", layer_weights("--layers", layers)),
        "--lr": ("optimizer.lr", lr),
        "--jitter": ("ascent.jitter", jitter),
        "--tile": ("ascent.tile", tile),
        "--seed": ("runtime.seed", seed),
        "--rate": ("zoom.rate", rate),
        "--degrees": ("zoom.degrees", degrees),
        "--fps": ("zoom.fps", fps),
        "--size": ("schedule.size", size),
        "--octaves": ("schedule.octaves", octaves),
        "--factor": ("schedule.factor", factor),
        "--steps": ("schedule.steps", step_counts(steps)),
        "--backbone": ("backbone.name", backbone),
        "--weights": ("backbone.weights", str(weights) if weights else None),
        "--pooling": ("backbone.pooling", pooling),
        "--device": ("runtime.device", device),
        "--precision": ("runtime.precision", precision),
    }
    recipe = load_preset(preset, "dream")
    resolved = resolve(
        (f"preset {recipe.name}", recipe.values),
        ("--backbone", _other_network(recipe, backbone)),
        ("noise", _from_noise(recipe) if image is None else {}),
        ("--set", parse_set(set_ or [])),
        *((flag, {key: value}) for flag, (key, value) in flags.items() if value is not None),
        root=DreamConfig,
    )
    ending = "png" if zoom is None else "webp"
    job = DreamJob(
        image=image,
        guide=guide,
        mask=mask,
        output=output or Path(f"{image.stem if image else 'noise'}+dream.{ending}"),
        resolved=resolved,
        frames=zoom,
        overwrite=overwrite,
        bit_depth=bit_depth,
    )
    if dry_run:
        show_plan(job)
    elif zoom is not None:
        run_film(job)
    else:
        run_dream(job)


def _other_network(recipe: Preset, backbone: str | None) -> dict[str, Any]:
    """A preset's layers are those of its own network: with another they say nothing."""
    own = recipe.values.get("backbone", {}).get("name")
    return {"layers": {}} if own is not None and backbone not in (None, own) else {}


def _from_noise(recipe: Preset) -> dict[str, Any]:
    """Where there is nothing yet, more steps are needed, unless a preset knows better."""
    return {} if "steps" in recipe.values.get("schedule", {}) else {"schedule.steps": NOISE_STEPS}


def again(rerun: Rerun) -> None:
    """Make the picture of a recipe again."""
    from styler.dream_job import DreamJob

    job = DreamJob(
        image=rerun.sources.get("image"),
        guide=rerun.sources.get("guide"),
        mask=rerun.sources.get("mask"),
        output=rerun.output,
        resolved=rerun.resolved(),
        overwrite=rerun.overwrite,
        bit_depth=rerun.recipe.bit_depth,
    )
    run_dream(job, stop_after=rerun.stop_after, weights_sha256=rerun.weights_sha256)


def register(parent: typer.Typer) -> None:
    """Add the command of this module."""
    parent.command("dream")(command)
