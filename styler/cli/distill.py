"""``python -m styler.training.distill``: makes the embedded network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from styler.cli import console
from styler.cli.usage import Command

if TYPE_CHECKING:
    from styler.training.distill import Distillation

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command(cls=Command, no_args_is_help=True)
@console.guarded
def distill(
    teacher: Annotated[
        Path, typer.Option(readable=False, help="A weights file of VGG-19, the network to imitate.")
    ],
    data: Annotated[
        list[Path],
        typer.Option(readable=False, help="Training pictures: a folder, a .tar or a picture."),
    ],
    out: Annotated[Path, typer.Option(readable=False, help="The .safetensors file to write.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random.")] = None,
    blocks: Annotated[
        str | None,
        typer.Option(help="Channels per convolution and block, such as 32-24,64x2,128x3,256x3,256"),
    ] = None,
    pooling: Annotated[str | None, typer.Option(help="average, max, or both in turns.")] = None,
    side: Annotated[int | None, typer.Option(min=32, help="Side of the crops in pixels.")] = None,
    crops: Annotated[int | None, typer.Option(min=1, help="Crops in a step.")] = None,
    rollouts: Annotated[
        int | None, typer.Option(min=0, help="Pictures met during optimisation in a step.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Largest step size.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="Of convolutions: auto, fp32, bf16.")] = "auto",
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 250,
    restart: Annotated[bool, typer.Option("--restart", help="Ignore a checkpoint.")] = False,
) -> None:
    """Distil VGG-19 into a narrow VGG, and write it with its provenance.

    Interrupted, it goes on from its last checkpoint when called again.

    [bold]Examples:[/]

      python -m styler.training.distill --teacher vgg19-caffe.safetensors --data photos/
      --data textures.tar --out vgg-lite.safetensors
    """
    from styler.training.run import Plan, run

    options = {
        "steps": steps,
        "seed": seed,
        "blocks": blocks,
        "pooling": pooling,
        "side": side,
        "crops": crops,
        "rollouts": rollouts,
        "lr": lr,
    }
    plan = Plan(
        teacher=teacher,
        data=tuple(data),
        out=out,
        device=device,
        precision=precision,
        checkpoint_every=checkpoint_every,
        restart=restart,
        options={key: value for key, value in options.items() if value is not None},
    )
    run(plan, note=console.note, show=_shown())
    console.result(out)


def _shown() -> Callable[[Distillation, float], None]:
    """Prints residual and distance of moments of each tap now and then."""
    begun: list[int] = []
    last = 0.0

    def show(distillation: Distillation, seconds: float) -> None:
        nonlocal last
        if not begun:
            begun.append(distillation.step)
        step, steps = distillation.step, distillation.config.steps
        if step < steps and seconds - last < console.PLAIN_EVERY:
            return
        last = seconds
        taps = "  ".join(
            f"{tap} {values[0]:.3f}/{values[1]:.3f}" for tap, values in distillation.running.items()
        )
        left = seconds * (steps - step) / (step - begun[0] + 1)
        console.note(f"step {step}/{steps}  {taps}  {console.duration(left)} left")

    return show


def main() -> None:
    """Run the command."""
    app(prog_name="python -m styler.training.distill")
