"""Several networks as one: each gives what it gives alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from own_networks import Deciding, Plain, seeded
from torch import Tensor, nn

from styler.config import BackboneConfig, OptimizerConfig, RuntimeConfig, resolve
from styler.errors import BackboneError, ConfigError, ImageError
from styler.features import EnsembleExtractor, Extractor, extractor_of, load_extractor
from styler.features.ensemble import members, network_names, spread
from styler.features.vgg import VggExtractor
from styler.memory import gradient_bytes, measured_bytes
from styler.network import extractor_for
from styler.planner import Need, plans
from styler.styles.file import read_style
from styler.styles.save import StyleJob, save_style
from styler.tiled_features import features_of
from styler.transfer import Problem

OWN = f"{Path(__file__).with_name('own_networks.py')}:Plain"


def picture(height: int = 48, width: int = 40, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def lite() -> Extractor:
    return load_extractor("vgg-lite", pooling="average")


@pytest.fixture
def both(lite: Extractor, tiny_extractor: VggExtractor) -> EnsembleExtractor:
    return EnsembleExtractor([lite, tiny_extractor])


@pytest.fixture
def mixed(lite: Extractor) -> EnsembleExtractor:
    return EnsembleExtractor([lite, extractor_of(seeded(Plain), name="plain")])


def test_each_network_gives_what_it_gives_alone(both: EnsembleExtractor) -> None:
    image = picture(batch=2)
    together = both(image, both.layers)
    assert list(together) == list(both.layers)
    for member in both.members:
        for layer, value in member(image, member.layers).items():
            assert torch.equal(together[f"{member.name}:{layer}"], value)
    # They eat what they were trained on, not what the first was.
    assert both.members[0].preprocessing != both.members[1].preprocessing


def test_gradients_are_the_sums_of_those_alone(both: EnsembleExtractor) -> None:
    def gradient(extractor: Extractor, layers: list[str]) -> Tensor:
        image = picture().requires_grad_()
        values = extractor(image, layers).values()
        return torch.autograd.grad(sum(v.square().mean() for v in values), image)[0]

    alone = [gradient(member, ["relu1_1", "conv3_1"]) for member in both.members]
    together = gradient(both, ["relu1_1", "conv3_1"])
    torch.testing.assert_close(together, alone[0] + alone[1])


def test_what_is_known_of_layers_is_known_by_their_network(
    both: EnsembleExtractor, mixed: EnsembleExtractor
) -> None:
    for ensemble in (both, mixed):
        for member in ensemble.members:
            for layer in member.layers:
                name = f"{member.name}:{layer}"
                assert ensemble.channels(name) == member.channels(layer)
                assert ensemble.minimum_side(name) == member.minimum_side(layer)
                assert ensemble.receptive_field(name) == member.receptive_field(layer)
    assert mixed.stride("plain:block.0") == 4
    with pytest.raises(ConfigError, match="logits of plain has no stride"):
        mixed.stride("plain:logits")


def test_what_is_known_of_the_whole(both: EnsembleExtractor, lite: Extractor) -> None:
    assert both.name == "vgg-lite,tiny"
    text = f"vgg-lite {lite.weights_sha256}\ntiny {'0' * 64}\n"
    assert both.weights_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert both.preprocessing == lite.preprocessing
    assert (both.device, both.dtype) == (lite.device, lite.dtype)
    assert (both.padding, both.notice, both.input_size) == ("zeros", None, None)
    assert both.pooling_name == "average,max"
    same = EnsembleExtractor([both.members[1], extractor_of(seeded(Deciding), name="odd")])
    assert same.pooling_name == "max"
    assert str(same.notice).startswith("odd cannot be traced")


def test_bare_names_mean_every_network(both: EnsembleExtractor, lite: Extractor) -> None:
    assert members(both, "r31") == ["vgg-lite:relu3_1", "tiny:relu3_1"]
    assert members(both, " VGG-Lite:block3_conv1 ") == ["vgg-lite:relu3_1"]
    assert members(lite, "r31") == ["relu3_1"]
    assert both.resolve(["tiny:r11", "relu1_1", "r21"]) == [
        "tiny:relu1_1", "vgg-lite:relu1_1", "vgg-lite:relu2_1", "tiny:relu2_1",
    ]  # fmt: skip
    assert list(both(picture(), ["pool1"])) == ["vgg-lite:pool1", "tiny:pool1"]
    with pytest.raises(ConfigError, match="r21 is a layer of several networks") as caught:
        both.channels("r21")
    assert caught.value.hint == "use vgg-lite:relu2_1 or tiny:relu2_1"


def test_weights_of_bare_names_are_shared(both: EnsembleExtractor, lite: Extractor) -> None:
    weights = {"r11": 1.0, "tiny:relu2_1": 0.5, "nowhere": 0.0, "relu3_1": 3.0}
    assert spread(both, weights) == {
        "vgg-lite:relu1_1": 0.5,
        "tiny:relu1_1": 0.5,
        "tiny:relu2_1": 0.5,
        "vgg-lite:relu3_1": 1.5,
        "tiny:relu3_1": 1.5,
    }
    assert spread(lite, {"r11": 1.0, "relu3_1": 0.5}) == {"relu1_1": 1.0, "relu3_1": 0.5}


@pytest.mark.parametrize(
    ("layer", "message", "hint"),
    [
        ("relu41", "tiny of several networks have no layer 'relu41'", "vgg-lite:relu4_1"),
        ("relu9_1", "unknown layer 'relu9_1'", "did you mean"),
        ("21", "got the number 21", "known"),
        ("vgg-light:relu4_1", "unknown layer 'vgg-light:relu4_1'", "vgg-lite:relu4_1"),
        ("tiny:relu41", "unknown layer 'relu41'", "did you mean"),
    ],
)
def test_names_of_no_layer_are_refused(
    both: EnsembleExtractor, layer: str, message: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        members(both, layer)
    assert hint in str(caught.value.hint)


def test_sizes_are_checked_by_every_network_asked(both: EnsembleExtractor) -> None:
    both.check_size((4, 4), ["tiny:conv3_1"])
    both.check_size((1, 1), ["relu1_1"])
    with pytest.raises(ImageError, match="too small for relu5_1"):
        both.check_size((15, 90), ["tiny:conv3_1", "vgg-lite:relu5_1"])
    with pytest.raises(ImageError, match="too small for conv3_1"):
        both(picture(3, 40), ["vgg-lite:relu1_1", "tiny:conv3_1"])


def test_a_network_that_is_not_asked_does_not_run(
    both: EnsembleExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Any:
        raise AssertionError("it ran")

    monkeypatch.setattr(both.members[1], "_run", refuse)
    assert list(both(picture(), ["vgg-lite:relu1_1"])) == ["vgg-lite:relu1_1"]


def test_tiles_are_those_of_all(both: EnsembleExtractor) -> None:
    layers = ["relu1_1", "conv3_1", "vgg-lite:relu4_1"]
    (segment,) = both.segments(layers)
    assert segment.layers == tuple(both.resolve(layers))
    assert segment.fields["tiny:conv3_1"] == both.members[1].receptive_field("conv3_1")
    image = picture(530, 520)
    whole = both(image, layers)
    for layer, value in features_of(both, image, layers).items():
        torch.testing.assert_close(value, whole[layer], rtol=1e-4, atol=1e-4)


def test_what_one_network_cannot_is_impossible(lite: Extractor) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(2))
    ensemble = EnsembleExtractor([lite, extractor_of(module, name="global")])
    with pytest.raises(ConfigError, match=r"units of global:1 in .* see the whole image"):
        ensemble.segments(["vgg-lite:relu1_1", "global:1"])
    wrapped = load_extractor(f"vgg-lite,{OWN}", pooling="max")
    assert wrapped.segments(["vgg-lite:relu1_1"])
    for member in wrapped.members if isinstance(wrapped, EnsembleExtractor) else ():
        member.padding = "circular"
    with pytest.raises(ConfigError, match="vgg-lite sees the opposite border"):
        wrapped.segments(["vgg-lite:relu1_1"])


def need(extractor: Extractor) -> Need:
    layers = frozenset(extractor.resolve(["relu1_1", "relu3_1"]))
    return Need(
        extractor=extractor,
        layers=layers,
        placed=layers,
        size=(2048, 1024),
        optimizer=OptimizerConfig(),
    )


def test_memory_is_that_of_all(
    lite: Extractor, both: EnsembleExtractor, mixed: EnsembleExtractor
) -> None:
    half = load_extractor("vgg-lite", pooling="max")
    half.name = "vgg19"  # a network whose steps are known
    ensemble, layers, size = EnsembleExtractor([lite, half]), ["relu3_1"], (512, 512)
    alone = [gradient_bytes(lite, layers, size), gradient_bytes(half, layers, size)]
    assert gradient_bytes(ensemble, ensemble.resolve(layers), size) == sum(alone)
    assert gradient_bytes(ensemble, ["vgg-lite:relu3_1"], size) == alone[0]
    assert gradient_bytes(mixed, ["vgg-lite:relu3_1", "plain:stem"], size) == 0
    kept = [measured_bytes(member, layers) for member in both.members]
    assert measured_bytes(both, both.resolve(layers)) == pytest.approx(sum(kept), rel=0.05)
    whole, *tiled = plans(need(both))
    assert whole.bytes > 1.05 * next(plans(need(lite))).bytes
    assert tiled
    assert tiled[-1].bytes < whole.bytes


@dataclass(frozen=True)
class Settings:
    backbone: BackboneConfig
    runtime: RuntimeConfig = field(default_factory=lambda: RuntimeConfig(precision="fp32"))


def configured(name: str, **values: Any) -> Extractor:
    return extractor_for(Settings(BackboneConfig(name=name, **values)))


def test_commas_make_an_ensemble() -> None:
    ensemble = configured(f"vgg-lite, {OWN}", pooling="max")
    assert isinstance(ensemble, EnsembleExtractor)
    assert ensemble.name == f"vgg-lite,{OWN}"
    assert not isinstance(configured("vgg-lite"), EnsembleExtractor)
    # A recipe keeps the name alone, with which the same networks come again.
    again = configured(ensemble.name, pooling="max")
    assert (again.name, again.layers) == (ensemble.name, ensemble.layers)
    assert network_names("auto") == ["auto"]


def test_options_reach_every_network() -> None:
    extractor = load_extractor(
        "vgg-lite", pooling="l2", padding="replicate", rescale_pooling=True, dtype=torch.bfloat16
    )
    assert isinstance(extractor, VggExtractor)
    assert (extractor.pooling_name, extractor.padding) == ("l2×1.33", "replicate")
    made = configured("vgg-lite", pooling="l2", padding="reflect", rescale_pooling=True)
    assert (made.pooling_name, made.padding) == ("l2×1.33", "reflect")
    with pytest.raises(ConfigError, match="Plain cannot pad by reflect"):
        configured(f"vgg-lite,{OWN}", padding="reflect")


def test_members_that_do_not_go_together_are_refused(lite: Extractor, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="unknown backbone 'vgg-light'") as unknown:
        configured("vgg-lite,vgg-light")
    assert "did you mean vgg-lite" in str(unknown.value.hint)
    for name in ("auto,vgg-lite", "vgg-lite, auto"):
        with pytest.raises(ConfigError, match="auto is one network"):
            configured(name)
    with pytest.raises(ConfigError, match="vgg-lite is there twice"):
        configured("vgg-lite,VGG-lite")
    with pytest.raises(BackboneError, match="unknown backbone ''"):
        configured("vgg-lite,")
    (tmp_path / "x.pth").write_bytes(b"x")
    with pytest.raises(ConfigError, match="is one file, vgg-lite,vgg19 are 2 networks") as caught:
        configured("vgg-lite,vgg19", weights=str(tmp_path / "x.pth"))
    assert "folder" in str(caught.value.hint)
    with pytest.raises(BackboneError, match="no weights for vgg-lite"):
        configured("vgg-lite,vgg19", weights=str(tmp_path))
    with pytest.raises(ConfigError, match="two networks or more, got 1"):
        EnsembleExtractor([lite])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": torch.bfloat16}, r"float32, other on cpu in torch\.bfloat16"),
        ({"padding": "reflect"}, "vgg-lite pads by zeros, other by reflect"),
    ],
)
def test_networks_that_run_differently_are_refused(
    lite: Extractor, changes: Any, message: str
) -> None:
    other = load_extractor("vgg-lite", **changes)
    other.name = "other"
    with pytest.raises(ConfigError, match=message):
        EnsembleExtractor([lite, other])


def test_the_objective_is_the_mean_over_networks(both: EnsembleExtractor) -> None:
    layers = {"style.layers": {"relu1_1": 1.0, "relu2_1": 2.0}, "content.layers": {"relu3_1": 1}}
    config = resolve(
        ("t", {"schedule.size": 64, "schedule.scales": 1, "smoothness.weight": 0.0, **layers})
    ).config
    content, style = picture(64, 64), picture(64, 64).flip(2)
    image = picture(64, 64).mean(1, keepdim=True).expand(-1, 3, -1, -1)

    def total(extractor: Extractor) -> float:
        problem = Problem(content, style, config, extractor)
        objective = problem.objective(problem.levels[0])
        return float(objective(image, extractor(image, objective.layers)).total)

    alone = [total(member) for member in both.members]
    assert total(both) == pytest.approx(sum(alone) / 2, rel=1e-5)


def test_a_style_can_be_saved_and_used(both: EnsembleExtractor, tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "samples/styles/flow_field.jpg"
    settings = resolve(("t", {"style.layers": {"r11": 1, "tiny:r21": 1}}))
    path = tmp_path / "x.style"
    job = StyleJob(image=source, output=path, resolved=settings, largest=91)
    record = save_style(job, lambda _: both)
    assert record.backbone == "vgg-lite,tiny"
    assert list(record.layers) == ["vgg-lite:relu1_1", "tiny:relu1_1", "tiny:relu2_1"]
    fit = (64, 91)
    found = read_style(path).sums(lambda own: fit, both, record.layers)
    assert list(found) == list(record.layers)
    with pytest.raises(BackboneError, match="measured with vgg-lite,tiny, the network is vgg-lite"):
        read_style(path).check(lambda own: fit, both.members[0], record.layers)
