"""The recipe in a picture: what goes in comes out, anything else is refused in a line."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from styler.config import CONFIGS, Kind, RuntimeConfig, TransferConfig, flatten, resolve
from styler.engine import RunResult
from styler.errors import ConfigError, ImageError
from styler.features import load_extractor
from styler.report.provenance import (
    SCHEMA,
    Machine,
    Outcome,
    Recipe,
    Source,
    config_record,
    decode,
    encode,
    relative_path,
    style_names,
)
from styler.results import make_recipe

HERE = Path("picture.png")


def recipe(**changes: Any) -> Recipe:
    resolved = resolve(
        ("preset gatys2015", {"style": {"loss": "gram", "layers": {"relu3_1": 0.25}}}),
        ("--seed", {"runtime.seed": 2**63 - 1}),
        ("--steps", {"schedule.steps": [5, 7]}),
    )
    values: dict[str, Any] = {
        "styler": "0.1.0",
        "kind": "transfer",
        "created": "2026-01-02T03:04:05+00:00",
        "sources": {
            "content": Source(path="../cat.jpg", sha256="ab" * 32, size=(30, 40)),
            "style": Source(path="ünï/日本.png", sha256="cd" * 32, size=(50, 60)),
        },
        "size": (30, 40),
        "bit_depth": 16,
        "backbone": "vgg-lite",
        "weights_sha256": "ef" * 32,
        "machine": Machine(device="cpu", name="CPU", precision="fp32", threads=2, torch="2.5.0"),
        "outcome": Outcome(
            done=3,
            planned=12,
            evaluations=4,
            recoveries=1,
            seconds=1.25,
            losses={"style": 0.1 + 0.2, "total": 1e-300},
            trace=[(1, 2.5), (3, 1 / 3)],
        ),
        "config": config_record(resolved),
        "origins": resolved.origins,
    }
    return Recipe(**{**values, **changes})


def test_a_recipe_comes_back_as_it_was() -> None:
    start = {"start": Source(path="start.png", sha256="00", size=(1, 2))}
    for made in (recipe(), recipe(sources=start, subject="relu4_1:37"), recipe(sources={})):
        again = decode(encode(made), HERE)
        assert again.outcome == made.outcome
        assert (again.kind, again.sources, again.subject) == (
            made.kind,
            made.sources,
            made.subject,
        )
        assert encode(again) == encode(made)
        assert again.resolved() == made.resolved()
        assert again.resolved().config == resolve(("x", made.config)).config


def test_its_text_is_one_line_of_ascii_json() -> None:
    odd = "line\nfeed \x1b[31m " + os.fsdecode(b"caf\xe9")
    text = encode(recipe(sources={"content": Source(path=odd, sha256="", size=(1, 1))}))
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["schema"] == SCHEMA == 2
    assert decode(text, HERE).sources["content"].path == odd


def test_settings_keep_their_origins() -> None:
    resolved = decode(encode(recipe()), HERE).resolved()
    assert resolved.config.style.layers == {"relu3_1": 0.25}
    assert resolved.config.schedule.steps == (5, 7)
    assert resolved.config.runtime.seed == 2**63 - 1
    assert resolved.origins["style.layers"] == "preset gatys2015"
    assert resolved.origins["runtime.seed"] == "--seed"
    assert resolved.origins["strength"] == "default"


def test_every_setting_is_recorded() -> None:
    resolved = resolve()
    assert config_record(resolved) == dict(flatten(TransferConfig()))


def test_what_a_recipe_lacks_takes_the_default() -> None:
    made = recipe()
    older = {key: value for key, value in made.config.items() if key != "style.enlarge"}
    assert recipe(config=older).resolved().config == made.resolved().config


def test_a_setting_that_is_not_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'style.colour' \(recipe\)"):
        recipe(config={"style.colour": "red"}).resolved()


def changed(**changes: Any) -> str:
    return json.dumps({**json.loads(encode(recipe())), **changes})


def older(**changes: Any) -> str:
    """The same recipe as schema 1 had it."""
    record = json.loads(encode(recipe()))
    sources = record.pop("sources")
    del record["subject"]
    return json.dumps({**record, **sources, "start": None, "schema": 1, **changes})


def test_recipes_of_schema_1_are_still_read() -> None:
    assert encode(decode(older(), HERE)) == encode(recipe())
    start = Source(path="start.png", sha256="00", size=(1, 2))
    record = {"path": "start.png", "sha256": "00", "size": [1, 2]}
    assert decode(older(start=record), HERE).sources == {**recipe().sources, "start": start}


def test_settings_are_those_of_the_kind() -> None:
    for kind, config in CONFIGS.items():
        made = recipe(kind=kind, config={"runtime.seed": 7}, origins={"runtime.seed": "--seed"})
        resolved = decode(encode(made), HERE).resolved()
        assert isinstance(resolved.config, config)
        assert resolved.config == config(runtime=RuntimeConfig(seed=7))
        assert resolved.origins["runtime.seed"] == "--seed"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        (changed(created=float("nan")), "it is not JSON"),
        ("null", "it names no schema"),
        ("[1]", "it names no schema"),
        ("{}", "it names no schema"),
        (changed(schema=True), "it names no schema"),
        (changed(schema="1"), "it names no schema"),
        (changed(schema=0), "it names no schema"),
        ('{"schema": 1}', "missing required field `styler`"),
        ('{"schema": 2}', "missing required field `styler`"),
        (changed(kind="pottery"), "'pottery'"),
        (changed(size=[1]), "$.size"),
        (changed(weights={"style": 0}), "$.weights"),
        (changed(weights={"style": "much"}), "$.weights"),
        (changed(sources={"content": None}), "$.sources"),
        (changed(sources=None), "$.sources"),
        (older(content=None), "$.sources"),
        (older(start=7), "$.sources"),
        (changed(machine={**json.loads(changed())["machine"], "threads": 0}), "threads"),
    ],
)
def test_garbage_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(text, HERE)
    assert caught.value.message.startswith("the recipe in picture.png cannot be read: ")
    assert reason in caught.value.message
    assert "another program" in str(caught.value.hint)


def test_a_later_schema_is_left_to_later_versions() -> None:
    text = json.dumps({"schema": SCHEMA + 1, "all": "different"})
    with pytest.raises(ImageError, match="its schema is 3, this version knows 2") as caught:
        decode(text, HERE)
    assert "later" in str(caught.value.hint)


def test_fields_of_the_same_schema_that_are_unknown_are_passed_over() -> None:
    assert decode(changed(mood="bright"), HERE).backbone == "vgg-lite"


def test_losses_of_terms_come_back_and_may_be_missing() -> None:
    outcome = dataclasses.replace(recipe().outcome, terms={"style sky": [2.5, 0.125]})
    made = recipe(outcome=outcome)
    assert decode(encode(made), HERE).outcome == outcome
    record = json.loads(encode(made))
    del record["outcome"]["terms"]  # as pictures have it that were made before they were kept
    assert decode(json.dumps(record), HERE) == decode(changed(), HERE)
    for bad in ({"style": "much"}, {"style": None}, [1.0]):
        record["outcome"]["terms"] = bad
        with pytest.raises(ImageError, match=r"\$\.outcome\.terms"):
            decode(json.dumps(record), HERE)


def run(trace: list[tuple[int, float, dict[str, float]]]) -> RunResult:
    return RunResult(
        image=torch.zeros(1, 3, 4, 4),
        done=len(trace),
        planned=len(trace),
        evaluations=len(trace),
        recoveries=0,
        trace=trace,
        stopped=False,
        seconds=1.0,
    )


def recorded(kind: Kind, trace: list[tuple[int, float, dict[str, float]]]) -> Recipe:
    made = make_recipe(
        kind,
        output=HERE,
        pictures={},
        size=(4, 4),
        bit_depth=8,
        extractor=load_extractor("vgg-lite"),
        run=run(trace),
        resolved=resolve(root=CONFIGS[kind]),
    )
    return decode(encode(made), HERE)


def test_runs_leave_the_losses_of_their_terms() -> None:
    trace = [(n, 3 / n, {"style": 1 / (3 * n), "content": float(n)}) for n in range(1, 1001)]
    outcome = recorded("transfer", trace).outcome
    steps = [done for done, _ in outcome.trace]
    assert steps[-1] == 1000
    assert list(outcome.terms) == ["style", "content"]
    assert outcome.terms["content"] == [float(step) for step in steps]
    assert outcome.terms["style"] == [float(f"{1 / (3 * step):.6g}") for step in steps]
    assert outcome.terms["style"][0] == 0.333333
    # What a transfer of three terms pays for it, in a text that is compressed in its picture.
    assert len(json.dumps(outcome.terms)) < 25 * len(steps)


def test_terms_that_come_and_go_are_left_out_and_a_point_is_no_curve() -> None:
    come = [(1, 3.0, {"a": 1.0, "b": 2.0}), (2, 1.0, {"a": 1.0}), (3, 1.0, {"a": 0.5, "b": 0.5})]
    assert recorded("transfer", come).outcome.terms == {"a": [1.0, 1.0, 0.5]}
    quality = recorded("visualize", come[:1]).outcome
    assert quality.terms == {}
    assert quality.losses == {"a": 1.0, "b": 2.0, "total": 3.0}


@pytest.mark.parametrize("kind", CONFIGS)
def test_runs_of_every_kind_leave_them(kind: Kind) -> None:
    trace = [(n, float(n), {"term": float(n)}) for n in (1, 2)]
    assert recorded(kind, trace).outcome.terms == {"term": [1.0, 2.0]}
    assert recorded(kind, []).outcome.terms == {}


def test_a_blend_keeps_its_weights_and_one_style_has_none() -> None:
    source = Source(path="a.style", sha256="00", size=(1, 2))
    names = style_names(3)
    assert names == ["style", "style 2", "style 3"]
    weights = {"style": 0.7, "style 2": 1 / 3, "style 3": 1e-9}
    blended = recipe(sources=dict.fromkeys(names, source), weights=weights)
    assert decode(encode(blended), HERE).weights == weights
    assert decode(changed(), HERE).weights == {}
    record = json.loads(changed())
    del record["weights"]  # as pictures have it that were made before there were blends
    assert decode(json.dumps(record), HERE) == decode(changed(), HERE)


def test_sources_are_named_from_the_folder_of_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    assert relative_path(tmp_path / "in/cat.jpg", tmp_path / "out/x.png") == "../in/cat.jpg"
    monkeypatch.chdir(tmp_path / "out")
    assert relative_path(Path("../in/cat.jpg"), Path("x.png")) == "../in/cat.jpg"
    assert relative_path(Path("y.png"), Path("x.png")) == "y.png"
    # The path is that of the real folder, which stays right when the link goes.
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert relative_path(tmp_path / "link/cat.jpg", tmp_path / "out/x.png") == "../in/cat.jpg"
