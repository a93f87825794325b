"""The pixels themselves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from styler.errors import UsageError
from styler.images import resize, resize_wrapped


@dataclass(frozen=True, kw_only=True)
class Held:
    """What of a picture stays as it is.

    Args:
        picture: (1, 3, H, W) sRGB in [0, 1], at any size.
        mask: (1, 1, H', W') in [0, 1], at any size: 1 stays, 0 is free.

    Raises:
        UsageError: a shape does not fit.
    """

    picture: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        """Check the shapes."""
        for name, tensor, channels in (("picture", self.picture, 3), ("mask", self.mask, 1)):
            if tensor.ndim != 4 or tensor.shape[:2] != (1, channels):
                raise UsageError(
                    f"the held {name} is {tuple(tensor.shape)}, expected (1, {channels}, H, W)"
                )

    def over(self, image: Tensor) -> Tensor:
        """A picture with what is held laid over it; differentiable.

        Args:
            image: (B, 3, H, W) sRGB.
        """
        size = (image.shape[-2], image.shape[-1])
        picture, mask = (
            resize(tensor, size).to(device=image.device, dtype=image.dtype)
            for tensor in (self.picture, self.mask)
        )
        return torch.lerp(image, picture, mask)

    def at(self, size: tuple[int, int], device: torch.device) -> Held:
        """The same at the size of a scale, so that laying it over costs no resampling."""
        return Held(
            picture=resize(self.picture, size).to(device), mask=resize(self.mask, size).to(device)
        )


class PixelImage:
    """The pixels themselves, times a constant.

    Args:
        image: (B, 3, H, W) float32 sRGB in [0, 1].
        pixel_range: `raw` holds ``image * pixel_range``; 255 gives L-BFGS and learning rates the
            units of Caffe-era recipes.
        wrap: opposite borders are neighbours, as in a seamless texture, and stay so when resized.
        held: what stays as it is: its pixels are shown in place of those of `raw`, which get no
            gradient there.

    Example:
        >>> parameter = PixelImage(torch.full((1, 3, 2, 2), 0.5), pixel_range=255)
        >>> parameter.raw.max().item(), parameter.image().max().item()
        (127.5, 0.5)
    """

    def __init__(
        self,
        image: Tensor,
        pixel_range: float = 1.0,
        *,
        wrap: bool = False,
        held: Held | None = None,
    ) -> None:
        self.pixel_range = pixel_range
        self.wrap = wrap
        self.raw = nn.Parameter(image.detach() * pixel_range)
        self._whole = held
        size = (image.shape[-2], image.shape[-1])
        self._held = None if held is None else held.at(size, image.device)

    def image(self) -> Tensor:
        """The picture, differentiable in `raw`."""
        return self.decode(self.raw)

    def decode(self, raw: Tensor) -> Tensor:
        """The picture that another value of `raw` would stand for."""
        image = raw / self.pixel_range
        return image if self._held is None else self._held.over(image)

    def project_(self) -> None:
        """Clamp the pixels to [0, 1]."""
        with torch.no_grad():
            self.raw.clamp_(0.0, self.pixel_range)

    def with_raw(self, raw: Tensor) -> PixelImage:
        """Pictures of other pixels, which are already times the range."""
        return self._like(raw / self.pixel_range)

    def resized(self, size: tuple[int, int]) -> PixelImage:
        """The same picture at another size, antialiased and clamped to [0, 1]."""
        with torch.no_grad():
            sampled = resize_wrapped if self.wrap else resize
            return self._like(sampled(self.image().clamp(0, 1), size))

    def resized_state(self, state: Tensor, size: tuple[int, int]) -> Tensor:
        """Bilinear, so that second moments stay non-negative."""
        return nn.functional.interpolate(state, size=size, mode="bilinear", align_corners=False)

    def _like(self, image: Tensor) -> PixelImage:
        return PixelImage(image, self.pixel_range, wrap=self.wrap, held=self._whole)
