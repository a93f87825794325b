"""Networks of torchvision with random weights, theirs and ours side by side."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from styler.features import Extractor, load_extractor
from styler.features.base import Pooling
from styler.features.networks import fill
from styler.features.registry import get_backbone
from styler.features.torchvision_models import build_torchvision
from styler.features.traced_extractor import TracedExtractor

REGISTERED = ("alexnet", "squeezenet1_0", "googlenet", "inception_v3", "resnet50")
CPU = torch.device("cpu")


def picture(height: int = 96, width: int = 80, batch: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def imagenet(image: Tensor) -> Tensor:
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    return (image - mean) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def same(found: Tensor, expected: Tensor) -> None:
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * scale)


def random_model(name: str) -> nn.Module:
    """As torchvision builds it to load its own weights into it, but with weights of chance."""
    generator = torch.Generator().manual_seed(11)
    options = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "transform_input": True, "init_weights": False}
    with torch.random.fork_rng(devices=[]):
        model: nn.Module = models.get_model(name, weights=None, **options).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.3, 0.3),
            ):
                assert tensor is not None
                tensor.uniform_(low, high, generator=generator)
        elif isinstance(module, nn.Conv2d):
            # Keeps activations at the size of the input's, however deep.
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
        elif isinstance(module, nn.Linear):
            module.weight.data.normal_(0, module.in_features**-0.5, generator=generator)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half())  # so that a small file holds them exactly
    return model


def saved(model: nn.Module, path: Path) -> Path:
    state = model.state_dict()
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_file({key: value.contiguous() for key, value in half.items()}, path)
    return path


def pair(name: str, pooling: Pooling = "max") -> tuple[nn.Module, Extractor]:
    """torchvision's own network, and ours loaded from a file of its weights."""
    theirs = random_model(name)
    with tempfile.TemporaryDirectory() as folder:
        path = saved(theirs, Path(folder) / "network.safetensors")
        registered = name if name in REGISTERED else f"torchvision:{name}"
        return theirs, load_extractor(registered, weights=path, pooling=pooling)


def hooked(model: nn.Module, image: Tensor, paths: Iterable[str]) -> dict[str, Tensor]:
    """What modules give, copied before anything can write over it."""
    found: dict[str, Tensor] = {}

    def keep(path: str) -> None:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found.setdefault(path, output.detach().clone())

        model.get_submodule(path).register_forward_hook(hook)

    for path in paths:
        keep(path)
    with torch.no_grad():
        found["logits"] = model(imagenet(image))
    for module in model.modules():
        module._forward_hooks.clear()
    return found


def hollow(
    name: str,
    state: dict[str, Tensor] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    pooling: Pooling = "max",
) -> TracedExtractor:
    """An extractor with zeros that take no memory for weights, but for those given."""
    spec = get_backbone(name)
    zeros = {
        key: torch.zeros((), dtype=value.dtype).expand(value.shape)
        for key, value in build_torchvision(spec).state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    model = fill(build_torchvision(spec), {**zeros, **(state or {})})
    return TracedExtractor(spec, model, "0" * 64, device=CPU, dtype=dtype, pooling=pooling)
