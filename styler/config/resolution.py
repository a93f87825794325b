"""Presets, ``--set`` pairs and flags laid over the defaults, and where each value came from."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import (
    Any,
    Generic,
    Literal,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import msgspec

from styler.config.kinds import kind_of
from styler.config.transfer import TransferConfig
from styler.errors import ConfigError

C = TypeVar("C")


@dataclass(frozen=True, kw_only=True)
class Resolved(Generic[C]):
    """A configuration and where each of its values came from."""

    config: C
    origins: dict[str, str]
    """dotted key → `default`, `preset NAME`, `--set`, or the flag"""


TABLES = frozenset({"content.layers", "style.layers", "style.also", "layers"})
"""Keys whose values are tables of weights, by layer or by loss."""


def flatten(config: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``(dotted key, value)`` of every leaf of a configuration dataclass.

    Example:
        >>> dict(flatten(TransferConfig()))["style.scale"]
        1.0
    """
    for item in fields(cast(Any, config)):
        value = getattr(config, item.name)
        if is_dataclass(value):
            yield from flatten(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", value


def keys(root: type[object] = TransferConfig) -> tuple[str, ...]:
    """The dotted keys of all settings of a command.

    Example:
        >>> keys()[:2]
        ('strength', 'backbone.name')
    """
    return tuple(key for key, _ in flatten(root()))


def parse_set(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs; values are TOML, anything else is a string.

    Raises:
        ConfigError: for a pair without ``=`` or without a key.

    Example:
        >>> parse_set(["optimizer.lr=0.05", "style.loss=gram"])
        {'optimizer.lr': 0.05, 'style.loss': 'gram'}
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--set {pair!r} is not key=value", "for example --set style.scale=2")
        try:
            values[key.strip()] = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text.strip()
    return values


def _spread(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted leaves of nested tables; layer tables are leaves."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and key not in TABLES:
            yield from _spread(value, f"{key}.")
        else:
            yield key, value


def _check_key(key: str, known: Sequence[str], origin: str, root: type[object]) -> None:
    if key in known:
        return
    tail = key.rpartition(".")[2]
    same_tail = [k for k in known if k.rpartition(".")[2] == tail]
    close = same_tail or difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    kind = kind_of(root)
    shown = f"see: styler presets show {kind}/default" if kind else None
    hint = f"did you mean {' or '.join(close)}?" if close else shown
    raise ConfigError(f"unknown setting {key!r} ({origin})", hint)


def _layer_key(key: str) -> tuple[str, str] | None:
    """Split ``style.layers.relu1_1`` into table and layer."""
    table, _, layer = key.rpartition(".")
    return (table, layer) if table in TABLES and layer else None


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(_finite(v) for v in value.values())
    return not isinstance(value, (list, tuple)) or all(_finite(v) for v in value)


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *tables, name = key.split(".")
        target = nested
        for table in tables:
            target = target.setdefault(table, {})
        target[name] = value
    return nested


def _build(root: type[C], flat: Mapping[str, Any], origins: Mapping[str, str]) -> C:
    try:
        return msgspec.convert(_nest(flat), root)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        path = path.rstrip("`")
        key = next((k for k in flat if path == k or path.startswith((f"{k}[", f"{k}."))), path)
        where = origins.get(key, "")
        got = f" = {flat[key]!r}" if key in flat else ""
        hint = reason[:1].lower() + reason[1:]
        if isinstance(flat.get(key), str):
            allowed = choices(key, root)
            hint = f"choose {', '.join(allowed)}" if allowed else hint
        raise ConfigError(f"bad value for {key}{got} ({where})", hint) from None


def choices(key: str, root: type[object] = TransferConfig) -> tuple[str, ...]:
    """The values that a setting may have, when it is one of a few names.

    Args:
        key: dotted.
        root: the command's configuration.

    Returns:
        The names; empty for settings of any other kind.

    Example:
        >>> choices("optimizer.name"), choices("optimizer.lr")
        (('adam', 'nadam', 'descent', 'lbfgs'), ())
    """
    kind: Any = root
    for name in key.split("."):
        kind = get_type_hints(kind).get(name)
    return get_args(kind) if get_origin(kind) is Literal else ()


@overload
def resolve(*layers: tuple[str, Mapping[str, Any]]) -> Resolved[TransferConfig]: ...


@overload
def resolve(*layers: tuple[str, Mapping[str, Any]], root: type[C]) -> Resolved[C]: ...


def resolve(
    *layers: tuple[str, Mapping[str, Any]], root: type[Any] = TransferConfig
) -> Resolved[Any]:
    """Lay settings over the defaults, later ones over earlier ones.

    Args:
        layers: pairs of an origin's name (``preset gatys2015``, ``--set``, ``--steps``) and its
            values, nested or under dotted keys. A layer table (``style.layers``) replaces the one
            below it; ``style.layers.relu1_1`` changes one entry.
        root: the command's configuration, whose defaults lie below.

    Returns:
        The configuration, and the origin of each value.

    Raises:
        ConfigError: an unknown key (the closest are offered), a wrong type, a value out of range
            or not finite.

    Example:
        >>> got = resolve(("--set", {"optimizer.lr": 0.1}))
        >>> got.config.optimizer.lr, got.origins["optimizer.lr"], got.origins["strength"]
        (0.1, '--set', 'default')
    """
    flat = dict(flatten(root()))
    known = tuple(flat)
    origins = dict.fromkeys(flat, "default")
    for origin, values in layers:
        for key, value in _spread(values):
            if not _finite(value):
                raise ConfigError(
                    f"{key} = {value} is not a finite number ({origin})", "give a plain number"
                )
            entry = _layer_key(key)
            if entry is not None:
                flat[entry[0]] = {**flat[entry[0]], entry[1]: value}
                origins[entry[0]] = origin
                continue
            _check_key(key, known, origin, root)
            listed = isinstance(flat[key], (list, tuple)) and isinstance(value, (int, float))
            flat[key] = [value] if listed else value
            origins[key] = origin
    return Resolved(config=_build(root, flat, origins), origins=origins)
