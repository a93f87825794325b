"""The networks styler knows: what they look like, what they eat, where their weights are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from styler.errors import BackboneError, ConfigError, did_you_mean

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the grey of a picture: ITU-R Recommendation BT.601."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a network wants its input.

    An sRGB image ``x`` in [0, 1] becomes ``(reorder(x · scale) − mean) / std``; `mean` and `std`
    are in the network's channel order and on its scale. For networks with one input channel
    ``reorder`` is the luma of the picture, with the weights `LUMA`.

    Attributes:
        mean: per channel, subtracted.
        std: per channel, divided by.
        channel_order: order of the channels that the network was trained with; "grey" is one.
        scale: 1.0 for networks fed [0, 1], 255.0 for networks fed [0, 255].

    Raises:
        ConfigError: there are not as many numbers as channels.

    Example:
        >>> Preprocessing(mean=(0.13,), std=(0.31,), channel_order="grey").channels
        1
    """

    mean: tuple[float, ...]
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channel_order: Literal["rgb", "bgr", "grey"] = "rgb"
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ConfigError(
                f"preprocessing in the order {self.channel_order} has {self.channels} means and "
                f"deviations, got {len(self.mean)} and {len(self.std)}"
            )

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return 1 if self.channel_order == "grey" else 3

    @property
    def mean_colour(self) -> tuple[float, float, float]:
        """The subtracted mean as an sRGB colour in [0, 1]: what the network sees as zero."""
        values = tuple(value / self.scale for value in self.mean)
        if self.channel_order == "grey":
            return (values[0],) * 3
        first, second, third = values
        return (first, second, third) if self.channel_order == "rgb" else (third, second, first)


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A file that holds a network's weights.

    Attributes:
        filename: the name it is looked for under.
        licence: the terms of the weights.
        source: who made them.
        url: where it can be downloaded, None when it has to be brought.
        sha256: the digest in hexadecimal or its beginning (torchvision puts the first 8 digits
            in the file name), None when unknown.
    """

    filename: str
    licence: str
    source: str
    url: str | None = None
    sha256: str | None = None

    def matches(self, digest: str) -> bool | None:
        """Whether a digest is the one expected; None when none is known."""
        return None if self.sha256 is None else digest.startswith(self.sha256)


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A network as a record.

    Attributes:
        name: what it is asked for by.
        description: one line.
        architecture: "vgg" networks are built from `blocks`, "torchvision" ones by the function
            `builder` of ``torchvision.models``, "timm" ones by the name `builder`, and "module"
            is a network of somebody's own.
        preprocessing: what the network wants as input.
        blocks: output channels of each 3×3 convolution of each block (VGG).
        classifier: units of the fully connected layers (VGG), None when there are none.
        weights: the files that hold its weights, preferred first.
        embedded: the first of `weights` is part of the package.
        rank: place in the automatic choice, higher is better; 0 is never chosen.
        native_pooling: the pooling it was trained with: "max" leaves a network as it is.
        native_side: side in pixels of the images it was trained or evaluated with.
        task: what it was trained for. A detection network is opened at its backbone, which gives
            maps of several sizes and therefore no logits.
    """

    name: str
    description: str
    preprocessing: Preprocessing
    architecture: Literal["vgg", "torchvision", "timm", "module"] = "vgg"
    blocks: tuple[tuple[int, ...], ...] = ()
    classifier: tuple[int, ...] | None = None
    weights: tuple[WeightFile, ...] = ()
    embedded: bool = False
    rank: int = 0
    native_pooling: Literal["max", "average"] = "max"
    native_side: int = 224
    task: Literal["classification", "segmentation", "detection"] = "classification"

    @property
    def builder(self) -> str:
        """Name of what builds it (torchvision, timm)."""
        return self.name.removeprefix(TORCHVISION_PREFIX).removeprefix(TIMM_PREFIX)

    @property
    def stored_name(self) -> str:
        """Name of the file that an import or a download leaves in the cache.

        Those of VGG networks hold the convolutions alone. Those of timm say so, since torchvision
        has other weights under the same names.
        """
        if self.architecture == "vgg":
            return f"{self.name}.features.safetensors"
        return f"{'timm-' if self.architecture == 'timm' else ''}{self.builder}.safetensors"


TORCHVISION_PREFIX = "torchvision:"
"""Of the names of torchvision's networks that have no record of their own."""

TIMM_PREFIX = "timm:"
"""Of the names of timm's networks."""

TORCHVISION_SOURCE = "torchvision, trained on ImageNet"
TORCHVISION_LICENCE = "BSD-3-Clause (torchvision)"

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""Mean and deviation of ImageNet's RGB values, as torchvision's networks use them."""

GREY = Preprocessing(mean=(0.459,), std=(0.226,), channel_order="grey")
"""For networks with one input channel that say nothing of their own: the luma of ImageNet's mean
and the average of its deviations."""

INCEPTION = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""An input of [−1, 1], as the Inception networks were trained with. torchvision gets there from
`IMAGENET` by its option ``transform_input``, which is therefore off."""

CAFFE = Preprocessing(mean=(103.939, 116.779, 123.68), channel_order="bgr", scale=255.0)
"""Mean BGR values of ImageNet in the release of VGG by Simonyan & Zisserman."""

_VGG16 = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
_VGG19 = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)
_LITE = ((32, 24), (64,) * 2, (128,) * 3, (256,) * 3, (384,))
_CLASSIFIER = (4096, 4096, 1000)
_OXFORD = "Simonyan & Zisserman 2014, Visual Geometry Group, Oxford"


def torchvision_digest(filename: str) -> str | None:
    """The beginning of a file's SHA-256 that torchvision puts in its name.

    Example:
        >>> torchvision_digest("vgg16-397923af.pth"), torchvision_digest("vgg16.pth")
        ('397923af', None)
    """
    match = re.search(r"-([0-9a-f]{8,64})\.pth$", filename)
    return match[1] if match else None


def _torchvision(
    name: str,
    description: str,
    *filenames: str,
    preprocessing: Preprocessing = IMAGENET,
    native_side: int = 224,
) -> BackboneSpec:
    return BackboneSpec(
        name=name,
        description=f"{description}, with torchvision's weights",
        preprocessing=preprocessing,
        architecture="torchvision",
        native_side=native_side,
        weights=tuple(
            WeightFile(
                filename=filename,
                licence=TORCHVISION_LICENCE,
                source=TORCHVISION_SOURCE,
                url=f"https://download.pytorch.org/models/{filename}",
                sha256=torchvision_digest(filename),
            )
            for filename in filenames
        ),
    )


_SPECS = (
    BackboneSpec(
        name="vgg-lite",
        description="narrow VGG distilled from VGG-19, part of the package, needs no download",
        preprocessing=IMAGENET,
        blocks=_LITE,
        weights=(
            WeightFile(
                filename="vgg-lite.safetensors",
                licence="MIT, as styler; credit the teacher, VGG-19 (CC BY 4.0)",
                source=f"distilled by styler from VGG-19 of {_OXFORD}",
                sha256="833b3817b58430cb8bb04de9249146535f28aed3299c613934dce2da5d7c2143",
            ),
        ),
        embedded=True,
        rank=1,
        native_pooling="average",
    ),
    BackboneSpec(
        name="vgg16",
        description="VGG-16 (configuration D) with torchvision's weights",
        preprocessing=IMAGENET,
        blocks=_VGG16,
        classifier=_CLASSIFIER,
        weights=(
            WeightFile(
                filename="vgg16-397923af.pth",
                licence=TORCHVISION_LICENCE,
                source=TORCHVISION_SOURCE,
                url="https://download.pytorch.org/models/vgg16-397923af.pth",
                sha256="397923af",
            ),
        ),
        rank=2,
    ),
    BackboneSpec(
        name="vgg19",
        description="VGG-19 (configuration E) with torchvision's weights",
        preprocessing=IMAGENET,
        blocks=_VGG19,
        classifier=_CLASSIFIER,
        weights=(
            WeightFile(
                filename="vgg19-dcbb9e9d.pth",
                licence=TORCHVISION_LICENCE,
                source=TORCHVISION_SOURCE,
                url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
                sha256="dcbb9e9d",
            ),
        ),
        rank=3,
    ),
    BackboneSpec(
        name="vgg19-caffe",
        description="VGG-19 with the authors' own weights, those of Gatys et al. 2015",
        preprocessing=CAFFE,
        blocks=_VGG19,
        classifier=_CLASSIFIER,
        weights=(
            WeightFile(
                filename="vgg19-caffe.safetensors",
                licence="CC BY 4.0",
                source=_OXFORD,
                sha256="55bbe602f49cc74be37741ee49ac9bfd8c4b55428c402ccdf990010739a9b047",
            ),
            WeightFile(filename="vgg19-d01eb7cb.pth", licence="CC BY 4.0", source=_OXFORD),
        ),
        rank=4,
    ),
    _torchvision("alexnet", "AlexNet", "alexnet-owt-7be5be79.pth"),
    _torchvision("squeezenet1_0", "SqueezeNet 1.0, small and fast", "squeezenet1_0-b66bff10.pth"),
    _torchvision(
        "googlenet",
        "GoogLeNet, the network of the first deep dreams",
        "googlenet-1378be20.pth",
        preprocessing=INCEPTION,
    ),
    _torchvision(
        "inception_v3",
        "Inception v3",
        "inception_v3_google-0cc3c7bd.pth",
        preprocessing=INCEPTION,
        native_side=299,
    ),
    _torchvision("resnet50", "ResNet-50", "resnet50-11ad3fa6.pth", "resnet50-0676ba61.pth"),
)

BACKBONES: Mapping[str, BackboneSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""All registered networks by name."""


def is_reference(name: str) -> bool:
    """Whether a name means a function of somebody's own: ``module:factory``.

    Example:
        >>> [is_reference(name) for name in ("nets.py:small", "torchvision:vgg11", "vgg19")]
        [True, False, False]
    """
    return ":" in name and not name.strip().lower().startswith((TORCHVISION_PREFIX, TIMM_PREFIX))


def get_backbone(name: str) -> BackboneSpec:
    """The record of a network.

    Args:
        name: a key of `BACKBONES`, ``torchvision:NAME`` for a network of ``torchvision.models``
            that classifies, segments or detects, ``timm:NAME``, in any case; or
            ``package.module:factory`` or ``path/to/file.py:factory`` for a function that gives an
            ``nn.Module``, which is then called.

    Returns:
        Its record.

    Raises:
        BackboneError: there is no such network, or the library it is from does not work.

    Example:
        >>> get_backbone("vgg19").blocks[2]
        (256, 256, 256, 256)
    """
    if is_reference(name):
        from styler.features.references import own_network

        return own_network(name)[1]
    wanted = name.strip().lower()
    if wanted.startswith(TIMM_PREFIX):
        from styler.features.timm_models import timm_spec

        return timm_spec(wanted.removeprefix(TIMM_PREFIX))
    builder = wanted.removeprefix(TORCHVISION_PREFIX)
    spec = BACKBONES.get(builder)
    if builder != wanted and (spec is None or spec.architecture != "torchvision"):
        from styler.features.torchvision_models import torchvision_spec

        return torchvision_spec(builder)
    if spec is None:
        raise BackboneError(f"unknown backbone '{name}'", did_you_mean(name, BACKBONES))
    return spec
