"""Every setting of DeepDream, with its default, range and meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from styler.config.parts import (
    BackboneConfig,
    Count,
    LayerWeights,
    NonNegative,
    OptimizerConfig,
    RuntimeConfig,
    Side,
    Steps,
)
from styler.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class AscentConfig:
    """How the gradient is got and treated before a step follows it."""

    jitter: Annotated[int, Meta(ge=0)] = 32
    """the picture is rolled by up to this many pixels each way before the network sees it"""
    tile: Annotated[int, Meta(ge=0)] = 512
    """larger pictures are cut into tiles of at most this side, a pass each; 0: never"""
    normalization: Literal["none", "mean-abs", "std", "standardise"] = "mean-abs"
    """the gradient is divided by its mean magnitude or by its standard deviation; `standardise`
    takes its mean off first"""
    blur: NonNegative = 0.8
    """standard deviation, in pixels, of the Gaussians the gradient is smoothed with; 0 with
    `blur_growth` 0: it is not"""
    blur_growth: NonNegative = 0.0
    """added to `blur` little by little, all of it in the last step of an octave"""


@dataclass(frozen=True, kw_only=True)
class OctaveConfig:
    """Sizes and steps, coarse to fine."""

    size: Side | None = None
    """the result's side in pixels; None keeps the picture's own size"""
    edge: Literal["long", "short", "width"] = "long"
    """which side `size`, `max_side` and `min_side` speak of"""
    max_side: Side = 1024
    """without `size`, larger pictures are dreamt at this side and the dream is enlarged"""
    min_side: Side = 96
    """the coarsest octave is not smaller than this"""
    factor: Annotated[float, Meta(gt=1, le=16)] = 1.4
    """ratio of neighbouring octaves"""
    octaves: Count | None = 4
    """at most so many; None: as many as fit above `min_side`"""
    larger: Annotated[int, Meta(ge=0, le=8)] = 0
    """how many of them are larger than the picture, which is reduced in the end"""
    steps: tuple[Steps, ...] = (12,)
    """steps per octave, coarse to fine; the last number serves all further ones"""


@dataclass(frozen=True, kw_only=True)
class ZoomConfig:
    """A film that sinks into the dream."""

    rate: Annotated[float, Meta(ge=0, lt=0.5)] = 0.03
    """share of its sides by which a frame is cropped before the next dream"""
    degrees: Annotated[float, Meta(ge=-45, le=45)] = 0.0
    """turned by so much per frame, anticlockwise"""
    octaves: Count = 2
    """octaves of a frame: the finest ones"""
    steps: Count = 2
    """steps per octave of a frame"""
    contrast: Annotated[float, Meta(ge=1)] = 1.3
    """a frame's contrast of light and of colour are kept below this times the first frame's, since
    every dream adds to both"""
    fps: Annotated[float, Meta(gt=0, le=120)] = 24.0
    """frames per second"""


@dataclass(frozen=True, kw_only=True)
class DreamConfig:
    """All settings of `styler dream`.

    Example:
        >>> DreamConfig().schedule.factor
        1.4
    """

    layers: LayerWeights = field(default_factory=dict)
    """weight of each layer that is excited; empty: one that suits the network"""
    reward: Literal["square", "mean"] = "square"
    """the mean of the squares of a layer's values, or of the values"""
    carry: Literal["detail", "picture"] = "detail"
    """what goes to the next octave: what was dreamt, over the picture itself at that size; or the
    dreamt picture, enlarged"""
    guide_side: Side = 224
    """long side of the guide picture as the network sees it, in pixels"""
    backbone: BackboneConfig = field(default_factory=lambda: BackboneConfig(pooling="native"))
    ascent: AscentConfig = field(default_factory=AscentConfig)
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(name="descent", lr=0.004)
    )
    schedule: OctaveConfig = field(default_factory=OctaveConfig)
    zoom: ZoomConfig = field(default_factory=ZoomConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        """Check what concerns more than one value.

        Raises:
            ConfigError: naming the values that do not go together.
        """
        if self.optimizer.name == "lbfgs":
            raise ConfigError(
                "L-BFGS needs a gradient that does not change by chance",
                "optimizer.name = descent, adam or nadam",
            )
        if not self.schedule.steps:
            raise ConfigError("schedule.steps is empty", "give one number per octave")
        if self.layers and not any(self.layers.values()):
            raise ConfigError("layers has no layer with a weight above 0", "--layers relu4_1=1")
        octaves = self.schedule.octaves
        if octaves is not None and self.schedule.larger >= octaves:
            raise ConfigError(
                "schedule.larger leaves no octave of the picture's own size",
                "make it less than schedule.octaves",
            )
