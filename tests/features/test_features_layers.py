import pytest

from styler.errors import ConfigError
from styler.features.layers import resolve_layer
from styler.features.network import vgg_ops
from styler.features.registry import BACKBONES, get_backbone

NAMES = [op.name for op in vgg_ops(get_backbone("vgg19").blocks)]


@pytest.mark.parametrize(
    ("alias", "canonical"),
    [
        ("relu4_2", "relu4_2"),
        (" ReLU4_2 ", "relu4_2"),
        ("r42", "relu4_2"),
        ("r4_2", "relu4_2"),
        ("relu42", "relu4_2"),
        ("relu4-2", "relu4_2"),
        ("relu4.2", "relu4_2"),
        ("block4_conv2", "relu4_2"),
        ("Block4_Conv2", "relu4_2"),
        ("conv4_2", "conv4_2"),
        ("c42", "conv4_2"),
        ("C4_2", "conv4_2"),
        ("conv4-2", "conv4_2"),
        ("pool4", "pool4"),
        ("p4", "pool4"),
        ("pool_4", "pool4"),
        ("block4_pool", "pool4"),
    ],
)
def test_aliases(alias: str, canonical: str) -> None:
    assert resolve_layer(alias, NAMES) == canonical


@pytest.mark.parametrize("network", ["vgg-lite", "vgg16", "vgg19", "vgg19-caffe"])
def test_canonical_names_resolve_to_themselves(network: str) -> None:
    names = [op.name for op in vgg_ops(BACKBONES[network].blocks)]
    assert [resolve_layer(name, names) for name in names] == names


@pytest.mark.parametrize("number", ["21", " 4 ", "-1"])
def test_bare_numbers_are_refused(number: str) -> None:
    with pytest.raises(ConfigError, match="different layers in different libraries") as caught:
        resolve_layer(number, NAMES)
    assert "conv1_1, relu1_1" in str(caught.value.hint)


def test_unknown_names_answer_with_the_closest() -> None:
    with pytest.raises(ConfigError, match="unknown layer 'rleu4_2'") as caught:
        resolve_layer("rleu4_2", NAMES)
    assert "relu4_2" in str(caught.value.hint)


def test_a_layer_that_the_network_lacks_is_unknown() -> None:
    lite = [op.name for op in vgg_ops(get_backbone("vgg-lite").blocks)]
    with pytest.raises(ConfigError, match="unknown layer 'r54'") as caught:
        resolve_layer("r54", lite)
    assert "known: conv1_1" in str(caught.value.hint)
    assert "more" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["logits", "fc6", "FC_7", "fc-8", "classifier.0", "prob"])
def test_layers_of_a_classifier_are_found_elsewhere(name: str) -> None:
    with pytest.raises(ConfigError, match=f"layer '{name}' is one of a classifier") as caught:
        resolve_layer(name, NAMES)
    assert "torchvision:vgg16 keeps the classifier" in str(caught.value.hint)
    with pytest.raises(ConfigError, match=f"unknown layer '{name}'"):
        resolve_layer(name, ["conv1", "layer1.0"])


def test_module_paths_keep_their_case_and_ignore_it() -> None:
    names = ["Mixed_5b", "layer2.0.conv1", "logits"]
    assert resolve_layer("mixed_5b", names) == "Mixed_5b"
    assert resolve_layer("layer2.0.conv1", names) == "layer2.0.conv1"
    with pytest.raises(ConfigError):
        resolve_layer("relu1_1", names)
