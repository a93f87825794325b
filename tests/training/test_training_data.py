import tarfile
from pathlib import Path

import pytest
import torch

from styler.errors import ImageError
from styler.training.data import Crops, distort, read_source


def test_a_folder_holds_back_every_twentieth_picture(pictures: Path) -> None:
    source = read_source(pictures)
    assert (len(source.training), len(source.held_out)) == (19, 1)
    assert source.held_out[0].shape == (3, 59, 60)
    pixels = sum(height * 60 for height in range(40, 59))
    assert source.share == pytest.approx(pixels**0.5)


def test_an_archive_is_read_like_its_folder(pictures: Path, tmp_path: Path) -> None:
    archive = tmp_path / "pictures.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(pictures, arcname="inner")
    folder, packed = read_source(pictures), read_source(archive)
    assert all(torch.equal(a, b) for a, b in zip(folder.training, packed.training, strict=True))


def test_crops_are_the_same_for_the_same_seed_and_in_range(pictures: Path) -> None:
    crops = Crops([read_source(pictures)])
    first, again, other = (crops(5, 32, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert first.shape == (5, 3, 32, 32)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1


def test_distortion_leaves_some_pictures_alone_and_changes_others(pictures: Path) -> None:
    images = Crops([read_source(pictures)])(64, 24, torch.Generator().manual_seed(0))
    changed = distort(images, torch.Generator().manual_seed(0))
    same = (changed - images).abs().amax((1, 2, 3)) < 1e-6
    assert 0.2 < same.float().mean() < 0.7
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1


@pytest.mark.parametrize("name", ["nothing", "empty", "broken.tar"])
def test_what_holds_no_pictures_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.tar").write_bytes(b"no archive")
    with pytest.raises(ImageError):
        read_source(tmp_path / name)
