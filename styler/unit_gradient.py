"""The gradient of pictures of units, each seen through views of its own."""

from __future__ import annotations

import contextlib
from functools import partial

import torch
from torch import Tensor

from styler.activation import ActivationTerm, DiversityTerm
from styler.config import SmoothnessConfig, VisualizeConfig
from styler.features import Extractor
from styler.features.redirect import RedirectedRelu
from styler.losses.variation import total_variation
from styler.objective import Evaluation, ImageTerm, Objective, Term
from styler.params import FourierImage, ImageParameter
from styler.slots import Slots
from styler.transforms import Draw, transform_of


class UnitGradient:
    """The gradient of pictures of units, each seen through views of its own.

    Args:
        extractor: computes the features.
        slots: which units are at work.
        config: views, penalties and the redirection of dead gradients.
    """

    def __init__(self, extractor: Extractor, slots: Slots, config: VisualizeConfig) -> None:
        self.extractor = extractor
        self.slots = slots
        self.config = config
        self.transform = transform_of(config.view)
        self.values = torch.zeros(0)
        self._term: ActivationTerm
        self._objective: Objective

    def __call__(self, parameter: ImageParameter) -> Evaluation:
        """One forward and one backward pass; see `styler.engine.Gradient`."""
        if self.slots.changed:
            self._term = ActivationTerm(self.slots.units, cosine=self.config.cosine)
            self._objective = Objective([self._term, *self._penalties()])
            self.slots.changed = False
        parameter.raw.grad = None
        image = parameter.image()
        size = (image.shape[-2], image.shape[-1])
        draw = self.transform.draw(size, self.slots.generators, self.slots.progress)
        views = draw(self._opaque(image))
        with self._redirected(draw):
            features = self.extractor(views, self._term.layers)
        evaluation = self._objective(image, features)
        evaluation.total.backward()  # type: ignore[no-untyped-call]
        self.values = self._term.values({k: v.detach() for k, v in features.items()})
        return Evaluation(evaluation.total.detach(), evaluation.losses)

    def _penalties(self) -> list[Term]:
        """What keeps the pictures in bounds, apart from each other, and smooth."""
        config, slots = self.config, self.slots
        terms: list[Term] = []
        if slots.each > 1 and config.diversity:
            layer = slots.active[0].unit.parts[0].layer
            terms.append(DiversityTerm(layer, slots.each, config.diversity))
        if config.smoothness.weight:
            smooth = partial(_variation, config=config.smoothness)
            terms.append(ImageTerm(name="smoothness", weight=config.smoothness.weight, loss=smooth))
        if config.range_weight:
            terms.append(ImageTerm(name="range", weight=config.range_weight, loss=sixth_power))
        return terms

    def _opaque(self, image: Tensor) -> Tensor:
        """A transparent picture over noise, which only what is opaque can hide."""
        if image.shape[1] == 3:
            return image
        backgrounds = [
            FourierImage.noise(1, (image.shape[-2], image.shape[-1]), generator, std=0.2)
            for generator in self.slots.generators
        ]
        noise = torch.cat([background.image().detach() for background in backgrounds])
        colours, alpha = image[:, :3], image[:, 3:]
        return alpha * colours + (1 - alpha) * noise.to(image)

    def _redirected(self, draw: Draw) -> contextlib.AbstractContextManager[object]:
        young = self.slots.young(self.config.redirect)
        if not bool(young.any()):
            return contextlib.nullcontext()
        each = draw.views // len(young)
        return RedirectedRelu(young.repeat_interleave(each).to(self.extractor.device))


def _variation(image: Tensor, config: SmoothnessConfig) -> Tensor:
    """Total variation, summed over the pictures, so that each has its own."""
    return total_variation(image, config.norm, config.reduction, config.power).sum()


def sixth_power(image: Tensor) -> Tensor:
    """The mean sixth power of the centred pixels of each picture, summed over the pictures.

    Mahendran & Vedaldi 2015, arXiv 1412.0035, eq. 4 with α = 6; there not divided by the number of
    pixels.

    Example:
        >>> sixth_power(torch.tensor([[[[0.0, 0.5, 1.0]]]]))
        tensor(0.6667)
    """
    return (2 * image - 1).pow(6).mean((1, 2, 3)).sum()
