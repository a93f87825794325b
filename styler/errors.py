"""Exit codes and the exception tree.

Every error a user can cause is a `StylerError`: one line that says what is wrong, a hint that says
what to do, and the exit code the command line ends with. Anything else is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the command line returns to the shell."""

    SUCCESS = 0
    BUG = 1
    USAGE = 2
    CONFIG = 3
    IMAGE = 4
    BACKBONE = 5
    DEVICE = 6
    DIVERGED = 7
    OUTPUT = 8
    BATCH = 9
    INTERRUPTED = 130


class StylerError(Exception):
    """Base of all errors that a user can cause and mend.

    Args:
        message: what is wrong, one line, no full stop.
        hint: what to do about it, one line.
    """

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(StylerError):
    """The command line or a call was used wrongly."""

    exit_code = ExitCode.USAGE


class ConfigError(StylerError):
    """A preset, key, layer name or value is unknown or out of range."""

    exit_code = ExitCode.CONFIG


class ImageError(StylerError):
    """An input image is missing, unreadable, or unfit."""

    exit_code = ExitCode.IMAGE


class BackboneError(StylerError):
    """A network or its weights are unknown, missing or damaged."""

    exit_code = ExitCode.BACKBONE


class DeviceError(StylerError):
    """The device is absent or out of memory."""

    exit_code = ExitCode.DEVICE


class DivergedError(StylerError):
    """The optimisation produced non-finite numbers again and again."""

    exit_code = ExitCode.DIVERGED


class OutputError(StylerError):
    """A result could not be written."""

    exit_code = ExitCode.OUTPUT


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """A hint with the candidates nearest to a mistyped name.

    Args:
        name: what was asked for.
        candidates: what exists.

    Returns:
        One line, or None when there are no candidates.

    Example:
        >>> did_you_mean("relu41", ["relu4_1", "relu4_2", "pool1"])
        'did you mean relu4_1 or relu4_2?'
        >>> did_you_mean("xyz", ["gatys2015", "johnson"])
        'known: gatys2015, johnson'
    """
    names = list(candidates)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names)}" if names else None
