import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from traced_builders import picture, same, saved

from styler.errors import BackboneError, ImageError
from styler.features import (
    get_backbone,
    identify,
    import_weights,
    load_extractor,
    summarise,
    verify_weights,
)
from styler.features.hooked_extractor import HookedExtractor
from styler.features.networks import build_network
from styler.features.traced_extractor import TracedExtractor

needs_timm = pytest.mark.skipif(
    importlib.util.find_spec("timm") is None, reason="timm is not installed"
)


def network(name: str) -> nn.Module:
    """timm's own, with weights of chance that a small file holds exactly."""
    model = build_network(get_backbone(name)).eval()
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half())
    return model


def normalised(name: str, image: torch.Tensor) -> torch.Tensor:
    stated = get_backbone(name).preprocessing
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (stated.mean, stated.std))
    return (image - mean) / std


@needs_timm
@pytest.mark.parametrize(
    ("name", "layer", "side"),
    [("timm:resnet18", "layer2.0.bn1", 64), ("timm:efficientnet_lite0", "blocks.2", 64),
     ("timm:convnext_atto", "stages.1", 64), ("timm:vit_tiny_patch16_384", "logits", 384)],
)  # fmt: skip
def test_features_are_timms(name: str, layer: str, side: int, tmp_path: Path) -> None:
    theirs = network(name)
    ours = load_extractor(name, weights=saved(theirs, tmp_path / "w.safetensors"))
    assert isinstance(ours, TracedExtractor)
    image = picture(side, side)
    found = ours(image, [layer, "logits"])
    with torch.no_grad():
        same(found["logits"], theirs(normalised(name, image)))
    assert ours.channels(layer) == found[layer].shape[1]


@needs_timm
def test_a_network_that_timm_does_not_let_trace(tmp_path: Path) -> None:
    name = "timm:mobilenetv3_small_050"
    theirs = network(name)
    spec = get_backbone(name)
    path = saved(theirs, tmp_path / "w.safetensors")
    traced = load_extractor(name, weights=path)
    hooked = HookedExtractor(
        spec, theirs, "", "asked for",
        device=torch.device("cpu"), dtype=torch.float32, pooling="max",
    )  # fmt: skip
    image = picture(64, 96)
    both = [layer for layer in traced.layers if layer in hooked.layers]
    assert len(both) > 200
    expected = hooked(image, both)
    for layer, value in traced(image, both).items():
        same(value, expected[layer])
    for layer in both[::20]:
        assert traced.minimum_side(layer) == hooked.minimum_side(layer), layer
        if expected[layer].ndim == 4 and expected[layer].shape[3] > 1:
            assert traced.stride(layer) == hooked.stride(layer), layer


@needs_timm
def test_one_size_networks(tmp_path: Path) -> None:
    name = "timm:vit_tiny_patch16_384"
    ours = load_extractor(name, weights=saved(network(name), tmp_path / "w.safetensors"))
    assert (ours.input_size, ours.native_side) == (384, 384)
    assert ours.stride("patch_embed.proj") == 16
    assert not any("attn" in layer for layer in ours.layers)
    with pytest.raises(ImageError, match="takes images of 384×384 pixels alone, got 224×224"):
        ours(picture(224, 224), ["logits"])


@needs_timm
def test_records_are_timms_data_configuration() -> None:
    spec = get_backbone("timm:Inception_v3")
    assert spec.name == "timm:inception_v3"
    assert spec.preprocessing.mean == spec.preprocessing.std == (0.5, 0.5, 0.5)
    assert (spec.native_side, spec.architecture) == (299, "timm")
    tagged = get_backbone("timm:resnet50.a1_in1k")
    assert tagged.preprocessing.mean == (0.485, 0.456, 0.406)
    assert [entry.filename for entry in tagged.weights] == [
        "resnet50.a1_in1k.safetensors", "resnet50.a1_in1k.pth",
    ]  # fmt: skip
    assert tagged.weights[0].licence == "apache-2.0"


@needs_timm
@pytest.mark.parametrize(
    ("name", "near"), [("resnet5", "resnet50"), ("resnet50.a1_in1", "a1_in1k"), ("", "known")]
)
def test_unknown_names_answer_with_the_closest(name: str, near: str) -> None:
    with pytest.raises(BackboneError, match=f"timm has no network '{name}'") as caught:
        get_backbone(f"timm:{name}")
    assert near in str(caught.value.hint)


@needs_timm
def test_weights_are_looked_for_by_name(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "timm:resnet10t"
    with pytest.raises(BackboneError, match=r"found no .*resnet10t\.safetensors or resnet10") as e:
        load_extractor(name)
    assert "timm.create_model('resnet10t', pretrained=True)" in str(e.value.hint)
    assert "fetch" not in str(e.value.hint)
    theirs = network(name)
    torch.save(theirs.state_dict(), tmp_path / "resnet10t.pth")
    monkeypatch.setenv("STYLER_WEIGHTS_DIR", str(tmp_path))
    image = picture(40, 40)
    logits = load_extractor(name)(image, ["logits"])["logits"]
    stored = import_weights(tmp_path / "resnet10t.pth", name)
    assert stored == cache / "timm-resnet10t.safetensors"
    assert identify(stored).name == name
    monkeypatch.delenv("STYLER_WEIGHTS_DIR")
    same(load_extractor(name)(image, ["logits"])["logits"], logits)
    assert [report.status for report in verify_weights(get_backbone(name))] == ["ok"]
    with pytest.raises(BackboneError, match=r"does not fit timm:resnet18: it has no conv1\.weight"):
        load_extractor("timm:resnet18", weights=stored)


@needs_timm
def test_torchvisions_weights_of_the_same_name_are_refused(tmp_path: Path, cache: Path) -> None:
    saved(network("timm:resnet18"), tmp_path / "w.safetensors")
    stored = import_weights(tmp_path / "w.safetensors", "torchvision:resnet18")
    assert stored.name == "resnet18.safetensors"
    with pytest.raises(BackboneError, match="says that it is for torchvision:resnet18") as caught:
        load_extractor("timm:resnet18")
    assert "use torchvision:resnet18" in str(caught.value.hint)


@needs_timm
def test_summaries() -> None:
    rows = {row.name: row for row in summarise(get_backbone("timm:resnet18"), (64, 64))}
    assert rows["layer4.1.conv2"].shape == (512, 2, 2)


def test_without_timm_a_line_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "timm.py").write_text("raise ModuleNotFoundError(\"No module named 'timm'\")")
    code = (
        "from styler.errors import BackboneError\n"
        "from styler.features import load_extractor\n"
        "try:\n    load_extractor('timm:resnet18')\n"
        "except BackboneError as error:\n    print(error.message, error.hint, sep=' | ')\n"
    )
    paths = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        "networks of timm need timm, which cannot be imported: No module named 'timm' | "
        "`pip install 'styler[timm]'` installs it"
    )
