"""From a picture's file to a picture for each layer and a sheet; what is there stays."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from styler.config import VisualizeConfig, resolve
from styler.errors import ConfigError, ImageError, OutputError, UsageError
from styler.features import Extractor, load_extractor
from styler.images import read_picture, read_recipe
from styler.presets import load_preset
from styler.reference_files import ReferenceJob, layers_of
from styler.reference_job import Made, prepare, run
from styler.report.provenance import Recipe, decode, encode

LAYERS = ("relu1_1", "relu2_1", "relu3_1")
STEPS = 3


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", dtype=torch.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    work = tmp_path / "work"
    work.mkdir()
    for name, seed in (("cat.png", 1), ("dog.png", 2)):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC).save(work / name)
    return work


def job(folder: Path, output: str = "out", image: str = "cat.png", **values: Any) -> ReferenceJob:
    kind = values.pop("kind", "invert")
    preset = load_preset("inversion" if kind == "invert" else "caricature", "visualize")
    small = {"schedule.size": 32, "schedule.steps": STEPS, **values.pop("settings", {})}
    return ReferenceJob(
        kind=kind,
        image=folder / image,
        output=folder / output,
        resolved=resolve(("preset", preset.values), ("test", small), root=VisualizeConfig),
        **{"layers": LAYERS, **values},
    )


def make(
    wanted: ReferenceJob,
    extractor: Extractor,
    should_stop: Callable[[int], bool] | None = None,
) -> list[Made]:
    return run(prepare(wanted, lambda _: extractor), should_stop=should_stop)


def recipe_of(path: Path) -> Recipe:
    text = read_recipe(path)
    assert text is not None
    return decode(text, path)


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_each_layer_gives_a_picture_and_all_a_sheet(folder: Path, extractor: Extractor) -> None:
    made = make(job(folder), extractor)
    assert [one.layer for one in made] == list(LAYERS)
    assert listed(folder / "out") == {
        "cat+inverted.png",
        *(f"cat+inverted_{layer}.png" for layer in LAYERS),
    }
    for one in made:
        assert one.path is not None
        recipe = recipe_of(one.path)
        assert encode(recipe) == encode(one.recipe)
        assert (recipe.kind, recipe.subject, recipe.size) == ("invert", one.layer, (24, 32))
        assert recipe.sources["image"].path == "../cat.png"
        assert {"error", "cosine", "gain", "features", "total"} <= set(recipe.outcome.losses)
        assert (recipe.outcome.done, recipe.outcome.planned) == (STEPS, STEPS)
        error = (read_picture(one.path).pixels - one.image).abs().max()
        assert float(error) <= 0.5 / 255 + 1e-6


def test_the_sheet_says_what_is_on_it(folder: Path, extractor: Extractor) -> None:
    made = make(job(folder, kind="caricature"), extractor)
    recipe = recipe_of(folder / "out" / "cat+caricature.png")
    assert layers_of(recipe.subject or "") == (LAYERS, True)
    assert recipe.outcome.losses == {m.layer: m.recipe.outcome.losses["error"] for m in made}
    assert (recipe.outcome.done, recipe.outcome.planned) == (3 * STEPS, 3 * STEPS)
    sheet = read_picture(folder / "out" / "cat+caricature.png")
    assert sheet.size == recipe.size
    # The original, 64×48, comes first, at the height of the others.
    corner = sheet.pixels[..., 8 : 8 + 24, 8 : 8 + 32]
    small = torch.nn.functional.interpolate(
        read_picture(folder / "cat.png").pixels, (24, 32), mode="bilinear", antialias=True
    )
    assert float((corner - small).abs().mean()) < 0.05


def test_many_layers_take_several_rows(folder: Path, extractor: Extractor) -> None:
    layers = extractor.layers[:8]
    make(job(folder, layers=layers, settings={"schedule.steps": 1}), extractor)
    height, width = read_picture(folder / "out" / "cat+inverted.png").size
    assert width == 8 + 6 * (32 + 8)
    assert height > 2 * 24


def test_without_layers_each_depth_is_taken(folder: Path, extractor: Extractor) -> None:
    made = make(job(folder, layers=(), settings={"schedule.steps": 1}), extractor)
    assert [one.layer for one in made] == [f"relu{block}_1" for block in range(1, 6)]


def test_one_layer_may_be_a_file(folder: Path, extractor: Extractor) -> None:
    (made,) = make(job(folder, "deep.jpg", layers=("r31",)), extractor)
    assert made.path == folder / "deep.jpg"
    assert recipe_of(made.path).subject == "relu3_1"
    assert listed(folder) == {"cat.png", "dog.png", "deep.jpg"}
    with pytest.raises(UsageError, match="2 pictures cannot all be"):
        prepare(job(folder, "more.png", layers=("r31", "r41")), lambda _: extractor)


def untouched(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}


def test_what_is_there_is_not_made_again(folder: Path, extractor: Extractor) -> None:
    first = make(job(folder), extractor)
    before = untouched(folder)
    prepared = prepare(job(folder, settings={"runtime.device": "cpu"}), lambda _: extractor)
    assert prepared.problem is None
    second = run(prepared)
    assert untouched(folder) == before
    assert [encode(one.recipe) for one in second] == [encode(one.recipe) for one in first]
    assert all(one.earlier for one in second)
    (folder / "out" / "cat+inverted.png").unlink()
    make(job(folder), extractor)
    assert recipe_of(folder / "out" / "cat+inverted.png").outcome.done == 3 * STEPS


def test_a_further_layer_is_made_alone(folder: Path, extractor: Extractor) -> None:
    make(job(folder, layers=("relu1_1",)), extractor)
    made = make(job(folder, layers=("relu1_1", "relu2_1")), extractor)
    assert [one.earlier for one in made] == [True, False]
    subject = recipe_of(folder / "out" / "cat+inverted.png").subject
    assert subject == "sheet of relu1_1, relu2_1"


def test_an_interrupted_run_goes_on(folder: Path, extractor: Extractor) -> None:
    made = make(job(folder), extractor, lambda done: done >= STEPS + 1)
    assert [one.recipe.outcome.done for one in made] == [STEPS, 1]
    sheet = folder / "out" / "cat+inverted.png"
    outcome = recipe_of(sheet).outcome
    assert (outcome.done, outcome.planned) == (STEPS + 1, 3 * STEPS)
    again = make(job(folder), extractor)
    assert [one.earlier for one in again] == [True, False, False]
    assert all(one.recipe.outcome.done == STEPS for one in again)
    assert recipe_of(sheet).outcome.done == 3 * STEPS
    shutil.rmtree(folder / "out")
    at_once = make(job(folder), extractor)
    assert [torch.equal(a.image, b.image) for a, b in zip(again[1:], at_once[1:], strict=True)]


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"runtime.seed": 1}},
        {"settings": {"schedule.steps": 1}},
        {"kind": "invert", "resume": False},
    ],
)
def test_other_pictures_are_in_the_way(
    folder: Path, extractor: Extractor, change: dict[str, Any]
) -> None:
    make(job(folder), extractor)
    before = untouched(folder)
    with pytest.raises(OutputError, match="already exists"):
        prepare(job(folder, **change), lambda _: extractor)
    assert untouched(folder) == before
    make(job(folder, overwrite=True, **change), extractor)
    assert not set(untouched(folder).values()) & set(before.values())


def test_the_picture_of_another_is_in_the_way(folder: Path, extractor: Extractor) -> None:
    make(job(folder, layers=("relu1_1",)), extractor)
    shutil.copy(folder / "dog.png", folder / "cat.png")
    with pytest.raises(OutputError, match="already exists"):
        prepare(job(folder, layers=("relu1_1",)), lambda _: extractor)


def test_a_strange_sheet_is_in_the_way(folder: Path, extractor: Extractor) -> None:
    (folder / "out").mkdir()
    shutil.copy(folder / "dog.png", folder / "out" / "cat+inverted.png")
    with pytest.raises(OutputError, match=r"cat\+inverted\.png already exists"):
        prepare(job(folder), lambda _: extractor)


def test_a_sheet_alone(folder: Path, extractor: Extractor) -> None:
    made = make(job(folder, "sheet.png", sheet_only=True, resume=False), extractor)
    assert [one.path for one in made] == [None] * 3
    assert listed(folder) == {"cat.png", "dog.png", "sheet.png"}
    make(job(folder), extractor)
    whole = read_picture(folder / "out" / "cat+inverted.png").pixels
    assert torch.equal(read_picture(folder / "sheet.png").pixels, whole)


def no_network(_: VisualizeConfig) -> Extractor:
    raise AssertionError("the network must not be loaded")


def test_much_is_refused_before_the_network_is_loaded(folder: Path) -> None:
    for wanted, fault, words in (
        (job(folder, "cat.png"), OutputError, "is the image picture itself"),
        (job(folder, "none/x.png"), OutputError, "none does not exist"),
        (job(folder, "cat.png/out"), OutputError, r"cat\.png is a file, expected a folder"),
        (job(folder, image="no.png"), ImageError, "no such file"),
    ):
        with pytest.raises(fault, match=words):
            prepare(wanted, no_network)
    assert listed(folder) == {"cat.png", "dog.png"}


def test_the_rest_is_refused_before_the_first_step(folder: Path, extractor: Extractor) -> None:
    for wanted, fault, words in (
        (job(folder, layers=("relu9_1",)), ConfigError, "unknown layer"),
        (job(folder, layers=("pool5",), settings={"schedule.size": 16}), ImageError, "pool5"),
        (job(folder, settings={"parameter.alpha": True}), ConfigError, r"parameter\.alpha"),
    ):
        with pytest.raises(fault, match=words):
            prepare(wanted, lambda _: extractor)
    assert listed(folder) == {"cat.png", "dog.png"}


def test_a_picture_that_cannot_be_written_is_rescued(folder: Path, extractor: Extractor) -> None:
    prepared = prepare(job(folder, layers=("relu1_1",)), lambda _: extractor)
    (folder / "out").write_text("in the way")
    with pytest.raises(OutputError) as caught:
        run(prepared)
    rescued = Path(str(caught.value.hint).split(" in ")[1])
    assert recipe_of(rescued).subject == "relu1_1"


def test_what_came_into_being_meanwhile_is_not_replaced(folder: Path, extractor: Extractor) -> None:
    prepared = prepare(job(folder, "x.png", layers=("relu1_1",)), lambda _: extractor)
    (folder / "x.png").write_bytes(b"somebody else's")
    with pytest.raises(OutputError, match="already exists"):
        run(prepared)
    assert (folder / "x.png").read_bytes() == b"somebody else's"
