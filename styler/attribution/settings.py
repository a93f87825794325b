"""Every setting of an attribution, with its default, range and source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from styler.config import BackboneConfig, RuntimeConfig, flatten, resolve
from styler.errors import ConfigError

Baseline = Literal["auto", "black", "grey", "white", "mean", "blur"]
"""What stands for the absence of a picture."""

_Count = Annotated[int, Meta(ge=1, le=100_000)]
_Side = Annotated[int, Meta(ge=1, le=100_000)]


@dataclass(frozen=True, kw_only=True)
class AttributeConfig:
    """All settings of `styler attribute`.

    Raises:
        ConfigError: windows that leave gaps between them.

    Example:
        >>> AttributeConfig().samples
        50

    References:
        Smilkov et al. 2017, "SmoothGrad", arXiv 1706.03825, section 3 (noise of 10 to 20 % of the
        range, little gained beyond 50 samples); Sundararajan, Taly & Yan 2017, "Axiomatic
        Attribution for Deep Networks", arXiv 1703.01365, section 5 (20 to 300 steps; a black image
        as the baseline); Zeiler & Fergus 2013, arXiv 1311.2901, section 4.2 (a grey square, whose
        size they do not give).
    """

    side: _Side | None = None
    """shorter side in pixels at which the network sees the picture; None: its native side"""
    layer: str | None = None
    """of Grad-CAM and Grad-CAM++; None: the last that still has places"""
    samples: _Count = 50
    """noisy copies that SmoothGrad averages over"""
    noise: Annotated[float, Meta(ge=0, le=10)] = 0.15
    """standard deviation of their noise, as a share of the picture's range of values"""
    steps: _Count = 50
    """points on the way from the baseline to the picture that integrated gradients look at"""
    window: _Side = 32
    """side in pixels of the square that occludes, of the picture as the network sees it"""
    stride: _Side = 16
    """pixels from one such square to the next"""
    baseline: Baseline = "auto"
    """what integrated gradients start from and what the square shows: `black`, `grey`, `white`,
    the network's `mean` colour, or the picture's own `blur`; auto: black and grey, respectively"""
    batch: _Count = 8
    """pictures that pass through the network at a time"""
    backbone: BackboneConfig = field(default_factory=lambda: BackboneConfig(pooling="native"))
    runtime: RuntimeConfig = field(default_factory=lambda: RuntimeConfig(precision="fp32"))

    def __post_init__(self) -> None:
        if self.stride > self.window:
            raise ConfigError(
                f"squares of {self.window} pixels, {self.stride} apart, leave gaps",
                "stride is at most window",
            )


def check_config(config: AttributeConfig) -> None:
    """Make sure that every setting is in its range, however the configuration was made.

    Raises:
        ConfigError: naming the first that is not.

    Example:
        >>> check_config(AttributeConfig(samples=0))
        Traceback (most recent call last):
        styler.errors.ConfigError: bad value for samples = 0 (config)
    """
    resolve(("config", dict(flatten(config))), root=AttributeConfig)
