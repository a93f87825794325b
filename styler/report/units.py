"""What is known of many units, for people and for programs: a labelled grid, an index, a film."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from styler.config import Resolved, flatten
from styler.errors import ConfigError, OutputError
from styler.features import Extractor
from styler.images import AnimationWriter, read_picture, write_picture
from styler.images.output import write_atomically
from styler.natural import on_grey, square
from styler.quality import Quality
from styler.report.sheets import unit_grid
from styler.visualize import Shown

GRID = "grid.png"
"""All units on one sheet."""
INDEX = "index.json"
"""What is known of every unit, for programs."""
FRAMES = 48
"""Frames of an animation."""
FRAMES_PER_SECOND = 12
GRID_SIDE = 160
"""Pixels of a cell, unless the pictures are smaller."""
_CLASS = re.compile(r"logits:\d+ ([^+*:]+)")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A unit in the index.

    Args:
        unit: its name.
        files: its pictures, from the index's folder.
        steps: taken.
        finished: whether those were all.
        quality: of its first picture.
        strongest: the photograph that excites it most, from the index's folder.
    """

    unit: str
    files: list[str]
    steps: int
    finished: bool
    quality: Quality | None = None
    strongest: str | None = None


def read_index(folder: Path) -> dict[str, Entry]:
    """The entries of an earlier run, by unit; none where there is no index that can be read."""
    try:
        record = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        entries = msgspec.convert(record["units"], list[Entry])
    except (OSError, ValueError, KeyError, TypeError, msgspec.ValidationError):
        return {}
    return {entry.unit: entry for entry in entries}


def refuse_foreign(folder: Path) -> None:
    """Make sure that no grid or index of somebody else's would be replaced.

    Raises:
        OutputError: there is one.
    """
    names = [name for name in (GRID, INDEX) if (folder / name).exists()]
    if names and not read_index(folder):
        raise OutputError(
            f"{folder / names[0]} already exists, and is none of styler's",
            "choose another folder with -o, or replace it with --overwrite",
        )


def write_index(
    folder: Path, extractor: Extractor, resolved: Resolved[Any], entries: Sequence[Entry]
) -> None:
    """Write what is known of every unit; those of earlier runs stay while their pictures do.

    Args:
        folder: of the pictures.
        extractor: the network.
        resolved: all settings of this run.
        entries: of its units.

    Raises:
        OutputError: the file cannot be written.
    """
    known = {
        name: entry
        for name, entry in read_index(folder).items()
        if all((folder / file).is_file() for file in entry.files)
    }
    entries = [*{**known, **{entry.unit: entry for entry in entries}}.values()]
    record = {
        "backbone": extractor.name,
        "weights_sha256": extractor.weights_sha256,
        "settings": dict(flatten(resolved.config)),
        "units": msgspec.to_builtins(list(entries)),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False)
    write_atomically(folder / INDEX, text.encode())


def short_label(name: str) -> str:
    """What fits under a small picture: of a class, its label alone; of a way, first how far.

    Example:
        >>> short_label("logits:1 goldfish"), short_label("relu4_1:37")
        ('goldfish', 'relu4_1:37')
    """
    match = _CLASS.fullmatch(name)
    if match:
        return match[1]
    way, _, share = name.rpartition(" ")
    return f"{share} {way}" if ".." in way else name


def write_grid(folder: Path, entries: Sequence[Entry]) -> None:
    """Write all units on one sheet, each beside the photograph that excites it most, if known.

    Args:
        folder: of the pictures.
        entries: of all units, at least one.

    Raises:
        OutputError: the file cannot be written.
    """
    cells: list[tuple[str, Tensor]] = []
    for entry in entries:
        for number, name in enumerate(entry.files):
            label = short_label(entry.unit) if number == 0 else f"#{number + 1}"
            dead = " (dead)" if number == 0 and entry.quality and entry.quality.dead else ""
            picture = read_picture(folder / name)
            cells.append((label + dead, on_grey(picture.pixels, picture.alpha)))
        if entry.strongest is not None:
            photograph = read_picture(folder / entry.strongest).pixels
            cells.append(("photograph", square(photograph, GRID_SIDE)))
    each = len(entries[0].files) + (entries[0].strongest is not None)
    columns = None if each == 1 else each * max(1, round((1.5 * len(cells)) ** 0.5 / each))
    sheet = unit_grid(cells, side=min(GRID_SIDE, cells[0][1].shape[-1]), columns=columns)
    write_picture(folder / GRID, sheet, overwrite=True)


def animate(path: Path, shown: Sequence[Shown], *, overwrite: bool = False) -> None:
    """Write how pictures came to be, all on one grid.

    Args:
        path: an animation's file.
        shown: with frames.
        overwrite: replace an existing file.

    Raises:
        ConfigError: there are no frames.
        OutputError: the file cannot be written.
    """
    count = max((len(one.frames) for one in shown), default=0)
    if not count:
        raise ConfigError("nothing came to be: no frames", "take more steps")
    with AnimationWriter(path, fps=FRAMES_PER_SECOND, overwrite=overwrite) as writer:
        for number in range(count):
            cells = []
            for one in shown:
                frames = one.frames or (torch.zeros(3, 1, 1, dtype=torch.uint8),)
                frame = frames[min(number, len(frames) - 1)][None].float() / 255
                alpha = frame[:, 3:] if frame.shape[1] == 4 else None
                cells.append((short_label(one.unit.name), on_grey(frame[:, :3], alpha)))
            side = (
                min(GRID_SIDE, cells[0][1].shape[-1]) if len(cells) > 1 else cells[0][1].shape[-1]
            )
            writer.add(unit_grid(cells, side=side))
