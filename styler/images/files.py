"""Reading and writing pictures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from styler.errors import DivergedError, ImageError, UsageError
from styler.images import exif as exif_blocks
from styler.images import recipe as recipes
from styler.images.alpha import fill_transparent
from styler.images.decode import decode
from styler.images.encode import Sheet, encode
from styler.images.icc import to_srgb
from styler.images.output import require_target, write_atomically
from styler.images.raster import turn_upright
from styler.images.source import read_source

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture read from a file, upright and in sRGB.

    Args:
        pixels: (1, 3, H, W) float32, sRGB in [0, 1]; colours under alpha 0 are filled from visible
            neighbours.
        alpha: (1, 1, H, W) float32 in [0, 1], straight; None when every pixel is opaque.
        bit_depth: 8 or 16, of the file; deeper and float files count as 16.
        icc_profile: the file's own RGB profile; None when it has none, or one for gray or CMYK, or
            a broken one.
        exif: the EXIF block, starting with its byte order, with orientation 1 and no thumbnail.
        path: the file.
        sha256: of the file's bytes, in hexadecimal.
    """

    pixels: Tensor
    alpha: Tensor | None
    bit_depth: int
    icc_profile: bytes | None
    exif: bytes | None
    path: Path
    sha256: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[-2], self.pixels.shape[-1]


def read_picture(path: str | Path) -> Picture:
    """Read a PNG, JPEG, TIFF, WebP, GIF, BMP or AVIF file; of an animation, the first frame.

    The format is told by content, not by name. Gray, palette, CMYK and YCbCr pictures come out as
    RGB, 16-bit files at 16-bit precision. Embedded profiles are converted to sRGB (relative
    colorimetric, black point compensation); colours outside sRGB are clipped. CMYK without a
    profile is converted as if its inks were ideal filters.

    Args:
        path: a regular file.

    Returns:
        The picture.

    Raises:
        ImageError: it is missing, unreadable, not a picture, damaged, or has more than
            `raster.MAX_PIXELS` pixels.

    Example:
        >>> read_picture("/nowhere/cat.jpg")
        Traceback (most recent call last):
        styler.errors.ImageError: no such file: /nowhere/cat.jpg
    """
    path = Path(path)
    data, kind = read_source(path)
    raster = decode(data, kind, path)
    orientation, exif = exif_blocks.clean(raster.exif)
    raster = turn_upright(raster, raster.orientation or orientation)
    colours, profile = to_srgb(raster.samples, raster.icc_profile)
    pixels = _to_tensor(colours)
    alpha = None
    if raster.alpha is not None and bool((raster.alpha < 1).any()):
        alpha = _to_tensor(raster.alpha[:, :, None])
        pixels = fill_transparent(pixels, alpha)
    return Picture(
        pixels=pixels,
        alpha=alpha,
        bit_depth=raster.bit_depth,
        icc_profile=profile,
        exif=exif,
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def write_picture(
    path: str | Path,
    pixels: Tensor,
    *,
    alpha: Tensor | None = None,
    bit_depth: int = 8,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    recipe: str | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write a PNG, TIFF, JPEG, WebP or BMP file, wholly or not at all.

    The format follows the extension. Values are clamped and rounded to the nearest step. What the
    format cannot hold is given up and reported. Equal input gives equal bytes.

    Args:
        path: the file to write, with one of `WRITABLE_EXTENSIONS`.
        pixels: (1, 3, H, W), floating point, sRGB in [0, 1].
        alpha: (1, 1, H, W) in [0, 1], straight, or None for an opaque picture.
        bit_depth: 8 or 16 bits per channel.
        icc_profile: an RGB profile: the pixels are converted to it and it is embedded, so that the
            colours look the same; None for plain sRGB.
        exif: an EXIF block, as in `Picture.exif`.
        recipe: a text to store in the file, usually JSON; see `read_recipe`.
        overwrite: whether an existing file may be replaced.

    Returns:
        A short notice for each thing the format could not hold.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
        DivergedError: pixels or alpha have non-finite values.
        UsageError: a shape or the bit depth is wrong.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "grey.bmp"
        ...     print(write_picture(file, torch.full((1, 3, 2, 4), 0.5), recipe="{}"))
        ...     print(read_picture(file).size)
        ['BMP cannot hold the recipe: not stored']
        (2, 4)
    """
    if recipe is not None:
        # Half characters, as in file names that are not UTF-8, become the escapes of JSON.
        recipe = recipe.encode("utf-8", "backslashreplace").decode()
    target = Path(path)
    require_target(target, overwrite=overwrite)
    if bit_depth not in (8, 16):
        raise UsageError(f"bit_depth is 8 or 16, got {bit_depth}")
    height, width = pixels.shape[-2:] if pixels.ndim == 4 else (0, 0)
    sheet = Sheet(
        pixels=to_array(pixels, "pixels", (1, 3, height, width)),
        alpha=None if alpha is None else to_array(alpha, "alpha", (1, 1, height, width))[:, :, 0],
        bit_depth=bit_depth,
        icc_profile=icc_profile,
        exif=exif,
        recipe=recipe,
    )
    data, notices = encode(sheet, target.suffix.lower())
    write_atomically(target, data)
    return notices


def read_recipe(path: str | Path) -> str | None:
    """Read the text that `write_picture` stored in a file.

    Args:
        path: a picture file.

    Returns:
        The recipe, or None when the file has none.

    Raises:
        ImageError: the file is missing or no picture, or its recipe is damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "grey.png"
        ...     notices = write_picture(file, torch.zeros(1, 3, 2, 2), recipe='{"steps": 500}')
        ...     print(read_recipe(file))
        {"steps": 500}
    """
    path = Path(path)
    data, kind = read_source(path)
    try:
        return recipes.extract(data, kind)
    except ValueError as fault:  # UnicodeDecodeError is one
        raise ImageError(
            f"the recipe in {path} is damaged: {fault}", "the picture itself may still be readable"
        ) from fault


def _to_tensor(array: NDArray[np.float32]) -> Tensor:
    """(H, W, C) to (1, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)[None].contiguous()


def to_array(tensor: Tensor, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The values of a picture to write, as an array on the CPU.

    Args:
        tensor: (1, C, H, W), floating point.
        name: of the tensor, for messages.
        shape: the shape it has to have, in full.

    Returns:
        (H, W, C).

    Raises:
        UsageError: it has another shape, is empty, or holds no floating point numbers.
        DivergedError: it has non-finite values.
    """
    if tuple(tensor.shape) != shape or 0 in shape or not tensor.is_floating_point():
        raise UsageError(
            f"{name} must be floating point of shape (1, {shape[1]}, height, width), one size for "
            f"pixels and alpha, got {tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    plain = tensor.detach().to("cpu", torch.float32)
    broken = int((~torch.isfinite(plain)).sum())
    if broken:
        raise DivergedError(
            f"{name} to write have {broken} non-finite values of {plain.numel()}",
            "lower the learning rate or the weights",
        )
    array: NDArray[np.float32] = plain[0].permute(1, 2, 0).contiguous().numpy()
    return array
