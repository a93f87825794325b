"""Pictures as Fourier coefficients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from styler.images import resize
from styler.params.color import correlate, uncorrelate

CONTRAST = 4.0
"""What the sum of waves is divided by, as in Lucid."""
LOGIT_MARGIN = 1e-3
"""Pixels nearer to 0 or 1 than this are moved in: the sigmoid reaches neither."""


def frequencies(size: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Frequencies of the coefficients that `torch.fft.rfft2` gives.

    Args:
        size: (height, width) of the picture.
        device: where.

    Returns:
        (height, width // 2 + 1), cycles per pixel.

    Example:
        >>> frequencies((2, 4))
        tensor([[0.0000, 0.2500, 0.5000],
                [0.5000, 0.5590, 0.7071]])
    """
    height, width = size
    down = torch.fft.fftfreq(height, device=device)[:, None]
    right = torch.fft.rfftfreq(width, device=device)[None, :]
    return torch.hypot(down, right)


class FourierImage:
    """Fourier coefficients, divided by a power of their frequency, through a sigmoid.

    With all frequencies scaled alike as natural pictures have them, ascent moves large shapes as
    readily as fine ones. Colours are coefficients in a basis in which those of natural pictures
    are uncorrelated. A fourth channel, when there is one, is the transparency.

    Args:
        raw: (B, 3 or 4, H, W // 2 + 1, 2), real and imaginary parts.
        size: (H, W).
        decay: power of the frequency that coefficients are divided by.
        decorrelate: whether the colours are in the uncorrelated basis, or RGB.

    Example:
        >>> parameter = FourierImage.noise(2, (8, 6), torch.Generator().manual_seed(0))
        >>> parameter.image().shape, parameter.raw.shape
        (torch.Size([2, 3, 8, 6]), torch.Size([2, 3, 8, 4, 2]))

    References:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill. With coefficients of
        standard deviation 0.01 and decay 1 it is the parameterisation of Lucid, whose
        ``sqrt(w * h) * irfft`` is the orthonormal transform.
    """

    def __init__(
        self, raw: Tensor, size: tuple[int, int], *, decay: float = 1.0, decorrelate: bool = True
    ) -> None:
        self.raw = nn.Parameter(raw.detach().clone())
        self.size = size
        self.decay = decay
        self.decorrelate = decorrelate
        self._scale = _spectrum(size, decay, raw.device)

    @classmethod
    def noise(
        cls,
        batch: int,
        size: tuple[int, int],
        generator: torch.Generator,
        *,
        std: float = 0.01,
        channels: int = 3,
        decay: float = 1.0,
        decorrelate: bool = True,
    ) -> FourierImage:
        """Normal coefficients.

        Args:
            batch: how many pictures.
            size: (H, W).
            generator: on the CPU, so that all devices start alike.
            std: of the coefficients.
            channels: 3, or 4 with transparency.
            decay: see the class.
            decorrelate: see the class.
        """
        shape = (batch, channels, size[0], size[1] // 2 + 1, 2)
        raw = std * torch.randn(shape, generator=generator)
        return cls(raw, size, decay=decay, decorrelate=decorrelate)

    @classmethod
    def of(cls, image: Tensor, *, decay: float = 1.0, decorrelate: bool = True) -> FourierImage:
        """The coefficients of pictures.

        Args:
            image: (B, 3 or 4, H, W) in [0, 1]; values nearer to the ends than `LOGIT_MARGIN` are
                moved in.
            decay: see the class.
            decorrelate: see the class.
        """
        size = (image.shape[-2], image.shape[-1])
        waves = torch.logit(image.detach().clamp(LOGIT_MARGIN, 1 - LOGIT_MARGIN))
        if decorrelate:
            waves = torch.cat([uncorrelate(waves[:, :3]), waves[:, 3:]], 1)
        spectrum = torch.fft.rfft2(waves * CONTRAST, norm="ortho")
        raw = torch.view_as_real(spectrum / _spectrum(size, decay, image.device))
        return cls(raw, size, decay=decay, decorrelate=decorrelate)

    def image(self) -> Tensor:
        """(B, 3 or 4, H, W), differentiable in `raw`; inside [0, 1] by construction."""
        return self.decode(self.raw)

    def decode(self, raw: Tensor) -> Tensor:
        """The picture that another value of `raw` would stand for."""
        spectrum = torch.view_as_complex(raw) * self._scale
        waves = torch.fft.irfft2(spectrum, s=self.size, norm="ortho") / CONTRAST
        if self.decorrelate:
            waves = torch.cat([correlate(waves[:, :3]), waves[:, 3:]], 1)
        image: Tensor = waves.sigmoid()
        return image

    def project_(self) -> None:
        """Nothing to do: every value stands for a picture in [0, 1]."""

    def with_raw(self, raw: Tensor) -> FourierImage:
        """Pictures of other coefficients."""
        return FourierImage(raw, self.size, decay=self.decay, decorrelate=self.decorrelate)

    def resized(self, size: tuple[int, int]) -> FourierImage:
        """The same picture at another size."""
        with torch.no_grad():
            image = resize(self.image(), size)
        return FourierImage.of(image, decay=self.decay, decorrelate=self.decorrelate)

    def resized_state(self, state: Tensor, size: tuple[int, int]) -> Tensor:
        """Zeros: what is remembered of a frequency is of no use for another."""
        return state.new_zeros(*state.shape[:2], size[0], size[1] // 2 + 1, 2)


def _spectrum(size: tuple[int, int], decay: float, device: torch.device) -> Tensor:
    lowest = 1.0 / max(size)  # the constant has no frequency to divide by
    scale: Tensor = frequencies(size, device).clamp_min(lowest).pow(-decay)
    return scale
