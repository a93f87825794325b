"""What the engine optimises: images, and the numbers that stand for them."""

from __future__ import annotations

from styler.params.base import ImageParameter
from styler.params.fourier import FourierImage
from styler.params.maco import MacoImage
from styler.params.pixels import Held, PixelImage

__all__ = ["FourierImage", "Held", "ImageParameter", "MacoImage", "PixelImage"]
