import pytest
import torch
import torch.nn.functional as F
from own_networks import seeded
from torch import Tensor, nn
from traced_builders import imagenet, picture, same

from styler.features import extractor_of
from styler.features.hooked_extractor import HookedExtractor


class Base(nn.Module):
    """Two convolutions; what lies between them is each network's own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.act = nn.ReLU(inplace=True)
        self.same = nn.Identity()
        self.second = nn.Conv2d(8, 4, 3)

    def between(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.between(self.first(x)))  # type: ignore[no-any-return]


class Method(Base):
    def between(self, x: Tensor) -> Tensor:
        return x.mul(2).clamp_(min=0.1).add_(1)


class Positional(Base):
    def between(self, x: Tensor) -> Tensor:
        return F.relu(F.leaky_relu(x, 0.2, True), True)


class Named(Base):
    def between(self, x: Tensor) -> Tensor:
        return F.hardswish(torch.relu_(x) - 1, inplace=True)


class Augmented(Base):
    def between(self, x: Tensor) -> Tensor:
        y = self.act(x * 1)
        y += x
        return y


class Chunks(Base):
    def between(self, x: Tensor) -> Tensor:
        left, right = (x * 1).chunk(2, 1)
        return torch.cat([left.relu_(), right], 1)


class Result(Base):
    """The result is what the operation in place was given."""

    def between(self, x: Tensor) -> Tensor:
        x.relu_()
        return x


class Shortcut(Base):
    """Looks as if it added the unrectified map, and adds the rectified one."""

    def between(self, x: Tensor) -> Tensor:
        y = self.act(x)
        return x + 2 * y


class View(Base):
    def between(self, x: Tensor) -> Tensor:
        x.flatten(2).relu_().mean()
        return x * 1


class Same(Base):
    def between(self, x: Tensor) -> Tensor:
        y = self.same(x)
        return F.relu(y, inplace=True) + 2 * x


class Unused(Base):
    def between(self, x: Tensor) -> Tensor:
        F.relu(x, inplace=True)
        return x


class Items(Base):
    def between(self, x: Tensor) -> Tensor:
        x[:, :2] = 0.5
        return x


TRACED = (Method, Positional, Named, Augmented, Chunks)
HOOKED = (Result, Shortcut, View, Same, Unused, Items)


@pytest.mark.parametrize("kind", [*TRACED, *HOOKED])
def test_what_operations_in_place_do_is_kept(kind: type[Base]) -> None:
    model = seeded(kind).eval()
    extractor = extractor_of(model)
    assert isinstance(extractor, HookedExtractor) is (kind in HOOKED), extractor.notice
    image = picture(12, 16)
    found = extractor(image, ["first", "logits"])
    with torch.no_grad():
        same(found["logits"], model(imagenet(image)))
        same(found["first"], model.first(imagenet(image)))


@pytest.mark.parametrize("kind", [Shortcut, Same, Unused])
def test_the_reason_names_the_place(kind: type[Base]) -> None:
    notice = extractor_of(seeded(kind)).notice
    assert notice is not None
    assert "is changed in place" in notice
