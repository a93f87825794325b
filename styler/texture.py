"""Texture synthesis: a style without a content, from noise.

Gatys, Ecker, Bethge, arXiv 1505.07376: a texture is what the statistics of features say of it. The
engine and the losses are those of a transfer whose content has no weight. With circular padding a
result has no borders: its left and right, top and bottom go on in each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from styler.config import TransferConfig
from styler.engine import Callback
from styler.errors import ConfigError
from styler.features import Extractor
from styler.network import extractor_for
from styler.styles.source import Style
from styler.transfer import Problem, TransferResult

SIDE = 512
"""Pixels of a texture's side, where none is asked for."""


def texture(
    style: Style,
    size: tuple[int, int] = (SIDE, SIDE),
    config: TransferConfig | None = None,
    *,
    extractor: Extractor | None = None,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> TransferResult:
    """A picture of any size that looks like a style and shows nothing.

    Args:
        style: (1, 3, H', W') float32 sRGB in [0, 1], a source of statistics, or several with
            weights: see `styler.transfer.transfer`.
        size: (height, width) of the texture.
        config: every setting; None takes the defaults. ``backbone.padding = "circular"`` makes
            it seamless.
        extractor: one already loaded with `styler.network.extractor_for`; None loads it.
        callbacks: called with a `styler.engine.StepEvent` after steps.
        should_stop: asked after each step with the steps done; True ends the run early.

    Raises:
        StylerError: as `styler.transfer.transfer` does.

    Example:
        >>> from styler.config import BackboneConfig, ScheduleConfig
        >>> noise = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
        >>> seamless = BackboneConfig(name="vgg-lite", padding="circular")
        >>> config = TransferConfig(backbone=seamless, schedule=ScheduleConfig(steps=(1,)))
        >>> texture(noise, (64, 48), config).image.shape
        torch.Size([1, 3, 64, 48])
    """
    config = without_content(config or TransferConfig(), size)
    problem = Problem(blank(size), style, config, extractor or extractor_for(config))
    return problem.solve(callbacks=callbacks, should_stop=should_stop)


def without_content(config: TransferConfig, size: tuple[int, int]) -> TransferConfig:
    """The settings of a transfer as a texture needs them.

    Args:
        config: settings; a content's weight is taken away, and a start from it becomes one from
            noise in the colours of the style.
        size: (height, width) of the texture, which is optimised at its full size.

    Raises:
        ConfigError: the style has no weight, or colours are asked of a content.
    """
    if not config.style.weight * config.strength:
        raise ConfigError("a texture is made of its style, whose weight is 0", "style.weight = 1")
    if config.color.mode not in ("style", "match"):
        raise ConfigError(
            f"color.mode is {config.color.mode}, and a texture has no content",
            "use style, or match:IMAGE",
        )
    start = "style" if config.init.kind == "content" else config.init.kind
    return replace(
        config,
        content=replace(config.content, weight=0.0),
        init=replace(config.init, kind=start),
        schedule=replace(config.schedule, size=max(size), edge="long"),
    )


def blank(size: tuple[int, int]) -> Tensor:
    """What stands for the content: (1, 3, height, width), grey."""
    return torch.full((1, 3, *size), 0.5)
