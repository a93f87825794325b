"""One content and one style, with a setting or several varied: a table of pictures."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from styler import jobs
from styler.batch.making import Networks
from styler.config import TransferConfig, setting_files
from styler.engine import Callback, RunResult, StepEvent
from styler.errors import DivergedError, StylerError
from styler.features import Extractor
from styler.images import shrink
from styler.images.output import failing_as_output_error
from styler.network import extractor_for
from styler.report.provenance import style_names
from styler.results import check_folder, check_target, refuse_source
from styler.styles.cache import StyleCache
from styler.styles.choice import StyleChoice
from styler.sweep_plan import Cell, Variation

LIMIT = 100
"""Pictures that a sweep may have without being asked twice."""
SHEET_SIDE = 512
"""Longer side of a picture on the sheet in pixels, at most: a hundred large ones would fill the
memory."""
_NAME = 120
"""Characters of the name of a kept picture, at most, without what all begin with."""


@dataclass(frozen=True, kw_only=True)
class SweepJob:
    """What to make of which files.

    Args:
        content: the content picture.
        styles: pictures or saved styles, at least one, with their shares; blended in all pictures.
        variations: what is varied.
        cells: its pictures, from `plan_cells`.
        output: where the sheet goes.
        keep: folder for the single pictures, each with its recipe, made when it is missing; None
            keeps only the sheet.
        overwrite: replace existing files.
    """

    content: Path
    styles: tuple[StyleChoice, ...]
    variations: tuple[Variation, ...]
    cells: tuple[Cell, ...]
    output: Path
    keep: Path | None = None
    overwrite: bool = False

    def kept(self, cell: Cell) -> Path | None:
        """Where a picture goes; None when it is on the sheet alone."""
        if self.keep is None:
            return None
        number = str(cell.number + 1).zfill(len(str(len(self.cells))))
        values = "+".join(f"{name}-{value}" for name, value in cell.values.items())
        plain = re.sub(r"[^\w.,=+-]+", "-", values)[:_NAME]
        return self.keep / f"{number}-{plain}.png"

    def transfer(self, cell: Cell) -> jobs.TransferJob:
        """The transfer that makes a picture.

        What is not kept goes to the sheet, and may go there if the sheet may.
        """
        return jobs.TransferJob(
            content=self.content,
            styles=self.styles,
            output=self.kept(cell) or self.output,
            resolved=cell.resolved,
            overwrite=self.overwrite,
        )


@dataclass(frozen=True, kw_only=True)
class CellPlan:
    """What a picture takes.

    Args:
        size: (height, width) of its finest scale.
        steps: at all scales.
        work: pixels times steps, and more for tiles.
        coarsest: pixels of its coarsest scale.
    """

    size: tuple[int, int]
    steps: int
    work: float
    coarsest: int


@dataclass(frozen=True, kw_only=True)
class PreparedSweep:
    """A sweep all of whose pictures can be made.

    Args:
        job: the sweep.
        plans: of each cell.
        extractor: the network of the first picture.
        keeps_freed_memory: whether all are planned for a process that keeps what it frees.
        networks: gives those that are loaded, or loads others.
        cache: statistics of the style pictures.
    """

    job: SweepJob
    plans: tuple[CellPlan, ...]
    extractor: Extractor
    keeps_freed_memory: bool
    networks: Networks
    cache: StyleCache

    def picture(self, cell: Cell) -> jobs.Prepared:
        """A picture, ready to be made."""
        return jobs.prepare(self.job.transfer(cell), self.networks, cache=self.cache)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A picture that was made, or was given up.

    Args:
        cell: which.
        image: (1, 3, H, W) in [0, 1], no larger than the sheet shows it; None when it diverged.
        run: how it went; None when it diverged.
        path: its own file, if it is kept.
        notices: what a person should know about it.
    """

    cell: Cell
    image: Tensor | None
    run: RunResult | None = None
    path: Path | None = None
    notices: tuple[str, ...] = ()


def prepare(
    job: SweepJob, load: Callable[[TransferConfig], Extractor] = extractor_for
) -> PreparedSweep:
    """Go through all pictures without a step; everything that can be refused is refused here.

    Args:
        job: what to make; its folder `keep` is made.
        load: gives a network, which all pictures of its settings share.

    Raises:
        OutputError: the sheet or a picture could not be written, or would replace a source.
        ImageError, ConfigError, BackboneError, DeviceError: from `styler.jobs.prepare`; after the
            first picture with the combination named.
    """
    names, paths = style_names(len(job.styles)), [style.path for style in job.styles]
    sources = {"content": job.content, **dict(zip(names, paths, strict=True))}
    check_target(job.output, sources, overwrite=job.overwrite)
    for cell in job.cells:
        files = setting_files(cell.resolved.config)
        refuse_source(job.output, {name: Path(file) for name, file in files.items()})
    if job.keep is not None:
        check_folder(job.keep)
        with failing_as_output_error(job.keep):
            job.keep.mkdir(parents=True, exist_ok=True)
    networks, cache = Networks(load), StyleCache()
    plans: list[CellPlan] = []
    extractors: list[Extractor] = []
    keeps = True
    for cell in job.cells:
        with _named(cell):
            problem = jobs.prepare(job.transfer(cell), networks, cache=cache).problem
        levels = problem.levels
        keeps = keeps and problem.keeps_freed_memory
        extractors = extractors or [problem.extractor]
        plans.append(
            CellPlan(
                size=levels[-1].size,
                steps=sum(level.steps for level in levels),
                work=sum(problem.work()),
                coarsest=math.prod(levels[0].size),
            )
        )
    return PreparedSweep(
        job=job,
        plans=tuple(plans),
        extractor=extractors[0],
        keeps_freed_memory=keeps,
        networks=networks,
        cache=cache,
    )


@contextlib.contextmanager
def _named(cell: Cell) -> Iterator[None]:
    """Say which picture is refused, where the first was not."""
    try:
        yield
    except StylerError as error:
        if cell.number == 0:
            raise
        raise type(error)(f"with {cell.label}: {error.message}", error.hint) from error


def run(
    prepared: PreparedSweep,
    *,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> Iterator[Made]:
    """Make the pictures, row by row, and yield each when it is done.

    A picture that diverges is given up. Stopping ends the sweep; the picture under way is dropped,
    for beside finished ones it would say something wrong.

    Args:
        prepared: the sweep.
        callbacks: called with a `StepEvent` after steps: its `level` is the picture's number, its
            `step` and `steps` those of the picture, `done` and `planned` those of the sweep.
        should_stop: asked after each step with the steps done in the sweep; True ends it.

    Raises:
        DeviceError: from the optimisation.
        OutputError: a kept picture cannot be written; its hint says where it is.
    """
    course = _Course(prepared, callbacks, should_stop or (lambda _: False))
    for cell in prepared.job.cells:
        made = _made(prepared, cell, course)
        if made is None:
            return
        yield made
        course.go_on()


class _Course:
    """Where a sweep is: its pictures' steps among all steps."""

    def __init__(
        self,
        prepared: PreparedSweep,
        callbacks: Sequence[Callback],
        should_stop: Callable[[int], bool],
    ) -> None:
        self.steps = [plan.steps for plan in prepared.plans]
        self.callbacks = callbacks
        self.should_stop = should_stop
        self.started = time.perf_counter()
        self.number = self.before = 0

    def tell(self, event: StepEvent) -> None:
        """Hand on the step of a picture as one of the sweep."""
        overall = replace(
            event,
            level=self.number,
            levels=len(self.steps),
            step=event.done,
            steps=event.planned,
            done=self.before + event.done,
            planned=sum(self.steps),
            seconds=time.perf_counter() - self.started,
        )
        for callback in self.callbacks:
            callback(overall)

    def stop(self, done: int) -> bool:
        """Whether to end after so many steps of a picture."""
        return self.should_stop(self.before + done)

    def go_on(self) -> None:
        """Come to the next picture."""
        self.before += self.steps[self.number]
        self.number += 1


def _made(prepared: PreparedSweep, cell: Cell, course: _Course) -> Made | None:
    """One picture; None when it was stopped."""
    picture = prepared.picture(cell)
    try:
        result = picture.problem.solve(callbacks=[course.tell], should_stop=course.stop)
    except DivergedError as error:
        return Made(cell=cell, image=None, notices=(error.message,))
    if result.run.stopped:
        return None
    path, notices = prepared.job.kept(cell), result.notices
    if path is not None:
        notices = tuple(jobs.finish(picture, result).notices)
    return Made(
        cell=cell,
        image=shrink(result.image, SHEET_SIDE),
        run=result.run,
        path=path,
        notices=notices,
    )
