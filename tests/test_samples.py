"""The sample pictures: listed, small, readable, and painted the same way every time."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SAMPLES = Path(__file__).parents[1] / "samples"
PICTURES = sorted(p for folder in ("contents", "styles") for p in (SAMPLES / folder).iterdir())
STYLES = ["autumn_avenue", "flow_field", "stained_glass", "woodcut_waves"]

Paint = Callable[..., Image.Image]


@pytest.fixture
def paint(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Paint]:
    monkeypatch.syspath_prepend(str(SAMPLES))
    return lambda name: importlib.import_module(f"painting.{name}").paint


def test_sources_lists_every_picture_and_no_other() -> None:
    table = (SAMPLES / "SOURCES.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE)
    assert sorted(listed) == [p.relative_to(SAMPLES).as_posix() for p in PICTURES]


def test_sources_names_author_and_licence_of_each() -> None:
    table = (SAMPLES / "SOURCES.md").read_text(encoding="utf-8")
    rows = [r.strip("|").split("|") for r in table.splitlines() if r.startswith("| `")]
    assert len(rows) == len(PICTURES)
    for *_, author, licence in rows:
        assert author.strip()
        assert licence.strip() in {"CC0 1.0", "Public domain"}


@pytest.mark.parametrize("path", PICTURES, ids=lambda p: p.name)
def test_picture_is_small_and_opens(path: Path) -> None:
    assert path.stat().st_size < 400_000
    with Image.open(path) as image:
        image.load()
        assert image.mode == "RGB"
        assert 400 <= max(image.size) <= 1024


@pytest.mark.parametrize("name", STYLES)
def test_painting_is_deterministic(paint: Callable[[str], Paint], name: str) -> None:
    first, second = (np.asarray(paint(name)(width=96)) for _ in range(2))
    assert first.shape == (77, 96, 3)
    np.testing.assert_array_equal(first, second)
    other = np.asarray(paint(name)(width=96, seed=1000))
    assert np.abs(first.astype(float) - other).mean() > 2


def test_styles_differ_in_colour() -> None:
    means = []
    for name in STYLES:
        with Image.open(SAMPLES / "styles" / f"{name}.jpg") as image:
            means.append(np.asarray(image).mean(axis=(0, 1)))
    apart = [np.abs(a - b).max() for i, a in enumerate(means) for b in means[:i]]
    assert min(apart) > 10


@pytest.mark.parametrize("name", STYLES)
def test_shipped_style_is_what_the_script_paints(paint: Callable[[str], Paint], name: str) -> None:
    """A small painting has the composition of the shipped one, seen from afar."""
    with Image.open(SAMPLES / "styles" / f"{name}.jpg") as shipped:
        far = np.asarray(shipped.resize((12, 9), Image.Resampling.BOX), dtype=float)
    small = paint(name)(width=96).resize((12, 9), Image.Resampling.BOX)
    assert np.abs(far - np.asarray(small, dtype=float)).mean() < 25
