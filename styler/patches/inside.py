"""Which units see nothing but the picture, and no padding around it."""

from __future__ import annotations

from styler.features import ReceptiveField, Window

Part = tuple[int, int, int, int]
"""Of a layer's map: first row and column, and the ones past the last row and column."""

SHARE = 0.5
"""Of the shorter side of what the network is shown: units that see more have too few places whose
field lies inside, or none."""


def can_be_inside(field: ReceptiveField | None, side: int) -> bool:
    """Whether a layer's places can be asked to lie inside.

    Args:
        field: what its units see; None for the whole picture, or when nobody knows.
        side: the shorter one of pictures, in pixels.

    Example:
        >>> vgg = Window(first=-18, last=21, jump=4)
        >>> can_be_inside(ReceptiveField(y=vgg, x=vgg), 224)
        True
        >>> can_be_inside(ReceptiveField(y=vgg, x=vgg), 64)
        False
    """
    return field is not None and max(field.y.size, field.x.size) <= SHARE * side


def inside_part(field: ReceptiveField, size: tuple[int, int]) -> Part:
    """The units whose fields lie in the picture wholly.

    Args:
        field: of the layer.
        size: (height, width) of the picture in pixels, at least as large as a field.

    Example:
        >>> vgg = Window(first=-18, last=21, jump=4)
        >>> inside_part(ReceptiveField(y=vgg, x=vgg), (224, 300))
        (5, 5, 51, 70)
    """
    top, bottom = _inside(field.y, size[0])
    left, right = _inside(field.x, size[1])
    return top, left, bottom, right


def _inside(window: Window, side: int) -> tuple[int, int]:
    first = max(0, -(window.first // window.jump))
    return first, (side - 1 - window.last) // window.jump + 1
