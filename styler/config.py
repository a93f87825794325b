"""Every setting of a style transfer, with its default, range and meaning.

Defaults live here and nowhere else. `resolve` lays presets, ``--set`` pairs and flags over them in
that order and remembers where each value came from.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from styler.errors import ConfigError

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
    pooling: Literal["max", "average"] = "average"
    """average gives less noise than the max pooling the network was trained with"""


@dataclass(frozen=True, kw_only=True)
class ContentConfig:
    """What of the content is kept."""

    weight: NonNegative = 0.8
    """alpha of J(G) at strength 0.5"""
    normalization: Literal["mse", "gatys", "variance"] = "variance"
    """see `styler.losses.ContentLoss`"""
    layers: LayerWeights = field(default_factory=lambda: {"relu4_2": 1.0})
    """weight of each layer"""


@dataclass(frozen=True, kw_only=True)
class StyleConfig:
    """What of the style is taken."""

    weight: NonNegative = 1.0
    """beta of J(G) at strength 0.5"""
    loss: Literal["gram", "moments", "wasserstein"] = "moments"
    """which statistic of the features is the style"""
    normalization: Literal["none", "hw", "chw", "gatys", "relative"] = "relative"
    """of the Gram matrix, see `styler.losses.GramStyleLoss`; the other losses have their own"""
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


@dataclass(frozen=True, kw_only=True)
class SmoothnessConfig:
    """Total variation of the result."""

    weight: NonNegative = 4.0
    """0 switches it off"""
    norm: Literal["l1", "l2", "half-l2"] = "l2"
    """absolute or squared differences of neighbours, see `styler.losses.total_variation`"""
    reduction: Literal["sum", "mean"] = "mean"
    """the mean divides by the number of values"""


@dataclass(frozen=True, kw_only=True)
class InitConfig:
    """What the optimisation starts from."""

    kind: Literal["content", "noise", "uniform", "style", "image"] = "content"
    """`noise`: Gaussian around the network's mean colour; `uniform`: white noise in [0, 1];
    `style`: noise with the style's colour mean and covariance; `image`: the file `image`"""
    image: str | None = None
    """path of the picture to start from, for kind `image`"""
    noise_std: NonNegative = 0.1
    """standard deviation of `noise`, in units of the [0, 1] range"""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the pixels descend."""

    name: Literal["adam", "lbfgs"] = "adam"
    """Adam with projection to [0, 1] after each step, or L-BFGS"""
    lr: Positive | None = None
    """step size, in units of `pixel_range`; None: 0.02 for Adam, 1 for L-BFGS"""
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


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """Where and how exactly it is computed."""

    device: str = "auto"
    """auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1, mps"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """of the convolutions; losses are always float32"""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    """of the noise in the initial picture"""


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


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A configuration and where each of its values came from."""

    config: TransferConfig
    origins: dict[str, str]
    """dotted key → `default`, `preset NAME`, `--set`, or the flag"""


LAYER_TABLES = frozenset({"content.layers", "style.layers"})


def flatten(config: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``(dotted key, value)`` of every leaf of a configuration dataclass.

    Example:
        >>> dict(flatten(TransferConfig()))["style.scale"]
        1.0
    """
    for item in fields(cast(Any, config)):
        value = getattr(config, item.name)
        if is_dataclass(value):
            yield from flatten(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", value


KEYS = tuple(key for key, _ in flatten(TransferConfig()))


def parse_set(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs; values are TOML, anything else is a string.

    Raises:
        ConfigError: for a pair without ``=`` or without a key.

    Example:
        >>> parse_set(["optimizer.lr=0.05", "style.loss=gram"])
        {'optimizer.lr': 0.05, 'style.loss': 'gram'}
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--set {pair!r} is not key=value", "for example --set style.scale=2")
        try:
            values[key.strip()] = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text.strip()
    return values


def _spread(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted leaves of nested tables; layer tables are leaves."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and key not in LAYER_TABLES:
            yield from _spread(value, f"{key}.")
        else:
            yield key, value


def _check_key(key: str, origin: str) -> None:
    if key in KEYS:
        return
    tail = key.rpartition(".")[2]
    same_tail = [k for k in KEYS if k.rpartition(".")[2] == tail]
    close = same_tail or difflib.get_close_matches(key, KEYS, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else "see: styler presets show default"
    raise ConfigError(f"unknown setting {key!r} ({origin})", hint)


def _layer_key(key: str) -> tuple[str, str] | None:
    """Split ``style.layers.relu1_1`` into table and layer."""
    table, _, layer = key.rpartition(".")
    return (table, layer) if table in LAYER_TABLES and layer else None


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(_finite(v) for v in value.values())
    return not isinstance(value, (list, tuple)) or all(_finite(v) for v in value)


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *tables, name = key.split(".")
        target = nested
        for table in tables:
            target = target.setdefault(table, {})
        target[name] = value
    return nested


def _build(flat: Mapping[str, Any], origins: Mapping[str, str]) -> TransferConfig:
    try:
        return msgspec.convert(_nest(flat), TransferConfig)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        path = path.rstrip("`")
        key = next((k for k in KEYS if path == k or path.startswith((f"{k}[", f"{k}."))), path)
        where = origins.get(key, "")
        got = f" = {flat[key]!r}" if key in flat else ""
        hint = reason[:1].lower() + reason[1:]
        if isinstance(flat.get(key), str):
            allowed = choices(key)
            hint = f"choose {', '.join(allowed)}" if allowed else hint
        raise ConfigError(f"bad value for {key}{got} ({where})", hint) from None


def choices(key: str) -> tuple[str, ...]:
    """The values that a setting may have, when it is one of a few names.

    Args:
        key: dotted.

    Returns:
        The names; empty for settings of any other kind.

    Example:
        >>> choices("optimizer.name"), choices("optimizer.lr")
        (('adam', 'lbfgs'), ())
    """
    kind: Any = TransferConfig
    for name in key.split("."):
        kind = get_type_hints(kind).get(name)
    return get_args(kind) if get_origin(kind) is Literal else ()


START_KINDS = tuple(kind for kind in choices("init.kind") if kind != "image")
"""Kinds of initial picture that need no file."""


def resolve(*layers: tuple[str, Mapping[str, Any]]) -> Resolved:
    """Lay settings over the defaults, later ones over earlier ones.

    Args:
        layers: pairs of an origin's name (``preset gatys2015``, ``--set``, ``--steps``) and its
            values, nested or under dotted keys. A layer table (``style.layers``) replaces the one
            below it; ``style.layers.relu1_1`` changes one entry.

    Returns:
        The configuration, and the origin of each value.

    Raises:
        ConfigError: an unknown key (the closest are offered), a wrong type, a value out of range
            or not finite.

    Example:
        >>> got = resolve(("--set", {"optimizer.lr": 0.1}))
        >>> got.config.optimizer.lr, got.origins["optimizer.lr"], got.origins["strength"]
        (0.1, '--set', 'default')
    """
    flat = dict(flatten(TransferConfig()))
    origins = dict.fromkeys(flat, "default")
    for origin, values in layers:
        for key, value in _spread(values):
            if not _finite(value):
                raise ConfigError(
                    f"{key} = {value} is not a finite number ({origin})", "give a plain number"
                )
            entry = _layer_key(key)
            if entry is not None:
                flat[entry[0]] = {**flat[entry[0]], entry[1]: value}
                origins[entry[0]] = origin
                continue
            _check_key(key, origin)
            flat[key] = [value] if key == "schedule.steps" and isinstance(value, int) else value
            origins[key] = origin
    return Resolved(config=_build(flat, origins), origins=origins)
