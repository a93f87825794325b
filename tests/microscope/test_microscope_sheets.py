"""Sheets of patches, their projections, and the sizes of things in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from styler.effective import unit_gradients
from styler.errors import ImageError
from styler.features import Extractor
from styler.features.rectifiers import relu_rule
from styler.images import read_picture
from styler.microscope.photographs import look, narrowed, scan_of
from styler.microscope.sheets import (
    CELL,
    THUMBNAIL,
    cell,
    in_view,
    make_sheets,
    make_thumbnails,
    projected,
    projections,
    sheet_jobs,
)
from styler.patches.index import index_of
from styler.patches.record import Box, Index, Patch, Photograph
from styler.patches.scan import Scan, Wanted
from styler.patches.sources import find_sources

UNITS = {"relu1_2": [0, 1], "relu2_1": [3, 5, 40]}


@pytest.fixture
def index(tmp_path: Path, photographs: Path, network: Extractor) -> Index:
    scan = scan_of(
        tmp_path / "site", find_sources(photographs), network, Wanted(layers=list(UNITS), k=3)
    )
    return look(scan, UNITS, "theoretical")


def test_a_cell_holds_all_of_a_patch() -> None:
    wide = cell(torch.zeros(1, 3, 10, 40))[0, 0]
    assert wide.shape == (CELL, CELL)
    rows = (wide == 0).all(1).nonzero().flatten()
    assert (int(rows[0]), int(rows[-1])) == (CELL * 3 // 8, CELL * 5 // 8 - 1)
    assert float(wide[0, 0]) == 0.5
    assert float((cell(torch.ones(1, 3, 7, 7)) - 1).abs().max()) < 1e-6  # but for rounding


def test_a_box_is_where_the_network_saw_it() -> None:
    photograph = Photograph(
        file="a.png", size=(300, 400), part=(0, 50, 300, 350), seen=(100, 100), sha256=""
    )
    box = Box(top=-3.0, left=50.0, bottom=30.0, right=80.0)
    patch = Patch(image=0, value=1.0, row=0, column=0, box=box, clipped=True)
    assert in_view(patch, photograph) == Box(top=-1.0, left=0.0, bottom=10.0, right=10.0)


def test_a_projection_is_grey_where_nothing_is_and_beyond_the_border() -> None:
    gradient = torch.zeros(1, 3, 8, 8)
    gradient[0, 0, 0, 0], gradient[0, 1, 1, 1] = 4e-6, -4e-6
    part = projected(gradient, Box(top=-1.0, left=0.0, bottom=2.0, right=2.0))
    expected = torch.full((1, 3, 3, 2), 0.5)
    expected[0, 0, 1, 0], expected[0, 1, 2, 1] = 1.0, 0.0
    torch.testing.assert_close(part, expected, atol=1e-4, rtol=0)
    nothing = projected(torch.zeros(1, 3, 8, 8), Box(top=0, left=0, bottom=2, right=2))
    assert bool((nothing == 0.5).all())


def test_projections_are_those_of_a_deconvnet(network: Extractor) -> None:
    image = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    box = Box(top=0, left=0, bottom=1, right=1)
    patch = Patch(image=0, value=1.0, row=5, column=6, box=box, clipped=False)
    (found,) = projections(network, image, "relu2_1", [3], [patch])
    (wanted,) = unit_gradients(network, image, "relu2_1", [3], [(5, 6)], relu=relu_rule("deconv"))
    assert torch.equal(found, wanted)
    assert float(found.abs().max()) > 0


def test_sheets_hold_patches_and_projections(
    tmp_path: Path, photographs: Path, network: Extractor, index: Index
) -> None:
    folder = tmp_path / "site"
    jobs = sheet_jobs(folder, "relu2_1", index.layer("relu2_1"), index, 2)
    assert not any(job.is_there for job in jobs)
    counts: list[int] = []
    make_sheets(jobs, "relu2_1", index, photographs, network, told=counts.append)
    assert counts[-1] == len(jobs)
    assert counts == sorted(counts)
    for job in jobs:
        assert job.is_there
        assert (job.sheet.columns, job.sheet.rows, job.sheet.more) == (2, 2, 1)
        with Image.open(job.path) as picture:
            assert picture.size == (3 * CELL, 2 * CELL)
    job = jobs[0]
    sheet = read_picture(job.path).pixels
    patch = job.record.patches[0]
    photograph = read_picture(photographs / index.images[patch.image].file).pixels
    box = patch.box
    if not patch.clipped:
        top, left = int(box.top), int(box.left)
        inside = photograph[..., top : int(box.bottom), left : int(box.right)]
        mean = inside.mean((2, 3))
        torch.testing.assert_close(sheet[..., :CELL, :CELL].mean((2, 3)), mean, atol=0.05, rtol=0)


def test_a_sheet_is_another_when_what_it_shows_is(tmp_path: Path, index: Index) -> None:
    layer = index.layer("relu2_1")
    one, two = (sheet_jobs(tmp_path, "relu2_1", layer, index, n) for n in (0, 1))
    assert one[0].key != two[0].key
    assert len({job.key for job in one}) == len(one)


def test_a_photograph_that_has_changed_is_told(
    tmp_path: Path, photographs: Path, network: Extractor, index: Index
) -> None:
    for path in photographs.glob("*.png"):
        Image.new("RGB", (72, 60)).save(path)
    jobs = sheet_jobs(tmp_path, "relu2_1", index.layer("relu2_1"), index, 0)
    with pytest.raises(ImageError, match="has changed"):
        make_sheets(jobs, "relu2_1", index, photographs, network)
    with pytest.raises(ImageError, match="has changed"):
        make_thumbnails(tmp_path, index, photographs)


def test_photographs_are_made_small_once(
    tmp_path: Path, photographs: Path, network: Extractor
) -> None:
    Image.new("RGB", (900, 600), "red").save(photographs / "large.png")
    scan = scan_of(
        tmp_path / "site", find_sources(photographs), network, Wanted(layers=["relu1_2"])
    )
    index = look(scan, {"relu1_2": list(range(24))}, "full")
    told: list[tuple[int, int]] = []
    made = make_thumbnails(tmp_path, index, photographs, told=lambda *n: told.append(n))
    assert told[-1] == (len(made), len(made))
    sizes = {index.images[n].file: small.size for n, small in made.items()}
    assert sizes["large.png"] == (THUMBNAIL * 2 // 3, THUMBNAIL)
    assert sizes["0.png"] == (60, 72)
    for small in made.values():
        with Image.open(tmp_path / small.file) as picture:
            assert picture.size == small.size[::-1]
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "photographs").iterdir()}
    make_thumbnails(tmp_path, index, photographs)
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_some_units_of_a_scan_are_as_if_they_had_been_looked_at_alone(
    photographs: Path, network: Extractor
) -> None:
    sources = find_sources(photographs)
    every = Scan(network, Wanted(layers=["relu2_1"], k=3), sources)
    some = Scan(network, Wanted(layers=["relu2_1"], units=[3, 5, 40], k=3), sources)
    every.run()
    some.run()
    assert index_of(narrowed(every, {"relu2_1": [3, 5, 40]})) == index_of(some)
