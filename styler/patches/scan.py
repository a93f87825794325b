"""Looks at photographs, each once, and keeps the places that excite the units of layers most."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from styler.errors import ConfigError, ImageError
from styler.features import Extractor
from styler.patches.clock import Clock
from styler.patches.inside import can_be_inside, inside_part
from styler.patches.look import Look, look_through
from styler.patches.reading import Seen, reading, show
from styler.patches.record import Skipped
from styler.patches.sources import Source, Sources, copies, relative_folder, require
from styler.patches.state import (
    STATE,
    Entry,
    Settings,
    State,
    check_settings,
    load_state,
    refresh,
    remove_leftovers,
    save_state,
    separate_copies,
)
from styler.patches.tally import Reach
from styler.patches.view import View, framing_for

_SAMPLE = 2
"""Photographs that tell how fast it goes."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far it is.

    Args:
        stage: what is being done: "photographs" are looked at, "fields" are found, "patches" are
            cut out.
        done: of these.
        total: of these.
        before: how many of `done` an earlier run has done.
        skipped: photographs that could not be read, or are copies.
        seconds: since the stage began.
    """

    stage: str
    done: int
    total: int
    before: int
    skipped: int
    seconds: float


Told = Callable[[Progress], None]
"""Is told how far it is. What it raises ends the work; what is known by then is kept."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is looked for.

    Args:
        layers: names or aliases, at least one.
        units: channels of each; None for all.
        k: places kept of a unit.
        per_image: places of one photograph among them. Two of them share at most half of their
            fields; where it is not known what a unit sees, at most half of the picture.
        side: shorter side in pixels at which photographs are shown; None for the network's own.
        inside: whether only places count whose fields lie in the photograph wholly, in layers whose
            units see at most half of its shorter side.

    Raises:
        UsageError: a number is too small.
    """

    layers: Sequence[str]
    units: Sequence[int] | None = None
    k: int = 9
    per_image: int = 1
    side: int | None = None
    inside: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        require(self.k, 1, "the number of patches of a unit")
        require(self.per_image, 1, "the number of patches of a photograph")
        if self.side is not None:
            require(self.side, 1, "the size of photographs")


class Scan:
    """A look at a folder of photographs.

    Each photograph passes through the network once and alone: what is found depends neither on
    which others are looked at before, nor on how often that was interrupted.

    Args:
        extractor: the network.
        wanted: what is looked for.
        sources: the photographs.
        out: the folder of the results, in which what is known is kept; None keeps it in memory.
        overwrite: forget what is kept there.

    Attributes:
        anew: why all is looked at once more, in one line; None where there is no reason to.

    Raises:
        ConfigError: a layer or unit is unknown.
        ImageError: a layer cannot be had at that size.
        OutputError: what is kept is damaged, or of other settings.
    """

    def __init__(
        self,
        extractor: Extractor,
        wanted: Wanted,
        sources: Sources,
        *,
        out: Path | None = None,
        overwrite: bool = False,
    ) -> None:
        names = sorted(extractor.resolve(wanted.layers), key=extractor.layers.index)
        if not names:
            raise ConfigError("no layers are named", "such as relu3_1: see `styler layers`")
        self.extractor = extractor
        self.sources = sources
        self.out = out
        self.anew: str | None = None
        self.framing = framing_for(extractor, names, wanted.side)
        self.settings = Settings(
            backbone=extractor.name,
            weights_sha256=extractor.weights_sha256,
            pooling=extractor.pooling_name,
            padding=extractor.padding,
            precision=str(extractor.dtype).removeprefix("torch."),
            device=extractor.device.type,
            layers={name: _channels(extractor, name, wanted.units) for name in names},
            k=wanted.k,
            per_image=min(wanted.per_image, wanted.k),
            side=self.framing.side,
            square=self.framing.square,
            inside=wanted.inside,
            folder=relative_folder(sources.folder, out),
        )
        self._fields = {name: extractor.receptive_field(name) for name in names}
        self._numbers = {source.file: n for n, source in enumerate(sources.files)}
        self._copies: Mapping[str, str] = {}
        self._between = False  # two layers of one photograph
        self.state = self._begin(overwrite)

    @property
    def layers(self) -> list[str]:
        """Canonical names, from the image to the deepest."""
        return list(self.settings.layers)

    @property
    def todo(self) -> list[Source]:
        """The files that are still to be looked at, in order."""
        return [
            source
            for source in self.sources.files
            if source.file not in self.state.entries and source.file not in self._copies
        ]

    @property
    def skipped(self) -> list[Skipped]:
        """What is not looked at, in the order of the names."""
        found = [*self.sources.skipped]
        for name, entry in self.state.entries.items():
            if entry.reason is not None:
                found.append(Skipped(file=name, reason=entry.reason))
        for name, original in self._copies.items():
            found.append(Skipped(file=name, reason=f"a copy of {original}"))
        return sorted(found, key=lambda one: one.file.split("/"))

    def photographs(self) -> list[Entry]:
        """The files that were looked at, in order."""
        known = (self.state.entries.get(source.file) for source in self.sources.files)
        return [entry for entry in known if entry is not None and entry.reason is None]

    def run(self, told: Told | None = None) -> None:
        """Look at all that is left. Whatever ends it, what is known is put on the disk.

        Args:
            told: called after each photograph.

        Raises:
            ImageError: not one could be read.
            OutputError: what is known cannot be kept.
            DeviceError: memory ran out.
        """
        if self.out is not None:
            remove_leftovers((self.out / STATE).parent)
        todo, clock = self.todo, Clock()
        before = len(self.sources.files) - len(self._copies) - len(todo)
        with self._kept(), reading([source.path for source in todo], self.framing) as shown:
            unread = sum(1 for entry in self.state.entries.values() if entry.reason is not None)
            for done, (source, seen) in enumerate(zip(todo, shown, strict=True), start=before + 1):
                unread += not self._take(source, seen)
                clock.save(self.save)
                if told:
                    told(
                        Progress(
                            stage="photographs",
                            done=done,
                            total=before + len(todo),
                            before=before,
                            skipped=unread + len(self._copies),
                            seconds=clock.seconds,
                        )
                    )
        if not self.photographs():
            raise _nothing_read(self.skipped)

    def pace(self) -> float | None:
        """Seconds that a photograph takes, by some of those that are left; None without any.

        Raises:
            DeviceError: memory ran out.
        """
        seconds = []
        for source in self.todo:
            began = time.monotonic()
            try:
                seen = show(source.path, self.framing)
                self._look(seen)
            except ImageError:
                continue
            seconds.append(time.monotonic() - began)
            if len(seconds) == _SAMPLE:  # of which the first warms up
                break
        return min(seconds, default=None)

    def save(self) -> None:
        """Put what is known on the disk.

        Raises:
            OutputError: it cannot be written.
        """
        if self.out is not None:
            save_state(self.out, self.state, list(self._numbers))

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Puts what is known on the disk at the end, whatever ends it, but no half photograph."""
        try:
            yield
        finally:
            if not self._between:
                self.save()

    def _begin(self, overwrite: bool) -> State:
        """The state to start from: that of an earlier run, where it is of use."""
        state = None
        if self.out is not None and not overwrite:
            state = load_state(self.out, list(self._numbers))
        if state is not None:
            check_settings(self.out or Path(), state.settings, self.settings)
            self.anew = refresh(state, self.sources.files)
        if state is None or self.anew:
            state = State.new(self.settings)
        known = {entry.file: entry.sha256 for entry in state.entries.values() if entry.sha256}
        self._copies = copies(self.sources.files, known)
        reason = separate_copies(state, self._copies)
        if reason:
            self.anew, state = reason, State.new(self.settings)
        return state

    def _take(self, source: Source, seen: Seen | ImageError) -> bool:
        """Looks at one photograph, unless it cannot be had; all of it counts or nothing."""
        entry = Entry(file=source.file, bytes=source.bytes, time=source.time)
        try:
            if isinstance(seen, ImageError):
                raise seen
            looks = self._look(seen)
        except ImageError as fault:  # the network's, too, if it decides on its way what to do
            reason = fault.message.replace(str(source.path), source.file)
            self.state.entries[source.file] = dataclasses.replace(entry, reason=reason)
            return False
        number, self._between = self._numbers[source.file], True
        for name, look in looks.items():
            self.state.tallies[name].add(
                look,
                number,
                number=self.settings.per_image,
                reach=self._reach(name, look, seen.view),
            )
        self.state.entries[source.file] = dataclasses.replace(
            entry, sha256=seen.sha256, size=seen.size, part=seen.view.part, seen=seen.view.seen
        )
        self._between = False
        return True

    def _look(self, seen: Seen) -> dict[str, Look]:
        parts = {}
        for name in self.layers:
            field = self._fields[name]
            if field is not None and self.is_inside(name):
                parts[name] = inside_part(field, seen.view.seen)
        return look_through(self.extractor, seen.image, self.settings.layers, parts)

    def is_inside(self, layer: str) -> bool:
        """Whether only places of a layer count whose fields lie in the photograph wholly."""
        field = self._fields[layer]
        return self.settings.inside and can_be_inside(field, self.framing.side)

    def _reach(self, layer: str, look: Look, view: View) -> Reach | None:
        """How near to each other places of one photograph may be, where there may be several."""
        if self.settings.per_image == 1:
            return None
        field = self._fields[layer]
        if field is None:
            size = view.seen
            return Reach(field=size, jump=(size[0] / look.size[0], size[1] / look.size[1]))
        return Reach(field=(field.y.size, field.x.size), jump=(field.y.jump, field.x.jump))


def _channels(extractor: Extractor, layer: str, units: Sequence[int] | None) -> list[int]:
    """The units that are wanted of a layer, in order.

    Raises:
        ConfigError: the layer has no such unit.
    """
    count = extractor.channels(layer)
    if units is None:
        return list(range(count))
    wanted = sorted(set(units))
    if not wanted or wanted[0] < 0 or wanted[-1] >= count:
        unit = next((unit for unit in reversed(wanted) if not 0 <= unit < count), "")
        raise ConfigError(
            f"{layer} of {extractor.name} has no unit {unit}",
            f"it has {count}, from 0 to {count - 1}",
        )
    return wanted


def _nothing_read(skipped: Sequence[Skipped]) -> ImageError:
    first = f": {skipped[0].file}: {skipped[0].reason}" if skipped else ""
    return ImageError(
        f"none of the photographs could be read{first}", "name a folder of photographs"
    )
