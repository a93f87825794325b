"""Files of tensors, read without running anything that is in them."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from styler.errors import BackboneError

_DAMAGED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    OSError,  # with EOFError below: truncated files
    EOFError,
    RuntimeError,  # torch's own readers
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    MemoryError,  # absurd sizes in a damaged header
    OverflowError,
)
"""What torch's restricted unpickler raises on files that are damaged or that want to run code."""


def file_sha256(path: Path) -> str:
    """The SHA-256 digest of a file in hexadecimal."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BackboneError(
            f"cannot read weights file {path}: {error.strerror}", "check the path and its rights"
        ) from error


def digest_file(path: Path) -> Path:
    """Where the digest of a stored weights file is noted, in the format of ``sha256sum``."""
    return path.with_name(path.name + ".sha256")


def read_tensors(path: Path) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    """All tensors of a weights file, mapped from disk, and what it says about itself.

    Raises:
        BackboneError: the file is damaged, holds something else, or would run code.
    """
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return _read_safetensors(path)
    if suffix in {".pth", ".pt"}:
        return _read_pickle(path), {}
    raise BackboneError(
        f"cannot tell the kind of weights file {path}", "give a .safetensors or a .pth file"
    )


def _read_safetensors(path: Path) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
            return tensors, _unpack_metadata(file.metadata() or {})
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise _damaged(path) from error


_PACKED = "styler"


def pack_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata for a safetensors file under one key.

    The format writes several keys in an order that changes from run to run, and with it the
    digest of the file.
    """
    return {_PACKED: json.dumps(dict(metadata), sort_keys=True, ensure_ascii=False)}


def _unpack_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    if _PACKED not in metadata:
        return metadata
    packed = json.loads(metadata[_PACKED])
    if not isinstance(packed, dict):
        raise ValueError("metadata is no table")
    return {str(key): str(value) for key, value in packed.items()}


def _read_pickle(path: Path) -> Mapping[str, Tensor]:
    try:
        # Files of before torch 1.6 are no archives and cannot be mapped.
        mapped = zipfile.is_zipfile(path)
        with warnings.catch_warnings():
            # A pickle protocol that torch warns of either loads whole or is an error below.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except _DAMAGED as error:
        raise _damaged(path) from error
    if not isinstance(loaded, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in loaded.items()
    ):
        raise BackboneError(
            f"{path} holds no table of tensors", "save a model's state_dict(), not the model"
        )
    return loaded


def _damaged(path: Path) -> BackboneError:
    return BackboneError(
        f"{path} is damaged or is no weights file; nothing in it was run",
        "get it again; a .pth file must be a plain state_dict",
    )
