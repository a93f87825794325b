"""The two commands as a user calls them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from styler.training.student import student_of_file


def _call(module: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"styler.training.{module}", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )


def test_distill_trains_and_names_its_file(pictures: Path, teacher: Path, tmp_path: Path) -> None:
    out = tmp_path / "student.safetensors"
    called = _call(
        "distill", "--teacher", teacher, "--data", pictures, "--out", out, "--steps", "2",
        "--blocks", "8,8,8,8x2,8", "--side", "32", "--crops", "2", "--rollouts", "1",
        "--precision", "fp32",
    )  # fmt: skip
    assert called.returncode == 0, called.stderr
    assert called.stdout == f"{out}\n"
    assert "step 2/2  relu1_1" in called.stderr
    assert student_of_file(out)[0].blocks == ((8,), (8,), (8,), (8, 8), (8,))


@pytest.mark.parametrize(
    ("module", "arguments", "code", "words"),
    [
        ("distill", ["--dta", "x"], 2, "did you mean --data"),
        ("distill", ["--teacher", "no", "--data", "no", "--out", "a.safetensors"], 5, "no weights"),
        ("evaluate", ["nothing.safetensors", "--images", "nowhere"], 4, "no pictures"),
    ],
)
def test_mistakes_are_one_line_and_a_hint(
    module: str, arguments: list[str], code: int, words: str
) -> None:
    called = _call(module, *arguments)
    assert called.returncode == code
    lines = called.stderr.splitlines()
    assert [line.split(":")[0] for line in lines] == ["error", "hint"]
    assert words in called.stderr
