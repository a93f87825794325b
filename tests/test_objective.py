"""Terms, weights and totals."""

import pytest
import torch

from styler.errors import ConfigError
from styler.losses import ContentLoss, LayerwiseLoss
from styler.objective import FeatureTerm, ImageTerm, Objective


def feature_term(weight: float) -> FeatureTerm:
    loss = LayerwiseLoss(ContentLoss("mse"), {"a": 1.0, "b": 0.5})
    zero = {"a": torch.zeros(1, 1, 2, 2), "b": torch.zeros(1, 1, 1, 1)}
    targets = loss.prepare(loss.represent(zero))
    return FeatureTerm(name="content", weight=weight, loss=loss, targets=targets)


def test_total_is_weighted_and_reported_losses_are_not() -> None:
    features = {"a": torch.full((1, 1, 2, 2), 2.0), "b": torch.full((1, 1, 1, 1), 4.0)}
    brightness = ImageTerm(name="brightness", weight=3.0, loss=torch.mean)
    got = Objective([feature_term(2.0), brightness])(torch.full((1, 3, 4, 4), 0.5), features)
    assert got.losses == {"content": 12.0, "brightness": 0.5}  # 2² + 0.5 · 4²
    assert got.total == 2 * 12 + 3 * 0.5


def test_terms_of_weight_zero_are_neither_computed_nor_reported() -> None:
    brightness = ImageTerm(name="brightness", weight=1.0, loss=torch.mean)
    objective = Objective([feature_term(0.0), brightness])
    assert objective.layers == frozenset()
    assert set(objective(torch.rand(1, 3, 4, 4), {}).losses) == {"brightness"}


def test_layers_are_those_of_all_terms() -> None:
    assert Objective([feature_term(1.0)]).layers == {"a", "b"}


def test_nothing_to_optimise_is_refused() -> None:
    with pytest.raises(ConfigError, match="every weight is 0"):
        Objective([feature_term(0.0)])
