"""Options that several commands share, with one wording each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styler.cli.completion import DEVICES, backbones, choices, complete, presets, settings

if TYPE_CHECKING:
    from styler.config import Kind

LOOK = "Look"
REGIONS = "Regions"
SIZE = "Size and effort"
NETWORK = "Network and machine"
OUTPUT = "Output"


def preset(kind: Kind) -> Any:
    """``--preset`` of a kind of work."""
    return typer.Option(
        "--preset",
        "-p",
        help="A recipe's name, or a TOML file: see `styler presets list`.",
        rich_help_panel=LOOK,
        autocompletion=presets(kind),
    )


def setting(kind: Kind, shown: str) -> Any:
    """``--set`` of a kind of work.

    Args:
        kind: whose settings are completed.
        shown: the preset that shows them all.
    """
    return typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help=f"Any setting of `styler presets show {shown}`; may be repeated.",
        rich_help_panel=LOOK,
        autocompletion=settings(kind),
    )


def output(text: str) -> Any:
    """``--output``, with what it means."""
    return typer.Option("--output", "-o", readable=False, help=text, rich_help_panel=OUTPUT)


Parameter = Annotated[
    str | None,
    typer.Option(
        help="pixels, fourier or maco.",
        rich_help_panel=LOOK,
        autocompletion=choices("parameter.kind", "visualize"),
    ),
]
Smoothness = Annotated[
    float | None, typer.Option(help="Weight of total variation.", rich_help_panel=LOOK)
]
Seed = Annotated[int | None, typer.Option(help="Of all randomness.", rich_help_panel=LOOK)]
LearningRate = Annotated[
    float | None, typer.Option(help="Step size of the optimiser.", rich_help_panel=SIZE)
]
Backbone = Annotated[
    str | None,
    typer.Option(
        help="A registered network, torchvision:NAME, timm:NAME or package.module:factory; "
        "see `styler weights list`.",
        rich_help_panel=NETWORK,
        autocompletion=backbones,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(readable=False, help="A weights file for the backbone.", rich_help_panel=NETWORK),
]
Pooling = Annotated[
    str | None,
    typer.Option(
        help="max, average, l2 or native.",
        rich_help_panel=NETWORK,
        autocompletion=choices("backbone.pooling"),
    ),
]
Padding = Annotated[
    str | None,
    typer.Option(
        help="What convolutions see beyond the border: zeros, reflect, replicate or circular.",
        rich_help_panel=NETWORK,
        autocompletion=choices("backbone.padding"),
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="auto, cpu, cuda, cuda:1 or mps.",
        rich_help_panel=NETWORK,
        autocompletion=complete(*DEVICES),
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="auto, fp32 or bf16.",
        rich_help_panel=NETWORK,
        autocompletion=choices("runtime.precision"),
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        help="Of a picture, such as 4GiB; larger ones are worked out in tiles \\[default: what is "
        "free].",
        rich_help_panel=NETWORK,
    ),
]
BitDepth = Annotated[
    int | None, typer.Option(help="8 or 16 \\[default: the picture's].", rich_help_panel=OUTPUT)
]
Timelapse = Annotated[
    Path | None,
    typer.Option(
        readable=False,
        help="A film of how the picture came about: .mp4, .gif, .webp or .png.",
        rich_help_panel=OUTPUT,
    ),
]
Explain = Annotated[
    bool,
    typer.Option(
        "--explain", help="Show where the loss comes from in the end.", rich_help_panel=OUTPUT
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there.", rich_help_panel=OUTPUT)
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", "--plan", "-n", help="Show the plan and an estimate.", rich_help_panel=OUTPUT
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Only errors and the result's path.", rich_help_panel=OUTPUT
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Events as JSON lines.", rich_help_panel=OUTPUT)]
