"""The gradient of pictures that are too large to be shown to the network whole.

Styles are compared by sums over positions: with the picture's sums known, what a tile contributes
to the loss does not depend on the others any more. So the picture is shown twice, first for the
sums, then for the gradient, and neither time whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor

from styler.errors import UsageError
from styler.features import Extractor
from styler.losses import FeatureSums, StyleLoss
from styler.losses.base import FeatureLoss
from styler.losses.statistics import sums_gradient
from styler.objective import Evaluation, FeatureTerm, ImageTerm, Objective, Term
from styler.params import ImageParameter
from styler.tiled_network import Piece, TiledNetwork


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A loss of a term at one layer."""

    term: FeatureTerm
    layer: str

    @property
    def loss(self) -> FeatureLoss[Any]:
        return self.term.loss.at(self.layer)

    @property
    def factor(self) -> float:
        """Of the layer in the term."""
        return self.term.loss.weights[self.layer]

    def mask(self, piece: Piece) -> Tensor | None:
        return piece.of(self.term.masks.get(self.layer))


class TiledGradient:
    """The same as `styler.engine.DirectGradient`, tile by tile.

    It takes the network's forward pass a second time, and in exchange a small and constant part
    of the memory. Values and gradients are those of the whole picture but for the order of
    additions.

    Args:
        extractor: computes the features.
        objective: judges them: style losses by sums over positions, losses that compare features
            in place, and losses of the pixels.
        sides: see `TiledNetwork`.

    Raises:
        ConfigError: the units of a layer see the whole image.
        UsageError: a term cannot be taken tile by tile.
    """

    def __init__(
        self, extractor: Extractor, objective: Objective, sides: Sequence[int] | int
    ) -> None:
        check_tileable(objective)
        self.objective = objective
        self.network = (
            TiledNetwork(extractor, objective.layers, sides) if objective.layers else None
        )
        features = [term for term in objective.terms if isinstance(term, FeatureTerm)]
        parts = [_Part(term=term, layer=layer) for term in features for layer in term.loss.layers]
        self._summed = [part for part in parts if isinstance(part.loss, StyleLoss)]
        self._placed = [part for part in parts if not isinstance(part.loss, StyleLoss)]

    def __call__(self, parameter: ImageParameter) -> Evaluation:
        """Two passes of the network; see `styler.engine.Gradient`."""
        image = parameter.image()
        seen = image.detach()
        self.values = {term.name: seen.new_zeros(()) for term in self.objective.terms}
        gradient = torch.zeros_like(seen) if self.network is None else self._features(seen)
        self._add_pixels(seen, gradient)
        (parameter.raw.grad,) = torch.autograd.grad(image, [parameter.raw], gradient)
        weighted = [term.weight * self.values[term.name] for term in self.objective.terms]
        return Evaluation(torch.stack(weighted).sum(), self.values)

    def _features(self, seen: Tensor) -> Tensor:
        """The gradient of all terms that read features."""
        assert self.network is not None  # the caller has looked
        slopes = self._settle(self._sums(self.network, seen))
        return self.network.backward(lambda piece: self._slope(piece, slopes))

    def _slope(self, piece: Piece, slopes: list[FeatureSums]) -> Tensor:
        """The gradient of all losses in the features of a piece."""
        found = [
            sums_gradient(piece.features, own.first, own.second, part.mask(piece))
            for part, own in zip(self._summed, slopes, strict=True)
            if part.layer == piece.layer
        ]
        placed = [part for part in self._placed if part.layer == piece.layer]
        if placed:
            leaf = piece.features.requires_grad_()
            with torch.enable_grad():
                values = [self._compare(part, piece) for part in placed]
            found += torch.autograd.grad(values, [leaf])
        return reduce(add, found)

    def _sums(self, network: TiledNetwork, seen: Tensor) -> list[FeatureSums]:
        """What each style loss sees of the whole picture."""
        found: dict[int, FeatureSums] = {}
        with torch.no_grad():
            for piece in network.forward(seen, {part.layer for part in self._summed}):
                for number, part in enumerate(self._summed):
                    if part.layer == piece.layer:
                        own = _accumulate(part, piece)
                        found[number] = found[number] + own if number in found else own
        return [found[number] for number in range(len(self._summed))]

    def _settle(self, sums: list[FeatureSums]) -> list[FeatureSums]:
        """Compare the sums with their targets; gives the gradient of each sum."""
        slopes = []
        for part, own in zip(self._summed, sums, strict=True):
            assert isinstance(part.loss, StyleLoss)  # that is how they were chosen
            leaf = own.map(lambda tensor: tensor.clone().requires_grad_())
            leaf = replace(leaf, count=own.count)  # masks are constant
            with torch.enable_grad():
                value = part.loss.compare(part.loss.finalise(leaf), part.term.targets[part.layer])
                value = part.factor * value
            self.values[part.term.name] += value.detach()
            gradients = iter(torch.autograd.grad(part.term.weight * value, _tensors(leaf)))
            first = None if leaf.first is None else next(gradients)
            second = None if leaf.second is None else next(gradients)
            slopes.append(FeatureSums(own.count, first, second))
        return slopes

    def _compare(self, part: _Part, piece: Piece) -> Tensor:
        """A loss that compares features in place, for a tile."""
        target = part.loss.crop(part.term.targets[part.layer], piece.rows, piece.columns)
        own = part.loss.represent(piece.features, part.mask(piece))
        value = part.factor * part.loss.compare(own, target)
        self.values[part.term.name] += value.detach()
        return part.term.weight * value

    def _add_pixels(self, seen: Tensor, gradient: Tensor) -> None:
        """Add the gradient of all terms that read the pixels."""
        for term in self.objective.terms:
            if isinstance(term, ImageTerm):
                leaf = seen.detach().requires_grad_()
                with torch.enable_grad():
                    value = term(leaf, {})
                    (own,) = torch.autograd.grad(term.weight * value, [leaf])
                self.values[term.name] += value.detach()
                gradient += own


def check_tileable(objective: Objective) -> None:
    """Make sure that every term can be taken tile by tile.

    Raises:
        UsageError: one cannot; it says which and why.
    """
    for term in objective.terms:
        _check(term)


def _check(term: Term) -> None:
    if isinstance(term, ImageTerm):
        return
    if not isinstance(term, FeatureTerm):
        raise UsageError(f"{term.name} cannot be taken tile by tile: it is no loss of features")
    for layer in term.loss.layers:
        loss = term.loss.at(layer)
        if not isinstance(loss, StyleLoss) and not loss.tileable:
            raise UsageError(
                f"{term.name} cannot be taken tile by tile: {type(loss).__name__} compares "
                f"each position of {layer} with all others",
                "a smaller --size, or another loss",
            )


def _accumulate(part: _Part, piece: Piece) -> FeatureSums:
    assert isinstance(part.loss, StyleLoss)  # that is how they were chosen
    return part.loss.accumulate(piece.features, part.mask(piece))


def _tensors(sums: FeatureSums) -> list[Tensor]:
    """The sums that depend on features."""
    return [tensor for tensor in (sums.first, sums.second) if tensor is not None]
