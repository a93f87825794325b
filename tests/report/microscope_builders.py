"""Sites whose pictures are there, and what their pages hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gallery_builders import plain

from styler.microscope.record import LayerPage, NetworkLayer, Sheet, Site, Synthetic, Thumbnail
from styler.patches.record import (
    Box,
    Index,
    LayerRecord,
    Patch,
    Photograph,
    Skipped,
    UnitRecord,
)

EVIL = "a <script>alert(1)</script> 'x' \"y\" & 100% #é日本.png"
PHOTOGRAPHS = 6
DEAD, SILENT = 3, 5
"""Units that nothing excites, and that only the synthetic picture does."""


def unit(layer: str, number: int, label: str = "", *, k: int = 3, **changes: Any) -> UnitRecord:
    """A unit that k photographs excite; the stronger, the higher its number."""
    quiet = number in (DEAD, SILENT)
    patches = [
        Patch(
            image=(number + rank) % PHOTOGRAPHS,
            value=float(number + 3 - rank),
            row=rank,
            column=0,
            box=Box(top=-10.0, left=10.0 * rank, bottom=20.0, right=10.0 * rank + 30),
            clipped=True,
        )
        for rank in range(k)
    ]
    given: dict[str, Any] = {
        "unit": number,
        "name": f"{layer}:{number}" + (f" {label}" if label else ""),
        "patches": [] if quiet else patches,
        "peak": 0.0 if quiet else float(number + 3),
        "mean": 0.0 if quiet else 0.25,
        "active": 0.0 if quiet else ((number * 7) % 11 + 1) / 20,
        "histogram": [0, 0, 0, 0] if quiet else [0, 100, number + 1, 0],
        **changes,
    }
    return UnitRecord(**given)


def layer_record(layer: str, units: list[UnitRecord], **changes: Any) -> LayerRecord:
    given: dict[str, Any] = {
        "layer": layer,
        "channels": 64,
        "stride": 4,
        "sees": (24, 24),
        "field": "theoretical",
        "positions": 1000,
        "units": units,
        **changes,
    }
    return LayerRecord(**given)


def page(
    folder: Path, record: LayerRecord, *, synthetic: bool = True, written: bool = True
) -> LayerPage:
    """A layer, whose pictures are written."""
    draw = plain if written else lambda *_: None
    made, sheets = {}, {}
    for one in record.units:
        stem = f"units/{record.layer}/{one.unit}"
        if synthetic:
            draw(folder / f"{stem}.jpg", "green", (32, 32))
            peak = 0.0 if one.unit == DEAD else 2.0 * one.peak + one.unit % 4
            made[one.unit] = Synthetic(file=f"{stem}.jpg", peak=peak)
        if one.patches:
            draw(folder / f"{stem}-patches.jpg", "red", (96, 64))
            sheets[one.unit] = Sheet(
                file=f"{stem}-patches.jpg", rows=2, columns=2, patches=3, projections=1
            )
    return LayerPage(record=record, synthetic=made, sheets=sheets)


def site(folder: Path, *, units: int = 12, synthetic: bool = True) -> Site:
    """A network of two layers and classes, seen by six photographs; a name is hostile."""
    labels = [f"kind {number} of <fish> & co" for number in range(units)]
    records = [
        layer_record("relu2_1", [unit("relu2_1", n) for n in range(units)]),
        layer_record("relu4_1", [unit("relu4_1", n) for n in range(units)], stride=8),
        layer_record(
            "logits",
            [unit("logits", n, labels[n]) for n in range(units)],
            stride=0,
            sees=None,
            field="full",
        ),
    ]
    images, thumbnails = [], {}
    for number in range(PHOTOGRAPHS):
        name = EVIL if number == 0 else f"sub/{number}.jpg"
        images.append(
            Photograph(
                file=name,
                size=(60, 80),
                part=(0, 0, 60, 80),
                seen=(30, 40),
                sha256=f"{number:064x}",
            )
        )
        plain(folder / f"photographs/{number}.jpg", "blue", (40, 30))
        thumbnails[number] = Thumbnail(file=f"photographs/{number}.jpg", size=(30, 40))
    index = Index(
        backbone="test-net",
        weights_sha256="ab" * 32,
        folder="..",
        side=30,
        precision="float32",
        k=3,
        per_image=1,
        layers=records,
        images=images,
        skipped=[Skipped(file="broken <b>.png", reason="no picture & no <i>luck</i>")],
        bins=[0.5, 1.0, 2.0, 4.0],
    )
    network = [
        NetworkLayer(name="conv2_1", shape=(64, 8, 10), stride=4, sees=(24, 24)),
        NetworkLayer(name="relu2_1", shape=(64, 8, 10), stride=4, sees=(24, 24)),
        NetworkLayer(name="relu4_1", shape=(64, 4, 5), stride=8, sees=(60, 60)),
        NetworkLayer(name="logits", shape=(64, 1, 1), stride=None, sees=None),
    ]
    return Site(
        index=index,
        network=network,
        pages=[page(folder, record, synthetic=synthetic) for record in records],
        thumbnails=thumbnails,
        making="of 32×32 in 5 steps",
    )
