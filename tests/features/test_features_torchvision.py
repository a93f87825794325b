import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from traced_builders import REGISTERED, hollow, hooked, pair, picture, random_model, same, saved

from styler.errors import ImageError
from styler.features import load_extractor
from styler.features.traced_extractor import TracedExtractor

LAYERS = {
    "alexnet": ("features.0", "features.1", "features.5", "features.12", "classifier.1"),
    "squeezenet1_0": ("features.0", "features.3", "features.3.expand3x3", "features.11"),
    "googlenet": ("conv1.conv", "conv1.bn", "inception3a.branch2", "inception4e", "inception5b"),
    "inception_v3": ("Conv2d_1a_3x3.bn", "Mixed_5d", "Mixed_6e.branch7x7_3", "Mixed_7c", "avgpool"),
    "resnet50": ("conv1", "bn1", "relu", "layer1.0.bn3", "layer2.0.conv1", "layer2.0", "layer4"),
}
SIZES = {"alexnet": (224, 224)}  # its classifier gives 1×1 maps there and nothing below


@pytest.mark.parametrize("name", REGISTERED)
def test_features_and_logits_are_torchvisions(name: str) -> None:
    theirs, ours = pair(name)
    image, wanted = picture(*SIZES.get(name, (96, 80))), LAYERS[name]
    expected = hooked(theirs, image, wanted)
    assert float(expected["logits"].std()) > 0.1  # the comparison is not one of zeros
    together = ours(image, [*wanted, "logits"])
    assert list(together) == [*wanted, "logits"]
    for layer, value in together.items():
        same(value.view_as(expected[layer]), expected[layer])
        assert torch.equal(value, ours(image, [layer])[layer]), layer
        assert ours.channels(layer) == value.shape[1]


@pytest.mark.parametrize(
    ("name", "layer", "deeper"),
    [
        ("alexnet", "features.0", "features.1"),
        ("resnet50", "bn1", "layer1.0"),
        ("resnet50", "layer1.0.bn1", "layer1"),
        ("googlenet", "conv1.bn", "conv1"),
        ("inception_v3", "Conv2d_1a_3x3.bn", "Conv2d_2a_3x3"),
    ],
)
def test_a_later_relu_does_not_rectify_what_it_is_given(name: str, layer: str, deeper: str) -> None:
    theirs, ours = pair(name)
    image = picture(76, 76).requires_grad_()
    truth = hooked(theirs, image.detach(), [layer])[layer]
    assert bool((truth < 0).any())
    alone, together = ours(image, [layer])[layer], ours(image, [deeper, layer])
    same(together[layer], truth)
    assert torch.equal(together[layer], alone)
    assert bool((together[deeper] >= 0).all())
    gradients = [torch.autograd.grad(v.square().sum(), image)[0] for v in (alone, together[layer])]
    assert torch.equal(gradients[0], gradients[1])


def test_no_layer_depends_on_what_else_is_asked() -> None:
    _, ours = pair("squeezenet1_0")
    image = picture(40, 56)
    together = ours(image, ours.layers)
    assert list(together) == list(ours.layers)
    for layer in ours.layers:
        assert torch.equal(together[layer], ours(image, [layer])[layer]), layer
    again = ours(image, reversed(ours.layers))
    assert all(torch.equal(again[layer], together[layer]) for layer in ours.layers)


def test_modules_called_again_have_a_number() -> None:
    theirs, ours = pair("resnet50")
    image = picture(48, 48)
    bn = hooked(theirs, image, ["layer1.0.bn1", "layer1.0.bn2", "layer1.0"])
    found = ours(image, ["layer1.0.relu", "layer1.0.relu_1", "layer1.0.relu_2"])
    same(found["layer1.0.relu"], bn["layer1.0.bn1"].relu())
    same(found["layer1.0.relu_1"], bn["layer1.0.bn2"].relu())
    same(found["layer1.0.relu_2"], bn["layer1.0"])


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5", "regnet_y_400mf", "efficientnet_b0",
     "densenet121", pytest.param("swin_t", marks=pytest.mark.slow),
     pytest.param("convnext_tiny", marks=pytest.mark.slow),
     pytest.param("swin_v2_t", marks=pytest.mark.slow)],
)  # fmt: skip
def test_any_other_family(name: str) -> None:
    theirs, ours = pair(name)
    assert ours.name == f"torchvision:{name}"
    image = picture(64, 96)
    same(ours(image, ["logits"])["logits"], hooked(theirs, image, [])["logits"])
    for layer, value in ours(image, ours.layers).items():
        assert value.ndim in (2, 4), layer
        assert ours.channels(layer) == value.shape[1], layer
        if value.ndim == 4 and value.shape[3] > 1:
            stride = ours.stride(layer)
            assert abs(value.shape[2] - 64 / stride) < 1, layer
            assert abs(value.shape[3] - 96 / stride) < 1, layer


def test_the_network_is_cut_at_the_deepest_layer() -> None:
    # Weights that are no numbers cannot be reached.
    poison = torch.full((192, 64, 5, 5), float("nan"))
    ours = hollow("alexnet", {"features.3.weight": poison})
    assert bool(torch.isfinite(ours(picture(), ["features.2"])["features.2"]).all())
    assert bool(torch.isnan(ours(picture(), ["features.3"])["features.3"]).all())
    assert ours(picture(), []) == {}


def test_a_branch_that_is_not_needed_is_not_run() -> None:
    poison = torch.full((64,), float("nan"))
    ours = hollow("squeezenet1_0", {"features.3.expand1x1.bias": poison})
    assert bool(torch.isfinite(ours(picture(), ["features.3.expand3x3"]).popitem()[1]).all())
    assert bool(torch.isnan(ours(picture(), ["features.3"]).popitem()[1]).any())


def test_only_the_image_takes_a_gradient() -> None:
    _, ours = pair("googlenet")
    image = picture(64, 64).requires_grad_()
    features = ours(image, ["inception4a", "logits"])
    torch.autograd.backward([value.square().mean() for value in features.values()])
    assert image.grad is not None
    assert float(image.grad.abs().sum()) > 0
    assert isinstance(ours, TracedExtractor)
    model = ours.traced.model
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    assert not any(module.training for module in model.modules())


def test_dropout_is_off_and_samples_are_independent() -> None:
    _, ours = pair("alexnet")
    batch = picture(224, 224, batch=2)
    first, second = (ours(batch, ["logits"])["logits"] for _ in range(2))
    assert torch.equal(first, second)
    same(first[1:], ours(batch[1:], ["logits"])["logits"])


def test_bfloat16_stays_near_float32(tmp_path: Path) -> None:
    path = saved(random_model("resnet50"), tmp_path / "r.safetensors")
    layers = ["bn1", "layer1"]
    exact, rough = (
        load_extractor("resnet50", weights=path, dtype=dtype)(picture(), layers)
        for dtype in (torch.float32, torch.bfloat16)
    )
    for layer in layers:
        assert rough[layer].dtype is torch.bfloat16
        error = (rough[layer].float() - exact[layer]).norm() / exact[layer].norm()
        assert 0 < float(error) < 0.03


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(tmp_path: Path) -> None:
    path = saved(random_model("googlenet"), tmp_path / "g.safetensors")
    here = load_extractor("googlenet", weights=path)(picture(), ["inception4a"])["inception4a"]
    there = load_extractor("googlenet", weights=path, device="cuda")(
        picture().cuda(), ["inception4a"]
    )["inception4a"]
    torch.testing.assert_close(there.cpu(), here, rtol=1e-2, atol=1e-2 * float(here.max()))


def test_networks_for_one_size_of_image_say_so() -> None:
    ours = hollow("torchvision:vit_b_32")
    assert ours.layers == ("conv_proj", "heads.head", "heads", "logits")
    assert ours(picture(224, 224), ["logits"])["logits"].shape == (1, 1000)
    assert (ours.stride("conv_proj"), ours.minimum_side("conv_proj")) == (32, 224)
    for size in ((64, 64), (448, 448), (224, 256)):
        with pytest.raises(ImageError, match="takes images of 224×224 pixels alone, got"):
            ours(picture(*size), ["logits"])


def test_building_leaves_the_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    for name in ("alexnet", "torchvision:regnet_x_400mf", "torchvision:swin_t"):
        hollow(name)
    assert torch.equal(torch.get_rng_state(), before)


def run(code: str, first: Path | None = None) -> subprocess.CompletedProcess[str]:
    paths = [str(first)] if first else []
    paths.append(str(Path(__file__).parents[2]))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, "-c", code],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip


BREAKS = {
    "other build": 'raise RuntimeError("operator torchvision::nms does not exist")',
    "missing": "raise ModuleNotFoundError(\"No module named 'torchvision'\")",
    "second attempt": "from torchvision import parts",
}
PARTS = """
import torchvision.extension
torchvision.extension.__name__
raise RuntimeError("operator torchvision::nms does not exist\\nand more")
"""
ASK = """
import torch
from styler.errors import BackboneError
from styler.features import get_backbone, load_extractor, summarise
for ask in (lambda: get_backbone("torchvision:resnet18"),
            lambda: summarise(get_backbone("resnet50"), (64, 64))):
    try:
        ask()
    except BackboneError as error:
        print(error.message, error.hint, sep=" | ")
print(load_extractor("vgg-lite")(torch.rand(1, 3, 16, 16), ["relu1_1"])["relu1_1"].shape)
"""


@pytest.mark.parametrize("kind", BREAKS)
def test_a_torchvision_that_does_not_work_is_told_in_a_line(kind: str, tmp_path: Path) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(BREAKS[kind])
    (package / "extension.py").write_text("")
    (package / "parts.py").write_text(PARTS)
    done = run(ASK, tmp_path)
    assert done.returncode == 0, done.stderr
    first, second, vgg = done.stdout.splitlines()
    reason = "No module named" if kind == "missing" else "operator torchvision::nms does not exist"
    assert first.startswith(f"torchvision does not work with this torch: {reason}")
    assert second.startswith("torchvision does not work with this torch: ")
    for line in (first, second):
        assert "`pip install --upgrade --force-reinstall torch torchvision`" in line
        assert "VGG networks work without" in line
    assert vgg == "torch.Size([1, 32, 16, 16])"


def test_the_command_line_ends_with_the_code_for_networks(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(BREAKS["other build"])
    code = "import sys; sys.argv = ['styler', 'layers', 'resnet50'];"
    done = run(f"{code} from styler.cli.main import main; main()", tmp_path)
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    assert "nms does not exist" in done.stderr


def test_torchvision_is_imported_when_it_is_needed() -> None:
    code = (
        "import sys; import styler.cli.main;"
        "assert not {'torch', 'torchvision'} & set(sys.modules);"
        "from styler.features import load_extractor; load_extractor('vgg-lite');"
        "assert 'torchvision' not in sys.modules"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.weights
def test_the_real_squeezenet_knows_what_it_sees(weights_dir: Path) -> None:
    folder = weights_dir.parent / "images" / "natural"
    files = sorted(folder.glob("*.jpg")) if folder.is_dir() else []
    if len(files) != 1000 or not (weights_dir / "squeezenet1_0.safetensors").is_file():
        pytest.skip("no picture of each of the 1000 classes beside the weights")
    extractor = load_extractor("squeezenet1_0")
    assert extractor.weights_sha256.startswith("305b782757560973176a818bf8fad65b")
    right = 0
    for index in range(50, 1000, 100):
        with Image.open(files[index]) as opened:
            image = opened.convert("RGB")
        scale = 256 / min(image.size)
        width, height = (round(side * scale) for side in image.size)
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - 224) // 2, (height - 224) // 2
        pixels = np.array(resized.crop((left, top, left + 224, top + 224)))
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
        right += int(extractor(tensor, ["logits"])["logits"].argmax()) == index
    assert right >= 5
