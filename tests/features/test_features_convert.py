import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from styler.errors import BackboneError, OutputError
from styler.features.convert import identify, import_weights, store_weights
from styler.features.extractor import load_extractor
from styler.features.locate import find_weights
from styler.features.network import vgg_ops
from styler.features.registry import BackboneSpec, get_backbone
from styler.features.tensor_files import file_sha256
from styler.features.weights import (
    LoadedWeights,
    load_weights,
    verify_weights,
    vgg_shapes,
)


def torchvision_state(name: str, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Weights in torchvision's layout that are constant, and so take no room on disk."""
    spec = get_backbone(name)
    shapes = vgg_shapes(spec)
    state = {}
    for place, op in enumerate(vgg_ops(spec.blocks)):
        for leaf in ("weight", "bias") if op.kind == "conv" else ():
            shape = shapes[f"{op.name}.{leaf}"]
            state[f"features.{place}.{leaf}"] = torch.tensor(0.5, dtype=dtype).expand(shape)
    state["classifier.0.weight"] = torch.tensor(0.5).expand(4096, 25088)
    return state


def lite_as_pth(path: Path) -> dict[str, Tensor]:
    spec = get_backbone("vgg-lite")
    embedded = find_weights(spec)
    assert embedded is not None
    generator = torch.Generator().manual_seed(1)
    ours = {
        key: value.float() * (1 + 1e-4 * torch.rand(value.shape, generator=generator))
        for key, value in load_weights(spec, embedded).state.items()
    }
    places = {op.name: place for place, op in enumerate(vgg_ops(spec.blocks))}
    stems = {key: key.partition(".") for key in ours}
    torch.save({f"features.{places[s[0]]}.{s[2]}": ours[k] for k, s in stems.items()}, path)
    return ours


@pytest.mark.parametrize("name", [None, "vgg-lite"])
def test_import_round_trip(name: str | None, tmp_path: Path, cache: Path) -> None:
    state = lite_as_pth(tmp_path / "mine.pth")
    stored = import_weights(tmp_path / "mine.pth", name)
    assert stored == cache / "vgg-lite.features.safetensors"
    spec = get_backbone("vgg-lite")
    assert find_weights(spec) == stored  # before the embedded one
    loaded = load_weights(spec, stored)
    for key, value in state.items():
        assert loaded.state[key].dtype is torch.float16
        bound = torch.maximum(value.abs() / 2048, torch.tensor(3e-8))
        assert bool(((loaded.state[key].float() - value).abs() <= bound).all())
    assert loaded.metadata["backbone"] == "vgg-lite"
    assert loaded.metadata["original"] == "mine.pth"
    assert loaded.metadata["original_sha256"] == file_sha256(tmp_path / "mine.pth")
    assert load_extractor("vgg-lite").weights_sha256 == loaded.sha256
    assert sorted(p.name for p in cache.iterdir()) == [stored.name, f"{stored.name}.sha256"]


def test_a_stored_file_carries_its_digest(tmp_path: Path, cache: Path) -> None:
    lite_as_pth(tmp_path / "mine.pth")
    stored = import_weights(tmp_path / "mine.pth", "vgg-lite")
    check = ["sha256sum", "--check", f"{stored.name}.sha256"]
    assert subprocess.run(check, cwd=cache, check=False, capture_output=True).returncode == 0
    spec = get_backbone("vgg-lite")
    assert [r.status for r in verify_weights(spec)] == ["ok", "ok"]
    broken = bytearray(stored.read_bytes())
    broken[-1] ^= 1
    stored.write_bytes(broken)
    assert [r.status for r in verify_weights(spec)] == ["mismatch", "ok"]
    with pytest.raises(BackboneError, match="is not what it should be"):
        load_extractor("vgg-lite")


def test_importing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    lite_as_pth(tmp_path / "mine.pth")
    first = import_weights(tmp_path / "mine.pth").read_bytes()
    assert import_weights(tmp_path / "mine.pth").read_bytes() == first


def test_a_stored_file_can_be_imported_under_another_name(tmp_path: Path) -> None:
    lite_as_pth(tmp_path / "mine.pth")
    moved = import_weights(tmp_path / "mine.pth").rename(tmp_path / "from-a-friend.safetensors")
    assert identify(moved).name == "vgg-lite"
    assert load_extractor(weights=moved).name == "vgg-lite"


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("vgg16-397923af.pth", "vgg16"),
        ("vgg19-dcbb9e9d.pth", "vgg19"),
        ("vgg19-d01eb7cb.pth", "vgg19-caffe"),
        ("vgg19-caffe.safetensors", "vgg19-caffe"),
    ],
)
def test_known_file_names_are_recognised(filename: str, name: str, tmp_path: Path) -> None:
    assert identify(tmp_path / filename).name == name


def test_networks_are_told_by_their_tensors(tmp_path: Path) -> None:
    torch.save(torchvision_state("vgg16"), tmp_path / "w.pth")
    assert identify(tmp_path / "w.pth").name == "vgg16"
    torch.save(torchvision_state("vgg19"), tmp_path / "w.pth")
    with pytest.raises(BackboneError, match="fits vgg19 and vgg19-caffe") as caught:
        import_weights(tmp_path / "w.pth")
    assert caught.value.hint == "say which one it is"
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(BackboneError, match="fits no known network"):
        import_weights(tmp_path / "w.safetensors")


def test_importing_caffe_weights_without_a_known_digest(tmp_path: Path, cache: Path) -> None:
    torch.save(torchvision_state("vgg19"), tmp_path / "vgg19-d01eb7cb.pth")
    stored = import_weights(tmp_path / "vgg19-d01eb7cb.pth")
    assert stored == cache / "vgg19-caffe.features.safetensors"
    assert 39e6 < stored.stat().st_size < 41e6
    loaded = load_weights(get_backbone("vgg19-caffe"), stored)
    assert loaded.metadata["licence"] == "CC BY 4.0"
    assert len(loaded.state) == 32


def test_a_registered_name_must_have_the_registered_digest(tmp_path: Path, cache: Path) -> None:
    torch.save(torchvision_state("vgg16"), tmp_path / "vgg16-397923af.pth")
    with pytest.raises(BackboneError, match="sha256 397923af… expected"):
        import_weights(tmp_path / "vgg16-397923af.pth")
    assert not cache.exists()


@pytest.mark.parametrize("name", [None, "vgg19"])
def test_missing_files_are_told(name: str | None, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"cannot read weights file .*gone"):
        import_weights(tmp_path / "gone.pth", name)


def test_values_beyond_float16_are_refused(
    tiny: BackboneSpec, tiny_state: dict[str, Tensor], cache: Path
) -> None:
    tiny_state["conv1_2.bias"][0] = 7e4
    loaded = LoadedWeights(state=tiny_state, sha256="0" * 64, path=Path("big.pth"))
    with pytest.raises(BackboneError, match=r"conv1_2\.bias has values beyond ±65504"):
        store_weights(tiny, loaded)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_told(
    tiny: BackboneSpec,
    tiny_state: dict[str, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("STYLER_CACHE_DIR", str(tmp_path / "file"))
    loaded = LoadedWeights(state=tiny_state, sha256="0" * 64, path=Path("w.pth"))
    with pytest.raises(OutputError, match="cannot write to the cache") as caught:
        store_weights(tiny, loaded)
    assert "STYLER_CACHE_DIR" in str(caught.value.hint)


@pytest.mark.weights
def test_the_real_vgg19_survives_an_import_unchanged(weights_dir: Path, cache: Path) -> None:
    spec = get_backbone("vgg19-caffe")
    source = load_weights(spec, weights_dir / "vgg19-caffe.safetensors")
    stored = load_weights(spec, import_weights(weights_dir / "vgg19-caffe.safetensors"))
    assert stored.path.parent == cache
    assert all(torch.equal(stored.state[key], value) for key, value in source.state.items())
