"""Options that say where what a picture was made from is now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styler.cli import console
from styler.cli.rerun import numbered_sources
from styler.errors import UsageError

if TYPE_CHECKING:
    from styler.report.provenance import Recipe

MOVED = "What has moved or changed since"


def place(text: str) -> Any:
    """Where a file, or each of several, is now."""
    return typer.Option(readable=False, help=text, rich_help_panel=MOVED)


Content = Annotated[Path | None, place("Where the content picture is now.")]
Style = Annotated[
    list[Path] | None,
    place("Where the style is now; of a blend, once for each in the recipe's order."),
]
ContentMask = Annotated[list[Path] | None, place("Where the content's masks are now.")]
StyleMask = Annotated[list[Path] | None, place("Where the styles' masks are now.")]
Protect = Annotated[Path | None, place("Where the mask of what stays is now.")]
Color = Annotated[Path | None, place("Where the picture is whose colours were taken.")]
Weights = Annotated[Path | None, place("Where the weights file is now.")]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Go on although pictures or weights have changed.",
        rich_help_panel=MOVED,
    ),
]


def transfer_sources(
    recipe: Recipe, picture: Path, given: Mapping[str, Any]
) -> dict[str, Path | None]:
    """Where the sources of a transfer are said to be, by their names.

    Args:
        recipe: names them.
        picture: that carries it.
        given: by the names of the flags, with underscores, among others.

    Raises:
        UsageError: there are not so many of a kind.
    """
    found: dict[str, Path | None] = {name: given[name] for name in ("content", "protect", "color")}
    for kind in ("style", "content-mask", "style-mask"):
        found |= _several(recipe, picture, kind, given[kind.replace("-", "_")] or [])
    return found


def _several(recipe: Recipe, picture: Path, kind: str, given: Sequence[Path]) -> dict[str, Path]:
    """Where the styles of a recipe, or its masks, are said to be, by the names of their sources.

    Raises:
        UsageError: there are not so many.
    """
    names = numbered_sources(recipe, kind)
    if len(given) > len(names):
        raise UsageError(
            f"{console.counted(len(given), kind.replace('-', ' '))} given, "
            f"{picture} has {len(names)}",
            f"see styler show {picture}",
        )
    return dict(zip(names, given, strict=False))
