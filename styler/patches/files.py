"""What `styler patches` calls its files, and which of those in a folder are its own."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from styler.errors import OutputError
from styler.images.output import failing_as_output_error, write_atomically
from styler.patches.record import INDEX, Index, LayerRecord
from styler.patches.sheets import shares
from styler.patches.state import PRIVATE

FILES = f"{PRIVATE}/files.json"
"""The list of the files that are the program's own, from the folder of the results."""
PATCHES = "patches"
"""The folder of patches."""

_LONGEST = 100
"""Characters of a layer's name in those of files."""


def layer_stems(layers: Sequence[str]) -> dict[str, str]:
    """What layers are called in names of files: letters, digits and a few signs, all different.

    They differ where the case of letters does not count, too.

    Example:
        >>> layer_stems(["layer1.0.conv1", "a/b", "a_b", ".."])
        {'layer1.0.conv1': 'layer1.0.conv1', 'a/b': 'a_b', 'a_b': 'a_b~2', '..': 'layer'}
    """
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for layer in layers:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", layer).strip("._")[:_LONGEST] or "layer"
        stem, number = plain, 1
        while stem.lower() in taken:
            number += 1
            stem = f"{plain}~{number}"
        taken.add(stem.lower())
        stems[layer] = stem
    return stems


def _grid_names(stem: str, sheets: int, firsts: Collection[str]) -> list[str]:
    """Names of the sheets of a layer: none of them is that of another layer's first."""
    names = [f"grid_{stem}.png"]
    for number in range(2, sheets + 1):
        name = f"grid_{stem}_{number}.png"
        names.append(name if name not in firsts else f"grid_{stem}~_{number}.png")
    return names


def with_files(index: Index, *, patches: bool = True) -> Index:
    """An index with the names of the files that are to be written.

    Args:
        index: without them.
        patches: whether each patch is a file.
    """
    stems = layer_stems([layer.layer for layer in index.layers])
    firsts = {f"grid_{stem}.png" for stem in stems.values()}
    layers = []
    for layer in index.layers:
        stem = stems[layer.layer]
        grids = _grid_names(stem, len(shares(layer.units)), firsts)
        named = _with_patches(layer, stem) if patches else layer
        layers.append(dataclasses.replace(named, grids=grids))
    return dataclasses.replace(index, layers=layers)


def _with_patches(layer: LayerRecord, stem: str) -> LayerRecord:
    units = []
    for unit in layer.units:
        named = [
            dataclasses.replace(patch, file=f"{PATCHES}/{stem}/{unit.unit:04d}/{rank}.png")
            for rank, patch in enumerate(unit.patches, start=1)
        ]
        units.append(dataclasses.replace(unit, patches=named))
    return dataclasses.replace(layer, units=units)


def files_of(index: Index) -> list[str]:
    """All files of an index, from its folder, sorted."""
    found = {INDEX}
    for layer in index.layers:
        found.update(layer.grids)
        found.update(p.file for unit in layer.units for p in unit.patches if p.file is not None)
    return sorted(found)


class OwnFiles:
    """The files of a folder that the program has written, or was about to.

    They are noted before they are written, so that whatever ends a run, the next one knows them.

    Args:
        folder: of the results.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known = self._read()

    def _read(self) -> set[str]:
        try:
            names = json.loads((self.folder / FILES).read_bytes())
            return {name for name in msgspec.convert(names, list[str]) if _is_below(name)}
        except (OSError, ValueError, msgspec.ValidationError):
            return set()

    def check(self, layers: Sequence[str]) -> None:
        """Make sure that nothing of somebody else's would be replaced.

        Args:
            layers: whose patches and sheets are to be written.

        Raises:
            OutputError: there is something.
        """
        stems = layer_stems(layers)
        names = [INDEX, *(f"grid_{stem}.png" for stem in stems.values())]
        for stem in stems.values():  # further sheets, however many there will be
            names += [path.name for path in sorted(self.folder.glob(f"grid_{stem}_[0-9]*.png"))]
        strangers = [name for name in names if name not in self.known and self._is_there(name)]
        for stem in stems.values():
            strangers += self._strangers(PurePosixPath(PATCHES, stem))
        if strangers:
            more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
            raise OutputError(
                f"{self.folder / strangers[0]}{more} already exists, and is not of this command",
                "choose another folder with -o, or replace what is there with --overwrite",
            )

    def _is_there(self, name: str) -> bool:
        path = self.folder / name
        return path.is_symlink() or path.exists()

    def _strangers(self, place: PurePosixPath) -> list[str]:
        """Files in a folder that are not the program's."""
        root = self.folder / place
        if not root.is_dir():
            return [str(place)] if self._is_there(str(place)) else []
        found = (path.relative_to(self.folder).as_posix() for path in sorted(root.rglob("*.png")))
        return [name for name in found if name not in self.known]

    def expect(self, names: Iterable[str]) -> None:
        """Note files that are about to be written, beside those that are there.

        Raises:
            OutputError: they cannot be noted.
        """
        self.known |= set(names)
        self._write()

    def keep(self, names: Iterable[str]) -> None:
        """Remove all of the program's files but some.

        Raises:
            OutputError: one cannot be removed.
        """
        kept = set(names)
        for name in sorted(self.known - kept):
            path = self.folder / name
            with failing_as_output_error(path):
                path.unlink(missing_ok=True)
                _remove_empty(path.parent, self.folder)
        self.known = kept
        self._write()

    def _write(self) -> None:
        target = self.folder / FILES
        with failing_as_output_error(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, json.dumps(sorted(self.known), indent=0).encode())


def _is_below(name: str) -> bool:
    """Whether a name leads into the folder, as those that were written do."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and bool(path.name)


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder and those above it that are empty now."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def write_new(path: Path, data: bytes) -> None:
    """Write a file, unless it holds just that.

    Raises:
        OutputError: it cannot be written.
    """
    with failing_as_output_error(path):
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
