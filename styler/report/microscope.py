"""The pages of a microscope: one of the network, and one of each layer, for any browser."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from styler.images.output import failing_as_output_error, write_atomically
from styler.microscope.record import LayerPage, NetworkLayer, Site
from styler.report.microscope_units import anchor, example, previews, unit_card
from styler.report.page import asset, bears, check_page, embedded, mark, short

PAGE = "index.html"
"""Of the network."""
KIND = "microscope"

_DIGITS = 4
"""Significant ones of activations."""
_PERCENT = 100
_PAGES = "*.html"


def write_pages(folder: Path, site: Site, *, overwrite: bool = False) -> Path:
    """Write the pages of a site whose pictures are there.

    They work from the disk and load nothing but the site's own pictures. Equal records give equal
    bytes. Pages of layers that the site no longer has are removed.

    Args:
        folder: of the site.
        site: what is to be shown.
        overwrite: replace pages of others, too.

    Returns:
        The page of the network, ``index.html``.

    Raises:
        OutputError: the folder cannot be written to, or holds another page of such a name.

    Example:
        >>> import tempfile
        >>> from styler.patches.record import Index
        >>> index = Index(backbone="none", weights_sha256="", folder="", side=224, k=9,
        ...               precision="float32", per_image=1, layers=[], images=[])
        >>> with tempfile.TemporaryDirectory() as name:
        ...     write_pages(Path(name), Site(index=index, network=[], pages=[])).name
        'index.html'
    """
    files = page_names([page.record.layer for page in site.pages])
    if not overwrite:
        check_pages(folder, list(files.values()))
    layers = [
        {"layer": page.record.layer, "page": file}
        for page, file in zip(site.pages, files.values(), strict=True)
    ]
    texts = {PAGE: _index_page(site, files, layers)}
    for number, page in enumerate(site.pages):
        texts[files[page.record.layer]] = _layer_page(site, page, number, files, layers)
    with failing_as_output_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted(path for path in folder.glob(_PAGES) if path.name not in texts)
    for name, text in texts.items():
        # Names that are no Unicode text have halves of characters, which UTF-8 cannot hold.
        write_atomically(folder / name, text.encode("utf-8", "replace"))
    for path in others:
        if bears(path, KIND):
            path.unlink()
    return folder / PAGE


def check_pages(folder: Path, names: Sequence[str] = ()) -> None:
    """Make sure that pages would replace none but those of an earlier microscope.

    Args:
        folder: of the site; it may be missing.
        names: of the layers' pages.

    Raises:
        OutputError: there is another page, or one that cannot be read.
    """
    for name in (PAGE, *names):
        check_page(folder / name, KIND)


def page_names(layers: Sequence[str]) -> dict[str, str]:
    """The files of layers' pages, by layer.

    They differ even where a system takes small letters for large ones.

    Example:
        >>> page_names(["relu4_1", "index", "a/b", "A b"])
        {'relu4_1': 'relu4_1.html', 'index': 'index-2.html', 'a/b': 'a_b.html', 'A b': 'A_b-2.html'}
    """
    taken = {Path(PAGE).stem}
    names: dict[str, str] = {}
    for layer in layers:
        plain = stem = re.sub(r"[^A-Za-z0-9._-]+", "_", layer).strip(".") or "layer"
        number = 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{plain}-{number}"
        taken.add(stem.casefold())
        names[layer] = f"{stem}.html"
    return names


def _layer_page(
    site: Site,
    page: LayerPage,
    number: int,
    files: Mapping[str, str],
    layers: Sequence[Mapping[str, Any]],
) -> str:
    record = page.record
    used = [at for unit in record.units for at, count in enumerate(unit.histogram) if count]
    first, last = (min(used), max(used) + 1) if used else (0, 0)
    shown = sorted({patch.image for unit in record.units for patch in unit.patches})
    places = {image: place for place, image in enumerate(shown)}
    body = Template(asset("microscope-layer.html")).substitute(
        example=escape(example(page)),
        views=_views(site, page),
        units="\n".join(unit_card(page, unit, site.index) for unit in record.units),
    )
    data = {
        "here": number,
        "layers": layers,
        "bins": [short(edge, _DIGITS) for edge in site.index.bins[first : last + 1]],
        "photos": [_photograph(site, image) for image in shown],
        "units": [_unit(page, unit, site, places, slice(first, last)) for unit in record.units],
    }
    return _page(
        title=f"{record.layer} of {site.index.backbone}",
        heading=f"{escape(record.layer)} <small>of {escape(site.index.backbone)}</small>",
        about=f"<p>{escape(_about_layer(site, page))}</p>",
        layers=_links(site, files, record.layer),
        body=body,
        data=data,
    )


def _views(site: Site, page: LayerPage) -> int:
    """How many pictures units have: synthetic, patches, projections."""
    back = any(sheet.projections for sheet in page.sheets.values())
    return max(1, bool(page.synthetic) + bool(site.index.images) + back)


def _index_page(site: Site, files: Mapping[str, str], layers: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for page in site.pages:
        units = [[unit.unit, *_label(unit.name)] for unit in page.record.units]
        rows.append({"anchor": quote(anchor(page.record.layer)), "units": units})
    data = {
        "here": None,
        "layers": [{**layer, **row} for layer, row in zip(layers, rows, strict=True)],
    }
    body = Template(asset("microscope-index.html")).substitute(
        example=escape(example(site.pages[-1]) if site.pages else ""),
        pages="\n".join(_summary(site, page, files[page.record.layer]) for page in site.pages),
        network=_network(site, files),
        skipped=_skipped(site),
    )
    return _page(
        title=f"{site.index.backbone} under the microscope",
        heading=escape(site.index.backbone),
        about=f"<p>{escape(_about_network(site))}</p>",
        layers=_links(site, files, None),
        body=body,
        data=data,
    )


def _page(
    *, title: str, heading: str, about: str, layers: str, body: str, data: Mapping[str, Any]
) -> str:
    return Template(asset("microscope.html")).substitute(
        mark=mark(KIND),
        title=escape(title),
        heading=heading,
        about=about,
        layers=layers,
        body=body,
        style=asset("page.css") + "\n" + asset("microscope.css"),
        script=asset("microscope.js"),
        data=embedded(data),
    )


def _links(site: Site, files: Mapping[str, str], here: str | None) -> str:
    """To all pages, the one that is open marked."""
    names = [(PAGE, "all layers", here is None)]
    names += [(file, layer, layer == here) for layer, file in files.items()]
    return "".join(
        f'<a href="{escape(quote(file))}"{" aria-current=page" if current else ""}>'
        f"{escape(words)}</a>"
        for file, words, current in names
    )


def _unit(
    page: LayerPage, unit: Any, site: Site, places: Mapping[int, int], bins: slice
) -> dict[str, Any]:
    """What the script needs of a unit; nothing is said of what there is not."""
    told = {
        "id": anchor(page.record.layer, unit.unit),
        "unit": unit.unit,
        "label": next(iter(_label(unit.name)), None),
        "state": page.state(unit),
        "peak": short(unit.peak, _DIGITS) if site.index.images else None,
        "active": short(unit.active, _DIGITS) if site.index.images else None,
        "ratio": short(page.ratio(unit), _DIGITS),
        "patches": [
            _patch(patch, site.index.images[patch.image].size, places) for patch in unit.patches
        ],
        "spread": unit.histogram[bins] or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _patch(patch: Any, size: tuple[int, int], places: Mapping[int, int]) -> list[Any]:
    """Photograph, activation, and the box in percent of the photograph."""
    (height, width), box = size, patch.box
    sides = (
        box.top / height,
        box.left / width,
        (box.bottom - box.top) / height,
        (box.right - box.left) / width,
    )
    percents = [short(_PERCENT * side, _DIGITS) for side in sides]
    return [places[patch.image], short(patch.value, _DIGITS), *percents, int(patch.clipped)]


def _photograph(site: Site, image: int) -> dict[str, Any]:
    small = site.thumbnails[image]
    return {"name": site.index.images[image].file, "thumb": small.file, "size": list(small.size)}


def _label(name: str) -> list[str]:
    """What a unit is called beside its number, if anything."""
    label = name.partition(":")[2].partition(" ")[2]
    return [label] if label else []


def _sides(size: tuple[int, int] | None) -> str:
    return "the whole picture" if size is None else f"{size[1]}×{size[0]} pixels"


def _shape(site: Site, layer: str) -> NetworkLayer | None:
    return next((row for row in site.network if row.name == layer), None)


def _about_layer(site: Site, page: LayerPage) -> str:
    record, row = page.record, _shape(site, page.record.layer)
    of = f"{len(record.units)} of " if len(record.units) < record.channels else ""
    words = [f"{of}{record.channels} channels"]
    if row is not None and row.stride is not None:
        words[0] += f" of {row.shape[2]}×{row.shape[1]}"
        words.append(f"stride {row.stride}")
    words.append(f"each sees {_sides(record.sees)}")
    if site.index.images:
        shown = {"theoretical": "all that a unit can see", "full": "whole photographs"}
        words.append("patches show " + shown.get(record.field, "the part that a unit does see"))
    return ", ".join(words)


def _about_network(site: Site) -> str:
    index = site.index
    words = [f"weights {index.weights_sha256[:16]}"] if index.weights_sha256 else []
    if index.images:
        words.append(
            f"the {index.k} strongest patches among {_counted(len(index.images), 'photograph')} "
            f"with a shorter side of {index.side} pixels, in {index.precision}"
        )
    if site.making:
        words.append(f"synthetic pictures {site.making}")
    return "; ".join(words)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _summary(site: Site, page: LayerPage, file: str) -> str:
    """A layer on the page of the network."""
    record, row = page.record, _shape(site, page.record.layer)
    states = [page.state(unit) for unit in record.units]
    units = f"{len(record.units)} of {record.channels}"
    facts = [("units", str(record.channels) if len(states) == record.channels else units)]
    if row is not None:
        facts.append(("shape", "×".join(map(str, row.shape))))
    if row is not None and row.stride is not None:
        facts.append(("stride", str(row.stride)))
    facts.append(("sees", _sides(record.sees)))
    facts.append(("dead", str(states.count("dead"))))
    if "silent" in states:
        facts.append(("silent", f"{states.count('silent')}, but for synthetic pictures"))
    rows = "".join(f"<dt>{name}</dt><dd>{escape(words)}</dd>" for name, words in facts)
    link = escape(quote(file))
    return (
        f'<section class="page" id="{escape(anchor(record.layer))}">'
        f'<h2><a href="{link}" data-first>{escape(record.layer)}</a></h2>'
        f'<dl>{rows}</dl><div class="strip">{previews(page, link)}</div></section>'
    )


def _network(site: Site, files: Mapping[str, str]) -> str:
    """All layers of the network, those that have no page, too."""
    if not site.network:
        return ""
    rows = []
    for row in site.network:
        name = escape(row.name)
        if row.name in files:
            name = f'<a href="{escape(quote(files[row.name]))}">{name}</a>'
        sees = "all" if row.sees is None else f"{row.sees[1]}×{row.sees[0]}"
        cells = ("×".join(map(str, row.shape)), row.stride or "", sees)
        rows.append(
            f"<tr><th scope=row>{name}</th>"
            + "".join(f'<td class="number">{cell}</td>' for cell in cells)
            + "</tr>"
        )
    heads = "".join(f'<th scope=col class="number">{h}</th>' for h in ("shape", "stride", "sees"))
    return (
        f"<details><summary>All {len(site.network)} layers of the network</summary>"
        f'<div class="scroll"><table><tr><th scope=col>layer</th>{heads}</tr>'
        f"{''.join(rows)}</table></div></details>"
    )


def _skipped(site: Site) -> str:
    """Photographs that were not looked at."""
    if not site.index.skipped:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{escape(one.file)}</th><td>{escape(one.reason)}</td></tr>"
        for one in site.index.skipped
    )
    number = _counted(len(site.index.skipped), "file")
    return (
        f"<details><summary>{number} not looked at</summary>"
        f'<div class="scroll"><table>{rows}</table></div></details>'
    )
