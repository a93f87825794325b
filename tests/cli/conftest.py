"""Fixtures of the command line's tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cli_desk import ROOT, Desk, paint


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """An empty machine: no weights but the embedded ones, no settings."""
    folder = tmp_path / "desk"
    folder.mkdir()
    paint(folder / "cat.png", 1)
    paint(folder / "waves.png", 2, (80, 64))
    environment = {
        "STYLER_CACHE_DIR": str(tmp_path / "cache"),
        "STYLER_WEIGHTS_DIR": "",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in ("STYLER_DEBUG", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    return Desk(folder, environment)


@pytest.fixture
def python() -> Callable[[Sequence[str]], subprocess.CompletedProcess[str]]:
    """Run Python on this checkout, warnings being errors."""

    def run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    return run
