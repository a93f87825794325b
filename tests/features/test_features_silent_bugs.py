"""What goes wrong without a word in other tools for looking into networks."""

from collections.abc import Callable

import pytest
import torch
from own_networks import Deciding, Overwriting, Plain, Rectified, seeded
from torch import Tensor, nn
from traced_builders import imagenet, pair, picture, same

from styler.errors import ConfigError
from styler.features import Extractor, extractor_of
from styler.features.hooked_extractor import HookedExtractor
from styler.features.traced_extractor import TracedExtractor

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "modules": Plain,
    "modules hooked": Deciding,
    "functions": lambda: Rectified(False),
    "functions hooked": lambda: Rectified(True),
    "overwriting": Overwriting,
}


def opened(kind: str) -> tuple[nn.Module, Extractor]:
    model: nn.Module = seeded(NETWORKS[kind]).eval()
    extractor = extractor_of(model)
    hooked = "hooked" in kind or kind == "overwriting"
    assert type(extractor) is (HookedExtractor if hooked else TracedExtractor)
    return model, extractor


def network_of(extractor: Extractor) -> nn.Module:
    if isinstance(extractor, HookedExtractor):
        return extractor._model
    assert isinstance(extractor, TracedExtractor)
    return extractor.traced.model


@pytest.mark.parametrize("kind", NETWORKS)
def test_no_value_depends_on_what_else_is_asked_for(kind: str) -> None:
    _, extractor = opened(kind)
    image = picture(40, 56)
    together = extractor(image, extractor.layers)
    assert list(together) == list(extractor.layers)
    for layer in extractor.layers:
        assert torch.equal(together[layer], extractor(image, [layer])[layer]), layer


@pytest.mark.parametrize(
    ("kind", "layer"),
    [("modules", "norm"), ("modules", "block.0"), ("modules hooked", "norm"),
     ("modules hooked", "block.0"), ("functions", "first"), ("functions", "third"),
     ("functions hooked", "first"), ("functions hooked", "third"), ("overwriting", "first")],
)  # fmt: skip
def test_a_layer_before_a_relu_is_not_rectified(kind: str, layer: str) -> None:
    model, extractor = opened(kind)
    image = picture(40, 56)
    expected: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: expected.append(output.clone())
    )
    with torch.no_grad():
        model(imagenet(image))
    handle.remove()
    assert bool((expected[0] < 0).any())
    same(extractor(image, [layer, *extractor.layers])[layer], expected[0])


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_result_is_the_networks_own(kind: str) -> None:
    model, extractor = opened(kind)
    image = picture(40, 56)
    with torch.no_grad():
        same(extractor(image, ["logits"])["logits"], model(imagenet(image)))


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_callers_network_stays_as_it_was(kind: str) -> None:
    model: nn.Module = seeded(NETWORKS[kind]).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    in_place = [getattr(module, "inplace", None) for module in model.modules()]
    extractor = extractor_of(model, dtype=torch.float64)
    extractor(picture(40, 40), ["logits"])
    assert all(module.training for module in model.modules())
    assert all(p.requires_grad and p.dtype is torch.float32 for p in model.parameters())
    assert in_place == [getattr(module, "inplace", None) for module in model.modules()]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        next(model.parameters()).zero_()
    assert bool(extractor(picture(40, 40), [extractor.layers[0]]).popitem()[1].any())


@pytest.mark.parametrize("kind", NETWORKS)
def test_no_parameter_takes_a_gradient(kind: str) -> None:
    _, extractor = opened(kind)
    image = picture(40, 40).requires_grad_()
    features = extractor(image, extractor.layers)
    torch.stack([value.sum() for value in features.values()]).sum().backward()
    assert image.grad is not None
    assert float(image.grad.abs().sum()) > 0
    for parameter in network_of(extractor).parameters():
        assert not parameter.requires_grad
        assert parameter.grad is None


@pytest.mark.parametrize("kind", NETWORKS)
def test_nothing_is_left_on_the_network(kind: str) -> None:
    _, extractor = opened(kind)
    before = {name: set(vars(m)) for name, m in network_of(extractor).named_modules()}
    extractor(picture(40, 40), extractor.layers[:2])
    for name, module in network_of(extractor).named_modules():
        assert not module._forward_hooks, name
        assert not module._forward_pre_hooks, name
        assert set(vars(module)) == before[name]


@pytest.mark.parametrize("kind", NETWORKS)
def test_samples_are_the_same_alone_and_among_others(kind: str) -> None:
    _, extractor = opened(kind)
    batch = picture(40, 48, batch=3)
    together = extractor(batch, extractor.layers)
    for index in range(3):
        alone = extractor(batch[index : index + 1], extractor.layers)
        for layer in extractor.layers:
            same(alone[layer], together[layer][index : index + 1])


@pytest.mark.parametrize("kind", NETWORKS)
def test_height_and_width_are_not_swapped(kind: str) -> None:
    _, extractor = opened(kind)
    image = picture(40, 72)
    for layer, value in extractor(image, extractor.layers).items():
        if value.ndim == 4:
            assert value.shape[2] < value.shape[3], layer
            turned = extractor(image.transpose(2, 3), [layer])[layer]
            assert turned.shape[2:] == (value.shape[3], value.shape[2])


def test_names_with_dots_are_paths() -> None:
    theirs, ours = pair("resnet18")
    image = picture(64, 64)
    found = ours(image, ["layer2.0.downsample.1"])["layer2.0.downsample.1"]
    inner: list[Tensor] = []
    theirs.get_submodule("layer2.0.downsample.1").register_forward_hook(
        lambda module, inputs, output: inner.append(output.clone())
    )
    with torch.no_grad():
        theirs(imagenet(image))
    same(found, inner[0])
    _, hooked = opened("modules hooked")
    assert "block.0" in hooked.layers


class Hungry(nn.Module):
    """Runs out of memory, or fails, when it is told to."""

    def __init__(self, decides: bool) -> None:
        super().__init__()
        self.decides = decides
        self.first = nn.Conv2d(3, 4, 3)
        self.trap = Trap()

    def forward(self, x: Tensor) -> Tensor:
        if self.decides and bool(x.isnan().any()):
            return x
        return self.trap(self.first(x))  # type: ignore[no-any-return]


class Trap(nn.Module):
    """Raises what it is loaded with, once the network is open."""

    error: BaseException | None = None

    def forward(self, x: Tensor) -> Tensor:
        return spring(self, x)


def spring(trap: Trap, x: Tensor) -> Tensor:
    if trap.error is not None:
        raise trap.error
    return x * 2


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError("none left"),
     RuntimeError("DefaultCPUAllocator: can't allocate memory"), RuntimeError("broken"),
     KeyboardInterrupt()],
    ids=lambda error: type(error).__name__ + str(error)[:6],
)  # fmt: skip
def test_no_error_of_a_network_is_swallowed(error: BaseException) -> None:
    extractor = extractor_of(Hungry(decides=True))
    assert isinstance(extractor, HookedExtractor)
    trap = network_of(extractor).get_submodule("trap")
    vars(trap)["error"] = error
    image = picture(16, 16)
    assert extractor(image, ["first"])["first"].shape == (1, 4, 14, 14)
    for wanted in (["logits"], ["first", "trap"]):
        with pytest.raises(type(error)) as caught:
            extractor(image, wanted)
        assert caught.value is error
    assert not any(module._forward_hooks for module in network_of(extractor).modules())
    vars(trap)["error"] = None
    assert list(extractor(image, ["trap", "first"])) == ["trap", "first"]


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError("none left"),
     RuntimeError("DefaultCPUAllocator: can't allocate memory")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
@pytest.mark.parametrize("decides", [True, False])
def test_running_out_of_memory_is_not_taken_for_a_wrong_size(
    error: BaseException, decides: bool
) -> None:
    network = Hungry(decides)
    network.trap.error = error
    with pytest.raises(type(error)) as caught:
        extractor_of(network)
    assert str(caught.value) == str(error)


@pytest.mark.parametrize("kind", ["modules", "modules hooked"])
def test_unknown_layers_answer_with_the_closest(kind: str) -> None:
    _, extractor = opened(kind)
    with pytest.raises(ConfigError, match=r"unknown layer 'blok\.0'") as caught:
        extractor(picture(40, 40), ["blok.0"])
    assert "block.0" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="number"):
        extractor(picture(40, 40), ["0"])
