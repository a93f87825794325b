"""How much memory a gradient of the whole picture takes, from layer sizes alone."""

from __future__ import annotations

from collections.abc import Collection

from styler.errors import DeviceError
from styler.features import BACKBONES, Extractor, summarise
from styler.runtime import free_memory

LARGEST_COPIES = 4
"""float32 copies of the largest layer alive at the peak: its gradient, the input's gradient, the
style loss's float32 features and their gradient."""

LEAST_SIDE = 64
"""Sides are taken to be at least this, which every network accepts."""


def gradient_bytes(extractor: Extractor, layers: Collection[str], size: tuple[int, int]) -> int:
    """Peak bytes of one forward and backward pass, beyond weights and program.

    Args:
        extractor: its network and dtype.
        layers: that are read; the network is cut at the deepest.
        size: (height, width) of the picture.

    Returns:
        Bytes; 0 for networks that are no VGG, whose cost is not known beforehand.
    """
    spec = BACKBONES.get(extractor.name)
    if spec is None or spec.architecture != "vgg":
        return 0
    # A long thin picture may be too small for layers that are not read.
    height, width = (max(side, LEAST_SIDE) for side in size)
    rows = summarise(spec, (height, width))
    deepest = max((i for i, row in enumerate(rows) if row.name in layers), default=-1)
    # A ReLU works in place on the convolution below it, so the two keep one array.
    kept = [row for row in rows[: deepest + 1] if row.kind != "relu"]
    if not kept:
        return 0
    share = extractor.dtype.itemsize / 4
    return int(share * sum(r.bytes for r in kept) + LARGEST_COPIES * max(r.bytes for r in kept))


def check_memory(extractor: Extractor, layers: Collection[str], size: tuple[int, int]) -> None:
    """Refuse a picture whose gradient cannot fit, before the system kills the program.

    Raises:
        DeviceError: saying the side that would fit.
    """
    need, have = gradient_bytes(extractor, layers, size), free_memory(extractor.device)
    if need <= have:
        return
    side = int(max(size) * (0.9 * have / need) ** 0.5)
    height, width = size
    raise DeviceError(
        f"{width}×{height} with {extractor.name} needs about {need / 1e9:.1f} GB of memory, "
        f"{have / 1e9:.1f} GB are free",
        f"--size {side} fits"
        + ("" if extractor.name == "vgg-lite" else ", and --backbone vgg-lite needs less"),
    )
