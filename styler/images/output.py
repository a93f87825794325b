"""Putting bytes where they belong: wholly or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from styler.errors import OutputError
from styler.images.encode import WRITABLE_EXTENSIONS

_HINTS = {
    errno.ENOSPC: "free some space, or write to another disk",
    errno.EDQUOT: "free some space, or write to another disk",
    errno.EFBIG: "raise the file size limit, or write to another disk",
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "choose a folder you may write to",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def check_output(
    path: str | Path, *, overwrite: bool, extensions: Sequence[str] = WRITABLE_EXTENSIONS
) -> None:
    """Make sure that a picture can be written, before the hours of work that lead to it.

    A temporary file is really created in the folder, and removed.

    Args:
        path: where the picture will be written.
        overwrite: whether an existing file may be replaced.
        extensions: those that the file's name may have, lower case.

    Raises:
        OutputError: the extension is unknown, the folder is missing or cannot be written to, or
            something is in the way.

    Example:
        >>> check_output("picture.xyz", overwrite=False)
        Traceback (most recent call last):
        styler.errors.OutputError: cannot write '.xyz' files: picture.xyz
    """
    target = Path(path)
    require_target(target, overwrite=overwrite, extensions=extensions)
    with failing_as_output_error(target):
        descriptor, temporary = _create_beside(target)
        os.close(descriptor)
        temporary.unlink()


def require_target(
    target: Path, *, overwrite: bool, extensions: Sequence[str] = WRITABLE_EXTENSIONS
) -> None:
    """The checks of `check_output` that leave the disk alone.

    Raises:
        OutputError: as `check_output`, except that writing is not tried.
    """
    if target.suffix.lower() not in extensions:
        what = f"cannot write {target.suffix!r} files" if target.suffix else "no extension"
        raise OutputError(
            f"{what}: {target}",
            f"use one of {', '.join(extensions)}",
        )
    with failing_as_output_error(target):
        folder = target.parent
        if not folder.exists():
            raise OutputError(f"the folder {folder} does not exist", "create it first")
        if not folder.is_dir():
            raise OutputError(f"{folder} is not a folder", "choose a name inside a folder")
        try:
            mode = target.stat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISREG(mode):
            noun = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
            raise OutputError(f"{target} is {noun}", "choose another name")
        if not overwrite:
            raise OutputError(
                f"{target} already exists",
                "choose another name with -o, or replace it with --overwrite",
            )


def write_atomically(target: Path, data: bytes) -> None:
    """Write a file under another name, then rename: `target` is never seen half-written.

    Args:
        target: the file to create or replace; a link's own target is replaced, not the link.
        data: its content.

    Raises:
        OutputError: the system refused; nothing is left behind and `target` is as it was.
    """
    with replacing(target) as temporary, failing_as_output_error(target):
        temporary.write_bytes(data)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A file that takes the place of another once it is whole.

    Args:
        target: the file to create or replace; a link's own target is replaced, not the link.

    Yields:
        An empty file beside it, to be written in the block. When the block raises, it is removed
        and `target` is as it was.

    Raises:
        OutputError: the system refused; nothing is left behind.
    """
    with failing_as_output_error(target):
        real = target.resolve()
        descriptor, temporary = _create_beside(real)
        os.close(descriptor)
    try:
        yield temporary
        with failing_as_output_error(target):
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, real)
    except BaseException:  # Ctrl-C included: whatever stops the writing, the trace goes
        temporary.unlink(missing_ok=True)
        raise


def _create_beside(target: Path) -> tuple[int, Path]:
    """A new file next to `target`, open for writing, with the permissions of any new file."""
    temporary = target.parent / f".styler-{secrets.token_hex(8)}.tmp"
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    return os.open(temporary, flags, 0o666), temporary


@contextmanager
def failing_as_output_error(target: Path) -> Iterator[None]:
    """Turns what the system says against a file into an `OutputError`.

    Args:
        target: the file, for the message.

    Raises:
        OutputError: the block raised OSError or ValueError.
    """
    try:
        yield
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the name
        reason = getattr(fault, "strerror", None) or str(fault)
        code = getattr(fault, "errno", None)
        hint = _HINTS.get(code) if isinstance(code, int) else None
        raise OutputError(
            f"cannot write {target}: {reason}", hint or "check the folder and the disk"
        ) from fault
