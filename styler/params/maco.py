"""Pictures whose Fourier magnitudes are those of natural ones: only phases change."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from styler.errors import UsageError
from styler.images import resize
from styler.params.color import correlate, uncorrelate
from styler.params.fourier import LOGIT_MARGIN


class MacoImage:
    """Phases of Fourier coefficients of fixed magnitude.

    Of waves that run straight up and down, and of the finest ones sideways, a picture holds each
    with its mirror image: their magnitude is at most the given one.

    The magnitudes keep a picture of large size from filling with the fine patterns that excite a
    unit and are found in no photograph.

    Args:
        raw: (B, 3, H, W // 2 + 1), phases in radians, of colours in the uncorrelated basis.
        magnitude: (3, H, W // 2 + 1), of orthonormal coefficients of the logits.
        size: (H, W).

    Raises:
        UsageError: magnitude and size do not fit.

    Example:
        >>> from styler.params.spectrum import natural_magnitude
        >>> magnitude = natural_magnitude((8, 6))
        >>> generator = torch.Generator().manual_seed(0)
        >>> MacoImage.noise(2, magnitude, (8, 6), generator).image().shape
        torch.Size([2, 3, 8, 6])

    References:
        Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude
        Constrained Optimization", arXiv 2306.06805, section 4. There the magnitudes are those of
        pixels; here of their logits, which the sigmoid then gives their natural contrast.
    """

    def __init__(self, raw: Tensor, magnitude: Tensor, size: tuple[int, int]) -> None:
        if magnitude.shape[-2:] != (size[0], size[1] // 2 + 1):
            raise UsageError(
                f"magnitudes of shape {tuple(magnitude.shape)} do not fit a picture of {size}"
            )
        self.raw = nn.Parameter(raw.detach().clone())
        self.magnitude = magnitude.to(raw.device)
        self.size = size

    @classmethod
    def noise(
        cls,
        batch: int,
        magnitude: Tensor,
        size: tuple[int, int],
        generator: torch.Generator,
        *,
        std: float = math.pi,
    ) -> MacoImage:
        """Normal phases.

        Args:
            batch: how many pictures.
            magnitude: see the class.
            size: (H, W).
            generator: on the CPU, so that all devices start alike.
            std: of the phases, in radians.
        """
        raw = std * torch.randn((batch, *magnitude.shape), generator=generator)
        return cls(raw, magnitude, size)

    def image(self) -> Tensor:
        """(B, 3, H, W), differentiable in `raw`; inside [0, 1] by construction."""
        return self.decode(self.raw)

    def decode(self, raw: Tensor) -> Tensor:
        """The picture that other phases would stand for."""
        spectrum = torch.polar(self.magnitude.expand_as(raw), raw)
        return correlate(torch.fft.irfft2(spectrum, s=self.size, norm="ortho")).sigmoid()

    def project_(self) -> None:
        """Nothing to do: every value stands for a picture in [0, 1]."""

    def with_raw(self, raw: Tensor) -> MacoImage:
        """Pictures of other phases."""
        return MacoImage(raw, self.magnitude, self.size)

    def resized(self, size: tuple[int, int]) -> MacoImage:
        """The phases of the picture at another size, under magnitudes resized with it."""
        with torch.no_grad():
            image = resize(self.image(), size).clamp(LOGIT_MARGIN, 1 - LOGIT_MARGIN)
            spectrum = torch.fft.rfft2(uncorrelate(torch.logit(image)), norm="ortho")
            magnitude = spectrum.abs().mean(0)
            magnitude[:, 0, 0] = 0.0
        return MacoImage(spectrum.angle(), magnitude, size)

    def resized_state(self, state: Tensor, size: tuple[int, int]) -> Tensor:
        """Zeros: what is remembered of a frequency is of no use for another."""
        return state.new_zeros(*state.shape[:2], size[0], size[1] // 2 + 1)
