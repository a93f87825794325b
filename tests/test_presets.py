"""Each historical preset against its formula, written out here from the recipe."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial.distance
import torch
from torch import Tensor

from styler.config import TransferConfig, resolve
from styler.errors import ConfigError
from styler.features import Extractor, load_extractor
from styler.losses.sliced import orthonormal_directions
from styler.presets import list_presets, load_preset, presets_folder, read_preset
from styler.transfer import Problem

FIVE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def preset_config(name: str) -> TransferConfig:
    """The preset's settings at a small size, on the network that is always there."""
    small = {"backbone.name": "vgg-lite", "schedule.size": 64}
    return resolve(("preset", load_preset(name, "transfer").values), ("test", small)).config


def pictures() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)

    def noise(height: int, width: int) -> Tensor:
        coarse = torch.rand(1, 3, height // 8, width // 8, generator=generator)
        return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")

    return noise(64, 64), noise(64, 64), noise(64, 64)


def total_of(name: str) -> tuple[float, Callable[..., dict[str, Tensor]], tuple[Tensor, ...]]:
    """The preset's J(G), its feature function, and (content, style, G)."""
    config = preset_config(name)
    content, style, result = pictures()
    extractor = load_extractor("vgg-lite", pooling=config.backbone.pooling)
    problem = Problem(content, style, config, extractor)
    objective = problem.objective(problem.levels[-1])
    total = objective(result, extractor(result, objective.layers)).total
    return float(total), extractor, (content, style, result)


def gram(features: Tensor) -> Tensor:
    flat = features[0].flatten(1)
    return flat @ flat.T


def test_gatys2015_is_equations_1_to_7() -> None:
    total, features, (content, style, result) = total_of("gatys2015")
    f, p = (features(x, ["relu4_2"])["relu4_2"] for x in (result, content))
    j_content = 0.5 * (f - p).square().sum()
    j_style = torch.zeros(())
    for layer in FIVE:
        g, a = (features(x, [layer])[layer] for x in (result, style))
        n, m = g.shape[1], g.shape[2] * g.shape[3]
        j_style += 1 / 5 * (gram(g) - gram(a)).square().sum() / (4 * n**2 * m**2)
    assert total == pytest.approx(float(1.0 * j_content + 1e3 * j_style), rel=1e-4)


def test_gatys_ref_is_the_notebook() -> None:
    total, features, (content, style, result) = total_of("gatys-ref")
    f, p = (features(x, ["relu4_2"])["relu4_2"] for x in (result, content))
    expected = (f - p).square().mean()
    # The weights are 1e3 over the squared channels of VGG-19, whatever network measures here.
    for layer, channels in zip(FIVE, (64, 128, 256, 512, 512), strict=True):
        g, a = (features(x, [layer])[layer] for x in (result, style))
        m = g.shape[2] * g.shape[3]
        expected += 1e3 / channels**2 * (gram(g) / m - gram(a) / m).square().mean()
    assert total == pytest.approx(float(expected), rel=1e-4)


def test_johnson_is_neural_style() -> None:
    total, features, (content, style, result) = total_of("johnson")
    f, p = (features(x, ["relu4_2"])["relu4_2"] for x in (result, content))
    expected = 5.0 * (f - p).square().mean()
    for layer in FIVE:
        g, a = (features(x, [layer])[layer] for x in (result, style))
        expected += 100.0 * (gram(g) / g.numel() - gram(a) / a.numel()).square().mean()
    caffe = 255 * result
    right = caffe[..., :-1, 1:] - caffe[..., :-1, :-1]
    down = caffe[..., 1:, :-1] - caffe[..., :-1, :-1]
    expected += 1e-3 * 0.5 * (right.square().sum() + down.square().sum())
    assert total == pytest.approx(float(expected), rel=1e-4)


def wasserstein(features: Tensor, target: Tensor) -> float:
    moments = []
    for array in (features, target):
        flat = array[0].flatten(1).double().numpy()
        ridge = 1e-4 * np.eye(len(flat))
        moments.append((flat.mean(1), np.cov(flat, bias=True) + ridge))
    (mean1, cov1), (mean2, cov2) = moments
    root = scipy.linalg.sqrtm(cov2)
    cross = scipy.linalg.sqrtm(root @ cov1 @ root).real
    return float(np.mean((mean1 - mean2) ** 2) + np.mean(np.diag(cov1 + cov2 - 2 * cross)))


def test_crowson_is_style_transfer_pytorch() -> None:
    total, features, (content, style, result) = total_of("crowson")
    f, p = (features(x, ["relu4_2"])["relu4_2"] for x in (result, content))
    expected = 0.015 * float((f - p).square().mean())
    for layer, share in zip(FIVE, (256, 64, 16, 4, 1), strict=True):
        g, a = (features(x, [layer])[layer] for x in (result, style))
        expected += share / 341 * wasserstein(g, a)
    squares = result.diff(dim=2).square().sum() + result.diff(dim=3).square().sum()
    expected += 2.0 * float(squares) / result.numel()
    assert total == pytest.approx(expected, rel=1e-3)


def columns(features: Tensor) -> np.ndarray:
    return features[0].flatten(1).double().numpy()


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances of all columns from all columns."""
    return scipy.spatial.distance.cdist(one.T, other.T, "cosine")


def variation(result: Tensor, weight: float) -> float:
    squares = result.diff(dim=2).square().sum() + result.diff(dim=3).square().sum()
    return weight * float(squares) / result.numel()


def test_nnst_is_the_cosine_to_the_nearest() -> None:
    total, features, (content, style, result) = total_of("nnst")
    config = preset_config("nnst")
    f, p = (features(x, ["relu4_2"])["relu4_2"] for x in (result, content))
    expected = 2.0 * float((f - p).square().mean() / p.var(correction=0))
    for layer in config.style.layers:
        g, a = (columns(features(x, [layer])[layer]) for x in (result, style))
        far = cosines(g - g.mean(1, keepdims=True), a - a.mean(1, keepdims=True))
        expected += float(far.min(1).mean())
    assert total == pytest.approx(expected + variation(result, 2), rel=1e-3)


def test_strotss_is_relaxed_transport_moments_and_self_similarity() -> None:
    total, features, (content, style, result) = total_of("strotss")
    config = preset_config("strotss")
    expected = 0.0
    for layer in config.content.layers:
        own, kept = (columns(features(x, [layer])[layer]) for x in (result, content))
        if own.shape[1] > 1024:  # of a map of 32 × 32 none is left out
            raise AssertionError(layer)
        alike = [matrix / matrix.sum(0) for matrix in (cosines(own, own), cosines(kept, kept))]
        expected += 4.0 * float(np.abs(alike[0] - alike[1]).sum() / own.shape[1])
    for layer in config.style.layers:
        g, a = (columns(features(x, [layer])[layer]) for x in (result, style))
        far = cosines(g, a)
        expected += max(float(far.min(0).mean()), float(far.min(1).mean()))
        for x, y in ((g.mean(1), a.mean(1)), (np.cov(g, bias=True), np.cov(a, bias=True))):
            expected += 0.1 * float(np.square(x - y).sum() / np.square(y).sum())
    assert total == pytest.approx(expected + variation(result, 1), rel=1e-3)


def test_swd_is_transport_along_directions() -> None:
    total, features, (content, style, result) = total_of("swd")
    config = preset_config("swd")
    f, p = (features(x, ["relu4_2"])["relu4_2"] for x in (result, content))
    expected = 0.3 * float((f - p).square().mean() / p.var(correction=0))
    for layer in config.style.layers:
        g, a = (columns(features(x, [layer])[layer]) for x in (result, style))
        directions = orthonormal_directions(len(g), len(g)).numpy()
        moved = np.sort(directions @ g, axis=1) - np.sort(directions @ a, axis=1)
        expected += float(np.square(moved).mean() / np.square(directions @ a).mean())
    assert total == pytest.approx(expected + variation(result, 4), rel=1e-3)


def test_pytorch_tutorial_uses_convolutions_before_their_relu() -> None:
    total, features, (content, style, result) = total_of("pytorch-tutorial")
    f, p = (features(x, ["conv2_2"])["conv2_2"] for x in (result, content))
    assert float(f.min()) < 0
    expected = (f - p).square().mean()
    for layer in ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"):
        g, a = (features(x, [layer])[layer] for x in (result, style))
        expected += 1e6 * (gram(g) / g.numel() - gram(a) / a.numel()).square().mean()
    assert total == pytest.approx(float(expected), rel=1e-4)


def test_default_normalises_each_term_by_its_target() -> None:
    total, features, (content, style, result) = total_of("default")
    config = preset_config("default")
    f, p = (features(x, ["relu4_2"])["relu4_2"] for x in (result, content))
    expected = config.content.weight * (f - p).square().mean() / p.var(correction=0)
    for layer in FIVE:
        g, a = (features(x, [layer])[layer][0].flatten(1) for x in (result, style))
        for one, other in ((g.mean(1), a.mean(1)), (g.cov(correction=0), a.cov(correction=0))):
            expected += config.style.weight * (one - other).square().sum() / other.square().sum()
    squares = result.diff(dim=2).square().sum() + result.diff(dim=3).square().sum()
    expected += config.smoothness.weight * squares / result.numel()
    assert total == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "optimizer", "steps", "kind", "pooling", "size"),
    [
        ("gatys2015", "lbfgs", (500,), "uniform", "average", 512),
        ("gatys-ref", "lbfgs", (500,), "content", "max", 512),
        ("johnson", "lbfgs", (1000,), "noise", "max", 512),
        ("crowson", "adam", (1000, 500), "content", "max", 512),
        ("pytorch-tutorial", "lbfgs", (300,), "content", "max", 512),
    ],
)
def test_optimisers_starts_and_sizes(
    name: str, optimizer: str, steps: tuple[int, ...], kind: str, pooling: str, size: int
) -> None:
    config = resolve(("preset", load_preset(name, "transfer").values)).config
    assert config.optimizer.name == optimizer
    assert config.schedule.steps == steps
    assert config.init.kind == kind
    assert config.backbone.pooling == pooling
    assert config.schedule.size == size
    assert config.strength == 0.5


def test_johnson_starts_a_thousandth_of_a_grey_level_from_the_mean_colour() -> None:
    config = preset_config("johnson")
    extractor: Extractor = load_extractor("vgg-lite")
    content, style, _ = pictures()
    start = Problem(content, style, config, extractor).initial()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    assert float((255 * (start - mean)).std()) == pytest.approx(0.001, rel=0.05)


def test_every_shipped_preset_says_what_it_is_and_resolves() -> None:
    presets = list_presets("transfer")
    assert presets[0].name == "default"
    assert {"gatys2015", "johnson", "gatys-ref", "crowson", "pytorch-tutorial"} < {
        p.name for p in presets
    }
    for preset in presets:
        assert preset.description
        assert preset.source
        resolve((preset.name, preset.values))


def test_unknown_preset_offers_the_closest() -> None:
    with pytest.raises(ConfigError) as caught:
        load_preset("gatys15", "transfer")
    assert "gatys2015" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema = 1\nkind = 'transfer'\n[style\n", "is not TOML"),
        ("kind = 'transfer'\n", "has schema None, expected 1"),
        ("schema = 1\nkind = 'dream'\n", "kind 'dream', expected 'transfer'"),
        ("\xff", "is not TOML"),
    ],
)
def test_broken_preset_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_preset(str(file), "transfer")
    assert words in caught.value.message


def test_missing_and_binary_preset_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read preset"):
        load_preset(str(tmp_path / "none.toml"), "transfer")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read preset"):
        read_preset(binary, "transfer")


def test_presets_lie_in_the_package_or_beside_it() -> None:
    assert (presets_folder() / "transfer" / "default.toml").is_file()
