"""A small network with random weights, and an empty cache for every test."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from styler.features.registry import BackboneSpec, Preprocessing, WeightFile
from styler.features.vgg import VggExtractor
from styler.features.weights import LoadedWeights, vgg_shapes


@pytest.fixture(autouse=True)
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own; weights folders are only those a test names."""
    if "weights_dir" not in request.fixturenames:
        monkeypatch.delenv("STYLER_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("STYLER_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def tiny() -> BackboneSpec:
    return BackboneSpec(
        name="tiny",
        description="a VGG of three blocks for tests",
        preprocessing=Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)),
        blocks=((4, 5), (6,), (7, 8)),
        weights=(WeightFile(filename="tiny.pth", licence="none", source="random"),),
    )


@pytest.fixture
def tiny_state(tiny: BackboneSpec) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {
        key: torch.randn(shape, generator=generator) * 0.3
        for key, shape in vgg_shapes(tiny).items()
    }


@pytest.fixture
def tiny_extractor(tiny: BackboneSpec, tiny_state: dict[str, Tensor]) -> VggExtractor:
    weights = LoadedWeights(state=tiny_state, sha256="0" * 64, path=Path("tiny.pth"))
    return VggExtractor(
        tiny, weights, device=torch.device("cpu"), dtype=torch.float32, pooling="max"
    )
