"""Ways to show a style's picture: as it is, mirrored, turned."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class View:
    """A way to show a picture.

    Args:
        turns: quarters to the left.
        mirrored: left and right change places, after the turn.
    """

    turns: int = 0
    mirrored: bool = False

    @property
    def name(self) -> str:
        """What a cache knows it by; empty for the picture as it is."""
        turned = f" turned {self.turns}" if self.turns else ""
        return f"{turned} mirrored" if self.mirrored else turned

    def of(self, picture: Tensor) -> Tensor:
        """The picture as it is shown.

        Args:
            picture: (B, C, H, W).

        Returns:
            (B, C, H, W), or (B, C, W, H) for an odd number of turns.

        Example:
            >>> View(turns=1, mirrored=True).of(torch.tensor([[[[1, 2, 3]]]])).flatten(2)
            tensor([[[3, 2, 1]]])
        """
        turned = torch.rot90(picture, self.turns, (2, 3)) if self.turns else picture
        return turned.flip(3) if self.mirrored else turned


def views(invariance: Collection[str]) -> list[View]:
    """All ways to show a picture whose style is to be the same however it is shown.

    Args:
        invariance: "flip" for left and right, "turn" for quarters; both make eight.

    Example:
        >>> len(views([])), len(views(["flip"])), len(views(["turn"])), len(views(["flip", "turn"]))
        (1, 2, 4, 8)
    """
    turns = range(4) if "turn" in invariance else (0,)
    mirrored = (False, True) if "flip" in invariance else (False,)
    return [View(turns=number, mirrored=mirror) for mirror in mirrored for number in turns]
