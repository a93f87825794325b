"""Styles as people name them: a file, and perhaps its share."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from styler.errors import UsageError

STYLE_SUFFIX = ".style"
"""The ending, in any case, of files of saved statistics."""

_DRIVE = re.compile(r"[A-Za-z]")
_SPELLING = "write painting.jpg:0.7, a number above 0; only proportions matter"


@dataclass(frozen=True, kw_only=True)
class StyleChoice:
    """A style with its share.

    Args:
        path: a picture, or a file of saved statistics (``.style``).
        weight: its share among the styles of a picture, finite, above 0.

    Raises:
        UsageError: the weight is 0 or less, or no number.
    """

    path: Path
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check the weight."""
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise UsageError(
                f"the weight of {self.path} is {self.weight}, expected more than 0", _SPELLING
            )


def is_style_file(path: Path) -> bool:
    """Whether a file is taken for saved statistics: by its name.

    Example:
        >>> is_style_file(Path("starry.style")), is_style_file(Path("starry.jpg"))
        (True, False)
    """
    return path.suffix.lower() == STYLE_SUFFIX


def parse_style(text: str) -> StyleChoice:
    """A style as it is written on a command line: ``FILE`` or ``FILE:WEIGHT``.

    A file of exactly that name wins, whatever follows a colon in it. What follows is taken for a
    weight if it is a number, or if what stands before it is a file; the letter of a Windows drive
    is no file.

    Args:
        text: as written.

    Returns:
        The file, which may be missing, and its weight, 1 if none is given.

    Raises:
        UsageError: the weight of a file is no number above 0.

    Example:
        >>> style = parse_style("waves.jpg:0.7")
        >>> style.path.name, style.weight, parse_style("waves.jpg").weight
        ('waves.jpg', 0.7, 1.0)
    """
    head, colon, tail = text.rpartition(":")
    if not colon or not head or os.path.exists(text):
        return StyleChoice(path=Path(text))
    is_file = os.path.isfile(head)
    if _DRIVE.fullmatch(head) and not is_file:
        return StyleChoice(path=Path(text))
    try:
        weight = float(tail)
    except ValueError:
        if not is_file:
            return StyleChoice(path=Path(text))
        raise UsageError(f"{tail!r} is no weight for {head}", _SPELLING) from None
    return StyleChoice(path=Path(head), weight=weight)


def blend_stem(styles: Iterable[StyleChoice]) -> str:
    """What the styles add to the name of a result.

    Example:
        >>> blend_stem([StyleChoice(path=Path("art/a.jpg")), StyleChoice(path=Path("b.style"))])
        'a+b'
    """
    return "+".join(style.path.stem for style in styles)
