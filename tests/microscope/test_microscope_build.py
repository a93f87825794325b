"""A site from a network and photographs, whatever happens on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from styler.config import VisualizeConfig, resolve
from styler.errors import ConfigError, ImageError, OutputError
from styler.features import Extractor
from styler.images import read_picture
from styler.microscope.build import Microscope, Step
from styler.microscope.estimate import estimate
from styler.microscope.pieces import PHOTOGRAPHS, UNITS
from styler.microscope.plan import Plan
from styler.microscope.record import Site
from styler.microscope.synthetic import CHUNK, peak_of
from styler.report.microscope import PAGE

Planned = Callable[..., Plan]


class _EnoughError(Exception):
    """Ends a run."""


def files(folder: Path) -> dict[str, bytes]:
    """All that there is, hidden files, too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def build(plan: Plan, network: Extractor) -> Site:
    return Microscope(plan, network).build()


@pytest.fixture
def undisturbed(tmp_path: Path, planned: Planned, network: Extractor) -> dict[str, bytes]:
    """All files of a site that was made at once."""
    folder = tmp_path / "once"
    build(planned(output=folder), network)
    return files(folder)


def test_a_site_has_all_its_pieces(tmp_path: Path, planned: Planned, network: Extractor) -> None:
    steps: list[Step] = []
    site = Microscope(planned(), network).build(steps.append)
    folder = tmp_path / "site"
    stages = list(dict.fromkeys(step.stage for step in steps))
    assert stages == ["photographs", "pictures", "patches", "thumbnails"]
    assert all(steps[n].done <= steps[n].total for n in range(len(steps)))
    assert {path.name for path in folder.glob("*.html")} == {PAGE, "relu1_2.html", "relu2_1.html"}
    pictures = {path.relative_to(folder / UNITS).as_posix() for path in folder.rglob("units/*/*")}
    active = {
        f"{page.record.layer}/{unit.unit}-patches.jpg"
        for page in site.pages
        for unit in page.record.units
        if unit.fired
    }
    made = {f"{layer}/{n}.jpg" for layer, some in planned().units.items() for n in some}
    assert pictures == active | made
    assert len(list((folder / PHOTOGRAPHS).iterdir())) == len(site.thumbnails)
    assert [one.file for one in site.index.skipped] == ["4.png"]


def test_synthetic_and_natural_are_measured_alike(
    tmp_path: Path, planned: Planned, network: Extractor
) -> None:
    site = build(planned(), network)
    page = site.pages[1]
    unit = next(unit for unit in page.record.units if unit.peak > 0)
    made = page.synthetic[unit.unit]
    ratio = page.ratio(unit)
    assert ratio is not None
    assert ratio == made.peak / unit.peak
    # The file is compressed, so what is seen in it is about the same, not exactly.
    written = read_picture(tmp_path / "site" / made.file).pixels
    assert peak_of(written, "relu2_1", unit.unit, network) == pytest.approx(made.peak, rel=0.25)
    best = unit.patches[0]
    photograph = site.index.images[best.image]
    picture = read_picture(tmp_path / "photographs" / photograph.file).pixels
    resized = torch.nn.functional.interpolate(
        picture, photograph.seen, mode="bicubic", antialias=True
    ).clamp(0, 1)
    assert peak_of(resized, "relu2_1", unit.unit, network) == pytest.approx(unit.peak, rel=1e-3)


@pytest.mark.parametrize("stage", ["photographs", "pictures", "patches", "thumbnails"])
def test_an_interrupted_run_ends_as_an_undisturbed_one(
    tmp_path: Path,
    planned: Planned,
    network: Extractor,
    undisturbed: dict[str, bytes],
    stage: str,
) -> None:
    def told(step: Step) -> None:
        if step.stage == stage and step.done - step.before > 1:
            raise _EnoughError

    with pytest.raises(_EnoughError):
        Microscope(planned(), network).build(told)
    assert not (tmp_path / "site" / PAGE).exists()
    build(planned(), network)
    assert files(tmp_path / "site") == undisturbed


def test_a_run_that_is_broken_again_and_again_comes_to_an_end(
    tmp_path: Path, planned: Planned, network: Extractor, undisturbed: dict[str, bytes]
) -> None:
    class Some:
        def __init__(self) -> None:
            self.left = 12

        def __call__(self, step: Step) -> None:
            self.left -= 1
            if not self.left:
                raise _EnoughError

    for _ in range(20):
        try:
            Microscope(planned(), network).build(Some())
        except _EnoughError:
            continue
        break
    else:
        raise AssertionError("it never ended")
    assert files(tmp_path / "site") == undisturbed


def test_a_chunk_of_which_a_picture_is_missing_is_made_again_alike(
    tmp_path: Path, planned: Planned, network: Extractor, undisturbed: dict[str, bytes]
) -> None:
    build(planned(), network)
    folder = tmp_path / "site"
    (folder / UNITS / "relu2_1" / "3.jpg").unlink()
    (folder / UNITS / "relu2_1" / "5-patches.jpg").write_bytes(b"half")
    microscope = Microscope(planned(), network)
    assert [chunk.channels for chunk in microscope.missing_chunks()] == [tuple(range(CHUNK))]
    microscope.build()
    assert files(folder) == undisturbed


def test_nothing_is_made_twice(tmp_path: Path, planned: Planned, network: Extractor) -> None:
    build(planned(), network)
    steps: list[Step] = []
    microscope = Microscope(planned(), network)
    assert microscope.missing_chunks() == []
    microscope.build(steps.append)
    assert {step.stage for step in steps} <= {"thumbnails"}


def test_a_folder_that_grew_is_looked_at_where_it_is_new(
    tmp_path: Path, planned: Planned, network: Extractor, photographs: Path
) -> None:
    build(planned(), network)
    Image.new("RGB", (72, 60), "orange").save(photographs / "new.png")
    steps: list[Step] = []
    Microscope(planned(), network).build(steps.append)
    looked = [step for step in steps if step.stage == "photographs"]
    assert [(step.done, step.before) for step in looked] == [(6, 5)]
    assert not [step for step in steps if step.stage == "pictures"]
    grown = files(tmp_path / "site")
    again = planned(output=tmp_path / "anew")
    build(again, network)
    assert files(tmp_path / "anew") == grown


def test_other_units_and_layers_are_added_without_another_look(
    tmp_path: Path, planned: Planned, network: Extractor
) -> None:
    build(planned(), network)
    steps: list[Step] = []
    more = planned(units={"relu1_2": [0, 1, 2], "relu2_1": list(range(9))})
    Microscope(more, network).build(steps.append)
    assert not [step for step in steps if step.stage == "photographs"]
    fewer = planned(units={"relu2_1": list(range(9))})
    build(fewer, network)
    folder = tmp_path / "site"
    assert {path.name for path in folder.glob("*.html")} == {PAGE, "relu2_1.html"}
    assert not list(folder.glob("units/relu1_2/*-patches.jpg"))
    assert len(list(folder.glob("units/relu1_2/*.jpg"))) == 3  # those took long to make
    assert len(list(folder.glob(".microscope/scan-*"))) == 1


def test_pictures_of_other_settings_are_not_replaced_unless_asked(
    tmp_path: Path, planned: Planned, network: Extractor
) -> None:
    build(planned(), network)
    before = files(tmp_path / "site")
    other = resolve(
        ("test", {"schedule.size": 32, "schedule.steps": 3, "view.pad": 0}), root=VisualizeConfig
    )
    with pytest.raises(OutputError, match="other settings of synthetic pictures"):
        Microscope(planned(resolved=other), network)
    assert files(tmp_path / "site") == before
    build(planned(resolved=other, overwrite=True), network)
    after = files(tmp_path / "site")
    assert after["units/relu2_1/3.jpg"] != before["units/relu2_1/3.jpg"]
    assert after["units/relu2_1/3-patches.jpg"] == before["units/relu2_1/3-patches.jpg"]


def test_synthetic_pictures_alone(tmp_path: Path, planned: Planned, network: Extractor) -> None:
    site = build(planned(images=None), network)
    assert not (tmp_path / "site" / PHOTOGRAPHS).exists()
    assert all(len(page.synthetic) == len(page.record.units) for page in site.pages)
    assert not any(page.sheets for page in site.pages)


def test_photographs_alone(tmp_path: Path, planned: Planned, network: Extractor) -> None:
    site = build(planned(synthetic=False, projections=0), network)
    assert not any(page.synthetic for page in site.pages)
    sheets = [sheet for page in site.pages for sheet in page.sheets.values()]
    assert sheets
    assert all(sheet.projections == 0 for sheet in sheets)
    build(planned(), network)  # pictures may come later
    assert list((tmp_path / "site").glob("units/*/0.jpg"))


def test_the_network_is_listed(planned: Planned, network: Extractor) -> None:
    site = build(planned(images=None, units={"relu1_2": [0]}), network)
    rows = {row.name: row for row in site.network}
    assert list(rows) == list(network.layers)
    assert (rows["pool1"].shape, rows["pool1"].stride, rows["pool1"].sees) == (
        (24, 112, 112),
        2,
        (6, 6),
    )


def test_no_photographs(tmp_path: Path, planned: Planned, network: Extractor) -> None:
    with pytest.raises(ImageError, match="no such folder"):
        Microscope(planned(images=tmp_path / "missing"), network)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError):
        Microscope(planned(images=tmp_path / "empty"), network)
    (tmp_path / "empty" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="none of the photographs"):
        build(planned(images=tmp_path / "empty"), network)


def test_settings_that_do_not_fit(planned: Planned, network: Extractor) -> None:
    with pytest.raises(ConfigError, match="no field"):
        Microscope(planned(field="wide"), network)
    plan = planned(units={"pool5": [0]})
    small = dataclasses.replace(
        plan, resolved=resolve(("test", {"schedule.size": 16}), root=VisualizeConfig)
    )
    with pytest.raises(ImageError, match="too small"):
        Microscope(small, network)


def test_an_estimate_keeps_nothing(tmp_path: Path, planned: Planned, network: Extractor) -> None:
    found = estimate(Microscope(planned(), network), 2)
    assert (found.photographs, found.pictures) == (5, 11)
    assert found.looking > 0
    assert found.making > 0
    assert not (tmp_path / "site").exists()
    build(planned(), network)
    size = sum(map(len, files(tmp_path / "site").values()))
    assert size / 4 < found.bytes < size * 4
    rest = estimate(Microscope(planned(), network), 2)
    assert (rest.photographs, rest.pictures, rest.looking, rest.making) == (0, 0, 0, 0)
