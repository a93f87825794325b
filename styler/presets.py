"""Recipes in TOML: find, list and read them.

A preset is a TOML file with `schema`, `kind`, `description` and `source`, and settings under the
keys of `styler.config`. The ones that ship lie in ``presets/KIND/NAME.toml``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from styler.config import KINDS, Kind
from styler.errors import ConfigError, did_you_mean

SCHEMA = 1
_HEADER = ("schema", "kind", "description", "source")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One recipe.

    Args:
        name: the file's name without its ending.
        kind: which command it is for, such as `transfer`.
        description: one line.
        source: where the recipe comes from, and every departure from it.
        values: its settings, as nested tables.
        path: the file.
    """

    name: str
    kind: Kind
    description: str
    source: str
    values: dict[str, Any]
    path: Path


def presets_folder() -> Path:
    """Where the shipped presets lie: in the installed package, or beside it in a checkout.

    Raises:
        ConfigError: the installation is incomplete.
    """
    package = Path(__file__).parent
    for folder in (package / "_presets", package.parent / "presets"):
        if folder.is_dir():
            return folder
    raise ConfigError("the presets are missing from this installation", "install styler again")


def list_presets(kind: Kind) -> list[Preset]:
    """The shipped presets of a kind: `default` first, then by name.

    Example:
        >>> list_presets("transfer")[0].name
        'default'
    """
    files = sorted(presets_folder().joinpath(kind).glob("*.toml"))
    return sorted((read_preset(f, kind) for f in files), key=lambda p: p.name != "default")


def list_all_presets() -> dict[Kind, list[Preset]]:
    """The shipped presets of every kind that has any."""
    found = {kind: list_presets(kind) for kind in KINDS}
    return {kind: presets for kind, presets in found.items() if presets}


def find_preset(name: str) -> Preset:
    """A preset of whatever kind.

    Args:
        name: of a shipped preset, ``KIND/NAME`` where several kinds have one of that name, or the
            path of a TOML file.

    Raises:
        ConfigError: no such preset (the closest are offered), several of them, or the file is not
            a preset.

    Example:
        >>> find_preset("gatys2015").kind, find_preset("transfer/default").kind
        ('transfer', 'transfer')
    """
    if name.endswith(".toml"):
        return read_preset(Path(name))
    shipped = [preset for presets in list_all_presets().values() for preset in presets]
    found = [p for p in shipped if name in (p.name, f"{p.kind}/{p.name}")]
    full = [f"{p.kind}/{p.name}" for p in (found or shipped)]
    if not found:
        known = full if "/" in name else dict.fromkeys(p.name for p in shipped)
        raise ConfigError(f"unknown preset {name!r}", did_you_mean(name, known))
    if len(found) > 1:
        raise ConfigError(f"there are several presets {name}", f"choose {' or '.join(full)}")
    return found[0]


def load_preset(name: str, kind: Kind) -> Preset:
    """A shipped preset by its name, or a TOML file by its path.

    Raises:
        ConfigError: no such preset (the closest are offered), or the file is not a preset.
    """
    if name.endswith(".toml"):
        return read_preset(Path(name), kind)
    folder = presets_folder() / kind
    names = [file.stem for file in sorted(folder.glob("*.toml"))]
    if name not in names:
        raise ConfigError(f"unknown preset {name!r}", did_you_mean(name, names))
    return read_preset(folder / f"{name}.toml", kind)


def read_preset(path: Path, kind: Kind | None = None) -> Preset:
    """Read one preset file.

    Args:
        path: the file.
        kind: that it must be of; None for any.

    Raises:
        ConfigError: missing, not TOML, of another schema or kind, or without its header.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(
            f"cannot read preset {path}: {reason}", "styler presets list shows those that ship"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"preset {path} is not TOML: {error}", "see toml.io") from None
    header = {key: table.pop(key, None) for key in _HEADER}
    if header["schema"] != SCHEMA:
        raise ConfigError(
            f"preset {path} has schema {header['schema']}, expected {SCHEMA}",
            f"begin the file with schema = {SCHEMA}",
        )
    return Preset(
        name=path.stem,
        kind=_checked_kind(header["kind"], kind, path),
        description=str(header["description"] or ""),
        source=str(header["source"] or ""),
        values=table,
        path=path,
    )


def _checked_kind(found: object, wanted: Kind | None, path: Path) -> Kind:
    known = next((kind for kind in KINDS if kind == found), None)
    if known is None or wanted not in (None, known):
        expected = repr(wanted) if wanted else f"one of {', '.join(KINDS)}"
        example = wanted or "transfer"
        raise ConfigError(
            f"preset {path} is of kind {found!r}, expected {expected}",
            f'write kind = "{example}", or use the command that it was made for',
        )
    return known
