"""The only place that prints: messages, tables, progress, events."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from styler.cli.streams import Stream
from styler.errors import ExitCode, OutputError, StylerError

if TYPE_CHECKING:
    from styler.engine import StepEvent

P = ParamSpec("P")
R = TypeVar("R")

PLAIN_EVERY = 10.0
"""Seconds between progress lines where there is no terminal to redraw."""


@dataclass
class Mode:
    """What the user wants to hear."""

    quiet: bool = False
    json: bool = False
    debug: bool = False


def _console(stream: Stream) -> Console:
    # Names of files are shown as they are: [red] and :cat: in them mean nothing.
    return Console(
        file=cast(IO[str], stream), highlight=False, soft_wrap=True, markup=False, emoji=False
    )


mode = Mode()
_stdout, _stderr = Stream("stdout"), Stream("stderr")
out, err = _console(_stdout), _console(_stderr)


def reset(*, debug: bool = False) -> None:
    """Forget what an earlier command of this process wanted.

    Args:
        debug: show tracebacks; so does the variable ``STYLER_DEBUG``.
    """
    mode.quiet = mode.json = False
    mode.debug = debug or bool(os.environ.get("STYLER_DEBUG"))
    _stdout.fault = _stderr.fault = None


def printable(text: str) -> str:
    r"""A message in one line, with control characters (of hostile file names, too) escaped.

    Example:
        >>> printable("a\nb\x1b[31m")
        'a\\nb\\x1b[31m'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def note(message: str) -> None:
    """A line for the person, on stderr."""
    if not (mode.quiet or mode.json):
        err.print(Text(printable(message), style="dim"))


def say(message: str) -> None:
    """A line that was asked for, on stdout."""
    out.print(printable(message))


def result(path: object) -> None:
    """The path of a finished file, on stdout: exactly, for whatever reads it."""
    if not mode.json:
        out.file.write(f"{path}\n")
        out.file.flush()


def table(rows: Table) -> None:
    """A table that was asked for, on stdout: cells are wrapped on a terminal, never cut."""
    wanted = out.measure(rows, options=out.options.update_width(10_000))
    width = max(out.width, wanted.minimum) if out.is_terminal else wanted.maximum
    Console(file=out.file, width=width, highlight=False, markup=False, emoji=False).print(rows)


def event(name: str, /, **fields: Any) -> None:
    """One JSON line on stdout, with ``--json`` only."""
    if mode.json:
        out.file.write(json.dumps({"event": name, **fields}, allow_nan=False) + "\n")
        out.file.flush()


def error(fault: StylerError) -> None:
    """One line and a hint, on stderr."""
    err.print(Text("error: ", "bold red").append(printable(fault.message), ""))
    if fault.hint:
        err.print(Text("hint: ", "bold").append(printable(fault.hint), ""))
    event("error", message=fault.message, hint=fault.hint, exit_code=int(fault.exit_code))


def finish() -> None:
    """Make sure that what was printed has arrived.

    Raises:
        OutputError: it has not; a reader who left, as in ``styler layers vgg19 | head``, is fine.
    """
    _stdout.flush()
    fault = _stdout.fault
    if fault is not None and fault.errno != errno.EPIPE:
        raise undelivered(fault)


def undelivered(fault: OSError) -> OutputError:
    """The error for a standard output that takes nothing more."""
    return OutputError(
        f"cannot write to standard output: {fault.strerror}", "see where it is redirected to"
    )


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Give a command its manners: errors become one line, a hint and an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            returned = command(*args, **kwargs)
            finish()
            return returned
        except StylerError as fault:
            if mode.debug:
                err.print(traceback.format_exc())
            error(fault)
            raise typer.Exit(int(fault.exit_code)) from None
        except KeyboardInterrupt:
            err.print("interrupted")
            raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
        except typer.Exit:
            raise
        except Exception as bug:
            if mode.debug:
                err.print(traceback.format_exc())
            error(
                StylerError(
                    f"this is a bug: {type(bug).__name__}: {bug}",
                    "run `styler --debug …` for the traceback and report it",
                )
            )
            raise typer.Exit(int(ExitCode.BUG)) from None

    return run


def counted(number: int, noun: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "step"), counted(20, "step")
        ('1 step', '20 steps')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """Seconds for people.

    Example:
        >>> duration(8.4), duration(75), duration(3700)
        ('8 s', '1:15 min', '1:01 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"


def can_redraw() -> bool:
    """Whether a bar can be drawn again and again in its place."""
    return err.is_terminal and not err.is_dumb_terminal


def _describe(step: StepEvent, noun: str) -> str:
    height, width = step.size
    return f"{noun} {step.level + 1}/{step.levels}  {width}×{height}"


class _Remaining:
    """Time left, weighing each step by its number of pixels.

    The first step is not counted: it loads libraries and warms up.
    """

    def __init__(self, work: list[float]) -> None:
        self.work = work
        self._first: tuple[float, float] | None = None

    def __call__(self, step: StepEvent) -> str:
        """Such as "1:10 min left"; empty while there is nothing to go by."""
        before = sum(self.work[: step.level])
        share = (before + self.work[step.level] * step.step / step.steps) / sum(self.work)
        if self._first is None:
            self._first = (step.seconds, share)
            return ""
        seconds, done = step.seconds - self._first[0], share - self._first[1]
        return f"{duration(seconds * (1 - share) / done)} left"


@contextlib.contextmanager
def progress(work: list[float], noun: str = "scale") -> Iterator[Callable[[StepEvent], None]]:
    """Show an optimisation's steps; yields the callback that receives them.

    A bar on a terminal, a line now and then elsewhere, JSON events with ``--json``, nothing with
    ``--quiet``.

    Args:
        work: relative cost of each scale.
        noun: what the scales are called.
    """
    remaining = _Remaining(work)
    if mode.json:
        yield lambda step: event("step", **_step_fields(step))
    elif mode.quiet:
        yield lambda step: None
    elif can_redraw():
        yield from _bar(remaining, noun)
    else:
        yield _lines(remaining, noun)


def _step_fields(step: StepEvent) -> dict[str, Any]:
    names = ("level", "levels", "step", "steps", "done", "planned", "total", "losses", "size")
    return {**{name: getattr(step, name) for name in names}, "seconds": round(step.seconds, 3)}


def _bar(remaining: _Remaining, noun: str) -> Iterator[Callable[[StepEvent], None]]:
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[left]}", style="cyan"),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=err, transient=True, refresh_per_second=4) as bars:
        task = bars.add_task("starting", total=None, count="", left="")

        def show(step: StepEvent) -> None:
            bars.update(
                task,
                completed=step.done,
                total=step.planned,
                description=f"{_describe(step, noun)}  loss {step.total:.3g}",
                count=f"{step.done}/{step.planned}",
                left=remaining(step),
            )

        yield show


def _lines(remaining: _Remaining, noun: str) -> Callable[[StepEvent], None]:
    last = time.monotonic()

    def show(step: StepEvent) -> None:
        nonlocal last
        left = remaining(step)
        if step.step < step.steps and time.monotonic() - last < PLAIN_EVERY:
            return
        last = time.monotonic()
        losses = "  ".join(f"{name} {value:.3g}" for name, value in step.losses.items())
        err.print(f"step {step.done}/{step.planned}  {_describe(step, noun)}  {losses}  {left}")

    return show


@contextlib.contextmanager
def downloads() -> Iterator[Callable[[int, int | None], None]]:
    """Show a download; yields the callback that receives bytes so far and in all."""
    if mode.quiet or mode.json or not can_redraw():
        yield _download_lines()
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    with Progress(
        BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=err, transient=True
    ) as bars:
        tasks: list[Any] = []

        def show(received: int, total: int | None) -> None:
            if not tasks:
                tasks.append(bars.add_task("download", total=total))
            bars.update(tasks[0], completed=received, total=total)

        yield show


def _download_lines() -> Callable[[int, int | None], None]:
    last = 0.0

    def show(received: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_EVERY:
            last = time.monotonic()
            of = f" of {total / 1e6:.0f}" if total else ""
            note(f"downloading: {received / 1e6:.0f}{of} MB")

    return show
