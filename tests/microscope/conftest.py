"""What the tests of a microscope share: photographs, and plans of small sites."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from styler.config import VisualizeConfig, resolve
from styler.features import Extractor, load_extractor
from styler.microscope.plan import Plan

Planned = Callable[..., Plan]


@pytest.fixture(scope="session")
def network() -> Extractor:
    """A small network in float32."""
    return load_extractor("vgg-lite")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of five photographs, of which one is broken."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(5):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((72, 60), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.png")
    (folder / "4.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def planned(tmp_path: Path, photographs: Path) -> Planned:
    """Makes plans of sites that are quickly made."""
    resolved = resolve(
        ("test", {"schedule.size": 32, "schedule.steps": 2, "view.pad": 0}), root=VisualizeConfig
    )

    def plan(**changes: Any) -> Plan:
        given: dict[str, Any] = {
            "output": tmp_path / "site",
            "units": {"relu1_2": [0, 1], "relu2_1": list(range(9))},
            "resolved": resolved,
            "images": photographs,
            "k": 3,
            **changes,
        }
        return Plan(**given)

    return plan
