"""Names of results: readable, all different on every file system, and never those of a source."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath, PurePosixPath

from styler.batch.pairs import Pair
from styler.errors import OutputError, UsageError
from styler.images import WRITABLE_EXTENSIONS
from styler.styles.choice import blend_stem

LONGEST = 240
"""Bytes of a name; most file systems hold 255, which leaves room for endings."""

_SHORT, _LONG = 8, 32  # hexadecimal digits that tell names apart
_FIRST_HASH, _LAST = 4, 5  # of the stages of `_derived`
_STRAY = re.compile("[\udc80-\udcff]")


def fold(name: str) -> str:
    r"""Equal for names that are one on a file system that ignores case or normalises Unicode.

    Example:
        >>> fold("Caf\u00e9.PNG") == fold("cafe\u0301.png"), fold("a") == fold("b")
        (True, False)
    """
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def name_results(pairs: Sequence[Pair], extension: str) -> list[str]:
    """A name for the result of each pair, from the batch's folder, with ``/`` on every system.

    ``TREE/CONTENT+STYLE.png``, as `styler transfer` names it. Names that collide keep the ending of
    the content (``cat.jpg+waves.png``), of the style, or of both, whichever is the first to help;
    after that a hash of all that distinguishes the pair is added. Bytes that are no Unicode
    are written as ``%e9``.

    Args:
        pairs: different from each other, by `Pair.identity` or by their output.
        extension: of results that a manifest does not name, one of `WRITABLE_EXTENSIONS`.

    Returns:
        The names, in the order of the pairs.

    Raises:
        OutputError: a named output has an ending that cannot be written.
        UsageError: a named output is outside the batch's folder, too long, or named twice.
    """
    fixed = _fixed(pairs, extension)
    free = [at for at in range(len(pairs)) if at not in fixed]
    taken = {fold(name) for name in fixed.values()} | _folders(fixed.values())
    taken |= _folders(_derived(pairs[at], 0, extension) for at in free)
    stages = dict.fromkeys(free, 0)
    while True:
        names = {at: _derived(pairs[at], stage, extension) for at, stage in stages.items()}
        groups: dict[str, list[int]] = defaultdict(list)
        for at, name in names.items():
            groups[fold(name)].append(at)
        clashing = [
            at
            for name, group in groups.items()
            if len(group) > 1 or name in taken
            for at in group
            if stages[at] < _LAST
        ]
        if not clashing:
            return [fixed[at] if at in fixed else names[at] for at in range(len(pairs))]
        for at in clashing:
            stages[at] += 1


def _folders(names: Iterable[str]) -> set[str]:
    """Folded paths of the folders that names lie in."""
    return {fold(str(folder)) for name in names for folder in PurePosixPath(name).parents}


def _derived(pair: Pair, stage: int, extension: str) -> str:
    """The name at a stage: plain, with endings of the content, style, both, or with a hash."""
    content = pair.content.name if stage in (1, 3) else pair.content.stem
    if stage in (2, 3):
        styles = "+".join(style.path.name for style in pair.styles)
    else:
        styles = blend_stem(pair.styles)
    stem = _clean(f"{content}+{styles}")
    tag = ""
    if stage >= _FIRST_HASH or _length(stem + extension) > LONGEST:
        digits = _LONG if stage == _LAST else _SHORT
        tag = "-" + hashlib.sha256(pair.identity.encode()).hexdigest()[:digits]
        room = LONGEST - _length(tag + extension)
        stem = stem.encode()[:room].decode(errors="ignore")
    return "/".join([*map(_clean, pair.tree), f"{stem}{tag}{extension}"])


def _fixed(pairs: Sequence[Pair], extension: str) -> dict[int, str]:
    """The names that manifests give, by place."""
    fixed: dict[int, str] = {}
    first: dict[str, Pair] = {}
    for at, pair in enumerate(pairs):
        if pair.output is None:
            continue
        fixed[at] = _named(pair.output, pair.where, extension)
        other = first.setdefault(fold(fixed[at]), pair)
        if other is not pair:
            raise UsageError(
                f"two pictures would be {pair.output}: {other.where}; {pair.where}",
                "give each its own output, or none",
            )
    return fixed


def _named(text: str, where: str, extension: str) -> str:
    path = PurePosixPath(_clean(PurePath(text).as_posix()))
    if PurePath(text).is_absolute() or ".." in path.parts or not path.name:
        raise UsageError(
            f"{where}: the output {text} is not in the folder of the batch", "name it from there"
        )
    if not path.suffix:
        path = path.with_name(path.name + extension)
    if path.suffix.lower() not in WRITABLE_EXTENSIONS:
        raise OutputError(
            f"{where}: cannot write {path.suffix!r} files: {text}",
            f"use one of {', '.join(WRITABLE_EXTENSIONS)}",
        )
    if max(_length(part) for part in path.parts) > LONGEST:
        raise UsageError(f"{where}: the output's name is too long: {text}", "choose a shorter one")
    return str(path)


def _clean(name: str) -> str:
    return _STRAY.sub(lambda stray: f"%{ord(stray[0]) - 0xDC00:02x}", name)


def _length(name: str) -> int:
    return len(name.encode())


def refuse_sources(names: Sequence[str], out: Path, sources: Iterable[Path]) -> None:
    """Make sure that no result replaces a picture that anything is made from.

    Args:
        names: of the results.
        out: the batch's folder.
        sources: all that is read.

    Raises:
        OutputError: one would.
    """
    real = {fold(os.path.realpath(source)) for source in sources}
    folders: dict[str, str] = {}
    for name in names:
        tree, _, last = name.rpartition("/")
        if tree not in folders:  # network file systems are slow
            folders[tree] = os.path.realpath(out / tree)
        path = os.path.join(folders[tree], last)
        if fold(os.path.realpath(path) if os.path.islink(path) else path) in real:
            raise OutputError(
                f"the result {out / name} is one of the sources, too",
                "choose another folder for the results",
            )
