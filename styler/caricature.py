"""Caricature: what a layer of a network makes of a picture, exaggerated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from styler.activation import toward
from styler.config import VisualizeConfig
from styler.engine import Callback
from styler.features import Extractor
from styler.objective import Features
from styler.reference import LayerPicture, ReferenceProblem, preset_config
from styler.reference_gradient import Compare

PRESET = "caricature"
"""The preset whose settings are the default."""


@dataclass(frozen=True, eq=False)
class CaricatureTerm:
    """The negative exaggeration of features.

    At each position the dot product of the picture's feature f with the reference's t, times a
    power of their cosine: Σ f·t cosᵖ(f, t) / Σ t², over all views and positions. 1 is the
    reference itself, 2 a picture that shows twice as much of the same.

    Args:
        layer: canonical name.
        reference: (B, C, H, W), features of the reference.
        cosine: the power p; see `styler.activation.toward`.
        weight: of the term.

    Example:
        >>> features = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
        >>> term = CaricatureTerm("relu1_1", features, cosine=2.0)
        >>> term(torch.zeros(1, 3, 1, 1), {"relu1_1": 2 * features})
        tensor(-2.)

    References:
        Lucid's notebooks on feature inversion, "dot product times cosine similarity"; there the
        product and the cosine are of the whole layer, here of each position, so that one strong
        position does not make up for others that point elsewhere.
    """

    layer: str
    reference: Tensor
    cosine: float = 2.0
    weight: float = 1.0
    name: str = "exaggeration"

    @property
    def layers(self) -> frozenset[str]:
        """The one layer."""
        return frozenset((self.layer,))

    def __call__(self, image: Tensor, features: Features) -> Tensor:
        """The negative exaggeration."""
        reference = self.reference.float()
        strength = torch.linalg.vector_norm(reference, dim=1)
        along = toward(features[self.layer].float(), reference, self.cosine)
        exaggeration: Tensor = (strength * along).sum() / strength.square().sum().clamp_min(1e-12)
        return -exaggeration


def caricature_term(config: VisualizeConfig) -> Compare:
    """What makes the term of a layer, with ``config.cosine``."""

    def compare(layer: str, features: Features) -> CaricatureTerm:
        return CaricatureTerm(layer, features[layer], config.cosine)

    return compare


def caricature(
    image: Tensor,
    layers: Sequence[str],
    extractor: Extractor,
    config: VisualizeConfig | None = None,
    *,
    done: Callable[[LayerPicture], None] | None = None,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> list[LayerPicture]:
    """What layers of a network make of a picture, exaggerated.

    Starting from noise, a picture is sought whose features go as far as they can where the
    image's features point. Both are seen through the same random view at each step.

    Args:
        image: (1, 3, H, W) float32 sRGB in [0, 1].
        layers: names or aliases; each gets a picture of its own.
        extractor: the network.
        config: every setting; None takes those of the preset `caricature`.
        done: called with each picture as soon as it is there.
        callbacks: called with a `styler.engine.StepEvent` after steps, whose levels are the layers.
        should_stop: asked after each step with the steps done; True ends the run.

    Returns:
        A picture of the image's aspect for each layer, in their order; fewer when the run was
        stopped.

    Raises:
        UsageError, ConfigError, ImageError, DeviceError: see `ReferenceProblem`.
        DivergedError: a loss stayed non-finite.

    Example:
        >>> from styler.config import UnitScheduleConfig
        >>> from styler.features import load_extractor
        >>> config = VisualizeConfig(schedule=UnitScheduleConfig(size=32, steps=2))
        >>> image = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
        >>> (drawn,) = caricature(image, ["r21"], load_extractor("vgg-lite"), config)
        >>> drawn.layer, drawn.image.shape
        ('relu2_1', torch.Size([1, 3, 24, 32]))
    """
    config = config or preset_config(PRESET)
    problem = ReferenceProblem(image, layers, extractor, config, caricature_term(config))
    return problem.solve(done=done, callbacks=callbacks, should_stop=should_stop)
