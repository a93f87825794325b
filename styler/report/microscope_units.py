"""The cards of units on the pages of a microscope."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import quote

from styler.microscope.record import LayerPage, Sheet, State
from styler.patches.record import Index, UnitRecord

STRIP = 8
"""Units of a layer that the page of the network shows."""
_WORDS: dict[State, str] = {
    "active": "",
    "silent": "silent: no photograph excites it, its synthetic picture does",
    "dead": "dead: nothing excites it",
}


def anchor(layer: str, unit: int | None = None) -> str:
    """By what a unit, or a layer, is found on its page.

    Example:
        >>> anchor("relu4_1", 37)
        'relu4_1:37'
    """
    name = re.sub(r"\s", "_", layer)
    return name if unit is None else f"{name}:{unit}"


def example(page: LayerPage) -> str:
    """What a person might search for on a page."""
    units = page.record.units
    unit = units[min(len(units) - 1, 7)] if units else None
    if unit is None:
        return ""
    return f"such as {unit.name.partition(' ')[2] or unit.unit}"


def unit_card(page: LayerPage, unit: UnitRecord, index: Index) -> str:
    """A unit with its pictures and numbers; its script adds boxes and histogram.

    Args:
        page: its layer's.
        unit: it.
        index: which photographs were looked at.
    """
    state, name = page.state(unit), anchor(page.record.layer, unit.unit)
    label = unit.name.partition(" ")[2]
    title = f'<a href="#{escape(quote(name, safe=":"))}">{escape(name)}</a>'
    if label:
        title += f' <span class="label">{escape(label)}</span>'
    if state != "active":
        title += f' <span class="chip" title="{_WORDS[state]}">{state}</span>'
    views = _made(page, unit) + _real(page, unit, index) + _back(page, unit)
    return (
        f'<article class="unit {state}" id="{escape(name)}" tabindex="-1"><h2>{title}</h2>'
        f'<div class="views">{views}</div>'
        f'<div class="facts"><dl>{_facts(page, unit, index)}</dl>'
        '<figure class="spread"><figcaption></figcaption></figure></div></article>'
    )


def previews(page: LayerPage, link: str) -> str:
    """The first units of a layer, small, each leading to its card.

    Args:
        page: the layer's.
        link: to it, escaped.
    """
    cells: list[str] = []
    for unit in page.record.units:
        if len(cells) == STRIP:
            break
        made, sheet = page.synthetic.get(unit.unit), page.sheets.get(unit.unit)
        picture = ""
        if made is not None:
            picture = f'<span class="made">{_image(made.file, unit.name)}</span>'
        elif sheet is not None:
            picture = _window(sheet, 0, 1, unit.name, rows=1)
        if picture:
            name = quote(anchor(page.record.layer, unit.unit), safe=":")
            title = escape(unit.name)
            cells.append(f'<a href="{link}#{escape(name)}" title="{title}">{picture}</a>')
    return "".join(cells)


def _image(file: str, words: str, style: str = "") -> str:
    styled = f' style="{style}"' if style else ""
    source = escape(quote(file))
    return f'<img src="{source}" alt="{escape(words)}" loading="lazy" decoding="async"{styled}>'


def _made(page: LayerPage, unit: UnitRecord) -> str:
    made = page.synthetic.get(unit.unit)
    if made is None:
        return ""
    image = _image(made.file, f"made to excite {unit.name}")
    link = escape(quote(made.file))
    return (
        f'<figure class="made"><a href="{link}">{image}</a>'
        "<figcaption>synthetic</figcaption></figure>"
    )


def _real(page: LayerPage, unit: UnitRecord, index: Index) -> str:
    sheet = page.sheets.get(unit.unit)
    if sheet is not None:
        words = "strongest patch" if sheet.patches == 1 else f"{sheet.patches} strongest patches"
        window = _window(sheet, 0, sheet.columns, f"patches that excite {unit.name}")
        return f'<figure class="real">{window}<figcaption>{words}</figcaption></figure>'
    if not index.images:
        return ""
    return '<figure class="real"><p class="empty">no photograph excites it</p></figure>'


def _back(page: LayerPage, unit: UnitRecord) -> str:
    sheet = page.sheets.get(unit.unit)
    if sheet is None or not sheet.projections:
        return ""
    window = _window(
        sheet,
        sheet.columns,
        sheet.more,
        f"what in them excites {unit.name}",
        rows=min(sheet.rows, sheet.projections),
    )
    words = "projection" if sheet.projections == 1 else f"{sheet.projections} projections"
    title = "what in the strongest patches excites it, as a deconvnet shows it"
    return f'<figure class="back" title="{title}">{window}<figcaption>{words}</figcaption></figure>'


def _window(sheet: Sheet, first: int, columns: int, words: str, rows: int | None = None) -> str:
    """Some columns of a sheet, the rest of which is out of sight."""
    high, across = rows or sheet.rows, sheet.columns + sheet.more
    style = (
        f"left:{-100 * first / columns or 0:g}%;width:{100 * across / columns:g}%;"
        f"height:{100 * sheet.rows / high:g}%"
    )
    return (
        f'<div class="window" data-rows="{high}" data-columns="{columns}"'
        f' style="aspect-ratio:{columns}/{high}">{_image(sheet.file, words, style)}</div>'
    )


def _facts(page: LayerPage, unit: UnitRecord, index: Index) -> str:
    facts = []
    made = page.synthetic.get(unit.unit)
    if index.images:
        facts.append(("strongest", _number(unit.peak)))
        facts.append(("active", f"{_number(100 * unit.active, 2)} % of places"))
        facts.append(("mean", _number(unit.mean)))
    if made is not None:
        ratio = page.ratio(unit)
        times = "" if ratio is None else f", {_number(ratio, 2)}× natural"
        facts.append(("synthetic", f"{_number(made.peak)}{times}"))
    return "".join(f"<dt>{name}</dt><dd>{escape(words)}</dd>" for name, words in facts)


def _number(value: float, digits: int = 3) -> str:
    """With some significant digits, large ones as whole numbers."""
    return f"{value:.0f}" if abs(value) >= 10**digits - 0.5 else f"{value:.{digits}g}"
