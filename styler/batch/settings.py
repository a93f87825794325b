"""Settings of single jobs, and the digest of all that makes a picture."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from styler.batch.pairs import Pair
from styler.batch.sources import absolute
from styler.config import (
    Resolved,
    TransferConfig,
    file_settings,
    flatten,
    resolve,
    setting_files,
)
from styler.errors import BackboneError, ImageError
from styler.images.source import missing_hint

SCHEMA = 1
"""Raised when the same settings come to mean another picture, so that all are made again."""

_BELOW = "batch"


def with_overrides(
    resolved: Resolved[TransferConfig], overrides: Mapping[str, Any], origin: str = "manifest"
) -> Resolved[TransferConfig]:
    """Settings with some of a job's own on top.

    Args:
        resolved: of the batch.
        overrides: dotted key → value.
        origin: of the overrides, for `styler show` and for messages.

    Raises:
        ConfigError: an unknown key or a bad value.

    Example:
        >>> got = with_overrides(resolve(("--strength", {"strength": 0.3})), {"style.scale": 2})
        >>> got.config.strength, got.config.style.scale, got.origins["strength"]
        (0.3, 2.0, '--strength')
    """
    if not overrides:
        return resolved
    got = resolve((_BELOW, dict(flatten(resolved.config))), (origin, overrides))
    origins = {
        key: resolved.origins[key] if found == _BELOW else found
        for key, found in got.origins.items()
    }
    return Resolved(config=got.config, origins=origins)


class Digests:
    """Digests of jobs. Another digest means that the picture must be made again.

    In it are `SCHEMA`; the bit depth asked for; all settings but ``runtime.device``, for a batch
    may be finished on another machine, and ``runtime.precision`` when that is left to the device;
    absolute path, size and time of change of the content, of each style with its share, and of the
    initial picture and the file of weights where settings name them. Not in it is which network
    ``backbone.name = auto`` finds.

    Args:
        resolved: settings of the batch.
        bit_depth: asked for.
    """

    def __init__(self, resolved: Resolved[TransferConfig], bit_depth: int | None = None) -> None:
        self._resolved = resolved
        self._bit_depth = bit_depth
        self._stamps: dict[Path, list[Any]] = {}
        self._settings: dict[str, str] = {}
        self.starts: set[Path] = set()
        """initial and other pictures that settings name"""

    def of(self, pair: Pair) -> str:
        """The digest of one job, whose settings are checked.

        Returns:
            64 hexadecimal digits.

        Raises:
            ConfigError: its overrides are unknown or bad.
            ImageError: a picture is missing.
            BackboneError: the file of weights is missing.
        """
        total = sum(style.weight for style in pair.styles)
        parts = [
            self._settings_of(pair),
            self._stamp(pair.content),
            # Proportions count: 7 to 3 is 0.7 to 0.3.
            [[round(s.weight / total, 9), *self._stamp(s.path)] for s in pair.styles],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _settings_of(self, pair: Pair) -> str:
        key = json.dumps(dict(pair.overrides), sort_keys=True, default=str)
        if key not in self._settings:
            self._settings[key] = self._settings_text(pair)
        return self._settings[key]

    def _settings_text(self, pair: Pair) -> str:
        config = with_overrides(self._resolved, pair.overrides, pair.where).config
        left_out = {"runtime.device", "backbone.weights", *file_settings(config)}
        if config.runtime.precision == "auto":
            left_out.add("runtime.precision")
        settings = {key: value for key, value in flatten(config) if key not in left_out}
        files = {}
        for name, path in setting_files(config).items():
            file = absolute(path)
            self.starts.add(file)
            files[name] = self._stamp(file)
        if config.backbone.weights:
            weights = absolute(config.backbone.weights)
            if not os.path.exists(weights):
                raise BackboneError(f"no such file: {weights}", missing_hint(weights))
            files["weights"] = self._stamp(weights)
        return json.dumps([SCHEMA, self._bit_depth, settings, files], sort_keys=True)

    def _stamp(self, path: Path) -> list[Any]:
        if path not in self._stamps:
            try:
                found = os.stat(path)
            except OSError as fault:
                raise ImageError(f"no such file: {path}", missing_hint(path)) from fault
            self._stamps[path] = [str(path), found.st_size, found.st_mtime_ns]
        return self._stamps[path]
