import subprocess
import sys

import pytest

import styler.features
from styler.errors import BackboneError
from styler.features.registry import BACKBONES, WeightFile, get_backbone


def test_names_and_records_agree() -> None:
    assert all(name == spec.name for name, spec in BACKBONES.items())
    assert [s.name for s in BACKBONES.values() if s.embedded] == ["vgg-lite"]


@pytest.mark.parametrize(
    ("name", "convolutions"), [("vgg-lite", 11), ("vgg16", 13), ("vgg19", 16), ("vgg19-caffe", 16)]
)
def test_depths(name: str, convolutions: int) -> None:
    assert sum(len(block) for block in get_backbone(name).blocks) == convolutions


def test_unknown_backbone_answers_with_the_closest() -> None:
    with pytest.raises(BackboneError, match="unknown backbone 'vgg91'") as caught:
        get_backbone("vgg91")
    assert "vgg19" in str(caught.value.hint)


def test_digests_may_be_prefixes() -> None:
    entry = WeightFile(filename="a", licence="", source="", sha256="dcbb9e9d")
    assert entry.matches("dcbb9e9d" + "0" * 56) is True
    assert entry.matches("0" * 64) is False
    assert WeightFile(filename="a", licence="", source="").matches("0" * 64) is None


def test_file_names_of_torchvision_carry_the_digest() -> None:
    for name in ("vgg16", "vgg19"):
        (entry,) = get_backbone(name).weights
        assert entry.sha256 is not None
        assert entry.filename == f"{name}-{entry.sha256}.pth"
        assert str(entry.url).endswith(entry.filename)


def test_every_public_name_can_be_had() -> None:
    assert all(getattr(styler.features, name) is not None for name in styler.features.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        getattr(styler.features, "non" + "sense")


def test_the_registry_needs_no_torch() -> None:
    code = (
        "import sys; from styler.features import BACKBONES, summarise, find_weights;"
        "find_weights(BACKBONES['vgg-lite']); summarise(BACKBONES['vgg19'], (64, 64));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
