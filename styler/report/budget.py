"""The shares of a loss's parts as bars."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, pairwise

from styler.explain import Explanation, Part
from styler.report.drawing import HUES, Box, Shape, Words

WIDTH = 960
"""Of a plot, in units of a drawing."""
MARGIN = 20
"""Around it."""

_ROW = 24
_BAR = 14
"""Height of a bar in its row."""
_STACK = 22
"""Height of a bar that is made of all parts."""
_TICK = 5
"""Height of the marks between the parts of a term, below its name."""
_SEAM = 1.0
"""Width of the lines between parts, and between the cells of the cosines."""
_NAMES = 225
"""Where the layers' names end."""
_LOSS, _GRADIENT = 237, 405
"""Where the bars of two columns begin, ..."""
_LONGEST = 110
"""... and how long the longest is; its number stands behind it."""
_PULL = 625
"""Where the numbers of a column end."""
_COSINES = 645
"""Where the cosines begin, which fill the rest."""
_WIDEST = 44
"""Cell of a cosine; with many parts, cells are narrower."""
_LEGIBLE = 26
"""Width from which on a cell has its number in it."""
_TINT = 0.6
"""Opacity of a cell whose gradients are the same, or opposite: words in it can still be read."""
_LETTER = 7.2
"""Width of a letter."""


def hues_of(explanation: Explanation) -> dict[str, str]:
    """A colour of the palette for each term.

    Args:
        explanation: whose terms are told apart; from the ninth on, colours come again.
    """
    return {term: HUES[n % len(HUES)] for n, term in enumerate(explanation.weights)}


def budget(explanation: Explanation, top: float) -> tuple[list[Shape], float]:
    """Two bars made of all parts, for the loss and for the gradient, and a row for each part.

    Args:
        explanation: of a picture's loss.
        top: where the plot begins.

    Returns:
        The shapes, and where they end.
    """
    hues = hues_of(explanation)
    shapes: list[Shape] = []
    for word, of_gradient in (("loss", False), ("gradient", True)):
        shapes.append(Words(x=MARGIN, y=top + 16, text=f"of the {word}", colour="soft"))
        shapes += _stack(explanation, hues, top, of_gradient=of_gradient)
        top += _STACK + 6
    top += 33
    heads = (
        (_LOSS, "share of the loss", "start"),
        (_GRADIENT, "share of the gradient", "start"),
        (_PULL, "pull", "end"),
        (_COSINES, "against (red) and with (blue) each other", "start"),
    )
    for x, text, anchor in heads:
        shapes.append(Words(x=x, y=top - 11, text=text, colour="soft", anchor=anchor))
    most = max((max(abs(p.share), p.gradient_share) for p in explanation.parts), default=0.0)
    known = ""
    for number, part in enumerate(explanation.parts):
        shapes += _names(part, known, top)
        shapes += _row(part, hues[part.term], top, most or 1.0)
        known = part.term
        shapes += _cells(explanation, number, hues, top)
        top += _ROW
    return shapes, top


def _stack(
    explanation: Explanation, hues: dict[str, str], top: float, *, of_gradient: bool
) -> Iterable[Shape]:
    """A bar as wide as there is room, with the names of the terms that have room in it."""
    room = WIDTH - MARGIN - _LOSS
    parts = explanation.parts
    widths = [room * (p.gradient_share if of_gradient else abs(p.share)) for p in parts]
    starts = [_LOSS + before for before in accumulate(widths, initial=0.0)]
    for part, x, width in zip(parts, starts, widths, strict=False):
        title = f"{part.name}: {percent(width / room)}"
        yield Box(x=x, y=top, width=width, height=_STACK, colour=hues[part.term], title=title)
    for (before, part), x in zip(pairwise(parts), starts[1:], strict=False):
        tall = _TICK if before.term == part.term else _STACK
        left, y = x - _SEAM / 2, top + _STACK - tall
        yield Box(x=left, y=y, width=_SEAM, height=tall, colour="paper")
    for term in hues:
        own = [n for n, part in enumerate(parts) if part.term == term]
        left, right = starts[own[0]], starts[own[-1] + 1]
        text = f"{term} {percent((right - left) / room)}"
        if right - left > _LETTER * (len(text) + 1):
            x = (left + right) / 2
            yield Words(x=x, y=top + 15, text=text, colour="paper", anchor="middle")


def _names(part: Part, known: str, top: float) -> Iterable[Shape]:
    """The layer, and before it the term where it is another than the one `known`."""
    y = top + _BAR - 2
    room = int((_NAMES - MARGIN) / _LETTER)
    layer = part.layer or ""
    if len(layer) > room // 2 + 5:  # its end says most: a network's name comes first
        layer = f"…{layer[-(room // 2 + 4) :]}"
    if layer:
        yield Words(x=_NAMES, y=y, text=layer, anchor="end")
    if part.term != known:
        free = room - len(layer) - 1
        term = part.term if len(part.term) <= free else f"{part.term[: free - 1]}…"
        yield Words(x=MARGIN, y=y, text=term)


def _row(part: Part, hue: str, top: float, most: float) -> Iterable[Shape]:
    middle = top + _BAR - 2
    for x, share in ((_LOSS, part.share), (_GRADIENT, part.gradient_share)):
        long = max(1.0, _LONGEST * abs(share) / most)
        yield Box(x=x, y=top, width=long, height=_BAR, colour=hue)
        yield Words(x=x + long + 6, y=middle, text=percent(share), colour="soft")
    yield Words(x=_PULL, y=middle, text=f"{part.pull:+.2f}", colour="soft", anchor="end")


def _cells(explanation: Explanation, row: int, hues: dict[str, str], top: float) -> Iterable[Shape]:
    """The cosines between a part and all, which come in the order of the rows."""
    parts = explanation.parts
    wide = min(_WIDEST, (WIDTH - MARGIN - _COSINES) / len(parts))
    for column, other in enumerate(parts):
        cosine = explanation.cosines[row][column]
        itself = row == column
        yield Box(
            x=_COSINES + column * wide,
            y=top - (_ROW - _BAR) / 2,
            width=wide - _SEAM,
            height=_ROW - _SEAM,
            colour=hues[other.term] if itself else "blue" if cosine > 0 else "red",
            title=f"{parts[row].name} and {other.name}: {cosine:+.2f}",
            opacity=1.0 if itself else _TINT * abs(cosine),
        )
        if wide >= _LEGIBLE and not itself:
            x, y = _COSINES + (column + 0.5) * wide, top + _BAR - 3
            yield Words(x=x, y=y, text=f"{cosine:+.1f}", anchor="middle", height=11)


def percent(share: float) -> str:
    """A share for people; of small ones a tenth is told.

    Example:
        >>> [percent(share) for share in (0.4249, 0.0312, 0.00001, 0.0, -0.2)]
        ['42%', '3.1%', '<0.1%', '0%', '-20%']
    """
    size = abs(share)
    if 0 < size < 0.0005:
        return "<0.1%"
    return f"{share:.1%}" if 0 < size < 0.0995 else f"{share:.0%}"
