"""Which pixels a unit of a layer can see.

One axis at a time, a layer is described by three numbers: the first and the last pixel that its
unit 0 sees, and the jump from one unit's window to the next. A convolution or a pooling makes new
ones of those of its input, a sum or a concatenation takes the hull of those of its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from styler.features.network import Op


@dataclass(frozen=True)
class Window:
    """The windows of a layer's units along one axis, in pixels of the image.

    Windows near the border reach past the image, where padding is seen: `first` may be negative.

    Args:
        first: first pixel that unit 0 sees.
        last: last pixel that unit 0 sees.
        jump: distance of neighbouring units' windows.

    Example:
        >>> window = Window().through(kernel=3, padding=1).through(kernel=2, stride=2)
        >>> window, window.size, window.span(5)
        (Window(first=-1, last=2, jump=2), 4, (9, 12))

    References:
        Araujo, Norris, Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks",
        Distill, section "Computing receptive field region".
    """

    first: int = 0
    last: int = 0
    jump: int = 1

    @property
    def size(self) -> int:
        """Pixels that one unit sees."""
        return self.last - self.first + 1

    def through(
        self, *, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> Window:
        """The window after a convolution or a pooling.

        Args:
            kernel: taps.
            stride: step between outputs, in units of the input.
            padding: units added before the first.
            dilation: distance of the taps.

        Returns:
            The window of the output.
        """
        reach = (kernel - 1) * dilation
        return Window(
            first=self.first - padding * self.jump,
            last=self.last + (reach - padding) * self.jump,
            jump=self.jump * stride,
        )

    def hull(self, other: Window) -> Window:
        """The window of a sum or a concatenation with another layer on the same grid.

        Raises:
            ValueError: the two layers are on different grids.
        """
        if self.jump != other.jump:
            raise ValueError(f"layers with jumps {self.jump} and {other.jump} share no grid")
        return Window(min(self.first, other.first), max(self.last, other.last), self.jump)

    def span(self, index: int) -> tuple[int, int]:
        """First and last pixel that the unit `index` sees."""
        return self.first + index * self.jump, self.last + index * self.jump


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of a layer see.

    Args:
        y: windows along the height.
        x: windows along the width.
    """

    y: Window
    x: Window

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """What one unit sees: (top, left, bottom, right), the last two past the end.

        Example:
            >>> window = Window().through(kernel=3, padding=1)
            >>> ReceptiveField(window, window).box(0, 4)
            (-1, 3, 2, 6)
        """
        (top, bottom), (left, right) = self.y.span(row), self.x.span(column)
        return top, left, bottom + 1, right + 1


def chain_fields(ops: Sequence[Op]) -> Mapping[str, ReceptiveField]:
    """The receptive fields of all steps of a network that is a chain.

    Args:
        ops: its steps, in order.

    Returns:
        By layer name.

    Example:
        >>> from styler.features.network import vgg_ops
        >>> chain_fields(vgg_ops([[8, 8], [16]]))["conv2_1"].y
        Window(first=-4, last=5, jump=2)
    """
    fields: dict[str, ReceptiveField] = {}
    window = Window()
    for op in ops:
        window = window.through(kernel=op.kernel, stride=op.stride, padding=op.padding)
        fields[op.name] = ReceptiveField(y=window, x=window)
    return fields
