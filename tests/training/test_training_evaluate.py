import shutil
from pathlib import Path

import pytest

from styler.errors import BackboneError, ImageError
from styler.features import load_extractor
from styler.training.evaluate import (
    HURRIED,
    TEACHER,
    Judge,
    evaluate,
    hurried,
    iteration_seconds,
    medians,
    read_pairs,
    settings,
)
from styler.training.report import contact_rows, summary
from styler.training.student import student_of_file


def test_pairs_differ_and_use_every_picture(pictures: Path) -> None:
    pairs = read_pairs(pictures, pictures, 25)
    assert len({pair.name for pair in pairs}) == 25
    assert len({pair.name.split("+")[1] for pair in pairs}) == 20


def test_every_content_meets_every_style(pictures: Path, tmp_path: Path) -> None:
    contents, styles = tmp_path / "contents", tmp_path / "styles"
    for folder, count in ((contents, 3), (styles, 4)):
        folder.mkdir()
        for number in range(count):
            shutil.copy(pictures / f"{number:02}.png", folder)
    assert len({pair.name for pair in read_pairs(contents, styles, 12)}) == 12


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        read_pairs(tmp_path, tmp_path, 3)


def test_the_hurried_teacher_takes_fewer_steps_at_each_scale() -> None:
    assert hurried(settings(256), 0.25).schedule.steps == (38, 30, 20, 15, 10)
    assert hurried(settings(256), 1e-9).schedule.steps == (1, 1, 1, 1, 1)


def test_a_network_judged_beside_itself_is_equal(pictures: Path) -> None:
    extractor = load_extractor("vgg-lite", pooling="average")
    config = hurried(settings(64), 0.02)
    pairs = read_pairs(pictures, pictures, 2)
    rows = list(
        evaluate(pairs, {"a": extractor}, extractor, [Judge("judge", extractor, config)], config)
    )
    assert medians(rows, "judge", "a", TEACHER) == {"style": 1.0, "content": 1.0}
    assert set(rows[0].painted) == {"a", TEACHER, HURRIED}
    result = summary(rows, ["a"], [Judge("judge", extractor, config)])
    assert result["medians"]["a / teacher, under judge"]["style"] == 1.0
    assert [label for label, _ in contact_rows(rows, pairs, ["a"])[0]] == [
        "content", "style", "a", "teacher",
    ]  # fmt: skip


def test_iterations_are_timed_by_name() -> None:
    extractor = load_extractor("vgg-lite", pooling="average")
    seconds = iteration_seconds({"a": extractor, "b": extractor}, 32, rounds=1)
    assert set(seconds) == {"a", "b"}
    assert min(seconds.values()) > 0


def test_what_is_no_student_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError):
        student_of_file(tmp_path / "nothing.safetensors")
