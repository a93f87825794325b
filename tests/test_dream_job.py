"""Dreams from files to a file: what the picture has comes back, films are whole or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image

from styler.config import DreamConfig, resolve
from styler.dream_job import DreamJob, FinishedFilm, prepare, run, run_film
from styler.errors import ImageError, OutputError, StylerError, UsageError
from styler.features import Extractor, load_extractor
from styler.images import read_picture, read_recipe, resize
from styler.report.provenance import decode
from styler.results import Finished

ADOBE_RGB = bytes(imagecodecs.cms_profile("adobergb"))


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", dtype=torch.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("cat", "guide", "mask")):
        picture(seed).save(tmp_path / f"{name}.png")
    return tmp_path


def picture(seed: int) -> Image.Image:
    """64×48 pixels of coloured blobs."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC)


def job(folder: Path, output: str = "x.png", **values: Any) -> DreamJob:
    settings = {
        "layers": {"relu2_1": 1.0},
        "schedule.size": 32,
        "schedule.min_side": 16,
        "schedule.steps": [1],
        "zoom.steps": 1,
        **values.pop("settings", {}),
    }
    files = {name: folder / values.pop(name) for name in ("guide", "mask") if name in values}
    image = values.pop("image", "cat.png")
    return DreamJob(
        output=folder / output,
        image=folder / image if image else None,
        resolved=resolve(("test", settings), root=DreamConfig),
        **files,
        **values,
    )


def make(made: DreamJob, extractor: Extractor) -> Finished:
    finished = run(prepare(made, lambda _: extractor))
    assert finished is not None
    return finished


def film(made: DreamJob, extractor: Extractor, **how: Any) -> FinishedFilm:
    return run_film(prepare(made, lambda _: extractor), **how)


def test_the_recipe_says_what_was_done(folder: Path, extractor: Extractor) -> None:
    settings = {"layers": {"r21": 1.0, "r31": 0.5}, "schedule.steps": [2]}
    made = job(folder, guide="guide.png", mask="mask.png", settings=settings)
    finished = make(made, extractor)
    text = read_recipe(finished.path)
    assert text is not None
    recipe = decode(text, finished.path)
    assert (recipe.kind, recipe.subject) == ("dream", "relu2_1=1, relu3_1=0.5")
    assert {name: source.path for name, source in recipe.sources.items()} == {
        "image": "cat.png",
        "guide": "guide.png",
        "mask": "mask.png",
    }
    sha = hashlib.sha256((folder / "mask.png").read_bytes()).hexdigest()
    assert recipe.sources["mask"].sha256 == sha
    assert recipe.size == read_picture(finished.path).size == (24, 32)
    assert recipe.outcome.done == recipe.outcome.planned == 3 * 2
    assert recipe.outcome.losses.keys() == {"relu2_1", "relu3_1", "total"}
    assert recipe.resolved().config == made.resolved.config


def test_noise_has_no_source_and_hangs_on_the_seed(folder: Path, extractor: Extractor) -> None:
    one, two = (
        make(job(folder, f"{seed}.png", image=None, settings={"runtime.seed": seed}), extractor)
        for seed in (1, 2)
    )
    assert one.recipe.sources == {}
    assert one.recipe.size == (32, 32)
    assert not torch.equal(read_picture(one.path).pixels, read_picture(two.path).pixels)


def test_alpha_is_given_back(folder: Path, extractor: Extractor) -> None:
    clear = picture(1).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize((64, 48)))
    clear.save(folder / "clear.png")
    finished = make(job(folder, image="clear.png"), extractor)
    given, got = (read_picture(path).alpha for path in (folder / "clear.png", finished.path))
    assert given is not None
    assert got is not None
    assert torch.allclose(got, resize(given, (24, 32)), atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize(
    ("ending", "asked", "depth"), [("png", None, 16), ("jpg", None, 8), ("tif", 8, 8)]
)
def test_16_bits_are_kept_where_they_can_be(
    folder: Path, extractor: Extractor, ending: str, asked: int | None, depth: int
) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (48, 64, 3), dtype=np.uint16)
    (folder / "deep.png").write_bytes(imagecodecs.png_encode(values))
    finished = make(job(folder, f"x.{ending}", image="deep.png", bit_depth=asked), extractor)
    assert finished.recipe.bit_depth == read_picture(finished.path).bit_depth == depth


def test_profile_and_exif_are_kept(folder: Path, extractor: Extractor) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    picture(1).save(folder / "photo.jpg", exif=exif, icc_profile=ADOBE_RGB)
    finished = make(job(folder, "x.jpg", image="photo.jpg"), extractor)
    with Image.open(finished.path) as got:
        assert got.info["icc_profile"] == ADOBE_RGB
        assert got.getexif()[0x010F] == "Maker"


def test_the_picture_keeps_its_own_size_unless_told(folder: Path, extractor: Extractor) -> None:
    own = {"schedule.size": None, "schedule.max_side": 32}
    assert make(job(folder, settings=own), extractor).recipe.size == (48, 64)


@pytest.mark.parametrize(
    ("values", "fault", "words"),
    [
        ({"output": "cat.png", "overwrite": True}, OutputError, "is the dreamt picture itself"),
        (
            {"output": "mask.png", "mask": "mask.png", "overwrite": True},
            OutputError,
            "is the mask picture itself",
        ),
        ({"output": "guide.png"}, OutputError, "exists"),
        ({"output": "x.gif"}, UsageError, "is the name of a film"),
        ({"output": "x.mp4"}, UsageError, "is the name of a film"),
        ({"output": "x.xyz"}, OutputError, ".xyz"),
        ({"bit_depth": 12}, UsageError, "bit depth of 12"),
        ({"image": "none.png"}, ImageError, "no such file"),
        ({"frames": 5, "output": "x.jpg"}, UsageError, "a zoom is a film"),
        ({"frames": 0, "output": "x.gif"}, UsageError, "0 frames"),
        ({"frames": 5, "output": "x.gif", "bit_depth": 16}, UsageError, "8 bits"),
        ({"frames": 5, "output": "cat.png", "overwrite": True}, OutputError, "itself"),
    ],
)
def test_bad_jobs_are_refused_before_the_network_is_loaded(
    folder: Path, values: dict[str, Any], fault: type[StylerError], words: str
) -> None:
    def load(_: DreamConfig) -> Extractor:
        raise AssertionError("loaded")

    before = {path.name for path in folder.iterdir()}
    with pytest.raises(fault) as caught:
        prepare(job(folder, **values), load)
    assert words in caught.value.message
    assert caught.value.hint
    assert {path.name for path in folder.iterdir()} == before


def test_a_film_too_fast_for_its_format_is_refused(folder: Path, extractor: Extractor) -> None:
    with pytest.raises(UsageError, match="frames a second, got 100"):
        prepare(job(folder, "x.gif", frames=5, settings={"zoom.fps": 100.0}), lambda _: extractor)


def test_a_mask_of_another_shape_is_refused(folder: Path, extractor: Extractor) -> None:
    picture(1).resize((48, 48)).save(folder / "square.png")
    with pytest.raises(ImageError, match="the mask is 48×48"):
        prepare(job(folder, mask="square.png"), lambda _: extractor)


def test_nothing_is_written_before_the_first_step(folder: Path, extractor: Extractor) -> None:
    stopped = {"schedule.steps": [0]}
    assert make(job(folder, settings=stopped), extractor).recipe.outcome.losses == {}
    prepared = prepare(job(folder, "y.png"), lambda _: extractor)

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    finished = run(prepared, callbacks=[interrupt])
    assert finished is not None
    assert finished.run.stopped


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_a_film_has_its_frames(folder: Path, extractor: Extractor, ending: str) -> None:
    made = film(job(folder, f"x.{ending}", frames=4), extractor)
    assert (made.frames, made.planned, made.size) == (4, 4, (24, 32))
    with Image.open(made.path) as got:
        assert (got.n_frames, got.size) == (4, (32, 24))  # type: ignore[attr-defined]


def test_a_stopped_film_keeps_its_frames(folder: Path, extractor: Extractor) -> None:
    made = film(
        job(folder, "x.gif", frames=9), extractor, should_stop=lambda done: done >= 4
    )  # two octaves of a step each
    assert made.frames == 3
    with Image.open(made.path) as got:
        assert got.n_frames == 3  # type: ignore[attr-defined]


def test_a_job_without_frames_is_no_film(folder: Path, extractor: Extractor) -> None:
    with pytest.raises(UsageError, match="no frames"):
        film(job(folder), extractor)
