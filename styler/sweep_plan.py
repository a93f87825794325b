"""What a sweep varies: settings by name, and all combinations of their values."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from styler.config import Resolved, TransferConfig
from styler.errors import ConfigError, UsageError

_EXAMPLE = "for example --vary strength=0.2,0.5,0.8"


@dataclass(frozen=True, kw_only=True)
class Variation:
    """A setting and the values that it takes.

    Args:
        name: of the setting, as people write it.
        values: as they are written, at least one, no two alike.

    Raises:
        UsageError: there is no value, an empty one, or one that comes twice.
    """

    name: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the values."""
        if not all(self.values) or not self.values:
            raise UsageError(f"--vary {self.name} has an empty value", _EXAMPLE)
        twice = next((v for v in self.values if self.values.count(v) > 1), None)
        if twice is not None:
            raise UsageError(f"--vary {self.name} has {twice} twice", "name each value once")


def parse_variation(text: str) -> Variation:
    """A variation as it is written on a command line: ``NAME=VALUE,VALUE,…``.

    Values that have commas of their own are parted by semicolons.

    Raises:
        UsageError: there is no name, no value, or one that comes twice.

    Example:
        >>> parse_variation("--style-scale=0.5,1,2")
        Variation(name='style-scale', values=('0.5', '1', '2'))
        >>> parse_variation("steps=100; 150,120,80").values
        ('100', '150,120,80')
    """
    name, sign, values = text.partition("=")
    name = name.strip().lstrip("-")
    if not sign or not name:
        raise UsageError(f"--vary {text!r} is not NAME=VALUE,VALUE", _EXAMPLE)
    parts = values.split(";" if ";" in values else ",")
    return Variation(name=name, values=tuple(part.strip() for part in parts))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One picture of a sweep.

    Args:
        number: from 0, row by row.
        values: name of each varied setting → its value here, as written.
        resolved: all settings.
    """

    number: int
    values: dict[str, str]
    resolved: Resolved[TransferConfig]

    @property
    def label(self) -> str:
        """Such as "strength 0.2, style-scale 2"."""
        return ", ".join(f"{name} {value}" for name, value in self.values.items())


def plan_cells(
    variations: Sequence[Variation],
    settings: Callable[[Mapping[str, str]], Resolved[TransferConfig]],
) -> tuple[Cell, ...]:
    """All combinations of the values, with their settings; the last variation changes fastest.

    Args:
        variations: at least one, of different settings.
        settings: all settings, given the varied ones by name, as written.

    Raises:
        UsageError: nothing is varied, or one setting twice.
        ConfigError: from `settings`, with the combination named.

    Example:
        >>> from styler.config import resolve
        >>> plan = plan_cells(
        ...     [Variation(name="strength", values=("0.2", "1"))],
        ...     lambda values: resolve(("--vary", {k: float(v) for k, v in values.items()})),
        ... )
        >>> [(cell.label, cell.resolved.config.strength) for cell in plan]
        [('strength 0.2', 0.2), ('strength 1', 1.0)]
    """
    names = [variation.name for variation in variations]
    if not names:
        raise UsageError("a sweep needs something to vary", _EXAMPLE)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is varied twice", f"write --vary {twice}=… once")
    cells: list[Cell] = []
    for values in itertools.product(*(variation.values for variation in variations)):
        chosen = dict(zip(names, values, strict=True))
        try:
            resolved = settings(chosen)
        except ConfigError as error:
            text = ", ".join(f"{name} {value}" for name, value in chosen.items())
            raise ConfigError(f"with {text}: {error.message}", error.hint) from error
        cells.append(Cell(number=len(cells), values=chosen, resolved=resolved))
    return tuple(cells)
