"""From what people name to files: a file, a folder with all below it, or a glob."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from styler.errors import ImageError
from styler.images.source import missing_hint

_MAGIC = re.compile(r"[*?[]")
_ALL = ("**",)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file that an argument stands for.

    Args:
        path: absolute; links to files are not followed in it.
        tree: names of the folders between what was named and the file.
    """

    path: Path
    tree: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Which files below a folder are meant.

    Args:
        root: the folder, absolute.
        pattern: one glob for each name on the way to a file; ``**`` stands for any number of
            folders. A folder that matches is meant with all that is below it.
    """

    root: Path
    pattern: tuple[str, ...] = _ALL

    def begin(self) -> frozenset[int]:
        """Places in the pattern before the first name."""
        return self._closed({0})

    def step(self, places: frozenset[int], name: str) -> frozenset[int]:
        """Places in the pattern after one more name; none: nothing below is meant."""
        following = set()
        for place in places:
            if place == len(self.pattern) or self.pattern[place] == "**":
                following.add(place)
            elif fnmatchcase(name, self.pattern[place]):
                following.add(place + 1)
        return self._closed(following)

    def is_match(self, places: frozenset[int]) -> bool:
        """Whether the pattern is used up."""
        return len(self.pattern) in places

    def takes(self, path: str) -> bool:
        """Whether a file, by its real path, is meant.

        Example:
            >>> scan = Scan(root=Path("/photos"), pattern=("**", "*.jpg"))
            >>> scan.takes("/photos/2024/cat.jpg"), scan.takes("/photos/cat.png")
            (True, False)
        """
        root = os.path.realpath(self.root)
        if not is_inside(path, root) or path == root:
            return False
        places = self.begin()
        for name in os.path.relpath(path, root).split(os.sep):
            if name.startswith("."):
                return False
            places = self.step(places, name)
        return self.is_match(places)

    def _closed(self, places: set[int]) -> frozenset[int]:
        """With those that ``**`` reaches by standing for no folder at all."""
        for place, part in enumerate(self.pattern):
            if part == "**" and place in places:
                places.add(place + 1)
        return frozenset(places)


class Finder:
    """Finds the files that arguments stand for.

    Args:
        out: the batch's folder; files in it are passed over, unless it holds what was named.
        endings: of files that count, lower case.
        noun: for them, in messages.
    """

    def __init__(self, out: Path, endings: Sequence[str], noun: str = "pictures") -> None:
        self.left_out: dict[Path, str] = {}
        """path → why it is passed over"""
        self.scans: list[Scan] = []
        """all that was searched"""
        self._out = os.path.realpath(out)
        self._endings = tuple(endings)
        self._noun = noun

    def find(self, argument: str) -> list[Found]:
        """The files that one argument stands for, sorted by path.

        A file whose name is no picture's is passed over, as in a folder, because a shell may have
        found it: ``photos/*`` does the same with quotes and without.

        Args:
            argument: a file, a folder or a glob. A file of exactly that name wins over a glob.

        Returns:
            The files; none for a file that is passed over.

        Raises:
            ImageError: it is missing (the closest names are offered), a folder cannot be listed or
                holds nothing, or nothing matches.
        """
        path = absolute(argument)
        if os.path.isdir(path):
            return self._search(Scan(root=path), f"no {self._noun} in {argument}")
        if os.path.lexists(path):
            return [Found(path=path)] if self._is_taken(path, named=True) else []
        parts = path.parts
        magic = next((i for i, part in enumerate(parts) if _MAGIC.search(part)), None)
        if magic is None:
            raise ImageError(f"no such file or folder: {argument}", missing_hint(path))
        root = Path(*parts[:magic])
        if not os.path.isdir(root):
            raise ImageError(f"no such folder: {root}", missing_hint(root))
        return self._search(Scan(root=root, pattern=parts[magic:]), f"nothing matches {argument}")

    def _search(self, scan: Scan, nothing: str) -> list[Found]:
        self.scans.append(scan)
        paths = sorted(self._walk(scan), key=lambda path: path.parts)
        if not paths:
            raise ImageError(nothing, f"names of {self._noun} end in {', '.join(self._endings)}")
        return [Found(path=path, tree=path.relative_to(scan.root).parent.parts) for path in paths]

    def _walk(self, scan: Scan) -> Iterator[Path]:
        """Files below a folder; each real folder once, by the way without links if there is one."""
        spared = self._out if not is_inside(os.path.realpath(scan.root), self._out) else None
        seen: set[str] = set()
        folders = [(scan.root, scan.begin())]
        links: list[tuple[Path, frozenset[int]]] = []
        while folders or links:
            folder, places = folders.pop() if folders else links.pop(0)
            real = os.path.realpath(folder)
            if real in seen:
                self.left_out[folder] = "a link to a folder that is taken already"
                continue
            if spared is not None and is_inside(real, spared):
                self.left_out[folder] = "the results of the batch itself"
                continue
            seen.add(real)
            for entry in self._list(folder, scan.root):
                path, after = folder / entry.name, scan.step(places, entry.name)
                if after and _is_folder(entry) and not _is_hidden(path):
                    (links if entry.is_symlink() else folders).append((path, after))
                elif scan.is_match(after) and self._is_taken(path):
                    yield path

    def _list(self, folder: Path, root: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as fault:
            reason = f"cannot be listed: {fault.strerror}"
            if folder == root:
                raise ImageError(f"{root} {reason}", "check the mode of the folder") from fault
            self.left_out[folder] = reason
            return []

    def _is_taken(self, path: Path, *, named: bool = False) -> bool:
        """Whether a file counts; if not, the reason is noted. One that was named may be hidden."""
        reason = None
        if _is_hidden(path) and not named:
            reason = "hidden"
        elif path.suffix.lower() not in self._endings:
            reason = f"its name is not that of one of the {self._noun}"
        elif not os.path.isfile(path):
            reason = "a link to nothing" if os.path.islink(path) else "a pipe or device"
        if reason is not None:
            self.left_out[path] = reason
        return reason is None


def absolute(argument: str | Path, folder: str | Path = "") -> Path:
    """A path from the root of the file system, ``~`` being one's home; links are not followed.

    Args:
        argument: a path.
        folder: that a relative one starts from; the current one by default.
    """
    return Path(os.path.abspath(os.path.join(folder, os.path.expanduser(argument))))


def is_inside(path: str, folder: str) -> bool:
    """Whether a real path is a real folder or below it.

    Example:
        >>> is_inside("/a/b", "/a"), is_inside("/a", "/a"), is_inside("/ab", "/a")
        (True, True, False)
    """
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # A link in a circle makes `entry.is_dir` raise.
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
