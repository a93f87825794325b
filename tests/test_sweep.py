"""Sweeps of settings: combinations, one network, a sheet, and single pictures with recipes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from styler import sweep
from styler.config import Resolved, TransferConfig, resolve
from styler.engine import StepEvent
from styler.errors import ConfigError, ImageError, OutputError, UsageError
from styler.features import Extractor, load_extractor
from styler.images import read_picture, read_recipe
from styler.report.provenance import decode
from styler.styles.choice import StyleChoice
from styler.sweep import Made, SweepJob, prepare
from styler.sweep_plan import Variation, parse_variation, plan_cells
from styler.sweep_sheet import sweep_sheet


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", dtype=torch.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("cat.png", "waves.png")):
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC).save(tmp_path / name)
    return tmp_path


def settings(values: Mapping[str, str]) -> Resolved[TransferConfig]:
    base = {"schedule.size": 32, "schedule.steps": [2]}
    return resolve(
        ("test", base), ("--vary", {name: float(value) for name, value in values.items()})
    )


def job(folder: Path, *varied: str, **values: Any) -> SweepJob:
    variations = tuple(map(parse_variation, varied))
    return SweepJob(
        content=folder / "cat.png",
        styles=(StyleChoice(path=folder / "waves.png"),),
        variations=variations,
        cells=plan_cells(variations, values.pop("settings", settings)),
        output=folder / values.pop("output", "sheet.png"),
        **values,
    )


def run(made: SweepJob, extractor: Extractor, **options: Any) -> list[Made]:
    return list(sweep.run(prepare(made, lambda _: extractor), **options))


TWO = ("strength=0,1", "style.scale=1,1.5,2")


def test_combinations_come_row_by_row() -> None:
    cells = plan_cells([parse_variation(text) for text in TWO], settings)
    assert [tuple(cell.values.values()) for cell in cells] == [
        (row, column) for row in ("0", "1") for column in ("1", "1.5", "2")
    ]
    assert [cell.number for cell in cells] == list(range(6))
    assert cells[4].label == "strength 1, style.scale 1.5"
    assert (cells[5].resolved.config.strength, cells[5].resolved.config.style.scale) == (1, 2)


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("strength=0.2", "strength", ("0.2",)),
        ("--style-scale= 1 , 2", "style-scale", ("1", "2")),
        ("steps=100;20,10", "steps", ("100", "20,10")),
        ("style-layers=r11=1,r21=.5;r31", "style-layers", ("r11=1,r21=.5", "r31")),
        ("init=a;", "init", None),
        ("strength=", "strength", None),
        ("strength=1,,2", "strength", None),
        ("strength=1,1", "strength", None),
        ("strength", "strength", None),
        ("=1,2", "", None),
    ],
)
def test_variations_are_read(text: str, name: str, values: tuple[str, ...] | None) -> None:
    if values is None:
        with pytest.raises(UsageError, match="--vary"):
            parse_variation(text)
    else:
        assert parse_variation(text) == Variation(name=name, values=values)


def test_combinations_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="something to vary"):
        plan_cells([], settings)
    with pytest.raises(UsageError, match="strength is varied twice"):
        plan_cells([parse_variation("strength=0"), parse_variation("strength=1")], settings)
    with pytest.raises(ConfigError, match=r"with strength 0, style.scale 99: bad value for style"):
        plan_cells([parse_variation("strength=0"), parse_variation("style.scale=1,99")], settings)


def test_each_picture_has_its_own_settings(folder: Path, extractor: Extractor) -> None:
    made = run(job(folder, *TWO), extractor)
    assert [one.cell.number for one in made] == list(range(6))
    images = [one.image for one in made if one.image is not None]
    content = read_picture(folder / "cat.png").pixels
    small = torch.nn.functional.interpolate(content, (24, 32), mode="bicubic", antialias=True)
    for image in images[:3]:  # strength 0
        assert torch.allclose(image, small.clamp(0, 1), atol=1e-5)
    for image in images[3:]:
        assert not torch.allclose(image, images[0], atol=0.01)
    assert not torch.equal(images[3], images[5])
    assert {path.name for path in folder.iterdir()} == {"cat.png", "waves.png"}


def test_the_network_is_loaded_once(folder: Path, extractor: Extractor) -> None:
    loaded = []

    def load(config: TransferConfig) -> Extractor:
        loaded.append(config.backbone.name)
        return extractor

    prepared = prepare(job(folder, *TWO), load)
    assert len(list(sweep.run(prepared))) == 6
    assert loaded == ["auto"]


def test_kept_pictures_carry_their_recipes(folder: Path, extractor: Extractor) -> None:
    made = run(job(folder, *TWO, keep=folder / "new" / "single"), extractor)
    files = sorted(path.name for path in (folder / "new" / "single").iterdir())
    assert files[1] == "2-strength-0+style.scale-1.5.png"
    assert [one.path and one.path.name for one in made] == files
    for one in made:
        assert one.path is not None
        text = read_recipe(one.path)
        assert text is not None
        resolved = decode(text, one.path).resolved()
        assert resolved.config == one.cell.resolved.config
        assert one.image is not None
        assert (read_picture(one.path).pixels - one.image).abs().max() < 0.51 / 255


def test_names_of_kept_pictures_are_plain_and_short(folder: Path) -> None:
    odd = "../../a b:c*" + "x" * 300
    made = job(folder, f"init.image={odd};{odd}y", settings=lambda _: settings({}), keep=folder)
    names = [made.kept(cell) for cell in made.cells]
    assert len(set(names)) == 2
    for name in names:
        assert name is not None
        assert name.parent == folder
        assert len(name.name) < 140
        assert not set(name.name) & set(":* /\\")


def test_steps_are_told_of_the_whole(folder: Path, extractor: Extractor) -> None:
    told: list[StepEvent] = []
    run(job(folder, "strength=0.2,0.5,1"), extractor, callbacks=[told.append])
    assert [(e.level, e.step, e.steps, e.done) for e in told] == [
        (0, 1, 2, 1), (0, 2, 2, 2), (1, 1, 2, 3), (1, 2, 2, 4), (2, 1, 2, 5), (2, 2, 2, 6),
    ]  # fmt: skip
    assert {(e.levels, e.planned) for e in told} == {(3, 6)}
    assert [e.seconds for e in told] == sorted(e.seconds for e in told)


def test_a_stop_drops_the_picture_under_way(folder: Path, extractor: Extractor) -> None:
    made = run(
        job(folder, "strength=0.2,0.5,1", keep=folder / "kept"),
        extractor,
        should_stop=lambda done: done == 3,
    )
    assert [one.cell.number for one in made] == [0]
    assert [path.name for path in (folder / "kept").iterdir()] == ["1-strength-0.2.png"]


def test_what_diverges_is_given_up(
    folder: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from styler.errors import DivergedError
    from styler.transfer import Problem, TransferResult

    solve = Problem.solve

    def diverging(self: Problem, **options: Any) -> TransferResult:
        if self.config.strength == 0.5:
            raise DivergedError("the loss is not finite")
        return solve(self, **options)

    monkeypatch.setattr(Problem, "solve", diverging)
    sweep_job = job(folder, "strength=0.2,0.5,1")
    made = run(sweep_job, extractor)
    assert [one.image is None for one in made] == [False, True, False]
    assert made[1].notices == ("the loss is not finite",)
    assert sweep_sheet(sweep_job, made).shape == sweep_sheet(sweep_job, made[:1]).shape
    assert sweep_sheet(sweep_job, made[1:2]).shape[1] == 3, "nothing but a grey one"


@pytest.mark.parametrize(
    ("varied", "wide"),
    [(["strength=0,1"], 2), (TWO, 3), (["style.weight=1,2", *TWO], 3), (["strength=1"], 1)],
)
def test_the_sheet_has_all_pictures(varied: list[str], wide: int, folder: Path) -> None:
    sweep_job = job(folder, *varied)
    reds = [0.5 + 0.5 * cell.number / len(sweep_job.cells) for cell in sweep_job.cells]
    plain = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 24, 32)
    made = [
        Made(cell=cell, image=red * plain) for cell, red in zip(sweep_job.cells, reds, strict=True)
    ]
    sheet = sweep_sheet(sweep_job, made)[0]
    assert sheet.shape[2] > wide * 32
    pure = sheet[1] == 0
    seen = [int((pure & ((sheet[0] - red).abs() < 2 / 255)).sum()) for red in reds]
    assert seen == [24 * 32] * len(reds)
    partial = (sweep_sheet(sweep_job, made[:1])[0] * 255).round()
    assert partial.shape == sheet.shape
    grey, before = ((image == 224).all(0).sum() for image in (partial, (sheet * 255).round()))
    assert int(grey - before) == (len(reds) - 1) * 24 * 32


def test_large_pictures_are_small_on_the_sheet(
    folder: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "SHEET_SIDE", 16)
    (made,) = run(job(folder, "strength=1", keep=folder / "kept"), extractor)
    assert made.image is not None
    assert made.image.shape == (1, 3, 12, 16)
    assert made.path is not None
    assert read_picture(made.path).size == (24, 32)


def refused(_: object) -> Extractor:
    raise AssertionError("the network was loaded although the job cannot be done")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": "none/x.png"}, "does not exist"),
        ({"output": "x.gif"}, "cannot write '.gif'"),
        ({"output": "cat.png", "overwrite": True}, "the output is the content picture itself"),
        ({"output": "old.png"}, "already exists"),
        ({"keep": "old.png"}, "is a file, expected a folder"),
        ({"keep": "."}, r"1-strength-0.2.png already exists"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    changes: dict[str, Any], message: str, folder: Path
) -> None:
    for there in ("old.png", "1-strength-0.2.png"):
        (folder / there).write_bytes(b"mine")
    if "keep" in changes:
        changes = {**changes, "keep": folder / changes["keep"]}
    with pytest.raises(OutputError, match=message):
        prepare(job(folder, "strength=0.2,0.5", **changes), refused)


def test_the_sheet_replaces_no_picture_that_a_setting_names(folder: Path) -> None:
    def start(values: Mapping[str, str]) -> Resolved[TransferConfig]:
        named = {"init.kind": "image", "init.image": str(folder / "start.png")}
        return resolve(("test", named if values["strength"] == "1" else {}))

    (folder / "start.png").write_bytes(b"mine")
    wanted = job(folder, "strength=0,1", settings=start, output="start.png", overwrite=True)
    with pytest.raises(OutputError, match="the output is the start"):
        prepare(wanted, refused)


def test_a_picture_that_cannot_be_made_is_named_before_any_step(
    folder: Path, extractor: Extractor
) -> None:
    def sizes(values: Mapping[str, str]) -> Resolved[TransferConfig]:
        return resolve(("test", {"style.layers": {values["layer"]: 1.0}}))

    with pytest.raises(ConfigError, match="with layer relu8_1: unknown layer"):
        prepare(job(folder, "layer=relu1_1,relu8_1", settings=sizes), lambda _: extractor)
    missing = SweepJob(
        content=folder / "dog.png",
        styles=(StyleChoice(path=folder / "waves.png"),),
        variations=(Variation(name="strength", values=("1",)),),
        cells=plan_cells([parse_variation("strength=1")], settings),
        output=folder / "x.png",
    )
    with pytest.raises(ImageError, match=r"^no such file"):
        prepare(missing, lambda _: extractor)
