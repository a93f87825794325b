"""Manifests: tables that say, row by row, what is to be made of what."""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from styler.batch.sources import absolute
from styler.config import NO_MASK, TransferConfig, file_settings, keys, parse_set
from styler.config.resolution import TABLES
from styler.directions import PICTURES
from styler.errors import ConfigError, ImageError, StylerError, UsageError
from styler.images.source import missing_hint
from styler.styles.choice import STYLE_SUFFIX, StyleChoice, parse_style

ENDINGS = (".csv", ".jsonl")
"""Of manifests, lower case."""
COLUMNS = ("content", "style", "styles", "weights", "output")
"""What a manifest may say besides settings; `style` and `styles` are the same."""
PATHS = ("backbone.weights", *file_settings(TransferConfig()))
"""Settings that are files, or lists of them."""

_DELIMITERS = ",;\t"  # spreadsheets write semicolons where the comma is in numbers
_ASIDE = f"columns are {', '.join(COLUMNS)}, and settings such as style.scale"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a manifest, checked.

    Args:
        where: its number and file, for messages.
        content: the content picture, if it names one.
        tree: folders between the manifest and the content.
        styles: the styles, if it names any.
        output: name of the result, if it has one.
        overrides: dotted key → value.
    """

    where: str
    content: Path | None
    tree: tuple[str, ...]
    styles: tuple[StyleChoice, ...]
    output: str | None
    overrides: Mapping[str, Any]


def is_manifest(argument: str) -> bool:
    """Whether an argument is a manifest: by its name.

    Example:
        >>> is_manifest("jobs.CSV"), is_manifest("photos")
        (True, False)
    """
    return argument.lower().endswith(ENDINGS)


def read_manifest(argument: str) -> list[Row]:
    """Read a manifest and check each row by itself.

    A ``.csv`` file has a header of `COLUMNS` and dotted settings; an empty cell says nothing;
    values are TOML or else text, as with ``--set``; several styles are separated by ``|``. A
    ``.jsonl`` file has an object in each line, with the same keys. A style may carry its weight:
    ``a.jpg:0.7``. Relative paths start from the manifest's folder.

    Args:
        argument: the file.

    Returns:
        At least one row. Rows are numbered as a spreadsheet or an editor does.

    Raises:
        UsageError: it cannot be read, or a row is malformed.
        ConfigError: an unknown column (the closest are offered).
        ImageError: a picture is missing (the closest names are offered), or none by its name.
    """
    path = absolute(argument)
    text = _read(path, argument)
    records = _of_csv if path.suffix.lower() == ".csv" else _of_jsonl
    rows = [
        _row(record, f"row {number} of {argument}", path.parent)
        for number, record in records(text, argument)
    ]
    if not rows:
        raise UsageError(f"{argument} has no rows", _ASIDE)
    return rows


def _read(path: Path, argument: str) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"no such file: {argument}", missing_hint(path)) from None
    except OSError as fault:
        raise UsageError(f"cannot read {argument}: {fault.strerror}", "check the file") from fault
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        row = data.count(b"\n", 0, fault.start) + 1
        raise UsageError(f"row {row} of {argument} is not UTF-8", "save it as UTF-8") from None


def _of_csv(text: str, argument: str) -> Iterator[tuple[int, dict[str, Any]]]:
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    number = 0
    try:
        for number, line in enumerate(reader, 1):
            cells = [cell.strip() for cell in line]
            if header is None:
                header = _header(cells, argument)
                continue
            where = f"row {number} of {argument}"
            beyond = cells[len(header) :] + [
                c for c, n in zip(cells, header, strict=False) if not n
            ]
            if any(beyond):
                raise UsageError(
                    f"{where} has cells in columns without a name", "quote cells that hold commas"
                )
            named = {n: c for n, c in zip(header, cells, strict=False) if n and c}
            if named:
                yield number, _typed(named)
    except csv.Error as fault:
        raise UsageError(
            f"row {number + 1} of {argument} is not CSV: {fault}", "check its quotes"
        ) from None


def _header(cells: list[str], argument: str) -> list[str]:
    for name in filter(None, cells):
        _check_column(name, f"row 1 of {argument}")
        if cells.count(name) > 1:
            raise UsageError(f"{argument} has two columns {name}", "keep one of them")
    return cells


def _typed(cells: Mapping[str, str]) -> dict[str, Any]:
    """The values of a row's cells; lists of styles and weights are still text."""
    settings = parse_set([f"{key}={text}" for key, text in cells.items() if key not in COLUMNS])
    return {**{key: text for key, text in cells.items() if key in COLUMNS}, **settings}


def _of_jsonl(text: str, argument: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"row {number} of {argument}"
        try:
            record = json.loads(line, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as fault:
            raise UsageError(f"{where} is not JSON: {fault}", "one object in each line") from None
        if not isinstance(record, dict):
            raise UsageError(f"{where} is no object", 'write {"content": "a.jpg", …} in each line')
        for name in record:
            _check_column(name, where)
        yield number, {name: value for name, value in record.items() if value is not None}


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice")
    return made


@cache
def _known() -> tuple[str, ...]:
    return (*COLUMNS, *keys())


def _check_column(name: str, where: str) -> None:
    table, _, layer = name.rpartition(".")
    known = _known()
    if name in known or (layer and table in TABLES and table in known):
        return
    same = [key for key in known if key.rpartition(".")[2] == layer]
    close = same or difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else _ASIDE
    raise ConfigError(f"unknown column {name!r} ({where})", hint)


def _row(record: dict[str, Any], where: str, folder: Path) -> Row:
    named = {name: record.pop(name, None) for name in COLUMNS}
    if named["style"] is not None and named["styles"] is not None:
        raise UsageError(f"{where} has a style and styles", "keep one of them")
    content = _text(named["content"], "content", where)
    path = absolute(content, folder) if content else None
    if path is not None:
        _require(path, PICTURES, where)
    given = named["style"] if named["styles"] is None else named["styles"]
    return Row(
        where=where,
        content=path,
        tree=_tree(path, folder),
        styles=_styles(given, named["weights"], where, folder),
        output=_text(named["output"], "output", where),
        overrides=_overrides(record, folder),
    )


def _text(value: Any, name: str, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{where}: {name} = {value!r} is no name", f"{name} is a text")
    return value.strip()


def _tree(path: Path | None, folder: Path) -> tuple[str, ...]:
    inside = path is not None and path.is_relative_to(folder)
    return path.relative_to(folder).parent.parts if path is not None and inside else ()


def _require(path: Path, endings: tuple[str, ...], where: str) -> None:
    if path.is_dir():
        raise ImageError(f"{where}: {path} is a folder", "a row names files")
    if not os.path.exists(path):
        raise ImageError(f"{where}: no such file: {path}", missing_hint(path))
    if path.suffix.lower() not in endings or not path.is_file():
        raise ImageError(f"{where}: not a picture: {path}", f"names end in {', '.join(endings)}")


def _styles(given: Any, weights: Any, where: str, folder: Path) -> tuple[StyleChoice, ...]:
    texts = _listed(given, folder)
    if any(not isinstance(text, str) or not text.strip() for text in texts):
        raise UsageError(f"{where}: styles = {given!r} is no list of names", "such as a.jpg:0.7")
    shares = _shares(weights, len(texts), where)
    chosen = []
    for text, share in zip(texts, shares, strict=True):
        try:
            style = parse_style(str(absolute(text.strip(), folder)))
            if share is not None:
                if style.weight != 1:
                    raise UsageError(f"{text} has a weight twice", "keep one of them")
                style = StyleChoice(path=style.path, weight=share)
        except StylerError as fault:
            raise UsageError(f"{where}: {fault.message}", fault.hint) from None
        _require(style.path, (*PICTURES, STYLE_SUFFIX), where)
        chosen.append(style)
    return tuple(chosen)


def _listed(given: Any, folder: Path) -> list[Any]:
    """The styles of a row; a file whose own name has a bar is one of them."""
    if given is None or isinstance(given, list):
        return given or []
    if isinstance(given, str) and not os.path.exists(absolute(given, folder)):
        return given.split("|")
    return [given]


def _shares(weights: Any, count: int, where: str) -> list[float | None]:
    """The column of weights as numbers, or nothing for each style."""
    if weights is None:
        return [None] * count
    listed = weights.split("|") if isinstance(weights, str) else weights
    try:
        shares = [float(share) for share in (listed if isinstance(listed, list) else [listed])]
    except (TypeError, ValueError):
        shares = []
    if not shares or not all(math.isfinite(share) for share in shares):
        raise UsageError(f"{where}: weights = {weights!r} are no numbers", "such as 0.7|0.3")
    if len(shares) != count:
        raise UsageError(f"{where} has {count} styles and {len(shares)} weights", "one for each")
    return list(shares)


def _overrides(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    made = dict(record)
    for key in PATHS:
        given = made.get(key)
        if isinstance(given, str) and key.endswith("_masks"):
            given = given.split("|")
        if isinstance(given, str):
            made[key] = str(absolute(given, folder))
        elif isinstance(given, list):
            made[key] = [p if p in NO_MASK else str(absolute(p, folder)) for p in given]
    if "init.image" in made:
        made.setdefault("init.kind", "image")
    return made
