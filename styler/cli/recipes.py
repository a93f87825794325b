"""`styler show` and `styler rerun`: the recipe that a picture carries."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styler.cli import console
from styler.cli.presets import toml_value
from styler.cli.running import run_job
from styler.errors import ImageError

if TYPE_CHECKING:
    from styler.jobs import TransferJob
    from styler.report.provenance import Recipe, Source


@console.guarded
def show(
    picture: Annotated[Path, typer.Argument(help="A picture made by styler.")],
    all_: Annotated[bool, typer.Option("--all", help="Defaults, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The recipe as JSON.")] = False,
) -> None:
    """Print how a picture was made.

    [bold]Example:[/] styler show tubingen+starry_night.png
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
    lines = [
        f"content   {_picture(recipe.content)}",
        f"style     {_picture(recipe.style)}",
        f"result    {recipe.size[1]}×{recipe.size[0]}, {recipe.bit_depth} bit",
        f"backbone  {recipe.backbone}, weights {recipe.weights_sha256[:16]}",
        f"steps     {outcome.done} of {outcome.planned} in {console.duration(outcome.seconds)}",
        f"losses    {losses}",
        f"machine   {machine.device} ({machine.name}), {machine.precision}, torch {machine.torch}",
        f"made      {recipe.created} by styler {recipe.styler}",
    ]
    if recipe.start is not None:
        lines.insert(2, f"start     {_picture(recipe.start)}")
    return lines


def _picture(source: Source) -> str:
    return f"{source.path}, {source.size[1]}×{source.size[0]}, sha256 {source.sha256[:16]}"


@console.guarded
def rerun(
    picture: Annotated[Path, typer.Argument(help="A picture made by styler.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The new file \\[default: NAME-rerun beside it]."),
    ] = None,
    content: Annotated[
        Path | None, typer.Option(help="Where the content picture is now, if it moved.")
    ] = None,
    style: Annotated[
        Path | None, typer.Option(help="Where the style picture is now, if it moved.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Go on although pictures or weights have changed.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Events as JSON lines.")] = False,
) -> None:
    """Make a picture again from the recipe it carries.

    On the same machine with the same versions the pixels are the same to the last bit.

    [bold]Example:[/] styler rerun tubingen+starry_night.png
    """
    console.mode.quiet, console.mode.json = quiet, json
    recipe = load_recipe(picture)
    output = output or picture.with_name(f"{picture.stem}-rerun{picture.suffix}")
    job = _job(recipe, picture, output, content, style, force=force, overwrite=overwrite)
    stop_after = recipe.outcome.done if recipe.outcome.done < recipe.outcome.planned else None
    _check_versions(recipe)
    run_job(job, stop_after=stop_after, weights_sha256=None if force else recipe.weights_sha256)
    difference = _difference(picture, output)
    console.event("compared", with_=str(picture), largest_difference=difference)
    if difference == 0:
        console.note(f"the pixels are those of {picture}, all of them")
    else:
        console.note(f"the pixels differ from {picture} by up to {difference * 255:.3g}/255")


def _job(
    recipe: Recipe,
    picture: Path,
    output: Path,
    content: Path | None,
    style: Path | None,
    *,
    force: bool,
    overwrite: bool,
) -> TransferJob:
    import torch

    from styler.config import Resolved, resolve
    from styler.jobs import TransferJob

    known = recipe.resolved()
    machine: dict[str, Any] = {
        "backbone.name": recipe.backbone,
        "runtime.device": recipe.machine.device,
        "runtime.precision": recipe.machine.precision,
    }
    if recipe.start is not None:
        machine["init.image"] = str(_find(recipe.start, None, picture, "--set init.image", force))
    config = resolve(("recipe", recipe.config), ("recipe", machine)).config
    torch.set_num_threads(recipe.machine.threads)
    return TransferJob(
        content=_find(recipe.content, content, picture, "--content", force),
        style=_find(recipe.style, style, picture, "--style", force),
        output=output,
        resolved=Resolved(config=config, origins=known.origins),
        overwrite=overwrite,
        bit_depth=recipe.bit_depth,
    )


def _find(source: Source, given: Path | None, picture: Path, flag: str, force: bool) -> Path:
    """Where a source is now: as given, or where the recipe says; its contents are checked."""
    path = given or picture.parent / source.path
    if not path.is_file():
        where = "where the recipe says" if given is None else "there"
        raise ImageError(f"{path} is not {where}", f"say where it is: {flag} FILE")
    if not force and _sha256(path) != source.sha256:
        raise ImageError(
            f"{path} is not the file that {picture.name} was made from",
            f"name the right one with {flag} FILE, or go on with --force",
        )
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_versions(recipe: Recipe) -> None:
    import torch

    from styler import __version__

    for name, then, now in (
        ("styler", recipe.styler, __version__),
        ("torch", recipe.machine.torch, str(torch.__version__)),
    ):
        if then != now:
            console.note(f"made with {name} {then}, this is {now}: pixels may differ a little")


def _difference(one: Path, other: Path) -> float:
    """The largest difference of any value, in [0, 1]."""
    from styler.images import read_picture

    first, second = read_picture(one).pixels, read_picture(other).pixels
    return float((first - second).abs().max()) if first.shape == second.shape else 1.0


def register(parent: typer.Typer) -> None:
    """Add the commands of this module."""
    parent.command("show")(show)
    parent.command("rerun")(rerun)
