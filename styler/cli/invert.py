"""`styler invert` and `styler caricature`: a picture as layers of a network have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styler.cli import console, options
from styler.cli.options import LOOK, SIZE
from styler.cli.reference_run import run_reference, show_plan
from styler.errors import ImageError

if TYPE_CHECKING:
    from styler.cli.rerun import Rerun
    from styler.config import Resolved, VisualizeConfig
    from styler.reference_files import ReferenceKind

KEYS = {
    "cosine": "cosine",
    "parameter": "parameter.kind",
    "smoothness": "smoothness.weight",
    "seed": "runtime.seed",
    "size": "schedule.size",
    "steps": "schedule.steps",
    "lr": "optimizer.lr",
    "backbone": "backbone.name",
    "weights": "backbone.weights",
    "device": "runtime.device",
    "precision": "runtime.precision",
}
"""The settings that flags change."""

ImageArgument = Annotated[
    Path, typer.Argument(readable=False, metavar="IMAGE", help="The picture to start out from.")
]
LayerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        "-l",
        metavar="LAYER",
        help="Such as relu4_1 or relu1_1,relu3_1; may be repeated; see `styler layers` "
        "\\[default: one of each depth].",
        rich_help_panel=LOOK,
    ),
]
PresetOption = Annotated[str, options.preset("visualize")]
CosineOption = Annotated[
    float | None,
    typer.Option(
        help="Power of the cosine: more keeps nearer to IMAGE \\[default: 4].", rich_help_panel=LOOK
    ),
]
SizeOption = Annotated[
    int | None,
    typer.Option(
        help="Long side of the pictures in pixels \\[default: 224].", rich_help_panel=SIZE
    ),
]
StepsOption = Annotated[int | None, typer.Option(help="Steps of each layer.", rich_help_panel=SIZE)]
SetOption = Annotated[list[str] | None, options.setting("visualize", "inversion --all")]
OutputOption = Annotated[
    Path | None,
    options.output("Folder, or a picture's file for one layer \\[default: here]."),
]


@console.guarded
def invert(
    image: ImageArgument,
    layer: LayerOption = None,
    preset: PresetOption = "inversion",
    parameter: options.Parameter = None,
    smoothness: options.Smoothness = None,
    set_: SetOption = None,
    seed: options.Seed = None,
    size: SizeOption = None,
    steps: StepsOption = None,
    lr: options.LearningRate = None,
    backbone: options.Backbone = None,
    weights: options.Weights = None,
    device: options.Device = None,
    precision: options.Precision = None,
    output: OutputOption = None,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Show what is left of a picture at layers of a network.

    From noise, a picture is sought whose features are those of IMAGE. First layers give it back,
    deep ones keep what there is and where, and lose colours and details.

    [bold]Examples:[/]

      styler invert photo.jpg

      styler invert photo.jpg --layer relu1_1 --layer relu3_1 --layer relu5_1 -o inverted

      styler invert photo.jpg --layer relu4_2 --backbone vgg19 -o deep.png

    Each layer gives a picture, and a sheet shows those of the run. Pictures that are there
    already, made with the same settings, are not made again: an interrupted run goes on.
    """
    given = locals()
    console.mode.quiet, console.mode.json = quiet, json
    resolved = _resolved(preset, set_, given)
    _start("invert", image, layer, output, resolved, overwrite=overwrite, dry_run=dry_run)


@console.guarded
def caricature(
    image: ImageArgument,
    layer: LayerOption = None,
    preset: PresetOption = "caricature",
    cosine: CosineOption = None,
    parameter: options.Parameter = None,
    smoothness: options.Smoothness = None,
    set_: SetOption = None,
    seed: options.Seed = None,
    size: SizeOption = None,
    steps: StepsOption = None,
    lr: options.LearningRate = None,
    backbone: options.Backbone = None,
    weights: options.Weights = None,
    device: options.Device = None,
    precision: options.Precision = None,
    output: OutputOption = None,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Exaggerate what layers of a network see in a picture.

    From noise, a picture is sought whose features go as far as they can where those of IMAGE
    point: what a layer cares for grows, what it overlooks is gone.

    [bold]Examples:[/]

      styler caricature photo.jpg

      styler caricature photo.jpg --layer relu3_1,relu4_1 --cosine 4 -o drawn

      styler caricature photo.jpg --layer features.10 --backbone squeezenet1_0 -o drawn.png

    Each layer gives a picture, and a sheet shows those of the run. Pictures that are there
    already, made with the same settings, are not made again: an interrupted run goes on.
    """
    given = locals()
    console.mode.quiet, console.mode.json = quiet, json
    resolved = _resolved(preset, set_, given)
    _start("caricature", image, layer, output, resolved, overwrite=overwrite, dry_run=dry_run)


def _resolved(
    preset: str, pairs: Sequence[str] | None, given: Mapping[str, Any]
) -> Resolved[VisualizeConfig]:
    """All settings: the preset's, those of ``--set``, and those of flags among what was given."""
    from styler.config import VisualizeConfig, parse_set, resolve
    from styler.presets import load_preset

    recipe = load_preset(preset, "visualize")
    flags = {flag: given[flag] for flag in KEYS if given.get(flag) is not None}
    if "weights" in flags:
        flags["weights"] = str(flags["weights"])
    return resolve(
        (f"preset {recipe.name}", recipe.values),
        ("--set", parse_set(pairs or [])),
        *((f"--{flag}", {KEYS[flag]: value}) for flag, value in flags.items()),
        root=VisualizeConfig,
    )


def _start(
    kind: ReferenceKind,
    image: Path,
    layers: Sequence[str] | None,
    output: Path | None,
    resolved: Resolved[VisualizeConfig],
    *,
    overwrite: bool,
    dry_run: bool,
) -> None:
    from styler.reference_files import ReferenceJob

    names = [name.strip() for text in layers or [] for name in text.split(",")]
    job = ReferenceJob(
        kind=kind,
        image=image,
        output=output or Path(),
        resolved=resolved,
        layers=tuple(name for name in names if name),
        overwrite=overwrite,
    )
    if dry_run:
        show_plan(job)
    else:
        run_reference(job)


def again(rerun: Rerun) -> None:
    """Make the picture of a layer, or a sheet, again."""
    from styler.images import check_output
    from styler.reference_files import ReferenceJob, layers_of
    from styler.report.provenance import EDITED

    kind, subject = rerun.recipe.kind, rerun.recipe.subject
    if kind not in ("invert", "caricature") or subject is None:
        raise ImageError(f"the recipe in {rerun.picture} names no layer", EDITED)
    check_output(rerun.output, overwrite=rerun.overwrite)  # a folder would not do
    layers, is_sheet = layers_of(subject)
    job = ReferenceJob(
        kind=kind,
        image=rerun.source("image"),
        output=rerun.output,
        resolved=rerun.resolved(),
        layers=layers,
        overwrite=rerun.overwrite,
        resume=False,
        sheet_only=is_sheet,
    )
    run_reference(job, stop_after=rerun.stop_after, weights_sha256=rerun.weights_sha256)


def register(parent: typer.Typer) -> None:
    """Add the commands of this module."""
    parent.command("invert", no_args_is_help=True)(invert)
    parent.command("caricature", no_args_is_help=True)(caricature)
