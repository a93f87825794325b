"""Inversion: pictures whose features at a layer are those of another picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from styler.config import VisualizeConfig
from styler.engine import Callback
from styler.features import Extractor
from styler.losses import ContentLoss, LayerwiseLoss
from styler.objective import Features, FeatureTerm
from styler.reference import LayerPicture, ReferenceProblem, preset_config

PRESET = "inversion"
"""The preset whose settings are the default."""


def inversion_term(layer: str, features: Features) -> FeatureTerm:
    """The squared difference from features, divided by their own squares.

    Args:
        layer: canonical name.
        features: layer → (B, C, H, W), what the picture is to have.
    """
    loss = LayerwiseLoss(ContentLoss("relative"), {layer: 1.0})
    return FeatureTerm(
        name="features", weight=1.0, loss=loss, targets=loss.prepare(loss.represent(features))
    )


def invert(
    image: Tensor,
    layers: Sequence[str],
    extractor: Extractor,
    config: VisualizeConfig | None = None,
    *,
    done: Callable[[LayerPicture], None] | None = None,
    callbacks: Sequence[Callback] = (),
    should_stop: Callable[[int], bool] | None = None,
) -> list[LayerPicture]:
    """What is left of a picture at layers of a network.

    Starting from noise, a picture is sought whose features at a layer are the image's. What
    differs is what the layer does not keep; penalties choose among pictures that are equal to it.

    Args:
        image: (1, 3, H, W) float32 sRGB in [0, 1].
        layers: names or aliases; each gets a picture of its own.
        extractor: the network.
        config: every setting; None takes those of the preset `inversion`.
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
        >>> import torch
        >>> from styler.config import UnitScheduleConfig
        >>> from styler.features import load_extractor
        >>> config = VisualizeConfig(schedule=UnitScheduleConfig(size=32, steps=2))
        >>> image = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
        >>> (inverted,) = invert(image, ["r21"], load_extractor("vgg-lite"), config)
        >>> inverted.layer, inverted.image.shape
        ('relu2_1', torch.Size([1, 3, 24, 32]))

    References:
        Mahendran & Vedaldi 2015, "Understanding Deep Image Representations by Inverting Them",
        arXiv 1412.0035: ‖Φ(x) − Φ(x0)‖² / ‖Φ(x0)‖², the sixth power of the pixels and total
        variation. Departures are those of the preset, which names them.
    """
    config = config or preset_config(PRESET)
    problem = ReferenceProblem(image, layers, extractor, config, inversion_term)
    return problem.solve(done=done, callbacks=callbacks, should_stop=should_stop)
