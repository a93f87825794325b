"""Where the loss of a picture comes from, and who pulls its pixels which way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod, sqrt

import torch
from torch import Tensor

from styler.color.modes import without_chroma
from styler.errors import UsageError
from styler.images import check_picture, fit_long_side
from styler.objective import Features, FeatureTerm, Term
from styler.runtime import memory_errors_explained
from styler.schedule import Level
from styler.transfer import Problem

PIXELS = 1024 * 1024
"""Pixels above which a picture is looked at smaller: all layers are kept in memory while each part
goes back through them. A quarter of them where even one gradient is worked out in tiles."""

OPPOSED = -0.1
"""Cosine below which two gradients pull against each other."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One summand of the total: a term at one of its layers, or a term that has none.

    Args:
        term: its name.
        layer: the layer; None for a term that is one part.
        loss: unweighted.
        weight: of the term times that of the layer.
        share: of the weighted loss in the sum of all absolute values, which is the total where no
            part is negative; -1 to 1.
        gradient: Euclidean norm of the weighted loss's gradient in the pixels.
        gradient_share: of `gradient` in the sum of those of all parts, 0 to 1.
        pull: cosine between this gradient and the total's: 1 pulls where the picture goes, 0
            across, -1 against the others.
    """

    term: str
    layer: str | None
    loss: float
    weight: float
    share: float
    gradient: float
    gradient_share: float
    pull: float

    @property
    def name(self) -> str:
        """For people."""
        return self.term if self.layer is None else f"{self.term} {self.layer}"

    @property
    def weighted(self) -> float:
        """What it adds to the total."""
        return self.weight * self.loss


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """All parts of a picture's loss.

    Args:
        parts: in the order of the objective's terms and their layers.
        total: the weighted loss.
        gradient: Euclidean norm of its gradient in the pixels.
        size: (height, width) at which it was worked out.
        levels: the scales of the transfer.
        weights: of the terms, by name.
        cosines: between the gradients of any two parts, in their order; 0 for a gradient of zero.
    """

    parts: tuple[Part, ...]
    total: float
    gradient: float
    size: tuple[int, int]
    levels: tuple[Level, ...]
    weights: dict[str, float]
    cosines: tuple[tuple[float, ...], ...]

    @property
    def agreement(self) -> float:
        """The total gradient's norm over the sum of the parts'.

        1 when all pull one way, 0 when they hold each other in balance and the picture is done.
        """
        summed = sum(part.gradient for part in self.parts)
        return self.gradient / summed if summed else 0.0

    @property
    def reduced(self) -> bool:
        """Whether the picture was looked at smaller than it was optimised."""
        return self.size != self.levels[-1].size

    def shares(self) -> dict[str, tuple[float, float]]:
        """By term: the shares of its parts in the loss and in the gradient, summed."""
        return {
            term: (
                sum(part.share for part in self.parts if part.term == term),
                sum(part.gradient_share for part in self.parts if part.term == term),
            )
            for term in self.weights
        }

    def opposed(self, most: int = 3) -> list[tuple[Part, Part, float]]:
        """The pairs of parts that cancel most of each other, with their cosines.

        Args:
            most: pairs at most; those that do not pull against each other are none.
        """
        pairs = [
            (one, other, self.cosines[m][n])
            for m, one in enumerate(self.parts)
            for n, other in enumerate(self.parts[:m])
            if self.cosines[m][n] < OPPOSED
        ]
        pairs.sort(key=lambda pair: pair[2] * pair[0].gradient * pair[1].gradient)
        return [(other, one, cosine) for one, other, cosine in pairs[:most]]


def explain(problem: Problem, image: Tensor, *, side: int | None = None) -> Explanation:
    """Take a picture's loss and its gradient apart.

    Losses and gradients are those of the transfer's finest scale. Every part's gradient is a
    backward pass of its own through one forward pass, which holds all layers in memory; so pictures
    of more than `PIXELS` are looked at smaller, with targets of that size. Terms' shares change by
    some hundredths then; pulls change more, as parts are in balance only at the size at which they
    were optimised. What is held as it is takes no gradient. With ``color.mode`` `luminance`, the
    picture is looked at in grey, as it was optimised; colours that other modes changed after the
    run stay as they are.

    Args:
        problem: what the picture was made for.
        image: (1, 3, H, W) sRGB in [0, 1], of any size; it is resized to the scale's.
        side: the longer one at which it is looked at, in pixels; no more than the scale's own.
            None for the scale's own, or less as said.

    Returns:
        The parts, whose weighted losses sum to the objective's total, and whose gradients sum to
        its gradient.

    Raises:
        UsageError: a tensor of another shape, or a side below 1.
        ImageError: a side too small for the network.
        DeviceError: there is not enough memory.

    Example:
        >>> from styler.config import TransferConfig
        >>> from styler.features import load_extractor
        >>> noise = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0))
        >>> problem = Problem(noise, noise.flip(3), TransferConfig(), load_extractor("vgg-lite"))
        >>> explanation = explain(problem, 1 - noise)
        >>> [part.name for part in explanation.parts][:2]
        ['content relu4_2', 'style relu1_1']
        >>> f"{sum(part.share for part in explanation.parts):.3f}"
        '1.000'
    """
    check_picture("image", image)
    level = _looked_at(problem, side)
    extractor = problem.extractor
    with memory_errors_explained(extractor.device):
        objective = problem.objective(level)
        free = _seen(problem, image, level.size).requires_grad_()
        pixels = _with_held(problem, free)
        features = extractor(pixels, objective.layers) if objective.layers else {}
        pieces = [piece for term in objective.terms for piece in _pieces(term, pixels, features)]
        gradients = torch.stack([_gradient(each.weight * each.loss, free) for each in pieces])
    parts = _parts(pieces, gradients)
    return Explanation(
        parts=parts,
        total=sum(part.weighted for part in parts),
        gradient=float(gradients.sum(0).norm()),
        size=level.size,
        levels=tuple(problem.levels),
        weights={term.name: term.weight for term in objective.terms},
        cosines=tuple(map(tuple, _cosines(gradients, gradients).tolist())),
    )


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """A part whose loss still has its graph."""

    term: str
    layer: str | None
    weight: float
    loss: Tensor


def _looked_at(problem: Problem, side: int | None) -> Level:
    """The scale at which a picture is taken apart."""
    if side is not None and side < 1:
        raise UsageError(f"a side of {side} is asked for", "give a number of pixels, 1 or more")
    finest = problem.levels[-1]
    own = longest = max(finest.size)
    if side is None:
        pixels = PIXELS // 4 if problem.plans[-1].tiled else PIXELS
        longest = int(own * sqrt(pixels / prod(finest.size)))
    longest = min(own, side or longest)
    return finest if longest == own else replace(finest, size=fit_long_side(finest.size, longest))


def _seen(problem: Problem, image: Tensor, size: tuple[int, int]) -> Tensor:
    """A finished picture as the losses saw it, on the extractor's device."""
    pixels = problem.resized(image.detach(), size)
    if problem.config.color.mode == "luminance":
        pixels = without_chroma(pixels)
    return pixels.to(problem.extractor.device)


def _with_held(problem: Problem, free: Tensor) -> Tensor:
    """A picture with what stays as it is laid over it."""
    held = problem.held(problem.content)
    return free if held is None else held.over(free)


def _pieces(term: Term, image: Tensor, features: Features) -> Iterator[_Piece]:
    """A term layer by layer, where it has layers that are summed."""
    if not isinstance(term, FeatureTerm):
        loss = term(image, features)
        yield _Piece(term=term.name, layer=None, weight=term.weight, loss=loss)
        return
    own = {layer: features[layer] for layer in term.targets}
    represented = term.loss.represent(own, term.masks)
    for layer, loss in term.loss.per_layer(represented, term.targets).items():
        weight = term.weight * term.loss.weights[layer]
        yield _Piece(term=term.name, layer=layer, weight=weight, loss=loss)


def _gradient(loss: Tensor, image: Tensor) -> Tensor:
    """In the pixels, flat, float64 on the CPU; zero where the loss does not depend on them."""
    found: Tensor | None = None
    if loss.requires_grad:
        found = torch.autograd.grad(loss, image, retain_graph=True, allow_unused=True)[0]
    given = torch.zeros_like(image) if found is None else found
    return given.detach().flatten().cpu().double()


def _cosines(some: Tensor, others: Tensor) -> Tensor:
    """(N, M) of vectors (N, K) and (M, K); 0 where one is zero."""
    products = some @ others.T
    norms = some.norm(dim=1)[:, None] * others.norm(dim=1)
    return torch.where(norms > 0, products / norms.clamp_min(1e-300), 0.0).clamp(-1, 1)


def _parts(pieces: list[_Piece], gradients: Tensor) -> tuple[Part, ...]:
    """The parts, given the gradient of each, (N, K)."""
    losses = [float(piece.loss.detach()) for piece in pieces]
    norms = gradients.norm(dim=1).tolist()
    pulls = _cosines(gradients, gradients.sum(0, keepdim=True))[:, 0].tolist()
    of_loss = sum(abs(piece.weight * loss) for piece, loss in zip(pieces, losses, strict=True))
    of_gradient = sum(norms)
    return tuple(
        Part(
            term=piece.term,
            layer=piece.layer,
            loss=loss,
            weight=piece.weight,
            share=piece.weight * loss / of_loss if of_loss else 0.0,
            gradient=norm,
            gradient_share=norm / of_gradient if of_gradient else 0.0,
            pull=pull,
        )
        for piece, loss, norm, pull in zip(pieces, losses, norms, pulls, strict=True)
    )
