"""The gradient as it was planned, and in smaller tiles once memory has run out."""

from __future__ import annotations

import torch

from styler.engine import DirectGradient, Gradient
from styler.objective import Evaluation, Objective
from styler.params import ImageParameter
from styler.planner import Need, Plan, smaller
from styler.runtime import is_out_of_memory
from styler.tiled_gradient import TiledGradient


class PlannedGradient:
    """Works out gradients as planned; when memory runs out it goes on with smaller tiles.

    A gradient leaves pixels and optimiser as they are, so the step that failed is taken again and
    nothing is lost.

    Args:
        need: what is to be done.
        plan: how to begin.
        objective: judges the features.
    """

    def __init__(self, need: Need, plan: Plan, objective: Objective) -> None:
        self.need = need
        self.plan = self._planned = plan
        self.objective = objective
        self._gradient = self._made()

    @property
    def notices(self) -> list[str]:
        """What a user should know of how it went."""
        if self.plan == self._planned:
            return []
        height, width = self.need.size
        return [
            f"memory ran out at {width}×{height}; it was gone on with in tiles of "
            f"{self.plan.sides[0]} pixels (--max-memory keeps to less from the start)"
        ]

    def __call__(self, parameter: ImageParameter) -> Evaluation:
        """See `styler.engine.Gradient`.

        Raises:
            DeviceError: even the smallest tiles do not fit.
        """
        while True:
            try:
                return self._gradient(parameter)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                lesser = smaller(self.need, self.plan)
                if lesser is None:
                    raise
            self._retreat(lesser)

    def _retreat(self, plan: Plan) -> None:
        self.plan = plan
        if self.need.extractor.device.type == "cuda":
            torch.cuda.empty_cache()
        self._gradient = self._made()

    def _made(self) -> Gradient:
        if self.plan.tiled:
            return TiledGradient(self.need.extractor, self.objective, self.plan.sides)
        return DirectGradient(self.need.extractor, self.objective)
