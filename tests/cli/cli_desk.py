"""A workplace with two small pictures, and the program within reach."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from styler.cli.main import app

ROOT = Path(__file__).parents[2]
TINY = ("--size", "48", "--steps", "2", "--precision", "fp32")


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what is wrong."""
        first, *rest = self.err.splitlines()
        assert first.startswith("error: "), self.err
        assert len(rest) <= 1, self.err
        return first.removeprefix("error: ")

    @property
    def hint(self) -> str:
        """The one line that says what to do."""
        assert "Traceback" not in self.err
        *_, last = self.err.splitlines()
        assert last.startswith("hint: "), self.err
        return last.removeprefix("hint: ")


def paint(path: Path, seed: int, size: tuple[int, int] = (64, 48)) -> Path:
    """A picture of coloured blobs, (width, height)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@dataclass(frozen=True)
class Desk:
    """A folder to work in."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *words: object) -> Ran:
        """Run a command in this process."""
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Ran(result.exit_code, result.stdout, result.stderr)

    def transfer(self, *words: object) -> Ran:
        """Paint cat.png like waves.png, small and fast, in this process."""
        return self("transfer", "cat.png", "waves.png", *TINY, *words)

    def start(
        self,
        *words: object,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start the real program, in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "styler", *map(str, words)],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    def files(self) -> set[str]:
        """What lies in the folder, hidden files, too."""
        return {path.name for path in self.folder.iterdir()}
