"""Standard streams that may vanish: a pipe without a reader, a full disk, a closed terminal.

Hours of work are not given up because nobody listens any longer.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Callable
from typing import IO, Any, Literal

FILE_NAMES = "styler.file-names"
"""Encoding error handler: names that are no text come out as their own bytes, others as `?`."""


class Stream:
    """A text file over `sys.stdout` or `sys.stderr`, whichever that is at the time.

    After the first failure it drops what it is given; the failure is kept in `fault`.

    Args:
        name: of the stream in `sys`.
    """

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        self.name = name
        self.fault: OSError | None = None

    def write(self, text: str) -> int:
        """Write as far as that is possible."""
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush as far as that is possible."""
        self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        stream = self._stream()
        return stream is not None and stream.isatty()

    def fileno(self) -> int:
        """The descriptor, for those who ask for the window's size."""
        stream = self._stream()
        if stream is None:
            raise OSError(f"{self.name} is closed")
        return stream.fileno()

    @property
    def encoding(self) -> str:
        """What characters it can hold."""
        return getattr(self._stream(), "encoding", None) or "utf-8"

    def _stream(self) -> IO[str] | None:
        found = getattr(sys, self.name)
        # While a bar is shown, rich puts something in its place that would come back to us.
        original: IO[str] | None = getattr(found, "rich_proxied_file", found)
        return original

    def _try(self, action: Callable[[IO[str]], Any]) -> None:
        stream = self._stream()
        if stream is None or self.fault is not None:
            return
        try:
            action(stream)
        except OSError as fault:
            self.fault = fault
            # What is still buffered would fail again when the interpreter flushes it at its end.
            with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def prepare_streams() -> None:
    """Make the standard streams print anything, whatever their encoding lacks."""
    codecs.register_error(FILE_NAMES, _as_bytes)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=FILE_NAMES)


def _as_bytes(fault: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(fault, UnicodeEncodeError):
        raise fault
    # Python holds the bytes 0x80 to 0xFF of such names as U+DC80 to U+DCFF (PEP 383).
    codes = [ord(character) for character in fault.object[fault.start : fault.end]]
    return bytes(c - 0xDC00 if 0xDC80 <= c <= 0xDCFF else ord("?") for c in codes), fault.end
