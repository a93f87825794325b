"""Neural style transfer: J(G) = α·J_content + β·J_style, by descent on the pixels of G.

Gatys, Ecker, Bethge, arXiv 1508.06576, eq. 7, with the losses, optimisers and schedules that came
after; which of them is a matter of `TransferConfig`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from styler.config import ContentConfig, InitConfig, StyleConfig, TransferConfig
from styler.engine import Callback, DirectGradient, RunResult, run_levels
from styler.errors import ImageError, UsageError
from styler.features import Extractor, resolve_layer
from styler.images import resize
from styler.losses import (
    ContentLoss,
    FeatureLoss,
    GramStyleLoss,
    LayerwiseLoss,
    MomentStyleLoss,
    TotalVariationLoss,
    WassersteinStyleLoss,
)
from styler.memory import check_memory
from styler.network import extractor_for
from styler.objective import FeatureTerm, ImageTerm, Objective, Term
from styler.params import PixelImage
from styler.runtime import memory_errors_explained
from styler.schedule import Level, fit_edge, output_size, plan_levels

FULL_SMOOTHNESS = 0.1
"""Strength from which total variation has its full weight; at strength 0 it has none, so that the
content comes back untouched. A little style needs as much of it as a lot: it fizzes as much."""


@dataclass(frozen=True, kw_only=True)
class TransferResult:
    """A finished or interrupted transfer.

    Args:
        image: (1, 3, H, W) float32 sRGB in [0, 1], on the CPU, at the output size.
        run: how it was reached.
        levels: the scales that were planned.
    """

    image: Tensor
    run: RunResult
    levels: list[Level]


def transfer(
    content: Tensor,
    style: Tensor,
    config: TransferConfig | None = None,
    *,
    start: Tensor | None = None,
    extractor: Extractor | None = None,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> TransferResult:
    """Paint the content in the style.

    Args:
        content: (1, 3, H, W) float32 sRGB in [0, 1].
        style: (1, 3, H', W') likewise, of any size.
        config: every setting; None takes the defaults.
        start: (1, 3, any, any), the initial picture for ``init.kind = "image"``.
        extractor: one already loaded with `styler.network.extractor_for`; None loads it.
        callbacks: called with a `styler.engine.StepEvent` after steps.
        should_stop: asked after each step with the steps done; True ends the run early.

    Returns:
        The picture at the content's own size, unless ``schedule.size`` says otherwise.

    Raises:
        UsageError: a tensor of another shape, or no `start` although the configuration needs it.
        ImageError: a picture is too small for the deepest layer.
        ConfigError: an unknown layer.
        BackboneError, DeviceError, DivergedError: as their names say.

    Example:
        >>> from styler.config import ScheduleConfig, TransferConfig
        >>> noise = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0))
        >>> config = TransferConfig(schedule=ScheduleConfig(steps=(1,)))
        >>> transfer(noise, noise.flip(3), config).image.shape
        torch.Size([1, 3, 64, 48])
    """
    config = config or TransferConfig()
    problem = Problem(content, style, config, extractor or extractor_for(config), start=start)
    return problem.solve(callbacks=callbacks, should_stop=should_stop)


class Problem:
    """One content, one style, one network: the scales, and what is minimised at each.

    Args:
        content: (1, 3, H, W) sRGB in [0, 1].
        style: (1, 3, H', W') likewise.
        config: every setting.
        extractor: the network.
        start: the initial picture for ``init.kind = "image"``.

    Raises:
        UsageError: a tensor of another shape, or no `start` although the configuration needs it.
        ConfigError: an unknown layer.
        ImageError: a picture is too small for the deepest layer.
        DeviceError: there is not enough memory.
    """

    def __init__(
        self,
        content: Tensor,
        style: Tensor,
        config: TransferConfig,
        extractor: Extractor,
        *,
        start: Tensor | None = None,
    ) -> None:
        for name, picture in (("content", content), ("style", style), ("start", start)):
            if picture is not None:
                _check_picture(name, picture)
        if config.init.kind == "image" and start is None:
            raise UsageError("init.kind is image but no start picture is given", "pass start=")
        self.content = content
        self.style = style
        self.start = start
        self.config = config
        self.extractor = extractor
        # Strength 0.5 leaves the weights as they are; 0 and 1 leave only content or only style.
        self.style_weight = 2 * config.strength * config.style.weight
        self.content_weight = 2 * (1 - config.strength) * config.content.weight
        fade = min(1.0, config.strength / FULL_SMOOTHNESS)
        self.smoothness_weight = fade * config.smoothness.weight
        named = partial(resolve_layer, available=extractor.layers)
        self.content_layers = {named(k): v for k, v in config.content.layers.items() if v}
        self.style_layers = {named(k): v for k, v in config.style.layers.items() if v}

        self.levels = self._fitting(plan_levels(_size(content), config.schedule))
        layers = frozenset(self.content_layers) | frozenset(self.style_layers)
        check_memory(extractor, layers, self.levels[-1].size)

    def _fitting(self, levels: list[Level]) -> list[Level]:
        """The scales without those at which a long thin picture is too small for the network."""
        *coarse, finest = levels
        self._check_size(finest)
        kept = []
        for level in coarse:
            try:
                self._check_size(level)
            except ImageError:
                continue
            kept.append(level)
        return [*kept, finest]

    def _check_size(self, level: Level) -> None:
        layers = {**self.content_layers, **self.style_layers}
        for name, size, read in (
            ("content", level.size, layers),
            ("style", self.style_size(level), self.style_layers),
        ):
            try:
                self.extractor.check_size(size, read)
            except ImageError as error:
                raise ImageError(f"the {name}: {error.message}", error.hint) from None

    def solve(
        self,
        *,
        callbacks: Sequence[Callback] = (),
        should_stop: Callable[[int], bool] | None = None,
    ) -> TransferResult:
        """Go through all scales; see `transfer`."""
        config, device = self.config, self.extractor.device
        with memory_errors_explained(device):
            run = run_levels(
                PixelImage(self.initial(), config.optimizer.pixel_range),
                self.levels,
                lambda level: DirectGradient(self.extractor, self.objective(level)),
                config.optimizer,
                callbacks=callbacks,
                should_stop=should_stop,
            )
        size = output_size(_size(self.content), config.schedule)
        return TransferResult(image=resize(run.image.cpu(), size), run=run, levels=self.levels)

    def style_size(self, level: Level) -> tuple[int, int]:
        """The size at which the style is seen at a scale: a fraction of the picture's."""
        config, own = self.config, _size(self.style)
        of = max if config.schedule.edge == "long" else min
        side = max(1, round(of(level.size) * config.style.scale))
        if side >= of(own) and not config.style.enlarge:
            return own
        return fit_edge(own, side, config.schedule.edge)

    def objective(self, level: Level) -> Objective:
        """The terms at a scale, with targets from the pictures at that scale's size."""
        terms: list[Term] = []
        if self.content_weight:
            loss = content_loss(self.config.content)
            image = self._on_device(self.content, level.size)
            terms.append(
                self._term("content", self.content_weight, loss, self.content_layers, image)
            )
        if self.style_weight:
            loss = style_loss(self.config.style)
            image = self._on_device(self.style, self.style_size(level))
            terms.append(self._term("style", self.style_weight, loss, self.style_layers, image))
        if self.smoothness_weight:
            smooth = self.config.smoothness
            variation = TotalVariationLoss(smooth.norm, smooth.reduction)
            terms.append(
                ImageTerm(name="smoothness", weight=self.smoothness_weight, loss=variation)
            )
        return Objective(terms)

    def _term(
        self,
        name: str,
        weight: float,
        loss: FeatureLoss[Any],
        layers: dict[str, float],
        image: Tensor,
    ) -> FeatureTerm:
        layerwise = LayerwiseLoss(loss, layers)
        with torch.no_grad():
            targets = layerwise.prepare(layerwise.represent(self.extractor(image, layers)))
        return FeatureTerm(name=name, weight=weight, loss=layerwise, targets=targets)

    def initial(self) -> Tensor:
        """The picture at the coarsest scale."""
        size, kind = self.levels[0].size, self.config.init.kind
        picture = {"content": self.content, "image": self.start}.get(kind)
        if picture is not None:
            return self._on_device(picture, size)
        generator = torch.Generator().manual_seed(self.config.runtime.seed)
        colour = self.extractor.preprocessing.mean_colour
        noise = noise_image(self.config.init, size, self.style, colour, generator)
        return noise.to(self.extractor.device)

    def _on_device(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        return resize(image, size).to(self.extractor.device)


def content_loss(config: ContentConfig) -> FeatureLoss[Any]:
    """The loss that ``content.normalization`` names."""
    return ContentLoss(config.normalization)


def style_loss(config: StyleConfig) -> FeatureLoss[Any]:
    """The loss that ``style.loss`` and ``style.normalization`` name."""
    if config.loss == "gram":
        return GramStyleLoss(config.normalization)
    return MomentStyleLoss() if config.loss == "moments" else WassersteinStyleLoss()


def noise_image(
    config: InitConfig,
    size: tuple[int, int],
    style: Tensor,
    mean_colour: tuple[float, float, float],
    generator: torch.Generator,
) -> Tensor:
    """A random picture to start from.

    Args:
        config: `noise`, `uniform` or `style`; see `InitConfig`.
        size: (height, width).
        style: (1, 3, H, W), whose colours `style` imitates.
        mean_colour: RGB in [0, 1], around which `noise` varies.
        generator: source of the randomness, on the CPU, so that all devices start alike.

    Returns:
        (1, 3, height, width), for `style` and `noise` clamped to [0, 1].
    """
    if config.kind == "uniform":
        return torch.rand(1, 3, *size, generator=generator)
    white = torch.randn(1, 3, *size, generator=generator)
    if config.kind == "noise":
        mean = torch.tensor(mean_colour).view(1, 3, 1, 1)
        return (mean + config.noise_std * white).clamp(0, 1)
    colours = style[0].flatten(1).cpu()
    covariance = torch.cov(colours) + 1e-6 * torch.eye(3)
    mixed = torch.einsum("ij,bjhw->bihw", torch.linalg.cholesky(covariance), white)
    return (colours.mean(1).view(1, 3, 1, 1) + mixed).clamp(0, 1)


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]


def _check_picture(name: str, picture: Tensor) -> None:
    if picture.ndim != 4 or picture.shape[:2] != (1, 3) or not picture.is_floating_point():
        raise UsageError(
            f"{name} is {picture.dtype} {tuple(picture.shape)}, expected float (1, 3, H, W)",
            "styler.images.read_picture(path).pixels has the right form",
        )
