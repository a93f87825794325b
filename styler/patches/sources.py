"""Which photographs are looked at: the files of a folder, each once."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from styler.batch.sources import Finder, absolute
from styler.directions import PICTURES
from styler.errors import ImageError, UsageError
from styler.images.source import missing_hint, open_source
from styler.patches.record import Skipped

_CHUNK = 2**20


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file that may be a photograph.

    Args:
        file: from the folder of photographs, with slashes.
        path: absolute.
        bytes: its length.
        time: of its last change, in nanoseconds.
    """

    file: str
    path: Path
    bytes: int
    time: int


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Files that may be photographs.

    Args:
        folder: that all of them are in, absolute.
        files: in the order of their paths, folder by folder.
        skipped: what is there and cannot be looked at.
    """

    folder: Path
    files: list[Source]
    skipped: list[Skipped]


def find_sources(images: str | Path | Sequence[str | Path], out: Path | None = None) -> Sources:
    """The photographs in a folder and in those below it, or those named.

    Hidden files and folders are passed over, and what links lead to is taken once.

    Args:
        images: a folder, or files.
        out: a folder for results; what is in it is no photograph.

    Returns:
        In an order that depends on their paths alone.

    Raises:
        ImageError: there are none, or no such folder.
    """
    if isinstance(images, (str, Path)):
        return _in_folder(absolute(images), out)
    paths = sorted({absolute(path) for path in images}, key=lambda path: path.parts)
    if not paths:
        raise ImageError("no photographs are named", "name a folder, or files")
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    return _described(folder, paths, [])


def _in_folder(folder: Path, out: Path | None) -> Sources:
    if not folder.is_dir():
        if folder.exists():
            raise ImageError(f"{folder} is a file, expected a folder", "name a folder")
        raise ImageError(f"no such folder: {folder}", missing_hint(folder))
    # Without a place for results, there are none in the way.
    finder = Finder(out or folder / ".styler", PICTURES, "photographs")
    paths = [found.path for found in finder.find(str(folder))]
    left_out = [
        Skipped(file=_printable(path, folder), reason=reason)
        for path, reason in sorted(finder.left_out.items(), key=lambda item: item[0].parts)
        if _is_worth_telling(path, out)
    ]
    return _described(folder, paths, left_out)


def _is_worth_telling(path: Path, out: Path | None) -> bool:
    """Whether somebody may have meant a file: not of hidden ones and of other things."""
    if path.name.startswith(".") or (out and os.path.realpath(path) == os.path.realpath(out)):
        return False
    return path.suffix.lower() in PICTURES or path.is_dir()


def _described(folder: Path, paths: Sequence[Path], skipped: list[Skipped]) -> Sources:
    files = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            name.encode()
            found = path.stat()
        except UnicodeEncodeError:
            reason = "its name is no Unicode text: rename it"
            skipped.append(Skipped(file=_printable(path, folder), reason=reason))
        except OSError as fault:
            skipped.append(Skipped(file=name, reason=f"cannot be read: {fault.strerror}"))
        else:
            files.append(Source(file=name, path=path, bytes=found.st_size, time=found.st_mtime_ns))
    return Sources(folder=folder, files=files, skipped=skipped)


def _printable(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix().encode(errors="backslashreplace").decode()


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        ImageError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_source(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def copies(files: Sequence[Source], known: Mapping[str, str]) -> dict[str, str]:
    """Which files are the same as another, that comes before them.

    Only files of the same length are read, and only where it is not known what they hold.

    Args:
        files: in order.
        known: digest by file, of those that are as they were.

    Returns:
        The first of the same content, by file.
    """
    alike: dict[int, list[Source]] = defaultdict(list)
    for source in files:
        alike[source.bytes].append(source)
    found: dict[str, str] = {}
    for group in alike.values():
        first: dict[str, str] = {}
        for source in group if len(group) > 1 else []:
            try:
                digest = known.get(source.file) or digest_of(source.path)
            except ImageError:
                continue  # it is told of when it is its turn
            original = first.setdefault(digest, source.file)
            if original != source.file:
                found[source.file] = original
    return found


def has_changed(file: str) -> ImageError:
    """The error for a photograph that is another since it was looked at."""
    return ImageError(f"{file} has changed since it was looked at", "look at the folder once more")


def relative_folder(folder: Path, out: Path | None) -> str:
    """The folder of photographs, from the folder of results where there is one and a way."""
    if out is None:
        return folder.as_posix()
    try:
        return Path(os.path.relpath(os.path.realpath(folder), os.path.realpath(out))).as_posix()
    except ValueError:  # on another drive
        return folder.as_posix()


def require(number: int, least: int, what: str) -> None:
    """Make sure that a number is not too small.

    Raises:
        UsageError: it is.
    """
    if number < least:
        raise UsageError(f"{what} is {number}", f"choose {least} or more")
