"""The pixels themselves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from styler.images import resize


class PixelImage:
    """The pixels themselves, times a constant.

    Args:
        image: (B, 3, H, W) float32 sRGB in [0, 1].
        pixel_range: `raw` holds ``image * pixel_range``; 255 gives L-BFGS and learning rates the
            units of Caffe-era recipes.

    Example:
        >>> parameter = PixelImage(torch.full((1, 3, 2, 2), 0.5), pixel_range=255)
        >>> parameter.raw.max().item(), parameter.image().max().item()
        (127.5, 0.5)
    """

    def __init__(self, image: Tensor, pixel_range: float = 1.0) -> None:
        self.pixel_range = pixel_range
        self.raw = nn.Parameter(image.detach() * pixel_range)

    def image(self) -> Tensor:
        """The picture, differentiable in `raw`."""
        return self.decode(self.raw)

    def decode(self, raw: Tensor) -> Tensor:
        """The picture that another value of `raw` would stand for."""
        return raw / self.pixel_range

    def project_(self) -> None:
        """Clamp the pixels to [0, 1]."""
        with torch.no_grad():
            self.raw.clamp_(0.0, self.pixel_range)

    def with_raw(self, raw: Tensor) -> PixelImage:
        """Pictures of other pixels, which are already times the range."""
        return PixelImage(raw / self.pixel_range, self.pixel_range)

    def resized(self, size: tuple[int, int]) -> PixelImage:
        """The same picture at another size, antialiased and clamped to [0, 1]."""
        with torch.no_grad():
            return PixelImage(resize(self.image().clamp(0, 1), size), self.pixel_range)

    def resized_state(self, state: Tensor, size: tuple[int, int]) -> Tensor:
        """Bilinear, so that second moments stay non-negative."""
        return nn.functional.interpolate(state, size=size, mode="bilinear", align_corners=False)
