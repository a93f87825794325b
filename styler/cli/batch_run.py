"""Running a batch with everything a person wants to see meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from styler.cli import console
from styler.cli.batch_screen import Screen, screen
from styler.cli.interrupt import listening
from styler.errors import ExitCode, OutputError, UsageError

if TYPE_CHECKING:
    from styler.batch.plan import Plan
    from styler.batch.work import WorkOrder
    from styler.config import Resolved, TransferConfig

LISTED = 10
"""Failures that the summary names; the gallery and the journal have them all."""


class Halt:
    """Ends a batch when it is asked to: by Ctrl-C and its like."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        """Whether to end."""
        return self.asked

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal: the first ends the steps under way, the second ends at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        console.note("stopping; the pictures under way are given back; once more to stop at once")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One `styler batch`.

    Args:
        plan: what is to be made.
        folder: of the results.
        resolved: the settings of all jobs.
        bit_depth: 8 or 16; None takes each content's.
        workers: processes; None for one, or one for each GPU.
        engine: `local` or `ray`.
        address: of a Ray cluster.
        retry_failed: try what failed before once more.
        overwrite: replace files that no batch has made.
    """

    plan: Plan
    folder: Path
    resolved: Resolved[TransferConfig]
    bit_depth: int | None = None
    workers: int | None = None
    engine: str = "local"
    address: str | None = None
    retry_failed: bool = False
    overwrite: bool = False

    def go(self, *, gallery: bool) -> ExitCode:
        """Do what is left to do.

        Returns:
            `BATCH` when a part failed, `INTERRUPTED` when it was stopped, else `SUCCESS`.

        Raises:
            OutputError: files are in the way, or results cannot be written.
        """
        from styler.batch.journal import Journal
        from styler.batch.owners import release_of_the_dead
        from styler.images.output import failing_as_output_error
        from styler.report.gallery import check_gallery
        from styler.results import check_folder

        if self.workers is not None and self.workers < 1:
            raise UsageError(f"{self.workers} workers are asked for", "choose 1 or more")
        if self.workers is not None and self.engine == "ray":
            raise UsageError("--workers is for --engine local", "Ray has a worker for each GPU")
        for path, reason in self.plan.left_out:
            console.note(f"left out: {path}: {reason}")
        check_folder(self.folder)
        check_gallery(self.folder)
        with failing_as_output_error(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with Journal.open(self.folder) as journal:
            self._refuse_strangers(journal.known())
            journal.sync(self.plan.jobs, retry_failed=self.retry_failed)
            release_of_the_dead(journal)
            counts, plan = journal.counts(), journal.plan
        if counts.done:
            console.note(f"{console.counted(counts.done, 'picture')} done before")
        halt = Halt()
        with listening(halt.handle), screen(len(self.plan.jobs), counts.done) as show:
            if counts.waiting or counts.running:
                self._work(plan, show, halt)
        made = show.tally.done - counts.done
        return self._conclude(halt, show, made, time.monotonic() - started, gallery=gallery)

    def _refuse_strangers(self, known: set[str]) -> None:
        """Files where results go, which no batch has made, are not replaced."""
        if self.overwrite:
            return
        strangers = [j.output for j in self.plan.jobs if j.key not in known and j.output.exists()]
        if strangers:
            more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
            raise OutputError(
                f"{strangers[0]}{more} already exists, made by no batch in this folder",
                "choose another folder with -o, or replace with --overwrite",
            )

    def _order(self, plan: str | None) -> WorkOrder:
        from styler.batch.owners import owner_name
        from styler.batch.work import WorkOrder

        return WorkOrder(
            folder=self.folder,
            resolved=self.resolved,
            owner=owner_name(),
            plan=plan,
            bit_depth=self.bit_depth,
        )

    def _work(self, plan: str | None, show: Screen, halt: Halt) -> None:
        from styler.batch.local import run_here, run_processes

        order = self._order(plan)
        if self.engine == "ray":
            from styler.batch.ray_engine import run_on_ray

            run_on_ray(order, self.address, show, halt)
            return
        devices = self._devices()
        if len(devices) == 1:
            run_here(order, show, halt)
        else:
            run_processes(order, devices, show, halt)

    def _devices(self) -> list[str]:
        """A device for each worker."""
        import torch

        from styler.runtime import resolve_device

        device = resolve_device(self.resolved.config.runtime.device)
        gpus = torch.cuda.device_count() if device.type == "cuda" and device.index is None else 1
        count = self.workers or gpus
        if device.type == "cuda" and device.index is None:
            return [f"cuda:{number % gpus}" for number in range(count)]
        return [str(device)] * count

    def _conclude(
        self, halt: Halt, show: Screen, made: int, seconds: float, *, gallery: bool
    ) -> ExitCode:
        from styler.batch.journal import Journal
        from styler.config import flatten
        from styler.report.gallery import write_gallery

        with Journal.open(self.folder) as journal:
            records = journal.records()
        keys = {job.key for job in self.plan.jobs}
        mine = [record for record in records if record.key in keys]
        failed = [record for record in mine if record.state == "failed"]
        done = sum(record.state == "done" for record in mine)
        rate = f", {60 * made / seconds:.3g} per minute" if made and seconds else ""
        console.note(
            f"{console.counted(made, 'picture')} in {console.duration(seconds)}{rate}; "
            f"{done} of {len(mine)} done, {len(failed)} failed"
        )
        untold = [record for record in failed if record.key not in show.told]
        for record in untold[:LISTED]:
            console.note(f"failed before: {record.key}: {record.error}")
        if len(untold) > LISTED:
            console.note(f"and {len(untold) - LISTED} more; index.html shows them all")
        console.event(
            "summary", made=made, done=done, failed=len(failed), seconds=round(seconds, 2)
        )
        if gallery and records:
            settings = dict(flatten(self.resolved.config))
            title = self.folder.resolve().name
            console.result(write_gallery(self.folder, records, title=title, settings=settings))
        if halt.asked and done + len(failed) < len(mine):
            return ExitCode.INTERRUPTED
        return ExitCode.BATCH if failed else ExitCode.SUCCESS

    def show_plan(self) -> None:
        """Say what would be made, and how long it would take."""
        from styler.batch.estimate import estimate

        jobs = self.plan.jobs
        found = estimate(jobs, self.resolved)
        seconds = None if found.seconds is None else found.seconds / (self.workers or 1)
        if console.mode.json:
            for job in jobs:
                styles = [{"path": str(s.path), "weight": s.weight} for s in job.styles]
                console.event("job", key=job.key, content=str(job.content), styles=styles)
            console.event(
                "plan", jobs=len(jobs), seconds=seconds, bytes=found.bytes, output=str(self.folder)
            )
            return
        for path, reason in self.plan.left_out:
            console.note(f"left out: {path}: {reason}")
        for job in jobs:
            styles_ = " + ".join(
                str(s.path) + (f":{s.weight:g}" if len(job.styles) > 1 else "") for s in job.styles
            )
            console.say(f"{job.key}  {job.content}  {styles_}")
        console.say(f"{console.counted(len(jobs), 'picture')} of {self.plan.total} in the plan")
        if found.unreadable:
            console.say(f"{console.counted(found.unreadable, 'content')} cannot be read")
        if seconds is not None:
            console.say(f"about {console.duration(seconds)}, {found.bytes / 1e6:,.0f} MB")
