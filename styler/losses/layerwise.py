"""A loss over several layers: weighted, with one loss for all or one for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from torch import Tensor, nn

from styler.errors import UsageError, did_you_mean
from styler.losses._checks import check_non_negative
from styler.losses.base import FeatureLoss

V = TypeVar("V")


class LayerwiseLoss(nn.Module):
    """The weighted sum of losses at several layers.

    Args:
        loss: one loss for every layer, or one for each by its layer's name.
        weights: what each layer's loss is multiplied by, finite, 0 or more. The layers that
            mappings are read at are those named here; others are passed over.

    Raises:
        UsageError: no layer is named, a weight is negative, or the layers of `loss` and `weights`
            differ.

    Example:
        >>> import torch
        >>> from styler.losses import GramStyleLoss
        >>> loss = LayerwiseLoss(GramStyleLoss("hw"), {"relu1_1": 1.0, "relu2_1": 0.5})
        >>> style = {"relu1_1": torch.ones(1, 3, 8, 8), "relu2_1": torch.ones(1, 6, 4, 4)}
        >>> target = loss.prepare(loss.represent(style))
        >>> picture = {name: 2 * features for name, features in style.items()}
        >>> represented = loss.represent(picture)
        >>> loss.per_layer(represented, target)
        {'relu1_1': tensor(9.), 'relu2_1': tensor(9.)}
        >>> loss.compare(represented, target)
        tensor(13.5000)
    """

    def __init__(
        self,
        loss: FeatureLoss[Any] | Mapping[str, FeatureLoss[Any]],
        weights: Mapping[str, float],
    ) -> None:
        super().__init__()
        if not weights:
            raise UsageError("weights name no layer, expected at least one")
        for layer, weight in weights.items():
            check_non_negative(f"weight of {layer}", weight)
        if isinstance(loss, FeatureLoss):
            self._index = dict.fromkeys(weights, 0)
            losses = [loss]
        else:
            if set(loss) != set(weights):
                raise UsageError(
                    f"losses are for {', '.join(loss) or 'no layer'}, "
                    f"weights are for {', '.join(weights)}",
                    "name the same layers in both",
                )
            self._index = {layer: number for number, layer in enumerate(weights)}
            losses = [loss[layer] for layer in weights]
        # A list, because the names of a ModuleDict may not hold the dots that module paths have.
        self._losses = nn.ModuleList(losses)
        self.weights = dict(weights)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that the loss reads."""
        return tuple(self.weights)

    def at(self, layer: str) -> FeatureLoss[Any]:
        """The loss at one layer.

        Args:
            layer: one of `layers`.

        Returns:
            The loss, the same for all layers if one was given for all.

        Raises:
            UsageError: the loss does not read this layer.
        """
        return cast(FeatureLoss[Any], self._losses[_get(self._index, layer, "loss")])

    def represent(
        self, features: Mapping[str, Tensor], masks: Mapping[str, Tensor] | None = None
    ) -> dict[str, Any]:
        """What each layer's loss keeps of its features.

        Args:
            features: (B, C, H, W) by layer; other layers are passed over.
            masks: (B or 1, 1, H, W) position weights by layer; layers without one count whole.

        Returns:
            Representations by layer.

        Raises:
            UsageError: a layer is missing, or a shape or type does not fit.
        """
        masks = masks or {}
        return {
            layer: self.at(layer).represent(_get(features, layer, "features"), masks.get(layer))
            for layer in self.layers
        }

    def prepare(self, represented: Mapping[str, Any]) -> dict[str, Any]:
        """Make targets of representations; see `FeatureLoss.prepare`.

        Args:
            represented: from `represent`.

        Returns:
            Targets by layer.

        Raises:
            UsageError: a layer is missing, or a value is NaN or infinite.
        """
        return {
            layer: self.at(layer).prepare(_get(represented, layer, "representations"))
            for layer in self.layers
        }

    def per_layer(
        self, represented: Mapping[str, Any], targets: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        """The loss at each layer, unweighted.

        Args:
            represented: of the picture, by layer.
            targets: by layer; faster when prepared.

        Returns:
            Scalars by layer.

        Raises:
            UsageError: a layer is missing or shapes differ.
        """
        return {
            layer: self.at(layer).compare(
                _get(represented, layer, "representations"), _get(targets, layer, "targets")
            )
            for layer in self.layers
        }

    def compare(self, represented: Mapping[str, Any], targets: Mapping[str, Any]) -> Tensor:
        """The weighted sum over layers.

        Args:
            represented: of the picture, by layer.
            targets: by layer; faster when prepared.

        Returns:
            A scalar.

        Raises:
            UsageError: a layer is missing or shapes differ.
        """
        losses = self.per_layer(represented, targets)
        first, *rest = (self.weights[layer] * loss for layer, loss in losses.items())
        return sum(rest, start=first)

    def forward(
        self, features: Mapping[str, Tensor], target_features: Mapping[str, Tensor]
    ) -> Tensor:
        """Compare features with features, for any training loop.

        Args:
            features: (B, C, H, W) by layer.
            target_features: (B or 1, C, H, W) by layer; style losses take any H and W.

        Returns:
            A scalar.

        Raises:
            UsageError: a layer is missing, or a shape or type does not fit.
        """
        return self.compare(self.represent(features), self.represent(target_features))


def _get(mapping: Mapping[str, V], layer: str, name: str) -> V:
    if layer not in mapping:
        raise UsageError(f"no {name} for layer {layer}", did_you_mean(layer, mapping))
    return mapping[layer]
