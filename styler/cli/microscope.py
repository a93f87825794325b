"""`styler microscope`: a site that shows what the units of a network see."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from styler.cli import console, options
from styler.cli.completion import backbones, complete
from styler.cli.options import LOOK, NETWORK, OUTPUT, SIZE
from styler.cli.running import load_network
from styler.errors import ExitCode

if TYPE_CHECKING:
    from styler.config import Resolved, VisualizeConfig
    from styler.patches.index import FieldChoice

PHOTOGRAPHS = "Photographs"


@console.guarded
def command(
    backbone: Annotated[
        str,
        typer.Argument(
            metavar="BACKBONE",
            help="A registered network, torchvision:NAME, timm:NAME or package.module:factory; "
            "see `styler weights list`.",
            autocompletion=backbones,
        ),
    ],
    layers: Annotated[
        str | None,
        typer.Option(
            help="Names with commas between them \\[default: the ends of its main stages].",
            rich_help_panel=LOOK,
        ),
    ] = None,
    units: Annotated[
        str, typer.Option(help="Of each layer: all, or such as 0-15,37.", rich_help_panel=LOOK)
    ] = "0-15",
    images: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            help="Folder of photographs; without one, there are synthetic pictures alone.",
            rich_help_panel=PHOTOGRAPHS,
        ),
    ] = None,
    k: Annotated[
        int, typer.Option("-k", help="Patches of a unit.", rich_help_panel=PHOTOGRAPHS)
    ] = 9,
    field: Annotated[
        str,
        typer.Option(
            help="What patches show: auto, theoretical, effective or full.",
            rich_help_panel=PHOTOGRAPHS,
            autocompletion=complete("auto", "theoretical", "effective", "full"),
        ),
    ] = "auto",
    inside: Annotated[
        bool,
        typer.Option(
            "--inside",
            help="Only patches that lie in their photograph wholly, where units see at most half "
            "of it.",
            rich_help_panel=PHOTOGRAPHS,
        ),
    ] = False,
    projections: Annotated[
        int,
        typer.Option(
            help="Of how many of a unit's patches a deconvnet's projection is shown.",
            rich_help_panel=PHOTOGRAPHS,
        ),
    ] = 1,
    no_synthetic: Annotated[
        bool,
        typer.Option(
            "--no-synthetic", help="No synthetic pictures: photographs alone.", rich_help_panel=LOOK
        ),
    ] = False,
    preset: Annotated[str, options.preset("visualize")] = "default",
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of synthetic pictures in pixels \\[default: the recipe's, or 128].",
            rich_help_panel=SIZE,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Steps of a synthetic picture \\[default: the recipe's, or 96].",
            rich_help_panel=SIZE,
        ),
    ] = None,
    seed: options.Seed = None,
    weights: options.Weights = None,
    device: options.Device = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="auto, fp32 or bf16.",
            rich_help_panel=NETWORK,
            autocompletion=complete("auto", "fp32", "bf16"),
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, options.setting("visualize", "visualize/default --all")
    ] = None,
    output: Annotated[
        Path | None, options.output("Folder of the site \\[default: microscope-BACKBONE].")
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Make anew what is there.", rich_help_panel=OUTPUT),
    ] = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Put a network under the microscope: a site with a page for each layer.

    Of each unit it shows a picture made to excite it, the photographs' patches that excite it
    most, with their places, what in them does so, and how its activations are distributed. The
    site opens from the disk, in any browser.

    [bold]Examples:[/]

      styler microscope vgg-lite --images photos/

      styler microscope vgg19 --layers relu3_3,relu4_3 --units 0-63 --images photos/ -o site

      styler microscope squeezenet1_0 --layers logits --units 1,207,954

    An interrupted run goes on where it was: run the same command again.
    """
    from styler.cli.microscope_run import MicroscopeRun
    from styler.microscope.plan import Plan, chosen_units, small_and_fast

    console.mode.quiet, console.mode.json = quiet, json
    flags: dict[str, tuple[str, Any]] = {
        "BACKBONE": ("backbone.name", backbone),
        "--size": ("schedule.size", size),
        "--steps": ("schedule.steps", steps),
        "--seed": ("runtime.seed", seed),
        "--weights": ("backbone.weights", str(weights) if weights else None),
        "--device": ("runtime.device", device),
        "--precision": ("runtime.precision", precision),
    }
    given = [(flag, {key: value}) for flag, (key, value) in flags.items() if value is not None]
    resolved = _resolve(preset, set_ or [], given, {})
    extractor = load_network(resolved.config, resolved.config.backbone.name)
    chosen = chosen_units(extractor, [name for name in (layers or "").split(",") if name], units)
    resolved = _resolve(preset, set_ or [], given, small_and_fast(extractor, list(chosen)))
    plan = Plan(
        output=output or Path(f"microscope-{re.sub(r'[^A-Za-z0-9._-]+', '-', extractor.name)}"),
        units=chosen,
        resolved=resolved,
        images=images,
        k=k,
        projections=projections,
        field=cast("FieldChoice", field),
        inside=inside,
        synthetic=not no_synthetic,
        overwrite=overwrite,
    )
    run = MicroscopeRun(plan, extractor)
    if dry_run:
        run.plan_only()
    elif not run.go():
        raise typer.Exit(int(ExitCode.INTERRUPTED))


def _resolve(
    preset: str, pairs: list[str], given: list[tuple[str, dict[str, Any]]], first: dict[str, Any]
) -> Resolved[VisualizeConfig]:
    """All settings: those of small pictures, the recipe's, and what was asked for."""
    from styler.config import VisualizeConfig, parse_set, resolve
    from styler.presets import load_preset

    recipe = load_preset(preset, "visualize")
    return resolve(
        ("microscope", first),
        (f"preset {recipe.name}", recipe.values),
        ("--set", parse_set(pairs)),
        *given,
        root=VisualizeConfig,
    )


def register(parent: typer.Typer) -> None:
    """Add the command of this module."""
    parent.command("microscope", no_args_is_help=True)(command)
