import pytest
import torch
from own_networks import Deciding, Overwriting, Rectified, seeded
from torch import Tensor, nn
from traced_builders import imagenet, picture, same

from styler.errors import BackboneError, ConfigError, ImageError
from styler.features import extractor_of
from styler.features.base import Pooling
from styler.features.hooked_extractor import HookedExtractor


def hooked(model: nn.Module, pooling: Pooling = "max") -> HookedExtractor:
    extractor = extractor_of(model, name="mine", pooling=pooling)
    assert isinstance(extractor, HookedExtractor)
    return extractor


def test_it_says_that_it_could_not_trace() -> None:
    notice = hooked(Deciding()).notice
    assert notice is not None
    assert notice.startswith("mine cannot be traced (symbolically traced variables cannot be used")
    assert notice.endswith("); layers are read through hooks")
    assert "\n" not in notice
    overwriting = hooked(Overwriting()).notice
    assert overwriting == (
        "mine cannot be traced (first is changed in place and read again by second); "
        "layers are read through hooks"
    )


def test_what_is_known_of_layers() -> None:
    extractor = hooked(seeded(Deciding))
    assert extractor.layers == (
        "stem", "norm", "act", "pool", "block.0", "block.1", "block", "head", "logits",
    )  # fmt: skip
    assert [extractor.channels(n) for n in ("stem", "pool", "block", "logits")] == [8, 8, 12, 5]
    assert [extractor.stride(n) for n in ("stem", "pool", "block")] == [2, 4, 4]
    assert [extractor.minimum_side(n) for n in ("stem", "act", "pool", "logits")] == [1, 1, 3, 3]
    assert extractor.receptive_field("stem") is None
    assert (extractor.input_size, extractor.native_side) == (None, 224)
    with pytest.raises(ConfigError, match="head of mine has no stride"):
        extractor.stride("head")
    with pytest.raises(ImageError, match="40×2 pixels is too small for pool"):
        extractor(picture(2, 40), ["pool"])
    assert extractor(picture(3, 3), ["pool"])["pool"].shape == (1, 8, 1, 1)


class Counting(Deciding):
    """Counts how far it gets."""

    reached = 0

    def forward(self, x: Tensor) -> Tensor:
        self.stem(x)
        type(self).reached += 1
        return super().forward(x)


def test_the_pass_stops_after_the_deepest_layer() -> None:
    extractor = hooked(Counting())
    Counting.reached = 0
    extractor(picture(16, 16), ["stem"])
    assert Counting.reached == 0
    found = extractor(picture(16, 16), ["norm", "stem_1", "stem"])
    assert Counting.reached == 1
    assert torch.equal(found["stem"], found["stem_1"])
    assert extractor(picture(16, 16), []) == {}


class Catching(nn.Module):
    """Tries one way, and goes another when that fails."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        try:
            x = self.first(x)
        except Exception:
            x = x[:, :1].expand(-1, 4, -1, -1)
        return self.second(x) if x.max() > -1e9 else x


def test_a_network_that_catches_errors_does_not_catch_the_stop() -> None:
    extractor = hooked(Catching())
    assert extractor(picture(16, 16), ["first"])["first"].shape == (1, 4, 14, 14)


class Wavering(nn.Module):
    """Takes another way for bright pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.always = nn.Conv2d(3, 4, 3)
        self.dark = nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.always(x)
        return self.dark(y) if x.mean() < 1.0 else y


def test_a_layer_that_an_image_does_not_come_to() -> None:
    extractor = hooked(Wavering())
    dark, bright = torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
    assert extractor(dark, ["dark", "logits"])["logits"].shape == (1, 4, 12, 12)
    assert extractor(bright, ["always", "logits"])["logits"].shape == (1, 4, 14, 14)
    with pytest.raises(ImageError, match="mine does not come to dark with this image"):
        extractor(bright, ["dark"])


class Table(nn.Module):
    """Gives a table, and modules that give several tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.split = Split()
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        first, second = self.split(x)
        return {"aux": first, "out": self.last(second)} if x.numel() else {}


class Split(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.conv(x).chunk(2, 1) if x.sum() > -1e9 else (x, x)
        return first, second


def test_logits_are_the_entry_out_of_a_table() -> None:
    extractor = hooked(seeded(Table))
    assert extractor.layers == ("split.conv", "last", "logits")
    found = extractor(picture(12, 16), ["logits", "last"])
    assert torch.equal(found["logits"], found["last"])


class Pools(nn.Module):
    """Pools by a module and by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.mark = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(x) if x.sum() > -1e9 else x
        return self.mark(nn.functional.max_pool2d(x, 2))  # type: ignore[no-any-return]


def test_average_pooling_of_modules_and_functions() -> None:
    extractor = hooked(Pools(), "average")
    assert extractor.pooling == "average"
    image = picture(20, 24)
    found = extractor(image, ["pool", "mark"])
    mean = nn.functional.avg_pool2d(imagenet(image), 3, 2, 1, count_include_pad=False)
    same(found["pool"], mean)
    same(found["mark"], nn.functional.avg_pool2d(mean, 2))
    most = hooked(Pools(), "native")
    assert most.pooling == "max"
    same(most(image, ["pool"])["pool"], nn.functional.max_pool2d(imagenet(image), 3, 2, 1))
    with pytest.raises(ConfigError, match="mine has no max pooling to replace by an average"):
        hooked(Rectified(decides=True), "average")


class Stubborn(nn.Module):
    """Takes no image at all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if float(self.conv(x).sum()) < 1e9:
            raise ValueError("wants two arguments\nand more")
        return x


def test_a_network_that_takes_no_image_is_refused() -> None:
    with pytest.raises(BackboneError, match=r"mine takes no image of a usual size: wants two") as e:
        hooked(Stubborn())
    assert "\n" not in e.value.message


class OneSize(nn.Module):
    """A head for images of 32×32 pixels, behind convolutions for any."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(4 * 16 * 16, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head(x.flatten(1) if x.sum() > -1e9 else -x.flatten(1))  # type: ignore[no-any-return]


def test_layers_before_a_head_for_one_size_take_any() -> None:
    extractor = hooked(OneSize())
    assert extractor.layers == ("conv", "head", "logits")
    assert (extractor.input_size, extractor.native_side) == (None, 32)
    assert extractor(picture(40, 90), ["conv"])["conv"].shape == (1, 4, 20, 45)
    assert extractor(picture(32, 32), ["logits"])["logits"].shape == (1, 7)
    assert extractor.minimum_side("logits") == 32
    with pytest.raises(
        ImageError, match="head of mine takes images of 32×32 pixels alone, got"
    ) as e:
        extractor(picture(40, 40), ["conv", "head"])
    assert "nearer to the input" in str(e.value.hint)


def test_precisions() -> None:
    model = seeded(Deciding)
    image = picture(40, 40)
    exact = hooked(model)(image, ["block"])["block"]
    for dtype, error in ((torch.float64, 1e-5), (torch.bfloat16, 0.03)):
        found = extractor_of(model, dtype=dtype)(image, ["block"])["block"]
        assert found.dtype is dtype
        assert float((found.float() - exact).norm() / exact.norm()) < error
