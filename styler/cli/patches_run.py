"""Running a search for patches with everything a person wants to see meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from styler.cli import console
from styler.cli.interrupt import Stop, stop_on_signal
from styler.errors import ExitCode, OutputError

if TYPE_CHECKING:
    from styler.features import Extractor
    from styler.patches.index import FieldChoice
    from styler.patches.record import Index, LayerRecord
    from styler.patches.scan import Progress, Wanted
    from styler.patches.sources import Sources

_ALL = 2**62
"""No limit."""
_SHOWN = 5
"""Skipped files and dead units are named up to so many."""


@dataclass(frozen=True, kw_only=True)
class PatchesJob:
    """What to find and where to put it.

    Args:
        wanted: what is looked for.
        sources: the photographs.
        out: the folder of the results.
        field: what a patch shows.
        most: longest side of a patch's file in pixels; None for that of the photograph's file.
        patches: whether each patch is a file.
        overwrite: look at all anew, and replace what is there.
    """

    wanted: Wanted
    sources: Sources
    out: Path
    field: FieldChoice
    most: int | None
    patches: bool
    overwrite: bool


class _StoppedError(Exception):
    """Ends the work where a person asked for it."""


class PatchesRun:
    """One `styler patches`.

    Args:
        job: what to find.
        extractor: the network.

    Raises:
        ConfigError: a layer, unit or field is unknown.
        ImageError: a layer cannot be had at that size.
        OutputError: the folder of the results cannot be used.
    """

    def __init__(self, job: PatchesJob, extractor: Extractor) -> None:
        from styler.patches.files import OwnFiles
        from styler.patches.index import field_of
        from styler.patches.scan import Scan
        from styler.results import check_folder

        self.job = job
        check_folder(job.out)
        if job.out.resolve() == job.sources.folder.resolve():
            raise OutputError(
                f"{job.out} is the folder of the photographs", "choose another folder with -o"
            )
        self.scan = Scan(extractor, job.wanted, job.sources, out=job.out, overwrite=job.overwrite)
        for layer in self.scan.layers:
            field_of(extractor, layer, self.scan.framing, job.field)
        if not job.overwrite:
            OwnFiles(job.out).check(self.scan.layers)
        self._before = len(self.scan.photographs())

    def go(self) -> None:
        """Do it.

        Raises:
            typer.Exit: with 130 when it was interrupted; what is known is kept.
        """
        from styler.patches.files import with_files
        from styler.patches.index import index_of
        from styler.patches.writing import write_found

        self._announce()
        job, began = self.job, time.monotonic()
        try:
            with stop_on_signal(_ALL) as stop:
                with _progress(stop) as show:
                    self.scan.run(show)
                looked = time.monotonic() - began
                with _progress(stop) as show:
                    index = with_files(index_of(self.scan, job.field, show), patches=job.patches)
                with _progress(stop) as show:
                    write_found(index, job.sources.folder, job.out, most=job.most, told=show)
        except _StoppedError:
            self._interrupted()
            raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
        self._conclude(index, looked, time.monotonic() - began)

    def _announce(self) -> None:
        scan = self.scan
        if scan.anew:
            console.note(f"{scan.anew}: all photographs are looked at anew")
        if self._before:
            new = console.counted(len(scan.todo), "new one")
            console.note(f"{console.counted(self._before, 'photograph')} known already, {new}")

    def _interrupted(self) -> None:
        """Say what is kept and how to go on."""
        known, left = len(self.scan.photographs()), len(self.scan.todo)
        rest = f", {left} are left" if left else ""
        console.note(
            f"stopped: {console.counted(known, 'photograph')} known{rest}; "
            "the same command goes on from here"
        )
        console.event("interrupted", photographs=known, left=left)

    def _conclude(self, index: Index, looked: float, seconds: float) -> None:
        self._tell_skipped(index)
        for layer in index.layers:
            self._tell_layer(layer)
        new = len(index.images) - self._before
        if new > 0:
            console.note(
                f"{console.counted(new, 'photograph')} in {console.duration(looked)}, "
                f"{new / max(looked, 1e-3):.2g} per second; {console.duration(seconds)} in all"
            )
        for layer in index.layers:
            if layer.grids:
                console.result(self.job.out / layer.grids[0])
        console.event(
            "done",
            output=str(self.job.out),
            photographs=len(index.images),
            skipped=len(index.skipped),
            seconds=round(seconds, 2),
        )

    def _tell_skipped(self, index: Index) -> None:
        for one in index.skipped[:_SHOWN]:
            console.note(f"skipped: {one.file}: {one.reason}")
        if len(index.skipped) > _SHOWN:
            console.note(f"{len(index.skipped)} skipped in all: index.json lists them")
        for one in index.skipped:
            console.event("skipped", file=one.file, reason=one.reason)

    def _tell_layer(self, layer: LayerRecord) -> None:
        """What patches of a layer show, and which of its units are dead."""
        sees = layer.sees
        what = {
            "theoretical": "patches are all that a unit sees"
            + (f", {sees[1]}×{sees[0]} pixels of {self.scan.framing.side}" if sees else ""),
            "effective": "patches are effective fields"
            + (f"; a unit sees {sees[1]}×{sees[0]} pixels" if sees else "; a unit sees all"),
            "full": "whole photographs",
        }[layer.field]
        where = ", of places inside alone" if layer.inside else ""
        if self.scan.settings.inside and not layer.inside:
            where = ", at the border, too: they see too much for --inside"
        console.note(f"{layer.layer}: {what}{where}")
        dead = [unit.unit for unit in layer.units if not unit.fired]
        if dead:
            more = f" and {len(dead) - _SHOWN} more" if len(dead) > _SHOWN else ""
            named = ", ".join(map(str, dead[:_SHOWN]))
            console.note(
                f"{layer.layer}: {len(dead)} of {len(layer.units)} units never fired: {named}{more}"
            )
        console.event(
            "layer",
            layer=layer.layer,
            units=len(layer.units),
            field=layer.field,
            sees=sees,
            dead=dead,
            grids=layer.grids,
        )

    def plan(self) -> None:
        """Say what would be done, and how long it would take."""
        from styler.patches.index import field_of

        scan, settings = self.scan, self.scan.settings
        todo, pace = len(scan.todo), scan.pace()
        seconds = None if pace is None else pace * todo
        layers = [
            {
                "layer": name,
                "units": len(units),
                "field": field_of(scan.extractor, name, scan.framing, self.job.field),
            }
            for name, units in settings.layers.items()
        ]
        if console.mode.json:
            console.event(
                "plan",
                photographs=todo,
                known=len(scan.photographs()),
                side=settings.side,
                layers=layers,
                seconds=None if seconds is None else round(seconds, 1),
                output=str(self.job.out),
            )
            return
        self._say_plan(layers, todo, seconds)

    def _say_plan(self, layers: list[dict[str, Any]], todo: int, seconds: float | None) -> None:
        scan = self.scan
        for layer in layers:
            console.say(
                f"{layer['layer']}  {console.counted(layer['units'], 'unit')}, {layer['field']}"
            )
        known = len(scan.photographs())
        shape = "squares" if scan.framing.square else "shorter side"
        console.say(
            f"{console.counted(todo, 'photograph')} to look at"
            + (f", {known} known already" if known else "")
            + f", at {scan.framing.side} pixels ({shape})"
        )
        if seconds is not None:
            console.say(
                f"about {console.duration(seconds)} on {scan.extractor.device}, and some more for "
                "the patches"
            )
        console.say(f"output {self.job.out}")


@contextlib.contextmanager
def _progress(stop: Stop) -> Iterator[Callable[[Progress], None]]:
    """What is shown of a stage; it ends the stage when a signal has asked for that."""
    with _shown() as show:

        def told(progress: Progress) -> None:
            show(progress)
            if stop(progress.done):
                raise _StoppedError

        yield told


@contextlib.contextmanager
def _shown() -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, else a line now and then, events for JSON."""
    if console.mode.quiet:
        yield lambda progress: None
    elif not console.mode.json and console.can_redraw():
        yield from _bar()
    else:
        yield _lines()


def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
    with Bars(*columns, console=console.err, transient=True, refresh_per_second=4) as bars:
        task = bars.add_task("starting", total=None)

        def show(progress: Progress) -> None:
            bars.update(
                task,
                completed=progress.done,
                total=progress.total,
                description=_described(progress),
            )

        yield show


def _lines() -> Callable[[Progress], None]:
    last = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last < console.PLAIN_EVERY:
            return
        last = time.monotonic()
        console.event(
            "progress",
            stage=progress.stage,
            done=progress.done,
            total=progress.total,
            skipped=progress.skipped,
            seconds=round(progress.seconds, 2),
        )
        console.note(_described(progress))

    return show


def _described(progress: Progress) -> str:
    """Such as "312/1000 photographs  3.9/s  2:56 min left  2 skipped"."""
    rate = (progress.done - progress.before) / max(progress.seconds, 1e-3)
    left = (progress.total - progress.done) / max(rate, 1e-9)
    skipped = f"  {progress.skipped} skipped" if progress.skipped else ""
    return (
        f"{progress.done}/{progress.total} {progress.stage}  {rate:.2g}/s  "
        f"{console.duration(left)} left{skipped}"
    )
