"""Which content goes with which styles: all with all, one by one, or as a manifest says."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from types import MappingProxyType
from typing import Any

from styler.batch.manifest import Row, is_manifest, read_manifest
from styler.batch.sources import Finder
from styler.errors import ImageError, UsageError
from styler.styles.choice import StyleChoice, parse_style

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A content picture, and what its row of a manifest says.

    Args:
        path: absolute.
        where: it was named, for messages.
        tree: folders that the result lies in, too.
        styles: its own; none: it takes those of the batch.
        output: its own name for the result.
        overrides: its own settings: dotted key → value.
    """

    path: Path
    where: str
    tree: tuple[str, ...] = ()
    styles: tuple[StyleChoice, ...] = ()
    output: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, kw_only=True)
class Look:
    """One style, or several that a manifest blends.

    Args:
        styles: at least one.
        where: it was named, for messages.
        overrides: settings that go with it: dotted key → value.
    """

    styles: tuple[StyleChoice, ...]
    where: str
    overrides: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One picture to be made, without a name yet.

    Args:
        content: the picture, absolute.
        real: the same, with no folder on the way that is a link.
        tree: folders that the result lies in.
        styles: at least one.
        output: the name that a manifest gives the result.
        overrides: dotted key → value.
        where: it was named, for messages.
    """

    content: Path
    real: str
    tree: tuple[str, ...]
    styles: tuple[StyleChoice, ...]
    output: str | None
    overrides: Mapping[str, Any]
    where: str

    @property
    def identity(self) -> str:
        """Equal for pairs that give the same picture."""
        styles = [[str(style.path), style.weight] for style in self.styles]
        return json.dumps([self.real, styles, dict(self.overrides)], sort_keys=True, default=str)


def subjects(arguments: Sequence[str], finder: Finder) -> list[Subject]:
    """The contents that arguments stand for.

    Args:
        arguments: files, folders, globs and manifests.
        finder: of pictures.

    Raises:
        UsageError: there is nothing, or a row names no content.
        ImageError, ConfigError: see `Finder.find` and `read_manifest`.
    """
    found: list[Subject] = []
    for argument in arguments:
        if is_manifest(argument):
            found.extend(_subject(row) for row in read_manifest(argument))
        else:
            found.extend(
                Subject(path=file.path, tree=file.tree, where=str(file.path))
                for file in finder.find(argument)
            )
    _require_any(found, finder, "contents")
    return found


def _subject(row: Row) -> Subject:
    if row.content is None:
        raise UsageError(f"{row.where} names no content", "fill the column content")
    return Subject(
        path=row.content,
        tree=row.tree,
        styles=row.styles,
        output=row.output,
        overrides=row.overrides,
        where=row.where,
    )


def looks(arguments: Sequence[str], finder: Finder) -> list[Look]:
    """The styles that arguments stand for; each picture and each row of a manifest is one.

    Args:
        arguments: files, folders, globs and manifests.
        finder: of pictures and saved styles.

    Raises:
        UsageError: there is nothing, a row names no style, or an argument carries a weight.
        ImageError, ConfigError: see `Finder.find` and `read_manifest`.
    """
    found: list[Look] = []
    for argument in arguments:
        if is_manifest(argument):
            found.extend(_look(row) for row in read_manifest(argument))
            continue
        if parse_style(argument).path.is_file() and not os.path.exists(argument):
            raise UsageError(
                f"{argument} carries a weight, but each style here makes pictures of its own",
                "name styles to be blended in a row of a manifest",
            )
        found.extend(
            Look(styles=(StyleChoice(path=file.path),), where=str(file.path))
            for file in finder.find(argument)
        )
    if arguments:
        _require_any(found, finder, "styles")
    return found


def _look(row: Row) -> Look:
    if not row.styles:
        raise UsageError(f"{row.where} names no style", "fill the column style")
    if row.content is not None or row.output is not None:
        what = "content" if row.content is not None else "output"
        raise UsageError(
            f"{row.where} names its {what}, but stands among the styles",
            "name the manifest as contents",
        )
    return Look(styles=row.styles, overrides=row.overrides, where=row.where)


def _require_any(found: Sequence[object], finder: Finder, noun: str) -> None:
    if found:
        return
    for path, reason in finder.left_out.items():
        raise ImageError(f"there are no {noun}: {path} is left out: {reason}", "name pictures")
    raise UsageError(f"there are no {noun}", "name files, folders, globs or a manifest")


def pair(contents: Sequence[Subject], styles: Sequence[Look], *, zip_: bool) -> list[Pair]:
    """Bring contents and styles together.

    Args:
        contents: those with styles of their own make one picture each.
        styles: for the others.
        zip_: the first with the first and so on, or all with the only one, instead of all with
            all.

    Raises:
        UsageError: there are no styles for a content, no content for the styles, or `zip_` is
            asked for and the numbers differ.
    """
    open_ = [subject for subject in contents if not subject.styles]
    if open_ and not styles:
        raise UsageError(f"there is no style for {open_[0].where}", "name styles")
    if styles and not open_:
        raise UsageError("the rows of the manifest have styles of their own", "name no others")
    if zip_ and len(styles) not in (1, len(open_)) and open_:
        raise UsageError(
            f"cannot pair {len(open_)} contents with {len(styles)} styles one by one",
            "name as many styles as contents, or one style",
        )
    turn = iter(styles) if len(styles) != 1 else repeat(styles[0])
    made: list[Pair] = []
    for subject in contents:
        real = os.path.join(os.path.realpath(subject.path.parent), subject.path.name)
        chosen: Sequence[Look] = styles
        if subject.styles:
            chosen = [Look(styles=subject.styles, where=subject.where)]
        elif zip_:
            chosen = [next(turn)]
        made.extend(_pair(subject, real, look) for look in chosen)
    return made


def _pair(subject: Subject, real: str, look: Look) -> Pair:
    where = subject.where if look.where == subject.where else f"{subject.where}, {look.where}"
    return Pair(
        content=subject.path,
        real=real,
        tree=subject.tree,
        styles=look.styles,
        output=subject.output,
        overrides={**subject.overrides, **look.overrides},
        where=where,
    )
