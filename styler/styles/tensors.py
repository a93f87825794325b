"""Statistics as tables of tensors, and these as safetensors files that know their own digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from styler.losses import FeatureSums

_KEY = "styler-style"
_LENGTH_BYTES = 8  # of the header's length, at the beginning of a safetensors file


def pack(tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> bytes:
    """A safetensors file; equal input gives equal bytes.

    Args:
        tensors: contiguous, on the CPU.
        record: what the file says about itself, fit for JSON.

    Returns:
        The file's bytes.
    """
    # One key: the format writes several in an order that changes from run to run.
    text = json.dumps({"sha256": _digest(tensors, record), "record": dict(record)}, sort_keys=True)
    return save(dict(tensors), metadata={_KEY: text})


def unpack(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `pack` was given.

    Args:
        data: a file's bytes.

    Raises:
        ValueError: they are something else, or damaged; says which.
    """
    try:
        tensors = load(data)
        end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
        header = json.loads(data[_LENGTH_BYTES:end])
    except (SafetensorError, ValueError, LookupError, RuntimeError, TypeError) as fault:
        raise ValueError("it is damaged or something else") from fault
    text = header.get("__metadata__", {}).get(_KEY)
    if text is None:
        raise ValueError("its tensors are those of something else")
    try:
        said = json.loads(text)
        record, digest = dict(said["record"]), said["sha256"]
    except (ValueError, LookupError, TypeError, RecursionError) as fault:
        raise ValueError("what it says about itself is damaged") from fault
    if digest != _digest(tensors, record):
        raise ValueError("it is damaged")
    return tensors, record


def pack_sums(name: str, sums: FeatureSums) -> dict[str, Tensor]:
    """Sums of one picture as tensors; of a symmetric matrix, which they hold, only a triangle.

    Args:
        name: what the names of the tensors begin with.
        sums: with first and second sums, batch 1.
    """
    packed = {f"{name}/count": sums.count[0]}
    if sums.first is not None:
        packed[f"{name}/first"] = sums.first[0]
    if sums.second is not None:
        second = sums.second[0]
        # Bits of a cache are those without it, so a matrix that rounding left askew stays whole.
        packed[f"{name}/second"] = (
            second[_triangle(len(second))] if torch.equal(second, second.mT) else second
        )
    return {key: tensor.detach().cpu().contiguous() for key, tensor in packed.items()}


def unpack_sums(name: str, tensors: Mapping[str, Tensor], channels: int) -> FeatureSums:
    """What `pack_sums` was given, on the CPU.

    Args:
        name: as it was.
        tensors: of the file.
        channels: that the features had.

    Raises:
        ValueError: a tensor is missing, of another shape, or not finite.
    """
    count, first, second = (tensors.get(f"{name}/{part}") for part in ("count", "first", "second"))
    if count is None or first is None or second is None:
        raise ValueError(f"sums of {name} are missing")
    if second.ndim == 1 and len(second) == channels * (channels + 1) // 2:
        second = _whole(second, channels)
    if (count.shape, first.shape, second.shape) != ((), (channels,), (channels, channels)):
        raise ValueError(f"sums of {name} are not those of {channels} channels")
    if not all(t.is_floating_point() and t.isfinite().all() for t in (count, first, second)):
        raise ValueError(f"sums of {name} are not finite")
    return FeatureSums(count[None], first[None], second[None])


def _triangle(side: int) -> tuple[Tensor, Tensor]:
    rows, columns = torch.triu_indices(side, side)
    return rows, columns


def _whole(triangle: Tensor, side: int) -> Tensor:
    rows, columns = _triangle(side)
    matrix = triangle.new_empty(side, side)
    matrix[rows, columns] = triangle
    matrix[columns, rows] = triangle
    return matrix


def _digest(tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(dict(record), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
