"""What the engine optimises: an image, seen through a parameterisation."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn


class ImageParameter(Protocol):
    """An array of numbers that stands for a picture."""

    raw: nn.Parameter
    """what the optimiser changes"""

    def image(self) -> Tensor:
        """The picture, (B, 3, H, W) sRGB, differentiable in `raw`; may leave [0, 1]."""
        ...

    def decode(self, raw: Tensor) -> Tensor:
        """The picture that another value of `raw` would stand for."""
        ...

    def project_(self) -> None:
        """Move `raw` to the nearest value whose picture is in [0, 1]."""
        ...

    def with_raw(self, raw: Tensor) -> ImageParameter:
        """The same way to see a picture, of another array, of any number of pictures."""
        ...

    def resized(self, size: tuple[int, int]) -> ImageParameter:
        """A new parameter for the same picture at another (height, width)."""
        ...

    def resized_state(self, state: Tensor, size: tuple[int, int]) -> Tensor:
        """An optimiser's per-number state, such as a moment, for the resized parameter."""
        ...
