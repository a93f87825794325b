"""Whatever the bytes: a picture or an `ImageError`, never a warning or a word on the terminal."""

import io
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_builders import ADOBE_RGB, encoded, exif_block, noise

from styler.errors import ImageError
from styler.images import (
    Picture,
    fill_transparent,
    fit_long_side,
    raster,
    read_picture,
    read_recipe,
    write_picture,
)
from styler.images.exif import clean
from styler.images.icc import to_srgb

few = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MARKS = [
    *(b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\xe0\0\x10JFIF\0", b"GIF89a", b"BM"),
    *(b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0", b"RIFF\xff\0\0\0WEBPVP8 "),
    b"\0\0\0\x1cftypavif\0\0\0\0avifmif1",
]


@lru_cache(maxsize=1)
def valid_files() -> list[bytes]:
    values, exif = noise(11, 14, 4), exif_block(orientation=6)
    colours = values[..., :3]
    files = [
        encoded(values, kind, exif=exif.tobytes(), icc_profile=ADOBE_RGB)
        for kind in ("PNG", "WEBP", "AVIF", "TIFF")
    ]
    files += [
        encoded(colours, kind, exif=exif.tobytes(), icc_profile=ADOBE_RGB)
        for kind in ("JPEG", "GIF", "BMP")
    ]
    for compression in (None, "deflate", "lzw", "packbits", "jpeg"):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, colours, photometric="rgb", compression=compression, metadata=None)
        files.append(buffer.getvalue())
    with tempfile.TemporaryDirectory() as folder:
        for extension in (".png", ".jpg", ".tif", ".webp"):
            path = Path(folder) / f"a{extension}"
            pixels = torch.from_numpy(colours.copy()).permute(2, 0, 1)[None] / 255
            write_picture(path, pixels, bit_depth=16, icc_profile=ADOBE_RGB, recipe='{"a": 1}')
            files.append(path.read_bytes())
    return files


@pytest.fixture(scope="module")
def scratch() -> Path:
    return Path(tempfile.mkdtemp()) / "file"


def check(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    for found in (outcome(read_picture, path), outcome(read_recipe, path)):
        if isinstance(found, ImageError):
            assert "\n" not in found.message
            assert found.hint
        elif isinstance(found, Picture):
            assert found.pixels.shape == (1, 3, *found.size)
            assert 0 <= float(found.pixels.min()) <= float(found.pixels.max()) <= 1
            if found.alpha is not None:
                assert found.alpha.shape == (1, 1, *found.size)
                assert 0 <= float(found.alpha.min()) < 1


def outcome(read: Callable[[Path], object], path: Path) -> object:
    try:
        return read(path)
    except ImageError as error:
        return error


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged headers may claim any size below the limit; decode no giants here."""
    monkeypatch.setattr(raster, "MAX_PIXELS", 1_000_000)


@pytest.mark.usefixtures("_small")
class TestAnyBytes:
    @few
    @given(mark=st.sampled_from(MARKS), rest=st.binary(max_size=300))
    def test_arbitrary(
        self, scratch: Path, capfd: pytest.CaptureFixture[str], mark: bytes, rest: bytes
    ) -> None:
        check(scratch, mark + rest)
        assert capfd.readouterr() == ("", "")

    @few
    @given(index=st.integers(0, 1000), part=st.floats(0, 1))
    def test_truncated(
        self, scratch: Path, capfd: pytest.CaptureFixture[str], index: int, part: float
    ) -> None:
        data = valid_files()[index % len(valid_files())]
        check(scratch, data[: round(len(data) * part)])
        assert capfd.readouterr() == ("", "")

    @settings(few, max_examples=250)
    @given(
        index=st.integers(0, 1000),
        flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=8),
        reach=st.sampled_from([32, 128, 512, 10**6]),
    )
    def test_bits_flipped(
        self,
        scratch: Path,
        capfd: pytest.CaptureFixture[str],
        index: int,
        flips: list[tuple[float, int]],
        reach: int,
    ) -> None:
        data = bytearray(valid_files()[index % len(valid_files())])
        last = min(len(data), reach) - 1
        for place, mask in flips:
            data[round(place * last)] ^= mask
        check(scratch, bytes(data))
        assert capfd.readouterr() == ("", "")


@few
@given(st.binary(max_size=200), st.booleans())
def test_any_exif(noise_bytes: bytes, little: bool) -> None:
    head = b"II*\0\x08\0\0\0" if little else b"MM\0*\0\0\0\x08"
    orientation, block = clean(head + noise_bytes)
    assert 1 <= orientation <= 8
    if block is not None:
        assert clean(block) == (1, block)  # clean once is clean for good


@few
@given(st.integers(0, len(ADOBE_RGB) - 1), st.integers(1, 255))
def test_any_profile(place: int, mask: int) -> None:
    profile = bytearray(ADOBE_RGB)
    profile[place] ^= mask
    samples = np.linspace(0, 1, 300, dtype=np.float32).reshape(10, 10, 3)
    pixels, kept = to_srgb(samples, bytes(profile))
    assert pixels.shape == (10, 10, 3)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert kept in (None, bytes(profile))


@few
@given(st.integers(1, 10**5), st.integers(1, 10**5), st.integers(1, 10**5))
def test_fitted_sizes(height: int, width: int, side: int) -> None:
    fitted = fit_long_side((height, width), side)
    assert max(fitted) == side
    assert min(fitted) >= 1
    exact = min(height, width) * side / max(height, width)
    assert abs(min(fitted) - exact) <= 0.5 or min(fitted) == 1
    assert fit_long_side(fitted, side) == fitted


@few
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**16))
def test_filled_colours_are_mixtures_of_visible_ones(height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(1, 1, height, width, generator=generator)
    alpha = (torch.rand(1, 1, height, width, generator=generator) - 0.5).clamp_min(0)
    filled = fill_transparent(pixels, alpha)
    seen = pixels[alpha > 0]
    low, high = (seen.min(), seen.max()) if len(seen) else (0.5, 0.5)
    assert float(filled.min()) >= float(low) - 1e-5
    assert float(filled.max()) <= float(high) + 1e-5
