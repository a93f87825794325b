import pytest
import torch
from own_networks import plain
from torch import Tensor, nn

from styler.features.probing import Probe, hollow_copy, main_output, probe, smallest_sides

Shape = tuple[int, ...]


def of(small: Shape, large: Shape | None, side: int = 64, more: int = 64) -> Probe[str]:
    larger = {} if large is None else {"x": large}
    return Probe(side=side, more=more, shapes={"x": small}, larger=larger, runs_larger=True)


@pytest.mark.parametrize(
    ("small", "large", "layer", "stride"),
    [
        ((1, 8, 16, 16), (1, 8, 32, 32), True, 4),
        ((1, 8, 5, 5), (1, 8, 12, 12), True, 9),
        ((1, 8, 256, 256), (1, 8, 512, 512), True, 1),
        ((1, 8, 7, 7), (1, 8, 7, 7), True, None),
        ((1, 8), (1, 8), True, None),
        ((1, 8, 1, 1), (1, 8, 5, 5), True, 16),  # a network that pads nothing
        ((1, 128), (1, 512), False, None),  # a flattened map
        ((1, 16, 16, 8), (1, 32, 32, 8), False, None),  # channels last
        ((1, 3, 16, 32), (1, 3, 64, 32), False, None),  # tokens of 32 numbers
        ((1, 3, 17, 17), (1, 3, 65, 65), False, None),  # every token with every other
        ((1, 3, 197, 197), (1, 3, 197, 197), False, None),
        ((1, 3, 197, 64), (1, 3, 197, 64), False, None),
        ((4, 8, 7, 7), (16, 8, 7, 7), False, None),  # windows
        ((1, 17, 8), (1, 65, 8), False, None),
        ((1, 8, 0, 0), (1, 8, 2, 2), False, None),
    ],
)
def test_maps_and_vectors_are_layers(
    small: Shape, large: Shape, layer: bool, stride: int | None
) -> None:
    found = of(small, large)
    assert found.is_layer("x") is layer
    assert not found.is_fixed("x")
    if layer:
        assert found.stride("x") == stride


def test_layers_of_one_size() -> None:
    patches, tokens = of((1, 192, 14, 14), None, 224), of((1, 3, 197, 197), None, 224)
    assert patches.is_layer("x")
    assert patches.is_fixed("x")
    assert patches.stride("x") == 16
    assert not tokens.is_layer("x")
    assert not of((1, 14, 14, 192), None, 224).is_layer("x")


def test_the_first_side_that_suits_is_taken() -> None:
    tried: list[int] = []

    def run(side: int) -> tuple[dict[str, Shape], Exception | None]:
        tried.append(side)
        return {"x": (1, 1, side, side)}, None if side in (32, 96) else ValueError(f"not {side}")

    found = probe(run, (64, 64, 32, 16), 100)
    assert tried == [64, 32, 132, 64]
    assert (found.side, found.more, found.runs_larger) == (32, 32, False)
    assert probe(run, (32,), 64).more == 64
    with pytest.raises(ValueError, match="not 64"):
        probe(run, (64, 16))


def test_smallest_sides_are_searched_where_the_guess_is_too_small() -> None:
    truth = {"a": 1, "b": 7, "c": 7, "d": 30}
    runs: list[int] = []

    def units_at(side: int) -> list[str]:
        runs.append(side)
        return [key for key, least in truth.items() if least <= side]

    assert smallest_sides(units_at, 32) == truth
    assert len(runs) < 16
    runs.clear()
    assert smallest_sides(units_at, 32, truth) == truth
    assert sorted(runs) == [1, 7, 30]
    assert smallest_sides(units_at, 32, {**truth, "d": 29}) == truth


def test_a_hollow_copy_has_shapes_and_no_numbers() -> None:
    model = plain().double()
    model.extra = torch.ones(3)  # type: ignore[assignment]
    hollow = hollow_copy(model)
    assert all(value.is_meta for value in hollow.state_dict().values())
    assert getattr(hollow, "extra").is_meta  # noqa: B009
    assert not model.head.weight.is_meta
    assert hollow.eval()(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 5)


def test_the_main_output_of_a_table() -> None:
    one, two = torch.ones(1), torch.zeros(1)
    assert main_output(one, Tensor) is one
    assert main_output({"aux": one, "out": two}, Tensor) is two
    assert main_output({"loss": one, "logits": two}, Tensor) is two
    assert main_output({"name": "x", "first": one, "second": two}, Tensor) is one
    for nothing in ((one, two), [one], {}, {"out": (one,)}, None, nn.Identity()):
        assert main_output(nothing, Tensor) is None
