"""Random views of pictures: moved, turned, scaled, cropped; a draw of its own for each picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from styler.config import ViewConfig

GREY = 0.5
"""What lies outside of a picture."""


@dataclass(frozen=True)
class Draw:
    """How views are taken of B pictures, K of each.

    Attributes:
        theta: (B·K, 2, 3), from the view's coordinates to the picture's, as
            `torch.nn.functional.affine_grid` takes it; the views of a picture follow one another.
        size: (height, width) of a view.
        noise: (B·K, 3, height, width), added; None for none.
    """

    theta: Tensor
    size: tuple[int, int]
    noise: Tensor | None = None

    @property
    def views(self) -> int:
        """How many views, of all pictures together."""
        return self.theta.shape[0]

    def __call__(self, image: Tensor) -> Tensor:
        """Take the views.

        Args:
            image: (B, C, H, W).

        Returns:
            (B·K, C, height, width), bilinear, `GREY` outside of the picture.
        """
        each = self.views // image.shape[0]
        image = image.repeat_interleave(each, 0) if each > 1 else image
        grid = F.affine_grid(
            self.theta.to(image), [self.views, image.shape[1], *self.size], align_corners=False
        )
        views = GREY + F.grid_sample(
            (image - GREY).contiguous(memory_format=torch.channels_last),
            grid,
            mode="bilinear",
            padding_mode="zeros",
            align_corners=False,
        )
        return views if self.noise is None else views + self.noise.to(views)


class Transform(Protocol):
    """Draws views."""

    def draw(
        self,
        size: tuple[int, int],
        generators: Sequence[torch.Generator],
        progress: Sequence[float],
    ) -> Draw:
        """New views of some pictures.

        Args:
            size: (height, width) of the pictures.
            generators: of each picture, on the CPU.
            progress: of each picture, from 0 to 1 over its steps.
        """
        ...


class Robust:
    """One affine map: jitter, scaling, turning and jitter again, each drawn for each picture.

    It is what a chain of paddings and crops gives, in one interpolation and with a constant shape:
    the view's side is the picture's, with padding on both sides, less all jitter.

    Args:
        config: its `pad`, `jitter`, `scales`, `degrees` and `noise`.

    References:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill, section "Transformation
        Robustness".
    """

    def __init__(self, config: ViewConfig) -> None:
        self.config = config

    def draw(
        self,
        size: tuple[int, int],
        generators: Sequence[torch.Generator],
        progress: Sequence[float],
    ) -> Draw:
        """New views; see `Transform`."""
        view = view_size(self.config, size)
        thetas = [self._theta(size, view, generator) for generator in generators]
        noise = _noise(self.config.noise, 1, view, generators)
        return Draw(torch.stack(thetas), view, noise)

    def _theta(
        self, size: tuple[int, int], view: tuple[int, int], generator: torch.Generator
    ) -> Tensor:
        config = self.config
        before, after = [0.0, 0.0], [0.0, 0.0]
        for place, play in enumerate(config.jitter):
            offset = torch.randint(0, play + 1, (2,), generator=generator) - play / 2
            target = before if place == 0 else after
            target[0] += float(offset[0])
            target[1] += float(offset[1])
        index = int(torch.randint(len(config.scales), (1,), generator=generator))
        turn = int(torch.randint(-config.degrees, config.degrees + 1, (1,), generator=generator))
        return _affine(size, view, config.scales[index], math.radians(turn), before, after)


class Crops:
    """Square crops of random places, scaled to one side; they shrink as the steps go by.

    A share of 1 is the largest square inside the picture.

    Args:
        config: its `crops`, `box`, `crop_side` and `noise`.

    References:
        Fel et al. 2023, "MAgnitude Constrained Optimization", arXiv 2306.06805, section 4.
    """

    def __init__(self, config: ViewConfig) -> None:
        self.config = config

    def draw(
        self,
        size: tuple[int, int],
        generators: Sequence[torch.Generator],
        progress: Sequence[float],
    ) -> Draw:
        """New crops; see `Transform`."""
        view = (self.config.crop_side, self.config.crop_side)
        first, last = self.config.box
        # (width, height) of the largest square inside, as shares of the picture's.
        square = torch.tensor([min(size) / size[1], min(size) / size[0]])
        thetas = []
        for generator, share in zip(generators, progress, strict=True):
            extent = (first + (last - first) * share) * square
            places = torch.rand(self.config.crops, 2, generator=generator)
            # The centre of a crop, in coordinates from -1 to 1, such that it is inside.
            centres = (2 * places - 1) * (1 - extent)
            theta = torch.zeros(self.config.crops, 2, 3)
            theta[:, 0, 0], theta[:, 1, 1] = extent
            theta[:, :, 2] = centres
            thetas.append(theta)
        noise = _noise(self.config.noise, self.config.crops, view, generators)
        return Draw(torch.cat(thetas), view, noise)


def view_size(config: ViewConfig, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the views of pictures of a size, at least 1.

    Example:
        >>> view_size(ViewConfig(pad=12, jitter=(8, 4)), (128, 128))
        (140, 140)
    """
    if config.crops:
        return config.crop_side, config.crop_side
    more = 2 * config.pad - sum(config.jitter)
    return max(1, size[0] + more), max(1, size[1] + more)


def transform_of(config: ViewConfig) -> Transform:
    """What the settings ask for."""
    return Crops(config) if config.crops else Robust(config)


STILL = ViewConfig(pad=0, jitter=(), scales=(1.0,), degrees=0, noise=0.0)
"""Settings of a view that is the picture itself."""


def _affine(
    size: tuple[int, int],
    view: tuple[int, int],
    scale: float,
    turn: float,
    before: Sequence[float],
    after: Sequence[float],
) -> Tensor:
    """From a view's coordinates to the picture's, both from −1 to 1.

    The picture first moved by `before`, then grew by `scale`, turned, and moved by `after`: in
    pixels (down, right), in radians, about the centres.
    """
    cosine, sine = math.cos(turn) / scale, math.sin(turn) / scale
    inverse = torch.tensor([[cosine, sine], [-sine, cosine]], dtype=torch.float64)  # (x, y)
    shift_after = torch.tensor([after[1], after[0]], dtype=torch.float64)
    shift_before = torch.tensor([before[1], before[0]], dtype=torch.float64)
    half_view = torch.tensor([view[1] / 2, view[0] / 2], dtype=torch.float64)
    half_size = torch.tensor([size[1] / 2, size[0] / 2], dtype=torch.float64)
    linear = inverse * half_view / half_size[:, None]
    offset = (-(inverse @ shift_after) - shift_before) / half_size
    return torch.cat([linear, offset[:, None]], 1).float()


def _noise(
    std: float, each: int, size: tuple[int, int], generators: Sequence[torch.Generator]
) -> Tensor | None:
    if not std:
        return None
    drawn = [torch.randn(each, 3, *size, generator=generator) for generator in generators]
    return std * torch.cat(drawn)
