"""Units of a network become picture files, a labelled grid, and an index, one at a time."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from styler.activation import Unit
from styler.config import Resolved, VisualizeConfig
from styler.directions import pictures_in
from styler.engine import RunResult
from styler.errors import ImageError, UsageError
from styler.features import Extractor
from styler.images import (
    WRITABLE_EXTENSIONS,
    check_animation,
    check_output,
    read_recipe,
    write_picture,
)
from styler.images.output import failing_as_output_error
from styler.quality import Quality, judge, strongest_natural
from styler.report.provenance import Recipe, config_record, decode, encode
from styler.report.units import FRAMES, Entry, animate, refuse_foreign, write_grid, write_index
from styler.results import check_folder, make_recipe
from styler.units import file_stem
from styler.visualize import Shown, UnitsEvent, check_views, picture_side, visualize

_MACHINE = ("runtime.device", "runtime.precision", "backbone.weights", "schedule.batch")
"""Settings that change nothing of what a picture shows."""


@dataclass(frozen=True, kw_only=True)
class VisualizeJob:
    """What to show and where to put it.

    Args:
        units: what to show.
        output: a folder; or a picture's file, for one picture.
        resolved: all settings.
        overwrite: replace existing files.
        natural: a folder of photographs that units are compared with.
        animation: a file for the pictures coming to be.
        number: which picture of a unit is wanted, from 1, when only one of several is; None for
            all.
    """

    units: Sequence[Unit]
    output: Path
    resolved: Resolved[VisualizeConfig]
    overwrite: bool = False
    natural: Path | None = None
    animation: Path | None = None
    number: int | None = None

    @property
    def single(self) -> bool:
        """Whether the output is a picture's file."""
        return self.output.suffix.lower() in WRITABLE_EXTENSIONS

    def files(self, unit: Unit) -> list[Path]:
        """Where the pictures of a unit go."""
        count = self.resolved.config.pictures
        if self.single:
            return [self.output] * (1 if self.number else count)
        stem = file_stem(unit)
        if count == 1:
            return [self.output / f"{stem}.png"]
        return [self.output / f"{stem}_{number}.png" for number in range(1, count + 1)]


def check_job(job: VisualizeJob, extractor: Extractor) -> list[Unit]:
    """Refuse what cannot be done, and tell which units are still to be done.

    Args:
        job: what to show.
        extractor: the network.

    Returns:
        The units without those that are there already, made with the same settings and weights.

    Raises:
        UsageError: several pictures for one file.
        OutputError: a file is in the way, or could not be written.
        ImageError: pictures would be too small for a layer.
        ConfigError: there is nothing to do.
    """
    check_views(extractor, job.resolved.config, job.units)
    stems = [path for unit in job.units for path in job.files(unit)]
    if len(stems) > 1 and job.single and job.number is None:
        raise UsageError(
            f"{len(stems)} pictures cannot all be {job.output}", "name a folder with -o"
        )
    if job.animation is not None:
        check_animation(job.animation, overwrite=job.overwrite)
    _check_places(job)
    missing = []
    for unit in job.units:
        files, alone = job.files(unit), job.number is not None  # which is one to be made again
        if job.overwrite or alone or not all(_is_there(job, extractor, p, unit) for p in files):
            missing.append(unit)
            for path in files:
                unfinished = not alone and _is_part(path, unit)
                if path.parent.is_dir():
                    check_output(path, overwrite=job.overwrite or unfinished)
    return missing


def _check_places(job: VisualizeJob) -> None:
    """The photographs are there, and the folder of the results can be written to."""
    if job.natural is not None:
        if not job.natural.is_dir():
            raise ImageError(f"no such folder: {job.natural}", "name a folder of photographs")
        next(pictures_in(job.natural))  # an empty one is told as such
    if not job.single:
        check_folder(job.output)
        if not job.overwrite:
            refuse_foreign(job.output)


def _recipe_in(path: Path) -> Recipe | None:
    try:
        text = read_recipe(path) if path.exists() else None
        return decode(text, path) if text is not None else None
    except ImageError:
        return None


def _is_part(path: Path, unit: Unit) -> bool:
    """Whether a file is an unfinished picture of a unit, which may be replaced."""
    recipe = _recipe_in(path)
    return recipe is not None and _same_unit(recipe, unit) and not _finished(recipe)


def _same_unit(recipe: Recipe, unit: Unit) -> bool:
    return recipe.kind == "visualize" and (recipe.subject or "").partition(" #")[0] == unit.name


def _finished(recipe: Recipe) -> bool:
    flat = recipe.config.get("schedule.flat", 0.0)
    least = recipe.config.get("schedule.least", 1) if flat else recipe.outcome.planned
    return bool(recipe.outcome.done >= min(least, recipe.outcome.planned))


def _is_there(job: VisualizeJob, extractor: Extractor, path: Path, unit: Unit) -> bool:
    recipe = _recipe_in(path)
    if recipe is None or not _same_unit(recipe, unit) or not _finished(recipe):
        return False
    wanted = json.loads(json.dumps(config_record(job.resolved)))  # tuples become lists
    same = all(
        recipe.config.get(key) == value for key, value in wanted.items() if key not in _MACHINE
    )
    return same and recipe.weights_sha256 == extractor.weights_sha256


def run(
    job: VisualizeJob,
    extractor: Extractor,
    missing: Sequence[Unit],
    *,
    told: Callable[[Entry], None] | None = None,
    callbacks: Sequence[Callable[[UnitsEvent], None]] = (),
    looked: Callable[[int], None] | None = None,
    skipped: Callable[[Path, ImageError], None] | None = None,
    should_stop: Callable[[int], bool] | None = None,
) -> list[Entry]:
    """Show the units and write everything.

    Args:
        job: what to show.
        extractor: the network.
        missing: the units that are not there yet, from `check_job`.
        told: called with each unit as soon as it is written.
        callbacks: called after steps.
        looked: called with the number of photographs looked at.
        skipped: called with each of them that cannot be read.
        should_stop: asked after each step; True ends the run, and what there is is written.

    Returns:
        An entry for each unit that is there.
    """
    config = job.resolved.config
    found = {}
    if job.natural is not None:
        side = picture_side(extractor, config, job.units)
        files = list(pictures_in(job.natural))
        found = strongest_natural(
            job.units, files, extractor, side=side, progress=looked, skipped=skipped
        )
    writer = _Writer(job, extractor, {name: value for name, (value, _) in found.items()}, told)
    writer.strongest = {name: path for name, (_, path) in found.items()}
    shown = (
        visualize(
            missing,
            extractor,
            config,
            snapshots=FRAMES if job.animation else 0,
            done=writer.take,
            callbacks=callbacks,
            should_stop=should_stop,
        )
        if missing
        else []
    )
    entries = writer.all_entries()
    if not job.single and entries:
        write_grid(job.output, entries)
        write_index(job.output, extractor, job.resolved, entries)
    if job.animation is not None and shown:
        animate(job.animation, shown, overwrite=job.overwrite)
    return entries


class _Writer:
    """Writes each unit as soon as it is done."""

    def __init__(
        self,
        job: VisualizeJob,
        extractor: Extractor,
        natural: Mapping[str, float],
        told: Callable[[Entry], None] | None,
    ) -> None:
        self.job = job
        self.extractor = extractor
        self.natural = natural
        self.told = told
        self.strongest: Mapping[str, Path] = {}
        self.entries: dict[str, Entry] = {}

    def take(self, one: Shown) -> None:
        """Judge and write one unit."""
        job = self.job
        (quality,) = judge([one.unit], one.images[:1], self.extractor, natural=self.natural or None)
        files, several = job.files(one.unit), len(one.images) > 1
        wanted = [job.number] if job.number else range(1, len(one.images) + 1)
        for path, number in zip(files, wanted, strict=True):
            image = one.images[number - 1 : number]
            subject = one.unit.name + (f" #{number}" if several else "")
            with failing_as_output_error(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(
                path,
                image[:, :3],
                alpha=image[:, 3:] if image.shape[1] == 4 else None,
                recipe=encode(self._recipe(one, path, subject, quality)),
                overwrite=True,  # what must not be replaced was refused before the work
            )
        entry = Entry(
            unit=one.unit.name,
            files=[path.name for path in files],
            steps=one.steps,
            finished=one.finished,
            quality=quality,
            strongest=self._strongest(one.unit.name),
        )
        self.entries[one.unit.name] = entry
        if not job.single:  # now, for who knows whether the machine stays on
            write_index(job.output, self.extractor, job.resolved, [entry])
        if self.told:
            self.told(entry)

    def _strongest(self, name: str) -> str | None:
        path = self.strongest.get(name)
        if path is None:
            return None
        folder = self.job.output.parent if self.job.single else self.job.output
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()

    def _recipe(self, one: Shown, path: Path, subject: str, quality: Quality) -> Recipe:
        planned = self.job.resolved.config.schedule.steps
        numbers = dataclasses.asdict(quality)
        losses = {k: float(v) for k, v in numbers.items() if isinstance(v, (int, float))}
        run = RunResult(
            image=one.images[:1],
            done=one.steps,
            planned=planned,
            evaluations=one.steps,
            recoveries=0,
            trace=[(one.steps, -quality.clean, losses)],
            stopped=not one.finished,
            seconds=one.seconds,
        )
        recipe = make_recipe(
            "visualize",
            output=path,
            pictures={},
            size=(one.images.shape[-2], one.images.shape[-1]),
            bit_depth=8,
            extractor=self.extractor,
            run=run,
            resolved=self.job.resolved,
        )
        return dataclasses.replace(recipe, subject=subject)

    def all_entries(self) -> list[Entry]:
        """Of every unit that is there, those of earlier runs among them."""
        entries = []
        for unit in self.job.units:
            entry = self.entries.get(unit.name) or self._entry_there(unit)
            if entry is not None:
                entries.append(entry)
        return entries

    def _entry_there(self, unit: Unit) -> Entry | None:
        """Of a unit from an earlier run, by what its picture remembers."""
        files = self.job.files(unit)
        recipe = _recipe_in(files[0]) if all(path.is_file() for path in files) else None
        if recipe is None or not _same_unit(recipe, unit):
            return None
        quality = _quality_of(recipe)
        strongest = self._strongest(unit.name)
        if quality is not None and strongest is not None:
            natural = self.natural[unit.name]
            ratio = quality.clean / natural if natural > 0 else None
            quality = dataclasses.replace(quality, natural=natural, ratio=ratio)
        return Entry(
            unit=unit.name,
            files=[path.name for path in files],
            steps=recipe.outcome.done,
            finished=_finished(recipe),
            quality=quality,
            strongest=strongest,
        )


def _quality_of(recipe: Recipe) -> Quality | None:
    """What a picture's recipe says of its quality."""
    numbers = recipe.outcome.losses
    if "clean" not in numbers:
        return None

    def whole(name: str) -> int | None:
        return int(numbers[name]) if name in numbers else None

    return Quality(
        clean=numbers["clean"],
        robust=numbers.get("robust"),
        rank=whole("rank"),
        channels=whole("channels"),
        natural=numbers.get("natural"),
        ratio=numbers.get("ratio"),
        dead=bool(numbers.get("dead", 0.0)),
    )
