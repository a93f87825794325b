"""Colour management: between the colours of a file and sRGB.

All conversions are in float32 through Little CMS: its integer paths interpolate in a coarse table
and are off by up to 0.08 for saturated colours of a wide gamut.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPACES = {1: "gray", 3: "rgb", 4: "cmyk"}
_SIGNATURES = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk"}
_FULL_INK = 100.0  # Little CMS counts float inks in percent
_HEADER = 128

# A profile that moves no colour by one 8-bit step is sRGB under another name.
_SAME = 1 / 255


def space_of(profile: bytes) -> str | None:
    """The colour space a profile describes, "gray", "rgb" or "cmyk"; None for anything else."""
    if len(profile) < _HEADER or profile[36:40] != b"acsp":
        return None
    return _SIGNATURES.get(profile[16:20])


def to_srgb(
    samples: NDArray[np.float32], profile: bytes | None
) -> tuple[NDArray[np.float32], bytes | None]:
    """Convert gray, RGB or CMYK samples to sRGB.

    A profile that is broken or describes another kind of picture is ignored, as browsers do.

    Args:
        samples: (H, W, C) in [0, 1]: 1 gray, 3 RGB or 4 CMYK (0 no ink) channels.
        profile: the file's ICC profile.

    Returns:
        (H, W, 3) sRGB in [0, 1], and the profile when it is an RGB one that took part.
    """
    space = space_of(profile) if profile is not None else None
    if space == "rgb" and samples.shape[2] == 1:
        samples = np.repeat(samples, 3, axis=2)
    if profile is not None and space == _SPACES[samples.shape[2]]:
        kept = profile if space == "rgb" else None
        if kept is not None and is_srgb(kept):
            return samples, kept
        converted = _transform(samples, space, profile, _srgb())
        if converted is not None:
            return converted, kept
    return _plain(samples), None


def from_srgb(pixels: NDArray[np.float32], profile: bytes) -> NDArray[np.float32] | None:
    """Convert sRGB pixels to the colours of an RGB profile.

    Args:
        pixels: (H, W, 3) sRGB in [0, 1].
        profile: an ICC profile.

    Returns:
        (H, W, 3) in [0, 1], or None when the profile is no RGB profile that can be written to.
    """
    if space_of(profile) != "rgb":
        return None
    return pixels if is_srgb(profile) else _transform(pixels, "rgb", _srgb(), profile)


@lru_cache(maxsize=16)
def is_srgb(profile: bytes) -> bool:
    """Whether an RGB profile gives, to within one 8-bit step, the colours of sRGB."""
    ramp = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[:, None], 3, axis=1)
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    probe = np.concatenate([ramp, cube])[None]
    converted = _transform(probe, "rgb", profile, _srgb())
    return converted is not None and bool(np.abs(converted - probe).max() < _SAME)


@lru_cache(maxsize=1)
def _srgb() -> bytes:
    return bytes(imagecodecs.cms_profile("srgb"))


def _transform(
    samples: NDArray[np.float32], space: str, source: bytes, target: bytes
) -> NDArray[np.float32] | None:
    """Relative colorimetric with black point compensation; None when a profile is unusable."""
    if space == "cmyk":
        samples = samples * np.float32(_FULL_INK)
    try:
        converted = imagecodecs.cms_transform(
            samples[:, :, 0] if space == "gray" else samples,
            source,
            target,
            colorspace=space,
            outcolorspace="rgb",
            outdtype=np.float32,
            intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
            flags=imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION,
        )
    except imagecodecs.CmsError:
        return None
    result: NDArray[np.float32] = converted.astype(np.float32, copy=False)
    return np.clip(result, 0.0, 1.0) if bool(np.isfinite(result).all()) else None


def _plain(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples without a usable profile: taken as sRGB, inks as ideal filters."""
    if samples.shape[2] == 1:
        return np.repeat(samples, 3, axis=2)
    if samples.shape[2] == 4:
        return (1 - samples[:, :, :3]) * (1 - samples[:, :, 3:])
    return samples
