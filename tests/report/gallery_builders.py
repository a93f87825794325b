"""Jobs for galleries, and what a gallery's page holds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from PIL import Image

from styler.batch.job import JobRecord

EVIL = "a <script>alert(1)</script> 'x' \"y\" & 100% #é日本.png"
TRACE = ((0, 1000.0), (5, 100.0), (10, 10.0))


def plain(path: Path, colour: str = "red", size: tuple[int, int] = (40, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def record(folder: Path, key: str, **changes: Any) -> JobRecord:
    """A job whose sources exist, and whose result does when it is done."""
    given: dict[str, Any] = {
        "key": key,
        "content": str(folder / "content.png"),
        "styles": ((str(folder / "style.png"), 1.0),),
        "output": str(folder / key),
        "digest": "0",
        "overrides": {},
        "state": "done",
        "attempts": 1,
        **changes,
    }
    for path in (given["content"], *(path for path, _ in given["styles"])):
        if not Path(path).exists():
            plain(Path(path), "blue")
    if given["state"] == "done" and not Path(given["output"]).exists():
        plain(Path(given["output"]))
    return JobRecord(**given)


def embedded(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*)</script>', page)
    data: dict[str, Any] = json.loads(text)
    return data
