"""From files to a file: what the content has comes back, what was made is never lost."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image

from styler.config import resolve
from styler.errors import ConfigError, ImageError, OutputError, UsageError
from styler.features import Extractor, load_extractor
from styler.images import read_picture, read_recipe, resize
from styler.jobs import TransferJob, prepare, run
from styler.objective import Objective
from styler.report.provenance import decode
from styler.results import TRACE_POINTS, Finished
from styler.schedule import Level
from styler.styles.choice import StyleChoice

ADOBE_RGB = bytes(imagecodecs.cms_profile("adobergb"))


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", dtype=torch.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    (tmp_path / "work").mkdir()
    picture(1).save(tmp_path / "work" / "cat.png")
    picture(2).save(tmp_path / "work" / "waves.png")
    return tmp_path / "work"


def picture(seed: int) -> Image.Image:
    """64×48 pixels of coloured blobs."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC)


def job(
    folder: Path, output: str = "x.png", content: str = "cat.png", **values: Any
) -> TransferJob:
    settings = {"schedule.size": 32, "schedule.steps": [1], **values.pop("settings", {})}
    return TransferJob(
        content=folder / content,
        styles=(StyleChoice(path=folder / "waves.png"),),
        output=folder / output,
        resolved=resolve(("test", settings)),
        **values,
    )


def make(made: TransferJob, extractor: Extractor) -> Finished:
    finished = run(prepare(made, lambda _: extractor))
    assert finished is not None
    return finished


def test_the_recipe_says_what_was_done(folder: Path, extractor: Extractor) -> None:
    finished = make(job(folder, settings={"schedule.steps": [3]}), extractor)
    text = read_recipe(finished.path)
    assert text is not None
    recipe = decode(text, finished.path)
    assert recipe == decode(text, Path("elsewhere.png"))
    assert recipe.sources["content"].path == "cat.png"
    assert (
        recipe.sources["content"].sha256
        == hashlib.sha256((folder / "cat.png").read_bytes()).hexdigest()
    )
    assert recipe.sources["content"].size == (48, 64)
    assert recipe.size == read_picture(finished.path).size == (24, 32)
    assert (recipe.outcome.done, recipe.outcome.planned) == (3, 3)
    assert recipe.outcome.losses["total"] == finished.run.trace[-1][1]
    assert [done for done, _ in recipe.outcome.trace] == [1, 2, 3]
    assert recipe.weights_sha256 == extractor.weights_sha256
    assert recipe.machine.threads == torch.get_num_threads()


def test_a_long_curve_is_thinned_and_keeps_its_end(folder: Path, extractor: Extractor) -> None:
    cheap = {"schedule.steps": [3 * TRACE_POINTS + 7], "style.layers": {"relu1_1": 1.0}}
    small = job(folder, settings={**cheap, "content.weight": 0.0, "schedule.size": 16})
    trace = make(small, extractor).recipe.outcome.trace
    assert trace[0][0] == 1
    assert trace[-1][0] == 3 * TRACE_POINTS + 7
    assert TRACE_POINTS <= len(trace) <= 1.1 * TRACE_POINTS


def test_alpha_is_given_back(folder: Path, extractor: Extractor) -> None:
    clear = picture(1).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize((64, 48)))
    clear.save(folder / "clear.png")
    finished = make(job(folder, content="clear.png"), extractor)
    given, got = (read_picture(path).alpha for path in (folder / "clear.png", finished.path))
    assert given is not None
    assert got is not None
    assert got.shape == (1, 1, 24, 32)
    assert torch.allclose(got, resize(given, (24, 32)), atol=0.5 / 255 + 1e-6)

    finished = make(job(folder, "x.jpg", "clear.png"), extractor)
    assert any("transparen" in notice or "alpha" in notice for notice in finished.notices)
    assert read_picture(finished.path).alpha is None


@pytest.mark.parametrize(
    ("ending", "asked", "depth"),
    [("png", None, 16), ("tif", None, 16), ("jpg", None, 8), ("png", 8, 8), ("webp", 16, 8)],
)
def test_16_bits_are_kept_where_they_can_be(
    folder: Path, extractor: Extractor, ending: str, asked: int | None, depth: int
) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (48, 64, 3), dtype=np.uint16)
    (folder / "deep.png").write_bytes(imagecodecs.png_encode(values))
    finished = make(job(folder, f"x.{ending}", "deep.png", bit_depth=asked), extractor)
    assert finished.recipe.bit_depth == depth
    got = read_picture(finished.path)
    assert got.bit_depth == depth
    between = (got.pixels * 255 - (got.pixels * 255).round()).abs().max()
    assert (float(between) > 0.1) == (depth == 16)
    lost = bool(finished.notices)
    assert lost == (asked is not None and asked > depth)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_profile_and_exif_are_kept(folder: Path, extractor: Extractor, ending: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x0112] = 6
    muted = Image.blend(picture(1), Image.new("RGB", (64, 48), (200, 120, 80)), 0.7)
    muted.save(folder / "photo.jpg", exif=exif, icc_profile=ADOBE_RGB, quality=100)
    finished = make(
        job(folder, f"x.{ending}", "photo.jpg", settings={"schedule.steps": [0]}), extractor
    )
    with Image.open(finished.path) as got:
        assert got.size == (24, 32), "upright"
        assert got.info["icc_profile"] == ADOBE_RGB
        assert got.getexif()[0x010F] == "Maker"
        assert got.getexif().get(0x0112, 1) == 1
    before, after = read_picture(folder / "photo.jpg"), read_picture(finished.path)
    means = [picture.pixels.mean((2, 3)) for picture in (before, after)]
    assert torch.allclose(means[0], means[1], atol=0.01), "the same colours"


def test_no_steps_give_a_picture_and_no_losses(folder: Path, extractor: Extractor) -> None:
    finished = make(job(folder, settings={"schedule.steps": [0]}), extractor)
    assert (finished.recipe.outcome.losses, finished.recipe.outcome.trace) == ({}, [])
    assert read_picture(finished.path).size == (24, 32)


def test_stopped_before_the_first_report_it_is_still_saved(
    folder: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(job(folder, settings={"schedule.steps": [5]}), lambda _: extractor)
    solved = prepared.problem.solve(should_stop=lambda done: done == 2)
    # As on a GPU, which reports every tenth step.
    silent = dataclasses.replace(solved, run=dataclasses.replace(solved.run, trace=[]))
    monkeypatch.setattr(prepared.problem, "solve", lambda **_: silent)
    finished = run(prepared)
    assert finished is not None
    assert (finished.recipe.outcome.done, finished.recipe.outcome.losses) == (2, {})


def test_stopped_before_the_first_step_nothing_is_written(
    folder: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(level: Level) -> Objective:
        raise KeyboardInterrupt

    prepared = prepare(job(folder), lambda _: extractor)
    monkeypatch.setattr(prepared.problem, "objective", interrupt)
    assert run(prepared) is None
    assert not (folder / "x.png").exists()


def refused(_: object) -> Extractor:
    raise AssertionError("the network was loaded although the job cannot be done")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"output": "none/x.png"}, OutputError, "does not exist"),
        ({"output": "x.gif"}, OutputError, "cannot write '.gif'"),
        ({"output": "waves.png"}, OutputError, "the output is the style picture itself"),
        ({"output": "cat.png", "overwrite": True}, OutputError, "the content picture itself"),
        ({"output": "link.png", "overwrite": True}, OutputError, "the content picture itself"),
        ({"output": "old.png"}, OutputError, "already exists"),
        ({"content": "dog.png"}, ImageError, "no such file"),
        ({"bit_depth": 12}, UsageError, "bit depth of 12"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    folder: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    (folder / "old.png").write_bytes(b"mine")
    (folder / "link.png").symlink_to("cat.png")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(error, match=message):
        prepare(job(folder, **changes), refused)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_picture_to_start_from_is_not_replaced(folder: Path) -> None:
    start = {"init.kind": "image", "init.image": str(folder / "x.png")}
    picture(3).save(folder / "x.png")
    with pytest.raises(OutputError, match="the output is the start picture itself"):
        prepare(job(folder, settings=start, overwrite=True), refused)


def test_wrong_layers_are_refused_before_the_first_step(folder: Path, extractor: Extractor) -> None:
    with pytest.raises(ConfigError, match="unknown layer"):
        prepare(job(folder, settings={"style.layers": {"relu8_1": 1.0}}), lambda _: extractor)


def test_a_picture_that_cannot_be_written_is_rescued(folder: Path, extractor: Extractor) -> None:
    (folder / "out").mkdir()
    prepared = prepare(job(folder, "out/x.png"), lambda _: extractor)
    shutil.rmtree(folder / "out")
    with pytest.raises(OutputError) as caught:
        run(prepared)
    assert "out does not exist" in caught.value.message
    said, place = str(caught.value.hint).split(" in ")
    assert said == "the picture is safe"
    rescued = Path(place)
    assert rescued.name == "x.png"
    assert read_picture(rescued).size == (24, 32)
    text = read_recipe(rescued)
    assert text is not None
    assert decode(text, rescued).outcome.done == 1


def test_what_came_into_being_meanwhile_is_not_replaced(folder: Path, extractor: Extractor) -> None:
    prepared = prepare(job(folder), lambda _: extractor)
    (folder / "x.png").write_bytes(b"somebody else's")
    with pytest.raises(OutputError, match="already exists") as caught:
        run(prepared)
    assert (folder / "x.png").read_bytes() == b"somebody else's"
    assert Path(str(caught.value.hint).split(" in ")[1]).is_file()


def test_without_any_room_the_first_error_stands(
    folder: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(job(folder), lambda _: extractor)
    (folder / "x.png").write_bytes(b"in the way")
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "none"))
    with pytest.raises(OutputError, match="already exists") as caught:
        run(prepared)
    assert "safe" not in str(caught.value.hint)


def test_an_empty_rescue_leaves_no_folder(
    folder: Path, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    prepared = prepare(job(folder), lambda _: extractor)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(OutputError, match="File too large"):
            run(prepared)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in folder.iterdir()) == ["cat.png", "waves.png"]
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
