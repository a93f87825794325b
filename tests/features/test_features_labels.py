"""Names of classes."""

import subprocess
import sys

import pytest
from torchvision import models

from styler.errors import ConfigError
from styler.features.labels import class_labels, find_class
from styler.features.registry import BackboneSpec, get_backbone

FEW = ["great white shark", "crane", "ping-pong ball", "crane", "jack-o'-lantern"]


def imagenet() -> tuple[str, ...]:
    labels = class_labels("resnet50", 1000)
    assert labels is not None
    return labels


def test_networks_for_imagenet_share_its_labels() -> None:
    labels = imagenet()
    assert len(labels) == 1000
    assert (labels[0], labels[281], labels[999]) == ("tench", "tabby", "toilet tissue")
    for network in ("torchvision:vgg16", "timm:resnet18", "mine.py:build", get_backbone("vgg19")):
        assert class_labels(network, 1000) == labels


def test_other_networks_have_labels_of_their_own() -> None:
    labels = class_labels("torchvision:fcn_resnet50", 21)
    assert labels is not None
    assert (labels[0], labels[8], labels[20]) == ("__background__", "cat", "tvmonitor")
    assert class_labels(" Torchvision:FCN_ResNet50 ", 21) == labels


@pytest.mark.parametrize(
    ("network", "units"),
    [
        ("torchvision:fcn_resnet50", 20),
        ("squeezenet1_0", 512),
        ("timm:fcn_resnet50", 21),
        ("mine.py:fcn_resnet50", 21),
        ("vgg-lite", 10),
        ("torchvision:raft_small", 2),
        (get_backbone("vgg-lite"), 384),
    ],
)
def test_unknown_labels(network: BackboneSpec | str, units: int) -> None:
    assert class_labels(network, units) is None


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("goldfish", 1),
        (" GoldFish ", 1),
        ("1", 1),
        (" 999 ", 999),
        ("great_white-shark", 2),
        ("Great  White Shark", 2),
        ("ping pong ball", 722),
        ("jack o' lantern", 607),
    ],
)
def test_a_class_is_found_by_index_or_label(text: str, index: int) -> None:
    assert find_class(text, imagenet(), 1000) == index


def test_every_label_that_is_alone_is_found() -> None:
    labels = imagenet()
    for index, label in enumerate(labels):
        if labels.count(label) == 1:
            assert find_class(label, labels, 1000) == index


def test_two_classes_of_one_name_are_told_apart_by_index() -> None:
    with pytest.raises(ConfigError, match=r"2 classes are called 'Crane': 1 .*and 3 ") as caught:
        find_class("Crane", FEW, 5)
    assert caught.value.hint == "use the index"
    with pytest.raises(ConfigError, match=r"1 \(crane\) and 3 \(crane\)"):
        find_class("crane", FEW, 5)
    assert find_class("3", FEW, 5) == 3


def test_case_tells_apart_what_nothing_else_does() -> None:
    labels = models.get_model_weights("alexnet").DEFAULT.meta["categories"]
    dog, garment = labels.index("Cardigan"), labels.index("cardigan")
    assert find_class("Cardigan", labels, 1000) == dog
    assert find_class("cardigan", labels, 1000) == garment
    with pytest.raises(ConfigError, match=rf"{dog} \(Cardigan\) and {garment} \(cardigan\)"):
        find_class("CARDIGAN", labels, 1000)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("golfish", "did you mean goldfish"),
        ("retriever", "flat-coated retriever or curly-coated retriever or golden retriever"),
        ("qqqq", "known: tench, goldfish"),
        ("", "known: tench"),
        ("(", "known: tench"),
    ],
)
def test_unknown_classes_answer_with_the_closest(text: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="unknown class") as caught:
        find_class(text, imagenet(), 1000)
    assert hint in str(caught.value.hint)
    assert len(str(caught.value.hint)) < 400


@pytest.mark.parametrize("text", ["5", "-1", "1000"])
def test_an_index_past_the_end(text: str) -> None:
    with pytest.raises(ConfigError, match=f"there is no class {text}: the network has 5") as caught:
        find_class(text, FEW, 5)
    assert "from 0 to 4" in str(caught.value.hint)


def test_without_labels_only_indices_work() -> None:
    assert find_class("4", None, 5) == 4
    with pytest.raises(ConfigError, match="names of this network's classes are not known"):
        find_class("goldfish", None, 5)


def test_classes_are_found_without_torch() -> None:
    code = (
        "import sys; from styler.features.labels import find_class;"
        "find_class('a', ['a'], 1); assert not {'torch', 'torchvision'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
