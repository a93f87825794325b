"""The embedded network against its real teacher."""

import json
from pathlib import Path

import pytest

from styler.features import find_weights, get_backbone, load_extractor, summarise, totals
from styler.features.tensor_files import read_tensors
from styler.images import read_picture
from styler.training.matching import unexplained
from styler.training.student import TAPS

SAMPLES = Path(__file__).parents[2] / "samples"


def test_the_embedded_file_is_small_and_says_where_it_is_from() -> None:
    path = find_weights(get_backbone("vgg-lite"))
    assert path is not None
    assert path.stat().st_size <= 6_000_000
    metadata = read_tensors(path)[1]
    assert "Simonyan" in metadata["teacher"]
    assert metadata["teacher_licence"] == "CC BY 4.0"
    assert int(metadata["steps"]) > 0
    assert set(json.loads(metadata["held_out_error"])) == set(TAPS)
    assert len(metadata["config_sha256"]) == 64


@pytest.mark.weights
def test_the_embedded_network_knows_most_of_its_teacher(weights_dir: Path) -> None:
    picture = read_picture(SAMPLES / "contents" / "astronaut.jpg").pixels
    student, teacher = (
        load_extractor(name, pooling="average")(picture, TAPS)
        for name in ("vgg-lite", "vgg19-caffe")
    )
    limits = dict(zip(TAPS, (0.05, 0.1, 0.15, 0.2, 0.3, 0.4), strict=True))
    for tap, limit in limits.items():
        assert unexplained(student[tap], teacher[tap]) < limit, tap


def _macs_to_relu5_1(name: str) -> int:
    rows = summarise(get_backbone(name), (256, 256))
    last = next(place for place, row in enumerate(rows) if row.name == "conv5_1")
    return totals(rows[: last + 1]).macs


def test_the_embedded_network_costs_less_than_a_fifth_of_its_teacher() -> None:
    assert _macs_to_relu5_1("vgg-lite") * 5 <= _macs_to_relu5_1("vgg19")
