"""A film that sinks into a dream: each frame is the last one, nearer and dreamt once more."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from styler.config import DreamConfig
from styler.dream import DreamProblem
from styler.dreaming.octaves import working_size
from styler.engine import Callback, StepEvent
from styler.features import Extractor
from styler.images import resize

SEEDS = 2**63
"""Seeds wrap around at this."""
NATURAL_LIGHT = 0.2
"""Standard deviation of a photograph's light; a paler first frame does not hold the film to it."""
NATURAL_COLOUR = 0.07
"""Likewise of the difference of its colours from grey."""
ANY_SIDE = 2**31
"""Larger than any picture: frames have the size that they have."""


def zoom_frames(
    image: Tensor,
    config: DreamConfig,
    count: int,
    *,
    extractor: Extractor,
    guide: Tensor | None = None,
    mask: Tensor | None = None,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> Iterator[Tensor]:
    """The frames of a zoom.

    The first is the picture itself; each further one is the last, zoomed and turned about the
    centre by ``zoom.rate`` and ``zoom.degrees``, its contrast held, after a short dream of its own
    over ``zoom.octaves`` and ``zoom.steps``.

    Args:
        image: (1, 3, H, W) sRGB in [0, 1].
        config: every setting.
        count: how many frames, at least 1.
        extractor: the network.
        guide: see `styler.dream.dream`.
        mask: likewise; it stays where it is while the picture grows.
        callbacks: called after steps, with the frames in place of the scales.
        should_stop: asked after each step with the steps done in all; True ends the film.

    Yields:
        (1, 3, h, w) on the CPU, all of the size at which a single picture would be dreamt.

    Raises:
        UsageError, ImageError, ConfigError, DivergedError: see `styler.dream.dream`.
    """
    film = film_config(config)
    frame = first_frame(image, config)
    yield frame
    limits = contrast_limits(frame, config.zoom.contrast)
    done, started = 0, time.perf_counter()
    for number in range(1, count):
        seed = (config.runtime.seed + number) % SEEDS
        runtime = dataclasses.replace(film.runtime, seed=seed)
        problem = DreamProblem(
            toned(zoomed(frame, config.zoom.rate, config.zoom.degrees), limits),
            dataclasses.replace(film, runtime=runtime),
            extractor,
            guide=guide,
            mask=mask,
        )
        place = _Place(
            number=number - 1,
            count=count - 1,
            before=done,
            seconds=time.perf_counter() - started,
        )
        result = problem.solve(
            callbacks=[place.told(callback) for callback in callbacks],
            should_stop=place.asked(should_stop) if should_stop else None,
        )
        if result.run.stopped:
            return
        done += result.run.done
        frame = result.image
        yield frame
        if should_stop and should_stop(done):
            return


def first_frame(image: Tensor, config: DreamConfig) -> Tensor:
    """A picture, (1, 3, H, W), at the size of a film of it."""
    return resize(image, working_size((image.shape[-2], image.shape[-1]), config.schedule))


def film_config(config: DreamConfig) -> DreamConfig:
    """The settings of a frame's own dream."""
    zoom = config.zoom
    schedule = dataclasses.replace(
        config.schedule,
        size=None,
        max_side=ANY_SIDE,
        octaves=zoom.octaves,
        larger=0,
        steps=(zoom.steps,),
    )
    return dataclasses.replace(config, schedule=schedule)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Place:
    """One frame among all."""

    number: int
    count: int
    before: int
    seconds: float

    def told(self, callback: Callback) -> Callback:
        """A callback that learns of the frame as if it were a scale of the whole."""

        def tell(step: StepEvent) -> None:
            callback(
                dataclasses.replace(
                    step,
                    level=self.number,
                    levels=self.count,
                    step=step.done,
                    steps=step.planned,
                    done=self.before + step.done,
                    planned=self.count * step.planned,
                    seconds=self.seconds + step.seconds,
                )
            )

        return tell

    def asked(self, should_stop: Callable[[int], bool]) -> Callable[[int], bool]:
        """A question about the steps of all frames."""
        return lambda done: should_stop(self.before + done)


def zoomed(image: Tensor, rate: float, degrees: float) -> Tensor:
    """A picture seen from nearer, and turned.

    Args:
        image: (1, 3, H, W) in [0, 1].
        rate: share of its sides that is cropped away.
        degrees: anticlockwise about the centre; corners that come into sight are mirrored.

    Returns:
        Of the same shape.

    Example:
        >>> zoomed(torch.full((1, 3, 4, 6), 0.5), 0.1, 5.0).mean().round(decimals=4)
        tensor(0.5000)
    """
    height, width = image.shape[-2:]
    scale, angle = 1.0 - rate, math.radians(degrees)
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    # Coordinates run from -1 to 1 along either side, however long it is.
    theta = [[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]]
    grid = F.affine_grid(torch.tensor([theta]), [1, 3, height, width], align_corners=False)
    seen = F.grid_sample(
        image, grid.to(image), mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return seen.clamp(0, 1)


def contrast_limits(frame: Tensor, factor: float) -> tuple[float, float]:
    """Standard deviations of light and of colour that a film does not exceed.

    Args:
        frame: (1, 3, H, W), the first.
        factor: by which it may be exceeded.
    """
    light = frame.mean(1, keepdim=True)
    light_now, colour_now = float(light.std()), float((frame - light).square().mean().sqrt())
    return max(NATURAL_LIGHT, factor * light_now), max(NATURAL_COLOUR, factor * colour_now)


def toned(frame: Tensor, limits: tuple[float, float]) -> Tensor:
    """A frame whose light and colours vary no more than they may.

    Args:
        frame: (1, 3, H, W) in [0, 1].
        limits: see `contrast_limits`.

    Returns:
        Of the same shape; light is drawn to its mean, colours to grey.

    Example:
        >>> harsh = torch.tensor([0.0, 1.0]).expand(1, 3, 4, 2)
        >>> toned(harsh, (0.1, 0.1)).amax().round(decimals=2)
        tensor(0.5900)
    """
    light = frame.mean(1, keepdim=True)
    colour, middle = frame - light, light.mean()
    held_light = middle + (light - middle) * _at_most_one(limits[0], light.std())
    return (held_light + colour * _at_most_one(limits[1], colour.square().mean().sqrt())).clamp(
        0, 1
    )


def _at_most_one(limit: float, value: Tensor) -> Tensor:
    return (limit / value.clamp_min(1e-6)).clamp(max=1.0)
