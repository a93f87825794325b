import json
from pathlib import Path
from typing import Any

import pytest
import torch

from styler.errors import BackboneError, ConfigError, ImageError, OutputError, StylerError
from styler.features import load_extractor
from styler.features.tensor_files import read_tensors
from styler.features.vgg import VggExtractor
from styler.training.data import read_source
from styler.training.distill import Distillation
from styler.training.run import Plan, config_of, run
from styler.training.student import parse_blocks, student_of_file

SMALL: dict[str, Any] = {
    "blocks": "8,8,8,8x2,8",
    "steps": 2,
    "side": 32,
    "crops": 2,
    "rollouts": 1,
    "groups": 2,
    "transplant": False,
}


def _plan(teacher: Path, data: Path, out: Path, **changes: Any) -> Plan:
    options = SMALL | changes.pop("options", {})
    return Plan(
        teacher=teacher, data=(data,), out=out, device="cpu", precision="fp32", options=options,
        **changes,
    )  # fmt: skip


def _run(plan: Plan, stop_after: int | None = None) -> Distillation:
    def show(distillation: Distillation, seconds: float) -> None:
        if distillation.step == stop_after:
            raise KeyboardInterrupt

    return run(plan, note=lambda _: None, show=show)


def test_two_steps_on_synthetic_pictures_write_a_student(
    pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    out = tmp_path / "student.safetensors"
    _run(_plan(teacher, pictures, out))
    spec, weights = student_of_file(out)
    assert spec.blocks == parse_blocks("8,8,8,8x2,8")
    assert weights.metadata["steps"] == "2"
    assert weights.metadata["teacher"].startswith("vgg-lite")
    assert set(json.loads(weights.metadata["held_out_error"])) >= {"relu1_1", "relu5_1"}
    assert not out.with_name(out.name + ".checkpoint.pt").exists()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for file, seed in zip(files, (0, 0, 1), strict=True):
        _run(_plan(teacher, pictures, file, options={"seed": seed, "steps": 3}))
    first, again, other = (file.read_bytes() for file in files)
    assert first == again
    assert first != other


def test_an_interrupted_training_goes_on_to_the_same_bytes(
    pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    _run(_plan(teacher, pictures, whole, options={"steps": 5}))
    plan = _plan(teacher, pictures, parts, options={"steps": 5}, checkpoint_every=2)
    with pytest.raises(KeyboardInterrupt):
        _run(plan, stop_after=3)
    assert plan.checkpoint.is_file()
    resumed = _run(plan)
    assert resumed.step == 5
    assert whole.read_bytes() == parts.read_bytes()


def test_a_checkpoint_of_other_options_is_refused(
    pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    plan = _plan(teacher, pictures, tmp_path / "a.safetensors", checkpoint_every=1)
    with pytest.raises(KeyboardInterrupt):
        _run(plan, stop_after=2)
    other = _plan(teacher, pictures, plan.out, options={"seed": 9})
    with pytest.raises(ConfigError, match="another configuration"):
        _run(other)


def test_training_lowers_the_error_on_pictures_held_back(pictures: Path, teacher: Path) -> None:
    source = read_source(pictures)
    network = load_extractor("vgg-lite", pooling="average", weights=teacher)
    assert isinstance(network, VggExtractor)
    options = {"steps": 60, "warmup": 1, "lr": 1e-2, "rollouts": 0, "crops": 4}
    distillation = Distillation({"average": network}, [source], config_of(SMALL | options))
    before = distillation.held_out_error([source])
    while distillation.step < 60:
        distillation.advance()
    after = distillation.held_out_error([source])
    assert sum(after.values()) < 0.7 * sum(before.values())


def test_both_poolings_take_turns(pictures: Path, teacher: Path, tmp_path: Path) -> None:
    plan = _plan(teacher, pictures, tmp_path / "a.safetensors", options={"pooling": "both"})
    assert set(_run(plan).teachers) == {"average", "max"}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"teacher": Path("nowhere.safetensors")}, BackboneError),
        ({"data": Path("nowhere")}, ImageError),
        ({"out": Path("weights.pth")}, OutputError),
        ({"out": Path("nowhere/weights.safetensors")}, OutputError),
        ({"options": {"blocks": "8,8"}}, ConfigError),
        ({"options": {"blocks": "many"}}, ConfigError),
        ({"options": {"pooling": "sum"}}, ConfigError),
    ],
)
def test_bad_input_is_refused(
    pictures: Path, teacher: Path, tmp_path: Path, changes: dict[str, Any],
    fault: type[StylerError],
) -> None:  # fmt: skip
    given = {"teacher": teacher, "data": pictures, "out": tmp_path / "a.safetensors"} | changes
    with pytest.raises(fault):
        _run(_plan(**given))


def test_weights_are_half_precision_under_canonical_names(
    pictures: Path, teacher: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.safetensors"
    _run(_plan(teacher, pictures, out))
    tensors, _ = read_tensors(out)
    assert tensors["conv4_2.weight"].shape == (8, 8, 3, 3)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
