"""What pages of ours have in common: their files, their data, and how they know each other."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from styler.errors import OutputError
from styler.images.output import failing_as_output_error

_HEAD = 1024
"""Bytes of a page within which its mark stands."""
_DIGITS = 6
"""Significant ones of the numbers on a page."""
_WHOLE = 1e9
"""Below this, whole numbers are written in full."""
_ASSETS = Path(__file__).parent / "assets"


def asset(name: str) -> str:
    """The text of a file that pages are made from.

    Args:
        name: of the file, such as ``page.css``.
    """
    return (_ASSETS / name).read_text(encoding="utf-8").strip()


def embedded(data: Mapping[str, Any]) -> str:
    r"""As JSON in which no tag or comment can begin.

    Raises:
        ValueError: a number is not finite.

    Example:
        >>> embedded({"name": "</script>"})
        '{"name":"\\u003c/script>"}'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def short(value: float | None, digits: int = _DIGITS) -> float | None:
    """A number as JSON has it, in few letters; None for those that are not finite.

    Args:
        value: the number.
        digits: significant ones that stay.

    Example:
        >>> short(1 / 3), short(2.0), short(float("nan"))
        (0.333333, 2, None)
    """
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < _WHOLE else rounded


def mark(kind: str) -> str:
    """The line by which a page of ours is known.

    Args:
        kind: of page: "gallery".
    """
    return f'<meta name="generator" content="styler {kind}">'


def bears(page: Path, kind: str) -> bool:
    """Whether a file is a page of a kind; one that is missing is none.

    Raises:
        OutputError: it cannot be read.
    """
    with failing_as_output_error(page):
        try:
            with page.open("rb") as file:
                return mark(kind).encode() in file.read(_HEAD)
        except FileNotFoundError:
            return False


def check_page(page: Path, kind: str) -> None:
    """Make sure that a page would replace no file but an earlier page of its kind.

    Args:
        page: the file; it may be missing.
        kind: of page.

    Raises:
        OutputError: there is another file, or one that cannot be read.
    """
    found = bears(page, kind)
    with failing_as_output_error(page):
        if found or not page.exists():
            return
    raise OutputError(
        f"{page} exists and is no {kind} of styler", "move it away, or choose another folder"
    )
