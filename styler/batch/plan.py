"""What a batch is to make, worked out and checked before the first picture."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from styler.batch.job import BatchJob
from styler.batch.names import name_results, refuse_sources
from styler.batch.pairs import Pair, looks, pair, subjects
from styler.batch.settings import Digests
from styler.batch.sources import Finder, Scan, absolute, is_inside
from styler.config import Resolved, TransferConfig
from styler.directions import PICTURES
from styler.errors import OutputError, UsageError
from styler.images import WRITABLE_EXTENSIONS
from styler.styles.choice import STYLE_SUFFIX

Shard = tuple[int, int]
"""(which, of how many), from 1."""

_SHARD = re.compile(r"\s*(\d+)\s*/\s*(\d+)\s*", re.ASCII)
_SHARD_HINT = "write 1/4 to 4/4 on four machines"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be made.

    Args:
        jobs: of this shard, sorted by key.
        left_out: files and folders that were passed over, and why; sorted.
        total: jobs of all shards, without the limit.
    """

    jobs: tuple[BatchJob, ...]
    left_out: tuple[tuple[Path, str], ...]
    total: int


def parse_shard(text: str) -> Shard:
    """Read which part of a batch is meant.

    Raises:
        UsageError: it is not ``i/n`` with i from 1 to n.

    Example:
        >>> parse_shard("2/5")
        (2, 5)
    """
    found = _SHARD.fullmatch(text)
    if found is None:
        raise UsageError(f"the shard {text!r} is not i/n", _SHARD_HINT)
    return _checked_shard((int(found[1]), int(found[2])))


def _checked_shard(shard: Shard) -> Shard:
    which, count = shard
    if not 1 <= which <= count:
        raise UsageError(f"there is no shard {which} of {count}", _SHARD_HINT)
    return shard


def make_plan(  # noqa: PLR0913 — they are the options of a command
    contents: Sequence[str],
    styles: Sequence[str],
    out: Path,
    resolved: Resolved[TransferConfig],
    *,
    zip_: bool = False,
    limit: int | None = None,
    shard: Shard | None = None,
    extension: str = ".png",
    bit_depth: int | None = None,
) -> Plan:
    """Work out all jobs. Nothing is written, and no picture is opened.

    Contents and styles are files, folders with all below them, globs, or manifests (see
    `read_manifest`). A picture is told by its name; one that is none fails later, as a job. Hidden
    files and `out` are passed over in folders. Names are given as in `name_results`, digests as in
    `Digests`. The jobs are sorted by key, so that all machines agree on which shard is whose.

    Args:
        contents: what is to be painted.
        styles: pictures and ``.style`` files; may be empty if manifests among the contents name
            the styles of all their rows.
        out: the batch's folder; need not be there.
        resolved: settings of all jobs.
        zip_: pair contents and styles one by one, instead of all with all.
        limit: so many jobs of the shard at most.
        shard: every n-th job of all, beginning with the i-th.
        extension: of results that a manifest does not name.
        bit_depth: asked for; part of the digests.

    Raises:
        UsageError: arguments, counts, or a manifest's rows do not fit together.
        ImageError: something is missing (the closest names are offered), or holds no pictures.
        ConfigError: an unknown column or a bad value in a manifest.
        BackboneError: a file of weights is missing.
        OutputError: a result cannot be written by its ending, would replace a source, or would be
            taken for a source the next time.
    """
    extension = _checked_extension(extension)
    if limit is not None and limit < 1:
        raise UsageError(f"a limit of {limit} jobs is asked for", "choose 1 or more")
    which, count = _checked_shard(shard or (1, 1))
    folder = absolute(out)
    content_finder = Finder(folder, PICTURES)
    style_finder = Finder(folder, (*PICTURES, STYLE_SUFFIX), "pictures or saved styles")
    found = subjects(contents, content_finder)
    pairs, repeated = _without_repeats(pair(found, looks(styles, style_finder), zip_=zip_))
    digests = Digests(resolved, bit_depth)
    names = name_results(pairs, extension)
    jobs = sorted(
        (_job(one, name, folder, digests) for one, name in zip(pairs, names, strict=True)),
        key=lambda job: job.key,
    )
    refuse_sources(names, folder, _sources(pairs, digests))
    _refuse_feedback(names, folder, [*content_finder.scans, *style_finder.scans])
    left_out = {**style_finder.left_out, **content_finder.left_out, **repeated}
    return Plan(
        jobs=tuple(jobs[which - 1 :: count][:limit]),
        left_out=tuple(sorted(left_out.items())),
        total=len(jobs),
    )


def _checked_extension(extension: str) -> str:
    if extension.lower() not in WRITABLE_EXTENSIONS:
        raise OutputError(
            f"cannot write {extension!r} files", f"use one of {', '.join(WRITABLE_EXTENSIONS)}"
        )
    return extension


def _without_repeats(pairs: Sequence[Pair]) -> tuple[list[Pair], dict[Path, str]]:
    """Each picture once, unless a manifest names it twice."""
    first: dict[tuple[str, str | None], Pair] = {}
    repeated = {}
    for one in pairs:
        if first.setdefault((one.identity, one.output), one) is not one:
            repeated[one.content] = "named twice with the same styles and settings"
    return list(first.values()), repeated


def _job(one: Pair, name: str, folder: Path, digests: Digests) -> BatchJob:
    return BatchJob(
        key=name,
        content=one.content,
        styles=one.styles,
        output=folder / name,
        digest=digests.of(one),
        overrides=dict(one.overrides),
    )


def _sources(pairs: Sequence[Pair], digests: Digests) -> Iterable[Path]:
    contents = {one.content for one in pairs}
    return contents | {style.path for one in pairs for style in one.styles} | digests.starts


def _refuse_feedback(names: Sequence[str], folder: Path, scans: Sequence[Scan]) -> None:
    """Make sure that results are not among what is searched for pictures the next time."""
    real = os.path.realpath(folder)
    for scan in scans:
        if not is_inside(os.path.realpath(scan.root), real):
            continue  # there the folder is passed over
        for name in names:
            if scan.takes(os.path.join(real, *name.split("/"))):
                raise OutputError(
                    f"the result {name} would be taken for a source the next time",
                    "choose another folder for the results",
                )
