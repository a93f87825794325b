"""The gradient of a dream: rolled by chance, whole or in tiles, smoothed, normalised."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from styler.config import AscentConfig
from styler.features import Extractor
from styler.objective import Evaluation, Objective
from styler.params import ImageParameter

BLURS = (0.5, 1.0, 2.0)
"""Standard deviations of the Gaussians that a gradient is smoothed with, relative to the one that
is asked for."""
KERNEL = 9
"""Side of their kernels in pixels."""


class DreamGradient:
    """The gradient of a picture, as a plain step is to follow it.

    Each time the picture is rolled by a new random shift, so that neither the grid of the
    network's strides nor the borders of tiles and picture leave a trace. The gradient is a sum
    over tiles, each a pass of its own: a tile's share of the picture weighs its loss, which makes
    the sum the gradient of the whole wherever no tile's border is in sight. It is then smoothed
    and normalised over the whole picture.

    The result is in units of the array that is optimised: after a normalisation, a step of `lr`
    moves the array by `lr` in the mean.

    Args:
        extractor: the network.
        objective: what is minimised.
        config: jitter, tiles, smoothing and normalisation.
        steps: that will be taken: the smoothing grows over them.
        generator: of the shifts, on the CPU, so that all devices draw alike.
        mask: (1, 1, H, W): the normalisation looks only at where it is not 0, and elsewhere the
            gradient is 0. None: everywhere.

    References:
        The notebook in google/deepdream (jitter, mean magnitude); the DeepDream tutorial of
        TensorFlow (tiles, standard deviation); gordicaleksa/pytorch-deepdream (smoothing).
    """

    def __init__(
        self,
        extractor: Extractor,
        objective: Objective,
        config: AscentConfig,
        *,
        steps: int,
        generator: torch.Generator,
        mask: Tensor | None = None,
    ) -> None:
        self.extractor = extractor
        self.objective = objective
        self.config = config
        self.steps = steps
        self.generator = generator
        self.mask = None if mask is None else (mask > 0).float()
        self._taken = 0

    def __call__(self, parameter: ImageParameter) -> Evaluation:
        """One pass over the picture."""
        image = parameter.image().detach()
        size = (image.shape[-2], image.shape[-1])
        rows, columns = tile_cuts(size, self.config.tile, self.extractor, self.objective.layers)
        shift = (self._shift(rows), self._shift(columns))
        gradient, evaluation = self.evaluate(image.roll(shift, (2, 3)), rows, columns)
        gradient = gradient.roll((-shift[0], -shift[1]), (2, 3))
        gradient = smooth(gradient, self._sigma())
        gradient = normalise(gradient, self.config.normalization, self.mask)
        parameter.raw.grad = gradient.to(parameter.raw.dtype)
        self._taken += 1
        return evaluation

    def evaluate(
        self, image: Tensor, rows: list[int], columns: list[int]
    ) -> tuple[Tensor, Evaluation]:
        """The bare gradient in the picture, tile by tile.

        Args:
            image: (1, 3, H, W).
            rows: where tiles begin and end, from 0 to H.
            columns: likewise, from 0 to W.

        Returns:
            (1, 3, H, W) and the loss, a mean over the tiles by their size.
        """
        gradient = torch.empty_like(image)
        totals: list[Tensor] = []
        losses: dict[str, list[Tensor]] = {}
        for part, share in _tiles(rows, columns):
            tile = image[part].clone().requires_grad_()
            found = self.objective(tile, self.extractor(tile, self.objective.layers))
            (gradient[part],) = torch.autograd.grad(found.total * share, tile)
            totals.append(found.total.detach() * share)
            for name, value in found.losses.items():
                losses.setdefault(name, []).append(value * share)
        summed = {name: torch.stack(values).sum() for name, values in losses.items()}
        return gradient, Evaluation(torch.stack(totals).sum(), summed)

    def _shift(self, cut: list[int]) -> int:
        """By chance, in both directions; as far as to the next cut where there are any."""
        play = self.config.jitter
        if len(cut) > 2:
            play = max(play, (cut[1] - cut[0]) // 2)
        return int(torch.randint(-play, play + 1, (), generator=self.generator))

    def _sigma(self) -> float:
        done = min(1.0, (self._taken + 1) / max(1, self.steps))
        return self.config.blur + self.config.blur_growth * done


def tile_cuts(
    size: tuple[int, int], tile: int, extractor: Extractor, layers: Collection[str]
) -> tuple[list[int], list[int]]:
    """Where a picture is cut into tiles for a network; see `cuts`.

    Args:
        size: (height, width) of the picture.
        tile: the largest side of a tile, give or take the network's stride; 0 for one tile.
        extractor: the network.
        layers: that are read.

    Returns:
        The rows and the columns.
    """
    least = max(extractor.minimum_side(layer) for layer in layers)
    grid = max(extractor.stride(layer) for layer in layers)
    return cuts(size[0], tile, least, grid), cuts(size[1], tile, least, grid)


def cuts(side: int, tile: int, least: int, grid: int) -> list[int]:
    """Where a side is cut into tiles: as alike as may be, on the network's grid.

    Args:
        side: of the picture, in pixels.
        tile: the largest side of a tile, give or take `grid`; 0 for one tile.
        least: the smallest that the network takes; too many cuts for that are not made.
        grid: cuts are multiples of this, so that every tile's units are those of the picture.

    Returns:
        From 0 to `side`.

    Example:
        >>> cuts(1000, 512, 32, 16), cuts(100, 24, 64, 8), cuts(100, 0, 8, 8)
        ([0, 496, 1000], [0, 100], [0, 100])
    """
    wanted = -(-side // tile) if tile else 1
    number = max(1, min(wanted, side // max(least + grid, 1)))
    inner = [side * index // number // grid * grid for index in range(1, number)]
    return [0, *inner, side]


def _tiles(rows: list[int], columns: list[int]) -> Iterator[tuple[tuple[slice, ...], float]]:
    """Each tile as an index, and its share of the pixels."""
    everything = slice(None)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            share = (bottom - top) * (right - left) / (rows[-1] * columns[-1])
            yield (everything, everything, slice(top, bottom), slice(left, right)), share


def smooth(gradient: Tensor, sigma: float) -> Tensor:
    """The mean of a gradient smoothed by three Gaussians.

    Args:
        gradient: (1, 3, H, W).
        sigma: in pixels; `BLURS` times this are the standard deviations. 0 changes nothing.

    Returns:
        Of the same shape; beyond the borders it is mirrored.
    """
    if sigma == 0:
        return gradient
    reach = KERNEL // 2
    away = torch.arange(-reach, reach + 1, dtype=gradient.dtype, device=gradient.device)
    kernels = [torch.exp(-0.5 * (away / (share * sigma)).square()) for share in BLURS]
    padded = F.pad(gradient, (reach,) * 4, mode="reflect")
    channels = gradient.shape[1]
    smoothed = []
    for kernel in kernels:
        line = (kernel / kernel.sum()).view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        down = F.conv2d(padded, line, groups=channels)
        smoothed.append(F.conv2d(down, line.transpose(2, 3), groups=channels))
    return torch.stack(smoothed).mean(0)


def normalise(gradient: Tensor, kind: str, mask: Tensor | None = None) -> Tensor:
    """A gradient of a size that does not hang on network, layer and picture.

    Args:
        gradient: (1, 3, H, W).
        kind: `none`; `mean-abs` or `std` divide by the mean magnitude or the standard deviation;
            `standardise` subtracts the mean before the latter.
        mask: (1, 1, H, W), 1 where the gradient counts and 0 where it is to be 0.

    Returns:
        Of the same shape; a gradient of zeros stays what it is.

    Example:
        >>> normalise(torch.tensor([1.0, -3.0]).view(1, 1, 1, 2), "mean-abs").flatten()
        tensor([ 0.5000, -1.5000])
    """
    if mask is not None:
        gradient = gradient * mask
    count = gradient.numel() if mask is None else mask.sum() * gradient.shape[1]

    def mean(values: Tensor) -> Tensor:
        return values.sum() / count

    if kind == "none":
        return gradient
    if kind == "mean-abs":
        return gradient / _not_zero(mean(gradient.abs()))
    middle = mean(gradient)
    inside = gradient - middle if mask is None else (gradient - middle) * mask
    spread = _not_zero(mean(inside.square()).sqrt())
    return (inside if kind == "standardise" else gradient) / spread


def _not_zero(value: Tensor) -> Tensor:
    return torch.where(value > 0, value, torch.ones_like(value))
