"""The `styler` program: its commands, and nothing that takes time to import."""

from __future__ import annotations

import os
import signal
from collections.abc import MutableMapping
from typing import Annotated

import typer

from styler import __version__
from styler.cli import (
    attribute,
    batch,
    console,
    dream,
    explain,
    inspect,
    invert,
    microscope,
    patches,
    presets,
    recipes,
    style,
    sweep,
    texture,
    transfer,
    visualize,
    weights,
)
from styler.cli.streams import prepare_streams
from styler.cli.usage import Group
from styler.processes import keep_freed_memory

EXIT_CODES = (
    "Exit codes: 0 success, 1 bug, 2 usage, 3 configuration, 4 input image, 5 backbone or "
    "weights, 6 device or memory, 7 diverged, 8 output, 9 part of a batch failed, 130 interrupted."
)

SPINS = "4000"
"""Turns a waiting thread takes before it sleeps: some microseconds; see docs/decisions/0004."""

app = typer.Typer(
    name="styler",
    cls=Group,
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@console.guarded
def _show_version(wanted: bool) -> None:
    if wanted:
        console.say(f"styler {__version__}")
        console.finish()
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors (also: STYLER_DEBUG=1).")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Neural style transfer, dreams, and a look into what networks have learned.

    [bold]Examples:[/]

      styler transfer photo.jpg painting.jpg

      styler batch photos/ paintings/ -o out

      styler dream photo.jpg

      styler visualize relu5_1:0-15

      styler presets list
    """
    console.reset(debug=debug)


for module in (
    transfer,
    sweep,
    batch,
    texture,
    style,
    dream,
    visualize,
    patches,
    microscope,
    invert,
    attribute,
    recipes,
    explain,
    presets,
    weights,
    inspect,
):
    module.register(app)


def share_processors(environment: MutableMapping[str, str]) -> None:
    """Keep torch's threads from spinning long for each other, before torch is imported.

    GNU's OpenMP, which torch uses on Linux, spins for milliseconds at each of thousands of
    barriers. Beside another busy program on the same cores that made a step 35 times slower.

    Args:
        environment: `os.environ`; what the user has set there stays.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)


def main() -> None:
    """Run the command line."""
    share_processors(os.environ)
    keep_freed_memory()
    prepare_streams()
    try:
        app(prog_name="styler")
    finally:
        # One Ctrl-C too many must not break into the interpreter's own end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
