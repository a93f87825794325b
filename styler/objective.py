"""Named losses over a network's features and over the image, and their weighted total."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from styler.errors import ConfigError
from styler.losses import LayerwiseLoss

Features = Mapping[str, Tensor]


class Term(Protocol):
    """One named, unweighted loss."""

    @property
    def name(self) -> str:
        """Under which it is reported."""
        ...

    @property
    def weight(self) -> float:
        """Its factor in the total."""
        ...

    @property
    def layers(self) -> frozenset[str]:
        """The layers whose features it reads."""
        ...

    def __call__(self, image: Tensor, features: Features) -> Tensor:
        """The unweighted loss, a scalar to be minimised.

        Args:
            image: (B, 3, H, W) sRGB.
            features: layer → (B, C, H, W), at least `layers`.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class FeatureTerm:
    """A loss between the image's features and targets that are computed once.

    Args:
        name: under which it is reported.
        weight: its factor in the total.
        loss: the layers with their weights, and how each is compared.
        targets: what `loss.represent` gave for the picture to be matched.
        masks: (B or 1, 1, H, W) position weights of the picture's features by layer; layers without
            one count whole.
    """

    name: str
    weight: float
    loss: LayerwiseLoss
    targets: Mapping[str, Any]
    masks: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def layers(self) -> frozenset[str]:
        """The layers whose features it reads."""
        return frozenset(self.targets)

    def __call__(self, image: Tensor, features: Features) -> Tensor:
        """The weighted sum over its layers."""
        own = {layer: features[layer] for layer in self.targets}
        return self.loss.compare(self.loss.represent(own, self.masks), self.targets)


@dataclass(frozen=True, kw_only=True)
class ImageTerm:
    """A loss on the pixels alone, such as total variation."""

    name: str
    weight: float
    loss: Callable[[Tensor], Tensor]

    @property
    def layers(self) -> frozenset[str]:
        """None: it reads no features."""
        return frozenset()

    def __call__(self, image: Tensor, features: Features) -> Tensor:
        """The loss of the image."""
        return self.loss(image)


@dataclass(frozen=True)
class Evaluation:
    """What an objective says of one image.

    Args:
        total: the weighted sum, a scalar with a graph.
        losses: name → unweighted scalar, detached.
    """

    total: Tensor
    losses: dict[str, Tensor]


class Objective:
    """A weighted sum of terms, always minimised. Terms of weight 0 are left out.

    Args:
        terms: with names that differ.

    Raises:
        ConfigError: no term has a weight.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = tuple(term for term in terms if term.weight != 0)
        if not self.terms:
            raise ConfigError("nothing to optimise: every weight is 0", "give one term a weight")

    @property
    def layers(self) -> frozenset[str]:
        """All layers that any term reads."""
        return frozenset().union(*(term.layers for term in self.terms))

    def __call__(self, image: Tensor, features: Features) -> Evaluation:
        """Evaluate every term.

        Args:
            image: (B, 3, H, W) sRGB.
            features: layer → (B, C, H, W) for at least `layers`.
        """
        values = {term.name: term(image, features) for term in self.terms}
        total = torch.stack([term.weight * values[term.name] for term in self.terms]).sum()
        return Evaluation(total, {name: value.detach() for name, value in values.items()})
