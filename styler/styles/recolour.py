"""Styles in other colours, as a colour mode wants them before a transfer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from styler.color.modes import before
from styler.errors import ConfigError
from styler.styles.source import PictureStyle, StyleShare

CHANGING = ("luminance", "histogram", "pca", "match")
"""Modes that change the colours of a style."""


def recoloured(
    mode: str, content: Tensor, styles: Sequence[StyleShare], reference: Tensor | None = None
) -> tuple[Tensor, list[StyleShare]]:
    """Content and styles as a colour mode wants them; see `styler.color.modes.before`.

    Args:
        mode: of ``color.mode``.
        content: (1, 3, H, W) sRGB in [0, 1].
        styles: with their weights.
        reference: (1, 3, any, any), for `match`.

    Raises:
        ConfigError: a saved style, whose colours are settled, would have to change them.
        UsageError: `match` has no reference.

    Example:
        >>> import torch
        >>> style = StyleShare(source=PictureStyle(torch.rand(1, 3, 8, 8)))
        >>> grey, _ = recoloured("luminance", torch.rand(1, 3, 8, 8), [style])
        >>> bool((grey[:, 0] - grey[:, 1]).abs().max() < 1e-3)
        True
    """
    if mode not in CHANGING:
        return content, list(styles)
    found, changed = [], content
    for share in styles:
        source = share.source
        if not isinstance(source, PictureStyle):
            raise ConfigError(
                f"color.mode {mode} changes the colours of styles, which a saved style cannot",
                "give its picture instead, or choose style or content",
            )
        changed, pixels = before(mode, content, source.pixels, reference)
        recast = source.replaced(pixels=pixels, digest=None, cache=None)
        found.append(StyleShare(source=recast, weight=share.weight))
    return changed, found


def own_colours(styles: Sequence[StyleShare]) -> Tensor:
    """The picture whose colours `match` takes where none is named: that of the only style.

    Args:
        styles: with their weights.

    Returns:
        (1, 3, H, W) sRGB in [0, 1].

    Raises:
        ConfigError: there are several styles, or it is a saved one.
    """
    sources = [share.source for share in styles if share.weight > 0]
    if len(sources) == 1 and isinstance(sources[0], PictureStyle):
        return sources[0].pixels
    raise ConfigError(
        "color.mode is match, and there is no single style picture whose colours could be taken",
        "name one: --color match:IMAGE",
    )
