"""Numbers about visualizations, against others worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from styler.activation import ActivationTerm, Part, Unit
from styler.config import VisualizeConfig, resolve
from styler.errors import ImageError, UsageError
from styler.features import Extractor, Preprocessing, extractor_of, load_extractor
from styler.images import read_picture, write_picture
from styler.quality import VIEW_SEED, VIEWS, Quality, as_written, judge, square, strongest_natural
from styler.slots import seed_of
from styler.units import parse_units
from styler.visualize import visualize

SAMPLES = Path(__file__).parents[1] / "samples" / "contents"


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


@pytest.fixture(scope="module")
def lite() -> Extractor:
    return load_extractor("vgg-lite", dtype=torch.float64)


@pytest.fixture(scope="module")
def fixed() -> Extractor:
    """A network whose logits can be had of 224×224 pixels alone, layer 0 of any size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        head = nn.Linear(4 * 7 * 7, 5)
        conv = nn.Conv2d(3, 4, 32, stride=32)
    return extractor_of(nn.Sequential(conv, nn.ReLU(), nn.Flatten(), head), name="fixed")


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """Blurred noise of several sizes and shapes."""
    generator = torch.Generator().manual_seed(11)
    files = []
    for number in range(7):
        size = (48 + 5 * number, 90 - 6 * number)
        coarse = torch.rand(1, 3, 6, 6, generator=generator)
        files.append(tmp_path / f"{number}.png")
        write_picture(files[-1], nn.functional.interpolate(coarse, size, mode="bilinear"))
    return files


@pytest.fixture
def passes(lite: Extractor, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, tuple[str, ...]]]:
    """Images and layers of each pass through the network."""
    noted: list[tuple[int, tuple[str, ...]]] = []
    run = lite._run

    def noting(normalised: Tensor, wanted: Sequence[str]) -> Mapping[str, Tensor]:
        noted.append((len(normalised), tuple(sorted(wanted))))
        return run(normalised, wanted)

    monkeypatch.setattr(lite, "_run", noting)
    return noted


def noise(count: int, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, 48, 48, generator=torch.Generator().manual_seed(2))


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


def test_fine_stripes_are_not_robust(lite: Extractor) -> None:
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
    assert dead.words() == "dead: never active"
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
    skipped: dict[Path, ImageError] = {}
    found = strongest_natural(
        units, files, plain, side=16, batch=2, progress=seen.append, skipped=skipped.__setitem__
    )
    assert {name: path.stem for name, (_, path) in found.items()} == {
        "1:0": "red",
        "1:1": "green",
        "0:3": "green",
    }
    assert found["1:0"][0] == pytest.approx(250 / 255)
    assert seen == [2, 3]
    assert [path.stem for path in skipped] == ["broken"]
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


def test_clean_is_what_the_written_file_gives(tmp_path: Path, lite: Extractor) -> None:
    for channels in (3, 4):
        image = noise(1, channels)
        alpha = image[:, 3:] if channels == 4 else None
        write_picture(tmp_path / f"{channels}.png", image[:, :3], alpha=alpha)
        # Another reader: what can be seen of transparent colours is what alpha lets through.
        with Image.open(tmp_path / f"{channels}.png") as file:
            pixels = torch.from_numpy(np.array(file)).permute(2, 0, 1)[None] / 255
        seen = pixels if channels == 3 else 0.5 + pixels[:, 3:] * (pixels[:, :3] - 0.5)
        expected = lite(seen.double(), ["relu2_1"])["relu2_1"][0, 5].mean()
        (quality,) = judge([channel("relu2_1", 5)], image, lite)
        assert quality.clean == pytest.approx(float(expected), rel=1e-5)
        assert not torch.equal(image[:, :3], seen)


def test_the_rank_is_the_place_in_the_sorted_layer(lite: Extractor) -> None:
    image = as_written(noise(1))
    means = lite(image.double(), ["conv3_1"])["conv3_1"].mean((0, 2, 3)).tolist()
    order = sorted(range(len(means)), key=lambda number: -means[number])
    for place in (0, 1, 17, len(means) - 1):
        (quality,) = judge([channel("conv3_1", order[place])], image, lite)
        assert (quality.rank, quality.channels) == (place + 1, len(means))


def test_robust_is_the_mean_over_views_seen_one_at_a_time(plain: Extractor) -> None:
    white = flat(1.0, 1.0, 1.0)
    (quality,) = judge([channel("0", 0)], white, plain)
    # White on grey: what is lost is half of the share of a view that lies beyond the picture.
    assert quality.robust is not None
    assert 0.9 < quality.robust < 1.0
    values = [judge([channel("0", 0)], white, plain, batch=b)[0].robust for b in (1, 5, VIEWS)]
    assert values == pytest.approx([quality.robust] * 3)


def test_views_hang_on_the_seed_and_on_nothing_else(lite: Extractor) -> None:
    units, images = [channel("relu2_1", k) for k in (3, 4, 5)], noise(3)
    together = judge(units, images, lite)
    alone = [judge([u], i, lite)[0] for u, i in zip(units, images.split(1), strict=True)]
    for one, other in zip(together, alone, strict=True):
        assert one.robust == pytest.approx(other.robust, rel=1e-5)
    torch.manual_seed(8)
    assert judge(units, images, lite) == together
    others = judge(units, images, lite, seed=1)
    assert [one.clean for one in others] == [one.clean for one in together]
    assert all(a.robust != b.robust for a, b in zip(others, together, strict=True))


def test_views_are_not_those_of_any_step_at_work() -> None:
    assert max(seed_of(seed, "relu2_1:3", 0) for seed in range(200)) < 2**56 <= VIEW_SEED


def test_a_silenced_unit_is_not_dead_and_a_photograph_revives(plain: Extractor) -> None:
    black, unit = flat(0.0, 0.0, 0.0), channel("1", 6)
    silenced = Unit("1:-6", (Part("1", channel=6, weight=-1.0),))
    half = Unit("1:6+1:-0", (*unit.parts, Part("1", channel=0, weight=-1.0)))
    white = flat(1.0, 1.0, 1.0)
    dead = [judge([each], white, plain)[0].dead for each in (unit, silenced, half)]
    assert dead == [True, False, True]
    assert judge([half], white, plain)[0].clean == pytest.approx(-1.0)
    for strongest, expected in ((0.0, True), (5.0, False)):
        (quality,) = judge([unit], black, plain, natural={unit.name: strongest})
        assert quality.dead is expected
    assert quality.ratio == 0.0
    assert quality.words() == "activation 0, rank 1 of 9, 0× the strongest photograph"


def test_a_unit_that_only_views_excite_is_not_dead() -> None:
    # Active where it is darker than half of white: never in white, but beyond its turned corners.
    conv = nn.Conv2d(3, 1, 1)
    conv.weight.data = torch.full((1, 3, 1, 1), -1.0)
    conv.bias.data = torch.tensor([2.0])
    none = Preprocessing(mean=(0.0, 0.0, 0.0))
    extractor = extractor_of(nn.Sequential(conv, nn.ReLU()), name="dark", preprocessing=none)
    (quality,) = judge([channel("1", 0)], flat(1.0, 1.0, 1.0), extractor)
    assert quality == Quality(clean=0.0, rank=1, channels=1)


def test_whole_layers_directions_and_places_are_judged_too(plain: Extractor) -> None:
    picture = flat(0.2, 0.6, 0.4)
    direction = Part("1", direction=torch.tensor([0.0, 1.0] + [0.0] * 7))
    place = Part("0", channel=1, position=(3, 4))
    units = [Unit("1", (Part("1"),)), Unit("1:v", (direction,)), Unit("0:1@3,4", (place,))]
    whole, toward, there = judge(units, picture.expand(3, -1, -1, -1), plain)
    squares = 0.2**2 + 0.6**2 + 0.4**2
    assert whole.clean == pytest.approx(squares / 9)
    assert toward.clean == pytest.approx(0.6 * 0.36 / squares)
    assert (there.clean, there.rank) == (pytest.approx(0.6), 1)


def test_units_of_a_layer_share_passes_and_deeper_layers_are_not_run(
    lite: Extractor, passes: list[tuple[int, tuple[str, ...]]]
) -> None:
    units = [channel("relu2_1", k) for k in range(16)] + [channel("relu1_1", 0)]
    judge(units, noise(17)[..., :24, :24], lite, batch=8)
    shallow = [size for size, layers in passes if layers == ("relu1_1",)]
    deep = [size for size, layers in passes if layers == ("relu2_1",)]
    assert len(shallow) + len(deep) == len(passes)
    assert deep == [8] * (2 + 2 * VIEWS)
    assert shallow == [1, 8, 8]


def test_a_network_of_one_size_is_shown_pictures_of_that_size(fixed: Extractor) -> None:
    image = torch.rand(1, 3, 212, 212, generator=torch.Generator().manual_seed(4))
    (quality,) = judge([channel("logits", 2)], image, fixed)
    scaled = square(as_written(image), 224)
    assert quality.clean == pytest.approx(float(fixed(scaled, ["logits"])["logits"][0, 2]))
    (shallow,) = judge([channel("0", 2)], image, fixed)
    expected = fixed(as_written(image), ["0"])["0"][0, 2].mean()
    assert shallow.clean == pytest.approx(float(expected), rel=1e-5)


def test_a_picture_too_small_for_a_layer_is_enlarged(lite: Extractor) -> None:
    least = lite.minimum_side("relu4_1")
    image = noise(1)[..., : least - 3, : least - 3]
    (quality,) = judge([channel("relu4_1", 2)], image, lite)
    expected = lite(square(as_written(image), least).double(), ["relu4_1"])["relu4_1"][0, 2].mean()
    assert quality.clean == pytest.approx(float(expected), rel=1e-5)


def test_as_many_pictures_as_units(plain: Extractor) -> None:
    assert judge([], noise(0), plain) == []
    with pytest.raises(UsageError, match="2 pictures of 1 units"):
        judge([channel("1", 0)], noise(2), plain)


def test_units_of_all_layers_take_one_pass_over_the_folder(
    lite: Extractor, photographs: list[Path], passes: list[tuple[int, tuple[str, ...]]]
) -> None:
    texts = ["relu1_1:0-4", "conv3_1:7", "relu2_1", "relu2_1:3@centre", "relu1_1:1+conv3_1:-2"]
    units = parse_units(texts, lite)
    vector = torch.randn(64, generator=torch.Generator().manual_seed(1))
    units.append(Unit("relu2_1:v", (Part("relu2_1", direction=vector),)))
    found = strongest_natural(units, photographs, lite, side=40, batch=3)
    assert passes == [(size, ("conv3_1", "relu1_1", "relu2_1")) for size in (3, 3, 1)]
    squares = torch.cat([square(read_picture(path).pixels, 40) for path in photographs])
    for unit in units:
        values = ActivationTerm([unit] * 7).values(lite(squares, unit.layers))
        value, path = found[unit.name]
        assert value == pytest.approx(float(values.max()), rel=1e-5)
        assert path == photographs[int(values.argmax())]
    assert len({path for _, path in found.values()}) > 1


def test_a_photograph_has_a_ratio_of_one_to_itself(
    lite: Extractor, photographs: list[Path]
) -> None:
    unit = channel("relu3_1", 9)
    found = strongest_natural([unit], photographs, lite, side=40)
    value, path = found[unit.name]
    itself = square(read_picture(path).pixels, 40)
    (quality,) = judge([unit], itself, lite, natural={unit.name: value})
    assert quality.ratio == pytest.approx(1.0, abs=0.01)


def test_photographs_come_at_a_size_that_all_layers_take(
    fixed: Extractor, photographs: list[Path]
) -> None:
    found = strongest_natural([channel("logits", 1)], photographs, fixed, side=160)
    squares = torch.cat([square(read_picture(path).pixels, 224) for path in photographs])
    values = fixed(squares, ["logits"])["logits"][:, 1]
    assert found["logits:1"][0] == pytest.approx(float(values.max()), rel=1e-5)


def test_transparent_photographs_are_seen_on_grey(tmp_path: Path, plain: Extractor) -> None:
    Image.new("RGBA", (30, 30), (255, 0, 0, 51)).save(tmp_path / "clear.png")
    found = strongest_natural([channel("1", 0)], tmp_path.iterdir(), plain, side=16)
    assert found["1:0"][0] == pytest.approx(0.2 * 1.0 + 0.8 * 0.5)


@pytest.mark.parametrize(
    ("quality", "photographs", "words"),
    [
        (Quality(clean=12345.0, ratio=340.0), None, "activation 12345, 340× the strongest ph"),
        (Quality(clean=0.123456), None, "activation 0.123"),
        (Quality(clean=999.7, ratio=99.7), 20, "1000, 100× the strongest of 20 photographs"),
        (Quality(clean=3.0, natural=-0.5), None, "activation 3, the strongest photograph -0.5"),
        (Quality(clean=-3.0, natural=2.0, ratio=-1.5), 9, "the strongest of 9 photographs 2"),
    ],
)
def test_words_are_numbers_that_people_read(
    quality: Quality, photographs: int | None, words: str
) -> None:
    assert words in quality.words(photographs)
    assert "e+" not in quality.words()


@pytest.mark.weights
@pytest.mark.slow
def test_classes_of_squeezenet_in_pictures_and_photographs(weights_dir: Path) -> None:
    extractor = load_extractor("squeezenet1_0")
    config = resolve(("test", {"schedule.steps": 96, "schedule.size": 128}), root=VisualizeConfig)
    units = parse_units(["logits:goldfish", "logits:volcano", "logits:espresso"], extractor)
    photographs = sorted(SAMPLES.glob("*.jpg"))
    found = strongest_natural(units, photographs, extractor, side=128)
    assert found[units[2].name][1].stem == "coffee"
    natural = {name: value for name, (value, _) in found.items()}
    for one in visualize(units[:2], extractor, config.config):
        (quality,) = judge([one.unit], one.images, extractor, natural=natural)
        assert quality.rank == 1
        assert quality.ratio is not None
        assert quality.ratio > 1
