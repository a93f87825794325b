"""The gallery of a batch: a page that needs nothing but a browser, and a contact sheet."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from styler.batch.job import JobRecord, State
from styler.errors import UsageError
from styler.images import read_picture, write_picture
from styler.images.output import failing_as_output_error, write_atomically
from styler.report.page import asset, check_page, embedded, mark, short
from styler.report.plots import CURVE, curve, duration, histogram
from styler.report.sheets import unit_grid
from styler.report.thumbnails import THUMBNAILS, Album, Entry

PAGE = "index.html"
"""The gallery's page, in the folder of a batch."""
SHEET = "contact-sheet.png"
"""Some of the results on one picture."""
SHEET_MOST = 100
"""Pictures on the contact sheet; more are too small to see on a screen."""
SHEET_SIDE = 200
"""Pixels of a picture on the contact sheet."""

_KIND = "gallery"
_STATES: tuple[State, ...] = ("done", "failed", "running", "waiting")
"""In the order told."""


def write_gallery(
    folder: Path,
    records: Sequence[JobRecord],
    *,
    title: str,
    settings: Mapping[str, Any],
    thumbnails: int = 320,
) -> Path:
    """Write a page that shows every job of a batch beside its sources.

    The page works from the disk, without a network, and takes thumbnails from the folder
    ``.gallery`` beside it, where each is made once and again only when its picture has changed.
    Pictures that cannot be read are named, with the reason in their place. The contact sheet shows
    up to `SHEET_MOST` results, evenly chosen; there is none while there are no results. Equal jobs
    and pictures give equal bytes.

    Args:
        folder: of the batch, made where missing. Links to pictures are relative to it where there
            is a way, so that it can be moved together with them.
        records: the jobs, in the order of the contact sheet.
        title: of the page.
        settings: those that all jobs share: dotted key → value.
        thumbnails: longer side of a thumbnail, in pixels; smaller pictures keep their size.

    Returns:
        The page, ``index.html`` in the folder.

    Raises:
        OutputError: the folder cannot be written to, or holds another page of that name.
        UsageError: thumbnails of no size.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     write_gallery(Path(name), [], title="Nothing yet", settings={}).name
        'index.html'
    """
    if thumbnails < 1:
        raise UsageError(f"a thumbnail's side is at least 1 pixel, got {thumbnails}")
    check_gallery(folder)
    with failing_as_output_error(folder / THUMBNAILS):
        (folder / THUMBNAILS).mkdir(parents=True, exist_ok=True)
    album = Album(folder, thumbnails)
    jobs = [_job(record, album) for record in records]
    sheet = _write_sheet(folder, records, album)
    data = {"pictures": [_picture(entry) for entry in album.entries], "jobs": jobs}
    times = [record.seconds for record in records if record.seconds is not None]
    page = Template(asset("gallery.html")).substitute(
        mark=mark(_KIND),
        title=escape(title),
        style=asset("page.css") + "\n" + asset("gallery.css"),
        script=asset("gallery.js"),
        counts=escape(_counts(records)),
        times=histogram(times),
        sheet=f'<p><a href="{SHEET}">Contact sheet</a></p>' if sheet else "",
        settings=_table(settings),
        width=CURVE[0],
        height=CURVE[1],
        data=embedded(data),
    )
    # Names that are no Unicode text have halves of characters, which UTF-8 cannot hold.
    write_atomically(folder / PAGE, page.encode("utf-8", "replace"))
    return folder / PAGE


def check_gallery(folder: Path) -> None:
    """Make sure that a gallery would replace no page but an earlier gallery.

    Args:
        folder: of the batch; it may be missing.

    Raises:
        OutputError: there is another page, or one that cannot be read.
    """
    check_page(folder / PAGE, _KIND)


def _job(record: JobRecord, album: Album) -> dict[str, Any]:
    """What the page needs of a job; nothing is said of what there is not."""
    made = album.add(record.output, record.key) if record.state == "done" else None
    losses = {name: short(value) for name, value in record.losses.items()}
    trace = [(step, value) for step, value in record.trace if math.isfinite(value)]
    span = [short(trace[0][1]), short(trace[-1][1]), trace[-1][0]] if trace else None
    job = {
        "key": record.key,
        "state": record.state,
        "attempts": record.attempts,
        "content": album.add(record.content),
        "styles": [[album.add(path), short(weight)] for path, weight in record.styles],
        "result": made,
        "seconds": short(record.seconds),
        "time": None if record.seconds is None else duration(record.seconds),
        "loss": losses.get("total", span[1] if span else None),
        "losses": {name: value for name, value in losses.items() if value is not None},
        "curve": curve(record.trace),
        "span": span,
        "size": None if record.size is None else list(record.size),
        "overrides": [f"{key} = {_shown(value)}" for key, value in record.overrides.items()],
        "error": record.error,
    }
    return {name: value for name, value in job.items() if value not in (None, "", [], {})}


def _picture(entry: Entry) -> dict[str, str]:
    shown = {"thumb": entry.thumbnail} if entry.thumbnail else {"problem": entry.problem}
    return {"name": entry.name, "url": entry.url, **shown}


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _counts(records: Sequence[JobRecord]) -> str:
    by_state = Counter(record.state for record in records)
    words = [f"{by_state[state]} {state}" for state in _STATES if by_state[state]]
    spent = sum(record.seconds for record in records if record.seconds is not None)
    total = f"{len(records)} {'job' if len(records) == 1 else 'jobs'}"
    return ", ".join([total, *words, f"{duration(spent)} of work"])


def _table(settings: Mapping[str, Any]) -> str:
    if not settings:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{escape(key)}</th><td>{escape(_shown(value))}</td></tr>"
        for key, value in settings.items()
    )
    return f"<details><summary>Settings of all jobs</summary><table>{rows}</table></details>"


def _write_sheet(folder: Path, records: Sequence[JobRecord], album: Album) -> bool:
    """Write the contact sheet where there is something to show; whether it was written."""
    target = folder / SHEET
    if any(record.key == SHEET for record in records):
        return False  # a result of this name comes first
    made = [album.of(record.output) for record in records if record.state == "done"]
    seen = [entry for entry in made if entry.thumbnail]
    count = min(len(seen), SHEET_MOST)
    chosen = [seen[k * len(seen) // count] for k in range(count)]
    cells = [(_label(entry.name), read_picture(album.file(entry)).pixels) for entry in chosen]
    if cells:
        write_picture(target, unit_grid(cells, side=SHEET_SIDE), overwrite=True)
    return bool(cells)


def _label(name: str) -> str:
    """One line of what can be drawn."""
    unknown = "\N{REPLACEMENT CHARACTER}"
    return "".join(letter if letter.isprintable() else unknown for letter in name)
