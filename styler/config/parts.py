"""Settings that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

NonNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
BelowOne = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
Steps = Annotated[int, Meta(ge=0)]
Side = Annotated[int, Meta(ge=16)]
LayerWeights = dict[str, NonNegative]


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Which network measures content and style."""

    name: str = "auto"
    """a backbone's name, or `auto`: the best whose weights are at hand"""
    weights: str | None = None
    """path of a weights file for that backbone; None: found by name"""
    pooling: Literal["max", "average", "l2", "native"] = "average"
    """average gives less noise than the max pooling most networks were trained with; `native` is
    what the network was trained with"""
    rescale_pooling: bool = False
    """multiply what average or l2 pooling gives, to make it about as large as max pooling's"""
    padding: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    """what convolutions see beyond the border; networks are trained with zeros"""


@dataclass(frozen=True, kw_only=True)
class SmoothnessConfig:
    """Total variation of the result."""

    weight: NonNegative = 4.0
    """0 switches it off"""
    norm: Literal["l1", "l2", "half-l2", "lp"] = "l2"
    """absolute or squared differences of neighbours, or their power `power`: see
    `styler.losses.total_variation`"""
    power: Annotated[float, Meta(ge=1, le=8)] = 1.5
    """exponent of the norm `lp`"""
    reduction: Literal["sum", "mean"] = "mean"
    """the mean divides by the number of values"""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the pixels descend."""

    name: Literal["adam", "nadam", "descent", "lbfgs"] = "adam"
    """Adam or Adam with Nesterov momentum, with projection to [0, 1] after each step; plain steps
    along the gradient, likewise; or L-BFGS"""
    lr: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    """step size, in units of `pixel_range`; None: 0.02 for Adam and its like, 1 for L-BFGS"""
    beta1: BelowOne = 0.9
    """decay of Adam's first moment"""
    beta2: BelowOne = 0.99
    """decay of Adam's second moment"""
    eps: Positive = 1e-12
    """Adam's guard against division by zero; far below the gradients of normalised losses, which
    shrink with the number of pixels, so that the result does not depend on the size"""
    history: Count = 10
    """curvature pairs that L-BFGS keeps"""
    line_search: bool = False
    """strong-Wolfe line search in L-BFGS: several evaluations a step"""
    pixel_range: Positive = 1.0
    """the optimised array holds pixels times this: 255 for recipes of the Caffe era"""
    clamp: Literal["auto", "step", "end"] = "auto"
    """project pixels to [0, 1] after each `step`, or only in the result (`end`); auto: after each
    step of Adam, at the end of L-BFGS, whose curvature estimate a projection would spoil"""
    average: BelowOne = 0.0
    """decay of the exponential moving average of the iterates that is returned; 0: the last one"""


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """Where and how exactly it is computed."""

    device: str = "auto"
    """auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1, mps"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """of the convolutions; losses are always float32"""
    max_memory: Annotated[int, Meta(ge=2**20)] | None = None
    """bytes that a picture may take, beyond the program and the network; None: what is free"""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    """of all that is left to chance"""
