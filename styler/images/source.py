"""Getting hold of a picture file's bytes, or saying in one line why not."""

from __future__ import annotations

import difflib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from itertools import islice
from pathlib import Path

from styler.errors import ImageError
from styler.images.sniff import FORMATS, HEAD_LENGTH, looks_like, picture_format

_LISTED = 5
_LOOKED_AT = 5000
_ALIKE = 0.7  # the extension alone is alike in every name
_CONVERT = f"readable are {', '.join(FORMATS)}; convert it to one of them"


def read_source(path: Path) -> tuple[bytes, str]:
    """Read a whole picture file.

    Only regular files are opened, so a pipe or device cannot hang the reader, and a file is read in
    full only when its first bytes are those of a picture.

    Args:
        path: the file.

    Returns:
        Its bytes and the name of its format, one of `sniff.FORMATS`.

    Raises:
        ImageError: it is missing, no regular file, empty, unreadable or not a picture.
    """
    with open_source(path) as file:
        head = file.read(HEAD_LENGTH)
        found = picture_format(head)
        if found is None:
            raise _not_a_picture(path, head)
        return head + file.read(), found


@contextmanager
def open_source(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file to read from: a pipe or device could hang the reader.

    Args:
        path: the file.

    Yields:
        The open file.

    Raises:
        ImageError: it is missing, no regular file or unreadable, also while it is read.
    """
    try:
        _require_regular(path)
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as fault:
        raise ImageError(f"no such file: {path}", missing_hint(path)) from fault
    except PermissionError as fault:
        raise ImageError(
            f"no permission to read {path}", "check the owner and mode of the file and its folders"
        ) from fault
    except MemoryError as fault:
        raise ImageError(f"not enough memory to read {path}", "use a smaller file") from fault
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the name
        reason = getattr(fault, "strerror", None) or str(fault)
        raise ImageError(f"cannot read {path}: {reason}", "check the path and the disk") from fault


def _require_regular(path: Path) -> None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise ImageError(f"expected a picture, got a folder: {path}", "name a file inside it")
    if not stat.S_ISREG(mode):
        raise ImageError(
            f"expected a picture file, got a pipe or device: {path}", "save it to a file first"
        )


def _not_a_picture(path: Path, head: bytes) -> ImageError:
    if not head:
        return ImageError(f"the file is empty: {path}", "download or save the picture again")
    noun = looks_like(head)
    message = f"not a readable picture: {path}" + (f" looks like {noun}" if noun else "")
    return ImageError(message, _CONVERT)


def missing_hint(path: Path) -> str:
    """The names most like the missing one, else some of what the folder holds."""
    folder = path.parent
    try:
        names = sorted(p.name for p in islice(folder.iterdir(), _LOOKED_AT))
    except OSError:
        return f"the folder {folder} does not exist or cannot be listed"
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(path.name.lower(), by_lower, n=3, cutoff=_ALIKE)
    if close:
        return f"did you mean {' or '.join(by_lower[name] for name in close)}?"
    if not names:
        return f"the folder {folder} is empty"
    more = ", …" if len(names) > _LISTED else ""
    return f"the folder {folder} holds {', '.join(names[:_LISTED])}{more}"
