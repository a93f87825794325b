"""Losses over layers: weights, masks, names."""

from typing import Any

import pytest
import torch
from torch import Tensor

from styler.errors import UsageError
from styler.losses import ContentLoss, FeatureLoss, GramStyleLoss, LayerwiseLoss, MomentStyleLoss

WEIGHTS = {"relu1_1": 2.0, "layer2.0.conv1": 0.5}


def maps(seed: int, batch: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "relu1_1": torch.randn(batch, 3, 8, 8, generator=generator),
        "layer2.0.conv1": torch.randn(batch, 5, 4, 4, generator=generator),
        "unused": torch.randn(batch, 7, 2, 2, generator=generator),
    }


def test_one_loss_for_all_layers() -> None:
    loss, single = LayerwiseLoss(GramStyleLoss("hw"), WEIGHTS), GramStyleLoss("hw")
    picture, style = maps(0), maps(1)
    parts = {layer: single(picture[layer], style[layer]) for layer in WEIGHTS}
    expected = 2 * parts["relu1_1"] + 0.5 * parts["layer2.0.conv1"]
    torch.testing.assert_close(loss(picture, style), expected)
    targets = loss.prepare(loss.represent(style))
    assert list(targets) == list(loss.layers) == list(WEIGHTS)
    represented = loss.represent(picture)
    torch.testing.assert_close(loss.compare(represented, targets), expected)
    torch.testing.assert_close(loss.per_layer(represented, targets), parts)


def test_a_loss_for_each_layer() -> None:
    losses: dict[str, FeatureLoss[Any]] = {
        "layer2.0.conv1": ContentLoss("mse"),
        "relu1_1": MomentStyleLoss(),
    }
    loss = LayerwiseLoss(losses, WEIGHTS)
    assert loss.at("relu1_1") is losses["relu1_1"]
    assert loss.at("layer2.0.conv1") is losses["layer2.0.conv1"]
    picture, style = maps(0), maps(1)
    expected = 2 * losses["relu1_1"](picture["relu1_1"], style["relu1_1"]) + 0.5 * losses[
        "layer2.0.conv1"
    ](picture["layer2.0.conv1"], style["layer2.0.conv1"])
    torch.testing.assert_close(loss(picture, style), expected)


def test_masks_go_to_their_layers() -> None:
    loss = LayerwiseLoss(GramStyleLoss("hw"), WEIGHTS)
    features = maps(0)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    represented = loss.represent(features, {"relu1_1": mask})
    left = loss.at("relu1_1").represent(features["relu1_1"][..., :4])
    torch.testing.assert_close(represented["relu1_1"], left)
    whole = loss.represent(features)
    torch.testing.assert_close(represented["layer2.0.conv1"], whole["layer2.0.conv1"])


def test_gradient_reaches_every_layer() -> None:
    picture = {layer: features.requires_grad_() for layer, features in maps(0, batch=2).items()}
    LayerwiseLoss(GramStyleLoss(), WEIGHTS)(picture, maps(1)).backward()
    for layer in WEIGHTS:
        gradient = picture[layer].grad
        assert gradient is not None
        assert gradient.abs().max() > 0
    assert picture["unused"].grad is None


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match="name no layer"):
        LayerwiseLoss(GramStyleLoss(), {})
    with pytest.raises(UsageError, match="weight of relu1_1 is -1"):
        LayerwiseLoss(GramStyleLoss(), {"relu1_1": -1})
    with pytest.raises(UsageError, match="losses are for relu2_1, weights are for relu1_1"):
        LayerwiseLoss({"relu2_1": GramStyleLoss()}, {"relu1_1": 1})
    loss = LayerwiseLoss(GramStyleLoss(), WEIGHTS)
    with pytest.raises(UsageError, match="no features for layer relu1_1") as caught:
        loss.represent({"relu1_2": torch.rand(1, 3, 4, 4)})
    assert caught.value.hint == "did you mean relu1_2?"
    with pytest.raises(UsageError, match="no targets for layer relu1_1"):
        loss.compare(loss.represent(maps(0)), {})
    with pytest.raises(UsageError, match="no loss for layer relu9_1"):
        loss.at("relu9_1")
