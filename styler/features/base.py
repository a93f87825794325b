"""What every extractor is: a frozen network from images to features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from styler.errors import ConfigError, DeviceError, ImageError
from styler.features.layers import resolve_layer
from styler.features.pooling import PoolingKind, pooling_name
from styler.features.receptive_field import ReceptiveField
from styler.features.registry import LUMA, BackboneSpec, Preprocessing
from styler.features.segments import Segment

Pooling = Literal["max", "average", "l2", "native"]
"""Kinds of pooling a network can be run with: "max" leaves it as it is, "average" replaces every
max pooling, "l2" does so with the root of the mean square (VGG networks only), "native" is the one
that the network was trained with."""

Padding = Literal["zeros", "reflect", "replicate", "circular"]
"""What convolutions see beyond the border: nothing, the picture mirrored without its outermost row
twice, that row again and again, or the opposite border."""

_PRECISIONS = (torch.float32, torch.bfloat16, torch.float64)


class Extractor(ABC):
    """A frozen network that gives the features of images at named layers.

    Calling it runs the network once, up to the deepest layer asked for, and keeps nothing. Its
    weights take no gradient, the image does. A layer's value never depends on which others were
    asked for.

    Attributes:
        name: of the network.
        layers: canonical names of all its layers, in order.
        device: where it computes.
        dtype: what it computes in and gives its features in: float32, bfloat16 or float64.
            float16 is refused: activations of VGG networks go beyond its range.
        pooling: "max" when the network's pooling is left as it is, "average" when average pooling
            stands in for every max pooling, as Gatys et al. do, "l2" for the root of the mean
            square.
        rescale_pooling: whether what stands in is multiplied, see `styler.features.pooling`.
        padding: what its convolutions see beyond the border.
        weights_sha256: digest of the file its weights are from; of a network without a file, of
            its tensors.
        preprocessing: how it normalises an image.
        input_size: side in pixels of the only images, square ones, that the network takes; None
            for a network that takes others too.
        native_side: side in pixels of the images that the network was trained or evaluated with:
            what it recognises best.
        notice: what a user should know of how the network is run, in one line; None when there is
            nothing to say.

    Example:
        >>> from styler.features import load_extractor
        >>> extractor = load_extractor("vgg-lite")
        >>> features = extractor(torch.rand(1, 3, 32, 48), ["r21", "conv1_1"])
        >>> {name: tuple(feature.shape) for name, feature in features.items()}
        {'relu2_1': (1, 64, 16, 24), 'conv1_1': (1, 32, 32, 48)}

    References:
        Gatys, Ecker, Bethge 2015, arXiv 1508.06576, section "Methods" (average pooling).
    """

    rescale_pooling: bool = False
    padding: Padding = "zeros"
    input_size: int | None = None
    native_side: int = 224
    notice: str | None = None

    def __init__(
        self,
        *,
        name: str,
        layers: Sequence[str],
        preprocessing: Preprocessing,
        device: torch.device,
        dtype: torch.dtype,
        pooling: PoolingKind,
        weights_sha256: str,
    ) -> None:
        check_options(device, dtype, pooling)
        self.name = name
        self.layers = tuple(layers)
        self.preprocessing = preprocessing
        self.dtype = dtype
        self.pooling: PoolingKind = pooling
        self.weights_sha256 = weights_sha256
        self._wide = torch.promote_types(dtype, torch.float32)
        self._mean = _per_channel(preprocessing.mean, self._wide, device)
        self._std = _per_channel(preprocessing.std, self._wide, device)
        self.device = self._mean.device  # "cuda" has become "cuda:0"

    @property
    def pooling_name(self) -> str:
        """How it pools, in one word such as ``average×1.45``: its features depend on it."""
        return pooling_name(self.pooling, rescaled=self.rescale_pooling)

    @abstractmethod
    def channels(self, layer: str) -> int:
        """Channels of a layer."""

    @abstractmethod
    def stride(self, layer: str) -> int:
        """Distance of a layer's neighbouring units in pixels of the image."""

    @abstractmethod
    def minimum_side(self, layer: str) -> int:
        """The smallest side of an image, in pixels, with which a layer has a unit."""

    @abstractmethod
    def receptive_field(self, layer: str) -> ReceptiveField | None:
        """What a layer's units see; None where that is the whole image."""

    @abstractmethod
    def _run(self, normalised: Tensor, wanted: Sequence[str]) -> Mapping[str, Tensor]:
        """The wanted layers, by canonical name, of an image that is ready for the network."""

    def resolve(self, layers: Iterable[str]) -> list[str]:
        """Canonical names of layers, each once, in the order given.

        Raises:
            ConfigError: one is unknown.
        """
        return list(dict.fromkeys(resolve_layer(layer, self.layers) for layer in layers))

    def check_size(self, size: tuple[int, int], layers: Iterable[str]) -> None:
        """Makes sure that an image is large enough.

        Args:
            size: (height, width) of the image in pixels.
            layers: names or aliases of the layers wanted of it.

        Raises:
            ImageError: a layer would have no units.
            ConfigError: a layer is unknown.
        """
        least, layer = max(
            ((self.minimum_side(name), name) for name in self.resolve(layers)),
            default=(0, ""),
        )
        if min(size) < least:
            raise ImageError(
                f"an image of {size[1]}×{size[0]} pixels is too small for {layer}",
                f"use at least {least} pixels on each side, or layers nearer to the input",
            )

    def segments(self, layers: Iterable[str]) -> list[Segment]:
        """The network in parts that can be run tile by tile: one part, unless its kind knows more.

        Args:
            layers: names or aliases of the layers wanted.

        Returns:
            From the image to the deepest layer.

        Raises:
            ConfigError: a layer is unknown, or its units see the whole image, or beyond one border
                the opposite one.
        """
        wanted = self.resolve(layers)
        self._check_borders()
        fields: dict[str, ReceptiveField] = {}
        for layer in wanted:
            field = None if self.input_size else self.receptive_field(layer)
            if field is None:
                raise ConfigError(
                    f"units of {layer} in {self.name} see the whole image: no tile of it will do",
                    "choose a layer before the network loses sight of places, or a smaller --size",
                )
            fields[layer] = field
        return [
            Segment(
                layers=tuple(wanted),
                output=None,
                fields=fields,
                side=lambda side: side,
                run=self.__call__,
            )
        ]

    def _check_borders(self) -> None:
        """Makes sure that a tile at a border of the picture needs nothing from elsewhere.

        What mirrored and repeated borders show is part of the tile that lies at the border.
        """
        if self.padding == "circular":
            raise ConfigError(
                f"{self.name} sees the opposite border (circular padding): no tile of it will do",
                "use another --padding, or a smaller --size",
            )

    def normalise(self, image: Tensor) -> Tensor:
        """The network's input before any rounding to its precision.

        Args:
            image: (B, 3, H, W), sRGB in [0, 1].

        Returns:
            (B, 3, H, W) in the network's channel order, or (B, 1, H, W) in grey, in float32
            (float64 for a float64 network): see `Preprocessing`.
        """
        scaled = image.to(self._wide) * self.preprocessing.scale
        if self.preprocessing.channel_order == "bgr":
            scaled = scaled.flip(1)
        elif self.preprocessing.channel_order == "grey":
            weights = torch.tensor(LUMA, dtype=scaled.dtype, device=scaled.device)
            scaled = (scaled * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)
        return (scaled - self._mean) / self._std

    def __call__(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """The features of images.

        Args:
            image: (B, 3, H, W), sRGB in [0, 1], on the extractor's device.
            layers: names or aliases.

        Returns:
            By canonical name, in the order given: (B, C, H / stride, W / stride) in `dtype`.
            In memory the channels of a position lie together (``torch.channels_last``), which a
            loss does well to read as they are.

        Raises:
            ConfigError: a layer is unknown.
            ImageError: the image has another shape or is too small for a layer.
            DeviceError: the image is on another device.
        """
        if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
            raise ImageError(
                f"an image is a floating (B, 3, H, W) tensor, got {image.dtype} "
                f"{tuple(image.shape)}"
            )
        if image.device != self.device:
            raise DeviceError(
                f"the image is on {image.device}, the network on {self.device}",
                "move the image, or load the extractor on its device",
            )
        wanted = self.resolve(layers)
        self.check_size((image.shape[2], image.shape[3]), wanted)
        found = self._run(self._ready(image), wanted)
        return {layer: found[layer] for layer in wanted}

    def _ready(self, image: Tensor) -> Tensor:
        """The network's input in its precision and layout.

        On a CPU with AVX-512 this layout makes the forward pass of VGG networks some 15% faster in
        float32 and 20 to 35% in bfloat16 than channels first, forward and backward together no
        slower, and faster where the losses read the layout as it is.
        """
        return self.normalise(image).to(self.dtype, memory_format=torch.channels_last)


def check_options(
    device: torch.device, dtype: torch.dtype, pooling: str, padding: str = "zeros"
) -> None:
    """Makes sure that a network can be run in a way, before it is built.

    Raises:
        ConfigError: the precision, the pooling or the padding is unknown.
        DeviceError: there is no such device.
    """
    if dtype not in _PRECISIONS:
        names = ", ".join(str(known).removeprefix("torch.") for known in _PRECISIONS)
        raise ConfigError(f"a network computes in {names}, got {dtype}", "use bfloat16")
    if pooling not in get_args(Pooling):
        raise ConfigError(f"pooling is max, average, l2 or native, got '{pooling}'")
    if padding not in get_args(Padding):
        raise ConfigError(f"padding is zeros, reflect, replicate or circular, got '{padding}'")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError("no CUDA device is available", "use the device cpu")


def resolve_pooling(spec: BackboneSpec, pooling: Pooling) -> PoolingKind:
    """What a kind of pooling means for a network.

    Raises:
        ConfigError: the network is no VGG, whose windows alone l2 pooling is made for.

    Example:
        >>> from styler.features.registry import get_backbone
        >>> resolve_pooling(get_backbone("vgg-lite"), "native")
        'average'
    """
    if pooling == "l2" and spec.architecture != "vgg":
        raise ConfigError(
            f"{spec.name} cannot pool by l2, which is for VGG networks", "use max or average"
        )
    return spec.native_pooling if pooling == "native" else pooling


def _per_channel(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device).view(1, -1, 1, 1)
