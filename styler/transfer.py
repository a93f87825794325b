"""Neural style transfer: J(G) = α·J_content + β·J_style, by descent on the pixels of G.

Gatys, Ecker, Bethge, arXiv 1508.06576, eq. 7, with the losses, optimisers and schedules that came
after; which of them is a matter of `TransferConfig`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from styler.color.modes import after
from styler.config import TransferConfig
from styler.engine import Callback, RunResult, run_levels
from styler.errors import ImageError, UsageError
from styler.features import Extractor
from styler.features.ensemble import spread
from styler.guidance import Guidance, Layout
from styler.images import check_picture, resize, resize_wrapped
from styler.losses import SampleLoss
from styler.network import extractor_for
from styler.objective import Objective, Term
from styler.params import Held, PixelImage
from styler.planned_gradient import PlannedGradient
from styler.planner import Need, Plan, plan_gradient
from styler.runtime import free_memory, memory_errors_explained
from styler.schedule import Level, aligned, fit_edge, output_size, plan_levels
from styler.starts import noise_image
from styler.styles.recolour import own_colours, recoloured
from styler.styles.source import Style, as_source, shares_of, varied
from styler.terms import content_term, smoothness_term, style_losses, style_terms

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
        notices: what a user should know of how it went, one line each.
    """

    image: Tensor
    run: RunResult
    levels: list[Level]
    notices: tuple[str, ...] = ()


def transfer(
    content: Tensor,
    style: Style,
    config: TransferConfig | None = None,
    *,
    start: Tensor | None = None,
    guidance: Guidance | None = None,
    extractor: Extractor | None = None,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> TransferResult:
    """Paint the content in the style.

    Args:
        content: (1, 3, H, W) float32 sRGB in [0, 1].
        style: (1, 3, H', W') likewise, of any size; or a `StyleSource` such as
            `styler.styles.file.read_style` gives; or several with weights, as `StyleShare`.
        config: every setting; None takes the defaults.
        start: (1, 3, any, any), the initial picture for ``init.kind = "image"``.
        guidance: which style goes where, what stays as it is, and whose colours are taken.
        extractor: one already loaded with `styler.network.extractor_for`; None loads it.
        callbacks: called with a `styler.engine.StepEvent` after steps.
        should_stop: asked after each step with the steps done; True ends the run early.

    Returns:
        The picture at the content's own size, unless ``schedule.size`` says otherwise.

    Raises:
        UsageError: a tensor of another shape, or no `start` although the configuration needs it.
        ImageError: a picture is too small for the deepest layer.
        ConfigError: an unknown layer, or one that a saved style lacks.
        BackboneError: the network cannot be had, or a saved style was measured with another.
        DeviceError, DivergedError: as their names say.

    Example:
        >>> from styler.config import ScheduleConfig, TransferConfig
        >>> noise = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0))
        >>> config = TransferConfig(schedule=ScheduleConfig(steps=(1,)))
        >>> transfer(noise, noise.flip(3), config).image.shape
        torch.Size([1, 3, 64, 48])
    """
    config = config or TransferConfig()
    extractor = extractor or extractor_for(config)
    problem = Problem(content, style, config, extractor, start=start, guidance=guidance)
    return problem.solve(callbacks=callbacks, should_stop=should_stop)


class Problem:
    """One content, one style, one network: the scales, and what is minimised at each.

    Args:
        content: (1, 3, H, W) sRGB in [0, 1].
        style: (1, 3, H', W') likewise, a source of statistics, or several with weights.
        config: every setting.
        extractor: the network.
        start: the initial picture for ``init.kind = "image"``.
        guidance: which style goes where, what stays as it is, and whose colours are taken.

    Raises:
        UsageError: a tensor of another shape, or no `start` although the configuration needs it.
        ConfigError: an unknown layer, or one that a saved style lacks.
        ImageError: a picture is too small for the deepest layer, or a region is empty.
        BackboneError: a saved style was measured with another network.
        DeviceError: there is not enough memory.
    """

    def __init__(
        self,
        content: Tensor,
        style: Style,
        config: TransferConfig,
        extractor: Extractor,
        *,
        start: Tensor | None = None,
        guidance: Guidance | None = None,
    ) -> None:
        guidance = guidance or Guidance()
        named = {"content": content, "start": start, "reference": guidance.reference}
        for name, picture in named.items():
            if picture is not None:
                check_picture(name, picture)
        if config.init.kind == "image" and start is None:
            raise UsageError("init.kind is image but no start picture is given", "pass start=")
        self.original = content
        styles = shares_of(style)
        self.reference = guidance.reference
        if config.color.mode == "match" and self.reference is None:
            self.reference = own_colours(styles)
        self.content, styles = recoloured(config.color.mode, content, styles, self.reference)
        styles = [
            replace(share, source=varied(share.source, config.style.invariance)) for share in styles
        ]
        self.style = as_source(styles)
        self.layout = Layout(guidance, styles, _size(content))
        self.wrap = config.backbone.padding == "circular"
        self.start = start
        self.config = config
        self.extractor = extractor
        # Strength 0.5 leaves the weights as they are; 0 and 1 leave only content or only style.
        self.style_weight = 2 * config.strength * config.style.weight
        self.content_weight = 2 * (1 - config.strength) * config.content.weight
        fade = min(1.0, config.strength / FULL_SMOOTHNESS)
        self.smoothness_weight = fade * config.smoothness.weight
        self.content_layers = spread(extractor, config.content.layers)
        self.style_layers = spread(extractor, config.style.layers)

        levels = plan_levels(_size(content), config.schedule)
        self.levels = self._fitting(aligned(levels, self._grid()) if self.wrap else levels)
        # The finest first: what does not fit is refused by its size.
        self.plans = [self._plan(level) for level in reversed(self.levels)][::-1]

    def _plan(self, level: Level) -> Plan:
        """How the gradient of a scale is worked out."""
        limit = self.config.runtime.max_memory
        return plan_gradient(self._need(level), limit or free_memory(self.extractor.device))

    def _need(self, level: Level) -> Need:
        content = self.content_layers if self.content_weight else {}
        style = self.style_layers if self.style_weight else {}
        return Need(
            extractor=self.extractor,
            layers=frozenset(content) | frozenset(style),
            placed=frozenset(content),
            size=level.size,
            optimizer=self.config.optimizer,
            tileable=self._tileable,
        )

    @property
    def _tileable(self) -> bool:
        """Whether all losses can be taken tile by tile."""
        config = self.config
        alike = bool(self.content_weight) and config.content.loss == "self-similarity"
        losses = style_losses(config.style) if self.style_weight else {}
        return not alike and not any(isinstance(kind, SampleLoss) for kind, _ in losses.values())

    @property
    def keeps_freed_memory(self) -> bool:
        """Whether all scales are planned for a process that keeps what it frees."""
        return all(plan.keeps for plan in self.plans)

    def work(self) -> list[float]:
        """Relative cost of each scale: pixels times steps, and more for tiles."""
        return [
            plan.work * level.steps * level.size[0] * level.size[1]
            for level, plan in zip(self.levels, self.plans, strict=True)
        ]

    def gradient(self, level: Level) -> PlannedGradient:
        """What works out the gradient at a scale, in the memory there is."""
        plan = self.plans[self.levels.index(level)]
        return PlannedGradient(self._need(level), plan, self.objective(level))

    def _grid(self) -> int:
        """Pixels of which sides must be multiples, for units to go on across the borders."""
        layers = [*self.content_layers, *self.style_layers]
        return max((self.extractor.stride(layer) for layer in layers), default=1)

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
        with _too_small("content"):
            self.extractor.check_size(level.size, layers)
        with _too_small("style"):
            fit = partial(self.style_size, level)
            self.layout.check(level.size, fit, self.extractor, self.style_layers)

    def solve(
        self,
        *,
        callbacks: Sequence[Callback] = (),
        should_stop: Callable[[int], bool] | None = None,
    ) -> TransferResult:
        """Go through all scales; see `transfer`."""
        config, device = self.config, self.extractor.device
        gradients: list[PlannedGradient] = []

        def gradient(level: Level) -> PlannedGradient:
            gradients.append(self.gradient(level))
            return gradients[-1]

        with memory_errors_explained(device):
            run = run_levels(
                self._parameter(),
                self.levels,
                gradient,
                replace(config.optimizer, history=min(plan.history for plan in self.plans)),
                callbacks=callbacks,
                should_stop=should_stop,
                flat=config.schedule.flat,
            )
        return TransferResult(
            image=self.finished(run.image),
            run=run,
            levels=self.levels,
            notices=tuple(notice for each in gradients for notice in each.notices),
        )

    def _parameter(self) -> PixelImage:
        """The picture that is optimised, at the coarsest scale."""
        return PixelImage(
            self.initial(),
            self.config.optimizer.pixel_range,
            wrap=self.wrap,
            held=self.held(self.content),
        )

    def held(self, picture: Tensor) -> Held | None:
        """What stays as it is, if anything does.

        Args:
            picture: (1, 3, H, W), the content in the colours that are wanted.
        """
        mask = self.layout.held
        return None if mask is None else Held(picture=picture, mask=mask)

    def finished(self, image: Tensor) -> Tensor:
        """A picture of the finest scale as it is given back: its size, its colours, what is held.

        Args:
            image: (1, 3, H, W) in [0, 1].

        Returns:
            The same at the output size, on the CPU.
        """
        size = output_size(_size(self.original), self.config.schedule)
        image = self.coloured(self.resized(image.cpu(), size))
        held = self.held(self.original)
        return image if held is None else held.over(image)

    def coloured(self, image: Tensor, content: Tensor | None = None) -> Tensor:
        """A picture of the run in the colours that it is to have in the end.

        Args:
            image: (1, 3, H, W) in [0, 1], of any size.
            content: one that is nearer to the image's size; None for the content itself.
        """
        original = self.original if content is None else content
        return after(self.config.color.mode, image.cpu(), original, self.reference)

    def style_size(self, level: Level, own: tuple[int, int]) -> tuple[int, int]:
        """The size at which a style is seen at a scale: a fraction of the picture's.

        Args:
            level: the scale.
            own: (height, width) of the style picture.
        """
        config = self.config
        of = max if config.schedule.edge == "long" else min
        side = max(1, round(of(level.size) * config.style.scale))
        if side >= of(own) and not config.style.enlarge:
            return own
        return fit_edge(own, side, config.schedule.edge)

    def objective(self, level: Level) -> Objective:
        """The terms at a scale, with targets from the content and the style at that scale."""
        config, terms = self.config, list[Term]()
        if self.content_weight:
            image = self._on_device(self.content, level.size)
            layers = self.content_layers
            terms.append(
                content_term(self.content_weight, config.content, image, layers, self.extractor)
            )
        if self.style_weight:
            wanted = self.layout.wanted(
                self.style_weight,
                level.size,
                partial(self.style_size, level),
                self.extractor,
                self.style_layers,
                config.regions.margin,
            )
            for each in wanted:
                terms += style_terms(each, config.style, self.style_layers, self.extractor)
        if self.smoothness_weight:
            smooth = config.smoothness
            terms.append(smoothness_term(self.smoothness_weight, smooth, wrap=self.wrap))
        return Objective(terms)

    def initial(self) -> Tensor:
        """The picture at the coarsest scale."""
        size, kind = self.levels[0].size, self.config.init.kind
        picture = {"content": self.content, "image": self.start}.get(kind)
        if picture is not None:
            return self._on_device(picture, size)
        generator = torch.Generator().manual_seed(self.config.runtime.seed)
        colour = self.extractor.preprocessing.mean_colour
        noise = noise_image(self.config.init, size, self.style.colours(), colour, generator)
        return noise.to(self.extractor.device)

    def _on_device(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        return self.resized(image, size).to(self.extractor.device)

    def resized(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """A picture at another (height, width), whose borders meet if those of the result do."""
        return resize_wrapped(image, size) if self.wrap else resize(image, size)


@contextmanager
def _too_small(name: str) -> Iterator[None]:
    """Say which picture it is that is too small."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"the {name}: {error.message}", error.hint) from None


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]
