"""Who gets what: masks of a content and of styles become regions with their styles.

There are four ways. No masks of the content: the styles go everywhere, perhaps only a part of each.
Soft masks of the content: one for each style, or several for several parts of a single style. One
map of the content and a map for each style: regions are matched by colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor

from styler.errors import UsageError
from styler.images import Picture
from styler.regions.palette import ALIKE
from styler.regions.read import Size, check_selects, check_shape, is_map, map_of, mask_of
from styler.regions.region import Region, RegionShare
from styler.styles.source import PictureStyle, StyleShare, StyleSource, as_source

EVERYWHERE = "everywhere"
"""Name of the region without a mask."""

_TWO_WAYS = (
    "give a soft mask of the content for each style, or for each style a map in the same colours"
)


def assign(
    content: Size,
    styles: Sequence[StyleShare],
    content_masks: Sequence[Picture | None],
    style_masks: Sequence[Picture | None],
) -> tuple[Region, ...]:
    """The regions that masks make.

    Soft masks and maps are told apart by their colours; see `styler.regions.read.is_map`.

    - No masks of the content: one region, all of the picture, with all styles by their weights;
      masks of the styles, one for each, select the part of each that counts.
    - As many soft masks of the content as styles: each region takes the style of its place, or the
      part of it that the mask of the style of that place selects.
    - One style, several soft masks of the content and as many of the style: each region takes the
      part of the style that the mask of its place selects.
    - One map of the content and one map for each style: each region takes what has its colour in
      the styles, blended by their weights.

    Args:
        content: (height, width) of the content picture.
        styles: with their weights, at least one.
        content_masks: as read by `styler.regions.read.read_masks`.
        style_masks: likewise; None for a style that counts whole.

    Returns:
        At least one region. Masks are at their own sizes, and may overlap or leave parts of the
        picture out: see `styler.regions.region`.

    Raises:
        UsageError: the numbers of masks and styles do not go together, a colour of the content is
            in no style, or a saved style, which has no places, is to have a mask.
        ImageError: a mask is of another aspect than its picture, selects nothing, or has too many
            colours.

    Example:
        >>> import torch
        >>> style = StyleShare(source=PictureStyle(torch.rand(1, 3, 8, 8)))
        >>> [(region.name, region.mask) for region in assign((8, 8), [style], [], [])]
        [('everywhere', None)]
    """
    masks = [mask for mask in content_masks if mask is not None]
    if len(masks) < len(content_masks):
        raise UsageError(
            "a mask of the content is '-', which selects nothing", "leave it out of --content-mask"
        )
    for mask in masks:
        check_shape(mask.size, content, name=f"the mask {mask.path}", of="the content")
    if not masks:
        return (_everywhere(styles, style_masks),)
    maps = [mask for mask in masks if is_map(mask)]
    if not maps:
        return _by_place(styles, masks, style_masks)
    if len(masks) > 1:
        raise UsageError(
            f"{maps[0].path} has colours, which makes it a map of all regions, among "
            f"{len(masks)} masks of the content",
            "give the map alone, or make it a mask in black, white and greys",
        )
    return _by_colour(styles, masks[0], style_masks)


def region_source(region: Region, styles: Sequence[StyleSource]) -> StyleSource:
    """The style of a region.

    Args:
        region: as `assign` gives it.
        styles: those that it was given, or what became of them, in the same order.

    Returns:
        A source of the statistics of the region's styles, masked and blended.

    Raises:
        UsageError: a saved style is to have a mask, or all weights are 0.
    """
    return as_source(
        [
            StyleShare(source=_masked(styles[share.style], share.mask), weight=share.weight)
            for share in region.shares
        ]
    )


def _masked(source: StyleSource, mask: Tensor | None) -> StyleSource:
    if mask is None:
        return source
    if not isinstance(source, PictureStyle):
        raise _placeless()
    return source.replaced(mask=mask)


def _everywhere(styles: Sequence[StyleShare], style_masks: Sequence[Picture | None]) -> Region:
    if style_masks and len(style_masks) != len(styles):
        raise UsageError(
            f"{_count(style_masks, 'style mask')} for {_count(styles, 'style')}",
            "give one for each, - where a style counts whole; or masks of the content, too",
        )
    shares = [
        RegionShare(style=number, mask=_part(styles, number, mask), weight=style.weight)
        for number, (style, mask) in enumerate(
            zip(styles, style_masks or [None] * len(styles), strict=True)
        )
    ]
    return Region(name=EVERYWHERE, mask=None, shares=tuple(shares))


def _by_place(
    styles: Sequence[StyleShare], masks: Sequence[Picture], style_masks: Sequence[Picture | None]
) -> tuple[Region, ...]:
    """Soft masks, each with the style or the part of the style in its place."""
    places = len(masks)
    if len(styles) != places and (len(styles) != 1 or not style_masks):
        raise UsageError(
            f"{_count(masks, 'content mask')} for {_count(styles, 'style')}",
            "give one content mask for each style, or one style and as many style masks",
        )
    if style_masks and len(style_masks) != places:
        raise UsageError(
            f"{_count(style_masks, 'style mask')} for {_count(masks, 'content mask')}",
            "give as many, - where a style counts whole",
        )
    numbers = range(places) if len(styles) == places else [0] * places
    regions = []
    for name, mask, number, part in zip(
        _names(masks), masks, numbers, style_masks or [None] * places, strict=True
    ):
        weights = mask_of(mask)
        check_selects(weights, f"the mask {mask.path}")
        share = RegionShare(style=number, mask=_part(styles, number, part))
        regions.append(Region(name=name, mask=weights, shares=(share,)))
    return tuple(regions)


def _by_colour(
    styles: Sequence[StyleShare], mask: Picture, style_masks: Sequence[Picture | None]
) -> tuple[Region, ...]:
    """A map of the content, whose colours the maps of the styles have, too."""
    regions = map_of(mask)
    if not style_masks:
        raise UsageError(
            f"the map {mask.path} has {_count(regions, 'colour')}, and nothing says which of "
            f"{_count(styles, 'style')} goes to which",
            _TWO_WAYS,
        )
    if len(style_masks) != len(styles) or None in style_masks:
        given = sum(part is not None for part in style_masks)
        raise UsageError(
            f"{given} style map{'s' * (given != 1)} for {_count(styles, 'style')}", _TWO_WAYS
        )
    maps = [
        {} if part is None else _map(styles, number, part)
        for number, part in enumerate(style_masks)
    ]
    found = []
    for colour, weights in regions.items():
        shares = _sharing(colour, styles, maps)
        if not shares:
            raise _no_style(colour, mask, maps)
        found.append(Region(name=colour, mask=weights, shares=shares))
    return tuple(found)


def _sharing(
    colour: str, styles: Sequence[StyleShare], maps: Sequence[Mapping[str, Tensor]]
) -> tuple[RegionShare, ...]:
    """The styles that have a colour, but for what JPEG does to it."""
    shares = []
    for number, (style, parts) in enumerate(zip(styles, maps, strict=True)):
        nearest = min(parts, key=lambda own: _apart(own, colour))
        if max(abs(a - b) for a, b in _channels(nearest, colour)) <= ALIKE and style.weight > 0:
            shares.append(RegionShare(style=number, mask=parts[nearest], weight=style.weight))
    return tuple(shares)


def _part(styles: Sequence[StyleShare], number: int, part: Picture | None) -> Tensor | None:
    """The soft mask of a style, checked."""
    if part is None:
        return None
    _check_part(styles, number, part)
    if is_map(part):
        raise UsageError(
            f"{part.path} has colours, which makes it a map, and there is no map of the content",
            "give a map of the content in the same colours, or make it black, white and greys",
        )
    mask = mask_of(part)
    check_selects(mask, f"the mask {part.path}")
    return mask


def _map(styles: Sequence[StyleShare], number: int, part: Picture) -> dict[str, Tensor]:
    """The map of a style, checked."""
    _check_part(styles, number, part)
    return map_of(part)


def _check_part(styles: Sequence[StyleShare], number: int, part: Picture) -> None:
    source = styles[number].source
    if not isinstance(source, PictureStyle):
        raise _placeless()
    of = "the style" if len(styles) == 1 else f"style {number + 1}"
    check_shape(part.size, source.size, name=f"the mask {part.path}", of=of)


def _placeless() -> UsageError:
    return UsageError(
        "a saved style has no places that a mask could select", "give its picture instead"
    )


def _no_style(colour: str, mask: Picture, maps: Sequence[Mapping[str, Tensor]]) -> UsageError:
    known = {own for parts in maps for own in parts}
    closest = min(sorted(known), key=lambda own: _apart(own, colour))
    return UsageError(
        f"the colour {colour} of {mask.path} is a region with no style",
        f"did you mean {closest}? the styles' maps have {', '.join(sorted(known))}",
    )


def _apart(one: str, other: str) -> int:
    """Squared distance of colours."""
    return sum((a - b) ** 2 for a, b in _channels(one, other))


def _channels(one: str, other: str) -> list[tuple[int, int]]:
    return list(zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True))


def _names(masks: Sequence[Picture]) -> list[str]:
    """The files' names where these differ, else with numbers."""
    stems = [mask.path.stem for mask in masks]
    times = Counter(stems)
    return [
        stem if times[stem] == 1 else f"{stem} {number}" for number, stem in enumerate(stems, 1)
    ]


def _count(things: Sequence[object] | Mapping[str, object], noun: str) -> str:
    return f"{len(things)} {noun}{'s' * (len(things) != 1)}"
