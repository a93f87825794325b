"""Frames to H.264, by way of ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from styler.errors import OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CRF = 17
"""Constant rate factor of x264: 18 is about where losses stop being seen, 0 is lossless."""

_COLOURS = "colorspace=bt709:color_primaries=bt709:color_trc=iec61966-2-1:range=tv"
_FILTERS = f"scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd,setparams={_COLOURS}"
"""Without a matrix that is named in the file, players guess one from the size of the picture."""


def find_ffmpeg() -> str:
    """The path of the ffmpeg program that imageio-ffmpeg brings or finds.

    Raises:
        OutputError: there is none.
    """
    try:
        import imageio_ffmpeg

        program = shutil.which(str(imageio_ffmpeg.get_ffmpeg_exe()))
    except (ImportError, RuntimeError):
        program = None
    if program is None:
        raise OutputError(
            "MP4 files are written by ffmpeg, which is not there",
            "pip install 'styler[video]', or write .gif or .webp",
        )
    return program


class FfmpegEncoder:
    """Gives frames to a process that writes an MP4 file.

    Args:
        file: to be written; its name needs no extension.
        fps: frames a second.

    Raises:
        OutputError: there is no ffmpeg.
    """

    def __init__(self, file: Path, fps: Fraction) -> None:
        self._program = find_ffmpeg()
        self._file, self._fps = file, fps
        self._process: subprocess.Popen[bytes] | None = None
        self._torn = False

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Takes a frame (H, W, 3); odd sides are made even by repeating the last row or column.

        Raises:
            OutputError: ffmpeg has given up, or an exception ended the writing of a frame before.
        """
        if self._torn:
            raise OutputError("the frame before was cut short", "nothing can follow it")
        height, width = frame.shape[:2]
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._process is None:
            self._process = self._start(even.shape[:2])
        self._torn = True  # how much is through is not known when a signal's handler raises
        self._send(self._process, memoryview(even.tobytes()))
        self._torn = False

    def finish(self) -> None:
        """Completes the file. ffmpeg drops a last frame that was cut short.

        Raises:
            OutputError: ffmpeg has given up.
        """
        if self._process is not None:
            _, said = self._process.communicate()
            if self._process.returncode != 0:
                raise _failure(self._process.returncode, said)

    def abort(self) -> None:
        """Stops ffmpeg, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    @staticmethod
    def _send(process: subprocess.Popen[bytes], data: memoryview) -> None:
        pipe = cast("IO[bytes]", process.stdin)
        try:
            while data:
                data = data[pipe.write(data) :]
        except OSError as error:
            _, said = process.communicate()
            raise _failure(process.returncode, said) from error

    def _start(self, size: tuple[int, ...]) -> subprocess.Popen[bytes]:
        frames = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[1]}x{size[0]}"]
        return subprocess.Popen(
            [
                *(self._program, "-v", "error", "-y"),
                *frames,
                *("-r", str(self._fps), "-i", "-"),
                *("-vf", _FILTERS, "-c:v", "libx264", "-crf", str(_CRF), "-pix_fmt", "yuv420p"),
                *("-movflags", "+faststart", "-f", "mp4", str(self._file)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,  # frames are large enough
            # Ctrl-C at the terminal is for this process, which then ends the other in good order.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )


def _failure(code: int, said: bytes) -> OutputError:
    reason = said.decode(errors="replace").strip().partition("\n")[0] or f"it ended with {code}"
    return OutputError(f"ffmpeg cannot write the video: {reason}", "check the disk and the size")
