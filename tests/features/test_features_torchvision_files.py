import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models
from traced_builders import REGISTERED, hollow, hooked, picture, random_model, same, saved

from styler.errors import BackboneError, ConfigError
from styler.features import (
    BACKBONES,
    fetch_weights,
    find_weights,
    get_backbone,
    identify,
    import_weights,
    load_extractor,
    load_weights,
    verify_weights,
)
from styler.features.registry import WeightFile


def test_names() -> None:
    assert get_backbone("torchvision:ResNet50") is BACKBONES["resnet50"]
    assert get_backbone("torchvision:vgg19").architecture == "torchvision"
    assert get_backbone("vgg19").architecture == "vgg"
    assert all(BACKBONES[name].rank == 0 for name in REGISTERED)
    with pytest.raises(BackboneError, match="no network 'resnet5' for images") as caught:
        get_backbone("torchvision:resnet5")
    assert "resnet50" in str(caught.value.hint)
    with pytest.raises(BackboneError, match="no network 'r3d_18' for images"):
        get_backbone("torchvision:r3d_18")
    with pytest.raises(BackboneError, match="no network '' for images"):
        get_backbone("torchvision:")
    with pytest.raises(ConfigError, match="unknown layer 'layer5'") as unknown:
        hollow("resnet50").resolve(["layer5"])
    assert "layer4" in str(unknown.value.hint)


@pytest.mark.parametrize("name", REGISTERED)
def test_records_agree_with_torchvisions(name: str) -> None:
    spec = BACKBONES[name]
    known = models.get_model_weights(name)
    assert spec.weights[0].url == known.DEFAULT.url
    assert {entry.url for entry in spec.weights} == {entry.url for entry in known}
    for entry in spec.weights:
        assert entry.filename == str(entry.url).rpartition("/")[2]
        assert entry.sha256 is not None
        assert entry.sha256 in entry.filename


def test_networks_without_a_record_take_torchvisions() -> None:
    spec = get_backbone("torchvision:efficientnet_v2_l")
    assert spec.preprocessing.mean == spec.preprocessing.std == (0.5, 0.5, 0.5)
    assert [entry.sha256 for entry in spec.weights] == ["59c71312"]
    swag = get_backbone("torchvision:vit_h_14").weights
    assert [entry.filename for entry in swag] == ["vit_h_14_lc_swag-c1eb923e.pth"]
    assert "SWAG" in swag[0].licence


def test_where_weights_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = get_backbone("resnet50")
    with pytest.raises(BackboneError, match=r"found no resnet50\.safetensors or resnet50-11a") as e:
        load_extractor("resnet50")
    assert "styler weights fetch resnet50" in str(e.value.hint)
    monkeypatch.setenv("STYLER_WEIGHTS_DIR", str(tmp_path))
    # In the order from last to first: an older release, the two of today, our own.
    for name in ("resnet50-19c8e357", "resnet50-0676ba61", "resnet50-11ad3fa6", "resnet50"):
        path = tmp_path / f"{name}{'' if '-' in name else '.safetensors'}"
        path = path.with_name(f"{path.name}.pth") if "-" in name else path
        path.write_bytes(b"")
        assert find_weights(spec) == path
    (tmp_path / "vgg16_bn-6c64b313.pth").write_bytes(b"")
    assert find_weights(get_backbone("vgg16")) is None


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    spec = get_backbone("squeezenet1_0")
    state = random_model("squeezenet1_0").state_dict()
    bias, path = "classifier.1.bias", tmp_path / "w.safetensors"
    for change, message in (
        ({bias: None}, r"does not fit squeezenet1_0: it has no classifier\.1\.bias"),
        ({"fc.bias": torch.ones(2)}, r"it has fc\.bias, which that network lacks"),
        ({bias: torch.ones(10)}, r"classifier\.1\.bias should have shape \(1000,\), has \(10,\)"),
        ({bias: torch.full((1000,), float("nan"))}, r"classifier\.1\.bias is not all finite"),
        ({bias: torch.ones(1000, dtype=torch.int64)}, r"classifier\.1\.bias is not all finite"),
    ):
        changed = {k: v for k, v in (state | change).items() if v is not None}
        save_file(changed, path)
        with pytest.raises(BackboneError, match=message):
            load_weights(spec, path)
    named = tmp_path / "squeezenet1_0-a815701f.pth"
    torch.save(state, named)
    with pytest.raises(BackboneError, match="sha256 a815701f… expected"):
        load_weights(spec, named)
    with pytest.raises(BackboneError, match="does not fit resnet50"):
        load_extractor("resnet50", weights=path)


@pytest.mark.parametrize(("name", "aux"), [("googlenet", "aux1"), ("inception_v3", "AuxLogits")])
def test_auxiliary_classifiers_are_left_out(name: str, aux: str, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        whole = models.get_model(name, weights=None, init_weights=False).state_dict()
    assert any(key.startswith(aux) for key in whole)
    torch.save(whole, tmp_path / "w.pth")
    state = load_weights(get_backbone(name), tmp_path / "w.pth").state
    assert not any("aux" in key.lower() for key in state)
    assert {k for k in whole if k not in state and not k.lower().startswith("aux")} == {
        key for key in whole if key.endswith("num_batches_tracked") and "ux" not in key
    }


def test_the_first_files_of_densenet_are_read(tmp_path: Path) -> None:
    state = random_model("densenet121").state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", k): v for k, v in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "w.pth")
    loaded = load_weights(get_backbone("torchvision:densenet121"), tmp_path / "w.pth").state
    assert all(torch.equal(value, state[key]) for key, value in loaded.items())
    assert len(loaded) == sum(not key.endswith("num_batches_tracked") for key in state)


def test_imports_are_whole_networks_and_tell_what_they_are(tmp_path: Path, cache: Path) -> None:
    theirs = random_model("googlenet")
    torch.save(theirs.state_dict(), tmp_path / "mine.pth")
    assert identify(tmp_path / "mine.pth").name == "googlenet"
    stored = import_weights(tmp_path / "mine.pth")
    assert stored == cache / "googlenet.safetensors"
    stored.rename(tmp_path / "other.safetensors")
    assert identify(tmp_path / "other.safetensors").name == "googlenet"
    state = load_weights(get_backbone("googlenet"), tmp_path / "other.safetensors").state
    assert state["conv1.conv.weight"].dtype is torch.float16
    assert state["conv1.bn.running_var"].dtype is torch.float32
    auto = load_extractor("auto", weights=tmp_path / "other.safetensors")
    image = picture(64, 64)
    same(auto(image, ["logits"])["logits"], hooked(theirs, image, [])["logits"])


def test_imports_of_networks_without_a_record(tmp_path: Path, cache: Path) -> None:
    saved(random_model("mnasnet0_5"), tmp_path / "mine.safetensors")
    stored = import_weights(tmp_path / "mine.safetensors", "torchvision:mnasnet0_5")
    assert stored == cache / "mnasnet0_5.safetensors"
    assert identify(stored).name == "torchvision:mnasnet0_5"
    (report,) = verify_weights(get_backbone("torchvision:mnasnet0_5"))
    assert (report.path, report.status) == (stored, "ok")


def test_downloads_are_checked_and_kept_whole(tmp_path: Path, cache: Path) -> None:
    theirs = random_model("squeezenet1_0")
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    entry = WeightFile(
        filename=f"squeezenet1_0-{digest[:8]}.pth",
        licence="none",
        source="random",
        url=(tmp_path / "w.pth").as_uri(),
        sha256=digest[:8],
    )
    spec = replace(get_backbone("squeezenet1_0"), weights=(entry,))
    assert fetch_weights(spec) == cache / "squeezenet1_0.safetensors"
    assert sorted(path.name for path in cache.iterdir()) == [
        "squeezenet1_0.safetensors",
        "squeezenet1_0.safetensors.sha256",
    ]
    image = picture(64, 64)
    found = load_extractor("squeezenet1_0")(image, ["logits"])["logits"]
    same(found, hooked(theirs, image, [])["logits"])
