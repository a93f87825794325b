"""`styler patches`: which photographs excite the units of a network most, and where."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from styler.cli import console, options
from styler.cli.completion import complete
from styler.cli.options import LOOK, OUTPUT, SIZE
from styler.cli.running import load_network

if TYPE_CHECKING:
    from styler.features import Extractor
    from styler.patches.index import FieldChoice

FIELDS = ("auto", "theoretical", "effective", "full")


@console.guarded
def command(
    images: Annotated[
        Path,
        typer.Argument(readable=False, metavar="IMAGES", help="A folder of photographs."),
    ],
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layers",
            "--layer",
            "-l",
            metavar="LAYER,…",
            help="Such as relu3_3,relu4_3; see `styler layers` \\[default: one of each block of a "
            "VGG network].",
            rich_help_panel=LOOK,
        ),
    ] = None,
    units: Annotated[
        str,
        typer.Option(
            metavar="UNITS", help="Of each layer: 0-15, or 3,7,12, or all.", rich_help_panel=LOOK
        ),
    ] = "all",
    k: Annotated[int, typer.Option("-k", help="Patches of a unit.", rich_help_panel=LOOK)] = 9,
    per_image: Annotated[
        int,
        typer.Option(
            "--per-image",
            help="Patches of one photograph among them; they share at most half of what the unit "
            "sees.",
            rich_help_panel=LOOK,
        ),
    ] = 1,
    inside: Annotated[
        bool,
        typer.Option(
            "--inside",
            help="Only places whose whole field lies in the photograph, in layers whose units see "
            "at most half of it: no padding.",
            rich_help_panel=LOOK,
        ),
    ] = False,
    field: Annotated[
        str,
        typer.Option(
            help="What a patch shows: theoretical, all that a unit can see; effective, what most "
            "of its gradient comes from; full, the photograph; auto, the first where that is known "
            "and no larger than the photograph, else the second.",
            rich_help_panel=LOOK,
            autocompletion=complete(*FIELDS),
        ),
    ] = "auto",
    size: Annotated[
        int | None,
        typer.Option(
            help="Shorter side in pixels at which photographs are shown to the network \\[default: "
            "the network's own].",
            rich_help_panel=SIZE,
        ),
    ] = None,
    patch_size: Annotated[
        int,
        typer.Option(
            "--patch-size",
            help="Longest side of a patch's file in pixels; 0 leaves it as in the photograph.",
            rich_help_panel=SIZE,
        ),
    ] = 128,
    backbone: options.Backbone = None,
    weights: options.Weights = None,
    device: options.Device = None,
    precision: options.Precision = None,
    output: Annotated[Path | None, options.output("Folder \\[default: patches-BACKBONE].")] = None,
    no_patches: Annotated[
        bool,
        typer.Option(
            "--no-patches", help="Only sheets and the index, no patches.", rich_help_panel=OUTPUT
        ),
    ] = False,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Find the patches of photographs that excite units of a network most.

    Each photograph passes through the network once, for all layers. Each layer gets sheets of its
    units, nine patches each, and all is in index.json, too: values, places, boxes, histograms.

    [bold]Examples:[/]

      styler patches photos/

      styler patches photos/ --backbone vgg19 --layers relu1_2,relu3_3,relu5_3 -o seen

      styler patches photos/ --backbone squeezenet1_0 --layers logits --units 0-15 --field full

    What was looked at is kept: an interrupted run goes on where it was, and when photographs were
    added to the folder, only those are looked at.
    """
    from styler.cli.patches_run import PatchesJob, PatchesRun
    from styler.patches.choice import parse_numbers, usual_layers
    from styler.patches.scan import Wanted
    from styler.patches.sources import find_sources, require

    console.mode.quiet, console.mode.json = quiet, json
    require(patch_size, 0, "the size of patches")
    channels = parse_numbers(units)
    names = [name.strip() for text in layers or [] for name in text.split(",")]
    Wanted(layers=(), units=channels, k=k, per_image=per_image, side=size)  # before the network
    extractor = _load(
        {
            "--backbone": ("backbone.name", backbone),
            "--weights": ("backbone.weights", str(weights) if weights else None),
            "--device": ("runtime.device", device),
            "--precision": ("runtime.precision", precision),
        }
    )
    out = output or Path(f"patches-{re.sub(r'[^A-Za-z0-9._-]+', '-', extractor.name)}")
    run = PatchesRun(
        PatchesJob(
            wanted=Wanted(
                layers=[name for name in names if name] or usual_layers(extractor),
                units=channels,
                k=k,
                per_image=per_image,
                side=size,
                inside=inside,
            ),
            sources=find_sources(images, out),
            out=out,
            field=cast("FieldChoice", field),
            most=patch_size or None,
            patches=not no_patches,
            overwrite=overwrite,
        ),
        extractor,
    )
    if dry_run:
        run.plan()
    else:
        run.go()


def _load(flags: dict[str, tuple[str, Any]]) -> Extractor:
    """The network, set as a few flags say."""
    from styler.config import VisualizeConfig, resolve

    # Network and machine are set as for pictures of units: with the pooling it was trained with.
    resolved = resolve(
        *((flag, {key: value}) for flag, (key, value) in flags.items() if value is not None),
        root=VisualizeConfig,
    )
    return load_network(resolved.config)


def register(parent: typer.Typer) -> None:
    """Add the command of this module."""
    parent.command("patches", no_args_is_help=True)(command)
