"""What a microscope shows, settled beforehand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from styler.errors import ConfigError, UsageError
from styler.features import EnsembleExtractor, Extractor, extractor_of
from styler.microscope.plan import (
    LAYERS,
    SIZE,
    STEPS,
    Plan,
    chosen_units,
    main_layers,
    small_and_fast,
)


def chain(*strides: int) -> Extractor:
    layers = [nn.Conv2d(3 if n == 0 else 4, 4, 3, s, 1) for n, s in enumerate(strides)]
    return extractor_of(nn.Sequential(*layers), name="chain")


def test_layers_are_in_the_order_of_the_network(network: Extractor) -> None:
    chosen = chosen_units(network, ["relu4_1", "r12", "relu1_2"], "0-1")
    assert chosen == {"relu1_2": [0, 1], "relu4_1": [0, 1]}


def test_units_that_a_layer_does_not_have_are_left_out(network: Extractor) -> None:
    chosen = chosen_units(network, ["relu1_2", "relu2_1"], "20-30,22")
    assert chosen == {"relu1_2": [20, 21, 22, 23], "relu2_1": list(range(20, 31))}
    assert len(chosen_units(network, ["relu1_2"], "all")["relu1_2"]) == 24


@pytest.mark.parametrize("units", ["", "5-3", "a", "-1", "1;2"])
def test_units_that_cannot_be_read(network: Extractor, units: str) -> None:
    with pytest.raises(ConfigError):
        chosen_units(network, ["relu1_2"], units)


def test_a_layer_without_any_of_the_units(network: Extractor) -> None:
    with pytest.raises(ConfigError, match="relu1_2 has none of the units 30-40"):
        chosen_units(network, ["relu1_2", "relu2_1"], "30-40")


def test_an_unknown_layer(network: Extractor) -> None:
    with pytest.raises(ConfigError, match="relu9_9"):
        chosen_units(network, ["relu9_9"], "0")


def test_several_networks_are_refused(network: Extractor) -> None:
    with pytest.raises(ConfigError, match="one network"):
        chosen_units(EnsembleExtractor([network, chain(1)]), [], "0")


def test_the_ends_of_stages_are_chosen() -> None:
    chosen = main_layers(chain(1, 1, 2, 1, 2))
    assert chosen[:2] == ["1", "3"]
    assert chosen[-1] == "logits"  # what the network gives, at the stride of its last layer


def test_of_many_stages_some_are_chosen() -> None:
    chosen = main_layers(chain(*[2] * 8))
    assert len(chosen) == LAYERS
    assert (chosen[0], chosen[-1]) == ("0", "logits")


def test_pictures_are_small_unless_the_network_needs_more(network: Extractor) -> None:
    assert small_and_fast(network, ["relu4_1"]) == {
        "schedule.size": SIZE,
        "schedule.steps": STEPS,
    }
    deep = chain(*[2] * 8)
    wide = extractor_of(nn.Sequential(nn.Conv2d(3, 4, 101)), name="wide")
    assert "schedule.size" in small_and_fast(deep, ["0"])
    assert "schedule.size" not in small_and_fast(wide, ["0"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": None, "synthetic": False}, "neither photographs nor synthetic"),
        ({"k": 0}, "0 patches"),
        ({"projections": -1}, "-1 projections"),
    ],
)
def test_plans_that_show_nothing(
    planned: Callable[..., Plan], changes: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        planned(**changes)
