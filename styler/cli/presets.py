"""`styler presets`: the recipes that ship."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated

import typer

from styler.cli import completion, console
from styler.presets import SCHEMA

if TYPE_CHECKING:
    from styler.presets import Preset

app = typer.Typer(no_args_is_help=True, help="List and show recipes.")


@app.command("list")
@console.guarded
def list_() -> None:
    """List the presets, by the command that each is for.

    [bold]Examples:[/]

      styler presets list
    """
    from rich.table import Table

    from styler.presets import list_all_presets

    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows.add_column(style="cyan", no_wrap=True)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column()
    for kind, presets in list_all_presets().items():
        for preset in presets:
            rows.add_row(kind, preset.name, preset.description)
    console.table(rows)


@app.command(no_args_is_help=True)
@console.guarded
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A preset's name, KIND/NAME, or a TOML file.",
            autocompletion=completion.all_presets,
        ),
    ],
    all_: Annotated[
        bool, typer.Option("--all", help="Every setting, with where its value comes from.")
    ] = False,
) -> None:
    """Show a preset: its source and its settings.

    What it prints can be saved, changed and used: it is a preset itself.

    [bold]Examples:[/]

      styler presets show gatys2015 --all

      styler presets show transfer/default > mine.toml; styler transfer a.jpg b.jpg -p mine.toml
    """
    from styler.config import CONFIGS, flatten, resolve
    from styler.presets import find_preset

    preset = find_preset(name)
    resolved = resolve((f"preset {preset.name}", preset.values), root=CONFIGS[preset.kind])
    for line in _header(preset):
        console.say(line)
    for key, value in flatten(resolved.config):
        origin = resolved.origins[key]
        if not (all_ or origin != "default" or preset.name == "default"):
            continue
        comment = f"  # {origin}" if all_ else ""
        # TOML has no word for nothing.
        console.say(f"{'# ' if value is None else ''}{key} = {toml_value(value)}{comment}")


def _header(preset: Preset) -> list[str]:
    source = preset.source.strip().replace("\\", "\\\\").replace('"', '\\"')
    return [
        f"schema = {SCHEMA}",
        f"kind = {toml_value(preset.kind)}",
        f"description = {toml_value(preset.description)}",
        'source = """',
        *source.splitlines(),
        '"""',
        "",
    ]


def toml_value(value: object) -> str:
    """A value as presets and `--set` take it.

    Example:
        >>> toml_value({"relu1_1": 1.0}), toml_value(None), toml_value((1, 2))
        ('{ relu1_1 = 1.0 }', 'unset', '[1, 2]')
    """
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        inside = ", ".join(f"{_key(key)} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return str(value)


def _key(name: str) -> str:
    """A key, quoted where it would mean something else, as in layer2.0.conv1."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)


def register(parent: typer.Typer) -> None:
    """Add the commands of this module."""
    parent.add_typer(app, name="presets")
