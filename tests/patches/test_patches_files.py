"""Files of patches and sheets: their names, their bytes, and those of other people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from styler.errors import OutputError
from styler.features import Extractor
from styler.images import read_picture
from styler.patches import files
from styler.patches.files import FILES, OwnFiles, files_of, layer_stems, with_files
from styler.patches.index import index_of
from styler.patches.record import Index, LayerRecord, UnitRecord, read_index
from styler.patches.scan import Scan, Wanted
from styler.patches.sheets import UNITS, WIDEST, Sheet, shares
from styler.patches.sources import find_sources
from styler.patches.state import STATE
from styler.patches.writing import write_found

Contents = Callable[[Path], dict[str, bytes]]


def search(
    extractor: Extractor, photos: Path, out: Path, *, patches: bool = True, **wanted: object
) -> Index:
    wanted = {"layers": ["act", "last"], "k": 3, "side": 24, **wanted}
    asked = Wanted(**wanted)  # type: ignore[arg-type]
    scan = Scan(extractor, asked, find_sources(photos, out), out=out)
    scan.run()
    index = with_files(index_of(scan), patches=patches)
    write_found(index, photos, out)
    return index


def test_all_that_is_named_is_there(small: Extractor, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    index = search(small, photos, out)
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert there == {*files_of(index), STATE, FILES}
    assert "patches/act/0000/1.png" in there
    assert {"grid_act.png", "grid_last.png", "index.json"} <= there
    assert read_index(out) == index
    assert (out / index.folder).resolve() == photos.resolve()
    for layer in index.layers:
        for unit in layer.units:
            for patch in unit.patches:
                assert patch.file is not None
                height, width = read_picture(out / patch.file).size
                assert height >= patch.box.bottom - patch.box.top > height - 2
                assert width >= patch.box.right - patch.box.left > width - 2


def test_files_that_are_right_are_left_alone(
    small: Extractor, photos: Path, tmp_path: Path, contents: Contents
) -> None:
    out = tmp_path / "out"
    search(small, photos, out)
    before, first = contents(out), (out / "patches/act/0000/1.png").stat().st_ino
    (out / "patches/act/0001/2.png").write_bytes(b"damaged")
    (out / "grid_last.png").unlink()
    search(small, photos, out)
    assert contents(out) == before
    assert (out / "patches/act/0000/1.png").stat().st_ino == first


def test_what_is_no_longer_wanted_goes_and_other_peoples_files_stay(
    small: Extractor, photos: Path, tmp_path: Path, contents: Contents
) -> None:
    out = tmp_path / "out"
    search(small, photos, out)
    (out / "patches" / "act" / "0001" / "mine.txt").write_text("mine")
    (out / "grid.png").write_bytes(b"mine")
    search(small, photos, out, patches=False)
    left = {name for name in contents(out) if not name.startswith(".styler/")}
    assert left == {
        "grid_act.png",
        "grid_last.png",
        "grid.png",
        "index.json",
        "patches/act/0001/mine.txt",
    }


@pytest.mark.parametrize("failing", [1, 5, 12])
def test_an_end_while_files_are_written_leaves_nothing_behind(
    failing: int,
    small: Extractor,
    photos: Path,
    tmp_path: Path,
    contents: Contents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search(small, photos, tmp_path / "one", units=[0, 1])
    write, times = files.write_atomically, 0

    def ending(path: Path, data: bytes) -> None:
        nonlocal times
        times += 1
        if times > failing:
            raise OutputError("the disk is full")
        write(path, data)

    search(small, photos, tmp_path / "two", patches=True, units=[0, 1])
    (tmp_path / "two" / "patches" / "act" / "0000" / "1.png").unlink()
    monkeypatch.setattr(files, "write_atomically", ending)
    with pytest.raises(OutputError, match="disk is full"):
        search(small, photos, tmp_path / "three", units=[0, 1])
    monkeypatch.setattr(files, "write_atomically", write)
    OwnFiles(tmp_path / "three").check(["act", "last"])  # all of it is known to be ours
    for name in ("two", "three"):
        search(small, photos, tmp_path / name, units=[0, 1])
        assert contents(tmp_path / name) == contents(tmp_path / "one")


@pytest.mark.parametrize("name", ["index.json", "grid_act.png", "patches/act/0000/1.png"])
def test_files_of_other_people_are_not_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(OutputError, match=f"{name} already exists") as refused:
        OwnFiles(tmp_path).check(["act"])
    assert "--overwrite" in str(refused.value.hint)
    OwnFiles(tmp_path / "elsewhere").check(["act"])


def test_a_list_of_files_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "out" / ".styler").mkdir(parents=True)
    (tmp_path / "precious.png").write_bytes(b"mine")
    (tmp_path / "out" / FILES).write_text('["../precious.png", "/etc/hostname", "grid_a.png"]')
    own = OwnFiles(tmp_path / "out")
    assert own.known == {"grid_a.png"}
    own.keep([])
    assert (tmp_path / "precious.png").exists()


def test_names_of_layers_are_safe_and_all_different() -> None:
    layers = ["Mixed_5b.branch", "mixed_5b.branch", "a/b", "a:b", "..", "", "ü" * 300, "x" * 300]
    stems = layer_stems(layers)
    assert len({stem.lower() for stem in stems.values()}) == len(layers)
    for stem in stems.values():
        assert stem == Path(stem).name
        assert not stem.startswith(".")
        assert len(stem) < 120


def record(units: int, name: str = "conv") -> LayerRecord:
    return LayerRecord(
        layer=name,
        channels=units,
        stride=1,
        sees=(3, 3),
        field="theoretical",
        positions=1,
        units=[
            UnitRecord(
                unit=n, name=f"{name}:{n}", patches=[], peak=0, mean=0, active=0, histogram=[]
            )
            for n in range(units)
        ],
    )


def test_many_units_have_several_sheets_with_names_of_their_own() -> None:
    index = Index(
        backbone="own",
        weights_sha256="",
        folder=".",
        side=24,
        precision="float32",
        k=9,
        per_image=1,
        layers=[record(250), record(3, "conv_2")],
        images=[],
    )
    first, second = with_files(index).layers
    assert len(first.grids) == 3
    assert first.grids[0] == "grid_conv.png"
    assert second.grids == ["grid_conv_2.png"]
    assert len({*first.grids, *second.grids}) == 4


@pytest.mark.parametrize("count", [1, 99, 100, 101, 512, 2048])
def test_sheets_share_units_evenly_and_in_order(count: int) -> None:
    parts = shares(list(range(count)))
    assert [unit for part in parts for unit in part] == list(range(count))
    assert max(map(len, parts)) <= UNITS
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("k", [1, 4, 9, 12, 100])
def test_a_sheet_is_no_wider_than_it_may_be(k: int) -> None:
    layer = record(100)
    pixels = Sheet(layer, layer.units, k).pixels()
    assert pixels.shape[1] <= WIDEST


def test_patches_are_where_they_belong_on_the_sheet(
    small: Extractor, photos: Path, tmp_path: Path
) -> None:
    index = search(small, photos, tmp_path / "out", layers=["last"], k=4)
    layer = index.layers[0]
    empty = Sheet(layer, layer.units, 4).pixels().copy()
    for rank in (1, 2, 3, 4):
        sheet = Sheet(layer, layer.units, 4)
        sheet.paste(1, rank, torch.zeros(1, 3, 8, 8))
        rows, columns = np.nonzero((sheet.pixels() != empty).any(2))
        height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
        assert (height, width) == (64, 64)
        if rank == 1:
            corner = rows.min(), columns.min()
        down, across = divmod(rank - 1, 2)
        assert (rows.min() - corner[0], columns.min() - corner[1]) == (down * 66, across * 66)
    grey = Sheet(layer, layer.units, 4)
    grey.paste(0, 1, torch.zeros(1, 3, 8, 40))  # a panorama is not stretched
    dark = (grey.pixels() == 0).all(2) & (empty != 0).any(2)
    rows, columns = np.nonzero(dark)
    assert np.ptp(columns) + 1 == 64
    assert np.ptp(rows) + 1 == 13
