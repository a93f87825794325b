"""What a dream climbs, against formulas written out, and the layers taken by default."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from traced_builders import REGISTERED, hollow

from styler.config import DreamConfig
from styler.dream import dream_layers
from styler.dreaming import excitement as module
from styler.dreaming.excitement import GuideTerm, LayerTerm, default_layer, excitement
from styler.errors import ConfigError
from styler.features import load_extractor

NO_IMAGE = torch.zeros(1, 3, 1, 1)


def feature(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, *shape, generator=generator).requires_grad_()


def test_the_square_has_the_gradient_of_the_l2_objective() -> None:
    found = feature(4, 3, 5)
    loss = LayerTerm("a", 1.0)(NO_IMAGE, {"a": found})
    (gradient,) = torch.autograd.grad(loss, found)
    # dst.diff = dst.data: along the feature itself, here over the mean and to be minimised.
    assert torch.allclose(gradient, -2 * found / found.numel())


def test_the_mean_has_a_gradient_that_is_the_same_everywhere() -> None:
    found = feature(4, 3, 5)
    loss = LayerTerm("a", 1.0, "mean")(NO_IMAGE, {"a": found})
    assert loss.item() == pytest.approx(-found.mean().item())
    (gradient,) = torch.autograd.grad(loss, found)
    assert torch.allclose(gradient, torch.tensor(-1 / found.numel()))


def test_layers_are_added_by_weight_and_reported_bare() -> None:
    features = {"a": feature(2, 3, 3), "b": feature(3, 2, 2, seed=1)}
    found = excitement({"a": 1.0, "b": 0.5}, "square")(NO_IMAGE, features)
    a, b = (features[name].detach().square().mean().item() for name in "ab")
    assert found.total.item() == pytest.approx(-(a + 0.5 * b))
    assert {k: float(v) for k, v in found.losses.items()} == pytest.approx({"a": -a, "b": -b})


@pytest.mark.parametrize("at_once", [1, 20, 2**24])
def test_each_position_follows_what_matches_it_best(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MATCHED_AT_ONCE", at_once)
    found, guide = feature(4, 3, 5), feature(4, 2, 3, seed=1).detach()
    term = excitement({"a": 1.0}, "square", {"a": guide}).terms[0]
    assert isinstance(term, GuideTerm)
    (gradient,) = torch.autograd.grad(term(NO_IMAGE, {"a": found}), found)
    x, y = found.detach()[0].flatten(1).numpy(), guide[0].flatten(1).numpy()
    best = y[:, (x.T @ y).argmax(1)].reshape(4, 3, 5)
    assert torch.allclose(gradient[0] * found.numel(), -torch.from_numpy(best), atol=1e-6)


def test_a_vgg_takes_the_end_of_its_fourth_block() -> None:
    extractor = load_extractor("vgg-lite")
    assert dream_layers(DreamConfig(), extractor) == {"relu4_3": 1.0}


@pytest.mark.parametrize("name", REGISTERED)
def test_every_network_has_a_layer_to_take(name: str) -> None:
    extractor = hollow(name)
    layer = default_layer(extractor)
    field = extractor.receptive_field(layer)
    assert extractor.stride(layer) <= 16
    assert field is not None
    assert 60 <= max(field.y.size, field.x.size) <= 120
    assert extractor(torch.rand(1, 3, 64, 80), [layer])[layer].shape[2] >= 2
    expected = {"squeezenet1_0": "features.10", "googlenet": "inception4a", "resnet50": "layer3.0"}
    assert layer == expected.get(name, layer)


def test_layers_are_named_as_people_do_and_need_a_map() -> None:
    extractor = load_extractor("vgg-lite")
    config = DreamConfig(layers={"r41": 1.0, "block3_conv1": 0.5, "relu1_1": 0.0})
    assert dream_layers(config, extractor) == {"relu4_1": 1.0, "relu3_1": 0.5}
    with pytest.raises(ConfigError, match="unknown layer") as caught:
        dream_layers(DreamConfig(layers={"relu4_9": 1.0}), extractor)
    assert "relu4" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="no stride"):
        dream_layers(DreamConfig(layers={"logits": 1.0}), hollow("resnet50"))
