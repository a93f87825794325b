"""An explanation of a picture's loss for people: a plot, alone or on a page with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from styler.explain import Explanation
from styler.images import check_output, write_picture
from styler.images.output import write_atomically
from styler.report.budget import MARGIN, WIDTH, budget, hues_of, percent
from styler.report.convergence import SHARES, Fall, curves, falls, sections
from styler.report.descent import descent
from styler.report.drawing import Drawing, Words, colour_variables
from styler.report.provenance import Outcome

EXTENSIONS = (".html", ".svg", ".png")
"""Files that an explanation can be written to."""

_ASSETS = Path(__file__).parent / "assets"


def write_explanation(
    path: Path,
    explanation: Explanation,
    outcome: Outcome,
    *,
    title: str,
    overwrite: bool = False,
) -> None:
    """Write a plot of an explanation, or a page with the plot and all numbers.

    The file needs no other one. Pages and SVG follow the reader's choice of light or dark.

    Args:
        path: one of `EXTENSIONS`.
        explanation: of the picture's loss.
        outcome: of its run, for the curves.
        title: such as the picture's name.
        overwrite: replace an existing file.

    Raises:
        OutputError: the extension is unknown, or the file cannot be written.
    """
    check_explanation(path, overwrite=overwrite)
    drawing = plot(explanation, outcome, title=title)
    kind = path.suffix.lower()
    if kind == ".png":
        write_picture(path, drawing.pixels(), overwrite=overwrite)
        return
    text = drawing.svg() if kind == ".svg" else page(explanation, outcome, title=title)
    # Names that are no Unicode text have halves of characters, which UTF-8 cannot hold.
    write_atomically(path, f"{text}\n".encode("utf-8", "replace"))


def check_explanation(path: Path, *, overwrite: bool) -> None:
    """Make sure that an explanation can be written, before it is worked out.

    Args:
        path: where it will be written.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputError: the extension is unknown, the folder cannot be written to, or something is in
            the way.
    """
    check_output(path, overwrite=overwrite, extensions=EXTENSIONS)


def plot(explanation: Explanation, outcome: Outcome, *, title: str) -> Drawing:
    """Shares of loss and gradient as bars, pulls, and below them the losses over the steps.

    Args:
        explanation: of the picture's loss.
        outcome: of its run; without losses there are no curves.
        title: above the plot.
    """
    bars, bottom = budget(explanation, MARGIN + 62)
    weighted = curves(outcome, explanation.weights)
    scales = sections(outcome, explanation.levels)
    lines, bottom = descent(weighted, scales, hues_of(explanation), bottom + MARGIN)
    return Drawing(
        width=WIDTH,
        height=round(bottom) + MARGIN,
        label=f"{title}: {summary(explanation)}",
        shapes=(
            Words(x=MARGIN, y=MARGIN + 16, text=title, height=18),
            Words(x=MARGIN, y=MARGIN + 40, text=summary(explanation), colour="soft"),
            *bars,
            *lines,
        ),
    )


def summary(explanation: Explanation) -> str:
    """The total, where it was worked out, and what each term has of it."""
    height, width = explanation.size
    shares = ", ".join(f"{term} {percent(own)}" for term, (own, _) in explanation.shares().items())
    return f"loss {explanation.total:.4g} at {width}×{height}: {shares}"


def balance(explanation: Explanation) -> list[str]:
    """How far the gradients of the parts cancel each other, and which do; one line each."""
    pairs = [
        f"{one.name} and {other.name} ({cosine:+.2f})"
        for one, other, cosine in explanation.opposed()
    ]
    whole = percent(explanation.agreement)
    return [
        f"together the gradients are {whole} as long as alone: the rest cancels",
        *([f"against each other: {', '.join(pairs)}"] if pairs else []),
    ]


def page(explanation: Explanation, outcome: Outcome, *, title: str) -> str:
    """A page with the plot and all numbers, as HTML.

    Args:
        explanation: of the picture's loss.
        outcome: of its run.
        title: of the page.
    """
    descents = falls(outcome, explanation.weights, explanation.levels)
    return Template(_asset("explanation.html")).substitute(
        title=escape(title),
        colours=colour_variables(),
        style=_asset("explanation.css"),
        plot=plot(explanation, outcome, title=title).svg(),
        parts=_parts(explanation),
        falls=_falls(descents) if descents else "",
        balance="<br>\n".join(map(escape, balance(explanation))),
    )


def reached(fall: Fall, share: float) -> str:
    """After how many steps a share of a fall was reached."""
    return f"{fall.reached[share]}" if share in fall.reached else "—"


def where(fall: Fall) -> str:
    """What fell: a term, or the total at a scale.

    Example:
        >>> where(Fall(name="total", size=(90, 120), steps=5, first=2.0, last=1.0))
        'total at 120×90'
    """
    return fall.name if fall.size is None else f"{fall.name} at {fall.size[1]}×{fall.size[0]}"


def _parts(explanation: Explanation) -> str:
    heads = (
        "term",
        "layer",
        "loss",
        "weight",
        "weighted",
        "of the loss",
        "of the gradient",
        "pull",
    )
    rows = [
        (
            part.term,
            part.layer or "",
            f"{part.loss:.4g}",
            f"{part.weight:.4g}",
            f"{part.weighted:.4g}",
            percent(part.share),
            percent(part.gradient_share),
            f"{part.pull:+.2f}",
        )
        for part in explanation.parts
    ]
    return _table(heads, rows, words=2)


def _falls(descents: Sequence[Fall]) -> str:
    heads = ("weighted loss", "steps", "first", "last", *(f"{share:.0%} after" for share in SHARES))
    rows = [
        (
            where(fall),
            f"{fall.steps}",
            f"{fall.first:.4g}",
            f"{fall.last:.4g}",
            *(reached(fall, share) for share in SHARES),
        )
        for fall in descents
    ]
    return f"<h2>How it fell</h2>{_table(heads, rows, words=1)}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> str:
    """Cells are numbers, but for those of the first columns."""

    def cell(place: int, text: str, tag: str) -> str:
        return f"<{tag}{'' if place < words else ' class=number'}>{escape(text)}</{tag}>"

    def row(texts: Sequence[str], tag: str) -> str:
        return f"<tr>{''.join(cell(n, text, tag) for n, text in enumerate(texts))}</tr>"

    body = "\n".join(row(texts, "td") for texts in rows)
    return f"<table><thead>{row(heads, 'th')}</thead><tbody>\n{body}\n</tbody></table>"


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8").strip()
