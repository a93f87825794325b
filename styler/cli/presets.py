"""`styler presets`: the recipes that ship."""

from __future__ import annotations

from typing import Annotated

import typer

from styler.cli import console

app = typer.Typer(no_args_is_help=True, help="List and show the recipes that ship.")


@app.command("list")
@console.guarded
def list_() -> None:
    """List the presets.

    [bold]Example:[/] styler presets list
    """
    from rich.table import Table

    from styler.presets import list_presets

    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for preset in list_presets("transfer"):
        rows.add_row(f"[bold]{preset.name}[/]", preset.description)
    console.table(rows)


@app.command()
@console.guarded
def show(
    name: Annotated[str, typer.Argument(help="A preset's name, or a TOML file.")],
    all_: Annotated[
        bool, typer.Option("--all", help="Every setting, with where its value comes from.")
    ] = False,
) -> None:
    """Show a preset: its source and its settings.

    [bold]Example:[/] styler presets show gatys2015 --all
    """
    from styler.config import flatten, resolve
    from styler.presets import load_preset

    preset = load_preset(name, "transfer")
    resolved = resolve((f"preset {preset.name}", preset.values))
    console.say(f"# {preset.name}: {preset.description}")
    for line in preset.source.strip().splitlines():
        console.say(f"# {line}")
    for key, value in flatten(resolved.config):
        origin = resolved.origins[key]
        if all_:
            console.say(f"{key} = {toml_value(value)}  # {origin}")
        elif origin != "default" or preset.name == "default":
            console.say(f"{key} = {toml_value(value)}")


def toml_value(value: object) -> str:
    """A value as `--set` would take it.

    Example:
        >>> toml_value({"relu1_1": 1.0}), toml_value(None), toml_value((1, 2))
        ('{ relu1_1 = 1.0 }', 'unset', '[1, 2]')
    """
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        inside = ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return str(value)


def register(parent: typer.Typer) -> None:
    """Add the commands of this module."""
    parent.add_typer(app, name="presets")
