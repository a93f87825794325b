"""`styler style`: a picture's style, kept in a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styler.cli import console, options
from styler.cli import transfer_options as shared
from styler.cli.completion import choices
from styler.cli.options import LOOK, NETWORK, OUTPUT, SIZE
from styler.cli.values import layer_weights

if TYPE_CHECKING:
    from styler.config import TransferConfig
    from styler.features import Extractor
    from styler.features.download import Progress
    from styler.styles.file import StyleFile, StyleRecord

app = typer.Typer(no_args_is_help=True, help="Keep the style of a picture in a file.")


@app.command(no_args_is_help=True)
@console.guarded
def save(
    image: Annotated[
        Path, typer.Argument(readable=False, metavar="IMAGE", help="The style picture.")
    ],
    preset: Annotated[str, options.preset("transfer")] = "default",
    style_layers: Annotated[
        str | None,
        typer.Option(
            help="Such as relu1_1,relu3_1; weights do not matter \\[default: the preset's].",
            rich_help_panel=LOOK,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Long side of the largest size at which it is measured, in pixels "
            "\\[default: 1448, or the picture's own].",
            rich_help_panel=SIZE,
        ),
    ] = None,
    backbone: shared.Backbone = None,
    weights: options.Weights = None,
    pooling: options.Pooling = None,
    device: options.Device = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="auto, fp32 or bf16 \\[default: fp32].",
            rich_help_panel=NETWORK,
            autocompletion=choices("runtime.precision"),
        ),
    ] = None,
    set_: Annotated[list[str] | None, options.setting("transfer", "transfer/default")] = None,
    output: Annotated[
        Path | None, options.output("The file, ending in .style \\[default: IMAGE.style].")
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Measure the style of a picture once and keep it.

    The file takes the picture's place in `styler transfer`, with the same network: statistics at
    sizes from 64 pixels to the picture's own, and no way back to the picture.

    [bold]Examples:[/]

      styler style save starry_night.jpg -o starry.style

      styler style save waves.jpg --preset gatys2015
    """
    from styler.config import parse_set, resolve
    from styler.presets import load_preset
    from styler.styles.choice import STYLE_SUFFIX
    from styler.styles.save import LARGEST_SIDE, StyleJob, save_style

    console.mode.quiet, console.mode.json = quiet, json
    flags: dict[str, tuple[str, Any]] = {
        "--style-layers": ("style.layers", layer_weights("--style-layers", style_layers)),
        "--backbone": ("backbone.name", backbone),
        "--weights": ("backbone.weights", str(weights) if weights else None),
        "--pooling": ("backbone.pooling", pooling),
        "--device": ("runtime.device", device),
        "--precision": ("runtime.precision", precision),
    }
    recipe = load_preset(preset, "transfer")
    resolved = resolve(
        ("styler style save", {"runtime.precision": "fp32"}),  # it is done once
        (f"preset {recipe.name}", recipe.values),
        ("--set", parse_set(set_ or [])),
        *((flag, {key: value}) for flag, (key, value) in flags.items() if value is not None),
    )
    job = StyleJob(
        image=image,
        output=output or Path(f"{image.stem}{STYLE_SUFFIX}"),
        resolved=resolved,
        largest=size or LARGEST_SIDE,
        overwrite=overwrite,
    )
    with console.downloads() as progress:
        record = save_style(job, lambda config: _load(config, progress), progress=_show)
    console.event("done", output=str(job.output), **_fields(record))
    console.result(job.output)


def _load(config: TransferConfig, progress: Progress) -> Extractor:
    from styler.cli.running import announce_network
    from styler.network import extractor_for

    extractor = extractor_for(config, progress)
    announce_network(extractor, config.backbone.name)
    return extractor


def _show(number: int, count: int, size: tuple[int, int]) -> None:
    """Say which size is being measured."""
    console.note(f"size {number}/{count}  {size[1]}×{size[0]}")
    console.event("scale", number=number, count=count, size=size)


@app.command(no_args_is_help=True)
@console.guarded
def info(
    file: Annotated[Path, typer.Argument(readable=False, metavar="FILE", help="A saved style.")],
    thumbnail: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            help="Write the small picture in the file to this one.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    json: Annotated[bool, typer.Option("--json", help="What the file says, as JSON.")] = False,
) -> None:
    """Print what a saved style is of, and which network it is for.

    [bold]Examples:[/]

      styler style info starry.style

      styler style info starry.style --thumbnail starry.png
    """
    import json as encoder

    from styler.styles.file import read_style

    style = read_style(file)
    if json:
        console.say(encoder.dumps(_fields(style.record)))
    else:
        for line in _lines(style):
            console.say(line)
    if thumbnail is not None:
        _write_thumbnail(style, thumbnail, overwrite)


def _write_thumbnail(style: StyleFile, path: Path, overwrite: bool) -> None:
    from styler.images import write_picture

    pixels = style.statistics.thumbnail.permute(2, 0, 1)[None].float() / 255
    write_picture(path, pixels, overwrite=overwrite)
    console.note(f"the small picture is in {path}")


def _fields(record: StyleRecord) -> dict[str, Any]:
    return dataclasses.asdict(record)


def _lines(style: StyleFile) -> list[str]:
    record = style.record
    layers = ", ".join(f"{name} ({channels})" for name, channels in record.layers.items())
    height, width = record.size
    return [
        f"style     {record.name}, {width}×{height}, sha256 {record.picture_sha256[:16]}",
        f"backbone  {record.backbone}, weights {record.weights_sha256[:16]}, "
        f"{record.pooling} pooling, {record.precision}",
        f"layers    {layers}",
        f"sizes     {', '.join(str(max(scale)) for scale in record.scales)}",
        f"made      {record.created} by styler {record.styler}",
        f"file      {style.path}, sha256 {style.sha256[:16]}",
    ]


def register(parent: typer.Typer) -> None:
    """Add the commands of this module."""
    parent.add_typer(app, name="style")
