"""ICC profiles, against formulas and against Pillow's ImageCms."""

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from image_builders import (
    ADOBE_RGB,
    encoded,
    iccp,
    ink_lab,
    lut_profile,
    noise,
    png16,
    png_chunks,
    raw_png,
)
from PIL import Image, ImageCms

from styler.images import read_picture, write_picture
from styler.images.icc import is_srgb

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def colours(path: Path) -> np.ndarray:
    return read_picture(path).pixels[0].permute(1, 2, 0).numpy()


def by_image_cms(image: Image.Image, profile: bytes) -> np.ndarray:
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        SRGB,
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOOPTIMIZE,
    )
    assert converted is not None
    return np.asarray(converted)


def srgb_encode(linear: np.ndarray) -> np.ndarray:
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def adobe_to_srgb(values: np.ndarray) -> np.ndarray:
    """From the primaries in the two standards (both D65): no profile, no Little CMS."""
    to_xyz = np.array(
        [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
    )
    srgb_to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    linear = values ** (563 / 256) @ (np.linalg.inv(srgb_to_xyz) @ to_xyz).T
    return srgb_encode(linear)


def test_16_bit_adobe_rgb_against_the_formula(tmp_path: Path) -> None:
    values = noise(40, 40, 3, dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(png16(values, iccp(ADOBE_RGB)))
    wanted = adobe_to_srgb(values / 65535)
    np.testing.assert_allclose(colours(tmp_path / "a.png"), wanted, atol=0.004)
    picture = read_picture(tmp_path / "a.png")
    assert picture.icc_profile == ADOBE_RGB
    assert picture.bit_depth == 16


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_8_bit_adobe_rgb_against_image_cms(tmp_path: Path, kind: str) -> None:
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    data = encoded(smooth, kind, icc_profile=ADOBE_RGB, quality=100)
    (tmp_path / "a").write_bytes(data)
    with Image.open(io.BytesIO(data)) as image:
        wanted = by_image_cms(image.convert("RGB"), ADOBE_RGB)
    np.testing.assert_allclose(colours(tmp_path / "a") * 255, wanted, atol=2)
    assert read_picture(tmp_path / "a").icc_profile == ADOBE_RGB


def test_16_bit_tiff_with_profile(tmp_path: Path) -> None:
    values = noise(12, 12, 3, dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", values, photometric="rgb", iccprofile=ADOBE_RGB, metadata=None
    )
    wanted = adobe_to_srgb(values / 65535)
    np.testing.assert_allclose(colours(tmp_path / "a.tif"), wanted, atol=0.004)


def test_gray_profile_against_the_formula(tmp_path: Path) -> None:
    d50 = (0.3457, 0.3585)
    profile = bytes(imagecodecs.cms_profile("gray", whitepoint=d50, gamma=1.8))
    rows = b"\0" + bytes([0, 10, 64, 128, 200, 255])
    (tmp_path / "a.png").write_bytes(raw_png((6, 1, 8, 0), rows, iccp(profile)))
    picture = read_picture(tmp_path / "a.png")
    wanted = srgb_encode((np.frombuffer(rows[1:], np.uint8) / 255) ** 1.8)
    for channel in picture.pixels[0, :, 0].numpy():
        np.testing.assert_allclose(channel, wanted, atol=0.002)
    assert picture.icc_profile is None  # no profile for an RGB result


def test_gray_pixels_under_an_rgb_profile(tmp_path: Path) -> None:
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    (tmp_path / "a.png").write_bytes(encoded(gray, "PNG", icc_profile=ADOBE_RGB))
    wanted = adobe_to_srgb(np.repeat(gray[..., None], 3, axis=2) / 255)
    np.testing.assert_allclose(colours(tmp_path / "a.png"), wanted, atol=0.004)


def test_cmyk_profile_against_image_cms(tmp_path: Path) -> None:
    profile = lut_profile(b"CMYK", b"prtr", ink_lab)
    steps = np.linspace(0, 255, 8).astype(np.uint8)
    inks = np.stack(np.meshgrid(steps, steps, steps, steps), axis=-1).reshape(64, 64, 4)
    image = Image.frombytes("CMYK", (64, 64), np.ascontiguousarray(inks).tobytes())
    wanted = by_image_cms(image, profile)
    tifffile.imwrite(
        tmp_path / "a.tif", inks, photometric="separated", iccprofile=profile, metadata=None
    )
    np.testing.assert_allclose(colours(tmp_path / "a.tif") * 255, wanted, atol=2)

    image.save(tmp_path / "a.jpg", quality=100, subsampling=0, icc_profile=profile)
    with Image.open(tmp_path / "a.jpg") as stored:
        wanted = by_image_cms(stored, profile)
    np.testing.assert_allclose(colours(tmp_path / "a.jpg") * 255, wanted, atol=2)
    assert read_picture(tmp_path / "a.jpg").icc_profile is None


def test_unprinted_paper_is_white(tmp_path: Path) -> None:
    profile = lut_profile(b"CMYK", b"prtr", ink_lab)
    Image.new("CMYK", (16, 16)).save(tmp_path / "a.jpg", icc_profile=profile)
    np.testing.assert_allclose(colours(tmp_path / "a.jpg"), 1, atol=0.005)


def test_a_devices_darkest_colour_becomes_black(tmp_path: Path) -> None:
    faded = lut_profile(b"RGB ", b"scnr", lambda r, g, b: (20 + 80 * (r + g + b) / 3, 0, 0))
    values = np.zeros((2, 2, 3), dtype=np.uint8)
    values[1] = 255
    (tmp_path / "a.png").write_bytes(encoded(values, "PNG", icc_profile=faded))
    np.testing.assert_allclose(colours(tmp_path / "a.png"), values / 255, atol=0.01)


def rgb_profile(**curve: object) -> bytes:
    """sRGB's primaries with another curve."""
    return bytes(
        imagecodecs.cms_profile(
            "rgb",
            whitepoint=(0.3127, 0.329),
            primaries=(0.64, 0.33, 0.3, 0.6, 0.15, 0.06),
            **curve,
        )
    )


def srgb_curve(error: float) -> np.ndarray:
    """sRGB's curve from code value to light, too bright by `error` in the middle."""
    code = np.linspace(0, 1, 4096)
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    bump = error * 4 * code * (1 - code)
    return ((light + bump) * 65535).round().astype(np.uint16)


def test_a_profile_whose_chunk_is_damaged_is_ignored(tmp_path: Path) -> None:
    values = noise(4, 4, 3, dtype=np.uint16)
    data = png16(values, iccp(ADOBE_RGB))
    at = data.index(b"iCCP") + 4 + len(iccp(ADOBE_RGB)[1])
    (tmp_path / "a.png").write_bytes(data[:at] + b"????" + data[at + 4 :])
    assert read_picture(tmp_path / "a.png").icc_profile is None
    np.testing.assert_allclose(colours(tmp_path / "a.png"), values / 65535, atol=1e-7)


def test_profiles_that_are_srgb_change_nothing(tmp_path: Path) -> None:
    ours = bytes(imagecodecs.cms_profile("srgb"))
    values = noise(9, 9, 3)
    for profile in (ours, SRGB.tobytes()):
        (tmp_path / "a.png").write_bytes(encoded(values, "PNG", icc_profile=profile))
        np.testing.assert_allclose(colours(tmp_path / "a.png"), values / 255, atol=1e-7)
        assert read_picture(tmp_path / "a.png").icc_profile == profile
        assert is_srgb(profile)
    assert not is_srgb(ADOBE_RGB)
    slightly_off = rgb_profile(transferfunction=srgb_curve(0.0005))
    assert is_srgb(slightly_off)
    (tmp_path / "a.png").write_bytes(encoded(values, "PNG", icc_profile=slightly_off))
    np.testing.assert_allclose(colours(tmp_path / "a.png"), values / 255, atol=1e-7)
    assert not is_srgb(rgb_profile(transferfunction=srgb_curve(0.02)))
    assert not is_srgb(rgb_profile(gamma=2.2))


@pytest.mark.parametrize(
    "profile",
    [
        b"garbage",
        ADOBE_RGB[:200],
        bytes(imagecodecs.cms_profile("lab4")),
        bytes(imagecodecs.cms_profile("gray", whitepoint=(0.3457, 0.3585), gamma=2.2)),
        lut_profile(b"CMYK", b"prtr", ink_lab),
    ],
    ids=["garbage", "truncated", "lab", "gray", "cmyk"],
)
def test_unusable_profiles_are_ignored(
    tmp_path: Path, profile: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    values = noise(4, 4, 3)
    for kind in ("PNG", "TIFF", "JPEG"):
        plain, tagged = tmp_path / "plain", tmp_path / "tagged"
        plain.write_bytes(encoded(values, kind))
        tagged.write_bytes(encoded(values, kind, icc_profile=profile))
        picture = read_picture(tagged)
        assert picture.icc_profile is None
        assert torch.equal(picture.pixels, read_picture(plain).pixels)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.webp"])
def test_written_pixels_are_in_the_profile_and_look_the_same(tmp_path: Path, name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    pixels = torch.rand(1, 3, 4, 4, generator=generator).repeat_interleave(8, 2)
    pixels = (pixels.repeat_interleave(8, 3) * 0.5 + 0.25).contiguous()  # flat, in every gamut
    path = tmp_path / name
    assert write_picture(path, pixels, icc_profile=ADOBE_RGB) == []
    with Image.open(path) as image:
        assert image.info["icc_profile"] == ADOBE_RGB
        stored = np.asarray(image.convert("RGB")) / 255
    inside = slice(3, None, 8)  # away from the edges, where WebP blurs colours
    stored = stored[inside, inside]
    tolerance = {"a.webp": 0.04, "a.jpg": 0.02}.get(name, 0.006)
    shown = pixels[0, :, inside, inside].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(adobe_to_srgb(stored), shown, atol=tolerance)
    assert abs(stored - shown).max() > 0.05  # numbers differ: they are another space's
    picture = read_picture(path)
    assert picture.icc_profile == ADOBE_RGB
    read = picture.pixels[0, :, inside, inside].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(read, shown, atol=tolerance)


def test_16_bit_profile_round_trip_is_tight(tmp_path: Path) -> None:
    pixels = torch.rand(1, 3, 30, 30, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    write_picture(tmp_path / "a.png", pixels, bit_depth=16, icc_profile=ADOBE_RGB)
    back = read_picture(tmp_path / "a.png").pixels
    torch.testing.assert_close(back, pixels, atol=2e-4, rtol=0)


def test_an_srgb_profile_is_embedded_without_touching_a_value(tmp_path: Path) -> None:
    profile = SRGB.tobytes()
    values = noise(6, 7, 3)
    pixels = torch.from_numpy(values).permute(2, 0, 1)[None] / 255
    write_picture(tmp_path / "a.png", pixels, icc_profile=profile)
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["icc_profile"] == profile
        np.testing.assert_array_equal(np.asarray(image), values)


def test_profiles_that_cannot_be_written_to(tmp_path: Path) -> None:
    scanner = lut_profile(b"RGB ", b"scnr", lambda r, g, b: (100 * (r + g + b) / 3, 0, 0))
    (tmp_path / "in.png").write_bytes(encoded(noise(4, 4, 3), "PNG", icc_profile=scanner))
    picture = read_picture(tmp_path / "in.png")
    assert picture.icc_profile == scanner  # it did convert
    torch.testing.assert_close(picture.pixels[:, 0], picture.pixels[:, 1], atol=0.01, rtol=0)
    for profile, reason in (
        (scanner, "unusable for writing"),
        (lut_profile(b"CMYK", b"prtr", ink_lab), "not an RGB one"),
        (b"garbage", "not an RGB one"),
    ):
        path = tmp_path / "out.png"
        notices = write_picture(path, picture.pixels, icc_profile=profile, overwrite=True)
        assert notices == [f"the colour profile is {reason}: stored as sRGB"]
        kinds = [kind for kind, _ in png_chunks(path.read_bytes())]
        assert b"sRGB" in kinds
        assert b"iCCP" not in kinds


def test_no_profile_means_srgb_without_one(tmp_path: Path) -> None:
    pixels = torch.rand(1, 3, 4, 4)
    for name in ("a.png", "a.tif", "a.jpg", "a.webp"):
        write_picture(tmp_path / name, pixels)
        with Image.open(tmp_path / name) as image:
            assert "icc_profile" not in image.info
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["srgb"] == 0
