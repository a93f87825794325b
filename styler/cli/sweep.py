"""`styler sweep`: one content, one style, and a table of settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from styler.cli import console, options
from styler.cli import transfer_options as shared
from styler.cli.options import OUTPUT, SIZE
from styler.cli.sweep_run import run_sweep, show_plan
from styler.errors import ConfigError, UsageError, did_you_mean

if TYPE_CHECKING:
    from styler.config import Resolved, TransferConfig
    from styler.sweep_plan import Variation

SIDE = 256
"""Pixels of the longer side of a picture, unless a size is asked for."""

_OWN = frozenset({"content", "styles", "vary", "output", "keep", "return"})
"""Parameters of the command that are no settings."""


def _completed(incomplete: str) -> Iterable[str]:
    """Names that can be varied."""
    return [f"{name}=" for name in _names() if name.startswith(incomplete)]


@console.guarded
def command(
    content: Annotated[
        Path, typer.Argument(readable=False, metavar="CONTENT", help="The picture to paint.")
    ],
    styles: Annotated[
        list[str],
        typer.Argument(
            metavar="STYLE...",
            help="The picture to paint it like, or a file of `styler style save`; several are "
            "blended, FILE:WEIGHT says how much of each.",
        ),
    ],
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="NAME=VALUE,VALUE,…",
            help="A flag or a setting and its values: the first makes the rows, the last the "
            "columns. Values with commas are parted by semicolons.",
            autocompletion=_completed,
        ),
    ],
    preset: Annotated[str, options.preset("transfer")] = "default",
    strength: shared.Strength = None,
    style_scale: shared.StyleScale = None,
    style_loss: shared.StyleLoss = None,
    content_loss: shared.ContentLoss = None,
    content_weight: shared.ContentWeight = None,
    style_weight: shared.StyleWeight = None,
    smoothness: options.Smoothness = None,
    content_layers: shared.ContentLayers = None,
    style_layers: shared.StyleLayers = None,
    color: shared.Color = None,
    content_mask: shared.ContentMask = None,
    style_mask: shared.StyleMask = None,
    protect: shared.Protect = None,
    init: shared.Init = None,
    seed: shared.Seed = None,
    size: Annotated[
        int | None,
        typer.Option(
            help=f"Long side of each picture in pixels \\[default: {SIDE}].", rich_help_panel=SIZE
        ),
    ] = None,
    steps: shared.Steps = None,
    optimizer: shared.Optimizer = None,
    lr: options.LearningRate = None,
    backbone: shared.Backbone = None,
    weights: options.Weights = None,
    pooling: options.Pooling = None,
    padding: options.Padding = None,
    device: options.Device = None,
    precision: options.Precision = None,
    max_memory: options.MaxMemory = None,
    set_: Annotated[list[str] | None, options.setting("transfer", "transfer/default")] = None,
    output: Annotated[
        Path | None,
        options.output(
            "The sheet: .png, .jpg, .tif, .webp or .bmp \\[default: CONTENT+STYLE-sweep.png]."
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            metavar="FOLDER",
            help="Keep the single pictures there, too, each with its recipe.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Make more than 100 pictures.", rich_help_panel=OUTPUT)
    ] = False,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Paint the content in the style with many settings, on one sheet.

    [bold]Examples:[/]

      styler sweep photo.jpg painting.jpg --vary strength=0.2,0.5,0.8

      styler sweep photo.jpg waves.jpg --vary strength=.3,.8 --vary style-scale=.5,1

      styler sweep photo.jpg waves.jpg --vary preset=default,gatys2015 --dry-run

      styler sweep photo.jpg waves.jpg --vary style.loss=gram,w2 --keep single/

    Ctrl-C writes the sheet with what there is.
    """
    given = locals()
    from styler.styles.choice import blend_stem, parse_style
    from styler.sweep import LIMIT, SweepJob
    from styler.sweep_plan import parse_variation, plan_cells

    console.mode.quiet, console.mode.json = quiet, json
    variations = tuple(_known(parse_variation(text)) for text in vary)
    _refuse_doubles(variations)
    cells = plan_cells(variations, lambda values: settings(given, values))
    if len(cells) > LIMIT and not (yes or dry_run):
        raise UsageError(
            f"that makes {len(cells)} pictures, more than {LIMIT}",
            "vary less; --dry-run tells how long it would take, --yes makes them",
        )
    chosen = tuple(parse_style(text) for text in styles)
    job = SweepJob(
        content=content,
        styles=chosen,
        variations=variations,
        cells=cells,
        output=output or Path(f"{content.stem}+{blend_stem(chosen)}-sweep.png"),
        keep=None if dry_run else keep,
        overwrite=overwrite,
    )
    if dry_run:
        show_plan(job)
    else:
        run_sweep(job)


def settings(given: Mapping[str, Any], values: Mapping[str, str]) -> Resolved[TransferConfig]:
    """All settings of one picture.

    Args:
        given: values by the names of the command's parameters.
        values: what is varied, by the name of a flag or a dotted setting, as written; these
            win over what is given.

    Raises:
        ConfigError: a value is unknown, of another type or out of range.
    """
    from styler.batch.settings import with_overrides
    from styler.config import parse_set

    changed, flags = dict(given), _flags()
    pairs = []
    for name, text in values.items():
        if name in flags:
            changed[_parameter(name)] = flags[name](text)
        else:
            pairs.append(f"{name}={text}")
    resolved = shared.settings(changed["preset"], changed["set_"], changed["init"], changed)
    resolved = with_overrides(resolved, parse_set(pairs), "--vary")
    origin = resolved.origins["schedule.size"]
    if origin == "default" or origin.startswith("preset "):
        return with_overrides(resolved, {"schedule.size": SIDE}, "sweep")
    return resolved


def _known(variation: Variation) -> Variation:
    """The same under the name that its flag or setting has.

    Raises:
        UsageError: there is none; the closest are offered.
    """
    from styler.config.resolution import TABLES
    from styler.sweep_plan import Variation

    name, flag = variation.name, variation.name.replace("_", "-")
    if flag in _flags():
        return Variation(name=flag, values=variation.values)
    if name not in _names() and name.rpartition(".")[0] not in TABLES:
        raise UsageError(f"--vary {name}: no such flag or setting", did_you_mean(name, _names()))
    return variation


def _refuse_doubles(variations: Iterable[Variation]) -> None:
    """Make sure that no setting is varied as a flag and by its own name, too."""
    seen: dict[str, str] = {}
    for name in (variation.name for variation in variations):
        setting = shared.KEYS.get(_parameter(name), name)
        if setting in seen:
            raise UsageError(f"--vary {name} and --vary {seen[setting]} are one", "leave one out")
        seen[setting] = name


def _names() -> tuple[str, ...]:
    """All that can be varied: flags without their dashes, then settings."""
    from styler.config import keys

    return tuple(dict.fromkeys((*_flags(), *keys())))


def _flags() -> dict[str, Callable[[str], Any]]:
    """Flags of the command that hold a single value, with what reads that."""
    readers: dict[str, Callable[[str], Any]] = {}
    for parameter, hint in get_type_hints(command).items():
        kinds = {kind for kind in get_args(hint) or (hint,) if kind is not type(None)}
        if parameter in _OWN or len(kinds) != 1:
            continue
        kind = kinds.pop()
        if kind in (str, Path):
            readers[_flag(parameter)] = kind
        elif kind in (int, float):
            readers[_flag(parameter)] = _number(_flag(parameter), kind)
    return readers


def _number(flag: str, kind: type[int] | type[float]) -> Callable[[str], int | float]:
    def read(text: str) -> int | float:
        try:
            return kind(text)
        except ValueError:
            noun = "a whole number" if kind is int else "a number"
            raise ConfigError(f"--{flag} {text} is not {noun}", f"write {noun}") from None

    return read


def _flag(parameter: str) -> str:
    return parameter.replace("_", "-")


def _parameter(flag: str) -> str:
    return flag.replace("-", "_")


def register(parent: typer.Typer) -> None:
    """Add the command of this module."""
    parent.command("sweep", no_args_is_help=True)(command)
