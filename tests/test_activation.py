"""Activations by hand, and pictures that are judged each on its own."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from styler.activation import (
    COSINE_FLOOR,
    ActivationTerm,
    DiversityTerm,
    Part,
    Position,
    Unit,
    toward,
)
from styler.config import OptimizerConfig
from styler.engine import DirectGradient, run_levels
from styler.features import load_extractor
from styler.losses import GramStyleLoss, LayerwiseLoss
from styler.objective import FeatureTerm, Objective
from styler.params import FourierImage
from styler.schedule import Level


def maps(batch: int = 1, channels: int = 2, height: int = 2, width: int = 3) -> Tensor:
    """Numbers that count up from 0."""
    count = batch * channels * height * width
    return torch.arange(float(count)).view(batch, channels, height, width)


def random_maps(batch: int, channels: int = 4, side: int = 5, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, side, side, generator=generator)


def blank(batch: int, channels: int = 3) -> Tensor:
    return torch.zeros(batch, channels, 4, 4)


def unit(*parts: Part, scale: float = 1.0) -> Unit:
    return Unit("unit", parts, scale)


def values(units: list[Unit], features: Mapping[str, Tensor], cosine: float = 2.0) -> list[float]:
    found: list[float] = ActivationTerm(units, cosine=cosine).values(features).tolist()
    return found


# Channel 0 is 0 1 2 / 3 4 5, channel 1 is 6 7 8 / 9 10 11.
@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Part("a", channel=0), 2.5),
        (Part("a", channel=1), 8.5),
        (Part("a", channel=1, weight=-0.5), -4.25),
        (Part("a", channel=1, position=(0, 2)), 8.0),
        (Part("a", channel=1, position=(1, 0)), 9.0),
        (Part("a", channel=0, position="centre"), 4.0),
        (Part("a"), 506 / 12),
        (Part("a", position=(0, 1)), (1 + 49) / 2),
        (Part("a", position="centre", weight=2.0), 16.0 + 100.0),
        (Part("a", direction=torch.tensor([0.0, 3.0]), position=(0, 0)), 6.0),
        (Part("a", direction=torch.tensor([3.0, 4.0]), position=(0, 1)), 6.2 * 6.2**2 / 50),
    ],
)
def test_values_by_hand(part: Part, expected: float) -> None:
    assert values([unit(part)], {"a": maps()}) == pytest.approx([expected])


def test_the_centre_of_an_even_side_is_beyond_its_middle() -> None:
    centred = unit(Part("a", channel=0, position="centre"))
    assert values([centred], {"a": maps(height=4, width=6)}) == [2 * 6 + 3]
    assert values([centred], {"a": maps(height=6, width=4)}) == [3 * 4 + 2]


def test_a_direction_is_the_mean_of_its_places_and_not_of_their_vectors() -> None:
    direction = torch.tensor([1.0, -2.0])
    features = maps() - 5
    places = features[0].flatten(1).T.numpy()
    length = direction.numpy() / math.sqrt(5)
    each = [v @ length * max(v @ length / np.linalg.norm(v), COSINE_FLOOR) ** 2 for v in places]
    found = values([unit(Part("a", direction=direction))], {"a": features})
    assert found == pytest.approx([float(np.mean(each))], rel=1e-5)


def test_parts_are_summed_and_divided_by_the_scale() -> None:
    features = {"a": maps(), "b": maps(height=4, width=4)}
    joint = unit(
        Part("a", channel=0),
        Part("b", channel=1, weight=-2.0, position=(0, 0)),
        Part("a", weight=0.5, position=(0, 0)),
        scale=4.0,
    )
    assert values([joint], features) == pytest.approx([(2.5 - 2 * 16 + 0.5 * 18) / 4])


def test_one_channel_may_come_twice() -> None:
    twice = unit(Part("a", channel=0), Part("a", channel=0, weight=0.5))
    assert values([twice], {"a": maps()}) == pytest.approx([1.5 * 2.5])


def test_each_row_belongs_to_its_unit_whatever_the_layers_and_kinds() -> None:
    features = {"a": random_maps(5, seed=1), "b": random_maps(5, channels=6, side=3, seed=2)}
    units = [
        unit(Part("b", channel=5)),
        unit(Part("a", channel=0)),
        unit(Part("b", direction=torch.tensor([1.0, 0, 0, 0, 0, 1.0])), Part("a", channel=2)),
        unit(Part("a")),
        unit(Part("a", channel=3), Part("b", channel=1, position="centre")),
    ]
    found = values(units, features)
    for row, one in enumerate(units):
        own = {layer: features[layer][row : row + 1] for layer in one.layers}
        assert values([one], own) == pytest.approx([found[row]], rel=1e-5, abs=1e-6)
    assert found[0] == pytest.approx(float(features["b"][0, 5].mean()))
    assert found[1] == pytest.approx(float(features["a"][1, 0].mean()))
    assert found[3] == pytest.approx(float(features["a"][3].square().mean()))
    expected = features["a"][4, 3].mean() + features["b"][4, 1, 1, 1]
    assert found[4] == pytest.approx(float(expected))


@pytest.mark.parametrize(
    "part",
    [
        Part("a", channel=1),
        Part("a", channel=1, position="centre"),
        Part("a", channel=1, position=(0, 3)),
        Part("a"),
        Part("a", position=(2, 2)),
        Part("a", direction=torch.tensor([1.0, 2.0, -1.0, 0.5])),
    ],
)
def test_the_views_of_a_picture_are_averaged(part: Part) -> None:
    features = random_maps(6)
    alone = values([unit(part)] * 6, {"a": features})
    found = values([unit(part)] * 2, {"a": features})
    expected = [sum(alone[:3]) / 3, sum(alone[3:]) / 3]
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("position", ["all", "centre"])
def test_what_has_no_places_is_one_place(position: Position) -> None:
    logits = torch.tensor([[1.0, -2.0, 3.0], [4.0, 5.0, 6.0]])
    direction = torch.tensor([0.0, 0.0, 1.0])
    units = [unit(Part("a", channel=1, position=position)), unit(Part("a", position=position))]
    assert values(units, {"a": logits}) == pytest.approx([-2.0, (16 + 25 + 36) / 3])
    turned = values([unit(Part("a", direction=direction, position=position))] * 2, {"a": logits})
    assert turned == pytest.approx([3 * 9 / 14, 6 * 36 / 77])


def test_the_term_is_the_negative_sum() -> None:
    term = ActivationTerm([unit(Part("a", channel=0)), unit(Part("a", channel=1))])
    features = {"a": maps(batch=2)}
    assert float(term(blank(2), features)) == pytest.approx(-(2.5 + 8.5 + 12))
    assert (term.name, term.weight, term.layers) == ("activation", 1.0, {"a"})


@pytest.mark.parametrize("channel", [None, 1])
def test_the_gradient_of_a_picture_is_the_same_alone_and_among_others(channel: int | None) -> None:
    features = random_maps(8).requires_grad_()
    one = unit(Part("a", channel=channel))
    (together,) = torch.autograd.grad(
        ActivationTerm([one] * 8)(blank(8), {"a": features}), features
    )
    alone = features.detach()[3:4].requires_grad_()
    (gradient,) = torch.autograd.grad(ActivationTerm([one])(blank(1), {"a": alone}), alone)
    assert bool(gradient.any())
    torch.testing.assert_close(gradient, together[3:4])


def test_the_gradient_of_a_channel_is_spread_over_its_places_alone() -> None:
    features = maps().requires_grad_()
    term = ActivationTerm([unit(Part("a", channel=1, weight=3.0))])
    (gradient,) = torch.autograd.grad(term(blank(1), {"a": features}), features)
    assert not bool(gradient[0, 0].any())
    torch.testing.assert_close(gradient[0, 1], torch.full((2, 3), -3 / 6))


def test_transparency_is_a_gain() -> None:
    image = blank(2, channels=4)
    image[0, 3, :2], image[1, 3] = 1.0, 0.25
    units = [unit(Part("a", channel=0)), unit(Part("a", channel=1))]
    features = {"a": maps(batch=2)}
    first, second = values(units, features)
    found = float(ActivationTerm(units)(image, features))
    assert found == pytest.approx(-(first * 0.5 + second * 0.75))


def test_transparency_has_a_gradient_of_its_own() -> None:
    image = torch.full((1, 4, 2, 2), 0.5, requires_grad=True)
    term = ActivationTerm([unit(Part("a", channel=0))])
    (gradient,) = torch.autograd.grad(term(image, {"a": maps()}), image)
    assert not bool(gradient[:, :3].any())
    torch.testing.assert_close(gradient[:, 3], torch.full((1, 2, 2), 2.5 / 4))


def test_half_precision_is_summed_in_full() -> None:
    features = torch.full((1, 1, 64, 64), 0.1, dtype=torch.bfloat16)
    found = ActivationTerm([unit(Part("a", channel=0))]).values({"a": features})
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(features[0, 0, 0, 0]), rel=1e-5)


@pytest.mark.parametrize("cosine", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_toward_is_the_dot_product_times_the_power_of_the_cosine(cosine: float) -> None:
    features = random_maps(2, channels=3, side=4)
    direction = torch.tensor([0.5, -2.0, 1.0])
    found = toward(features, direction, cosine)
    assert found.shape == (2, 4, 4)
    length = direction.double().numpy() / np.linalg.norm(direction.double().numpy())
    floored = 0
    for view, row, column in np.ndindex(2, 4, 4):
        vector = features[view, :, row, column].double().numpy()
        dot = vector @ length
        angle = dot / np.linalg.norm(vector)
        floored += angle < COSINE_FLOOR
        expected = dot * max(angle, COSINE_FLOOR) ** cosine
        assert float(found[view, row, column]) == pytest.approx(expected, rel=1e-4)
    assert 0 < floored < 32  # both sides of the floor are looked at


def test_the_length_of_a_direction_does_not_count() -> None:
    features, direction = random_maps(1, channels=3), torch.tensor([0.5, -2.0, 1.0])
    expected = toward(features, direction, 2.0)
    torch.testing.assert_close(toward(features, 7 * direction, 2.0), expected)
    torch.testing.assert_close(toward(7 * features, direction, 2.0), 7 * expected)


def test_toward_features_of_the_same_shape_goes_place_by_place() -> None:
    features, goals = random_maps(2, seed=1), random_maps(2, seed=2)
    found = toward(features, goals, 2.0)
    for row, column in ((0, 0), (3, 1)):
        expected = toward(
            features[1:, :, row : row + 1, column : column + 1], goals[1, :, row, column], 2.0
        )
        torch.testing.assert_close(found[1, row, column], expected[0, 0, 0])


def test_nothing_goes_nowhere_and_has_a_finite_gradient() -> None:
    features = torch.zeros(1, 3, 2, 2, requires_grad=True)
    found = toward(features, torch.tensor([1.0, 0.0, 0.0]), 2.0)
    assert not bool(found.any())
    (gradient,) = torch.autograd.grad(found.sum(), features)
    torch.testing.assert_close(gradient[:, 0], torch.full((1, 2, 2), COSINE_FLOOR**2))
    assert not bool(toward(features, torch.zeros(3), 2.0).any())


@pytest.mark.parametrize("cosine", [0.0, 1.0, 2.0])
def test_the_gradient_of_toward_is_exact_in_float64(cosine: float) -> None:
    features = random_maps(2, channels=3, side=2).double().requires_grad_()
    direction = torch.tensor([0.5, -2.0, 1.0]).double()
    assert gradcheck(lambda f: toward(f, direction, cosine), features)


def likeness(features: Tensor, each: int, views: int = 1) -> float:
    """The definition, pair by pair."""
    pictures = features.double().numpy().reshape(-1, views, *features.shape[1:])
    total = 0.0
    for first in range(0, len(pictures), each):
        grams = []
        for picture in pictures[first : first + each]:
            vectors = np.concatenate([view.reshape(view.shape[0], -1) for view in picture], 1)
            grams.append((vectors @ vectors.T).ravel())
        pairs = [
            g @ h / np.linalg.norm(g) / np.linalg.norm(h)
            for i, g in enumerate(grams)
            for j, h in enumerate(grams)
            if i != j
        ]
        total += float(np.mean(pairs))
    return total


@pytest.mark.parametrize(("units", "each", "views"), [(1, 2, 1), (3, 2, 1), (2, 4, 1), (2, 3, 2)])
def test_likeness_is_the_mean_over_the_pairs_of_each_unit(
    units: int, each: int, views: int
) -> None:
    features = random_maps(units * each * views)
    term = DiversityTerm("a", each)
    found = float(term(blank(units * each), {"a": features}))
    assert found == pytest.approx(likeness(features, each, views), rel=1e-4)


def test_equal_pictures_are_wholly_alike_and_those_of_other_channels_not_at_all() -> None:
    same = random_maps(1).expand(3, -1, -1, -1)
    assert float(DiversityTerm("a", 3)(blank(3), {"a": same})) == pytest.approx(1.0)
    apart = torch.zeros(2, 2, 3, 3)
    apart[0, 0], apart[1, 1] = 1.0, 2.0
    assert float(DiversityTerm("a", 2)(blank(2), {"a": apart})) == 0.0


def test_units_do_not_push_each_other_apart() -> None:
    features = random_maps(6).requires_grad_()
    term = DiversityTerm("a", 2)
    (together,) = torch.autograd.grad(term(blank(6), {"a": features}), features)
    pair = features.detach()[2:4].requires_grad_()
    (alone,) = torch.autograd.grad(term(blank(2), {"a": pair}), pair)
    assert bool(alone.any())
    torch.testing.assert_close(together[2:4], alone)


def test_strength_is_no_likeness() -> None:
    features = random_maps(2)
    stronger = features * torch.tensor([1.0, 5.0]).view(2, 1, 1, 1)
    first, second = (float(DiversityTerm("a", 2)(blank(2), {"a": f})) for f in (features, stronger))
    assert first == pytest.approx(second, rel=1e-5)


def test_one_picture_or_a_silent_layer_is_like_nothing() -> None:
    assert float(DiversityTerm("a", 1)(blank(2), {"a": random_maps(2)})) == pytest.approx(
        0, abs=1e-6
    )
    silent = torch.zeros(2, 3, 4, 4, requires_grad=True)
    value = DiversityTerm("a", 2)(blank(2), {"a": silent})
    (gradient,) = torch.autograd.grad(value, silent)
    assert float(value.detach()) == 0.0
    assert bool(torch.isfinite(gradient).all())


def test_a_lower_likeness_is_reached_against_its_gradient() -> None:
    features = random_maps(3).requires_grad_()
    term = DiversityTerm("a", 3, weight=2.0)
    before = term(blank(3), {"a": features})
    (gradient,) = torch.autograd.grad(before, features)
    after = term(blank(3), {"a": features.detach() - 0.1 * gradient / gradient.abs().max()})
    assert float(after) < float(before.detach())
    assert (term.name, term.weight, term.layers) == ("likeness", 2.0, {"a"})


def test_style_and_activation_in_one_picture_both_get_better() -> None:
    extractor = load_extractor("vgg-lite")
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.arange(32)[:, None], torch.arange(32)[None]
    stripes = (0.5 + 0.4 * torch.sin((rows + 2 * columns) / 3)).expand(1, 3, 32, 32)
    loss = LayerwiseLoss(GramStyleLoss("relative"), {"relu1_1": 1.0, "relu2_1": 1.0})
    with torch.no_grad():
        targets = loss.prepare(loss.represent(extractor(stripes, loss.layers)))
    objective = Objective(
        [
            FeatureTerm(name="style", weight=1.0, loss=loss, targets=targets),
            ActivationTerm([unit(Part("relu3_1", channel=5))], weight=0.05),
        ]
    )
    assert objective.layers == {"relu1_1", "relu2_1", "relu3_1"}
    trace = run_levels(
        FourierImage.noise(1, (32, 32), generator),
        [Level(size=(32, 32), steps=40)],
        lambda _: DirectGradient(extractor, objective),
        OptimizerConfig(lr=0.05),
    ).trace
    (_, first_total, first), (_, last_total, last) = trace[0], trace[-1]
    assert last["style"] < 0.8 * first["style"]
    assert last["activation"] < first["activation"] - 0.1 * abs(first["activation"])
    assert last_total < first_total
    assert last_total == pytest.approx(last["style"] + 0.05 * last["activation"], rel=1e-4)
