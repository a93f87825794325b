"""What a network's units look for: pictures that excite a channel, by the shared engine."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from styler.config import OptimizerConfig
from styler.engine import DirectGradient, run_levels
from styler.features import Extractor
from styler.losses import TotalVariationLoss
from styler.objective import Features, ImageTerm, Objective
from styler.params import PixelImage
from styler.schedule import Level

LEVELS = tuple(Level(size=(side, side), steps=60) for side in (48, 96, 144))
"""Coarse to fine, so that large shapes come first."""
SMOOTHNESS = 20.0
"""Weight of total variation against an activation of about 1."""


@dataclass(frozen=True)
class ChannelTerm:
    """The negative mean activation of a channel, as a multiple of that of a noise picture.

    Args:
        layer: where.
        channel: which.
        scale: the layer's root mean square for noise.
    """

    layer: str
    channel: int
    scale: float
    name: str = "activation"
    weight: float = 1.0

    @property
    def layers(self) -> frozenset[str]:
        """The one layer."""
        return frozenset([self.layer])

    def __call__(self, image: Tensor, features: Features) -> Tensor:
        """The loss of a picture."""
        return -features[self.layer][:, self.channel].float().mean() / self.scale


def excite(extractor: Extractor, layer: str, channel: int, seed: int = 0) -> Tensor:
    """A picture that makes one channel of a layer active everywhere.

    The ascent is on the value before a ReLU, which has no gradient where the channel is silent.
    Erhan et al. 2009, "Visualizing higher-layer features of a deep network": ascent on the pixels.

    Args:
        extractor: the network.
        layer: a name or alias.
        channel: from 0.
        seed: of the noise that it starts from.

    Returns:
        (1, 3, H, W) sRGB in [0, 1].
    """
    (layer,) = extractor.resolve([layer])
    before = layer.replace("relu", "conv", 1)
    if before in extractor.layers:
        layer = before
    generator = torch.Generator().manual_seed(seed)
    noise = 0.5 + 0.1 * torch.randn(1, 3, *LEVELS[0].size, generator=generator)
    start = noise.clamp(0, 1).to(extractor.device)
    with torch.no_grad():
        scale = float(extractor(start, [layer])[layer].float().square().mean().sqrt())
    smooth = TotalVariationLoss("l2", "mean")
    objective = Objective(
        [
            ChannelTerm(layer, channel, max(scale, 1e-6)),
            ImageTerm(name="smoothness", weight=SMOOTHNESS, loss=smooth),
        ]
    )
    gradient = DirectGradient(extractor, objective)
    return run_levels(PixelImage(start), LEVELS, lambda _: gradient, OptimizerConfig()).image


def tap_mosaic(extractor: Extractor, layer: str, channels: tuple[int, ...]) -> Tensor:
    """Pictures of four channels of a layer, two by two."""
    a, b, c, d = (excite(extractor, layer, channel).cpu() for channel in channels)
    return torch.cat([torch.cat([a, b], 3), torch.cat([c, d], 3)], 2)
