"""Activation maximization: units of a network, and the term that makes pictures excite them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from styler.objective import Features

COSINE_FLOOR = 0.1
"""Least cosine that a direction's dot product is multiplied by a power of."""

Position = Literal["all", "centre"] | tuple[int, int]
"""Where a unit is looked at: the mean over the layer, its middle, or (row, column)."""


@dataclass(frozen=True)
class Part:
    """Something in one layer that can be active.

    Args:
        layer: canonical name.
        channel: which; None for a direction or the whole layer.
        direction: (C,), in the space of the layer's channels; None for a channel or the whole.
        weight: its factor; negative for what is to be silenced.
        position: where.
    """

    layer: str
    channel: int | None = None
    direction: Tensor | None = None
    weight: float = 1.0
    position: Position = "all"


@dataclass(frozen=True)
class Unit:
    """What one picture is made for: a weighted sum of parts.

    Args:
        name: by which a person knows it; its picture's randomness hangs on it.
        parts: at least one.
        scale: what the sum is divided by.
    """

    name: str
    parts: tuple[Part, ...]
    scale: float = 1.0

    @property
    def layers(self) -> frozenset[str]:
        """The layers it is in."""
        return frozenset(part.layer for part in self.parts)


class ActivationTerm:
    """The negative activation of units, one for each picture, summed over the pictures.

    A channel's activation is the mean over its positions, a whole layer's the mean square (which
    is DeepDream's), a direction's the mean of the dot product times a power of the cosine. Summed
    and not averaged, the gradient of a picture does not depend on how many there are.

    Args:
        units: of B pictures.
        cosine: power of the cosine, with `COSINE_FLOOR`.
        weight: of the term.
        name: under which it is reported.

    Example:
        >>> term = ActivationTerm([Unit("relu1_1:1", (Part("relu1_1", channel=1),))])
        >>> features = {"relu1_1": torch.arange(8.0).view(1, 2, 2, 2)}
        >>> term(torch.zeros(1, 3, 2, 2), features)
        tensor(-5.5000)

    References:
        Erhan et al. 2009, "Visualizing higher-layer features of a deep network"; Olah,
        Mordvintsev, Schubert 2017, "Feature Visualization", Distill; Carter et al. 2019,
        "Activation Atlas", Distill (dot product times cosine).
    """

    def __init__(
        self,
        units: Sequence[Unit],
        *,
        cosine: float = 2.0,
        weight: float = 1.0,
        name: str = "activation",
    ) -> None:
        self.units = tuple(units)
        self.cosine = cosine
        self.weight = weight
        self.name = name
        self._channels: dict[tuple[str, Position], _Channels] = {}
        self._others: list[tuple[int, Part]] = []
        groups: dict[tuple[str, Position], list[tuple[int, Part]]] = defaultdict(list)
        for row, unit in enumerate(self.units):
            for part in unit.parts:
                if part.channel is None:
                    self._others.append((row, part))
                else:
                    groups[part.layer, part.position].append((row, part))
        for key, members in groups.items():
            self._channels[key] = _Channels(
                torch.tensor([row for row, _ in members]),
                torch.tensor([part.channel for _, part in members]),
                torch.tensor([part.weight for _, part in members]),
            )
        self._scales = torch.tensor([unit.scale for unit in self.units])

    @property
    def layers(self) -> frozenset[str]:
        """All layers that any unit is in."""
        return frozenset().union(*(unit.layers for unit in self.units))

    def values(self, features: Features) -> Tensor:
        """How active each unit is in its own picture.

        Args:
            features: layer → (B·K, C, H, W) or (B·K, C), K views of each picture in a row.

        Returns:
            (B,), the mean over the views.
        """
        device = next(iter(features.values())).device
        total = torch.zeros(len(self.units), device=device)
        for (layer, position), chosen in self._channels.items():
            # With channels last, as extractors give them, the gradient comes back in that layout.
            maps = _views(features[layer], len(self.units)).movedim(2, -1)
            rows, channels = chosen.rows.to(device), chosen.channels.to(device)
            active = _at(maps[rows, :, :, :, channels].float(), position)
            total = total.index_add(0, rows, active * chosen.weights.to(device))
        for row, part in self._others:
            maps = _views(features[part.layer], len(self.units))[row].float()
            active = part.weight * self._other(maps, part)
            total = total.index_add(0, torch.tensor([row], device=device), active[None])
        return total / self._scales.to(device)

    def _other(self, maps: Tensor, part: Part) -> Tensor:
        """The activation of a whole layer or of a direction in (K, C, H, W)."""
        if part.direction is None:
            return _at(maps.square().mean(1)[None], part.position)[0]
        return _at(toward(maps, part.direction, self.cosine)[None], part.position)[0]

    def __call__(self, image: Tensor, features: Features) -> Tensor:
        """The negative sum; of transparent pictures (B, 4, H, W), times what is transparent."""
        values = self.values(features)
        if image.shape[1] == 4:
            values = values * (1 - image[:, 3].mean((1, 2)))
        return -values.sum()


@dataclass(frozen=True)
class _Channels:
    """Channels that are gathered from one layer at once."""

    rows: Tensor
    channels: Tensor
    weights: Tensor


def toward(maps: Tensor, direction: Tensor, cosine: float) -> Tensor:
    """How far features go in a direction: dot product times a power of the cosine.

    Args:
        maps: (K, C, H, W).
        direction: (C,), or features of the same shape as `maps`.
        cosine: the power; 0 for the dot product alone.

    Returns:
        (K, H, W), for a direction of length 1.
    """
    direction = direction.to(maps)
    if direction.ndim == 1:
        direction = direction.view(1, -1, 1, 1)
    direction = direction / torch.linalg.vector_norm(direction, dim=1, keepdim=True).clamp_min(
        1e-12
    )
    dot = (maps * direction).sum(1)
    if not cosine:
        return dot
    length = maps.square().sum(1).clamp_min(1e-12).sqrt()
    return dot * (dot / length).clamp_min(COSINE_FLOOR).pow(cosine)


def _views(features: Tensor, units: int) -> Tensor:
    """(B·K, C, H, W) or (B·K, C) as (B, K, C, H, W)."""
    if features.ndim == 2:
        features = features[:, :, None, None]
    return features.view(units, features.shape[0] // units, *features.shape[1:])


def _at(maps: Tensor, position: Position) -> Tensor:
    """(N, K, H, W) at a position, as (N,)."""
    if position == "all":
        return maps.mean((1, 2, 3))
    height, width = maps.shape[-2:]
    row, column = (height // 2, width // 2) if position == "centre" else position
    return maps[..., row, column].mean(1)


class DiversityTerm:
    """How alike several pictures of one unit are, to be minimised.

    The mean cosine between the Gram matrices of all pairs, summed over the units.

    Args:
        layer: whose features are compared.
        each: pictures of each unit, which follow one another in the batch.
        weight: of the term.

    Example:
        >>> term = DiversityTerm("relu1_1", each=2)
        >>> term(torch.zeros(2, 3, 2, 2), {"relu1_1": torch.ones(2, 3, 2, 2)})
        tensor(1.)

    References:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill, section "Diversity".
    """

    name = "likeness"

    def __init__(self, layer: str, each: int, weight: float = 1.0) -> None:
        self.layer = layer
        self.each = each
        self.weight = weight

    @property
    def layers(self) -> frozenset[str]:
        """The one layer."""
        return frozenset([self.layer])

    def __call__(self, image: Tensor, features: Features) -> Tensor:
        """The likeness of the pictures of each unit, summed over the units."""
        maps = _views(features[self.layer], image.shape[0]).float()
        vectors = maps.movedim(2, 1).flatten(2)  # (B, C, positions of all views)
        grams = (vectors @ vectors.mT).flatten(1)
        grams = grams / torch.linalg.vector_norm(grams, dim=1, keepdim=True).clamp_min(1e-12)
        groups = grams.view(-1, self.each, grams.shape[1])
        cosines = groups @ groups.mT
        pairs = self.each * (self.each - 1)
        others = cosines.sum() - cosines.diagonal(dim1=1, dim2=2).sum()
        likeness: Tensor = others / max(pairs, 1)
        return likeness
