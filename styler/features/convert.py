"""Weights files brought by the user become smaller ones in the cache."""

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
from styler.features.registry import (
    BACKBONES,
    TIMM_PREFIX,
    TORCHVISION_PREFIX,
    BackboneSpec,
    get_backbone,
)
from styler.features.tensor_files import (
    digest_file,
    file_sha256,
    pack_metadata,
    read_tensors,
)
from styler.features.weights import LoadedWeights, load_weights, network_state

_PRECISIONS = {
    "vgg": "convolutions only, rounded to float16",
    "torchvision": "rounded to float16, except vectors",
    "timm": "rounded to float16, except vectors",
}


def import_weights(file: Path, name: str | None = None) -> Path:
    """Stores a weights file in the cache in float16, of VGG networks the convolutions only.

    Of the 548 MB of VGG-19 some 40 MB remain. Of other networks all is kept but auxiliary
    classifiers, and vectors (biases, batch normalisation) keep their precision. Rounding to
    float16 moves each weight by at most one part in 2048, or by 3e-8 where it is smaller than
    6e-5; features of VGG networks move by less than a thousandth.

    Args:
        file: a ``.pth`` or ``.safetensors`` file with torchvision's or timm's keys or ours.
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
    told = metadata.get("backbone", "")
    if told in BACKBONES or told.startswith((TORCHVISION_PREFIX, TIMM_PREFIX)):
        return get_backbone(told)
    fitting = _fitting("vgg", tensors, file) or _fitting_torchvision(tensors, file)
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise BackboneError(f"{file} fits no known network", did_you_mean(file.stem, BACKBONES))
    raise BackboneError(
        f"{file} fits {' and '.join(spec.name for spec in fitting)}, which want different input",
        "say which one it is",
    )


def _fitting(architecture: str, tensors: Mapping[str, Tensor], file: Path) -> list[BackboneSpec]:
    candidates = [spec for spec in BACKBONES.values() if spec.architecture == architecture]
    return [spec for spec in candidates if _fits(spec, tensors, file)]


def _fitting_torchvision(tensors: Mapping[str, Tensor], file: Path) -> list[BackboneSpec]:
    from styler.features.torchvision_models import torchvision_models

    torchvision_models()  # were it unusable, no file would fit
    return _fitting("torchvision", tensors, file)


def _fits(spec: BackboneSpec, tensors: Mapping[str, Tensor], file: Path) -> bool:
    try:
        network_state(spec, tensors, file)
    except BackboneError:
        return False
    return True


def store_weights(spec: BackboneSpec, loaded: LoadedWeights) -> Path:
    """Writes weights to the cache as `import_weights` does, with their digest beside them."""
    if spec.architecture == "module":
        raise BackboneError(
            f"the weights of {spec.name} are not kept in the cache", "give them with --weights"
        )
    halved = {key: _halved(spec, value) for key, value in loaded.state.items()}
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
        "precision": _PRECISIONS[spec.architecture],
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


def _halved(spec: BackboneSpec, value: Tensor) -> Tensor:
    # Variances of batch normalisation span more decades than float16 has, and take little room.
    whole = spec.architecture != "vgg" and (value.ndim < 2 or not value.is_floating_point())
    return (value if whole else value.to(torch.float16)).contiguous()


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
