"""What a network is shown of a photograph, and the way back to the photograph's pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from styler.features import Extractor
from styler.images import Picture, resize
from styler.natural import on_grey, takes
from styler.patches.record import Box, Photograph

LONGEST = 4
"""A photograph's longer side is at most so many times the shorter: of a longer one, the middle."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A part of a photograph, scaled.

    Args:
        part: (top, left, bottom, right) in pixels of the file, the last two past the end.
        seen: (height, width) to which it is scaled.

    Example:
        >>> View(part=(10, 0, 110, 50), seen=(200, 100)).to_file((-2, 0, 4, 6))
        Box(top=9.0, left=0.0, bottom=12.0, right=3.0)
    """

    part: tuple[int, int, int, int]
    seen: tuple[int, int]

    def show(self, picture: Picture) -> Tensor:
        """What the network sees.

        Args:
            picture: the photograph; a transparent one is seen on grey.

        Returns:
            (1, 3, height, width) in [0, 1].
        """
        top, left, bottom, right = self.part
        whole = on_grey(picture.pixels, picture.alpha)
        return resize(whole[..., top:bottom, left:right], self.seen)

    def to_file(self, box: Sequence[float]) -> Box:
        """A rectangle of what the network sees as one of the file.

        Args:
            box: (top, left, bottom, right) in pixels of what it sees, the last two past the end.
        """
        top, left, bottom, right = self.part
        vertical = (bottom - top) / self.seen[0]
        horizontal = (right - left) / self.seen[1]
        return Box(
            top=top + box[0] * vertical,
            left=left + box[1] * horizontal,
            bottom=top + box[2] * vertical,
            right=left + box[3] * horizontal,
        )

    def clips(self, box: Sequence[float]) -> bool:
        """Whether a rectangle reaches past what the network sees."""
        top, left, bottom, right = box
        return top < 0 or left < 0 or bottom > self.seen[0] or right > self.seen[1]


def view_of(photograph: Photograph) -> View:
    """How a photograph was shown."""
    return View(part=photograph.part, seen=photograph.seen)


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How all photographs are shown to a network.

    Args:
        side: the shorter one, in pixels. Smaller photographs are enlarged.
        square: whether the network takes squares of that side alone: of a photograph it is shown
            the largest one in its middle. Otherwise it is shown all of it, unless that is longer
            than `LONGEST` times as wide.

    Example:
        >>> Framing(side=224, square=False).view((300, 400))
        View(part=(0, 0, 300, 400), seen=(224, 299))
        >>> Framing(side=224, square=True).view((300, 400))
        View(part=(0, 50, 300, 350), seen=(224, 224))
        >>> Framing(side=224, square=False).view((1000, 100))
        View(part=(300, 0, 700, 100), seen=(896, 224))
    """

    side: int
    square: bool

    def view(self, size: tuple[int, int]) -> View:
        """How a photograph is shown.

        Args:
            size: (height, width) of the file, upright.
        """
        most = min(size) * (1 if self.square else LONGEST)
        height, width = (min(length, most) for length in size)
        top, left = (size[0] - height) // 2, (size[1] - width) // 2
        short = min(height, width)
        # Integers only: length · side / short, rounded half up.
        rows, columns = ((2 * n * self.side + short) // (2 * short) for n in (height, width))
        return View(part=(top, left, top + height, left + width), seen=(rows, columns))


def framing_for(extractor: Extractor, layers: Sequence[str], side: int | None = None) -> Framing:
    """How photographs are shown to a network whose layers are wanted.

    Args:
        extractor: the network.
        layers: canonical names, at least one.
        side: the shorter one, in pixels; None for that of the network's own pictures, or more
            where a layer needs it.

    Returns:
        Whole photographs, where the network takes them.

    Raises:
        ImageError: a layer cannot be had at that size.

    Example:
        >>> from styler.features import load_extractor
        >>> framing_for(load_extractor("vgg-lite"), ["relu4_1"])
        Framing(side=224, square=False)
    """
    least = max(extractor.minimum_side(layer) for layer in layers)
    only = extractor.input_size
    if only is None:
        wanted = side or max(extractor.native_side, least)
        if takes(extractor, (LONGEST * wanted, wanted), layers):
            return Framing(side=wanted, square=False)
        only = least  # of a layer that can be had at one size alone
    extractor.check_size((side or only,) * 2, layers)
    return Framing(side=side or only, square=True)
