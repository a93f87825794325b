from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models
from traced_builders import hollow, imagenet, picture, same

from styler.errors import ConfigError
from styler.features import get_backbone, load_extractor, summarise

SEGMENTATION = ("lraspp_mobilenet_v3_large", "fcn_resnet50", "deeplabv3_resnet50")
DETECTION = {
    "fasterrcnn_resnet50_fpn": "fpn.layer_blocks.0",
    "maskrcnn_resnet50_fpn": "fpn.inner_blocks.0",
    "keypointrcnn_resnet50_fpn": "body.layer3",
    "retinanet_resnet50_fpn": "fpn.extra_blocks.p7",
    "fcos_resnet50_fpn": "fpn.extra_blocks.p6",
    "ssd300_vgg16": "features.21",
    "ssdlite320_mobilenet_v3_large": "extra.0",
}


def random_network(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model: nn.Module = models.get_model(name, weights=None, weights_backbone=None)
    return model.eval()


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_resnet50"])
def test_segmentation(name: str, tmp_path: Path) -> None:
    theirs = random_network(name)
    state = theirs.state_dict()
    state["aux_classifier.0.weight"] = torch.ones(2, 2)  # for training alone
    torch.save(state, tmp_path / "w.pth")
    ours = load_extractor(f"torchvision:{name}", weights=tmp_path / "w.pth")
    image = picture(96, 128)
    found = ours(image, ["logits", ours.layers[3]])
    with torch.no_grad():
        same(found["logits"], theirs(imagenet(image))["out"])
    assert found["logits"].shape == (1, 21, 96, 128)
    assert ours.stride("logits") == 1
    assert ours.channels("classifier") == 21


@pytest.mark.parametrize("name", SEGMENTATION)
def test_segmentation_networks_have_logits(name: str) -> None:
    ours = hollow(f"torchvision:{name}")
    assert ours.layers[-1] == "logits"
    assert ours.notice is None


@pytest.mark.parametrize("name", DETECTION)
def test_detection_networks_are_opened_at_their_backbone(name: str) -> None:
    ours = hollow(f"torchvision:{name}")
    layer = DETECTION[name]
    value = ours(picture(320, 352), [layer])[layer]
    assert ours.channels(layer) == value.shape[1]
    assert abs(value.shape[3] - 352 / ours.stride(layer)) < 1
    assert "logits" not in ours.layers
    with pytest.raises(ConfigError, match="unknown layer 'logits'"):
        ours.resolve(["logits"])


def test_features_of_a_detection_network_are_torchvisions(tmp_path: Path) -> None:
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    theirs = random_network(name)
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    ours = load_extractor(f"torchvision:{name}", weights=tmp_path / "w.pth")
    image = picture(96, 128)
    found = ours(image, ["fpn.layer_blocks.0"])["fpn.layer_blocks.0"]
    with torch.no_grad():
        same(found, theirs.get_submodule("backbone")(imagenet(image))["0"])


def test_input_of_detection_networks_is_their_own() -> None:
    ssd = get_backbone("torchvision:ssd300_vgg16")
    assert ssd.preprocessing.mean == (0.48235, 0.45882, 0.40784)
    assert ssd.preprocessing.std == (1 / 255,) * 3
    assert ssd.task == "detection"
    mask = get_backbone("torchvision:maskrcnn_resnet50_fpn")
    assert mask.preprocessing.mean == (0.485, 0.456, 0.406)
    assert get_backbone("torchvision:fcn_resnet50").task == "segmentation"


def test_summaries_of_other_tasks() -> None:
    rows = {row.name: row for row in summarise(get_backbone("torchvision:fcn_resnet50"), (64, 96))}
    assert rows["classifier.4"].shape == (21, 8, 12)
    found = summarise(get_backbone("torchvision:retinanet_resnet50_fpn"), (64, 96))
    assert found[-1].shape[0] == 256
