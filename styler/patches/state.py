"""What was learned of photographs so far, on disk, so that none of them is looked at twice."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from styler.errors import ImageError, OutputError
from styler.images.output import failing_as_output_error, write_atomically
from styler.patches.sources import Source, digest_of
from styler.patches.tally import Tally
from styler.styles.tensors import pack, unpack

PRIVATE = ".styler"
"""The folder, in that of the results, of what is for the program alone."""
STATE = f"{PRIVATE}/scan.safetensors"
"""The file of a state, from the folder of the results."""
_LEFT = re.compile(r"\.styler-[0-9a-f]{16}\.tmp")
"""What a program that was killed has left of a file."""
SCHEMA = 1
"""Raised when the same settings come to mean other numbers."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that what is found depends on, beside the photographs.

    Args:
        backbone: the network's name.
        weights_sha256: digest of its weights.
        pooling: how it pools.
        padding: what its convolutions see beyond the border.
        precision: what it computes in.
        device: the kind of device.
        layers: units looked at, by layer, from the image to the deepest.
        k: places kept of a unit.
        per_image: places of one photograph among them.
        side: the shorter one at which photographs are shown.
        square: whether they are shown as squares.
        folder: of the photographs, from that of the results.
        inside: whether places count only where their fields lie in the photograph.
        schema: of the numbers.
    """

    backbone: str
    weights_sha256: str
    pooling: str
    padding: str
    precision: str
    device: str
    layers: dict[str, list[int]]
    k: int
    per_image: int
    side: int
    square: bool
    folder: str
    inside: bool = False
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file that was looked at, or could not be.

    Args:
        file: from the folder of photographs.
        bytes: its length.
        time: of its last change, in nanoseconds.
        sha256: of its content; empty where it could not be read.
        size: (height, width), upright.
        part: what the network saw of it.
        seen: (height, width) to which that was scaled.
        reason: why it was not looked at; None for one that was.
    """

    file: str
    bytes: int
    time: int
    sha256: str = ""
    size: tuple[int, int] = (0, 0)
    part: tuple[int, int, int, int] = (0, 0, 0, 0)
    seen: tuple[int, int] = (0, 0)
    reason: str | None = None

    def matches(self, source: Source) -> bool:
        """Whether a file seems to be as it was."""
        return (self.bytes, self.time) == (source.bytes, source.time)


@dataclass
class State:
    """What is known so far.

    Args:
        settings: what it is of.
        entries: the files, by name. The numbers of photographs in the tallies are the places of
            their files in the listing of the folder.
        tallies: by layer.
    """

    settings: Settings
    entries: dict[str, Entry] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)

    @classmethod
    def new(cls, settings: Settings) -> State:
        """One that knows of no photograph."""
        tallies = {name: Tally(len(units), settings.k) for name, units in settings.layers.items()}
        return cls(settings=settings, tallies=tallies)


def save_state(out: Path, state: State, listing: Sequence[str]) -> None:
    """Write a state; equal ones give equal bytes.

    Args:
        out: the folder of the results.
        state: what is known.
        listing: the files of the folder of photographs, in order.

    Raises:
        OutputError: it cannot be written.
    """
    known = [name for name in listing if name in state.entries]
    place = {name: number for number, name in enumerate(known)}
    numbers = [place.get(name, -1) for name in listing]
    tensors = {}
    for layer, tally in state.tallies.items():
        copy = tally.copy()
        copy.renumber(numbers)
        tensors.update({f"{layer}/{name}": tensor for name, tensor in copy.pack().items()})
    record = {
        "settings": msgspec.to_builtins(state.settings),
        "entries": [msgspec.to_builtins(state.entries[name]) for name in known],
    }
    target = out / STATE
    with failing_as_output_error(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, pack(tensors, record))


def load_state(out: Path, listing: Sequence[str]) -> State | None:
    """The state that an earlier run has left.

    Args:
        out: the folder of the results.
        listing: the files of the folder of photographs, in order.

    Returns:
        The state, in which photographs have their numbers in the listing; those that are no longer
        in it have none that means anything. None where there is none.

    Raises:
        OutputError: it is damaged, or another version's.
    """
    path = out / STATE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise OutputError(
            f"cannot read {path}: {fault.strerror}", "check the folder and the disk"
        ) from fault
    try:
        tensors, record = unpack(data)
        settings = msgspec.convert(record["settings"], Settings)
        entries = msgspec.convert(record["entries"], list[Entry])
        place = {name: number for number, name in enumerate(listing)}
        numbers = [place.get(entry.file, -1) for entry in entries]
        tallies = {}
        for layer in settings.layers:
            parts = {name: tensors[f"{layer}/{name}"] for name in vars(Tally(0, 0))}
            tallies[layer] = Tally.unpack(parts)
            tallies[layer].renumber(numbers)
    except (ValueError, LookupError, msgspec.ValidationError) as fault:
        raise OutputError(
            f"{path} is damaged, or another version's", "begin anew with --overwrite"
        ) from fault
    return State(settings, {entry.file: entry for entry in entries}, tallies)


def remove_leftovers(folder: Path) -> None:
    """Remove halves of files that were being written in a folder when a program was killed.

    Raises:
        OutputError: one cannot be removed.
    """
    with failing_as_output_error(folder):
        for path in folder.iterdir() if folder.is_dir() else ():
            if _LEFT.fullmatch(path.name):
                path.unlink(missing_ok=True)


def check_settings(out: Path, found: Settings, wanted: Settings) -> None:
    """Make sure that a state is of what is wanted now.

    Raises:
        OutputError: it is not; says of what first.
    """
    for item in dataclasses.fields(Settings):
        before, now = getattr(found, item.name), getattr(wanted, item.name)
        if before != now:
            raise OutputError(
                f"{out} holds what was found with another {_NAMES.get(item.name, item.name)}"
                f"{_difference(before, now)}",
                "choose another folder with -o, or replace what is there with --overwrite",
            )


_NAMES = {
    "weights_sha256": "file of weights",
    "layers": "choice of layers and units",
    "per_image": "number of patches of a photograph",
    "k": "number of patches",
    "side": "size of photographs",
    "square": "shape of photographs",
    "inside": "choice of places (--inside)",
    "folder": "folder of photographs",
    "schema": "version of styler",
}


def _difference(before: Any, now: Any) -> str:
    plain = isinstance(before, (int, str)) and len(str(before)) + len(str(now)) < 60
    return f": {before}, now {now}" if plain and not isinstance(before, bool) else ""


def refresh(state: State, files: Sequence[Source]) -> str | None:
    """Forget files that are gone and could not be looked at anyway, and find what has changed.

    A file with another time and the same content is as it was.

    Args:
        state: of an earlier run; it is changed.
        files: of the folder, in order.

    Returns:
        Why all has to be looked at anew, in one line: a photograph that counts is gone or has
        changed. None where it has not.
    """
    here = {source.file: source for source in files}
    for name, entry in list(state.entries.items()):
        source = here.get(name)
        if source is None and entry.reason is None:
            return f"{name} is gone"
        if source is not None and entry.matches(source):
            continue
        if source is not None and _is_same(entry, source):
            state.entries[name] = dataclasses.replace(entry, bytes=source.bytes, time=source.time)
        elif entry.reason is None:
            return f"{name} has changed"
        else:
            del state.entries[name]
    return None


def _is_same(entry: Entry, source: Source) -> bool:
    try:
        return bool(entry.sha256) and digest_of(source.path) == entry.sha256
    except ImageError:
        return False


def separate_copies(state: State, same: Mapping[str, str]) -> str | None:
    """Forget files that could not be looked at and are now known to be copies of others.

    Args:
        state: it is changed.
        same: the first file of the same content, by file.

    Returns:
        Why all has to be looked at anew, in one line: what was looked at is now a copy of a file
        that comes before it. None where nothing is.
    """
    for name, original in same.items():
        entry = state.entries.get(name)
        if entry is not None and entry.reason is None:
            return f"{original} has come, and {name} is a copy of it"
        state.entries.pop(name, None)
    return None
