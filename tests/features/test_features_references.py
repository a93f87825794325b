import sys
from pathlib import Path

import own_networks
import pytest
import torch
from own_networks import Digits, Plain, plain, seeded
from safetensors.torch import save_file
from torch import nn
from traced_builders import imagenet, picture, same

from styler.errors import BackboneError, ConfigError
from styler.features import (
    Preprocessing,
    extractor_of,
    get_backbone,
    import_weights,
    load_extractor,
    summarise,
)
from styler.features.networks import state_sha256
from styler.features.probing import input_channels
from styler.features.registry import GREY, IMAGENET
from styler.features.traced_extractor import TracedExtractor

HERE = Path(own_networks.__file__)
FILE = f"{HERE}:plain"

NETS = """
import torch
from torch import nn
from helper_beside import WIDTH

def small():
    return nn.Sequential(nn.Conv2d(3, WIDTH, 3))

def broken():
    raise ValueError("no such thing\\nand more")

def number():
    return 3

def five():
    return nn.Conv2d(5, 4, 3)

ready = nn.Sequential(nn.Conv2d(3, 2, 3))
text = "small"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "mine_for_tests"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(NETS)
    (tmp_path / "helper_beside.py").write_text("WIDTH = 6\n")
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def test_a_function_in_a_file() -> None:
    extractor = load_extractor(FILE)
    model = plain().eval()
    assert isinstance(extractor, TracedExtractor)
    assert extractor.name == FILE
    assert extractor.notice is None
    assert extractor.preprocessing == IMAGENET
    assert extractor.weights_sha256 == state_sha256(model)
    image = picture(40, 48)
    with torch.no_grad():
        same(extractor(image, ["logits"])["logits"], model(imagenet(image)))
    assert extractor.layers[:4] == ("stem", "norm", "act", "pool")
    field = extractor.receptive_field("pool")
    assert field is not None
    assert (field.y.size, extractor.stride("pool"), extractor.minimum_side("pool")) == (5, 4, 3)


@pytest.mark.parametrize("reference", ["mine_for_tests.nets:small", "nets.py:small"])
def test_the_working_folder_can_be_imported_from(folder: Path, reference: str) -> None:
    before = list(sys.path)
    extractor = load_extractor(reference)
    assert extractor(picture(8, 8), ["0"])["0"].shape == (1, 6, 6, 6)
    assert sys.path == before
    assert load_extractor(f"{folder}/nets.py:ready").channels("0") == 2


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("no_such_package.nets:small", "there is no module 'no_such_package.nets'", "install it"),
        ("mine_for_tests.net:small", "there is no module 'mine_for_tests.net'", "run from the"),
        ("elsewhere/nets.py:small", "there is no file elsewhere/nets.py", "check the path"),
        ("nets.py:smal", "nets.py has no 'smal'", "did you mean small?"),
        ("nets.py:", "nets.py has no ''", "small"),
        ("nets.py:broken", "nets.py:broken failed: ValueError: no such thing", "without arguments"),
        ("nets.py:number", "nets.py:number returned an object of type int", "an nn.Module"),
        ("nets.py:text", "nets.py:text is no function but of type str", "an nn.Module"),
        ("nets.py:five", "nets.py:five takes 5 input channels", "three channels"),
        ("syntax.py:x", "importing syntax.py failed: SyntaxError", "--debug"),
        ("needs.py:x", "importing needs.py failed: ModuleNotFoundError: No module", "--debug"),
        ("needs:x", "importing needs failed: ModuleNotFoundError: No module named 'absent'", "--"),
    ],
)
def test_what_can_be_wrong_with_a_reference(
    folder: Path, reference: str, message: str, hint: str
) -> None:
    (folder / "syntax.py").write_text("def x(:\n")
    (folder / "needs.py").write_text("import absent\n")
    before = list(sys.path)
    with pytest.raises(BackboneError) as caught:
        load_extractor(reference)
    assert caught.value.message.startswith(message)
    assert "\n" not in caught.value.message
    assert hint in str(caught.value.hint)
    assert sys.path == before


def test_memory_errors_of_a_function_stay_what_they_are(folder: Path) -> None:
    (folder / "large.py").write_text("def x():\n    raise MemoryError('none left')\n")
    with pytest.raises(MemoryError, match="none left"):
        load_extractor("large.py:x")


def test_preprocessing_is_the_networks_the_functions_or_imagenets(folder: Path) -> None:
    stated = load_extractor(f"{HERE}:stated").preprocessing
    assert stated == get_backbone(f"{HERE}:stated").preprocessing
    assert stated == Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5))
    (folder / "told.py").write_text(
        "from torch import nn\nfrom styler.features import Preprocessing\n"
        "def make():\n    return nn.Conv2d(3, 2, 1)\n"
        "make.preprocessing = Preprocessing(mean=(9.0,) * 3, scale=255.0)\n"
    )
    assert load_extractor("told.py:make").preprocessing.mean == (9.0, 9.0, 9.0)
    given = Preprocessing(mean=(0.0,) * 3, channel_order="bgr")
    extractor = extractor_of(nn.Sequential(nn.Conv2d(3, 2, 1)), preprocessing=given)
    image = picture(4, 4)
    torch.testing.assert_close(extractor.normalise(image), image.flip(1))


def test_weights_of_ones_own_network(tmp_path: Path) -> None:
    other = seeded(Plain)
    with torch.no_grad():
        for value in other.parameters():
            value.mul_(1.5)
    path = tmp_path / "w.safetensors"
    save_file(other.state_dict(), path)
    extractor = load_extractor(FILE, weights=path)
    image = picture(40, 48)
    with torch.no_grad():
        same(extractor(image, ["logits"])["logits"], other.eval()(imagenet(image)))
    assert extractor.weights_sha256 != load_extractor(FILE).weights_sha256
    state = other.state_dict()
    for change, message in (
        ({"head.bias": None}, r"it has no head\.bias"),
        ({"tail.bias": torch.ones(2)}, r"it has tail\.bias, which that network lacks"),
        ({"head.bias": torch.ones(6)}, r"head\.bias should have shape \(5,\), has \(6,\)"),
        ({"head.bias": torch.full((5,), float("inf"))}, r"head\.bias is not all finite"),
    ):
        torch.save(
            {k: v for k, v in {**state, **change}.items() if v is not None}, tmp_path / "x.pth"
        )
        with pytest.raises(BackboneError, match=message):
            load_extractor(FILE, weights=tmp_path / "x.pth")
    with pytest.raises(BackboneError, match="is a folder"):
        load_extractor(FILE, weights=tmp_path)
    with pytest.raises(BackboneError, match="are not kept in the cache"):
        import_weights(path, FILE)


def test_summaries_of_ones_own_network() -> None:
    rows = {row.name: row for row in summarise(get_backbone(FILE), (32, 48))}
    assert rows["stem"].shape == (8, 16, 24)
    assert rows["head"].parameters == 12 * 5 + 5
    with pytest.raises(BackboneError, match="a summary needs a network that can be traced"):
        summarise(get_backbone(f"{HERE}:Deciding"), (32, 32))


def test_grey_networks_see_luma() -> None:
    model = seeded(Digits).eval()
    extractor = extractor_of(model)
    assert extractor.preprocessing == GREY
    assert (extractor.native_side, extractor.input_size) == (28, None)
    image = picture(28, 28).requires_grad_()
    red, green, blue = image.unbind(1)
    luma = (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]
    found = extractor(image, ["logits"])["logits"]
    same(found.detach(), model((luma - 0.459) / 0.226).detach())
    (gradient,) = torch.autograd.grad(found.square().sum(), image)
    torch.testing.assert_close(
        gradient[:, 0] / gradient[:, 1], torch.full((1, 28, 28), 0.299 / 0.587)
    )
    assert extractor(picture(60, 90), ["features"])["features"].shape == (1, 16, 13, 20)
    own = Preprocessing(mean=(51.0,), std=(102.0,), channel_order="grey", scale=255.0)
    torch.testing.assert_close(
        extractor_of(model, preprocessing=own).normalise(image), (luma * 255 - 51) / 102
    )
    assert own.mean_colour == (0.2, 0.2, 0.2)


def test_preprocessing_has_a_number_for_each_channel() -> None:
    with pytest.raises(ConfigError, match="grey has 1 means and deviations, got 1 and 3"):
        Preprocessing(mean=(0.5,), channel_order="grey")
    with pytest.raises(ConfigError, match="rgb has 3 means"):
        Preprocessing(mean=(0.5,), std=(0.5,))


class HeadFirst(nn.Module):
    """Registers its layers in another order than it calls them in."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(16, 4, 1)
        self.stem = nn.Conv2d(1, 16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("model", "channels"),
    [
        (HeadFirst(), 1),
        (nn.Sequential(nn.Conv2d(4, 2, 1)), 4),
        (nn.Sequential(nn.Identity(), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)), 3),
        (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 2, 1)), 12),
        (nn.Sequential(nn.Flatten(2), nn.Linear(48, 2)), 3),
        (nn.Sequential(nn.Flatten(2), nn.Linear(49, 2)), 1),
        (nn.Identity(), 3),
    ],
)
def test_channels_are_those_of_the_layer_that_the_image_comes_to(
    model: nn.Module, channels: int
) -> None:
    assert input_channels(model) == channels
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_other_channels_are_refused_by_number() -> None:
    for channels in (2, 4, 6):
        with pytest.raises(BackboneError, match=f"mine takes {channels} input channels"):
            extractor_of(nn.Sequential(nn.Conv2d(channels, 2, 1)), name="mine")
    whole = Preprocessing(mean=(0.0,) * 3)
    unshuffled = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 2, 1))
    assert extractor_of(unshuffled, preprocessing=whole).channels("1") == 2


def test_native_pooling() -> None:
    for name, pooling, expected in (
        ("vgg-lite", "native", "average"),
        ("vgg-lite", "max", "max"),
        (FILE, "native", "max"),
        (FILE, "average", "average"),
    ):
        assert load_extractor(name, pooling=pooling).pooling == expected
    image = picture(32, 32)
    native, average = (load_extractor("vgg-lite", pooling=p) for p in ("native", "average"))
    assert torch.equal(native(image, ["pool2"])["pool2"], average(image, ["pool2"])["pool2"])
    assert load_extractor("vgg-lite").native_side == 224
    assert get_backbone("inception_v3").native_side == 299


def test_digests_tell_networks_apart() -> None:
    model = plain()
    digest = state_sha256(model)
    assert digest == state_sha256(plain())
    assert digest == extractor_of(model, dtype=torch.bfloat16).weights_sha256
    with torch.no_grad():
        model.head.bias[0] += 1e-6
    assert digest != state_sha256(model)


def test_a_network_that_cannot_be_copied_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 1))
    model.thought = torch.ones(2, requires_grad=True) * 2  # type: ignore[assignment]
    with pytest.raises(BackboneError, match="mine cannot be copied"):
        extractor_of(model, name="mine")
