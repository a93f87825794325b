"""Pictures that say themselves what they were made from, so that none is made twice."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from styler.errors import OutputError
from styler.images.output import failing_as_output_error, write_atomically
from styler.report.microscope import KIND, check_pages
from styler.report.thumbnails import QUALITY, jpeg
from styler.results import check_folder

UNITS = "units"
"""Folder of the units' pictures, a folder for each layer in it."""
PHOTOGRAPHS = "photographs"
"""Folder of small photographs."""
STATE = ".microscope"
"""Folder of what is needed to go on with a site, but not to look at it."""

PATCHES = "-patches.jpg"
"""Ends the names of units' sheets."""
SCANS = "scan-"
"""Begins the names of folders in which scans are kept."""

_RECORD = "site.json"
_LEFT = re.compile(r"\.styler-[0-9a-f]{16}\.tmp")
"""What a program that was killed has left of a file."""


def key_of(*parts: Any) -> str:
    """A short digest of what a piece is made from.

    Args:
        parts: anything that JSON can hold.

    Example:
        >>> key_of("relu4_1", 37) == key_of("relu4_1", 38)
        False
    """
    text = json.dumps(parts, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def write_piece(
    path: Path, pixels: Tensor, key: str, *, quality: int = QUALITY, **facts: Any
) -> None:
    """Write a picture with its key, whole or not at all.

    Args:
        path: a JPEG file; its folder is made where missing.
        pixels: (1, 3, H, W) in [0, 1].
        key: from `key_of`.
        quality: of the file.
        facts: what else is to be known of it, for `read_piece`.

    Raises:
        OutputError: it cannot be written.
    """
    with failing_as_output_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    comment = json.dumps({"key": key, **facts}, sort_keys=True, allow_nan=False)
    write_atomically(path, jpeg(pixels, quality=quality, comment=comment))


def read_piece(path: Path, key: str) -> dict[str, Any] | None:
    """The facts of a picture; None where there is none made from the same.

    Args:
        path: the file.
        key: from `key_of`.
    """
    try:
        with Image.open(path) as picture:
            facts = json.loads(picture.info.get("comment", b"null"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("key") == key else None


def open_site(folder: Path, identity: dict[str, Any]) -> None:
    """Make a folder for a site, or go on with the one that is there.

    Args:
        folder: of the site, looked at by `check_site`.
        identity: from there, too.

    Raises:
        OutputError: it cannot be written to.
    """
    path = folder / STATE / _RECORD
    with failing_as_output_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in _leftovers(folder):
            left.unlink(missing_ok=True)
    known = _identity(folder) or {}
    same = all(known.get(name, value) == value for name, value in _plain(identity).items())
    record = {**known, **identity} if same else identity
    text = json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True)
    write_atomically(path, text.encode())


def check_site(
    folder: Path, identity: dict[str, Any], *, pages: Sequence[str], overwrite: bool
) -> None:
    """Make sure that a site would replace nothing but what it may.

    Args:
        folder: of the site; it may be missing.
        identity: what must not differ from the last time, else pictures that took hours would be
            replaced.
        pages: names of its files.
        overwrite: replace pages of others, and whatever was made for another identity.

    Raises:
        OutputError: the folder holds something else, another network's site, or one of other
            settings.
    """
    check_folder(folder)
    if overwrite or not folder.is_dir():
        return
    check_pages(folder, pages)
    known = _identity(folder)
    if known is None:
        with failing_as_output_error(folder):
            foreign = [path for path in folder.iterdir() if path.name != STATE]
        if foreign:
            raise OutputError(
                f"{folder} holds something else than a {KIND} of styler",
                "choose another folder with -o, or write into this one with --overwrite",
            )
        return
    wanted = _plain(identity)
    differing = [name for name in wanted if known.get(name, wanted[name]) != wanted[name]]
    if differing:
        raise OutputError(
            f"{folder} was made with {' and '.join(f'other {name}' for name in differing)}",
            "choose another folder with -o, or make it anew with --overwrite",
        )


def _plain(identity: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back."""
    found: dict[str, Any] = json.loads(json.dumps(identity))
    return found


def _identity(folder: Path) -> dict[str, Any] | None:
    """What a site was made with; None where there is none."""
    try:
        known = json.loads((folder / STATE / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) else None


def _leftovers(folder: Path) -> Iterator[Path]:
    """Halves of files that were being written when a program was killed."""
    places = [folder, folder / PHOTOGRAPHS, folder / UNITS, folder / STATE]
    for below in (folder / UNITS, folder / STATE):
        places += sorted(path for path in below.rglob("*") if path.is_dir())
    for place in places:
        if place.is_dir():
            yield from [path for path in place.iterdir() if _LEFT.fullmatch(path.name)]


def sweep(folder: Path, kept: Collection[str], scans: Collection[Path]) -> None:
    """Remove what an earlier site in a folder has shown and this one does not.

    Synthetic pictures stay: they take long to make, and may be wanted again.

    Args:
        folder: of the site.
        kept: files of patches and photographs that are shown, from the folder.
        scans: folders of scans that are of use.

    Raises:
        OutputError: something cannot be removed.
    """
    with failing_as_output_error(folder):
        small = [*folder.glob(f"{PHOTOGRAPHS}/*.jpg"), *folder.glob(f"{UNITS}/*/*{PATCHES}")]
        for path in small:
            if path.relative_to(folder).as_posix() not in kept:
                path.unlink()
        for path in folder.glob(f"{STATE}/{SCANS}*"):
            if path not in scans:
                shutil.rmtree(path)
