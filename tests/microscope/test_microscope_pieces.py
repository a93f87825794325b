"""Pieces of a site, and the folder that they are in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from styler.errors import OutputError
from styler.microscope.pieces import (
    STATE,
    check_site,
    key_of,
    open_site,
    read_piece,
    sweep,
    write_piece,
)
from styler.report.microscope import PAGE

WHO = {"network": "a", "weights": "0"}
HALF = ".styler-0123456789abcdef.tmp"


def test_a_piece_says_what_it_is_made_from(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "1.jpg"
    write_piece(path, torch.full((1, 3, 8, 12), 0.5), key_of("a", 1), peak=0.1)
    assert read_piece(path, key_of("a", 1)) == {"key": key_of("a", 1), "peak": 0.1}
    assert read_piece(path, key_of("a", 2)) is None
    with Image.open(path) as picture:
        assert picture.size == (12, 8)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0"])
def test_what_is_no_piece_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "1.jpg").write_bytes(content)
    assert read_piece(tmp_path / "1.jpg", "key") is None
    assert read_piece(tmp_path / "missing.jpg", "key") is None


def test_a_picture_of_somebody_elses_is_no_piece(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "1.jpg", comment=b"holiday")
    assert read_piece(tmp_path / "1.jpg", "key") is None


def test_equal_pieces_have_equal_bytes(tmp_path: Path) -> None:
    pixels = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for name in ("1.jpg", "2.jpg"):
        write_piece(tmp_path / name, pixels, "key", b=1, a=2)
    assert (tmp_path / "1.jpg").read_bytes() == (tmp_path / "2.jpg").read_bytes()


def check(folder: Path, identity: dict[str, Any], *, overwrite: bool = False) -> None:
    check_site(folder, identity, pages=[PAGE, "a.html"], overwrite=overwrite)


def test_a_site_is_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    check(folder, WHO)
    open_site(folder, WHO)
    check(folder, WHO)
    check(folder, {**WHO, "settings": {"steps": (1, 2)}})
    open_site(folder, {**WHO, "settings": {"steps": (1, 2)}})
    check(folder, {**WHO, "settings": {"steps": [1, 2]}})
    open_site(folder, WHO)  # of photographs alone, once
    with pytest.raises(OutputError, match="other settings"):
        check(folder, {**WHO, "settings": {"steps": [3]}})
    check(folder, {**WHO, "settings": {"steps": [3]}}, overwrite=True)


def test_another_networks_site_stays(tmp_path: Path) -> None:
    open_site(tmp_path, WHO)
    with pytest.raises(OutputError, match="other network and other weights"):
        check(tmp_path, {"network": "b", "weights": "1"})


def test_a_folder_with_something_else_stays(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds something else"):
        check(tmp_path, WHO)
    check(tmp_path, WHO, overwrite=True)


def test_a_page_of_a_layer_in_the_way_is_told_before_the_work(tmp_path: Path) -> None:
    open_site(tmp_path, WHO)
    (tmp_path / "a.html").write_text("mine")
    with pytest.raises(OutputError, match="no microscope of styler"):
        check(tmp_path, WHO)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        check(tmp_path / "site", WHO)


def test_a_site_that_was_killed_at_once_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / STATE).mkdir()
    (tmp_path / STATE / HALF).write_bytes(b"{")
    check(tmp_path, WHO)
    open_site(tmp_path, WHO)
    assert not (tmp_path / STATE / HALF).exists()


def test_halves_of_files_go_and_other_hidden_files_stay(tmp_path: Path) -> None:
    open_site(tmp_path, WHO)
    places = [tmp_path, tmp_path / "units" / "a", tmp_path / STATE / "scan-1" / ".styler"]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        (place / HALF).write_bytes(b"")
        (place / ".styler-mine.tmp").write_bytes(b"")
    open_site(tmp_path, WHO)
    assert not any((place / HALF).exists() for place in places)
    assert all((place / ".styler-mine.tmp").exists() for place in places)


def test_what_is_no_longer_shown_goes_but_synthetic_pictures_stay(tmp_path: Path) -> None:
    names = [
        "photographs/old.jpg",
        "photographs/new.jpg",
        "units/a/1.jpg",
        "units/a/1-patches.jpg",
        "units/a/2-patches.jpg",
        f"{STATE}/scan-old/x",
        f"{STATE}/scan-new/x",
        "notes.txt",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    kept = ["photographs/new.jpg", "units/a/2-patches.jpg"]
    sweep(tmp_path, kept, [tmp_path / STATE / "scan-new"])
    gone = {"photographs/old.jpg", "units/a/1-patches.jpg", f"{STATE}/scan-old/x"}
    assert {name for name in names if not (tmp_path / name).exists()} == gone
