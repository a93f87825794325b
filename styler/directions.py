"""Directions in the space of a layer's channels: from a vector's file, or from pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from styler.errors import ConfigError, ImageError
from styler.features import Extractor
from styler.images import fit_long_side, read_picture, resize

VECTORS = (".npy", ".safetensors", ".json", ".txt", ".csv")
"""Endings of files that hold a vector; none of them can hold code."""

SIDE = 320
"""Long side, in pixels, at which pictures are shown to the network."""

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif")


def is_direction(text: str) -> bool:
    """Whether what follows a layer's colon names a file or folder, and not a channel.

    Example:
        >>> is_direction("37"), is_direction("sunset.npy")
        (False, True)
    """
    return Path(text).suffix.lower() in (*VECTORS, *PICTURES) or os.path.isdir(text)


def read_direction(text: str, layer: str, extractor: Extractor) -> Tensor:
    """A direction for a layer.

    Args:
        text: a file with a vector (`VECTORS`), a picture, or a folder of pictures, whose
            activations are averaged over all positions.
        layer: canonical name.
        extractor: the network.

    Returns:
        (C,) float32, on the CPU.

    Raises:
        ConfigError: the file is missing or holds no vector of the layer's length.
        ImageError: a picture cannot be read, or the folder holds none.
    """
    path = Path(text).expanduser()
    if path.suffix.lower() not in VECTORS:
        return _of_pictures(path, layer, extractor)
    vector, channels = _vector(path), extractor.channels(layer)
    if vector.numel() != channels:
        raise ConfigError(
            f"{path} holds {vector.numel()} numbers, {layer} has {channels} channels",
            "a direction has one number for each channel",
        )
    if not bool(torch.isfinite(vector).all()) or not bool(vector.any()):
        raise ConfigError(f"{path} is no direction: it is zero or not finite", "check the file")
    return vector


def _vector(path: Path) -> Tensor:
    try:
        return _read(path).float().flatten()
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}", "a direction is a vector's file") from None
    except (OSError, ValueError, TypeError, SafetensorError, RuntimeError) as error:
        raise ConfigError(
            f"cannot read a vector from {path}: {str(error).splitlines()[0]}",
            f"readable are {', '.join(VECTORS)}",
        ) from None


def _read(path: Path) -> Tensor:
    ending = path.suffix.lower()
    if ending == ".npy":
        return torch.from_numpy(np.asarray(np.load(path, allow_pickle=False), dtype=np.float32))
    if ending == ".safetensors":
        tensors = load_file(path)
        if len(tensors) != 1:
            raise ValueError(f"it holds {len(tensors)} tensors, expected one")
        return next(iter(tensors.values()))
    if ending == ".json":
        return torch.tensor(json.loads(path.read_text(encoding="utf-8")), dtype=torch.float32)
    text = path.read_text(encoding="utf-8").replace(",", " ")
    return torch.tensor([float(word) for word in text.split()])


def _of_pictures(path: Path, layer: str, extractor: Extractor) -> Tensor:
    total = torch.zeros(extractor.channels(layer))
    count = 0
    for picture in pictures_in(path):
        pixels = read_picture(picture).pixels
        size = (pixels.shape[-2], pixels.shape[-1])
        if max(size) > SIDE:
            pixels = resize(pixels, fit_long_side(size, SIDE))
        with torch.no_grad():
            features = extractor(pixels.to(extractor.device), [layer])[layer].float().cpu()
        total += features.flatten(2).mean((0, 2)) if features.ndim == 4 else features.mean(0)
        count += 1
    return total / count


def pictures_in(path: Path) -> Iterator[Path]:
    """A picture itself, or the pictures of a folder, sorted by name.

    Raises:
        ImageError: a folder holds none.
    """
    if not path.is_dir():
        yield path
        return
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
    if not found:
        raise ImageError(f"no pictures in {path}", f"their names end in {', '.join(PICTURES)}")
    yield from found
