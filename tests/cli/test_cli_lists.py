"""`styler presets`, `weights`, `layers` and `doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_desk import Desk
from safetensors.torch import load_file, save_file

from styler.config import CONFIGS, resolve
from styler.features import BACKBONES, find_weights, get_backbone
from styler.presets import find_preset, list_all_presets

PRESETS = [f"{p.kind}/{p.name}" for presets in list_all_presets().values() for p in presets]


def test_presets_are_listed_in_whole_lines(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    lines = desk("presets", "list").out.splitlines()
    assert ["/".join(line.split()[:2]) for line in lines] == PRESETS
    assert all(
        find_preset(name).description in line for name, line in zip(PRESETS, lines, strict=True)
    )


@pytest.mark.parametrize("options", [[], ["--all"]])
@pytest.mark.parametrize("name", PRESETS)
def test_a_shown_preset_is_a_preset(desk: Desk, name: str, options: list[str]) -> None:
    Path("mine.toml").write_text(desk("presets", "show", name, *options).out)
    mine, theirs = find_preset("mine.toml"), find_preset(name)
    assert (mine.description, mine.source.strip()) == (theirs.description, theirs.source.strip())
    assert mine.kind == theirs.kind
    configs = [resolve(("x", p.values), root=CONFIGS[p.kind]).config for p in (mine, theirs)]
    assert configs[0] == configs[1]


def test_a_preset_with_quotes_and_dots_survives_showing(desk: Desk) -> None:
    text = 'a "word", a \\ and """'
    source = json.dumps(text)
    Path("odd.toml").write_text(
        f'schema = 1\nkind = "transfer"\ndescription = {source}\nsource = {source}\n'
        '[content.layers]\n"layer2.0.conv1" = 1.0\n'
    )
    Path("again.toml").write_text(desk("presets", "show", "odd.toml").out)
    again = find_preset("again.toml")
    assert (again.description, again.source.strip()) == (text, text)
    assert again.values["content"]["layers"] == {"layer2.0.conv1": 1.0}


@pytest.mark.parametrize(
    ("name", "error", "hint"),
    [
        ("gatys15", "unknown preset 'gatys15'", "gatys2015"),
        ("transfer/defalt", "unknown preset 'transfer/defalt'", "transfer/default"),
        (
            "default",
            "there are several presets default",
            "choose transfer/default or dream/default",
        ),
    ],
)
def test_presets_that_are_not_or_are_several(desk: Desk, name: str, error: str, hint: str) -> None:
    ran = desk("presets", "show", name)
    assert (ran.code, ran.out, ran.error) == (3, "", error)
    assert hint in ran.hint


def test_all_settings_name_their_origin(desk: Desk) -> None:
    out = desk("presets", "show", "gatys2015", "--all").out
    assert 'style.loss = "gram"  # preset gatys2015' in out
    assert "style.scale = 1.0  # default" in out


def test_weights_are_listed_with_their_places(desk: Desk) -> None:
    lines = desk("weights", "list").out.splitlines()[1:]
    table = dict(line.split(maxsplit=1) for line in lines)
    assert set(table) == set(BACKBONES)
    assert table["vgg-lite"].startswith("embedded")
    assert "styler weights fetch vgg19" in table["vgg19"]
    assert "styler weights import FILE" in table["vgg19-caffe"]


def embedded() -> Path:
    found = find_weights(get_backbone("vgg-lite"))
    assert found is not None
    return found


def test_weights_are_imported_found_and_verified(desk: Desk) -> None:
    save_file(load_file(embedded()), "mine.safetensors")
    ran = desk("weights", "import", "mine.safetensors", "--name", "vgg-lite")
    assert ran.code == 0
    stored = Path(ran.out.strip())
    assert stored.is_file()
    assert str(stored).startswith(desk.environment["STYLER_CACHE_DIR"])
    assert desk("weights", "verify", "vgg-lite").code == 0

    stored.write_bytes(stored.read_bytes()[:-100])
    ran = desk("weights", "verify", "vgg-lite")
    assert ran.code == 5
    assert "mismatch" in ran.out or "damaged" in ran.out
    assert ran.error == "1 weights file cannot be used"
    assert ran.hint


def test_weights_that_are_here_are_not_fetched(desk: Desk) -> None:
    ran = desk("weights", "fetch", "vgg-lite")
    assert ran.code == 0
    assert Path(ran.out.strip()).samefile(embedded())


@pytest.mark.parametrize("words", [["fetch", "vgg18"], ["verify", "vgg18"], ["import", "no.pth"]])
def test_weights_that_are_not(desk: Desk, words: list[str]) -> None:
    ran = desk("weights", *words)
    assert (ran.code, ran.out) == (5, "")
    assert words[1] in ran.error
    assert ran.hint


def test_a_weights_folder_that_is_gone_is_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLER_WEIGHTS_DIR", "gone")
    for words in (["weights", "list"], ["transfer", "cat.png", "waves.png"], ["doctor"]):
        ran = desk(*words)
        assert ran.code == 5
        assert ran.error == "STYLER_WEIGHTS_DIR names no folder: gone"
        assert ran.hint
    assert "device" in ran.out, "the doctor tells the rest all the same"


def test_doctor(desk: Desk) -> None:
    ran = desk("doctor")
    assert (ran.code, ran.err) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert facts["backbones"] == "vgg-lite; auto takes vgg-lite"
    assert facts["device"].startswith(("cpu", "cuda", "mps"))
    assert facts["cache"].startswith(desk.environment["STYLER_CACHE_DIR"])


def test_layers_are_not_cut_off_by_a_narrow_window(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    lines = desk("layers", "vgg19", "--size", "64").out.splitlines()
    first = next(line.split() for line in lines if line.startswith("conv1_1"))
    # 3×3×3×64 weights and 64 biases; 64·64·1728 multiplications; 64·64·64 floats
    assert first == ["conv1_1", "64×64×64", "1,728", "1,792", "7.1", "1.05", "3", "1"]


def test_layers_as_json(desk: Desk) -> None:
    layers = [json.loads(line) for line in desk("layers", "vgg-lite", "--json").out.splitlines()]
    assert {layer["event"] for layer in layers} == {"layer"}
    assert [layer["name"] for layer in layers][:3] == ["conv1_1", "relu1_1", "conv1_2"]
    assert layers[0]["shape"] == [32, 224, 224]


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["vgg18"], 5, "vgg19"),
        (["vgg16", "--size", "0"], 4, "32"),
        (["vgg16", "--size", "8"], 4, "32"),
    ],
)
def test_layers_that_are_not(desk: Desk, words: list[str], code: int, hint: str) -> None:
    ran = desk("layers", *words)
    assert (ran.code, ran.out) == (code, "")
    assert hint in ran.hint


@pytest.mark.weights
def test_auto_takes_the_best_at_hand(desk: Desk, weights_dir: Path) -> None:
    assert "auto takes vgg19-caffe" in desk("doctor").out
