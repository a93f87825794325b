"""Every setting of a style transfer, with its default, range and meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from msgspec import Meta

from styler.config.parts import (
    BackboneConfig,
    Count,
    LayerWeights,
    NonNegative,
    OptimizerConfig,
    RuntimeConfig,
    Share,
    Side,
    SmoothnessConfig,
    Steps,
)
from styler.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ContentConfig:
    """What of the content is kept."""

    weight: NonNegative = 0.8
    """alpha of J(G) at strength 0.5"""
    loss: Literal["mse", "self-similarity", "laplacian"] = "mse"
    """features in place; or their likeness to each other, or edges of the blurred picture"""
    normalization: Literal["mse", "gatys", "variance", "relative"] = "variance"
    """of `mse`, see `styler.losses.ContentLoss`; the other losses have their own"""
    layers: LayerWeights = field(default_factory=lambda: {"relu4_2": 1.0})
    """weight of each layer"""


StyleLossName = Literal[
    "gram", "moments", "w2", "swd", "histogram", "mmd", "mmd-gaussian", "nn", "remd"
]
"""Style losses by name."""


@dataclass(frozen=True, kw_only=True)
class StyleConfig:
    """What of the style is taken."""

    weight: NonNegative = 1.0
    """beta of J(G) at strength 0.5"""
    loss: StyleLossName = "moments"
    """what of the features is the style, and how it is compared: see the guide"""
    also: dict[StyleLossName, NonNegative] = field(default_factory=dict)
    """further losses on the same layers, with their weights relative to that of `loss`"""
    normalization: Literal["none", "hw", "chw", "gatys", "relative"] = "relative"
    """of the Gram matrix, see `styler.losses.GramStyleLoss`; `w2`, `swd`, `histogram` and `mmd`
    know `none` and take all others for `relative`; the rest have their own"""
    layers: LayerWeights = field(
        default_factory=lambda: {
            "relu1_1": 1.0,
            "relu2_1": 1.0,
            "relu3_1": 1.0,
            "relu4_1": 1.0,
            "relu5_1": 1.0,
        }
    )
    """weight of each layer"""
    scale: Annotated[float, Meta(ge=0.05, le=20)] = 1.0
    """size of the style picture as a fraction of the result's: larger gives larger strokes"""
    enlarge: bool = False
    """enlarge a style picture that is smaller than that, instead of taking it as it is"""
    invariance: tuple[Literal["flip", "turn"], ...] = ()
    """show the style mirrored, too, or turned by all quarters"""


@dataclass(frozen=True, kw_only=True)
class ColorConfig:
    """Whose colours the result has."""

    mode: Literal["style", "content", "luminance", "histogram", "pca", "match"] = "style"
    """`content` and `luminance` give the result the content's colours after and around the
    transfer, `histogram` and `pca` give them to the style before it, `match` gives the result
    those of `image`, or of the style"""
    image: str | None = None
    """path of the picture whose colours are taken, for mode `match`; None: the style's own"""


@dataclass(frozen=True, kw_only=True)
class RegionConfig:
    """Which style goes where."""

    content_masks: tuple[str, ...] = ()
    """paths of masks of the content, one for each region in the order of the styles; or one map
    in which each colour is a region"""
    style_masks: tuple[str, ...] = ()
    """paths of masks of the styles, likewise; maps are matched to the content's by colour"""
    protect: str | None = None
    """path of a mask of what stays as it is in the content"""
    margin: Literal["simple", "inside", "all"] = "simple"
    """which units belong to a region: by the part of their own cell, only those that see nothing
    else, or all that see any of it"""


StartKind = Literal["content", "noise", "uniform", "style", "image"]
START_KINDS = tuple(kind for kind in get_args(StartKind) if kind != "image")
"""Kinds of initial picture that need no file."""


@dataclass(frozen=True, kw_only=True)
class InitConfig:
    """What the optimisation starts from."""

    kind: StartKind = "content"
    """`noise`: Gaussian around the network's mean colour; `uniform`: white noise in [0, 1];
    `style`: noise with the style's colour mean and covariance; `image`: the file `image`"""
    image: str | None = None
    """path of the picture to start from, for kind `image`"""
    noise_std: NonNegative = 0.1
    """standard deviation of `noise`, in units of the [0, 1] range"""


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Sizes and steps, coarse to fine."""

    size: Side | None = None
    """the result's side in pixels; None keeps the content's own size"""
    edge: Literal["long", "short"] = "long"
    """which side `size`, `min_side` and `max_side` speak of"""
    max_side: Side = 1024
    """without `size`, larger contents are optimised at this side and the result is enlarged"""
    min_side: Side = 112
    """the coarsest scale is not smaller than this"""
    factor: Annotated[float, Meta(gt=1, le=16)] = 2.0
    """ratio of neighbouring scales"""
    scales: Count | None = None
    """at most so many scales; None: as many as fit above `min_side`"""
    steps: tuple[Steps, ...] = (150, 120, 80, 60, 40)
    """steps per scale, coarse to fine; the last number serves all further scales"""
    flat: Annotated[float, Meta(ge=0, lt=1)] = 0.005
    """a scale after the first ends once ten steps have lowered the loss by less than this share;
    0 takes all steps"""


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """All settings of `styler transfer`.

    Example:
        >>> TransferConfig(strength=0.8).style.loss
        'moments'
    """

    strength: Share = 0.5
    """0 keeps the content, 1 takes only the style, 0.5 is the preset's own balance"""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    content: ContentConfig = field(default_factory=ContentConfig)
    style: StyleConfig = field(default_factory=StyleConfig)
    color: ColorConfig = field(default_factory=ColorConfig)
    regions: RegionConfig = field(default_factory=RegionConfig)
    smoothness: SmoothnessConfig = field(default_factory=SmoothnessConfig)
    init: InitConfig = field(default_factory=InitConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        """Check what concerns more than one value.

        Raises:
            ConfigError: naming the values that do not go together.
        """
        if self.init.kind == "image" and not self.init.image:
            raise ConfigError("init.kind is image but init.image names no file", "--init FILE")
        if not self.schedule.steps:
            raise ConfigError("schedule.steps is empty", "give one number per scale")
        if self.style.weight > 0 and not any(self.style.layers.values()):
            raise ConfigError(
                "style.layers has no layer with a weight above 0",
                "style.weight = 0 switches the style off",
            )
        if self.content.weight > 0 and not any(self.content.layers.values()):
            raise ConfigError(
                "content.layers has no layer with a weight above 0",
                "content.weight = 0 switches the content off",
            )
