"""Small copies of pictures, made once."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from torch import Tensor

from styler.errors import ImageError
from styler.images import read_picture, shrink
from styler.images.encode import quantise
from styler.images.output import failing_as_output_error, write_atomically

THUMBNAILS = ".gallery"
"""The folder of thumbnails."""

QUALITY = 85
"""Of JPEG files for pages."""
_SHARP = 90
"""Quality from which on colours are not stored at half the size."""
_BEHIND = 0.5
"""Grey behind transparent pixels, which suits pages of light and dark paper."""
_STATISTICS = ".style"
"""Files of a style's statistics, which are no pictures."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A picture that a page shows.

    Args:
        name: for people.
        url: of the file, from the page's folder.
        thumbnail: its file's name in the folder of thumbnails, without the extension; empty where
            there is none.
        problem: why there is none, in a few words.
    """

    name: str
    url: str
    thumbnail: str = ""
    problem: str = ""


class Album:
    """The pictures that a page shows, each once.

    A thumbnail bears its picture's time, and is made again once they differ.

    Args:
        folder: of the page; it holds the folder `THUMBNAILS`.
        side: the longer one of a thumbnail, in pixels.

    Raises:
        OutputError: the folder cannot be looked at.
    """

    entries: list[Entry]

    def __init__(self, folder: Path, side: int) -> None:
        with failing_as_output_error(folder):
            self._folder = folder.resolve()
        self._side = side
        self._parents: dict[Path, Path] = {}
        self._numbers: dict[str, int] = {}
        self.entries = []

    def add(self, path: str, name: str | None = None) -> int:
        """The number of a picture among `entries`; its thumbnail is made where needed.

        Args:
            path: the file.
            name: for people; by default the file's own.

        Returns:
            Counted from 0.

        Raises:
            OutputError: the thumbnail cannot be written.
        """
        if path not in self._numbers:
            self._numbers[path] = len(self.entries)
            self.entries.append(self._entry(Path(path), name))
        return self._numbers[path]

    def of(self, path: str) -> Entry:
        """The entry of a picture that was added."""
        return self.entries[self._numbers[path]]

    def file(self, entry: Entry) -> Path:
        """Where the thumbnail of an entry is."""
        return self._folder / THUMBNAILS / f"{entry.thumbnail}.jpg"

    def _entry(self, path: Path, name: str | None) -> Entry:
        way = self._way(path)
        entry = Entry(name=name or path.name, url=_url(way))
        if path.suffix.lower() == _STATISTICS:
            return _without(entry, "saved statistics of a style")
        code = hashlib.sha256(f"{self._side} {entry.url}".encode()).hexdigest()[:16]
        made = Entry(name=entry.name, url=entry.url, thumbnail=code)
        try:
            self._make(path, self.file(made))
        except ImageError as error:
            return _without(entry, error.message.replace(str(path), path.name))
        return made

    def _way(self, path: Path) -> Path:
        """From the folder to a file; all of the path where there is none, as to another drive.

        Links among its folders are followed, as ``..`` would lead elsewhere; the file may be one.
        """
        parent = self._parents.get(path.parent)
        if parent is None:
            parent = self._parents[path.parent] = Path(os.path.realpath(path.parent))
        try:
            return Path(os.path.relpath(parent / path.name, self._folder))
        except ValueError:
            return parent / path.name

    def _make(self, path: Path, target: Path) -> None:
        try:
            time = path.stat().st_mtime_ns
        except FileNotFoundError:  # here, as the reader looks for names that are alike
            raise ImageError(f"no such file: {path.name}") from None
        except (OSError, ValueError) as fault:
            raise ImageError(f"cannot read {path.name}: {fault}") from None
        with failing_as_output_error(target):
            if target.is_file() and target.stat().st_mtime_ns == time:
                return
        picture = read_picture(path)
        write_atomically(target, jpeg(shown(picture.pixels, picture.alpha, self._side)))
        with failing_as_output_error(target):
            os.utime(target, ns=(time, time))


def _without(entry: Entry, problem: str) -> Entry:
    return Entry(name=entry.name, url=entry.url, problem=problem)


def _url(way: Path) -> str:
    """Of a path: relative, or on a drive."""
    if way.is_absolute():
        return way.as_uri()
    return quote(os.fsencode(way.as_posix()))


def shown(pixels: Tensor, alpha: Tensor | None, side: int) -> Tensor:
    """A picture as a page shows it: opaque and no longer than a side.

    Args:
        pixels: (1, 3, H, W) in [0, 1].
        alpha: (1, 1, H, W), straight; None where all is opaque.
        side: the longer one, in pixels; smaller pictures keep their size.

    Returns:
        (1, 3, height, width).
    """
    if alpha is not None:
        pixels = pixels * alpha + _BEHIND * (1 - alpha)
    return shrink(pixels, side)


def jpeg(pixels: Tensor, *, quality: int = QUALITY, comment: str = "") -> bytes:
    r"""A picture as a small file; equal pictures give equal bytes.

    Args:
        pixels: (1, 3, H, W) in [0, 1].
        quality: of JPEG, to 95; from 90 on colours are as sharp as brightness.
        comment: kept in the file.

    Example:
        >>> import torch
        >>> jpeg(torch.zeros(1, 3, 8, 8))[:2]
        b'\xff\xd8'
    """
    buffer = io.BytesIO()
    array = quantise(pixels[0].permute(1, 2, 0).numpy())
    kept: dict[str, Any] = {"comment": comment.encode()} if comment else {}
    if quality >= _SHARP:
        kept["subsampling"] = "4:4:4"
    Image.fromarray(array).save(buffer, "JPEG", quality=quality, optimize=True, **kept)
    return buffer.getvalue()
