"""The options of a style transfer, for one picture and for many, and the settings they make."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styler.cli.completion import choices, painters, starts
from styler.cli.options import LOOK, NETWORK, SIZE
from styler.cli.values import byte_count, layer_weights, step_counts
from styler.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from styler.config import Resolved, TransferConfig

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
        help="gram, moments or wasserstein.",
        rich_help_panel=LOOK,
        autocompletion=choices("style.loss"),
    ),
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
        help="auto, vgg-lite, vgg19, vgg16 or vgg19-caffe; see `styler weights list`.",
        rich_help_panel=NETWORK,
        autocompletion=painters,
    ),
]

KEYS = {
    "strength": "strength",
    "style_scale": "style.scale",
    "style_loss": "style.loss",
    "style_weight": "style.weight",
    "style_layers": "style.layers",
    "content_weight": "content.weight",
    "content_layers": "content.layers",
    "smoothness": "smoothness.weight",
    "seed": "runtime.seed",
    "size": "schedule.size",
    "steps": "schedule.steps",
    "optimizer": "optimizer.name",
    "lr": "optimizer.lr",
    "backbone": "backbone.name",
    "weights": "backbone.weights",
    "pooling": "backbone.pooling",
    "device": "runtime.device",
    "precision": "runtime.precision",
    "max_memory": "runtime.max_memory",
}
"""The settings that flags change."""


def settings(
    preset: str, pairs: Sequence[str] | None, init: str | None, given: Mapping[str, Any]
) -> Resolved[TransferConfig]:
    """All settings: the preset's, those of ``--set``, and those of flags.

    Args:
        preset: its name or file.
        pairs: of ``--set``.
        init: what ``--init`` said.
        given: values by the names of flags, with underscores, among others; None was not given.
    """
    from styler.config import parse_set, resolve
    from styler.presets import load_preset

    values = {name: given[name] for name in KEYS if given[name] is not None}
    readers: dict[str, Callable[[Any], Any]] = {
        "style_layers": lambda text: layer_weights("--style-layers", text),
        "content_layers": lambda text: layer_weights("--content-layers", text),
        "steps": step_counts,
        "max_memory": lambda text: byte_count("--max-memory", text),
        "weights": str,
    }
    recipe = load_preset(preset, "transfer")
    flags = [
        (f"--{name.replace('_', '-')}", {KEYS[name]: readers.get(name, lambda v: v)(value)})
        for name, value in values.items()
    ]
    return resolve(
        (f"preset {recipe.name}", recipe.values),
        ("--set", parse_set(pairs or [])),
        *flags,
        ("--init", start(init)),
    )


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
