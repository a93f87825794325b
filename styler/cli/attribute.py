"""`styler attribute`: which pixels a class or a unit answers to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styler.cli import console, options
from styler.cli.completion import choices, complete
from styler.cli.options import LOOK, NETWORK, SIZE
from styler.cli.running import load_network

if TYPE_CHECKING:
    from styler.attribution.methods import Method

ALL = "all"
"""In the place of a method."""

NAMES = (
    "gradient", "smoothgrad", "integrated", "guided", "deconv", "gradcam", "gradcam++", "occlusion",
)  # fmt: skip
"""Methods that the shell offers, known without importing torch."""

BASELINES = ("auto", "black", "grey", "white", "mean", "blur")
"""Baselines that the shell offers."""


@console.guarded
def command(
    image: Annotated[
        Path, typer.Argument(readable=False, metavar="IMAGE", help="The photograph to look at.")
    ],
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="CLASS|UNIT",
            help="goldfish, 1, relu4_1:37 or relu4_1:37@3,5 \\[default: the likeliest class].",
            rich_help_panel=LOOK,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="METHOD",
            help="gradient, smoothgrad, integrated, guided, deconv, gradcam, gradcam++, occlusion, "
            "several with commas, or all \\[default: gradcam].",
            rich_help_panel=LOOK,
            autocompletion=complete(*NAMES, ALL),
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            help="Of Grad-CAM \\[default: the last that has places].", rich_help_panel=LOOK
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="What integrated starts from, and occlusion shows: black, grey, white, mean or "
            "blur \\[default: black, and grey].",
            rich_help_panel=LOOK,
            autocompletion=complete(*BASELINES),
        ),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            help="Of smoothgrad, as a share of the range of values \\[default: 0.15].",
            rich_help_panel=LOOK,
        ),
    ] = None,
    seed: options.Seed = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Shorter side in pixels at which the network sees the photograph "
            "\\[default: its native side].",
            rich_help_panel=SIZE,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(help="Noisy copies of smoothgrad \\[default: 50].", rich_help_panel=SIZE),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Points of integrated \\[default: 50].", rich_help_panel=SIZE),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            help="Side of occlusion's square in pixels \\[default: 32].", rich_help_panel=SIZE
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            help="Pixels from one square to the next \\[default: 16].", rich_help_panel=SIZE
        ),
    ] = None,
    backbone: options.Backbone = None,
    weights: options.Weights = None,
    device: options.Device = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="auto, fp32 or bf16 \\[default: fp32].",
            rich_help_panel=NETWORK,
            autocompletion=choices("runtime.precision"),
        ),
    ] = None,
    output: Annotated[
        Path | None,
        options.output("Folder, or a picture's file for one method \\[default: here]."),
    ] = None,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    r"""Show which pixels a class or a unit of a network answers to.

    Each method gives IMAGE-METHOD.png for people and IMAGE-METHOD.npy, the map
    as float32, both of the photograph's size; several give a sheet, too.
    smoothgrad, integrated and occlusion: pip install 'styler\[attribution]'.

    [bold]Examples:[/]

      styler attribute dog.jpg --backbone squeezenet1_0

      styler attribute dog.jpg -t "golden retriever" -m all --backbone alexnet

      styler attribute dog.jpg -t relu5_1:37 -m guided,deconv --backbone vgg19

    A class is looked at as a whole; a unit where it is strongest, or at the
    @row,column named.
    """
    from styler.attribution.files import AttributeJob
    from styler.attribution.job import prepare
    from styler.attribution.settings import AttributeConfig
    from styler.cli.attribute_run import announce, run, show_plan
    from styler.config import resolve

    console.mode.quiet, console.mode.json = quiet, json
    flags: dict[str, tuple[str, Any]] = {
        "--size": ("side", size),
        "--layer": ("layer", layer),
        "--baseline": ("baseline", baseline),
        "--noise": ("noise", noise),
        "--samples": ("samples", samples),
        "--steps": ("steps", steps),
        "--window": ("window", window),
        "--stride": ("stride", stride),
        "--seed": ("runtime.seed", seed),
        "--backbone": ("backbone.name", backbone),
        "--weights": ("backbone.weights", str(weights) if weights else None),
        "--device": ("runtime.device", device),
        "--precision": ("runtime.precision", precision),
    }
    resolved = resolve(
        *((flag, {key: value}) for flag, (key, value) in flags.items() if value is not None),
        root=AttributeConfig,
    )
    job = AttributeJob(
        image=image,
        methods=_methods(method or ["gradcam"]),
        config=resolved.config,
        output=output,
        target=target,
        overwrite=overwrite,
    )
    prepared = prepare(job, lambda: load_network(resolved.config))
    announce(prepared)
    if dry_run:
        show_plan(prepared)
    else:
        run(prepared)


def _methods(texts: Sequence[str]) -> tuple[Method, ...]:
    """The methods that are meant, each once.

    Raises:
        ConfigError: one is unknown.
    """
    from styler.attribution.methods import METHODS
    from styler.errors import ConfigError, did_you_mean

    names = [name.strip().lower() for text in texts for name in text.split(",") if name.strip()]
    if ALL in names:
        return _possible()
    known = {str(method): method for method in METHODS}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, [*known, ALL])
            raise ConfigError(f"unknown method '{name}'", hint)
    if not names:
        raise ConfigError("no method is named", f"one of {', '.join(known)}, or {ALL}")
    return tuple(dict.fromkeys(known[name] for name in names))


def _possible() -> tuple[Method, ...]:
    """All methods for which everything needed is there."""
    from styler.attribution.methods import CAPTUM_METHODS, METHODS
    from styler.attribution.sampled import captum_attributions
    from styler.errors import ConfigError

    try:
        captum_attributions()
    except ConfigError:
        left_out = ", ".join(method for method in METHODS if method in CAPTUM_METHODS)
        console.note(f"without Captum: {left_out} left out; pip install 'styler[attribution]'")
        return tuple(method for method in METHODS if method not in CAPTUM_METHODS)
    return METHODS


def register(parent: typer.Typer) -> None:
    """Add the command of this module."""
    parent.command("attribute", no_args_is_help=True)(command)
