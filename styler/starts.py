"""Pictures of chance that an optimisation starts from."""

from __future__ import annotations

import torch
from torch import Tensor

from styler.config import InitConfig
from styler.losses import Moments


def noise_image(
    config: InitConfig,
    size: tuple[int, int],
    colours: Moments,
    mean_colour: tuple[float, float, float],
    generator: torch.Generator,
) -> Tensor:
    """A random picture to start from.

    Args:
        config: `noise`, `uniform` or `style`; see `InitConfig`.
        size: (height, width).
        colours: mean (1, 3) and covariance (1, 3, 3) that `style` imitates.
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
    covariance = colours.covariance[0] + 1e-6 * torch.eye(3)
    mixed = torch.einsum("ij,bjhw->bihw", torch.linalg.cholesky(covariance), white)
    return (colours.mean.view(1, 3, 1, 1) + mixed).clamp(0, 1)
