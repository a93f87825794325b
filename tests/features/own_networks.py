"""Small networks of one's own, as users write them, with weights of chance."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styler.features import Preprocessing


def seeded(make: Any) -> Any:
    """Runs a function with a random state of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return make()


class Plain(nn.Module):
    """Convolutions with ReLUs in place, and a head that takes any size."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.block = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.norm(self.stem(x))))
        return self.head(self.block(x).mean((2, 3)))  # type: ignore[no-any-return]


class Deciding(Plain):
    """Looks at the numbers in the image, which no trace can follow."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        x = self.act(x) if x.mean() > -1e6 else -x
        x = F.relu(self.pool(x), inplace=True)
        x = self.block(x) * 1.5
        x += 0.25
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


class Rectified(nn.Module):
    """ReLUs that are functions, in place, as in GoogLeNet."""

    def __init__(self, decides: bool) -> None:
        super().__init__()
        self.decides = decides
        self.first = nn.Conv2d(3, 6, 3)
        self.second = nn.Conv2d(6, 6, 3)
        self.third = nn.Conv2d(6, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x), inplace=True)
        x = F.relu(self.second(x), True)
        if self.decides and x.sum() < 0:
            return x
        return self.third(x).relu_()  # type: ignore[no-any-return]


class Overwriting(nn.Module):
    """Depends on its ReLU being in place: the result is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        self.act(x)
        return self.second(x)  # type: ignore[no-any-return]


class Digits(nn.Module):
    """LeNet for grey images of 28×28 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2),
        )  # fmt: skip
        self.classify = nn.Sequential(nn.Flatten(), nn.Linear(400, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x))  # type: ignore[no-any-return]


def plain() -> Plain:
    made: Plain = seeded(Plain)
    return made


def stated() -> Plain:
    made = plain()
    made.preprocessing = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5))  # type: ignore[assignment]
    return made
