"""TIFF: through tifffile, which keeps 16-bit RGB, planar and float files as they are."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from styler.errors import ImageError, OutputError
from styler.images import exif
from styler.images.raster import Raster, require_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECIPE_TAG = 65112  # in the range that anyone may use
_ICC_TAG = 34675
_DNG_VERSION_TAG = 50706
_ORIENTATION_TAG = 274
_UNDEFINED = 7
_CLASSIC_LIMIT = 2**32 - 2**25  # offsets are 32 bits; some room for the directories

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
_CFA, _LINEAR_RAW = 32803, 34892
_JPEG_COMPRESSIONS = (6, 7)
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _SEPARATED: 4, _YCBCR: 3}
_PREMULTIPLIED, _STRAIGHT = 1, 2
_MAX_CHANNELS = 16
_CONVERT = "convert it to an RGB TIFF or PNG with 8 or 16 bits"


def read_tiff(data: bytes) -> Raster:
    """Decode the first picture of a TIFF file."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        if not isinstance(page, tifffile.TiffPage):
            raise ValueError("it holds no picture")
        _require_supported(page)
        _require_complete(page, len(data))
        values = page.asarray(squeeze=False)
        # (planes, depth, height, width, channels): one of the first and the last is 1.
        values = np.moveaxis(values[:, 0, :, :, 0], 0, -1) if values.shape[0] > 1 else values[0, 0]
        samples, alpha = _separate(page, values)
        profile = page.tags.valueof(_ICC_TAG)
        orientation = page.tags.valueof(_ORIENTATION_TAG)
        turned = isinstance(orientation, int) and 1 <= orientation <= 8
        return Raster(
            samples=samples,
            alpha=alpha,
            bit_depth=8 if page.bitspersample <= 8 else 16,
            icc_profile=profile if isinstance(profile, bytes) else None,
            exif=data,
            orientation=int(orientation) if turned else 1,
        )


def write_tiff(
    pixels: NDArray[np.uint8 | np.uint16],
    *,
    icc_profile: bytes | None,
    exif_block: bytes | None,
    recipe: bytes | None,
) -> bytes:
    """Encode (H, W, 3 or 4) unsigned samples, losslessly compressed, alpha straight."""
    if pixels.nbytes > _CLASSIC_LIMIT:
        raise OutputError("the picture is too large for a TIFF file", "write PNG instead")
    order = exif.byte_order(exif_block or b"") or "<"
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pixels,
        byteorder=order,
        photometric="rgb",
        planarconfig="contig",
        extrasamples=["unassalpha"] if pixels.shape[2] == 4 else None,
        compression="adobe_deflate",
        predictor=True,
        metadata=None,
        software=False,
    )
    added = list(exif.read_fields(exif_block or b""))
    for tag, value in ((_ICC_TAG, icc_profile), (RECIPE_TAG, recipe)):
        if value is not None:
            added.append(exif.Field(tag, _UNDEFINED, len(value), value))
    return exif.with_fields(buffer.getvalue(), added)


def _require_supported(page: tifffile.TiffPage) -> None:
    """Refuse what would be read wrongly rather than not at all."""
    require_size(page.imagewidth, page.imagelength)
    if page.photometric in (_CFA, _LINEAR_RAW) or _DNG_VERSION_TAG in page.tags:
        raise ImageError("it is a camera raw file", "develop it to a TIFF or PNG first")
    if page.is_reduced:
        raise ImageError(
            "it starts with a preview, as camera raw files do", "develop it to a TIFF or PNG first"
        )
    colours = _COLOURS.get(page.photometric)
    if colours is None or (
        page.photometric == _YCBCR and page.compression not in _JPEG_COMPRESSIONS
    ):
        name = getattr(page.photometric, "name", page.photometric)
        raise ImageError(f"its colour model {name} is not supported", _CONVERT)
    if page.imagedepth != 1:
        raise ImageError("it is a volume, not a picture", "export one of its slices")
    if not colours <= page.samplesperpixel <= _MAX_CHANNELS:
        raise ImageError(
            f"it has {page.samplesperpixel} channels, expected {colours} to {_MAX_CHANNELS}",
            _CONVERT,
        )
    if page.dtype is None or page.dtype.kind not in "buf" or page.bitspersample > 64:
        raise ImageError(
            f"its numbers ({page.bitspersample} bits, format {page.sampleformat}) are not "
            "supported",
            _CONVERT,
        )


def _require_complete(page: tifffile.TiffPage, length: int) -> None:
    """Every strip or tile must lie in the file: absent ones would silently decode to black."""
    pieces = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if len(pieces) < math.prod(page.chunked) or any(
        size < 1 or start + size > length for start, size in pieces
    ):
        raise ValueError("it is truncated")


def _separate(
    page: tifffile.TiffPage, values: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Colours and alpha in [0, 1] from the channels of a page."""
    colours = _COLOURS[page.photometric]
    if page.photometric == _PALETTE:
        samples = _look_up(page, values[:, :, 0])
    else:
        samples = _to_unit(values[:, :, :colours], page.bitspersample)
    if page.photometric == _WHITE_IS_ZERO:
        samples = 1 - samples
    for index, kind in enumerate(page.extrasamples):
        if kind in (_PREMULTIPLIED, _STRAIGHT):
            alpha = _to_unit(values[:, :, colours + index], page.bitspersample)
            if kind == _PREMULTIPLIED:
                opacity = np.where(alpha > 0, alpha, 1)[:, :, None]
                samples = np.minimum(samples / opacity, 1)
            return samples, alpha
    return samples, None


def _to_unit(values: NDArray[Any], bits: int) -> NDArray[np.float32]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ImageError("it has non-finite values (NaN or infinity)", "repair or re-export it")
    scaled: NDArray[np.float32]
    if values.dtype.kind == "f":
        scaled = np.clip(values, 0, 1).astype(np.float32)
    elif bits <= 16:
        scaled = values.astype(np.float32) / np.float32(2**bits - 1)
    else:  # float32 cannot hold these integers, only their quotient
        scaled = (values.astype(np.float64) / (2**bits - 1)).astype(np.float32)
    return scaled


def _look_up(page: tifffile.TiffPage, indices: NDArray[Any]) -> NDArray[np.float32]:
    if page.colormap is None:
        raise ValueError("its palette is missing")
    colours: NDArray[np.float32] = page.colormap.T.astype(np.float32) / np.float32(65535)
    looked_up: NDArray[np.float32] = colours[indices]
    return looked_up
