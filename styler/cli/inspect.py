"""`styler layers` and `styler doctor`: what a network and what this machine are made of."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from typing import TYPE_CHECKING, Annotated

import typer

from styler.cli import console
from styler.cli.completion import backbones
from styler.errors import BackboneError

if TYPE_CHECKING:
    from rich.table import Table

    from styler.features import LayerRow

PACKAGES = ("torch", "torchvision", "pillow", "numpy", "safetensors", "imagecodecs", "tifffile")


@console.guarded
def layers(
    backbone: Annotated[
        str,
        typer.Argument(
            metavar="BACKBONE",
            help="Such as vgg-lite, vgg16 or vgg19: see `styler weights list`.",
            autocompletion=backbones,
        ),
    ],
    size: Annotated[int, typer.Option(help="Side of the square input in pixels.")] = 224,
    json: Annotated[bool, typer.Option("--json", help="One JSON line per layer.")] = False,
) -> None:
    """Print what each layer of a network costs and sees; needs no weights.

    [bold]Examples:[/]

      styler layers vgg16

      styler layers vgg-lite --size 512 --json
    """
    from dataclasses import asdict

    from styler.features import get_backbone, summarise, totals

    rows = summarise(get_backbone(backbone), (size, size))
    if json:
        console.mode.json = True
        for row in rows:
            console.event("layer", **asdict(row))
        return
    console.table(_layer_table(rows))
    features = totals(row for row in rows if row.kind != "linear")
    console.say(
        f"features: {features.parameters:,} parameters, {features.macs / 1e9:.2f} G multiply-adds, "
        f"{features.bytes / 1e6:.1f} MB of outputs in float32"
    )
    everything = totals(rows)
    if everything.parameters != features.parameters:
        console.say(f"with the classifier: {everything.parameters:,} parameters")


def _layer_table(rows: list[LayerRow]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("layer", no_wrap=True)
    for heading in ("shape", "weights", "parameters", "M mult-adds", "MB", "field", "stride"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            "×".join(map(str, row.shape)),
            f"{row.weights:,}" if row.weights else "",
            f"{row.parameters:,}" if row.parameters else "",
            f"{row.macs / 1e6:,.1f}" if row.macs else "",
            f"{row.bytes / 1e6:.2f}",
            str(row.receptive_field or "all"),
            str(row.stride or ""),
        )
    return table


@console.guarded
def doctor() -> None:
    """Say what this machine has: device, precision, memory, weights, versions.

    [bold]Examples:[/]

      styler doctor
    """
    from styler import __version__
    from styler.features import weights_cache
    from styler.runtime import (
        device_name,
        free_memory,
        precision_name,
        resolve_device,
        resolve_precision,
    )

    device = resolve_device("auto")
    precision = resolve_precision("auto", device)
    trouble = None
    try:
        backbones = _backbones(device.type)
    except BackboneError as fault:
        trouble, backbones = fault, "see below"
    for name, value in (
        ("styler", __version__),
        ("python", f"{platform.python_version()} on {platform.platform()}"),
        ("device", f"{device} ({device_name(device)})"),
        ("precision", f"{precision_name(precision)} convolutions, fp32 losses"),
        ("memory", f"{free_memory(device) / 1e9:.1f} GB free"),
        ("backbones", backbones),
        ("cache", str(weights_cache())),
        *((package, _version(package)) for package in PACKAGES),
        ("torchvision works", _torchvision()),
    ):
        console.say(f"{name:<18}{value}")
    if trouble is not None:
        raise trouble


def _backbones(device_type: str) -> str:
    from styler.features import BACKBONES, choose_backbone, find_weights

    here = [spec.name for spec in BACKBONES.values() if find_weights(spec) is not None]
    chosen, _ = choose_backbone(device_type)
    return f"{', '.join(here)}; auto takes {chosen.name}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _torchvision() -> str:
    """Whether torchvision's build matches torch's; VGG networks do without it."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        return f"no: {error}; install a matching pair: pip install --upgrade torch torchvision"
    return "yes"


def register(parent: typer.Typer) -> None:
    """Add the commands of this module."""
    parent.command("layers", no_args_is_help=True)(layers)
    parent.command("doctor")(doctor)
