"""Statistics of style pictures, kept for the next picture in the same style."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch

from styler import __version__
from styler.errors import ImageError, OutputError
from styler.features import Extractor
from styler.images.output import failing_as_output_error, write_atomically
from styler.images.source import open_source
from styler.losses import FeatureSums
from styler.runtime import device_name
from styler.styles.tensors import pack, pack_sums, unpack, unpack_sums

Sums = Mapping[str, FeatureSums]
"""By layer, batch 1."""

MEMORY = 256 * 2**20
"""Bytes that are kept in memory: some hundred sizes of VGG-19's five layers."""
CACHE_SUFFIX = ".sums"
"""The ending of files of a cache, which are no styles by themselves."""


class StyleCache:
    """What was measured of style pictures, in memory and, if wanted, in a folder.

    Pictures made with it are those made without, to the last bit: an entry is for one picture's
    digest at one size, one network on one device and machine, one set of layers and one version.
    It may be used from several threads, the folder by several processes. The folder only grows; it
    may be deleted at any time.

    Args:
        folder: where statistics are kept for other processes; made when it is first needed. None
            keeps them in memory alone.
        memory: bytes kept in memory; what has not been used for longest goes first.

    Example:
        >>> cache = StyleCache()
        >>> sums = {"relu1_1": FeatureSums(torch.ones(1), torch.zeros(1, 2), None)}
        >>> cache.recall("key", {"relu1_1": 2}, lambda: sums)["relu1_1"].first
        tensor([[0., 0.]])
        >>> cache.recall("key", {"relu1_1": 2}, lambda: 1 / 0)["relu1_1"].count
        tensor([1.])
    """

    def __init__(self, folder: Path | None = None, *, memory: int = MEMORY) -> None:
        self.folder = folder
        self.memory = memory
        self._known: OrderedDict[str, Sums] = OrderedDict()
        self._lock = threading.Lock()

    def recall(self, key: str, layers: Mapping[str, int], measure: Callable[[], Sums]) -> Sums:
        """Statistics that are known, or else are measured now and remembered.

        A file that cannot be read or written is as if there were none.

        Args:
            key: from `cache_key`.
            layers: channels of each layer that is wanted.
            measure: measures them.

        Returns:
            On the CPU.
        """
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        found = self._read(key, layers)
        if found is None:
            found = {layer: sums.map(torch.Tensor.cpu) for layer, sums in measure().items()}
            self._write(key, found)
        self._remember(key, found)
        return found

    def _remember(self, key: str, sums: Sums) -> None:
        with self._lock:
            self._known[key] = sums
            held = sum(map(_bytes, self._known.values()))
            while held > self.memory and self._known:
                _, oldest = self._known.popitem(last=False)
                held -= _bytes(oldest)

    def _read(self, key: str, layers: Mapping[str, int]) -> Sums | None:
        if self.folder is None:
            return None
        try:
            with open_source(self.folder / f"{key}{CACHE_SUFFIX}") as file:
                tensors, record = unpack(file.read())
            if record.get("key") != key:
                return None
            return {name: unpack_sums(name, tensors, size) for name, size in layers.items()}
        except (ImageError, ValueError):
            return None

    def _write(self, key: str, sums: Sums) -> None:
        if self.folder is None:
            return
        tensors: dict[str, torch.Tensor] = {}
        for layer, of_layer in sums.items():
            tensors |= pack_sums(layer, of_layer)
        path = self.folder / f"{key}{CACHE_SUFFIX}"
        try:
            with failing_as_output_error(path):
                self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, pack(tensors, {"key": key}))
        except OutputError:
            return


def cache_key(
    digest: str, size: tuple[int, int], extractor: Extractor, layers: Collection[str]
) -> str:
    """The name of a picture's statistics: another one for whatever could change a bit of them.

    Args:
        digest: SHA-256 of the picture's file.
        size: (height, width) at which the network sees it.
        extractor: the network.
        layers: canonical names of its layers.

    Returns:
        64 hexadecimal digits.
    """
    text = json.dumps(
        [
            digest,
            *size,
            extractor.name,
            extractor.weights_sha256,
            extractor.pooling_name,
            extractor.padding,
            str(extractor.dtype),
            str(extractor.device),
            device_name(extractor.device),
            sorted(layers),
            str(torch.__version__),
            __version__,
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _bytes(sums: Sums) -> int:
    tensors = [t for s in sums.values() for t in (s.count, s.first, s.second) if t is not None]
    return sum(tensor.nbytes for tensor in tensors)
