"""Where weights files are: a named path, a folder of the user's, the cache, the package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from styler.errors import BackboneError
from styler.features.registry import BACKBONES, BackboneSpec

WEIGHTS_VARIABLE = "STYLER_WEIGHTS_DIR"
CACHE_VARIABLE = "STYLER_CACHE_DIR"


# os.path and not pathlib, whose questions raise where a folder may not be read and where `~name`
# is nobody's home.


def weights_cache() -> Path:
    """The folder that downloads and imports are kept in; it need not exist.

    ``$STYLER_CACHE_DIR/weights`` when the variable is set, else the user's cache folder.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(os.path.expanduser(named)) / "weights"
    import platformdirs

    return Path(platformdirs.user_cache_dir("styler")) / "weights"


def find_weights(spec: BackboneSpec, path: Path | None = None) -> Path | None:
    """The weights file of a network. Nothing is downloaded.

    Looked for in this order: `path`, ``$STYLER_WEIGHTS_DIR``, the cache, the package. In each
    folder a file stored by an import comes before the original ones.

    Args:
        spec: the network.
        path: a weights file, or a folder to look in; nowhere else is looked then.

    Returns:
        The file, or None when there is none.

    Raises:
        BackboneError: `path` or ``$STYLER_WEIGHTS_DIR`` does not exist.

    Example:
        >>> from styler.features.registry import get_backbone
        >>> find_weights(get_backbone("vgg-lite")).name
        'vgg-lite.safetensors'
    """
    if path is not None:
        chosen = Path(os.path.expanduser(path))
        if os.path.isfile(chosen):
            return chosen
        if not os.path.isdir(chosen):
            raise BackboneError(f"no weights file at {chosen}", "check the path")
        return next(_in_folder(spec, chosen), None)
    return next(present_weights(spec), None)


def present_weights(spec: BackboneSpec) -> Iterator[Path]:
    """All weights files of a network that are at hand, in the order of `find_weights`."""
    named = os.environ.get(WEIGHTS_VARIABLE)
    if named:
        folder = Path(os.path.expanduser(named))
        if not os.path.isdir(folder):
            raise BackboneError(
                f"{WEIGHTS_VARIABLE} names no folder: {folder}", "correct it or unset it"
            )
        yield from _in_folder(spec, folder)
    yield from _in_folder(spec, weights_cache())
    if spec.embedded:
        yield Path(__file__).parent / "data" / spec.weights[0].filename


def _in_folder(spec: BackboneSpec, folder: Path) -> Iterator[Path]:
    for name in (spec.stored_name, *(entry.filename for entry in spec.weights)):
        if os.path.isfile(folder / name):
            yield folder / name
    if spec.architecture == "torchvision":  # files of earlier releases have other digests
        named = {entry.filename for entry in spec.weights}
        for path in sorted(folder.glob(f"{spec.builder}-*.pth")):
            if path.name not in named:
                yield path


def choose_backbone(device_type: str, path: Path | None = None) -> tuple[BackboneSpec, Path]:
    """The best network whose weights are at hand: what ``auto`` stands for.

    Args:
        device_type: "cpu", "cuda", …; the order is the same for all of them, since a cheaper
            network changes the picture and is therefore the user's to ask for.
        path: a folder to look in instead of all the usual places.

    Returns:
        Its record and its weights file. The embedded network is always at hand.

    Raises:
        BackboneError: a folder does not exist, or `path` holds no weights.
    """
    ranked = sorted(BACKBONES.values(), key=lambda spec: -spec.rank)
    for spec in ranked:
        found = find_weights(spec, path) if spec.rank > 0 else None
        if found is not None:
            return spec, found
    raise missing_weights(ranked[0])


def missing_weights(spec: BackboneSpec) -> BackboneError:
    """The error for a network without weights: its hint names the ways to get them."""
    fetch = f", download them with `styler weights fetch {spec.name}`" if _has_url(spec) else ""
    stored = [spec.stored_name] if spec.architecture == "torchvision" else []
    if spec.architecture == "timm":
        fetch = (
            f", such as timm's own, saved with `torch.save(timm.create_model('{spec.builder}', "
            f"pretrained=True).state_dict(), '{spec.builder}.pth')`"
        )
    names = " or ".join([*stored, *(entry.filename for entry in spec.weights)])
    return BackboneError(
        f"no weights for {spec.name}" + (f": found no {names}" if names else ""),
        "use the embedded network (`--backbone vgg-lite`), bring a file "
        f"(`styler weights import FILE`), or set {WEIGHTS_VARIABLE} to its folder{fetch}",
    )


def _has_url(spec: BackboneSpec) -> bool:
    return any(entry.url for entry in spec.weights)
