"""Saved styles: the same statistics as the picture's, for the same network, or a refusal."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save as save_tensors
from torch import Tensor

from styler.config import resolve
from styler.errors import BackboneError, ConfigError, ImageError, OutputError, StylerError
from styler.features import Extractor, load_extractor
from styler.images import fit_long_side, read_picture
from styler.losses import Gaussian, Moments
from styler.styles.file import StyleFile, StyleRecord, read_style, write_style
from styler.styles.save import StyleJob, ladder, save_style
from styler.styles.source import PictureStyle, StyleSource, measure
from styler.transfer import Problem, transfer

SAMPLES = Path(__file__).parents[2] / "samples"
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
BETWEEN_SCALES = {"relu1_1": 0.02, "relu2_1": 0.05, "relu3_1": 0.1, "relu4_1": 0.15}
"""Relative error allowed of a covariance at 300 pixels, which lie between 256 and 362."""


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("vgg-lite", pooling="average")


@pytest.fixture(scope="module")
def painting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("art") / "flow.png"
    with Image.open(SAMPLES / "styles/flow_field.jpg") as image:
        image.resize((400, 320), Image.Resampling.LANCZOS).save(path)
    return path


def job(painting: Path, output: Path, **values: Any) -> StyleJob:
    settings = {"backbone.name": "vgg-lite", **values.pop("settings", {})}
    return StyleJob(image=painting, output=output, resolved=resolve(("t", settings)), **values)


@pytest.fixture(scope="module")
def saved(painting: Path, extractor: Extractor) -> StyleFile:
    path = painting.with_name("flow.style")
    save_style(job(painting, path), lambda _: extractor)
    return read_style(path)


def config(**values: object) -> Any:
    settings = {"schedule.steps": [2], "schedule.scales": 1, "runtime.precision": "fp32"}
    return resolve(("test", {**settings, **values})).config


def targets(style: Tensor | StyleSource, extractor: Extractor, size: int, **values: object) -> Any:
    """The style's targets when a square of a size is painted."""
    settings = config(**{"schedule.size": size, "content.weight": 0.0, **values})
    problem = Problem(torch.full((1, 3, 400, 400), 0.5), style, settings, extractor)
    return problem.objective(problem.levels[-1]).terms[0].targets


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        ((3000, 4000), [64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448]),
        ((300, 200), [64, 91, 128, 181, 256, 300]),
        ((64, 20), [64]),
        ((40, 30), [40]),
    ],
)
def test_the_ladder_climbs_by_root_two_up_to_the_picture(
    size: tuple[int, int], sides: list[int]
) -> None:
    scales = ladder(size)
    assert [max(scale) for scale in scales] == sides
    assert scales == [fit_long_side(size, side) for side in sides]


def test_the_file_says_what_was_measured(saved: StyleFile, painting: Path) -> None:
    record, picture = saved.record, read_picture(painting)
    assert (record.name, record.picture_sha256) == ("flow.png", picture.sha256)
    assert record.size == saved.size == picture.size == (320, 400)
    assert (record.backbone, record.pooling, record.precision) == ("vgg-lite", "average", "fp32")
    assert tuple(record.layers) == LAYERS
    assert [max(scale) for scale in record.scales] == [64, 91, 128, 181, 256, 362, 400]
    thumbnail = saved.statistics.thumbnail
    assert (tuple(thumbnail.shape), thumbnail.dtype) == ((102, 128, 3), torch.uint8)
    mean = thumbnail.float().mean((0, 1)) / 255
    assert torch.allclose(mean, picture.pixels.mean((0, 2, 3)), atol=0.01)


def test_the_file_is_an_open_format_without_pickles(saved: StyleFile) -> None:
    data = saved.path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    said = json.loads(header.pop("__metadata__")["styler-style"])
    assert said["record"]["backbone"] == "vgg-lite"
    assert header["2/relu2_1/first"]["shape"] == [64]
    assert header["2/relu2_1/second"]["shape"] == [64 * 65 // 2]


def test_statistics_at_a_scale_are_those_of_the_picture(
    saved: StyleFile, painting: Path, extractor: Extractor
) -> None:
    pixels = read_picture(painting).pixels
    for number, scale in enumerate(saved.record.scales):
        expected = measure(pixels, scale, extractor, LAYERS)
        for layer, sums in saved.statistics.sums[number].items():
            assert torch.equal(sums.count, expected[layer].count)
            assert torch.allclose(sums.first, expected[layer].first, rtol=1e-5)
            assert torch.allclose(sums.second, expected[layer].second, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("loss", "normalization"),
    [("moments", "relative"), ("w2", "relative"), ("gram", "none"), ("gram", "gatys")],
)
def test_targets_at_a_scale_are_those_of_the_picture(
    saved: StyleFile, painting: Path, extractor: Extractor, loss: str, normalization: str
) -> None:
    pixels = read_picture(painting).pixels
    values = {"style.loss": loss, "style.normalization": normalization}
    for size in (128, 256, 400, 1024):  # larger than itself it is seen as it is
        one, two = (targets(s, extractor, size, **values) for s in (pixels, saved))
        for layer in LAYERS:
            pair = (one[layer], two[layer])
            if isinstance(one[layer], Moments | Gaussian):
                pair = (one[layer].covariance, two[layer].covariance)
            assert torch.allclose(*pair, rtol=1e-4, atol=1e-4 * float(pair[0].abs().max()))


def test_targets_between_scales_are_near_those_of_the_picture(
    saved: StyleFile, painting: Path, extractor: Extractor
) -> None:
    pixels = read_picture(painting).pixels
    one, two = (targets(style, extractor, 300) for style in (pixels, saved))
    for layer, allowed in BETWEEN_SCALES.items():
        expected, got = one[layer], two[layer]
        assert float((got.mean - expected.mean).norm() / expected.mean.norm()) < 0.03
        error = (got.covariance - expected.covariance).norm() / expected.covariance.norm()
        assert float(error) < allowed


def test_sums_between_scales_are_of_as_many_positions_as_the_size_has(
    saved: StyleFile, painting: Path, extractor: Extractor
) -> None:
    values = {"style.loss": "gram", "style.normalization": "none"}
    pixels = read_picture(painting).pixels
    one, two = (targets(style, extractor, 300, **values) for style in (pixels, saved))
    for layer in ("relu1_1", "relu2_1", "relu3_1"):
        assert math.isclose(
            float(two[layer][0].trace()), float(one[layer][0].trace()), rel_tol=0.05
        )


def test_sizes_beyond_the_ends_take_the_end(saved: StyleFile) -> None:
    assert saved.around((8, 10)) == [(0, 1.0)]
    assert saved.around((4000, 3000)) == [(6, 1.0)]
    (low, first), (high, second) = saved.around((152, 120))
    assert (low, high) == (2, 3)
    assert first + second == pytest.approx(1)
    assert second == pytest.approx(math.log(152 / 128) / math.log(181 / 128))


def test_the_file_paints_what_the_picture_paints(
    saved: StyleFile, painting: Path, extractor: Extractor
) -> None:
    content = read_picture(SAMPLES / "contents/chelsea.jpg").pixels
    settings = config(**{"schedule.size": 128, "schedule.steps": [12], "init.kind": "style"})
    pixels = read_picture(painting).pixels
    one, two = (
        transfer(content, style, settings, extractor=extractor).image for style in (pixels, saved)
    )
    assert float((one - two).abs().mean()) < 1e-3
    assert torch.equal(PictureStyle(pixels).colours().mean, saved.colours().mean)


def test_equal_styles_give_equal_bytes(saved: StyleFile, tmp_path: Path) -> None:
    for name in ("one.style", "two.style"):
        write_style(tmp_path / name, saved.record, saved.statistics)
    one, two = ((tmp_path / name).read_bytes() for name in ("one.style", "two.style"))
    assert one == two == saved.path.read_bytes()


def test_a_small_or_thin_picture_keeps_the_scales_that_the_network_can_see(
    extractor: Extractor, tmp_path: Path
) -> None:
    thin = tmp_path / "thin.png"
    Image.linear_gradient("L").resize((200, 24)).convert("RGB").save(thin)
    record = save_style(job(thin, tmp_path / "thin.style"), lambda _: extractor)
    assert record.scales == [(22, 181), (24, 200)]

    tiny = tmp_path / "tiny.png"
    Image.new("RGB", (9, 9)).save(tiny)
    with pytest.raises(ImageError, match="too small for relu5_1"):
        save_style(job(tiny, tmp_path / "tiny.style"), lambda _: extractor)
    shallow = job(tiny, tmp_path / "tiny.style", settings={"style.layers": {"r11": 1}})
    assert save_style(shallow, lambda _: extractor).layers == {"relu1_1": 32}


def test_the_largest_size_can_be_lowered(
    painting: Path, extractor: Extractor, tmp_path: Path
) -> None:
    small = job(painting, tmp_path / "x.style", largest=150)
    assert [max(s) for s in save_style(small, lambda _: extractor).scales] == [64, 91, 128, 150]


def never(_: object) -> Extractor:
    raise AssertionError("the network was loaded")


def test_what_cannot_be_written_is_refused_before_the_network_is_loaded(
    painting: Path, tmp_path: Path
) -> None:
    (tmp_path / "there.style").write_bytes(b"mine")
    for output, message in (
        (tmp_path / "x.png", r"cannot write '\.png' files"),
        (tmp_path / "there.style", "already exists"),
        (tmp_path / "no" / "x.style", "does not exist"),
    ):
        with pytest.raises(OutputError, match=message):
            save_style(job(painting, output), never)
    named = tmp_path / "a.style"
    named.write_bytes(painting.read_bytes())
    with pytest.raises(OutputError, match="the style picture itself"):
        save_style(job(named, named, overwrite=True), never)


@pytest.mark.parametrize(
    ("changes", "kind", "message", "hint"),
    [
        ({"backbone": "vgg19"}, BackboneError, "measured with vgg19, the network is vgg-lite",
         "--backbone vgg19"),
        ({"weights_sha256": "0" * 64}, BackboneError, "other weights of vgg-lite: 0000",
         "styler style save"),
        ({"pooling": "max"}, BackboneError, "measured with max pooling, here it is average",
         "--pooling max,"),
        ({"pooling": "l2×1.33"}, BackboneError, "measured with l2×1.33 pooling",
         "--pooling l2 --set backbone.rescale_pooling=true"),
        ({"pooling": "average,max"}, BackboneError, "measured with average,max pooling",
         "--pooling native"),
        ({"padding": "reflect"}, BackboneError, "measured with padding reflect, here it is zeros",
         "--set backbone.padding=reflect"),
    ],
)  # fmt: skip
def test_a_style_for_another_network_is_refused(
    saved: StyleFile,
    extractor: Extractor,
    changes: dict[str, str],
    kind: type[StylerError],
    message: str,
    hint: str,
) -> None:
    record = dataclasses.replace(saved.record, **changes)
    other = StyleFile(
        path=saved.path, sha256=saved.sha256, record=record, statistics=saved.statistics
    )
    with pytest.raises(kind, match=message) as caught:
        Problem(torch.rand(1, 3, 64, 64), other, config(), extractor)
    assert hint in str(caught.value.hint)


def test_how_the_network_was_run_is_kept(painting: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"pooling": "l2", "rescale_pooling": True, "padding": "replicate"}
    other = load_extractor("vgg-lite", **options)
    path = tmp_path / "x.style"
    save_style(job(painting, path, largest=91), lambda _: other)
    style = read_style(path)
    assert (style.record.pooling, style.record.padding) == ("l2×1.33", "replicate")
    style.check(lambda own: (64, 80), other, LAYERS)
    plain = load_extractor("vgg-lite", **{**options, "rescale_pooling": False})
    with pytest.raises(BackboneError, match=r"l2×1\.33 pooling, here it is l2"):
        style.check(lambda own: (64, 80), plain, LAYERS)


def test_earlier_versions_can_read_what_they_know(
    saved: StyleFile, painting: Path, tmp_path: Path
) -> None:
    def said(path: Path) -> dict[str, Any]:
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        record: dict[str, Any] = json.loads(header["__metadata__"]["styler-style"])["record"]
        return record

    assert (saved.record.padding, said(saved.path)["schema"]) == ("zeros", 1)
    path = tmp_path / "x.style"
    mirrored = load_extractor("vgg-lite", pooling="average", padding="reflect")
    save_style(job(painting, path, largest=91), lambda _: mirrored)
    assert said(path)["schema"] == 2
    # Files of earlier versions say nothing of padding.
    record = {key: value for key, value in said(saved.path).items() if key != "padding"}
    assert msgspec.convert(record, StyleRecord).padding == "zeros"


def test_layers_that_were_not_measured_are_refused(saved: StyleFile, extractor: Extractor) -> None:
    settings = config(**{"style.layers": {"r32": 1.0, "r31": 1.0, "r22": 0.0}})
    with pytest.raises(ConfigError, match=r"no statistics of relu3_2$") as caught:
        Problem(torch.rand(1, 3, 64, 64), saved, settings, extractor)
    assert "it has relu1_1, relu2_1" in str(caught.value.hint)


def test_a_size_too_small_for_the_picture_is_so_for_the_file(
    saved: StyleFile, extractor: Extractor
) -> None:
    settings = config(**{"style.scale": 0.1})
    with pytest.raises(ImageError, match="the style: an image of"):
        Problem(torch.rand(1, 3, 96, 96), saved, settings, extractor)


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_style(path)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value.message


def test_foreign_and_missing_files_are_refused_in_a_line(tmp_path: Path, painting: Path) -> None:
    path = tmp_path / "x.style"
    assert refusal(path) == f"no such file: {path}"
    path.mkdir()
    assert "a folder" in refusal(path)
    path.rmdir()
    for data, reason in (
        (b"", "damaged or something else"),
        (painting.read_bytes(), "damaged or something else"),
        (save_tensors({"a": torch.zeros(3)}), "those of something else"),
        (save_tensors({"a": torch.zeros(3)}, {"styler-style": "[1"}), "about itself is damaged"),
        (save_tensors({"a": torch.zeros(3)}, {"styler-style": "[1]"}), "about itself is damaged"),
    ):
        path.write_bytes(data)
        assert reason in refusal(path)


def test_damage_anywhere_is_noticed(saved: StyleFile, tmp_path: Path) -> None:
    whole, path = saved.path.read_bytes(), tmp_path / "x.style"
    start = 8 + int.from_bytes(whole[:8], "little")
    path.write_bytes(whole[:-1])
    assert "damaged" in refusal(path)
    path.write_bytes(whole[: start // 2])
    assert "damaged" in refusal(path)
    generator = np.random.default_rng(0)
    for place in [start, len(whole) - 1, *generator.integers(0, start, 40)]:
        damaged = bytearray(whole)
        damaged[place] ^= 0x11
        path.write_bytes(damaged)
        assert "style" in refusal(path)


def test_records_that_do_not_fit_the_tensors_are_refused(saved: StyleFile, tmp_path: Path) -> None:
    path, record = tmp_path / "x.style", saved.record
    for changes, reason in (
        ({"layers": {**record.layers, "relu3_2": 128}}, "0/relu3_2 are missing"),
        ({"layers": {"relu1_1": 33}}, "not those of 33 channels"),
        ({"scales": record.scales[::-1]}, "not ever larger"),
        ({"scales": []}, "scales"),
        ({"layers": {}}, "layers"),
        ({"size": (0, 4)}, "size"),
        ({"schema": 3}, "schema 3, this version knows 2"),
    ):
        write_style(path, dataclasses.replace(record, **changes), saved.statistics)
        assert reason in refusal(path)


def test_sums_that_are_not_finite_are_refused(saved: StyleFile, tmp_path: Path) -> None:
    known = saved.statistics.sums
    broken = [{**known[0], "relu1_1": known[0]["relu1_1"].map(lambda t: t * math.inf)}, *known[1:]]
    statistics = dataclasses.replace(saved.statistics, sums=broken)
    write_style(tmp_path / "x.style", saved.record, statistics)
    assert "not finite" in refusal(tmp_path / "x.style")
