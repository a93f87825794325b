"""Settings: precedence, origins, and every way to get one wrong."""

import pytest

from styler.config import TransferConfig, flatten, keys, parse_set, resolve
from styler.errors import ConfigError


def test_later_layers_win_and_origins_say_so() -> None:
    got = resolve(
        ("preset p", {"optimizer": {"lr": 0.1, "name": "lbfgs"}, "strength": 0.2}),
        ("--set", {"optimizer.lr": 0.2, "strength": 0.3}),
        ("--strength", {"strength": 0.4}),
    )
    assert (got.config.optimizer.lr, got.config.strength) == (0.2, 0.4)
    assert got.origins["optimizer.name"] == "preset p"
    assert got.origins["optimizer.lr"] == "--set"
    assert got.origins["strength"] == "--strength"
    assert got.origins["style.scale"] == "default"
    assert set(got.origins) == set(keys())


def test_layer_table_is_replaced_whole_and_one_entry_changed_alone() -> None:
    replaced = resolve(("a", {"style": {"layers": {"relu2_1": 2}}}))
    assert replaced.config.style.layers == {"relu2_1": 2.0}
    changed = resolve(("a", {"style.layers.relu1_1": 0.25}))
    assert changed.config.style.layers == {**TransferConfig().style.layers, "relu1_1": 0.25}


def test_recorded_settings_resolve_to_the_same_config() -> None:
    config = resolve(("a", {"schedule.steps": [3, 2], "style.scale": 2})).config
    assert resolve(("recipe", dict(flatten(config)))).config == config


@pytest.mark.parametrize(
    ("values", "words", "hint"),
    [
        ({"optimiser.lr": 1}, "optimiser.lr", "optimizer.lr"),
        ({"lr": 1}, "unknown setting 'lr'", "optimizer.lr"),
        ({"nonsense": 1}, "unknown setting 'nonsense'", "presets show transfer/default"),
        ({"optimizer.lr": "fast"}, "optimizer.lr = 'fast'", "float"),
        ({"optimizer.lr": -1.0}, "optimizer.lr = -1.0", "> 0"),
        ({"optimizer.lr": float("nan")}, "not a finite number", None),
        ({"style.layers": {"relu1_1": float("inf")}}, "not a finite number", None),
        ({"strength": 1.5}, "strength = 1.5", "<= 1"),
        ({"schedule.steps": [10, -1]}, "schedule.steps", ">= 0"),
        ({"schedule.steps": []}, "schedule.steps is empty", "scale"),
        ({"schedule.size": 1.5}, "schedule.size", "int"),
        ({"schedule.size": 8}, "schedule.size", ">= 16"),
        ({"style.loss": "grem"}, "style.loss = 'grem'", "gram"),
        ({"style.layers": {"relu1_1": -1}}, "style.layers", ">= 0"),
        ({"style.layers": {}}, "style.layers has no layer", None),
        ({"style": 3}, "unknown setting 'style'", "style."),
        ({"optimizer.line_search": 1}, "optimizer.line_search", "bool"),
        ({"init.kind": "image"}, "init.image names no file", "--init"),
        ({"runtime.seed": -1}, "runtime.seed", ">= 0"),
    ],
)
def test_bad_values_are_named_with_origin_and_hint(
    values: dict[str, object], words: str, hint: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(("preset mine", values))
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    if hint:
        assert hint in str(caught.value.hint)


def test_set_pairs_are_toml_or_text() -> None:
    pairs = ["a=1", "b=1.5", "c=true", "d=[1, 2]", "e=gram", 'f="x=y"', "g={ relu1_1 = 1.0 }"]
    assert parse_set(pairs) == {
        "a": 1,
        "b": 1.5,
        "c": True,
        "d": [1, 2],
        "e": "gram",
        "f": "x=y",
        "g": {"relu1_1": 1.0},
    }


@pytest.mark.parametrize("pair", ["novalue", "=1", ""])
def test_set_without_key_or_value_is_refused(pair: str) -> None:
    with pytest.raises(ConfigError, match="key=value"):
        parse_set([pair])
