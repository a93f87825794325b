"""From a file's bytes to a `Raster`, whatever the format."""

from __future__ import annotations

import io
import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    WebPImagePlugin,
)

from styler.errors import ImageError
from styler.images.png import read_png
from styler.images.raster import Raster, require_size, split_alpha
from styler.images.tiff import read_tiff

# What Pillow, tifffile and imagecodecs (whose errors are RuntimeErrors) raise for damaged files.
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Image.DecompressionBombError,
    struct.error,
    tifffile.TiffFileError,
    zlib.error,
)

# Of these, the ones whose text was written for a reader; the others speak of indices and types.
_TELLING = (OSError, RuntimeError, ValueError, Image.DecompressionBombError, zlib.error)

# The classes themselves, not Image.open: its size limit is a global, and it would try every plugin.
_PILLOW: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}
_READERS: dict[str, Callable[[bytes], Raster]] = {"PNG": read_png, "TIFF": read_tiff}

# A block of 8×8 pixels takes at least one bit. libjpeg makes up what is missing, without a word.
_JPEG_MOST_PIXELS = 8 * 64

_silence = threading.RLock()


def decode(data: bytes, kind: str, path: Path) -> Raster:
    """Decode the first picture of a file.

    Args:
        data: the whole file.
        kind: its format, one of `sniff.FORMATS`.
        path: the file's name, for messages.

    Returns:
        The picture as stored.

    Raises:
        ImageError: it is damaged, truncated, too large or of an unsupported kind.
    """
    try:
        with _quiet():
            return _READERS[kind](data) if kind in _READERS else _read_pillow(data, kind)
    except ImageError as fault:
        raise ImageError(f"cannot read {path}: {fault.message}", fault.hint) from fault
    except MemoryError as fault:
        raise ImageError(f"not enough memory to decode {path}", "shrink it first") from fault
    except _FAULTS as fault:
        raise ImageError(
            f"cannot read {path}: damaged or truncated {kind} file{_reason(fault)}",
            "open and save it in an image editor, or fetch it again",
        ) from fault


def _reason(fault: Exception) -> str:
    """What the decoder said, in brackets; nothing when that would be a riddle."""
    # imagecodecs takes some of libpng's messages from memory that is gone by then.
    if not isinstance(fault, _TELLING) or isinstance(fault, (UnicodeError, imagecodecs.PngError)):
        return ""
    text = " ".join(str(fault).split()).rstrip(".")[:160]
    return f" ({text})" if text else ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the decoders' remarks on damaged metadata from the user: pixels decode or raise.

    Both switches are global, so that one reader at a time may hold them.
    """
    logger = logging.getLogger("tifffile")
    with _silence, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.setLevel(level)


def _read_pillow(data: bytes, kind: str) -> Raster:
    with _PILLOW[kind](io.BytesIO(data)) as image:
        require_size(*image.size)
        if kind == "JPEG" and image.width * image.height > len(data) * _JPEG_MOST_PIXELS:
            raise ValueError(f"too few bytes for {image.width}×{image.height} pixels")
        profile, exif = image.info.get("icc_profile"), image.info.get("exif")
        image.load()
        if image.mode == "CMYK":
            # 0 is no ink: Pillow has undone the inversion that Adobe's JPEGs have.
            samples, alpha = np.asarray(image).astype(np.float32) / np.float32(255), None
        else:
            samples, alpha, _ = split_alpha(np.asarray(_plain_mode(image)))
    return Raster(
        samples=samples,
        alpha=alpha,
        bit_depth=8,
        icc_profile=profile if isinstance(profile, bytes) else None,
        exif=exif if isinstance(exif, bytes) else None,
    )


def _plain_mode(image: Image.Image) -> Image.Image:
    """The picture as 8-bit L, LA, RGB or RGBA: no palette, no transparent colour beside it."""
    gray = image.mode in ("1", "L", "LA")
    if not gray and image.mode not in ("P", "RGB", "RGBA", "RGBX", "YCbCr"):
        raise ImageError(f"its pixels of kind {image.mode} are not supported", "convert it to PNG")
    if image.has_transparency_data:
        return image.convert("LA" if gray else "RGBA")
    return image.convert("L" if gray else "RGB")
