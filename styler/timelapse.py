"""A film of how a picture came about, whose frames change it by about as much each.

The first steps of an optimisation change much and the last ones little. A film of even steps is
over before one sees anything, and then stands still; this one takes its frames at even distances.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from styler.engine import StepEvent
from styler.errors import OutputError, UsageError
from styler.images import AnimationWriter, fit_long_side, resize, shrink

FRAMES = 120
"""Frames of a film, without those in which its end is held."""
FPS = 24
"""Frames a second: cinema's."""
SIDE = 720
"""Pixels of a frame's longer side, at most."""
HOLD = 1.0
"""Seconds for which the last frame stays: one wants to see how it ended."""
GLANCE = 96
"""Pixels of the longer side at which pictures are compared. What flickers from step to step without
leading anywhere is finer than that."""


@dataclass(frozen=True, kw_only=True)
class Film:
    """A written time-lapse.

    Args:
        path: the file.
        frames: how many it has, the held ones included.
        different: how many of them are no repetition.
        size: (height, width) of a frame.
        seconds: that it lasts.
    """

    path: Path
    frames: int
    different: int
    size: tuple[int, int]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """A picture, (3, H, W) in bytes, and how far the run had come visually."""

    picture: Tensor
    position: float


class Timelapse:
    """Keeps pictures of a run, and makes a film of them.

    It is a callback of `styler.engine.run_levels`. After each step it adds to the way that the
    picture has gone: the mean absolute difference of sRGB values, which are about even in
    lightness, from what it was at the last look, both at `GLANCE` pixels. Frames are at even shares
    of the whole way: pictures of the run, if there is one within half a share, else dissolves of
    the two around it, as where the first steps jump, or where a GPU is looked at now and then.

    Pictures are kept at the size of a frame or that of their scale, if it is smaller; 2 · `frames`
    of them at most, or 6 · `frames` · `side`² bytes: 370 MB for a square at the defaults, 250 MB
    at 3:2. When there are more, one that is near its neighbours on the way goes.

    Args:
        path: the film, with one of `styler.images.ANIMATION_EXTENSIONS`.
        frames: of the film, at least 2; its end is held for `HOLD` seconds more.
        fps: frames a second.
        side: the longer side of a frame in pixels, at least 2; a smaller result is not enlarged.
        overwrite: replace an existing file.
        taken: what a file is for → the file, or None; the film may replace none of these.
        finish: what is done to a picture of the run before it is shown, such as giving it the
            content's colours; takes and gives (1, 3, H, W) in [0, 1], no larger than a frame. The
            start and the end are shown as they are given.

    Raises:
        UsageError: `frames`, `fps` or `side` is out of range.
        OutputError: the film could not be written, or would replace what is `taken`.

    Example:
        >>> import tempfile
        >>> from styler.transfer import transfer
        >>> from styler.config import ScheduleConfig, TransferConfig
        >>> noise = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     timelapse = Timelapse(Path(folder) / "x.gif", frames=6)
        ...     config = TransferConfig(schedule=ScheduleConfig(steps=(3,)))
        ...     result = transfer(noise, noise.flip(3), config, callbacks=[timelapse])
        ...     film = timelapse.write(result.image)
        >>> film.frames, film.size, film.seconds
        (30, (48, 64), 1.25)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        frames: int = FRAMES,
        fps: float = FPS,
        side: int = SIDE,
        overwrite: bool = False,
        taken: Mapping[str, Path | None] | None = None,
        finish: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if frames < 2 or side < 2:
            raise UsageError(
                f"a time-lapse has 2 frames and 2 pixels or more, got {frames} and {side}"
            )
        self.path = Path(path)
        for name, file in (taken or {}).items():
            if file is not None and os.path.realpath(file) == os.path.realpath(self.path):
                raise OutputError(
                    f"the time-lapse would replace the {name}: {self.path}",
                    "give it a name of its own",
                )
        self.frames = frames
        self.side = side
        self.fps = fps
        self.finish = finish
        self._writer = AnimationWriter(self.path, fps=fps, overwrite=overwrite)
        self._kept: list[_Kept] = []
        self._glance: Tensor | None = None
        self._position = 0.0

    def start(self, picture: Tensor) -> None:
        """Look at what there is before the first step; without it the film begins after that.

        Args:
            picture: (1, 3, H, W) in [0, 1], of any size and on any device.
        """
        self._look(shrink(picture.detach(), self.side))

    def __call__(self, event: StepEvent) -> None:
        """Look at the picture after a step; of a batch, at the first one."""
        picture = shrink(event.image[:1], self.side)
        self._look(picture if self.finish is None else self.finish(picture))

    def write(self, final: Tensor) -> Film:
        """Write the film, which can be done once.

        Args:
            final: (1, 3, H, W) in [0, 1], the last frame, whose shape they all have. Its sides are
                made even, as video wants them.

        Raises:
            OutputError: the file cannot be written.
        """
        self._look(shrink(final, self.side))
        size = self._frame_size(final)
        chosen = evenly([kept.position for kept in self._kept], self.frames)
        with self._writer as writer:
            for place in chosen:
                writer.add(self._frame(place, size))
            for _ in range(round(HOLD * self.fps)):
                writer.add(self._frame(chosen[-1], size))
        return Film(
            path=self.path,
            frames=writer.frames,
            different=len(set(chosen)),
            size=size,
            seconds=writer.frames / self.fps,
        )

    def _frame(self, place: float, size: tuple[int, int]) -> Tensor:
        """A picture that was kept, or the dissolve between two."""
        at = int(place)
        frame = _unpacked(self._kept[at].picture, size)
        if place == at:
            return frame
        return frame.lerp(_unpacked(self._kept[at + 1].picture, size), place - at)

    def _look(self, picture: Tensor) -> None:
        """Go on by as much as the picture has changed, and keep it."""
        glance = shrink(picture, GLANCE).cpu()
        position = self._position
        if self._glance is not None:
            before = resize(self._glance, (glance.shape[-2], glance.shape[-1]))
            position += float((glance - before).abs().mean())
        kept = _Kept(picture=_packed(picture), position=position)
        self._glance, self._position = glance, position
        if len(self._kept) > 1 and self._kept[-1].position == position:
            self._kept[-1] = kept
            return
        self._kept.append(kept)
        if len(self._kept) > 2 * self.frames:
            del self._kept[_most_crowded([kept.position for kept in self._kept])]

    def _frame_size(self, final: Tensor) -> tuple[int, int]:
        own = (final.shape[-2], final.shape[-1])
        height, width = fit_long_side(own, min(self.side, max(own)))
        return max(2, height - height % 2), max(2, width - width % 2)


def evenly(positions: Sequence[float], count: int) -> list[float]:
    """Places along a way, at even distances.

    Args:
        positions: ascending, at least one.
        count: of places, at least 2.

    Returns:
        Indices of positions, ascending, from the first to the last: of one that is no farther
        from the even place than half a distance, else between two, as a fraction.

    Example:
        >>> evenly([0.0, 8.0, 9.0, 12.0, 16.0, 20.0], 6)
        [0.0, 0.5, 1.0, 3.0, 4.0, 5.0]
    """
    first, last = positions[0], positions[-1]
    step = (last - first) / (count - 1)
    inner = [_place(positions, first + number * step, step / 2) for number in range(1, count - 1)]
    return [0.0, *inner, float(len(positions) - 1)]


def _place(positions: Sequence[float], wanted: float, near: float) -> float:
    nearest = min(range(len(positions)), key=lambda at: abs(positions[at] - wanted))
    if abs(positions[nearest] - wanted) <= near:
        return float(nearest)
    after = bisect.bisect_right(positions, wanted)
    low, high = positions[after - 1], positions[after]
    return after - 1 + (wanted - low) / (high - low)


def _most_crowded(positions: Sequence[float]) -> int:
    """The place, neither the first nor the last, whose neighbours are nearest to each other."""
    return min(range(1, len(positions) - 1), key=lambda at: positions[at + 1] - positions[at - 1])


def _packed(picture: Tensor) -> Tensor:
    """(1, 3, H, W) in [0, 1] to (3, H, W) in bytes."""
    return (picture[0] * 255).round().to(torch.uint8).cpu()


def _unpacked(picture: Tensor, size: tuple[int, int]) -> Tensor:
    return resize(picture[None].float() / 255, size)
