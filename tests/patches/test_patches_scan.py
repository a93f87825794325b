"""Looking at folders: once at each photograph, in any number of runs, with the same result."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from styler.errors import ConfigError, ImageError, OutputError, UsageError
from styler.features import Extractor
from styler.images import raster
from styler.patches.index import index_of
from styler.patches.reading import show
from styler.patches.record import Index, encode_index
from styler.patches.scan import Progress, Scan, Wanted
from styler.patches.sources import find_sources
from styler.patches.state import STATE
from styler.patches.tally import Tally
from styler.patches.top import top_patches
from styler.patches.view import Framing

LAYERS = ["act", "last"]


def look(extractor: Extractor, folder: Path, out: Path | None = None, **wanted: object) -> Scan:
    wanted = {"layers": LAYERS, "k": 3, "side": 24, **wanted}
    return Scan(
        extractor,
        Wanted(**wanted),  # type: ignore[arg-type]
        find_sources(folder, out),
        out=out,
    )


def found(extractor: Extractor, folder: Path, out: Path | None = None, **wanted: object) -> Index:
    scan = look(extractor, folder, out, **wanted)
    scan.run()
    return index_of(scan)


class Counting:
    """Counts how often a network is run."""

    def __init__(self, extractor: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        run = type(extractor).__call__

        def counted(itself: Extractor, image: Tensor, layers: list[str]) -> dict[str, Tensor]:
            self.times += 1
            return run(itself, image, layers)

        monkeypatch.setattr(type(extractor), "__call__", counted)


class _EndedError(Exception):
    pass


def ending_after(count: int) -> Callable[[Progress], None]:
    left = count

    def told(progress: Progress) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise _EndedError

    return told


def test_the_strongest_are_those_that_a_plain_search_finds(small: Extractor, photos: Path) -> None:
    index = found(small, photos)
    assert [one.file for one in index.images] == [
        "0.png",
        "1.png",
        "3.png",
        "4.png",
        "6.png",
        "more/2.png",
        "more/5.png",
    ]
    framing = Framing(side=24, square=False)
    maps = []
    for one in index.images:
        seen = show(photos / one.file, framing)
        assert (seen.view.part, seen.view.seen, seen.sha256) == (one.part, one.seen, one.sha256)
        with torch.no_grad():
            maps.append(small(seen.image, LAYERS))
    for layer in index.layers:
        every = [found[layer.layer] for found in maps]
        assert layer.positions == sum(one[0, 0].numel() for one in every)
        for unit in layer.units:
            peaks = [float(one[0, unit.unit].max()) for one in every]
            order = sorted(range(len(peaks)), key=lambda n: (-peaks[n], n))
            expected = [n for n in order if peaks[n] != 0][:3]
            assert [patch.image for patch in unit.patches] == expected
            assert [patch.value for patch in unit.patches] == [peaks[n] for n in expected]
            for patch in unit.patches:
                at = every[patch.image][0, unit.unit, patch.row, patch.column]
                assert float(at) == patch.value
            values = torch.cat([one[0, unit.unit].flatten() for one in every]).double()
            assert unit.mean == pytest.approx(float(values.mean()), rel=1e-9)
            assert unit.active == pytest.approx(float((values > 0).double().mean()))
            assert unit.peak == max(peaks)
    dead = index.layer("last").units[2]
    assert (dead.fired, dead.peak, dead.patches, sum(dead.histogram)) == (False, 0, [], 0)


def test_places_inside_have_their_whole_fields_in_the_photograph(
    small: Extractor, photos: Path
) -> None:
    everywhere, inside = (found(small, photos, inside=wanted) for wanted in (False, True))
    assert any(patch.clipped for unit in everywhere.layers[0].units for patch in unit.patches)
    for layer in inside.layers:
        field = small.receptive_field(layer.layer)
        assert field is not None
        for unit in layer.units:
            peaks = []
            for one in inside.images:
                image = show(photos / one.file, Framing(side=24, square=False)).image
                with torch.no_grad():
                    map_ = small(image, [layer.layer])[layer.layer][0, unit.unit]
                for row, column in [(r, c) for r in range(len(map_)) for c in range(len(map_[0]))]:
                    top, left, bottom, right = field.box(row, column)
                    if top < 0 or left < 0 or bottom > one.seen[0] or right > one.seen[1]:
                        map_[row, column] = -torch.inf
                peaks.append(float(map_.max()))
            expected = sorted((peak for peak in peaks if peak != 0), reverse=True)[:3]
            assert [patch.value for patch in unit.patches] == expected
            assert not any(patch.clipped for patch in unit.patches)


def test_one_pass_of_the_network_for_each_photograph(
    small: Extractor, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(small, monkeypatch)
    found(small, photos)
    assert counting.times == 7


@pytest.mark.parametrize("count", [1, 3, 6, 7])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(
    count: int, small: Extractor, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encode_index(found(small, photos, tmp_path / "one"))
    with pytest.raises(_EndedError):
        look(small, photos, tmp_path / "two").run(ending_after(count))
    counting = Counting(small, monkeypatch)
    again = look(small, photos, tmp_path / "two")
    assert len(again.photographs()) == count
    again.run()
    assert counting.times == 7 - count
    assert encode_index(index_of(again)) == whole
    assert (tmp_path / "one" / STATE).read_bytes() == (tmp_path / "two" / STATE).read_bytes()


def test_half_a_photograph_is_never_kept(
    small: Extractor, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encode_index(found(small, photos, tmp_path / "one"))
    add, times = Tally.add, 0

    def failing(*given: object, **more: object) -> None:
        nonlocal times
        times += 1
        if times == 6:  # the second layer of the third photograph
            raise KeyboardInterrupt
        add(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("styler.patches.clock.SAVE_EVERY", 0.0)
    monkeypatch.setattr("styler.patches.clock._SHARE", 0)
    monkeypatch.setattr(Tally, "add", failing)
    with pytest.raises(KeyboardInterrupt):
        look(small, photos, tmp_path / "two").run()
    monkeypatch.setattr(Tally, "add", add)
    again = look(small, photos, tmp_path / "two")
    assert len(again.photographs()) == 2
    again.run()
    assert encode_index(index_of(again)) == whole


@pytest.mark.parametrize("per_image", [1, 3])
def test_a_folder_that_grew_gives_what_one_look_at_all_gives(
    per_image: int, small: Extractor, photos: Path, tmp_path: Path
) -> None:
    whole = found(small, photos, tmp_path / "one", per_image=per_image)
    growing = tmp_path / "growing"
    for some in (["4.png", "more/5.png"], ["0.png", "6.png", "3.png"], ["1.png", "more/2.png"]):
        for name in some:
            (growing / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(photos / name, growing / name)
        scan = look(small, growing, tmp_path / "two", per_image=per_image)
        assert [one.file for one in scan.todo] == sorted(some, key=lambda name: name.split("/"))
        scan.run()
    index = dataclasses.replace(index_of(scan), folder=whole.folder)
    assert encode_index(index) == encode_index(whole)


def test_equal_photographs_that_differ_in_name_come_in_the_order_of_their_paths(
    small: Extractor, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("c.png", "a.bmp", "b.tif"):
        Image.new("RGB", (30, 30), (200, 90, 10)).save(folder / name)
    index = found(small, folder)
    assert len(index.images) == 3
    for layer in index.layers:
        for unit in layer.units:
            assert [patch.image for patch in unit.patches] in ([0, 1, 2], [])
            places = {(patch.row, patch.column) for patch in unit.patches}
            assert len(places) <= 1


def test_copies_are_looked_at_once(
    small: Extractor, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(photos / "1.png", photos / "more" / "copy.png")
    shutil.copy(photos / "1.png", photos / "0b.png")
    counting = Counting(small, monkeypatch)
    index = found(small, photos)
    assert counting.times == 7
    assert [(one.file, one.reason) for one in index.skipped] == [
        ("1.png", "a copy of 0b.png"),
        ("more/copy.png", "a copy of 0b.png"),
    ]


def test_a_copy_that_comes_first_later_on_takes_the_place_of_the_other(
    small: Extractor, photos: Path, tmp_path: Path
) -> None:
    found(small, photos, tmp_path / "two")
    shutil.copy(photos / "1.png", photos / "0b.png")
    again = look(small, photos, tmp_path / "two")
    assert again.anew == "0b.png has come, and 1.png is a copy of it"
    again.run()
    assert encode_index(index_of(again)) == encode_index(found(small, photos, tmp_path / "one"))


def test_broken_files_are_passed_over_and_tried_again_once_they_change(
    small: Extractor, photos: Path, paint: Callable[..., Path], tmp_path: Path
) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff and nothing more")
    (photos / "2b.png").write_bytes((photos / "1.png").read_bytes()[:200])
    (photos / "notes.txt").write_text("no picture")
    (photos / ".hidden.png").write_bytes(b"x")
    scan = look(small, photos, tmp_path / "out")
    scan.run()
    assert [one.file for one in scan.skipped] == ["2b.png", "broken.jpg"]
    assert all(str(tmp_path) not in one.reason for one in scan.skipped)
    assert look(small, photos, tmp_path / "out").todo == []
    paint(photos / "2b.png", 20)
    again = look(small, photos, tmp_path / "out")
    assert again.anew is None
    assert [one.file for one in again.todo] == ["2b.png"]
    again.run()
    assert encode_index(index_of(again)) == encode_index(found(small, photos, tmp_path / "one"))


def test_a_photograph_that_is_gone_or_has_changed_makes_all_anew(
    small: Extractor, photos: Path, paint: Callable[..., Path], tmp_path: Path
) -> None:
    found(small, photos, tmp_path / "out")
    os.utime(photos / "0.png", ns=(1, 1))  # touched, and the same
    scan = look(small, photos, tmp_path / "out")
    assert (scan.anew, scan.todo) == (None, [])
    paint(photos / "0.png", 33)
    changed = look(small, photos, tmp_path / "out")
    assert changed.anew == "0.png has changed"
    assert len(changed.todo) == 7
    changed.run()
    (photos / "3.png").unlink()
    gone = look(small, photos, tmp_path / "out")
    assert gone.anew == "3.png is gone"
    gone.run()
    assert encode_index(index_of(gone)) == encode_index(found(small, photos, tmp_path / "one"))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"k": 4}, "number of patches: 3, now 4"),
        ({"side": 30}, "size of photographs: 24, now 30"),
        ({"per_image": 2}, "number of patches of a photograph: 1, now 2"),
        ({"layers": ["act"]}, "choice of layers and units"),
        ({"units": [1]}, "choice of layers and units"),
    ],
)
def test_other_settings_do_not_mix_with_what_is_kept(
    wanted: dict[str, object], message: str, small: Extractor, photos: Path, tmp_path: Path
) -> None:
    found(small, photos, tmp_path / "out")
    before = (tmp_path / "out" / STATE).read_bytes()
    with pytest.raises(OutputError, match=message) as refused:
        look(small, photos, tmp_path / "out", **wanted)
    assert "--overwrite" in str(refused.value.hint)
    assert (tmp_path / "out" / STATE).read_bytes() == before


def test_other_networks_do_not_mix_either(
    small: Extractor, deciding: Extractor, photos: Path, tmp_path: Path
) -> None:
    found(small, photos, tmp_path / "out")
    with pytest.raises(OutputError, match="another backbone: small, now deciding"):
        look(deciding, photos, tmp_path / "out")


def test_what_is_kept_and_damaged_is_told_of(
    small: Extractor, photos: Path, tmp_path: Path
) -> None:
    found(small, photos, tmp_path / "out")
    path = tmp_path / "out" / STATE
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(OutputError, match="damaged"):
        look(small, photos, tmp_path / "out")


def test_transparent_photographs_and_extreme_shapes(small: Extractor, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(folder / "clear.png")
    Image.new("L", (1, 1), 255).save(folder / "dot.png")
    Image.linear_gradient("L").resize((900, 9)).save(folder / "long.png")
    index = found(small, folder)
    by_name = {one.file: one for one in index.images}
    assert by_name["dot.png"].seen == (24, 24)
    assert by_name["long.png"].part == (0, 432, 9, 468)
    assert by_name["long.png"].seen == (24, 96)


def test_a_picture_that_is_too_large_is_skipped(
    small: Extractor, photos: Path, paint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(photos / "huge.png", 5, (300, 200))
    monkeypatch.setattr(raster, "MAX_PIXELS", 20_000)
    index = found(small, photos)
    assert [one.file for one in index.skipped] == ["huge.png"]
    assert "300×200" in index.skipped[0].reason
    assert len(index.images) == 7


def test_links_in_a_circle_end(small: Extractor, photos: Path) -> None:
    (photos / "more" / "up").symlink_to(photos, target_is_directory=True)
    (photos / "lost.png").symlink_to(photos / "nowhere.png")
    index = found(small, photos)
    assert len(index.images) == 7
    assert {one.file for one in index.skipped} == {"more/up", "lost.png"}


def test_folders_without_photographs(small: Extractor, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ImageError, match="no photographs in"):
        look(small, empty)
    with pytest.raises(ImageError, match="no such folder"):
        look(small, tmp_path / "nowhere")
    (empty / "a.png").write_bytes(b"no")
    with pytest.raises(ImageError, match=r"none of the photographs could be read: a\.png: "):
        found(small, empty)


def test_what_is_asked_for_has_to_be_there(small: Extractor, photos: Path) -> None:
    with pytest.raises(ConfigError, match="unknown layer 'firts'") as wrong:
        look(small, photos, layers=["firts"])
    assert "first" in str(wrong.value.hint)
    with pytest.raises(ConfigError, match="last of small has no unit 5"):
        look(small, photos, units=[1, 5])
    with pytest.raises(ConfigError, match="has no unit -1"):
        look(small, photos, units=[-1])
    for wanted in ({"k": 0}, {"per_image": 0}, {"side": 0}):
        with pytest.raises(UsageError):
            look(small, photos, **wanted)


def test_no_number_is_no_photograph(
    small: Extractor, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = type(small).__call__
    times = 0

    def sometimes(itself: Extractor, image: Tensor, layers: list[str]) -> dict[str, Tensor]:
        nonlocal times
        times += 1
        features = run(itself, image, layers)
        factor = torch.nan if times == 3 else 1.0
        return {name: value * factor for name, value in features.items()}

    monkeypatch.setattr(type(small), "__call__", sometimes)
    index = found(small, photos)
    assert [one.file for one in index.skipped] == ["3.png"]
    assert "no number" in index.skipped[0].reason


def test_files_may_be_named_one_by_one(small: Extractor, photos: Path) -> None:
    index = top_patches(
        [photos / "more" / "2.png", photos / "1.png"], small, ["act"], units=[1], k=2, side=24
    )
    assert [one.file for one in index.images] == ["1.png", "more/2.png"]
    assert index.folder == photos.as_posix()
    assert [unit.unit for unit in index.layers[0].units] == [1]
