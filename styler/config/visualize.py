"""Every setting of feature visualization, inversion and caricature."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from styler.config.parts import (
    BackboneConfig,
    Count,
    NonNegative,
    OptimizerConfig,
    Positive,
    RuntimeConfig,
    Share,
    Side,
    SmoothnessConfig,
)
from styler.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ParameterConfig:
    """What numbers stand for the picture."""

    kind: Literal["pixels", "fourier", "maco"] = "fourier"
    """pixels; Fourier coefficients; or Fourier phases under the magnitudes of natural pictures"""
    decorrelate: bool = True
    """colours in a basis in which those of natural pictures are uncorrelated"""
    std: Positive = 0.01
    """standard deviation of the numbers at the start"""
    decay: NonNegative = 1.0
    """power of the frequency that Fourier coefficients are divided by"""
    alpha: bool = False
    """a transparent picture: what the unit does not need fades away"""
    spectrum: str | None = None
    """folder of pictures whose magnitudes `maco` takes; None: those of photographs, built in"""


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How the picture is moved, turned, cropped and disturbed before the network sees it.

    Each picture of a batch has its own draw at every step.
    """

    pad: Annotated[int, Meta(ge=0, le=512)] = 16
    """grey pixels added on each side"""
    jitter: tuple[Annotated[int, Meta(ge=0)], ...] = (16, 8)
    """pixels of play: before scaling and turning, and after"""
    scales: tuple[Positive, ...] = (0.8, 0.9, 1.0, 1.1, 1.2)
    """one of these factors"""
    degrees: Annotated[int, Meta(ge=0, le=180)] = 15
    """turned by a whole number of degrees up to this, either way"""
    crops: Annotated[int, Meta(ge=0)] = 0
    """crops seen at a time, in place of all the above; 0: none"""
    box: tuple[Share, Share] = (0.5, 0.05)
    """side of a crop as a share of the picture's: first, and last, linear in the steps"""
    crop_side: Side = 224
    """pixels to which a crop is scaled"""
    noise: NonNegative = 0.05
    """standard deviation of white noise"""


@dataclass(frozen=True, kw_only=True)
class UnitScheduleConfig:
    """Size, steps, and when a unit is done."""

    size: Side | None = None
    """side in pixels of the square picture, or the long side; None: 160, or more where the network
    needs it"""
    steps: Count = 256
    """steps a unit takes, at most"""
    least: Count = 1
    """steps a unit takes at least, with `flat`"""
    flat: NonNegative = 0.0
    """a unit is done when a tenth of its steps raised it by less than this share; 0: never"""
    batch: Annotated[int, Meta(ge=0)] = 0
    """units worked on together; 0: as many as seems good for the device"""


@dataclass(frozen=True, kw_only=True)
class VisualizeConfig:
    """All settings of `styler visualize`, `styler invert` and `styler caricature`.

    Example:
        >>> VisualizeConfig().parameter.kind
        'fourier'
    """

    backbone: BackboneConfig = field(default_factory=lambda: BackboneConfig(pooling="native"))
    parameter: ParameterConfig = field(default_factory=ParameterConfig)
    view: ViewConfig = field(default_factory=ViewConfig)
    pictures: Count = 1
    """pictures of each unit, which are to differ"""
    cosine: NonNegative = 2.0
    """power of the cosine that a direction's dot product is multiplied by"""
    diversity: NonNegative = 100.0
    """weight of the likeness of several pictures of one unit"""
    redirect: Annotated[int, Meta(ge=0)] = 16
    """steps in which a ReLU passes on the gradient of a picture that would else have none"""
    range_weight: NonNegative = 0.0
    """weight of the mean sixth power of the centred pixels"""
    smoothness: SmoothnessConfig = field(default_factory=lambda: SmoothnessConfig(weight=0.0))
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(lr=0.05, beta2=0.999, eps=1e-8)
    )
    schedule: UnitScheduleConfig = field(default_factory=UnitScheduleConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        """Check what concerns more than one value.

        Raises:
            ConfigError: naming the values that do not go together.
        """
        if self.optimizer.name == "lbfgs":
            raise ConfigError(
                "L-BFGS mixes the pictures of a batch, which are each to be on their own",
                "optimizer.name = adam, nadam or descent",
            )
        if self.parameter.alpha and self.parameter.kind == "maco":
            raise ConfigError(
                "maco has no transparency to optimise", "parameter.kind = fourier or pixels"
            )
        if not self.view.scales:
            raise ConfigError("view.scales is empty", "write [1.0] for no scaling")
