"""Numbers about visualizations, against others worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from styler.activation import Part, Unit
from styler.errors import ImageError
from styler.features import Extractor, Preprocessing, extractor_of, load_extractor
from styler.quality import Quality, as_written, judge, square, strongest_natural


def channel(layer: str, number: int) -> Unit:
    return Unit(f"{layer}:{number}", (Part(layer, channel=number),))


@pytest.fixture(scope="module")
def plain() -> Extractor:
    """Channels that are the picture's colours: themselves, times −1, and minus 2."""
    conv = nn.Conv2d(3, 9, 1)
    conv.weight.data = torch.cat([torch.eye(3), -torch.eye(3), torch.eye(3)])[:, :, None, None]
    conv.bias.data = torch.tensor([0.0] * 6 + [-2.0] * 3)
    model = nn.Sequential(conv, nn.ReLU())
    none = Preprocessing(mean=(0.0, 0.0, 0.0))
    return extractor_of(model, name="plain", preprocessing=none)


def flat(*colour: float) -> Tensor:
    return torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 32, 32).contiguous()


def test_a_flat_picture_has_its_colour_as_activation_and_its_place_as_rank(
    plain: Extractor,
) -> None:
    (red,), (green,) = (judge([channel("1", k)], flat(0.2, 0.6, 0.4), plain) for k in (0, 1))
    assert red.clean == pytest.approx(51 / 255)
    assert (red.rank, green.rank) == (3, 1)
    assert red.channels == 9
    assert not red.dead


def test_it_is_judged_as_written_with_8_bits(plain: Extractor) -> None:
    (quality,) = judge([channel("0", 0)], flat(0.5, 0.5, 0.5), plain)
    assert quality.clean == pytest.approx(128 / 255)
    assert float(as_written(torch.tensor(0.4999).view(1, 1, 1, 1).expand(1, 3, 1, 1)).max()) == (
        pytest.approx(127 / 255)
    )


def test_a_grey_picture_is_robust_to_everything(plain: Extractor) -> None:
    (quality,) = judge([channel("0", 0)], flat(128 / 255, 128 / 255, 128 / 255), plain)
    assert quality.robust == pytest.approx(1.0, abs=0.01)


def test_fine_stripes_are_not_robust() -> None:
    lite = load_extractor("vgg-lite", dtype=torch.float64)
    stripes = (torch.arange(64) % 2).double().expand(1, 3, 64, 64).contiguous()
    maps = lite(stripes, ["relu1_1"])["relu1_1"].mean((0, 2, 3))
    excited = int(maps.argmax())
    (quality,) = judge([channel("relu1_1", excited)], stripes, lite)
    assert quality.rank == 1
    assert quality.robust is not None
    assert quality.robust < 0.9


def test_dead_is_a_relu_at_zero_and_not_a_number_below_it(plain: Extractor) -> None:
    picture = flat(0.2, 0.6, 0.4)
    (dead,), (negative,) = (judge([channel(layer, 6)], picture, plain) for layer in ("1", "0"))
    assert dead == Quality(clean=0.0, rank=dead.rank, channels=9, dead=True)
    assert dead.words() == "dead: nothing excites it"
    assert negative.clean == pytest.approx(51 / 255 - 2)
    assert not negative.dead
    assert negative.robust is None


def test_units_that_are_no_single_channel_have_no_rank(plain: Extractor) -> None:
    joined = Unit("0:0+0:1", (Part("0", channel=0), Part("0", channel=1)))
    silenced = Unit("0:-0", (Part("0", channel=0, weight=-1.0),))
    for unit in (joined, silenced, Unit("0", (Part("0"),))):
        (quality,) = judge([unit], flat(0.2, 0.6, 0.4), plain)
        assert quality.rank is None


def test_each_unit_is_judged_by_its_own_picture_whatever_the_batch(plain: Extractor) -> None:
    units = [channel("0", k % 3) if k % 2 else channel("1", k % 3) for k in range(7)]
    images = torch.cat([flat(k / 10, 0.5, 1 - k / 10) for k in range(7)])
    whole = judge(units, images, plain, batch=2)
    for unit, image, expected in zip(units, images.split(1), whole, strict=True):
        (alone,) = judge([unit], image, plain)
        assert alone.clean == pytest.approx(expected.clean)
        assert alone.rank == expected.rank


def test_transparent_pictures_are_judged_on_grey(plain: Extractor) -> None:
    clear = torch.cat([flat(1.0, 0.0, 0.0), torch.zeros(1, 1, 32, 32)], 1)
    (quality,) = judge([channel("0", 0)], clear, plain)
    assert quality.clean == pytest.approx(0.5)


def test_the_strongest_photograph_of_each_unit(tmp_path: Path, plain: Extractor) -> None:
    colours = {"red": (250, 20, 20), "green": (10, 200, 30), "dim": (40, 40, 40)}
    for name, colour in colours.items():
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    files = sorted(tmp_path.iterdir())
    units = [channel("1", 0), channel("1", 1), channel("0", 3)]
    seen: list[int] = []
    found = strongest_natural(units, files, plain, side=16, batch=2, progress=seen.append)
    assert {name: path.stem for name, (_, path) in found.items()} == {
        "1:0": "red",
        "1:1": "green",
        "0:3": "green",
    }
    assert found["1:0"][0] == pytest.approx(250 / 255)
    assert seen == [1, 2, 3]
    natural = {name: value for name, (value, _) in found.items()}
    (quality,) = judge(units[:1], flat(1.0, 1.0, 1.0), plain, natural=natural)
    assert quality.ratio == pytest.approx(255 / 250)
    assert "1× the strongest photograph" in quality.words()


def test_a_folder_of_nothing_readable_is_an_error(tmp_path: Path, plain: Extractor) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match="could be read"):
        strongest_natural([channel("1", 0)], tmp_path.iterdir(), plain, side=16)


def test_the_square_is_centred() -> None:
    picture = torch.zeros(1, 3, 4, 10)
    picture[..., 3:7] = 1.0
    assert bool((square(picture, 4) == 1).all())


@pytest.mark.weights
@pytest.mark.slow
def test_a_class_of_squeezenet_is_recognised_by_it(weights_dir: Path) -> None:
    from styler.config import VisualizeConfig, resolve
    from styler.units import parse_units
    from styler.visualize import visualize

    extractor = load_extractor("squeezenet1_0")
    config = resolve(("test", {"schedule.steps": 96, "schedule.size": 128}), root=VisualizeConfig)
    units = parse_units(["logits:goldfish", "logits:volcano"], extractor)
    made = visualize(units, extractor, config.config)
    for one in made:
        (quality,) = judge([one.unit], one.images, extractor)
        assert quality.rank == 1
