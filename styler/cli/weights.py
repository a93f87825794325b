"""`styler weights`: which networks are at hand, and how to bring more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from styler.cli import console
from styler.cli.completion import backbones
from styler.errors import BackboneError

app = typer.Typer(no_args_is_help=True, help="List, fetch, import and verify network weights.")


@app.command("list")
@console.guarded
def list_() -> None:
    """List the backbones and where their weights are.

    [bold]Examples:[/]

      styler weights list
    """
    from rich.table import Table

    from styler.features import BACKBONES, find_weights

    rows = Table(box=None, padding=(0, 2, 0, 0))
    rows.add_column("backbone", style="bold", no_wrap=True)
    rows.add_column("weights", overflow="fold")
    rows.add_column("what")
    for spec in BACKBONES.values():
        path = find_weights(spec)
        if spec.embedded:
            where = "embedded"
        elif path is not None:
            where = str(path)
        else:
            fetchable = any(file.url for file in spec.weights)
            where = f"styler weights {'fetch ' + spec.name if fetchable else 'import FILE'}"
        rows.add_row(spec.name, where, spec.description)
    console.table(rows)


@app.command(no_args_is_help=True)
@console.guarded
def fetch(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Such as vgg19 or vgg16.", autocompletion=backbones),
    ],
) -> None:
    """Download a network's weights, check them and keep its convolutions.

    [bold]Examples:[/]

      styler weights fetch vgg19
    """
    from styler.features import fetch_weights, find_weights, get_backbone

    spec = get_backbone(name)
    present = find_weights(spec)
    if present is not None:
        console.note(f"{spec.name} is already here")
        console.result(present)
        return
    with console.downloads() as progress:
        path = fetch_weights(spec, progress=progress)
    console.result(path)


@app.command("import", no_args_is_help=True)
@console.guarded
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            readable=False, metavar="FILE", help="A .pth or .safetensors file of VGG weights."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            help="Which backbone it is, when the file does not tell.",
            autocompletion=backbones,
        ),
    ] = None,
) -> None:
    """Check a weights file you have and keep its convolutions.

    [bold]Examples:[/]

      styler weights import ~/Downloads/vgg19-d01eb7cb.pth

      styler weights import mine.safetensors --name vgg19
    """
    from styler.features import import_weights

    console.result(import_weights(file, name))


@app.command()
@console.guarded
def verify(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A backbone \\[default: all].",
            autocompletion=backbones,
        ),
    ] = None,
) -> None:
    """Read every weights file at hand and check its digest, shapes and values.

    [bold]Examples:[/]

      styler weights verify

      styler weights verify vgg19
    """
    from styler.features import BACKBONES, get_backbone, verify_weights

    specs = [get_backbone(name)] if name else list(BACKBONES.values())
    bad = 0
    for spec in specs:
        reports = verify_weights(spec)
        if not reports:
            console.say(f"{spec.name}: no weights at hand")
        for report in reports:
            bad += report.status in ("mismatch", "damaged")
            problem = f"  ({report.problem})" if report.problem else ""
            console.say(
                f"{spec.name}: {report.status}  {report.sha256[:16]}  {report.path}{problem}"
            )
    if bad:
        raise BackboneError(
            f"{bad} weights file{'s' if bad > 1 else ''} cannot be used",
            "delete it, then `styler weights fetch` or `styler weights import FILE`",
        )


def register(parent: typer.Typer) -> None:
    """Add the commands of this module."""
    parent.add_typer(app, name="weights")
