"""Every example runs, and what it trains gets better."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
FEW_STEPS = {
    "style_and_unit.py": ["--steps", "8", "--size", "64"],
    "train_with_style_loss.py": ["--steps", "15", "--size", "48"],
}


def run(example: Path, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", str(example), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_known_here() -> None:
    assert {example.name for example in EXAMPLES} == set(FEW_STEPS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_its_loss_falls(example: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    printed = run(example, *FEW_STEPS[example.name], "--output", str(picture))
    losses = [float(number) for number in re.findall(r"loss (\d+\.\d+)", printed)]
    assert len(losses) >= 2
    assert losses[-1] < 0.95 * losses[0]
    assert picture.stat().st_size > 0


def test_training_says_when_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    script = next(path for path in EXAMPLES if path.name == "train_with_style_loss.py")
    command = [sys.executable, str(script), "--contents", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"no .jpg files in {tmp_path}" in done.stderr
