"""Running an attribution with everything a person wants to see meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from styler.cli import console

if TYPE_CHECKING:
    from styler.attribution.job import Explained, PreparedAttribution
    from styler.attribution.sampled import Progress

INEXACT = 0.05
"""Share by which integrated gradients may miss their sum before more steps are advised; section 5
of arXiv 1703.01365 has 5 %."""


def announce(prepared: PreparedAttribution) -> None:
    """Say what is explained, and how the network sees it."""
    from styler.runtime import precision_name

    target, extractor = prepared.target, prepared.extractor
    height, width = prepared.seen.shape[-2:]
    chosen = "" if prepared.job.target else ", the likeliest class; --target names another"
    console.note(f"target {target.name}  {target.score:.3g}{chosen}")
    console.event(
        "start",
        backbone=extractor.name,
        device=str(extractor.device),
        precision=precision_name(extractor.dtype),
        target=target.name,
        score=target.score,
        size=(height, width),
        methods=prepared.job.methods,
        output=str(prepared.job.output or "."),
    )


def show_plan(prepared: PreparedAttribution) -> None:
    """Say what would be written, and how long it would take."""
    from styler.attribution.job import estimate

    job = prepared.job
    files = [
        str(path) for method in job.methods for path in (job.picture(method), job.array(method))
    ]
    files += [str(job.sheet)] if job.sheet else []
    seconds = estimate(prepared)
    if console.mode.json:
        console.event("plan", files=files, seconds=round(seconds, 2))
        return
    height, width = prepared.seen.shape[-2:]
    for file in files:
        console.say(file)
    methods = console.counted(len(job.methods), "method")
    console.say(f"{methods}, seen at {width}×{height}")
    console.say(f"about {console.duration(seconds)} on {prepared.extractor.device}")


def run(prepared: PreparedAttribution) -> None:
    """Apply all methods, one after the other, and write what they give."""
    from styler.attribution.job import explain, write_sheet

    started = time.monotonic()
    done = []
    for method in prepared.job.methods:
        with _progress(method) as show:
            one = explain(prepared, method, show)
        done.append(one)
        _tell(one)
    sheet = write_sheet(prepared, done)
    console.event(
        "done",
        sheet=str(sheet) if sheet else None,
        seconds=round(time.monotonic() - started, 2),
    )
    if sheet is not None:
        console.result(sheet)


def _tell(one: Explained) -> None:
    """Say what a method found, and where it is."""
    found = one.found
    spent = f"{one.seconds:.2g} s" if one.seconds < 10 else console.duration(one.seconds)
    words = [found.method, spent]
    if found.layer is not None:
        words.append(f"at {found.layer}")
    if found.error is not None:
        words.append(f"sums to the activation gained within {found.error:.1%}")
        if found.error > INEXACT:
            words.append("more --steps are more exact")
    if not bool(found.map.any()):
        words.append("nothing speaks for it")
    console.note("  ".join(words))
    console.event(
        "method",
        method=found.method,
        picture=str(one.picture),
        map=str(one.array),
        layer=found.layer,
        error=found.error,
        seconds=round(one.seconds, 3),
    )
    console.result(one.picture)


@contextlib.contextmanager
def _progress(method: str) -> Iterator[Progress]:
    """A bar on a terminal, a line now and then elsewhere, events with ``--json``."""
    if console.mode.quiet:
        yield lambda done, total: None
    elif not console.mode.json and console.can_redraw():
        yield from _bar(method)
    else:
        yield _lines(method)


def _bar(method: str) -> Iterator[Progress]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console.err, transient=True, refresh_per_second=4) as bars:
        task = bars.add_task(method, total=1)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _lines(method: str) -> Callable[[int, int], None]:
    started = last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < console.PLAIN_EVERY:
            return
        last = now
        left = console.duration((now - started) * (total - done) / done)
        console.event("progress", method=method, done=done, total=total)
        console.note(f"{method}  {done}/{total}  {left} left")

    return show
