"""The gradient of a picture that is compared with another one, both seen through the same views."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from styler.config import ViewConfig, VisualizeConfig
from styler.features import Extractor
from styler.features.redirect import RedirectedRelu
from styler.losses import TotalVariationLoss
from styler.objective import Evaluation, Features, ImageTerm, Objective, Term
from styler.params import ImageParameter
from styler.transforms import Draw, transform_of
from styler.unit_gradient import sixth_power

Compare = Callable[[str, Features], Term]
"""Makes the term that compares a picture with another one, whose features at a layer it is given:
(canonical name, features)."""


class ReferenceGradient:
    """The gradient of a picture that is compared with another one at a layer.

    At each step both are seen through the same draw of random views, or as they are.

    Args:
        extractor: computes the features.
        reference: (1, 3, H, W) sRGB of the picture's size, on the extractor's device.
        layer: canonical name.
        compare: makes the term.
        config: views, penalties and the redirection of dead gradients.
        generator: of the views, on the CPU.
    """

    def __init__(
        self,
        extractor: Extractor,
        reference: Tensor,
        layer: str,
        compare: Compare,
        config: VisualizeConfig,
        generator: torch.Generator,
    ) -> None:
        self.extractor = extractor
        self.reference = reference
        self.layer = layer
        self.compare = compare
        self.config = config
        self.generator = generator
        self.steps = 0
        self.transform = None if is_still(config.view) else transform_of(config.view)
        self.penalties = penalties(config)
        self._still = self.objective(None) if self.transform is None else None

    def __call__(self, parameter: ImageParameter) -> Evaluation:
        """One forward and one backward pass; see `styler.engine.Gradient`."""
        parameter.raw.grad = None
        draw = self.draw()
        objective = self._still or self.objective(draw)
        image = parameter.image()
        views = image if draw is None else draw(image)
        with self._redirected(views.shape[0]):
            features = self.extractor(views, [self.layer])
        evaluation = objective(image, features)
        evaluation.total.backward()  # type: ignore[no-untyped-call]
        self.steps += 1
        return Evaluation(evaluation.total.detach(), evaluation.losses)

    def draw(self) -> Draw | None:
        """The views of this step; None for the pictures as they are."""
        if self.transform is None:
            return None
        size = (self.reference.shape[-2], self.reference.shape[-1])
        progress = min(1.0, self.steps / max(1, self.config.schedule.steps - 1))
        return self.transform.draw(size, [self.generator], [progress])

    def objective(self, draw: Draw | None) -> Objective:
        """What the picture is to be like through views, and what keeps it in bounds.

        Args:
            draw: takes the views; None for the pictures as they are.
        """
        seen = self.reference if draw is None else draw(self.reference)
        with torch.no_grad():
            features = self.extractor(seen, [self.layer])
        return Objective([self.compare(self.layer, features), *self.penalties])

    def _redirected(self, views: int) -> contextlib.AbstractContextManager[object]:
        if self.steps >= self.config.redirect:
            return contextlib.nullcontext()
        return RedirectedRelu(torch.ones(views, dtype=torch.bool, device=self.extractor.device))


def penalties(config: VisualizeConfig) -> list[Term]:
    """What keeps a picture smooth and in bounds, where it has a weight."""
    smooth = config.smoothness
    variation = TotalVariationLoss(smooth.norm, smooth.reduction, power=smooth.power)
    return [
        ImageTerm(name="range", weight=config.range_weight, loss=sixth_power),
        ImageTerm(name="smoothness", weight=smooth.weight, loss=variation),
    ]


def is_still(view: ViewConfig) -> bool:
    """Whether views are the picture itself.

    Example:
        >>> from styler.transforms import STILL
        >>> is_still(ViewConfig()), is_still(STILL)
        (False, True)
    """
    if view.crops or view.noise:
        return False
    return (view.pad, sum(view.jitter), {*view.scales}, view.degrees) == (0, 0, {1.0}, 0)
