"""A picture and what was dreamt over it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from styler.images import resize

Carry = Literal["detail", "picture"]
"""What goes from one size to the next."""


class DetailImage:
    """A picture that is changed, beside the one that it was, at one of several sizes.

    With ``carry="detail"`` the difference of the two is what a resize enlarges; it is added to
    the original at the new size, so that the original stays as sharp as it is. With "picture" the
    changed picture itself is enlarged.

    Args:
        original: (1, 3, H, W) sRGB in [0, 1], at its largest.
        size: (h, w) to work at.
        carry: see above.
        mask: (1, 1, H', W') in [0, 1] of any size: 1 where the picture may change, 0 where it
            stays what it was; between, that share of the change is seen. None: all of it may.
        pixel_range: `raw` holds pixels times this.
        changed: (1, 3, h, w), the changed picture; None: as the original.

    Example:
        >>> parameter = DetailImage(torch.zeros(1, 3, 8, 8), (4, 4), mask=torch.zeros(1, 1, 2, 2))
        >>> with torch.no_grad():
        ...     _ = parameter.raw.fill_(1.0)
        >>> parameter.image().max().item(), parameter.raw.shape
        (0.0, torch.Size([1, 3, 4, 4]))

    References:
        Mordvintsev, Olah, Tyka 2015, "Inceptionism", and their notebook in google/deepdream,
        which enlarges the detail with linear interpolation; here it is bicubic.
    """

    def __init__(
        self,
        original: Tensor,
        size: tuple[int, int],
        *,
        carry: Carry = "detail",
        mask: Tensor | None = None,
        pixel_range: float = 1.0,
        changed: Tensor | None = None,
    ) -> None:
        self.original = original
        self.mask = mask
        self.carry = carry
        self.pixel_range = pixel_range
        self.size = size
        self.base = resize(original.detach(), size)
        self.share = None if mask is None else resize(mask, size)
        start = self.base if changed is None else changed.detach()
        self.raw = nn.Parameter(start * pixel_range)

    def image(self) -> Tensor:
        """The picture, differentiable in `raw`."""
        return self.decode(self.raw)

    def decode(self, raw: Tensor) -> Tensor:
        """The picture that another value of `raw` would stand for."""
        changed = raw / self.pixel_range
        return changed if self.share is None else self.base.lerp(changed, self.share)

    def project_(self) -> None:
        """Clamp the pixels to [0, 1]."""
        with torch.no_grad():
            self.raw.clamp_(0.0, self.pixel_range)

    def with_raw(self, raw: Tensor) -> DetailImage:
        """Another change of the same picture."""
        return self._at(self.size, raw / self.pixel_range)

    def resized(self, size: tuple[int, int]) -> DetailImage:
        """The same change at another size."""
        with torch.no_grad():
            changed = self.raw.detach() / self.pixel_range
            return self._at(size, carried(changed, self.base, self.original, size, self.carry))

    def resized_state(self, state: Tensor, size: tuple[int, int]) -> Tensor:
        """Bilinear, so that second moments stay non-negative."""
        return F.interpolate(state, size=size, mode="bilinear", align_corners=False)

    def finish(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """The result at a size of one's choice.

        Args:
            image: (1, 3, h, w), what `image` gave at whatever size the work ended.
            size: (height, width) wanted.

        Returns:
            (1, 3, height, width), exactly the original where the mask is 0.
        """
        base = resize(self.original, (image.shape[-2], image.shape[-1]))
        result = carried(image, base, self.original, size, self.carry)
        if self.mask is None:
            return result
        # What was enlarged reaches a little beyond the mask.
        return torch.where(resize(self.mask, size) > 0, result, resize(self.original, size))

    def _at(self, size: tuple[int, int], changed: Tensor) -> DetailImage:
        return DetailImage(
            self.original,
            size,
            carry=self.carry,
            mask=self.mask,
            pixel_range=self.pixel_range,
            changed=changed,
        )


def carried(
    changed: Tensor, base: Tensor, original: Tensor, size: tuple[int, int], carry: Carry
) -> Tensor:
    """A changed picture at another size.

    Args:
        changed: (1, 3, h, w).
        base: (1, 3, h, w), what it was before.
        original: (1, 3, H, W), likewise, at its largest.
        size: the (height, width) wanted.
        carry: see `DetailImage`.

    Returns:
        (1, 3, height, width), in [0, 1].
    """
    if carry == "picture" or changed.shape[-2:] == size:
        return resize(changed.clamp(0, 1), size)
    detail = F.interpolate(
        changed - base, size=size, mode="bicubic", antialias=True, align_corners=False
    )
    return (resize(original, size) + detail).clamp(0, 1)
