"""`styler batch`: whole folders, on one machine or many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from styler.cli import console, options
from styler.cli import transfer_options as transfer
from styler.cli.options import OUTPUT
from styler.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from styler.batch.plan import Plan

WORK = "Who works"


@console.guarded
def command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="CONTENTS STYLES",
            help="Files, folders, globs in quotes, or a manifest (.csv, .jsonl); the last is the "
            "styles, unless --style or the manifest names them.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            readable=False,
            help="Folder of the results, of the journal and of index.html.",
            rich_help_panel=OUTPUT,
        ),
    ],
    styles: Annotated[
        list[str] | None,
        typer.Option("--style", "-s", metavar="STYLES", help="Styles; may be repeated."),
    ] = None,
    zip_: Annotated[
        bool,
        typer.Option(
            "--zip", help="The first content with the first style, and so on, not all pairs."
        ),
    ] = False,
    limit: Annotated[int | None, typer.Option(help="At most so many pictures.")] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only the I-th of N parts of the plan.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try what failed before once more.")
    ] = False,
    preset: Annotated[str, options.preset("transfer")] = "default",
    strength: transfer.Strength = None,
    style_scale: transfer.StyleScale = None,
    style_loss: transfer.StyleLoss = None,
    content_loss: transfer.ContentLoss = None,
    content_weight: transfer.ContentWeight = None,
    style_weight: transfer.StyleWeight = None,
    smoothness: options.Smoothness = None,
    content_layers: transfer.ContentLayers = None,
    style_layers: transfer.StyleLayers = None,
    color: transfer.Color = None,
    init: transfer.Init = None,
    seed: transfer.Seed = None,
    size: transfer.Size = None,
    steps: transfer.Steps = None,
    optimizer: transfer.Optimizer = None,
    lr: options.LearningRate = None,
    backbone: transfer.Backbone = None,
    weights: options.Weights = None,
    pooling: options.Pooling = None,
    padding: options.Padding = None,
    device: options.Device = None,
    precision: options.Precision = None,
    max_memory: options.MaxMemory = None,
    set_: Annotated[list[str] | None, options.setting("transfer", "transfer/default")] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes: on GPUs one for each, on the CPU they share its cores "
            "\\[default: one, or one for each GPU].",
            rich_help_panel=WORK,
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="local, or ray for a cluster (extra `ray`).",
            rich_help_panel=WORK,
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Of the Ray cluster \\[default: the one this machine is in, else one of its own].",
            rich_help_panel=WORK,
        ),
    ] = None,
    bit_depth: options.BitDepth = None,
    extension: Annotated[
        str, typer.Option(help="Format of the results.", rich_help_panel=OUTPUT)
    ] = ".png",
    gallery: Annotated[
        bool,
        typer.Option(
            "--gallery/--no-gallery", help="Write index.html at the end.", rich_help_panel=OUTPUT
        ),
    ] = True,
    overwrite: options.Overwrite = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Paint whole folders, and go on where it stopped.

    [bold]Examples:[/]

      styler batch photos/ paintings/ -o out

      styler batch photos/ "styles/*.jpg" -o out --size 1024 --dry-run

      styler batch jobs.csv -o out --workers 2

    Run the same command again and it goes on: what is done stays, what has changed is made
    anew. Two such commands share the work. Ctrl-C gives back the pictures under way.
    """
    given = locals()
    from styler.batch.plan import make_plan, parse_shard
    from styler.cli.batch_run import Batch

    console.mode.quiet, console.mode.json = quiet, json
    if engine not in ("local", "ray"):
        raise UsageError(f"--engine {engine} is unknown", "choose local or ray")
    resolved = transfer.settings(preset, set_, init, given)
    contents, chosen = _sides(inputs, styles)
    plan: Plan = make_plan(
        contents,
        chosen,
        output,
        resolved,
        zip_=zip_,
        limit=limit,
        shard=parse_shard(shard) if shard else None,
        extension=extension,
        bit_depth=bit_depth,
    )
    batch = Batch(
        plan=plan,
        folder=output,
        resolved=resolved,
        bit_depth=bit_depth,
        workers=workers,
        engine=engine,
        address=address,
        retry_failed=retry_failed,
        overwrite=overwrite,
    )
    if dry_run:
        batch.show_plan()
        return
    code = batch.go(gallery=gallery)
    if code != ExitCode.SUCCESS:
        raise typer.Exit(int(code))


def _sides(inputs: Sequence[str], styles: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Contents and styles."""
    if styles:
        return list(inputs), list(styles)
    if len(inputs) == 1:
        return list(inputs), []
    return list(inputs[:-1]), [inputs[-1]]


def register(parent: typer.Typer) -> None:
    """Add the command of this module."""
    parent.command("batch", no_args_is_help=True)(command)
