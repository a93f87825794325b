"""Reading, resizing and writing pictures."""

from __future__ import annotations

from styler.images.alpha import fill_transparent
from styler.images.animation import ANIMATION_EXTENSIONS, AnimationWriter, check_animation
from styler.images.checks import check_picture
from styler.images.encode import WRITABLE_EXTENSIONS
from styler.images.files import Picture, read_picture, read_recipe, write_picture
from styler.images.geometry import fit_long_side, resize, resize_wrapped, shrink
from styler.images.output import check_output

__all__ = [
    "ANIMATION_EXTENSIONS",
    "WRITABLE_EXTENSIONS",
    "AnimationWriter",
    "Picture",
    "check_animation",
    "check_output",
    "check_picture",
    "fill_transparent",
    "fit_long_side",
    "read_picture",
    "read_recipe",
    "resize",
    "resize_wrapped",
    "shrink",
    "write_picture",
]
