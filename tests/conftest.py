"""What all tests share: which machines can run which markers."""

import os
from pathlib import Path

import pytest


def _weights_folder() -> Path | None:
    named = os.environ.get("STYLER_WEIGHTS_DIR")
    folders = [Path(named)] if named else []
    folders.append(Path(__file__).parents[2] / "shared" / "weights")
    return next((f for f in folders if (f / "vgg19-caffe.safetensors").is_file()), None)


@pytest.fixture
def weights_dir(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with real VGG weights; tests that ask for it carry the marker `weights`."""
    folder = _weights_folder()
    assert folder is not None
    monkeypatch.setenv("STYLER_WEIGHTS_DIR", str(folder))
    return folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("weights") and _weights_folder() is None:
        pytest.skip("no real VGG weights: set STYLER_WEIGHTS_DIR to a folder that has them")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
