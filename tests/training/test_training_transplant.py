from pathlib import Path

import torch

from styler.features import load_extractor
from styler.features.vgg import VggExtractor
from styler.training.data import Crops, read_source
from styler.training.student import TAPS, as_extractor, student_spec
from styler.training.transplant import select_channels, transplant


def test_selection_skips_copies_of_channels_it_has() -> None:
    features = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    doubled = torch.cat([3 * features[:, :1], 3 * features[:, :1], features[:, 1:]], 1)
    chosen = select_channels(doubled.T @ doubled / 1000, 3).tolist()
    assert len({0, 1} & set(chosen)) == 1
    assert {2, 3} <= set(chosen)


def test_a_student_of_the_teachers_size_becomes_the_teacher(pictures: Path) -> None:
    teacher = load_extractor("vgg-lite", pooling="average")
    assert isinstance(teacher, VggExtractor)
    blocks = [[32, 32], [64, 64], [8], [8, 8], [8]]
    crops = Crops([read_source(pictures)])
    generator = torch.Generator().manual_seed(0)
    state, heads = transplant(
        student_spec(blocks),
        teacher,
        lambda count: crops(count, 48, generator),
        {tap: torch.tensor(1.0) for tap in TAPS},
        pooling="average",
        dtype=torch.float32,
        generator=generator,
    )
    student = as_extractor(
        student_spec(blocks), state, device=torch.device("cpu"), dtype=torch.float32,
        pooling="average",
    )  # fmt: skip
    image = crops(2, 48, generator)
    wanted, seen = teacher(image, ["relu1_1"]), student(image, ["relu1_1"])
    mapped = torch.einsum("tc,bchw->bthw", heads["relu1_1"], seen["relu1_1"])
    error = (mapped - wanted["relu1_1"]).square().mean() / wanted["relu1_1"].var()
    assert float(error) < 0.01
    for tap, head in heads.items():
        gram = head.T @ head
        assert torch.allclose(gram, torch.eye(len(gram)), atol=1e-4), tap
