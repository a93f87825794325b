"""The networks styler knows: what they look like, what they eat, where their weights are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from styler.errors import BackboneError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a network wants its input.

    An sRGB image ``x`` in [0, 1] becomes ``(reorder(x · scale) − mean) / std``; `mean` and `std`
    are in the network's channel order and on its scale.

    Attributes:
        mean: per channel, subtracted.
        std: per channel, divided by.
        channel_order: order of the channels that the network was trained with.
        scale: 1.0 for networks fed [0, 1], 255.0 for networks fed [0, 255].
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channel_order: Literal["rgb", "bgr"] = "rgb"
    scale: float = 1.0

    @property
    def mean_colour(self) -> tuple[float, float, float]:
        """The subtracted mean as an sRGB colour in [0, 1]: what the network sees as zero."""
        first, second, third = (value / self.scale for value in self.mean)
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
            `builder` of ``torchvision.models``.
        preprocessing: what the network wants as input.
        blocks: output channels of each 3×3 convolution of each block (VGG).
        classifier: units of the fully connected layers (VGG), None when there are none.
        weights: the files that hold its weights, preferred first.
        embedded: the first of `weights` is part of the package.
        rank: place in the automatic choice, higher is better; 0 is never chosen.
    """

    name: str
    description: str
    preprocessing: Preprocessing
    architecture: Literal["vgg", "torchvision"] = "vgg"
    blocks: tuple[tuple[int, ...], ...] = ()
    classifier: tuple[int, ...] | None = None
    weights: tuple[WeightFile, ...] = ()
    embedded: bool = False
    rank: int = 0

    @property
    def builder(self) -> str:
        """Name of the function that builds it (torchvision)."""
        return self.name.removeprefix(TORCHVISION_PREFIX)

    @property
    def stored_name(self) -> str:
        """Name of the file that an import or a download leaves in the cache.

        Those of VGG networks hold the convolutions alone.
        """
        if self.architecture == "torchvision":
            return f"{self.builder}.safetensors"
        return f"{self.name}.features.safetensors"


TORCHVISION_PREFIX = "torchvision:"
"""Of the names of networks that have no record of their own."""

TORCHVISION_SOURCE = "torchvision, trained on ImageNet"
TORCHVISION_LICENCE = "BSD-3-Clause (torchvision)"

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""Mean and deviation of ImageNet's RGB values, as torchvision's networks use them."""

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
    name: str, description: str, *filenames: str, preprocessing: Preprocessing = IMAGENET
) -> BackboneSpec:
    return BackboneSpec(
        name=name,
        description=f"{description}, with torchvision's weights",
        preprocessing=preprocessing,
        architecture="torchvision",
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
    ),
    _torchvision("resnet50", "ResNet-50", "resnet50-11ad3fa6.pth", "resnet50-0676ba61.pth"),
)

BACKBONES: Mapping[str, BackboneSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""All registered networks by name."""


def get_backbone(name: str) -> BackboneSpec:
    """The record of a network.

    Args:
        name: a key of `BACKBONES`, or ``torchvision:NAME`` for any classification network of
            ``torchvision.models``, in any case.

    Returns:
        Its record.

    Raises:
        BackboneError: there is no such network, or torchvision is needed and does not work.

    Example:
        >>> get_backbone("vgg19").blocks[2]
        (256, 256, 256, 256)
    """
    wanted = name.strip().lower()
    builder = wanted.removeprefix(TORCHVISION_PREFIX)
    spec = BACKBONES.get(builder)
    if builder != wanted and (spec is None or spec.architecture != "torchvision"):
        from styler.features.torchvision_models import torchvision_spec

        return torchvision_spec(builder)
    if spec is None:
        raise BackboneError(f"unknown backbone '{name}'", did_you_mean(name, BACKBONES))
    return spec
