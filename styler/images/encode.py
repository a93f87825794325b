"""From a picture to a file's bytes, giving up only what the format cannot hold, and saying so."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from styler.errors import OutputError
from styler.images import exif, recipe
from styler.images.icc import from_srgb, space_of
from styler.images.png import write_png
from styler.images.tiff import write_tiff

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUALITY = 95
_JPEG_EXIF_ROOM = 65533 - 6  # one segment, less the mark that precedes the block
_LARGEST = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A picture to encode.

    Args:
        pixels: (H, W, 3), sRGB in [0, 1], finite.
        alpha: (H, W) in [0, 1], straight, or None.
        bit_depth: 8 or 16.
        icc_profile: the RGB profile to convert to and embed, or None for sRGB.
        exif: an EXIF block, or None.
        recipe: the text to store, or None.
    """

    pixels: NDArray[np.float32]
    alpha: NDArray[np.float32] | None
    bit_depth: int
    icc_profile: bytes | None
    exif: bytes | None
    recipe: str | None


@dataclass(frozen=True, kw_only=True)
class _Format:
    name: str
    encode: Callable[[NDArray[np.uint8 | np.uint16], Sheet], bytes]
    has_alpha: bool
    has_16_bits: bool
    has_metadata: bool
    longest_side: int


def encode(sheet: Sheet, extension: str) -> tuple[bytes, list[str]]:
    """Encode a picture in the format of a file name extension.

    Args:
        sheet: the picture.
        extension: one of `WRITABLE_EXTENSIONS`.

    Returns:
        The file's bytes, and a notice for each thing that was given up.

    Raises:
        OutputError: the format cannot hold the picture.
    """
    target = _FORMATS[extension]
    height, width = sheet.pixels.shape[:2]
    if max(height, width) > target.longest_side:
        raise OutputError(
            f"a {target.name} file holds at most {target.longest_side} pixels a side, "
            f"got {height}×{width}",
            "write PNG or TIFF instead",
        )
    notices: list[str] = []
    for step in (_fit_alpha, _fit_depth, _fit_metadata, _fit_profile):
        sheet = step(sheet, target, notices)
    try:
        return target.encode(_samples(sheet), sheet), notices
    except OSError as fault:  # how Pillow reports that an encoder gave up
        raise OutputError(
            f"cannot encode {height}×{width} pixels as {target.name}: {fault}",
            "write PNG or TIFF instead",
        ) from fault


def _fit_alpha(sheet: Sheet, target: _Format, notices: list[str]) -> Sheet:
    if sheet.alpha is None or target.has_alpha:
        return sheet
    notices.append(f"{target.name} has no alpha: flattened on white")
    cover = sheet.alpha[:, :, None]
    return replace(sheet, pixels=sheet.pixels * cover + (1 - cover), alpha=None)


def _fit_depth(sheet: Sheet, target: _Format, notices: list[str]) -> Sheet:
    if sheet.bit_depth == 8 or target.has_16_bits:
        return sheet
    notices.append(f"{target.name} has no 16 bits: rounded to 8")
    return replace(sheet, bit_depth=8)


def _fit_metadata(sheet: Sheet, target: _Format, notices: list[str]) -> Sheet:
    if sheet.exif is not None:
        # Whoever hands it over, the block describes the picture as it is now.
        block = exif.clean(sheet.exif)[1]
        if block is None:
            notices.append("the EXIF block is unreadable: not stored")
        sheet = replace(sheet, exif=block)
    if sheet.exif is not None and not target.has_metadata:
        notices.append(f"{target.name} has no EXIF: not stored")
        sheet = replace(sheet, exif=None)
    if target.name == "JPEG" and sheet.exif is not None and len(sheet.exif) > _JPEG_EXIF_ROOM:
        notices.append("the EXIF block is too long for JPEG: not stored")
        sheet = replace(sheet, exif=None)
    if sheet.recipe is not None and not target.has_metadata:
        notices.append(f"{target.name} cannot hold the recipe: not stored")
        sheet = replace(sheet, recipe=None)
    return sheet


def _fit_profile(sheet: Sheet, target: _Format, notices: list[str]) -> Sheet:
    if sheet.icc_profile is None:
        return sheet
    if not target.has_metadata:
        notices.append(f"{target.name} has no colour profile: stored as sRGB")
        return replace(sheet, icc_profile=None)
    converted = from_srgb(sheet.pixels, sheet.icc_profile)
    if converted is None:
        kind = "not an RGB one" if space_of(sheet.icc_profile) != "rgb" else "unusable for writing"
        notices.append(f"the colour profile is {kind}: stored as sRGB")
        return replace(sheet, icc_profile=None)
    return replace(sheet, pixels=converted)


def _samples(sheet: Sheet) -> NDArray[np.uint8 | np.uint16]:
    """The pixels, with alpha as a fourth channel."""
    values = sheet.pixels
    if sheet.alpha is not None:
        values = np.concatenate([values, sheet.alpha[:, :, None]], axis=2)
    return quantise(values, sheet.bit_depth)


def quantise(values: NDArray[np.float32], bit_depth: int = 8) -> NDArray[np.uint8 | np.uint16]:
    """Clamped and rounded, never truncated.

    Args:
        values: of any shape, in [0, 1].
        bit_depth: 8 or 16.

    Returns:
        The steps, of the same shape.
    """
    depth: type[np.uint8 | np.uint16] = np.uint16 if bit_depth == 16 else np.uint8
    steps = np.float32(np.iinfo(depth).max)
    quantised: NDArray[np.uint8 | np.uint16] = np.rint(np.clip(values, 0, 1) * steps).astype(depth)
    return quantised


def _png(pixels: NDArray[np.uint8 | np.uint16], sheet: Sheet) -> bytes:
    texts = {} if sheet.recipe is None else {recipe.KEYWORD: sheet.recipe}
    return write_png(pixels, icc_profile=sheet.icc_profile, exif=sheet.exif, texts=texts)


def _tiff(pixels: NDArray[np.uint8 | np.uint16], sheet: Sheet) -> bytes:
    stored = None if sheet.recipe is None else recipe.to_tag(sheet.recipe)
    return write_tiff(pixels, icc_profile=sheet.icc_profile, exif_block=sheet.exif, recipe=stored)


def _jpeg(pixels: NDArray[np.uint8 | np.uint16], sheet: Sheet) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(
        buffer,
        "JPEG",
        quality=_QUALITY,
        subsampling=0,  # 4:4:4: fine coloured texture is what these pictures are made of
        icc_profile=sheet.icc_profile,
        exif=b"" if sheet.exif is None else b"Exif\0\0" + sheet.exif,
    )
    encoded = buffer.getvalue()
    return encoded if sheet.recipe is None else recipe.into_jpeg(encoded, sheet.recipe)


def _webp(pixels: NDArray[np.uint8 | np.uint16], sheet: Sheet) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(
        buffer,
        "WEBP",
        quality=_QUALITY,
        icc_profile=sheet.icc_profile or b"",
        exif=sheet.exif or b"",
        xmp=b"" if sheet.recipe is None else recipe.to_xmp(sheet.recipe),
    )
    return buffer.getvalue()


def _bmp(pixels: NDArray[np.uint8 | np.uint16], _sheet: Sheet) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")
    return buffer.getvalue()


_PNG = _Format(
    name="PNG",
    encode=_png,
    has_alpha=True,
    has_16_bits=True,
    has_metadata=True,
    longest_side=1_000_000,  # libpng's own limit, for writing as for reading
)
_TIFF = _Format(
    name="TIFF",
    encode=_tiff,
    has_alpha=True,
    has_16_bits=True,
    has_metadata=True,
    longest_side=_LARGEST,
)
_JPEG = _Format(
    name="JPEG",
    encode=_jpeg,
    has_alpha=False,
    has_16_bits=False,
    has_metadata=True,
    longest_side=65500,  # libjpeg's limit, a little below the format's 65535
)
_WEBP = _Format(
    name="WebP",
    encode=_webp,
    has_alpha=True,
    has_16_bits=False,
    has_metadata=True,
    longest_side=16383,
)
_BMP = _Format(
    name="BMP",
    encode=_bmp,
    has_alpha=False,
    has_16_bits=False,
    has_metadata=False,
    longest_side=_LARGEST,
)
_FORMATS = {
    ".png": _PNG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _WEBP,
    ".bmp": _BMP,
}

#: The file name extensions that can be written, lower case.
WRITABLE_EXTENSIONS: tuple[str, ...] = tuple(_FORMATS)
