"""Weights files brought by the user become small ones in the cache."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from styler.errors import BackboneError, OutputError, did_you_mean
from styler.features.locate import CACHE_VARIABLE, weights_cache
from styler.features.registry import BACKBONES, BackboneSpec, get_backbone
from styler.features.tensor_files import (
    digest_file,
    file_sha256,
    pack_metadata,
    read_tensors,
)
from styler.features.weights import LoadedWeights, load_weights, vgg_state


def import_weights(file: Path, name: str | None = None) -> Path:
    """Stores a weights file in the cache, as convolutions only and in float16.

    Of the 548 MB of VGG-19 some 40 MB remain. Rounding to float16 moves each weight by at most
    one part in 2048, or by 3e-8 where it is smaller than 6e-5; features
    move by less than a thousandth.

    Args:
        file: a ``.pth`` or ``.safetensors`` file with torchvision's keys or ours.
        name: the network; None to tell it by the name and the contents of the file.

    Returns:
        The stored file.

    Raises:
        BackboneError: the file is damaged, or of no known network.
        OutputError: the cache cannot be written.
    """
    spec = identify(file) if name is None else get_backbone(name)
    return store_weights(spec, load_weights(spec, file))


def identify(file: Path) -> BackboneSpec:
    """The network a weights file belongs to, by its name, its own word, or its tensors.

    Raises:
        BackboneError: no network or several fit, or the file is damaged.
    """
    for spec in BACKBONES.values():
        if file.name in (spec.stored_name, *(entry.filename for entry in spec.weights)):
            return spec
    file_sha256(file)  # an unreadable file is told as such
    tensors, metadata = read_tensors(file)
    if metadata.get("backbone") in BACKBONES:
        return BACKBONES[metadata["backbone"]]
    fitting = [spec for spec in BACKBONES.values() if _fits(spec, tensors, file)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise BackboneError(f"{file} fits no known network", did_you_mean(file.stem, BACKBONES))
    raise BackboneError(
        f"{file} fits {' and '.join(spec.name for spec in fitting)}, which want different input",
        "say which one it is",
    )


def _fits(spec: BackboneSpec, tensors: Mapping[str, Tensor], file: Path) -> bool:
    if spec.architecture != "vgg":
        return False
    try:
        vgg_state(spec, tensors, file)
    except BackboneError:
        return False
    return True


def store_weights(spec: BackboneSpec, loaded: LoadedWeights) -> Path:
    """Writes weights to the cache as `import_weights` does, with their digest beside them."""
    halved = {key: value.to(torch.float16).contiguous() for key, value in loaded.state.items()}
    beyond = [key for key, value in halved.items() if not bool(torch.isfinite(value).all())]
    if beyond:
        raise BackboneError(
            f"{loaded.path} does not fit float16: {beyond[0]} has values beyond ±65504",
            "keep the file as it is in a folder that STYLER_WEIGHTS_DIR names",
        )
    entry = next((e for e in spec.weights if e.filename == loaded.path.name), None)
    metadata = {
        **loaded.metadata,
        "backbone": spec.name,
        "precision": "convolutions only, rounded to float16",
        "original": loaded.path.name,
        "original_sha256": loaded.sha256,
    }
    if entry is not None:
        metadata |= {"licence": entry.licence, "source": entry.source}
    target = weights_cache() / spec.stored_name
    with cache_writing():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".import-") as folder:
            written = Path(folder) / target.name
            save_file(halved, written, metadata=pack_metadata(metadata))
            digest_file(written).write_text(
                f"{file_sha256(written)}  {target.name}\n", encoding="ascii"
            )
            # Between the two renames the digest describes a file that is about to come: it is
            # taken away first, since a file without one is accepted and a wrong one is not.
            digest_file(target).unlink(missing_ok=True)
            os.replace(written, target)
            os.replace(digest_file(written), digest_file(target))
    return target


@contextmanager
def cache_writing() -> Iterator[None]:
    """Turns failures to write the cache into an error with a hint."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"cannot write to the cache {weights_cache()}: {error}",
            f"make room or rights there, or set {CACHE_VARIABLE} to another folder",
        ) from error
