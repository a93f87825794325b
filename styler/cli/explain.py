"""`styler explain`: where the loss of a transfer comes from."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from styler.cli import console, moved, transfer
from styler.cli.completion import DEVICES, complete
from styler.cli.explained import show_explanation
from styler.cli.recipes import load_recipe
from styler.cli.rerun import Rerun, find_sources
from styler.errors import ImageError

if TYPE_CHECKING:
    from styler.report.provenance import Recipe
    from styler.transfer import Problem

KINDS = ("transfer", "texture")
"""Of pictures that were made by descent on the loss of a style."""
CHANGED = ("content", "match")
"""Modes of ``color.mode`` after which a picture's colours are not those that were optimised."""


@console.guarded
def command(
    picture: Annotated[
        Path,
        typer.Argument(
            readable=False, metavar="PICTURE", help="Made by `styler transfer` or `texture`."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            readable=False,
            help="Also as a page (.html) or a plot (.svg, .png).",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Longer side at which it is worked out \\[default: its own, at most 1024² pixels]."
        ),
    ] = None,
    content: moved.Content = None,
    style: moved.Style = None,
    content_mask: moved.ContentMask = None,
    style_mask: moved.StyleMask = None,
    protect: moved.Protect = None,
    color: moved.Color = None,
    weights: moved.Weights = None,
    device: Annotated[
        str, typer.Option(help="Where to compute.", autocompletion=complete(*DEVICES))
    ] = "auto",
    force: moved.Force = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only errors, the tables and the output's path.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Everything as one JSON event.")] = False,
) -> None:
    """Tell where the loss of a picture comes from, and how it fell.

    [bold]Examples:[/]

      styler explain cat+waves.png

      styler explain cat+waves.png -o why.html

    The gradient's share says who moves the pixels. The pull says whether a part
    goes with the whole gradient (+1) or against it (-1).
    """
    flags = locals()
    from styler.explain import explain
    from styler.images import read_picture

    console.mode.quiet, console.mode.json = quiet, json
    recipe = _recipe(picture)
    given = moved.transfer_sources(recipe, picture, flags)
    rerun = Rerun(
        recipe=recipe,
        picture=picture,
        # Nothing is written there; a transfer has an output, and this folder takes one.
        output=Path(tempfile.gettempdir()) / "explained.png",
        sources=find_sources(recipe, picture, given, force=force),
        weights=weights,
        device=device,
        force=force,
        overwrite=True,
    )
    if output is not None:
        _check_output(output, rerun, overwrite)
    problem = _problem(rerun)
    if problem.config.color.mode in CHANGED:
        console.note("colours were changed after the run: the loss is that of the picture as it is")
    explanation = explain(problem, read_picture(picture).pixels, side=size)
    show_explanation(explanation, recipe.outcome, picture=str(picture))
    if output is not None:
        from styler.report.explanation import write_explanation

        write_explanation(
            output, explanation, recipe.outcome, title=picture.name, overwrite=overwrite
        )
        console.result(output)


def _recipe(picture: Path) -> Recipe:
    """The recipe of a picture without what its loss does not depend on.

    What it started from is not asked for, and numbers are exact on any device.

    Raises:
        ImageError: it carries none, or one of other work.
    """
    from dataclasses import replace

    recipe = load_recipe(picture)
    if recipe.kind not in KINDS:
        raise ImageError(
            f"{picture} is made by styler {recipe.kind}, only transfers have a loss to explain",
            f"styler show {picture} tells how it was made",
        )
    return replace(
        recipe,
        sources={name: source for name, source in recipe.sources.items() if name != "start"},
        config={**recipe.config, "init.kind": "uniform", "init.image": None},
        machine=replace(recipe.machine, precision="fp32"),
    )


def _problem(rerun: Rerun) -> Problem:
    """What the picture was made for."""
    from styler.cli.running import check_weights
    from styler.jobs import prepare
    from styler.network import extractor_for

    content = rerun.source("content") if rerun.recipe.kind == "transfer" else None
    job = transfer.again_as(rerun, content=content)
    with console.downloads() as progress:
        problem = prepare(job, lambda config: extractor_for(config, progress)).problem
    check_weights(problem.extractor, rerun.weights_sha256)
    return problem


def _check_output(output: Path, rerun: Rerun, overwrite: bool) -> None:
    """Refuse what could not be written, before any work."""
    from styler.report.explanation import check_explanation
    from styler.results import refuse_source

    refuse_source(output, {"explained": rerun.picture, **rerun.sources})
    check_explanation(output, overwrite=overwrite)


def register(parent: typer.Typer) -> None:
    """Add the command of this module."""
    parent.command("explain", no_args_is_help=True)(command)
