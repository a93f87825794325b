"""Input that cannot be read: one line, a hint, exit code 4, and nothing on the terminal."""

import contextlib
import io
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from image_builders import encoded, iccp, noise, png16, png_chunk, raw_png, save_tiff
from PIL import Image

from styler.errors import ExitCode, ImageError
from styler.images import raster, read_picture, read_recipe


def refusal(path: Path) -> ImageError:
    with pytest.raises(ImageError) as caught:
        read_picture(path)
    error = caught.value
    assert error.exit_code is ExitCode.IMAGE
    assert "\n" not in error.message
    assert not error.message.endswith(".")
    assert str(path) in error.message
    assert error.hint
    assert "\n" not in error.hint
    return error


def refusal_of(tmp_path: Path, data: bytes) -> ImageError:
    path = tmp_path / "file"
    path.write_bytes(data)
    return refusal(path)


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """A folder, seen by someone whom permissions bind even when the tests run as root."""
    with tempfile.TemporaryDirectory() as created:
        folder = Path(created)
        folder.chmod(0o755)
        for name, mode in (("open.png", 0o644), ("closed.png", 0o000)):
            (folder / name).write_bytes(encoded(noise(2, 2, 3), "PNG"))
            (folder / name).chmod(mode)
        with contextlib.ExitStack() as stack:
            if os.geteuid() == 0:
                os.seteuid(65534)
                stack.callback(os.seteuid, 0)
            yield folder


def test_missing_files_name_the_closest(tmp_path: Path) -> None:
    for name in ("Tübingen.jpg", "lion.jpg", "notes.txt"):
        (tmp_path / name).touch()
    assert refusal(tmp_path / "tubingen.jpg").hint == "did you mean Tübingen.jpg?"
    hint = refusal(tmp_path / "qqqq").hint
    assert hint == f"the folder {tmp_path} holds Tübingen.jpg, lion.jpg, notes.txt"
    error = refusal(tmp_path / "nowhere" / "lion.jpg")
    assert error.hint == f"the folder {tmp_path / 'nowhere'} does not exist or cannot be listed"


def test_long_and_empty_folders_in_hints(tmp_path: Path) -> None:
    assert refusal(tmp_path / "qqqq").hint == f"the folder {tmp_path} is empty"
    for index in range(30):
        (tmp_path / f"a{index:02}").touch()
    hint = refusal(tmp_path / "qqqq").hint
    assert hint == f"the folder {tmp_path} holds a00, a01, a02, a03, a04, …"


def test_folder_pipe_device_and_empty_file(tmp_path: Path) -> None:
    assert "got a folder" in refusal(tmp_path).message
    os.mkfifo(tmp_path / "pipe")
    assert "got a pipe or device" in refusal(tmp_path / "pipe").message
    assert "got a pipe or device" in refusal(Path("/dev/zero")).message
    assert "empty" in refusal_of(tmp_path, b"").message


def test_a_name_no_system_accepts(tmp_path: Path) -> None:
    assert "cannot read" in refusal(tmp_path / ("a" * 300 + ".png")).message
    with pytest.raises(ImageError, match="cannot read"):
        read_picture("a\0b.png")


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert "Not a directory" in refusal(tmp_path / "a" / "b.png").message


def test_no_permission(ordinary_user: Path) -> None:
    assert read_picture(ordinary_user / "open.png").size == (2, 2)
    error = refusal(ordinary_user / "closed.png")
    assert "no permission" in error.message


@pytest.mark.parametrize(
    ("head", "noun"),
    [
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"\xef\xbb\xbf \n<html lang='en'>", "an HTML page"),
        (b"%PDF-1.7", "a PDF document"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"<?xml version='1.0'?><svg/>", "an SVG drawing"),
        (b"<?xml version='1.0'?><a/>", "an XML file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a camera raw file"),
        (b"\0\0\0\x18ftypisom\0\0\0\1isommp41", "a video or an unknown ISO media file"),
        (b"II*\0\x10\0\0\0CR\2\0", "a camera raw file"),
        (b"FUJIFILMCCD-RAW 0201", "a camera raw file"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\xff\x0a\xfa", "a JPEG XL picture"),
        (b"PK\3\4", "a ZIP archive"),
        (b"RIFF\0\0\0\0WAVE", "a RIFF file (sound or video)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, its content not"),
        (b'{"a": 1}\n', "a text file"),
    ],
)
def test_strangers_are_named(tmp_path: Path, head: bytes, noun: str) -> None:
    error = refusal_of(tmp_path, head)
    assert f"looks like {noun}" in error.message
    with pytest.raises(ImageError, match="not a readable picture"):
        read_recipe(tmp_path / "file")


def test_unknown_bytes_are_not_guessed_at(tmp_path: Path) -> None:
    assert refusal_of(tmp_path, bytes(range(200, 256))).message.endswith(str(tmp_path / "file"))


def test_camera_raws_inside_tiff(tmp_path: Path) -> None:
    values = noise(4, 4, dtype=np.uint16)
    cfa = save_tiff(
        tmp_path / "cfa.tif",
        values,
        photometric="cfa",
        extratags=[(33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True)],
    )
    dng = save_tiff(tmp_path / "a.dng", values, extratags=[(50706, 1, 4, b"\1\4\0\0", True)])
    preview = save_tiff(tmp_path / "a.nef", values, subfiletype=1)
    for path in (cfa, dng, preview):
        assert "camera raw" in refusal(path).message


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "cielab"},
        {"photometric": "minisblack", "volumetric": True, "tile": (16, 16, 16)},
    ],
    ids=["lab", "volume"],
)
def test_unsupported_tiffs(tmp_path: Path, options: dict[str, object]) -> None:
    shape = (2, 20, 20) if "volumetric" in options else (20, 20, 3)
    refusal(save_tiff(tmp_path / "a.tif", noise(*shape), **options))


@pytest.mark.parametrize("dtype", [np.int16, np.complex64])
def test_numbers_that_are_no_brightness(tmp_path: Path, dtype: type) -> None:
    path = save_tiff(tmp_path / "a.tif", np.ones((3, 3), dtype), photometric="minisblack")
    assert "not supported" in refusal(path).message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_floats(tmp_path: Path, value: float) -> None:
    values = np.full((3, 3, 3), 0.5, dtype=np.float32)
    values[1, 1, 1] = value
    path = save_tiff(tmp_path / "a.tif", values, photometric="rgb")
    assert "non-finite" in refusal(path).message


def whole_files() -> dict[str, bytes]:
    values = noise(24, 32, 3)
    files = {k: encoded(values, k) for k in ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP")}
    files["PNG16"] = png16(values.astype(np.uint16) * 257)
    for compression in (None, "deflate", "lzw", "packbits"):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, values, photometric="rgb", compression=compression, metadata=None)
        files[f"TIFF {compression}"] = buffer.getvalue()
    return files


@pytest.mark.parametrize(("name", "data"), whole_files().items(), ids=list(whole_files()))
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_truncated_files(
    tmp_path: Path, name: str, data: bytes, part: float, capfd: pytest.CaptureFixture[str]
) -> None:
    error = refusal_of(tmp_path, data[: int(len(data) * part)])
    assert "damaged or truncated" in error.message
    assert capfd.readouterr() == ("", "")


def patched_tiff(code: int, value: int, **options: object) -> bytes:
    """A TIFF of one strip with one number in its directory changed."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, noise(8, 8, 3), photometric="rgb", metadata=None, **options)
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages[0].tags[code]
    data[tag.valueoffset : tag.valueoffset + 4] = struct.pack("<I", value)
    return bytes(data)


def test_strips_that_are_not_there_do_not_become_black(tmp_path: Path) -> None:
    assert "truncated" in refusal_of(tmp_path, patched_tiff(279, 0)).message  # no bytes
    assert "truncated" in refusal_of(tmp_path, patched_tiff(273, 10**6)).message  # beyond the end
    buffer = io.BytesIO()
    values = noise(16, 16, 3)
    tifffile.imwrite(buffer, values, photometric="rgb", compression="jpeg", metadata=None)
    # The JPEG decoder would fill up the cut strip with grey.
    assert "truncated" in refusal_of(tmp_path, buffer.getvalue()[:-40]).message


def test_tifffile_is_kept_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = patched_tiff(296, 99, extratags=[(65000, 2, 3, "abc", True)])  # no such unit
    entry = data.index(struct.pack("<HH", 65000, 2))
    data = data[: entry + 2] + struct.pack("<H", 77) + data[entry + 4 :]  # no such type
    (tmp_path / "a.tif").write_bytes(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        file.pages[0].tags.valueof(65000)
    assert caplog.records
    caplog.clear()
    assert read_picture(tmp_path / "a.tif").size == (8, 8)
    assert not caplog.records


def test_messages_hold_no_stray_bytes(tmp_path: Path) -> None:
    data = bytearray(encoded(noise(4, 4, 3), "PNG"))
    data[24] = 7  # a bit depth that does not exist, under a right checksum
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert refusal_of(tmp_path, bytes(data)).message.endswith("damaged or truncated PNG file")


def test_a_png_without_its_end(tmp_path: Path) -> None:
    data = raw_png((2, 1, 8, 0), b"\0\1\2", end=False)
    assert "ends too early" in refusal_of(tmp_path, data).message


def test_a_wrong_checksum(tmp_path: Path) -> None:
    data = bytearray(encoded(noise(4, 4, 3), "PNG"))
    data[29] ^= 1
    assert "checksum of IHDR" in refusal_of(tmp_path, bytes(data)).message


def test_libpng_is_kept_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # Left to itself it prints: RGB profile on a gray file, garbage profile, wrong checksum.
    rows = b"\0\x80"
    broken = png_chunk(b"gAMA", b"\0\0\0\0")[:-1] + b"?"
    for extra in (
        iccp(imagecodecs.cms_profile("adobergb")),
        (b"iCCP", b"x\0\0???"),
        (b"eXIf", b""),
    ):
        data = raw_png((1, 1, 8, 0), rows, extra)
        (tmp_path / "a.png").write_bytes(data[:33] + broken + data[33:])
        read_picture(tmp_path / "a.png")
    assert capfd.readouterr() == ("", "")


def test_pixels_without_area(tmp_path: Path) -> None:
    assert "0×4" in refusal_of(tmp_path, raw_png((0, 4, 8, 2), b"")).message
    assert "4×0" in refusal_of(tmp_path, raw_png((4, 0, 8, 2), b"")).message
    bmp = bytearray(encoded(noise(4, 4), "BMP"))
    bmp[18:22] = bytes(4)
    refusal_of(tmp_path, bytes(bmp))


def test_the_limit_is_on_pixels_and_is_adjustable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
    for kind in kinds:
        (tmp_path / kind).write_bytes(encoded(noise(16, 20, 3), kind))
    monkeypatch.setattr(raster, "MAX_PIXELS", 320)
    assert {read_picture(tmp_path / kind).size for kind in kinds} == {(16, 20)}
    monkeypatch.setattr(raster, "MAX_PIXELS", 319)
    for kind in kinds:
        error = refusal(tmp_path / kind)
        assert "20×16 pixels" in error.message
        assert "MAX_PIXELS" in (error.hint or "")


def test_pillows_own_limit_does_not_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "AVIF"):
        (tmp_path / kind).write_bytes(encoded(noise(16, 20, 3), kind))
        assert read_picture(tmp_path / kind).size == (16, 20)


def lying_headers() -> dict[str, bytes]:
    jpeg = bytearray(encoded(noise(8, 8, 3), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 20000, 20000)
    bmp = bytearray(encoded(noise(8, 8, 3), "BMP"))
    bmp[18:26] = struct.pack("<ii", 20000, 20000)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, noise(8, 8, 3), photometric="rgb", metadata=None)
    tiff = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(tiff)) as file:
        for code in (256, 257, 278):
            at = file.pages[0].tags[code].valueoffset
            tiff[at : at + 2] = struct.pack("<H", 20000)
    return {
        "PNG": raw_png((20000, 20000, 16, 6), b"\0" * 100),
        "JPEG": bytes(jpeg),
        "BMP": bytes(bmp),
        "TIFF": bytes(tiff),
    }


@pytest.mark.parametrize(("kind", "data"), lying_headers().items(), ids=list(lying_headers()))
def test_headers_that_promise_more_than_there_is(tmp_path: Path, kind: str, data: bytes) -> None:
    start = time.monotonic()
    assert f"damaged or truncated {kind}" in refusal_of(tmp_path, data).message
    assert time.monotonic() - start < 5


def test_enormous_headers_are_refused_unread(tmp_path: Path) -> None:
    png = raw_png((2_000_000, 2_000_000, 8, 2), b"")
    assert "above the limit of 500 million" in refusal_of(tmp_path, png).message
    gif = b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(3)
    assert "65535×65535" in refusal_of(tmp_path, gif + b"," + bytes(20)).message
