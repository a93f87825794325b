"""The options of a style transfer, for one picture and for many, and the settings they make."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styler.cli.completion import choices, painters, starts
from styler.cli.options import LOOK, NETWORK, REGIONS, SIZE
from styler.cli.values import byte_count, layer_weights, step_counts
from styler.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from styler.config import Kind, Resolved, TransferConfig


def _painters(incomplete: str) -> Iterable[str]:
    """Names of networks, also after others and a comma."""
    before, comma, last = incomplete.rpartition(",")
    taken = {name.strip() for name in before.split(",")} | ({"auto"} if comma else set())
    return [f"{before}{comma}{name}" for name in painters(last) if name not in taken]


Strength = Annotated[
    float | None,
    typer.Option(
        help="0 keeps the content, 1 takes only the style \\[default: 0.5].", rich_help_panel=LOOK
    ),
]
StyleScale = Annotated[
    float | None,
    typer.Option(help="Size of the strokes: 2 is twice as large.", rich_help_panel=LOOK),
]
StyleLoss = Annotated[
    str | None,
    typer.Option(
        help="gram, moments, w2, swd, histogram, mmd, mmd-gaussian, nn or remd.",
        rich_help_panel=LOOK,
        autocompletion=choices("style.loss"),
    ),
]
ContentLoss = Annotated[
    str | None,
    typer.Option(
        help="mse, self-similarity or laplacian.",
        rich_help_panel=LOOK,
        autocompletion=choices("content.loss"),
    ),
]
Color = Annotated[
    str | None,
    typer.Option(
        help="Whose colours: style, content, luminance, histogram, pca, match or match:IMAGE.",
        rich_help_panel=LOOK,
        autocompletion=choices("color.mode"),
    ),
]
ContentMask = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="Where each style goes: white in a mask for each style, in their order, or one map "
        "of colours.",
        rich_help_panel=REGIONS,
    ),
]
StyleMask = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="What of each style counts: a mask for each region, or maps of the same colours; "
        "none for all of it.",
        rich_help_panel=REGIONS,
    ),
]
Protect = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="A mask: white stays as it is.", rich_help_panel=REGIONS),
]
ContentWeight = Annotated[float | None, typer.Option(help="Alpha of J(G).", rich_help_panel=LOOK)]
StyleWeight = Annotated[float | None, typer.Option(help="Beta of J(G).", rich_help_panel=LOOK)]
ContentLayers = Annotated[
    str | None,
    typer.Option(help="Such as relu4_2 or relu3_1=1,relu4_2=.5.", rich_help_panel=LOOK),
]
StyleLayers = Annotated[
    str | None, typer.Option(help="Such as relu1_1=1,relu3_1=.5.", rich_help_panel=LOOK)
]
Init = Annotated[
    str | None,
    typer.Option(
        help="Start from content, noise, uniform, style or a picture's file.",
        rich_help_panel=LOOK,
        autocompletion=starts,
    ),
]
Seed = Annotated[int | None, typer.Option(help="Of the noise to start from.", rich_help_panel=LOOK)]
Size = Annotated[
    int | None,
    typer.Option(
        help="Long side of the result in pixels \\[default: the content's own].",
        rich_help_panel=SIZE,
    ),
]
Steps = Annotated[
    str | None,
    typer.Option(help="Steps per scale, coarse to fine: 100 or 150,120,80.", rich_help_panel=SIZE),
]
Optimizer = Annotated[
    str | None,
    typer.Option(
        help="adam, nadam, descent or lbfgs.",
        rich_help_panel=SIZE,
        autocompletion=choices("optimizer.name"),
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        help="auto, vgg-lite, vgg19, vgg16 or vgg19-caffe, or several of them, comma-separated; "
        "see `styler weights list`.",
        rich_help_panel=NETWORK,
        autocompletion=_painters,
    ),
]

KEYS = {
    "strength": "strength",
    "style_scale": "style.scale",
    "style_loss": "style.loss",
    "style_weight": "style.weight",
    "style_layers": "style.layers",
    "content_loss": "content.loss",
    "content_weight": "content.weight",
    "content_layers": "content.layers",
    "color": "color",
    "content_mask": "regions.content_masks",
    "style_mask": "regions.style_masks",
    "protect": "regions.protect",
    "smoothness": "smoothness.weight",
    "seed": "runtime.seed",
    "size": "schedule.size",
    "steps": "schedule.steps",
    "optimizer": "optimizer.name",
    "lr": "optimizer.lr",
    "backbone": "backbone.name",
    "weights": "backbone.weights",
    "pooling": "backbone.pooling",
    "padding": "backbone.padding",
    "device": "runtime.device",
    "precision": "runtime.precision",
    "max_memory": "runtime.max_memory",
}
"""The settings that flags change."""


def settings(
    preset: str,
    pairs: Sequence[str] | None,
    init: str | None,
    given: Mapping[str, Any],
    *,
    kind: Kind = "transfer",
    more: Mapping[str, dict[str, Any]] | None = None,
) -> Resolved[TransferConfig]:
    """All settings: the preset's, those of ``--set``, and those of flags.

    Args:
        preset: its name or file.
        pairs: of ``--set``.
        init: what ``--init`` said.
        given: values by the names of flags, with underscores, among others; None was not given.
        kind: of the preset.
        more: by the name of a flag, settings that it stands for.
    """
    from styler.config import parse_set, resolve
    from styler.presets import load_preset

    values = {name: given[name] for name in KEYS if given.get(name) is not None}
    readers: dict[str, Callable[[Any], Any]] = {
        "style_layers": lambda text: layer_weights("--style-layers", text),
        "content_layers": lambda text: layer_weights("--content-layers", text),
        "steps": step_counts,
        "max_memory": lambda text: byte_count("--max-memory", text),
        "weights": str,
        "color": color,
    }
    recipe = load_preset(preset, kind)
    flags = [
        (f"--{name.replace('_', '-')}", {KEYS[name]: readers.get(name, lambda v: v)(value)})
        for name, value in values.items()
    ]
    return resolve(
        (f"preset {recipe.name}", recipe.values),
        ("--set", parse_set(pairs or [])),
        *flags,
        ("--init", start(init)),
        *(more or {}).items(),
    )


def color(text: str) -> dict[str, str]:
    """What ``--color`` means: a mode, and the picture of ``match:IMAGE``.

    Raises:
        ConfigError: a picture is named where none belongs, or is missing.

    Example:
        >>> color("match:sunset.jpg")
        {'mode': 'match', 'image': 'sunset.jpg'}
    """
    mode, sign, image = text.partition(":")
    if sign and (mode != "match" or not image):
        raise ConfigError(f"--color {text} names no picture to match", "--color match:sunset.jpg")
    return {"mode": mode, "image": image} if sign else {"mode": mode}


def start(text: str | None) -> dict[str, str]:
    """What ``--init`` means: a kind of start, or a picture's file.

    Raises:
        ConfigError: it is neither; the closest kind is offered.
    """
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
