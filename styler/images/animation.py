"""Writing moving pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from PIL import Image
from torch import Tensor

from styler.errors import UsageError
from styler.images.encode import quantise
from styler.images.files import to_array
from styler.images.output import check_output, failing_as_output_error, replacing
from styler.images.video import FfmpegEncoder, find_ffmpeg

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLOWEST = 0.1
"""Frames a second: the header of a GIF has no room for much longer ones."""

_WEBP = {"quality": 95, "method": 4}
"""The quality of single WebP files; the method is libwebp's own compromise with time."""


class _Encoder(Protocol):
    """What makes a file of frames."""

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Takes a frame (H, W, 3)."""

    def finish(self) -> None:
        """Completes the file."""

    def abort(self) -> None:
        """Stops; the file is of no use."""


@dataclass(kw_only=True)
class _PillowEncoder:
    """Keeps the frames until the end, which is when Pillow wants them all."""

    file: Path
    fps: Fraction
    format: str
    options: Mapping[str, Any] = field(default_factory=dict)
    frames: list[Image.Image] = field(default_factory=list)

    def add(self, frame: NDArray[np.uint8]) -> None:
        image = Image.fromarray(frame)
        self.frames.append(_with_palette(image) if self.format == "GIF" else image)

    def finish(self) -> None:
        durations = _durations(len(self.frames), self.fps, 10 if self.format == "GIF" else 1)
        first, *others = self.frames
        first.save(
            self.file,
            self.format,
            save_all=True,
            append_images=others,
            duration=durations if others else durations[0],
            loop=0,
            **self.options,
        )

    def abort(self) -> None:
        self.frames.clear()


def _with_palette(image: Image.Image) -> Image.Image:
    """256 colours chosen for this frame, their steps hidden by error diffusion."""
    return image.quantize(palette=image.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)


def _durations(count: int, fps: Fraction, tick: int) -> list[int]:
    """Milliseconds of each frame, in whole ticks, such that the rounding does not add up."""
    ends = [round(number * 1000 / fps / tick) * tick for number in range(count + 1)]
    return [end - start for start, end in pairwise(ends)]


def _gif(file: Path, fps: Fraction) -> _Encoder:
    return _PillowEncoder(file=file, fps=fps, format="GIF")


def _webp(file: Path, fps: Fraction) -> _Encoder:
    return _PillowEncoder(file=file, fps=fps, format="WEBP", options=_WEBP)


def _png(file: Path, fps: Fraction) -> _Encoder:
    return _PillowEncoder(file=file, fps=fps, format="PNG")


@dataclass(frozen=True, kw_only=True)
class _Format:
    encoder: Callable[[Path, Fraction], _Encoder]
    fastest: int


_FORMATS = {
    ".mp4": _Format(encoder=FfmpegEncoder, fastest=240),
    ".gif": _Format(encoder=_gif, fastest=50),  # browsers slow down what is shown for 10 ms
    ".webp": _Format(encoder=_webp, fastest=240),
    ".png": _Format(encoder=_png, fastest=240),
}

ANIMATION_EXTENSIONS: tuple[str, ...] = tuple(_FORMATS)
"""The file name extensions of moving pictures that can be written, lower case."""


def check_animation(path: str | Path, *, overwrite: bool = False) -> None:
    """Makes sure that an animation can be written, before the hours of work that lead to it.

    Args:
        path: where it will be written.
        overwrite: whether an existing file may be replaced.

    Raises:
        OutputError: the extension is none of `ANIMATION_EXTENSIONS`, the folder is missing or
            cannot be written to, something is in the way, or MP4 is wanted and ffmpeg missing.

    Example:
        >>> check_animation("dream.mov")
        Traceback (most recent call last):
        styler.errors.OutputError: cannot write '.mov' files: dream.mov
    """
    check_output(path, overwrite=overwrite, extensions=ANIMATION_EXTENSIONS)
    if Path(path).suffix.lower() == ".mp4":
        find_ffmpeg()


class AnimationWriter(AbstractContextManager["AnimationWriter"]):
    """Writes an animation frame by frame, wholly or not at all.

    The format follows the extension: MP4 (H.264, 4:2:0; of an odd side the last row or column is
    repeated), GIF (256 colours of each frame's own), WebP, or PNG (no loss, large). All but MP4
    repeat for ever, and their frames are held in memory until the end.

    When its block ends, the file takes its name. When the block raises, nothing is left behind,
    with one exception: Ctrl-C keeps the frames so far, and is raised again.

    Args:
        path: the file to write, with one of `ANIMATION_EXTENSIONS`.
        fps: frames a second, from 0.1 to 50 for GIF and 240 for the others. GIF counts in
            hundredths of a second, WebP and PNG in thousandths: single frames are rounded, their
            sum is not.
        overwrite: whether an existing file may be replaced.

    Attributes:
        path: the file.
        frames: how many there are so far.

    Raises:
        OutputError: see `check_animation`; or the file cannot be written in the end.
        UsageError: `fps` is out of range, or the block ends and there was no frame.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with AnimationWriter(Path(folder) / "fade.gif", fps=10) as writer:
        ...         for level in (0.0, 0.5, 1.0):
        ...             writer.add(torch.full((1, 3, 16, 16), level))
        ...     with Image.open(writer.path) as image:
        ...         print(image.n_frames)
        3
    """

    def __init__(self, path: str | Path, *, fps: float = 25, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.frames = 0
        check_animation(self.path, overwrite=overwrite)
        self._format = _FORMATS[self.path.suffix.lower()]
        if not _SLOWEST <= fps <= self._format.fastest:
            raise UsageError(
                f"{self.path.suffix} takes {_SLOWEST} to {self._format.fastest} frames a second, "
                f"got {fps}"
            )
        self._fps = Fraction(fps).limit_denominator(1001)  # as of 30000/1001, television's rate
        self._encoder: _Encoder | None = None
        self._shape: tuple[int, ...] | None = None
        self._session = self._write()

    def __enter__(self) -> Self:
        self._session.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.__exit__(kind, error, trace)

    def add(self, frame: Tensor) -> None:
        """Adds a frame. Its values are clamped and rounded.

        Args:
            frame: (1, 3, H, W), floating point, sRGB in [0, 1], of the first frame's size.

        Raises:
            UsageError: the shape is wrong or another than before, or the writer is not open.
            DivergedError: it has non-finite values.
            OutputError: the encoder gave up.
        """
        if self._encoder is None:
            raise UsageError("frames are added inside the writer's `with` block")
        height, width = frame.shape[-2:] if frame.ndim == 4 else (0, 0)
        array = to_array(frame, "a frame", (1, 3, height, width))
        if array.shape != (self._shape or array.shape):
            raise UsageError(
                f"all frames have the size of the first, {_size(self._shape)}, "
                f"got {_size(array.shape)}"
            )
        self._shape = array.shape
        with failing_as_output_error(self.path):
            self._encoder.add(quantise(array).astype(np.uint8, copy=False))
        self.frames += 1

    @contextmanager
    def _write(self) -> Iterator[None]:
        interruption = None
        with replacing(self.path) as file:
            self._encoder = encoder = self._format.encoder(file, self._fps)
            try:
                try:
                    yield
                except KeyboardInterrupt as stop:
                    if not self.frames:
                        raise
                    interruption = stop
                if not self.frames:
                    raise UsageError(f"there is no frame to write to {self.path}")
                with failing_as_output_error(self.path):
                    encoder.finish()
            except BaseException:
                encoder.abort()
                raise
            finally:
                self._encoder = None
        if interruption is not None:
            raise interruption


def _size(shape: tuple[int, ...] | None) -> str:
    height, width = (shape or (0, 0))[:2]
    return f"{width}×{height}"
