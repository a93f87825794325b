"""The machine: device, precision, memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from styler.errors import DeviceError

_NO_MEMORY = ("can't allocate memory", "could not create a primitive", "std::bad_alloc")
"""What torch's CPU allocator, oneDNN and C++ say, which have no class of error for it."""
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def resolve_device(name: str) -> torch.device:
    """The device of that name; `auto` takes CUDA, then Apple's MPS, then the CPU.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        DeviceError: no such device here.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdecimal()):
        raise DeviceError(f"unknown device {name!r}", "choose auto, cpu, cuda, cuda:1 or mps")
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": torch.backends.mps.is_available()}
    if int(index or 0) >= count[kind]:
        raise DeviceError(f"this machine has no device {name}", "styler doctor lists what it has")
    return torch.device(name)


def has_native_bf16(device: torch.device) -> bool:
    """Whether bf16 convolutions are faster there than float32 ones.

    CUDA from compute capability 8.0; CPUs with AVX512-BF16 or AMX (measured 1.8× on two cores).
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    found = _cpu_capabilities() if device.type == "cpu" else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def _cpu_capabilities() -> dict[str, object]:
    """What torch knows of the processor; older versions know nothing."""
    get = getattr(torch.cpu, "get_capabilities", None)
    return dict(get()) if get else {}


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of the convolutions: `fp32`, `bf16`, or `auto` (bf16 where it is native).

    Example:
        >>> resolve_precision("fp32", torch.device("cpu"))
        torch.float32
    """
    if name == "auto":
        return torch.bfloat16 if has_native_bf16(device) else torch.float32
    return PRECISIONS[name]


def precision_name(dtype: torch.dtype) -> str:
    """`fp32` or `bf16`, the inverse of `PRECISIONS`."""
    return next(name for name, known in PRECISIONS.items() if known == dtype)


def device_name(device: torch.device) -> str:
    """What the device calls itself, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (MPS)"
    name = str(_cpu_capabilities().get("cpu_name") or "CPU")
    return f"{name}, {torch.get_num_threads()} threads"


class _Sharing:
    """Of this process's devices, as torch's number of threads is of its processors."""

    processes = 1


def share_memory(processes: int) -> None:
    """Say that so many processes, this one among them, compute on a device side by side."""
    _Sharing.processes = processes


def free_memory(device: torch.device) -> int:
    """Bytes that a computation on the device can still take; see `share_memory`."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // _Sharing.processes
    return int(psutil.virtual_memory().available) // _Sharing.processes


@contextmanager
def memory_errors_explained(device: torch.device) -> Iterator[None]:
    """Turn torch's out-of-memory errors into a `DeviceError` with a way out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise _out_of_memory(device) from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error is torch's, or Python's, of having no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(sign in str(error) for sign in _NO_MEMORY)


def _out_of_memory(device: torch.device) -> DeviceError:
    return DeviceError(
        f"out of memory on {device}",
        "a smaller --size, or --backbone vgg-lite, needs less",
    )
