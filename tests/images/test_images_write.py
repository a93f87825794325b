"""What lands on the disk, and what does not."""

import contextlib
import os
import resource
import signal
import stat
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from image_builders import ADOBE_RGB, exif_block, noise, png_chunks
from PIL import Image

from styler.errors import DivergedError, ExitCode, OutputError, UsageError
from styler.images import WRITABLE_EXTENSIONS, check_output, read_picture, write_picture


def tensor(values: np.ndarray) -> torch.Tensor:
    """(H, W, C) unsigned to (1, C, H, W) in [0, 1]."""
    unit = values.astype(np.float32) / np.iinfo(values.dtype).max
    return torch.from_numpy(unit).permute(2, 0, 1)[None]


def refusal(path: Path | str, *, overwrite: bool = False, write: bool = True) -> OutputError:
    pixels = torch.rand(1, 3, 4, 4)
    attempt = partial(write_picture, path, pixels) if write else partial(check_output, path)
    with pytest.raises(OutputError) as caught:
        attempt(overwrite=overwrite)
    assert caught.value.exit_code is ExitCode.OUTPUT
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: the system refuses as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.tiff", "a.TIFF", "a.bmp", "a.PNG"])
def test_8_bit_round_trip_is_exact(tmp_path: Path, name: str) -> None:
    values = noise(7, 11, 3)
    assert write_picture(tmp_path / name, tensor(values)) == []
    with Image.open(tmp_path / name) as image:
        np.testing.assert_array_equal(np.asarray(image), values)
    picture = read_picture(tmp_path / name)
    assert torch.equal(picture.pixels, tensor(values))
    assert picture.bit_depth == 8


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_round_trip_is_exact(tmp_path: Path, name: str) -> None:
    values = noise(7, 11, 4, dtype=np.uint16)
    values[..., 3] |= 1
    pixels, alpha = tensor(values)[:, :3], tensor(values)[:, 3:]
    assert write_picture(tmp_path / name, pixels, alpha=alpha, bit_depth=16) == []
    picture = read_picture(tmp_path / name)
    assert torch.equal(picture.pixels, pixels)
    assert picture.alpha is not None
    assert torch.equal(picture.alpha, alpha)
    assert picture.bit_depth == 16
    if name == "a.tif":
        np.testing.assert_array_equal(tifffile.imread(tmp_path / name), values)


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_values_are_rounded_and_clamped(tmp_path: Path, bit_depth: int) -> None:
    top = 2**bit_depth - 1
    steps = torch.tensor([0.4, 0.6, 1.4, 1.6, top - 0.6, top - 0.4, -50.0, top * 3.0]) / top
    write_picture(tmp_path / "a.png", steps.expand(1, 3, 1, 8), bit_depth=bit_depth)
    read = read_picture(tmp_path / "a.png").pixels[0, 0, 0] * top
    wanted = [0, 1, 1, 2, top - 1, top, 0, top]
    torch.testing.assert_close(read, torch.tensor(wanted, dtype=torch.float32))


@pytest.mark.parametrize(
    ("name", "bit_depth", "notices"),
    [
        ("a.png", 16, []),
        ("a.tif", 16, []),
        ("a.webp", 8, []),
        ("a.webp", 16, ["WebP has no 16 bits: rounded to 8"]),
        ("a.jpg", 8, ["JPEG has no alpha: flattened on white"]),
        (
            "a.jpeg",
            16,
            ["JPEG has no alpha: flattened on white", "JPEG has no 16 bits: rounded to 8"],
        ),
        (
            "a.bmp",
            16,
            [
                "BMP has no alpha: flattened on white",
                "BMP has no 16 bits: rounded to 8",
                "BMP has no EXIF: not stored",
                "BMP cannot hold the recipe: not stored",
                "BMP has no colour profile: stored as sRGB",
            ],
        ),
    ],
)
def test_what_a_format_cannot_hold_is_reported(
    tmp_path: Path, name: str, bit_depth: int, notices: list[str]
) -> None:
    found = write_picture(
        tmp_path / name,
        torch.full((1, 3, 16, 16), 0.5),
        alpha=torch.full((1, 1, 16, 16), 0.5),
        bit_depth=bit_depth,
        icc_profile=ADOBE_RGB,
        exif=exif_block().tobytes(),
        recipe="{}",
    )
    assert found == notices
    picture = read_picture(tmp_path / name)
    flattened = name in ("a.jpg", "a.jpeg", "a.bmp")
    assert (picture.alpha is None) == flattened
    wanted = torch.full((1, 3, 16, 16), 0.75 if flattened else 0.5)
    torch.testing.assert_close(picture.pixels, wanted, atol=0.01, rtol=0)
    assert picture.bit_depth == (16 if name in ("a.png", "a.tif") else 8)


def test_jpeg_keeps_full_colour_resolution(tmp_path: Path) -> None:
    # Red and blue columns of one pixel: halved chroma would make them all purple.
    pixels = torch.zeros(1, 3, 16, 16)
    pixels[:, 0, :, ::2] = 1
    pixels[:, 2, :, 1::2] = 1
    write_picture(tmp_path / "a.jpg", pixels)
    torch.testing.assert_close(read_picture(tmp_path / "a.jpg").pixels, pixels, atol=0.1, rtol=0)


@pytest.mark.parametrize("extension", WRITABLE_EXTENSIONS)
def test_equal_input_gives_equal_bytes(tmp_path: Path, extension: str) -> None:
    pixels = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    for name in ("a", "b"):
        write_picture(
            tmp_path / (name + extension),
            pixels,
            bit_depth=16,
            icc_profile=ADOBE_RGB,
            exif=exif_block().tobytes(),
            recipe='{"seed": 0}',
        )
    first, second = ((tmp_path / (name + extension)).read_bytes() for name in ("a", "b"))
    assert first == second


def test_png_chunks_are_in_the_order_the_standard_asks_for(tmp_path: Path) -> None:
    write_picture(
        tmp_path / "a.png",
        torch.rand(1, 3, 4, 4),
        icc_profile=ADOBE_RGB,
        exif=exif_block().tobytes(),
        recipe="{}",
    )
    kinds = [kind for kind, _ in png_chunks((tmp_path / "a.png").read_bytes())]
    assert kinds == [b"IHDR", b"iCCP", b"eXIf", b"iTXt", b"IDAT", b"IEND"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_floating_type_with_gradients(tmp_path: Path, dtype: torch.dtype) -> None:
    pixels = torch.full((1, 3, 2, 2), 0.5, dtype=dtype, requires_grad=True)
    write_picture(tmp_path / "a.png", pixels)
    assert read_picture(tmp_path / "a.png").pixels[0, 0, 0, 0] == pytest.approx(128 / 255)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_pixels_are_never_written(tmp_path: Path, value: float) -> None:
    pixels, alpha = torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 4)
    broken = pixels.clone()
    broken[0, 1, 2, 3] = value
    with pytest.raises(DivergedError, match="1 non-finite values of 48"):
        write_picture(tmp_path / "a.png", broken)
    alpha[0, 0, 0, 0] = value
    with pytest.raises(DivergedError, match="alpha"):
        write_picture(tmp_path / "a.png", pixels, alpha=alpha)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("pixels", "alpha", "bit_depth"),
    [
        (torch.rand(3, 4, 4), None, 8),
        (torch.rand(2, 3, 4, 4), None, 8),
        (torch.rand(1, 1, 4, 4), None, 8),
        (torch.rand(1, 3, 0, 4), None, 8),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), None, 8),
        (torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 5), 8),
        (torch.rand(1, 3, 4, 4), torch.rand(4, 4), 8),
        (torch.rand(1, 3, 4, 4), None, 10),
    ],
)
def test_a_callers_mistakes(
    tmp_path: Path, pixels: torch.Tensor, alpha: torch.Tensor | None, bit_depth: int
) -> None:
    with pytest.raises(UsageError, match="got"):
        write_picture(tmp_path / "a.png", pixels, alpha=alpha, bit_depth=bit_depth)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [True, False])
def test_destinations_that_cannot_be(tmp_path: Path, write: bool) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "old.png").write_bytes(b"kept")
    os.mkfifo(tmp_path / "pipe.png")
    before = sorted(tmp_path.rglob("*"))

    def message(name: str, *, overwrite: bool = True) -> str:
        return refusal(tmp_path / name, overwrite=overwrite, write=write).message

    assert "cannot write '.gif' files" in message("a.gif")
    assert "no extension" in message("a")
    assert "does not exist" in message("missing/a.png")
    assert "is not a folder" in message("file/a.png")
    assert "is a folder" in message("folder.png")
    assert "is a pipe or device" in message("pipe.png")
    assert "already exists" in message("old.png", overwrite=False)
    assert "File name too long" in message("a" * 300 + ".png")
    assert "cannot write" in refusal("a\0.png", write=write).message
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "old.png").read_bytes() == b"kept"


def test_check_output_accepts_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_bytes(b"kept")
    check_output(tmp_path / "new.png", overwrite=False)
    check_output(str(tmp_path / "old.png"), overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["old.png"]
    assert (tmp_path / "old.png").read_bytes() == b"kept"


def test_a_folder_without_permission() -> None:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o555)
        if os.geteuid() == 0:  # permissions do not bind root
            os.seteuid(65534)
            stack.callback(os.seteuid, 0)
        for write in (True, False):
            error = refusal(folder / "a.png", write=write)
            assert "Permission denied" in error.message
            assert error.hint == "choose a folder you may write to"


@pytest.mark.parametrize("existing", [True, False])
def test_a_full_disk_leaves_no_trace(tmp_path: Path, existing: bool) -> None:
    path = tmp_path / "a.png"
    if existing:
        path.write_bytes(b"kept")
    pixels = torch.rand(1, 3, 64, 64)
    with largest_file(2000), pytest.raises(OutputError) as caught:
        write_picture(path, pixels, overwrite=True)
    assert "File too large" in caught.value.message
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([b"kept"] if existing else [])
    write_picture(path, pixels, overwrite=True)
    assert read_picture(path).size == (64, 64)


def test_ctrl_c_while_writing_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(b"kept")

    def interrupted(_descriptor: int) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(os, "fsync", interrupted)  # a real signal, at the worst moment
    with pytest.raises(KeyboardInterrupt):
        write_picture(tmp_path / "a.png", torch.rand(1, 3, 4, 4), overwrite=True)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"kept"]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_picture(tmp_path / "a.png", torch.rand(1, 3, 4, 4))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to(tmp_path / "there" / "real.png")
    write_picture(tmp_path / "link.png", torch.rand(1, 3, 4, 4), overwrite=True)
    assert (tmp_path / "link.png").is_symlink()
    assert read_picture(tmp_path / "there" / "real.png").size == (4, 4)


def test_a_relative_name_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_output("a.png", overwrite=False)
    write_picture("a.png", torch.rand(1, 3, 4, 4))
    assert read_picture("a.png").size == (4, 4)


@pytest.mark.parametrize(("name", "side"), [("a.jpg", 65501), ("a.webp", 16384)])
def test_sides_a_format_cannot_hold(tmp_path: Path, name: str, side: int) -> None:
    write_picture(tmp_path / name, torch.zeros(1, 3, 1, side - 1))
    with pytest.raises(OutputError, match=f"at most {side - 1} pixels a side, got 1×{side}"):
        write_picture(tmp_path / name, torch.zeros(1, 3, 1, side), overwrite=True)
    assert read_picture(tmp_path / name).size == (1, side - 1)
