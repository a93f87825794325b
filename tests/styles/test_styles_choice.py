"""Styles on the command line: files, weights, and colons that mean neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from styler.errors import UsageError
from styler.styles.choice import StyleChoice, blend_stem, is_style_file, parse_style


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.style", "c"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [
        ("a.jpg", "a.jpg", 1.0),
        ("a.jpg:0.7", "a.jpg", 0.7),
        ("a.jpg:.25", "a.jpg", 0.25),
        ("a.jpg:3", "a.jpg", 3.0),
        ("a.jpg:1e-2", "a.jpg", 0.01),
        ("b.style:0.3", "b.style", 0.3),
        ("c:2", "c", 2.0),  # a file of one letter, which is no drive
        ("missing.jpg:0.5", "missing.jpg", 0.5),
        (r"C:\art\waves.jpg", r"C:\art\waves.jpg", 1.0),
        (r"C:\art\waves.jpg:0.5", r"C:\art\waves.jpg", 0.5),
        ("C:/art/waves.jpg", "C:/art/waves.jpg", 1.0),
        ("D:7", "D:7", 1.0),
        ("study in red: waves.jpg", "study in red: waves.jpg", 1.0),
        (":0.5", ":0.5", 1.0),
        ("a.jpg:2:0.5", "a.jpg:2", 0.5),
    ],
)
def test_what_is_written_means_a_file_and_a_weight(text: str, path: str, weight: float) -> None:
    assert parse_style(text) == StyleChoice(path=Path(path), weight=weight)


@pytest.mark.parametrize("name", ["a.jpg:0.7", "12:30", "x:y"])
def test_a_file_of_exactly_that_name_wins(folder: Path, name: str) -> None:
    (folder / name).touch()
    assert parse_style(name) == StyleChoice(path=Path(name))
    assert parse_style(f"{name}:0.25") == StyleChoice(path=Path(name), weight=0.25)


@pytest.mark.parametrize("weight", ["", "0,7", "half", "0.7x"])
def test_what_follows_a_file_must_be_a_number(weight: str) -> None:
    with pytest.raises(UsageError, match=r"is no weight for a\.jpg") as caught:
        parse_style(f"a.jpg:{weight}")
    assert "painting.jpg:0.7" in str(caught.value.hint)


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "1e999"])
def test_weights_are_above_0_and_finite(weight: str) -> None:
    with pytest.raises(UsageError, match="expected more than 0"):
        parse_style(f"a.jpg:{weight}")


def test_the_ending_tells_a_saved_style() -> None:
    assert all(is_style_file(Path(name)) for name in ("a.style", "x/A.STYLE"))
    assert not any(is_style_file(Path(name)) for name in ("a.jpg", "style", "a.style.png"))


def test_results_are_named_after_all_styles() -> None:
    assert blend_stem([parse_style("x/a.jpg:0.7"), parse_style("b.style")]) == "a+b"
