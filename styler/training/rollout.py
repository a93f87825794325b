"""Pictures met during optimisation: where a student goes wrong is where it leads the pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from styler.config import OptimizerConfig, TransferConfig
from styler.engine import DirectGradient
from styler.features import Extractor
from styler.losses import LayerwiseLoss, TotalVariationLoss
from styler.objective import FeatureTerm, ImageTerm, Objective
from styler.params import PixelImage
from styler.steppers import AdamMoments, AdamStepper
from styler.terms import content_loss, style_loss
from styler.training.data import Crops

LIVES = (10, 120)
"""Fewest and most steps that a group of pictures is optimised for."""
LR = 0.03
"""Step size of the pixels; larger than in transfers, which take more steps."""
CONTENT_WEIGHTS = (0.0, 1.5)
"""Range from which each group draws its content weight."""


class Group:
    """A batch of pictures on its way from contents to styles, by the student's own gradient."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.content: Tensor = record["content"]
        self.style: Tensor = record["style"]
        self.weight: float = record["weight"]
        self.life: int = record["life"]
        self.age: int = record["age"]
        moments = AdamMoments(*record["moments"]) if record["moments"] else None
        config = OptimizerConfig()
        self._stepper = AdamStepper(PixelImage(record["image"]), config, LR, moments)

    @classmethod
    def start(
        cls, crops: Crops, count: int, side: int, generator: torch.Generator, device: torch.device
    ) -> Group:
        """New contents and styles from the training pictures."""
        content, style = (crops(count, side, generator).to(device) for _ in range(2))
        low, high = CONTENT_WEIGHTS
        return cls(
            {
                "content": content,
                "style": style,
                "weight": low + (high - low) * float(torch.rand((), generator=generator)),
                "life": int(torch.randint(LIVES[0], LIVES[1], (), generator=generator)),
                "age": 0,
                "image": content,
                "moments": None,
            }
        )

    def record(self) -> dict[str, Any]:
        """All that `Group` needs to go on."""
        moments = self._stepper.moments
        return {
            "content": self.content,
            "style": self.style,
            "weight": self.weight,
            "life": self.life,
            "age": self.age,
            "image": self._stepper.parameter.raw.detach(),
            "moments": [moments.step, moments.momentum, moments.first, moments.second],
        }

    def advance(self, extractor: Extractor) -> Tensor:
        """One step along the objective of the default preset under the student of now.

        Args:
            extractor: the student.

        Returns:
            The pictures after it, (B, 3, H, W) in [0, 1].
        """
        self._stepper.step(DirectGradient(extractor, self._objective(extractor)))
        self.age += 1
        return self._stepper.parameter.raw.detach().clone()

    def _objective(self, extractor: Extractor) -> Objective:
        config = TransferConfig()
        style = LayerwiseLoss(style_loss(config.style), config.style.layers)
        content = LayerwiseLoss(content_loss(config.content), config.content.layers)
        with torch.no_grad():
            styles = style.prepare(style.represent(extractor(self.style, style.layers)))
            contents = content.prepare(content.represent(extractor(self.content, content.layers)))
        smooth = config.smoothness
        return Objective(
            [
                FeatureTerm(name="style", weight=config.style.weight, loss=style, targets=styles),
                FeatureTerm(name="content", weight=self.weight, loss=content, targets=contents),
                ImageTerm(
                    name="smoothness",
                    weight=smooth.weight,
                    loss=TotalVariationLoss(smooth.norm, smooth.reduction, power=smooth.power),
                ),
            ]
        )


class Rollout:
    """Groups of pictures that take turns.

    Args:
        crops: where contents and styles come from.
        count: pictures in a group.
        side: their side in pixels.
        groups: how many groups there are.
        device: where they live.
    """

    def __init__(
        self, crops: Crops, *, count: int, side: int, groups: int, device: torch.device
    ) -> None:
        self._crops = crops
        self._count = count
        self._side = side
        self._device = device
        self.groups: list[Group | None] = [None] * groups

    def next(self, step: int, extractor: Extractor, generator: torch.Generator) -> Tensor:
        """Advance the group whose turn it is; one at the end of its life is replaced first.

        Args:
            step: whose turn it is.
            extractor: the student of now.
            generator: source of the randomness, on the CPU.

        Returns:
            Its pictures, (count, 3, side, side) in [0, 1].
        """
        turn = step % len(self.groups)
        group = self.groups[turn]
        if group is None or group.age >= group.life:
            group = Group.start(self._crops, self._count, self._side, generator, self._device)
            self.groups[turn] = group
        return group.advance(extractor)

    def records(self) -> list[dict[str, Any] | None]:
        """The state of all groups."""
        return [group.record() if group else None for group in self.groups]

    def restore(self, records: list[dict[str, Any] | None]) -> None:
        """Take up the state that `records` gave."""
        self.groups = [Group(record) if record else None for record in records]
