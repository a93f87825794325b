"""DeepDream: what a network sees in a picture, brought out by ascent on the activation of layers.

Mordvintsev, Olah, Tyka 2015, "Inceptionism: Going Deeper into Neural Networks", and the recipes
that followed; which of them is a matter of `DreamConfig`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from styler.config import DreamConfig
from styler.dreaming.ascent import DreamGradient, tile_cuts
from styler.dreaming.excitement import default_layer, excitement
from styler.dreaming.octaves import dream_size, plan_octaves
from styler.engine import Callback, RunResult, run_levels
from styler.errors import ImageError, UsageError
from styler.features import Extractor, resolve_layer
from styler.images import check_picture, fit_long_side, resize
from styler.memory import check_memory
from styler.network import extractor_for
from styler.params.detail import DetailImage
from styler.regions.read import check_shape
from styler.runtime import memory_errors_explained
from styler.schedule import Level

NOISE_SIDE = 512
"""Side in pixels of a picture of noise when nothing is said."""
NOISE_CONTRAST = 0.08
"""Standard deviation of a picture of noise, of which the dream makes what it likes."""


@dataclass(frozen=True, kw_only=True)
class DreamResult:
    """A finished or interrupted dream.

    Args:
        image: (1, 3, H, W) float32 sRGB in [0, 1], on the CPU, at the output size.
        run: how it was reached.
        levels: the octaves that were planned.
        layers: canonical name → weight of what was excited.
    """

    image: Tensor
    run: RunResult
    levels: list[Level]
    layers: dict[str, float]


def dream(
    image: Tensor,
    config: DreamConfig | None = None,
    *,
    extractor: Extractor | None = None,
    guide: Tensor | None = None,
    mask: Tensor | None = None,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> DreamResult:
    """Bring out what a network sees in a picture.

    Args:
        image: (1, 3, H, W) float32 sRGB in [0, 1]; `noise_picture` gives one to start from nothing.
        config: every setting; None takes the defaults.
        extractor: one already loaded with `styler.network.extractor_for`; None loads it.
        guide: (1, 3, any, any), a picture whose features the dream is to follow.
        mask: (1, 1 or 3, any, any) of the image's aspect: the dream is seen where it is 1, the
            picture stays what it is where it is 0. Colours count by their mean.
        callbacks: called with a `styler.engine.StepEvent` after steps.
        should_stop: asked after each step with the steps done; True ends the run early.

    Returns:
        The picture at the image's own size, unless ``schedule.size`` says otherwise.

    Raises:
        UsageError: a tensor of another shape.
        ImageError: a picture is too small for the deepest layer, or the mask of another aspect.
        ConfigError: an unknown layer.
        BackboneError, DeviceError, DivergedError: as their names say.

    Example:
        >>> from styler.config import BackboneConfig, OctaveConfig
        >>> picture = torch.rand(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
        >>> network, octaves = BackboneConfig(name="vgg-lite"), OctaveConfig(steps=(1,))
        >>> result = dream(picture, DreamConfig(backbone=network, schedule=octaves))
        >>> result.image.shape, result.layers
        (torch.Size([1, 3, 96, 64]), {'relu4_3': 1.0})
    """
    config = config or DreamConfig()
    problem = DreamProblem(
        image, config, extractor or extractor_for(config), guide=guide, mask=mask
    )
    return problem.solve(callbacks=callbacks, should_stop=should_stop)


class DreamProblem:
    """One picture, one network: the octaves, and what is climbed at each.

    Args:
        image: (1, 3, H, W) sRGB in [0, 1].
        config: every setting.
        extractor: the network.
        guide: (1, 3, any, any) likewise.
        mask: (1, 1 or 3, any, any); see `dream`.

    Attributes:
        levels: the octaves, without those that are too small for the network.
        dropped: how many were.
        layers: canonical name → weight of what is excited.

    Raises:
        UsageError: a tensor of another shape.
        ConfigError: an unknown layer.
        ImageError: a picture is too small for the deepest layer, or the mask of another aspect.
    """

    def __init__(
        self,
        image: Tensor,
        config: DreamConfig,
        extractor: Extractor,
        *,
        guide: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        for name, picture in (("image", image), ("guide", guide)):
            if picture is not None:
                check_picture(name, picture)
        self.image = image
        self.config = config
        self.extractor = extractor
        self.layers = dream_layers(config, extractor)
        self.mask = None if mask is None else checked_mask(mask, _size(image))
        planned = plan_octaves(_size(image), config.schedule)
        self.levels = self._fitting(planned)
        self.dropped = len(planned) - len(self.levels)
        check_memory(extractor, self.layers, self._largest_tile(), config.runtime.max_memory)
        self.objective = excitement(self.layers, config.reward, self._guide_features(guide))

    def _fitting(self, levels: list[Level]) -> list[Level]:
        """The octaves that are large enough for the network."""
        finest = levels[-1]
        try:
            self.extractor.check_size(finest.size, self.layers)
        except ImageError as error:
            raise ImageError(f"the picture: {error.message}", error.hint) from None
        return [level for level in levels if self._fits(level)]

    def _fits(self, level: Level) -> bool:
        try:
            self.extractor.check_size(level.size, self.layers)
        except ImageError:
            return False
        return True

    def _largest_tile(self) -> tuple[int, int]:
        """(height, width) of what goes through the network at once at the finest octave."""
        rows, columns = self._cuts(self.levels[-1].size)
        return max(b - a for a, b in pairwise(rows)), max(b - a for a, b in pairwise(columns))

    def _guide_features(self, guide: Tensor | None) -> dict[str, Tensor] | None:
        if guide is None:
            return None
        side = min(self.config.guide_side, max(_size(guide)))
        seen = resize(guide, fit_long_side(_size(guide), side)).to(self.extractor.device)
        try:
            self.extractor.check_size(_size(seen), self.layers)
        except ImageError as error:
            raise ImageError(f"the guide: {error.message}", error.hint) from None
        with torch.no_grad():
            return self.extractor(seen, self.layers)

    def solve(
        self,
        *,
        callbacks: Sequence[Callback] = (),
        should_stop: Callable[[int], bool] | None = None,
    ) -> DreamResult:
        """Go through all octaves; see `dream`."""
        config, device = self.config, self.extractor.device
        generator = torch.Generator().manual_seed(config.runtime.seed)
        parameter = DetailImage(
            self.image.to(device),
            self.levels[0].size,
            carry=config.carry,
            mask=None if self.mask is None else self.mask.to(device),
            pixel_range=config.optimizer.pixel_range,
        )
        with memory_errors_explained(device):
            run = run_levels(
                parameter,
                self.levels,
                lambda level: self.gradient(level, generator),
                config.optimizer,
                callbacks=callbacks,
                should_stop=should_stop,
            )
            image = parameter.finish(run.image, dream_size(_size(self.image), config.schedule))
        return DreamResult(image=image.cpu(), run=run, levels=self.levels, layers=self.layers)

    def gradient(self, level: Level, generator: torch.Generator) -> DreamGradient:
        """What the pictures of an octave are improved with."""
        mask = None
        if self.mask is not None:
            mask = resize(self.mask, level.size).to(self.extractor.device)
        return DreamGradient(
            self.extractor,
            self.objective,
            self.config.ascent,
            steps=level.steps,
            generator=generator,
            mask=mask,
        )

    def passes(self, level: Level) -> int:
        """Passes through the network that a step of an octave takes: one per tile."""
        rows, columns = self._cuts(level.size)
        return (len(rows) - 1) * (len(columns) - 1)

    def _cuts(self, size: tuple[int, int]) -> tuple[list[int], list[int]]:
        return tile_cuts(size, self.config.ascent.tile, self.extractor, self.layers)


def dream_layers(config: DreamConfig, extractor: Extractor) -> dict[str, float]:
    """Canonical name → weight of the layers that a dream excites in a network.

    Raises:
        ConfigError: an unknown layer, or one without a map.
    """
    if not config.layers:
        return {default_layer(extractor): 1.0}
    layers = {resolve_layer(k, extractor.layers): w for k, w in config.layers.items() if w}
    for layer in layers:
        extractor.stride(layer)
    return layers


def noise_picture(side: int, seed: int) -> Tensor:
    """A square of grey, in which every scale has a little of every colour.

    Its spectrum falls with the frequency, as that of photographs does.

    Args:
        side: in pixels.
        seed: of the noise.

    Returns:
        (1, 3, side, side) in [0, 1], on the CPU.

    Example:
        >>> noise_picture(64, 0).shape
        torch.Size([1, 3, 64, 64])
    """
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(1, 3, side, side, generator=generator)
    rows, columns = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None, :]
    frequency = (rows.square() + columns.square()).sqrt().clamp_min(1.0 / side)
    pink: Tensor = torch.fft.irfft2(torch.fft.rfft2(white) / frequency, s=(side, side))
    pink = pink - pink.mean((2, 3), keepdim=True)
    return (0.5 + NOISE_CONTRAST * pink / pink.std()).clamp(0, 1)


def checked_mask(mask: Tensor, picture: tuple[int, int]) -> Tensor:
    """A mask as (1, 1, H, W).

    Raises:
        UsageError: of another shape.
        ImageError: of another aspect than the picture's (height, width).
    """
    if mask.ndim != 4 or mask.shape[0] != 1 or mask.shape[1] not in (1, 3):
        raise UsageError(
            f"mask is of shape {tuple(mask.shape)}, expected (1, 1, H, W) or (1, 3, H, W)",
            "styler.images.read_picture(path).pixels has the right form",
        )
    check_shape(_size(mask), picture)
    if not float(mask.max()) > 0:
        raise ImageError("the mask is black all over: nothing may be dreamt", "paint white where")
    return mask.mean(1, keepdim=True)


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]
