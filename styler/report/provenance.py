"""The recipe that a picture carries: everything needed to make it again."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from styler.config import CONFIGS, Kind, Resolved, flatten, numbered_names, resolve
from styler.errors import ImageError

SCHEMA = 2
_SOURCES_OF_SCHEMA_1 = ("content", "style", "start")
EDITED = "another program wrote or changed it; the picture itself may still be fine"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A picture that went in.

    Args:
        path: from the folder of the result, so that a folder may move as a whole.
        sha256: of the file.
        size: (height, width) as read.
    """

    path: str
    sha256: str
    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where it was made; the same values give the same pixels on the same machine.

    Args:
        device: such as `cpu` or `cuda`.
        name: what the device calls itself.
        precision: of the convolutions, `fp32` or `bf16`.
        threads: of the CPU.
        torch: version.
    """

    device: str
    name: str
    precision: str
    threads: Annotated[int, Meta(ge=1)]
    torch: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the run went.

    Args:
        done: optimiser steps taken.
        planned: optimiser steps planned.
        evaluations: gradients computed.
        recoveries: non-finite evaluations undone.
        seconds: of optimisation.
        losses: name → unweighted loss at the last look; `total` is weighted.
        trace: (steps done, total) over the run, thinned.
        terms: name → unweighted loss at each point of `trace`; empty where nobody wrote it down.
    """

    done: int
    planned: int
    evaluations: int
    recoveries: int
    seconds: Annotated[float, Meta(ge=0, le=1e9)]
    losses: dict[str, float]
    trace: list[tuple[int, float]]
    terms: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The whole record of one picture.

    Args:
        styler: version.
        kind: of work, which says what the settings are.
        created: date and time, ISO 8601, UTC.
        sources: the pictures that went in, by what they were for: `content`, `style` and `start`
            of a transfer, also `style 2` and so on of a blend, `image`, `guide` and `mask` of a
            dream.
        subject: what of a network the picture shows, such as a unit's name.
        weights: shares of the styles of a blend, by the names of their sources.
        size: (height, width) of the result.
        bit_depth: 8 or 16.
        backbone: name of the network used.
        weights_sha256: of its weights file.
        machine: where it was made.
        outcome: how it went.
        config: dotted key → value.
        origins: dotted key → where the value came from.
    """

    styler: str
    kind: Kind
    created: str
    sources: dict[str, Source]
    size: tuple[int, int]
    bit_depth: int
    backbone: str
    weights_sha256: str
    machine: Machine
    outcome: Outcome
    config: dict[str, Any]
    origins: dict[str, str]
    subject: str | None = None
    weights: dict[str, Annotated[float, Meta(gt=0)]] = field(default_factory=dict)
    schema: int = field(default=SCHEMA)

    def resolved(self) -> Resolved[Any]:
        """The settings of its kind, with their origins as recorded."""
        got = resolve(("recipe", self.config), root=CONFIGS[self.kind])
        return Resolved(config=got.config, origins={**got.origins, **self.origins})


def style_names(count: int) -> list[str]:
    """What the styles of a transfer are called among its sources.

    Example:
        >>> style_names(3)
        ['style', 'style 2', 'style 3']
    """
    return numbered_names("style", count)


def config_record(resolved: Resolved[Any]) -> dict[str, Any]:
    """Settings as a flat table, for `Recipe.config`."""
    return dict(flatten(resolved.config))


def relative_path(file: Path, result: Path) -> str:
    """The path of a source, from the folder of the result where there is such a path."""
    try:
        return Path(os.path.relpath(file.resolve(), result.resolve().parent)).as_posix()
    except ValueError:  # on another drive
        return file.resolve().as_posix()


def encode(recipe: Recipe) -> str:
    """As JSON, one line of ASCII; paths that are no Unicode text survive as escapes."""
    return json.dumps(msgspec.to_builtins(recipe), separators=(",", ":"))


def decode(text: str, path: Path) -> Recipe:
    """Read what `encode` wrote.

    Raises:
        ImageError: the text in the picture at `path` is no recipe, or one of a later version.
    """
    try:
        record = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise _unreadable(path, "it is not JSON", EDITED) from None
    schema = record.get("schema") if isinstance(record, dict) else None
    if type(schema) is not int or schema < 1:
        raise _unreadable(path, "it names no schema", EDITED)
    if schema > SCHEMA:
        reason = f"its schema is {schema}, this version knows {SCHEMA}"
        raise _unreadable(path, reason, "use the version of styler that made it, or a later one")
    try:
        return msgspec.convert(_from_schema_1(record) if schema == 1 else record, Recipe)
    except msgspec.ValidationError as error:
        raise _unreadable(path, str(error), EDITED) from None


def _from_schema_1(record: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 knew transfers alone, and had their pictures beside everything else."""
    rest = {key: value for key, value in record.items() if key not in _SOURCES_OF_SCHEMA_1}
    given = {name: record[name] for name in _SOURCES_OF_SCHEMA_1 if name in record}
    sources = {k: v for k, v in given.items() if v is not None or k != "start"}
    added = {"sources": sources, "subject": None, "schema": SCHEMA}
    return {"kind": "transfer", **rest, **added}


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _unreadable(path: Path, reason: str, hint: str) -> ImageError:
    return ImageError(f"the recipe in {path} cannot be read: {reason}", hint)
