"""`styler show` and `styler rerun`: the recipe that a picture carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from styler.cli import console, dream, invert, moved, texture, transfer, visualize
from styler.cli.completion import DEVICES, complete
from styler.cli.presets import toml_value
from styler.cli.rerun import Rerun, find_sources
from styler.errors import ImageError

if TYPE_CHECKING:
    from torch import Tensor

    from styler.config import Kind
    from styler.report.provenance import Recipe, Source

RERUNS: Mapping[Kind, Callable[[Rerun], object]] = MappingProxyType(
    {
        "transfer": transfer.again,
        "dream": dream.again,
        "visualize": visualize.again,
        "invert": invert.again,
        "caricature": invert.again,
        "texture": texture.again,
    }
)
"""What makes a picture of a kind again."""


@console.guarded
def show(
    picture: Annotated[
        Path, typer.Argument(readable=False, metavar="PICTURE", help="A picture made by styler.")
    ],
    all_: Annotated[bool, typer.Option("--all", help="Defaults, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The recipe as JSON.")] = False,
) -> None:
    """Print how a picture was made.

    [bold]Examples:[/]

      styler show cat+waves.png

      styler show cat+waves.png --json
    """
    from styler.report.provenance import encode

    recipe = load_recipe(picture)
    if json:
        console.say(encode(recipe))
        return
    for line in _lines(recipe):
        console.say(line)
    for key, value in recipe.config.items():
        origin = recipe.origins.get(key, "default")
        if all_ or origin != "default":
            console.say(f"{key} = {toml_value(value)}  # {origin}")


def load_recipe(picture: Path) -> Recipe:
    """The recipe in a picture.

    Raises:
        ImageError: there is none, or it cannot be read.
    """
    from styler.images import read_recipe
    from styler.report.provenance import decode

    text = read_recipe(picture)
    if text is None:
        raise ImageError(
            f"{picture} carries no recipe",
            "only PNG, JPEG, TIFF and WebP files written by styler do, until edited elsewhere",
        )
    return decode(text, picture)


def _lines(recipe: Recipe) -> list[str]:
    outcome, machine = recipe.outcome, recipe.machine
    losses = ", ".join(f"{name} {value:.4g}" for name, value in outcome.losses.items())
    return [
        f"kind      {recipe.kind}",
        *([f"subject   {recipe.subject}"] if recipe.subject else []),
        *(
            f"{name:<9} {_picture(source)}{_share(recipe, name)}"
            for name, source in recipe.sources.items()
        ),
        f"result    {recipe.size[1]}×{recipe.size[0]}, {recipe.bit_depth} bit",
        f"backbone  {recipe.backbone}, weights {recipe.weights_sha256[:16]}",
        f"steps     {outcome.done} of {outcome.planned} in {console.duration(outcome.seconds)}",
        *([f"losses    {losses}"] if losses else []),
        f"machine   {machine.device} ({machine.name}), {machine.precision}, torch {machine.torch}",
        f"made      {recipe.created} by styler {recipe.styler}",
    ]


def _picture(source: Source) -> str:
    return f"{source.path}, {source.size[1]}×{source.size[0]}, sha256 {source.sha256[:16]}"


def _share(recipe: Recipe, name: str) -> str:
    return f", weight {recipe.weights[name]:g}" if name in recipe.weights else ""


@console.guarded
def rerun(
    picture: Annotated[
        Path, typer.Argument(readable=False, metavar="PICTURE", help="A picture made by styler.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", readable=False, help="The new file \\[default: NAME-rerun beside it]."
        ),
    ] = None,
    content: moved.Content = None,
    style: moved.Style = None,
    init: Annotated[Path | None, moved.place("Where the initial picture is now.")] = None,
    image: Annotated[Path | None, moved.place("Where the picture is now.")] = None,
    guide: Annotated[Path | None, moved.place("Where the guide is now.")] = None,
    mask: Annotated[Path | None, moved.place("Where the mask is now.")] = None,
    content_mask: moved.ContentMask = None,
    style_mask: moved.StyleMask = None,
    protect: moved.Protect = None,
    color: moved.Color = None,
    weights: moved.Weights = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Another device than then.",
            rich_help_panel=moved.MOVED,
            autocompletion=complete(*DEVICES),
        ),
    ] = None,
    force: moved.Force = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only errors and the result's path.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Events as JSON lines.")] = False,
) -> None:
    """Make a picture again from the recipe it carries.

    On the same machine with the same versions the pixels are the same to the last bit.

    [bold]Examples:[/]

      styler rerun cat+waves.png

      styler rerun cat+waves.png --content ~/photos/cat.jpg -o again.png
    """
    flags = locals()
    from styler.images import read_picture

    console.mode.quiet, console.mode.json = quiet, json
    recipe = load_recipe(picture)
    given = {
        **moved.transfer_sources(recipe, picture, flags),
        "start": init,
        "image": image,
        "guide": guide,
        "mask": mask,
    }
    again = Rerun(
        recipe=recipe,
        picture=picture,
        output=output or picture.with_name(f"{picture.stem}-rerun{picture.suffix}"),
        sources=find_sources(recipe, picture, given, force=force),
        weights=weights,
        device=device,
        force=force,
        overwrite=overwrite,
    )
    _check_versions(recipe)
    before = read_picture(picture).pixels  # now, since the output may replace it
    RERUNS[recipe.kind](again)
    _compare(picture, before, read_picture(again.output).pixels)


def _compare(picture: Path, before: Tensor, now: Tensor) -> None:
    """Say how the new pixels differ from those of the picture."""
    if before.shape != now.shape:
        console.note(f"the size is not that of {picture}, which was changed since")
        return
    difference = float((before - now).abs().max())
    console.event("compared", picture=str(picture), largest_difference=difference)
    if difference == 0:
        console.note(f"the pixels are those of {picture}, all of them")
    else:
        console.note(f"the pixels differ from {picture} by up to {difference * 255:.3g}/255")


def _check_versions(recipe: Recipe) -> None:
    import torch

    from styler import __version__

    for name, then, now in (
        ("styler", recipe.styler, __version__),
        ("torch", recipe.machine.torch, str(torch.__version__)),
    ):
        if then != now:
            console.note(f"made with {name} {then}, this is {now}: pixels may differ a little")


def register(parent: typer.Typer) -> None:
    """Add the commands of this module."""
    parent.command("show", no_args_is_help=True)(show)
    parent.command("rerun", no_args_is_help=True)(rerun)
