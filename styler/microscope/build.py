"""From a network and a folder of photographs to a site, step by step."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from styler.features import Extractor
from styler.microscope.network import network_layers, unseen
from styler.microscope.photographs import look, scan_folder, scan_of
from styler.microscope.pieces import check_site, open_site, sweep
from styler.microscope.plan import Plan
from styler.microscope.record import LayerPage, Sheet, Site, Synthetic, Thumbnail
from styler.microscope.sheets import Job, make_sheets, make_thumbnails, sheet_jobs
from styler.microscope.synthetic import (
    Chunk,
    chunks_of,
    in_chunks,
    make_chunk,
    settings_of,
    synthetic_of,
    units_of,
)
from styler.patches.index import field_of
from styler.patches.record import Index
from styler.patches.scan import Progress, Scan
from styler.patches.sources import Sources, find_sources
from styler.patches.view import framing_for
from styler.report.microscope import PAGE, page_names, write_pages
from styler.visualize import UnitsEvent, check_views, picture_side


@dataclass(frozen=True, kw_only=True)
class Step:
    """How far a stage is.

    Args:
        stage: "photographs" are looked at, "fields" of patches are found, "pictures" are made,
            "patches" are cut out, "thumbnails" are made.
        done: of these; of pictures in parts, too.
        total: of these.
        before: how many of `done` an earlier run has done.
        seconds: since the stage began.
    """

    stage: str
    done: float
    total: int
    before: float
    seconds: float


Told = Callable[[Step], None]
"""Is told how far it is. What it raises ends the work; all whole pieces are kept."""


def nobody(step: Step) -> None:
    """Listens to nothing."""


class Microscope:
    """A site in the making.

    Every piece of it is either on the disk, with what it was made from, or it is not: a run that
    was ended in whatever way is taken up again by another one, which ends with the same files. On
    a GPU some sums have no fixed order, and synthetic pictures differ in their last digits.

    Args:
        plan: what is to be shown, and where.
        extractor: the network.

    Attributes:
        identity: what the site is made with, which must not change while it is there.
        sources: the photographs; None where none are looked at.
        side: of synthetic pictures, in pixels; 0 where there are none.

    Raises:
        ImageError: there are no photographs, or pictures would be too small for a layer.
        ConfigError: a layer has no such field.
        OutputError: the folder holds something else.
    """

    def __init__(self, plan: Plan, extractor: Extractor) -> None:
        self.plan = plan
        self.extractor = extractor
        self._pages = page_names(list(plan.units))
        self._stems = {layer: Path(file).stem for layer, file in self._pages.items()}
        self.identity: dict[str, Any] = {
            "network": extractor.name,
            "weights": extractor.weights_sha256,
        }
        self.side = 0
        if plan.synthetic:
            self.identity["settings of synthetic pictures"] = settings_of(plan.resolved)
            units = [unit for c in self.chunks for unit in units_of(c, extractor)]
            check_views(extractor, in_chunks(plan.resolved.config), units)
            self.side = picture_side(extractor, plan.resolved.config, units)
        self.sources: Sources | None = None
        if plan.images is not None:
            self.sources = find_sources(plan.images, plan.output)
            framing = framing_for(extractor, list(plan.units))
            for layer in plan.units:
                field_of(extractor, layer, framing, plan.field)
        pages = [PAGE, *self._pages.values()]
        check_site(plan.output, self.identity, pages=pages, overwrite=plan.overwrite)

    @property
    def chunks(self) -> list[Chunk]:
        """Of all synthetic pictures."""
        if not self.plan.synthetic:
            return []
        return chunks_of(
            self.plan.output, self.plan.units, self._stems, self.extractor, self.plan.resolved
        )

    def missing_chunks(self) -> list[Chunk]:
        """Those that are still to be made."""
        if self.plan.overwrite:
            return self.chunks
        return [chunk for chunk in self.chunks if chunk.found() is None]

    def scan(self) -> Scan | None:
        """What is known of the photographs; None where there are none.

        Raises:
            OutputError: what is kept is damaged.
        """
        if self.sources is None:
            return None
        return scan_of(
            self.plan.output,
            self.sources,
            self.extractor,
            self.plan.wanted,
            overwrite=self.plan.overwrite,
        )

    def build(self, told: Told = nobody) -> Site:
        """Do all that is left to do.

        Args:
            told: called as it goes on. What it raises ends the work; all whole pieces are kept.

        Returns:
            The site as its pages show it.

        Raises:
            ImageError: no photograph could be read, or one has changed meanwhile.
            DeviceError: memory ran out.
            DivergedError: the loss of a picture stayed non-finite.
            OutputError: a file cannot be written.
        """
        open_site(self.plan.output, self.identity)
        index = self._index(told)
        made = self._pictures(told)
        sheets = self._sheets(index, told)
        site = Site(
            index=index,
            network=network_layers(self.extractor, index.side),
            pages=[
                LayerPage(
                    record=record,
                    synthetic=made.get(record.layer, {}),
                    sheets=sheets.get(record.layer, {}),
                )
                for record in index.layers
            ],
            thumbnails=self._thumbnails(index, told),
            making=self._making(),
        )
        write_pages(self.plan.output, site, overwrite=self.plan.overwrite)
        self._sweep(site)
        return site

    def _index(self, told: Told) -> Index:
        scan = self.scan()
        if scan is None:
            return unseen(self.extractor, self.plan.units)

        def tell(progress: Progress) -> None:
            told(
                Step(
                    stage=progress.stage,
                    done=progress.done,
                    total=progress.total,
                    before=progress.before,
                    seconds=progress.seconds,
                )
            )

        return look(scan, self.plan.units, self.plan.field, tell)

    def _pictures(self, told: Told) -> dict[str, dict[int, Synthetic]]:
        made: dict[str, dict[int, Synthetic]] = defaultdict(dict)
        missing = {chunk.key for chunk in self.missing_chunks()}
        clock = _Clock("pictures", self.plan.count, told)
        clock.before = done = sum(len(c.channels) for c in self.chunks if c.key not in missing)
        for chunk in self.chunks:
            peaks = None if chunk.key in missing else chunk.found()
            if peaks is None:
                peaks = self._make(chunk, clock, done)
                done += len(chunk.channels)
            made[chunk.layer].update(synthetic_of(self.plan.output, chunk, peaks))
        return made

    def _make(self, chunk: Chunk, clock: _Clock, done: int) -> dict[int, float]:
        def tell(event: UnitsEvent) -> None:
            clock.tell(done + event.share * event.units)

        return make_chunk(chunk, self.extractor, self.plan.resolved.config, callbacks=[tell])

    def _sheets(self, index: Index, told: Told) -> dict[str, dict[int, Sheet]]:
        if self.sources is None:
            return {}
        jobs = {
            record.layer: sheet_jobs(
                self.plan.output, self._stems[record.layer], record, index, self.plan.projections
            )
            for record in index.layers
        }
        missing = {layer: self._missing(some) for layer, some in jobs.items()}
        clock = _Clock("patches", sum(map(len, jobs.values())), told)
        clock.before = done = clock.total - sum(map(len, missing.values()))
        for layer, some in missing.items():
            tell = functools.partial(clock.more, done)
            make_sheets(some, layer, index, self.sources.folder, self.extractor, told=tell)
            done += len(some)
        return {layer: {job.record.unit: job.sheet for job in some} for layer, some in jobs.items()}

    def _missing(self, jobs: list[Job]) -> list[Job]:
        return [job for job in jobs if self.plan.overwrite or not job.is_there]

    def _thumbnails(self, index: Index, told: Told) -> Mapping[int, Thumbnail]:
        if self.sources is None:
            return {}
        clock = _Clock("thumbnails", 0, told)

        def tell(done: int, total: int) -> None:
            clock.total = total
            clock.tell(done)

        return make_thumbnails(self.plan.output, index, self.sources.folder, told=tell)

    def _making(self) -> str:
        """How synthetic pictures are made, in a few words."""
        if not self.plan.synthetic:
            return ""
        config = self.plan.resolved.config
        return f"of {self.side}×{self.side} pixels in {config.schedule.steps} steps"

    def _sweep(self, site: Site) -> None:
        kept = {small.file for small in site.thumbnails.values()}
        kept.update(sheet.file for page in site.pages for sheet in page.sheets.values())
        scans = [] if self.sources is None else [scan_folder(self.plan.output, self.plan.wanted)]
        sweep(self.plan.output, kept, scans)


class _Clock:
    """Tells of a stage.

    Args:
        stage: its name.
        total: things to do.
        told: listens.
    """

    def __init__(self, stage: str, total: int, told: Told) -> None:
        self.stage = stage
        self.total = total
        self.before: float = 0
        self._told = told
        self._began = time.monotonic()

    def more(self, done: float, now: float) -> None:
        """So much was done before, and so much since."""
        self.tell(done + now)

    def tell(self, done: float) -> None:
        """So much is done."""
        self._told(
            Step(
                stage=self.stage,
                done=done,
                total=self.total,
                before=self.before,
                seconds=time.monotonic() - self._began,
            )
        )
