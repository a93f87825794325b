"""What `--color` does to pictures before a transfer and to its result after it."""

from __future__ import annotations

import torch
from torch import Tensor

from styler.color.gamut import into_gamut, to_srgb, with_chroma_of
from styler.color.matching import match_covariance, match_histogram, match_lightness
from styler.color.oklab import to_oklab
from styler.errors import UsageError, did_you_mean
from styler.images import resize
from styler.images.checks import check_picture

COLOR_MODES = ("style", "content", "luminance", "histogram", "pca", "match")
"""Modes of `before` and `after`, those of ``color.mode``."""


def before(
    mode: str, content: Tensor, style: Tensor, reference: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What a transfer is given instead of a content and a style.

    | mode | content | style |
    | --- | --- | --- |
    | "luminance" | grey | grey, with the content's mean and spread of lightness |
    | "histogram" | as it is | with the distribution of the content's colours, by channel |
    | "pca" | as it is | with the mean and covariance of the content's colours |
    | "match" | as it is | with the mean and covariance of the reference's colours |
    | "style", "content" | as it is | as it is |

    Args:
        mode: a name in the table.
        content: (1, 3, H, W) sRGB in [0, 1].
        style: (1, 3, any, any) likewise.
        reference: (1, 3, any, any) likewise, whose colours are taken, for "match".

    Returns:
        Content and style, of their own sizes.

    Raises:
        UsageError: a shape, type or name does not fit, or "match" has no reference.

    Example:
        >>> content, style = torch.rand(2, 1, 3, 8, 8)
        >>> grey, also_grey = before("luminance", content, style)
        >>> bool((grey[:, 0] - grey[:, 2]).abs().max() < 1e-3)
        True

    References:
        Gatys et al., arXiv 1606.05897, sections 3 (colours of the style) and 4 (luminance only).
    """
    _check(mode, reference)
    check_picture("content", content)
    check_picture("style", style)
    if mode == "luminance":
        content = without_chroma(content)
        return content, match_lightness(without_chroma(style), content)
    if mode == "histogram":
        return content, match_histogram(style, content)
    if mode == "pca":
        return content, match_covariance(style, content)
    if mode == "match" and reference is not None:
        return content, match_covariance(style, reference)
    return content, style


def after(mode: str, result: Tensor, content: Tensor, reference: Tensor | None = None) -> Tensor:
    """What becomes of a transfer's result.

    "content" and "luminance" give it the content's hue and chroma, see
    `styler.color.with_chroma_of`; "match" gives it mean and covariance of the reference's colours;
    other modes leave it as it is.

    Args:
        mode: a name in `COLOR_MODES`.
        result: (1, 3, H, W) sRGB in [0, 1].
        content: (1, 3, any, any) likewise, in its own colours; resized to the result's size.
        reference: (1, 3, any, any) likewise, for "match".

    Returns:
        (1, 3, H, W) sRGB in [0, 1].

    Raises:
        UsageError: a shape, type or name does not fit, or "match" has no reference.

    Example:
        >>> content, result = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 16, 16)
        >>> after("content", result, content).shape
        torch.Size([1, 3, 16, 16])
    """
    _check(mode, reference)
    check_picture("result", result)
    check_picture("content", content)
    if mode in ("content", "luminance"):
        height, width = result.shape[-2:]
        return with_chroma_of(result, resize(content, (height, width)).to(result.device))
    if mode == "match" and reference is not None:
        return match_covariance(result, reference)
    return result


def without_chroma(image: Tensor) -> Tensor:
    """A picture as greys of the same OKLab lightness.

    Args:
        image: (1, 3, H, W) sRGB in [0, 1].

    Returns:
        (1, 3, H, W) sRGB in [0, 1].

    Raises:
        UsageError: the shape or type does not fit.

    Example:
        >>> yellow, blue = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).view(2, 1, 3, 1, 1)
        >>> [round(without_chroma(each).flatten()[0].item(), 2) for each in (yellow, blue)]
        [0.96, 0.34]
    """
    lab = to_oklab(image)
    return to_srgb(into_gamut(torch.cat([lab[:, :1], torch.zeros_like(lab[:, 1:])], dim=1)))


def _check(mode: str, reference: Tensor | None) -> None:
    if mode not in COLOR_MODES:
        raise UsageError(
            f"color mode is {mode!r}, expected one of {', '.join(COLOR_MODES)}",
            did_you_mean(mode, COLOR_MODES),
        )
    if mode != "match":
        return
    if reference is None:
        raise UsageError(
            "color mode match has no reference picture",
            "give the picture whose colours are to be taken: match:IMAGE",
        )
    check_picture("reference", reference)
