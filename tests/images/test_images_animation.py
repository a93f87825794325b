"""Moving pictures on the disk, and what is left when the making of one ends early."""

import contextlib
import importlib
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from styler.errors import DivergedError, OutputError, UsageError
from styler.images import ANIMATION_EXTENSIONS, AnimationWriter, check_animation

STILL = (".gif", ".webp", ".png")
FFMPEG = "imageio_ffmpeg"


def needs_ffmpeg() -> None:
    pytest.importorskip(FFMPEG)


@pytest.fixture(params=ANIMATION_EXTENSIONS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == ".mp4":
        needs_ffmpeg()
    return tmp_path / f"a{request.param}"


def colours(count: int, size: tuple[int, int] = (24, 32)) -> list[torch.Tensor]:
    """Plain pictures, no two alike."""
    levels = torch.linspace(0.1, 0.9, count)
    return [
        torch.stack([level, 1 - level, 0.5 * level]).view(1, 3, 1, 1).expand(1, 3, *size)
        for level in levels
    ]


def write(path: Path, frames: list[torch.Tensor], fps: float = 25) -> None:
    with AnimationWriter(path, fps=fps) as writer:
        for frame in frames:
            writer.add(frame)
    assert writer.frames == len(frames)


def read(path: Path) -> list[np.ndarray]:
    if path.suffix != ".mp4":
        with Image.open(path) as image:
            return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    found = facts(path)
    _, width, height = re.search(r"(, |^)(\d+)x(\d+)", found).groups()
    data = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-").stdout
    return list(np.frombuffer(data, np.uint8).reshape(-1, int(height), int(width), 3))


def ffmpeg(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    program = importlib.import_module(FFMPEG).get_ffmpeg_exe()
    return subprocess.run([program, *arguments], check=False, capture_output=True)


def facts(path: Path) -> str:
    """What ffmpeg says about a video's pictures."""
    lines = ffmpeg("-i", path).stderr.decode().split("\n")
    return next(line for line in lines if "Video:" in line)


def milliseconds(path: Path) -> list[float]:
    with Image.open(path) as image:
        found = []
        for frame in ImageSequence.Iterator(image):
            frame.load()
            found.append(frame.info["duration"])
        return found


def expected(frame: torch.Tensor) -> np.ndarray:
    values: np.ndarray = np.rint(frame[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    return values


def test_frames_come_back_in_order(path: Path) -> None:
    frames = colours(5)
    write(path, frames)
    found = read(path)
    assert len(found) == 5
    for ours, theirs in zip(found, frames, strict=True):
        # Two steps for the colours of video and the losses of WebP.
        difference = np.abs(ours.astype(int) - expected(theirs).astype(int))
        assert difference.max() <= (0 if path.suffix in (".png", ".gif") else 4)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_values_are_rounded_and_clamped(tmp_path: Path) -> None:
    frame = torch.tensor([-3.0, 0.4999 / 255, 0.5001 / 255, 254.6 / 255, 7.0])
    write(tmp_path / "a.png", [frame.view(1, 1, 1, 5).expand(1, 3, 2, 5), torch.zeros(1, 3, 2, 5)])
    assert read(tmp_path / "a.png")[0][0, :, 0].tolist() == [0, 0, 1, 255, 255]


def test_a_picture_of_many_colours_stays_near_itself(path: Path) -> None:
    ramp = torch.linspace(0, 1, 64)
    frame = torch.stack(torch.broadcast_tensors(ramp[:, None], ramp, (ramp + ramp[:, None]) / 2))
    write(path, [frame[None], frame[None].flip(2)])
    for ours, theirs in zip(read(path), (frame[None], frame[None].flip(2)), strict=True):
        assert np.abs(ours.astype(float) - expected(theirs)).mean() < 8


@pytest.mark.parametrize("suffix", STILL)
def test_all_but_video_repeat_for_ever(suffix: str, tmp_path: Path) -> None:
    write(tmp_path / f"a{suffix}", colours(3))
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.info["loop"] == 0


@pytest.mark.parametrize(
    ("suffix", "fps", "durations"),
    [
        (".gif", 25, [40, 40, 40, 40]),
        (".gif", 30, [30, 40, 30, 30]),
        (".gif", 50, [20, 20, 20, 20]),
        (".webp", 30, [33, 34, 33, 33]),
        (".png", 30, [33, 34, 33, 33]),
        (".png", 0.5, [2000, 2000, 2000, 2000]),
    ],
)
def test_rounded_durations_do_not_drift(
    suffix: str, fps: float, durations: list[float], tmp_path: Path
) -> None:
    write(tmp_path / f"a{suffix}", colours(4), fps)
    assert milliseconds(tmp_path / f"a{suffix}") == durations


def test_one_frame_is_an_animation(path: Path) -> None:
    write(path, colours(1))
    assert len(read(path)) == 1


@pytest.mark.parametrize("size", [(23, 31), (1, 1), (24, 31)])
def test_video_has_even_sides(size: tuple[int, int], tmp_path: Path) -> None:
    needs_ffmpeg()
    frame = torch.zeros(1, 3, *size)
    frame[..., -1] = 0.8
    write(tmp_path / "a.mp4", [frame] * 3)
    found = read(tmp_path / "a.mp4")
    height, width = size[0] + size[0] % 2, size[1] + size[1] % 2
    assert [picture.shape for picture in found] == [(height, width, 3)] * 3
    assert abs(int(found[-1][-1, -1, 0]) - 204) < 12  # the last column, repeated


@pytest.mark.parametrize(("fps", "rate"), [(25, "25"), (12.5, "12.50"), (30000 / 1001, "29.97")])
def test_video_is_what_every_player_plays(fps: float, rate: str, tmp_path: Path) -> None:
    needs_ffmpeg()
    write(tmp_path / "a.mp4", colours(4), fps)
    found = facts(tmp_path / "a.mp4")
    assert "Video: h264" in found
    assert f" {rate} fps" in found
    assert "yuv420p(tv, bt709/bt709/iec61966-2-1" in found
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # playable before it is loaded
    assert data[4:8] == b"ftyp"


class BreakdownError(Exception):
    pass


@pytest.mark.parametrize("count", [0, 2])
def test_an_exception_leaves_nothing_behind(path: Path, count: int) -> None:
    def make() -> None:
        with AnimationWriter(path) as writer:
            for frame in colours(count):
                writer.add(frame)
            raise BreakdownError

    with pytest.raises(BreakdownError):
        make()
    assert list(path.parent.iterdir()) == []


def test_an_exception_leaves_the_old_file(path: Path) -> None:
    path.write_bytes(b"old")

    def make() -> None:
        with AnimationWriter(path, overwrite=True) as writer:
            writer.add(colours(1)[0])
            raise ValueError("not ours")

    with pytest.raises(ValueError, match="not ours"):
        make()
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_an_interruption_keeps_the_frames_so_far(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), AnimationWriter(path) as writer:  # noqa: PT012
        for frame in colours(3):
            writer.add(frame)
        raise KeyboardInterrupt
    assert len(read(path)) == 3
    assert list(path.parent.iterdir()) == [path]


def test_an_interruption_before_the_first_frame_keeps_nothing(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), AnimationWriter(path):
        raise KeyboardInterrupt
    assert list(path.parent.iterdir()) == []


LONG = """
import sys, torch
from styler.images import AnimationWriter
with AnimationWriter(sys.argv[1]) as writer:
    for number in range(100_000):
        writer.add(torch.rand(1, 3, 384, 384))
        print(number, flush=True)
"""


def test_ctrl_c_at_the_terminal_ends_a_video_in_good_order(tmp_path: Path) -> None:
    needs_ffmpeg()
    # A terminal sends the signal to the whole group, ffmpeg included if it were of it.
    running = subprocess.Popen(
        [sys.executable, "-c", LONG, str(tmp_path / "a.mp4")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    while running.stdout.readline() != "4\n":
        assert running.poll() is None
    os.killpg(running.pid, signal.SIGINT)
    output, errors = running.communicate(timeout=120)
    assert "KeyboardInterrupt" in errors
    said = 5 + output.count("\n")
    assert len(read(tmp_path / "a.mp4")) in (said, said + 1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


def test_a_frame_cut_short_is_dropped(tmp_path: Path) -> None:
    needs_ffmpeg()

    def strike(number: int, stack: object) -> None:
        raise KeyboardInterrupt

    def make() -> None:
        with AnimationWriter(tmp_path / "a.mp4") as writer:
            for frame in frames[:2]:
                writer.add(frame)
            process = writer._encoder._process
            process.send_signal(signal.SIGSTOP)  # so that the pipe fills in the middle of a frame
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            try:
                writer.add(frames[2])
            finally:
                process.send_signal(signal.SIGCONT)
                with pytest.raises(OutputError, match="the frame before was cut short"):
                    writer.add(frames[3])

    frames = colours(4, (480, 640))
    before = signal.signal(signal.SIGALRM, strike)
    try:
        with pytest.raises(KeyboardInterrupt):
            make()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(read(tmp_path / "a.mp4")) == 2


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_and_leaves_nothing(path: Path) -> None:
    noise = [torch.rand(1, 3, 64, 64) for _ in range(8)]
    with largest_file(4096), pytest.raises(OutputError, match="cannot write") as caught:
        write(path, noise)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert list(path.parent.iterdir()) == []


def test_what_is_no_frame(path: Path) -> None:
    with AnimationWriter(path) as writer:
        writer.add(torch.zeros(1, 3, 8, 10))
        with pytest.raises(UsageError, match="size of the first, 10×8, got 8×10"):
            writer.add(torch.zeros(1, 3, 10, 8))
        for shape in ((3, 8, 10), (1, 1, 8, 10), (2, 3, 8, 10), (1, 3, 0, 10)):
            with pytest.raises(UsageError, match="a frame must be floating point of shape"):
                writer.add(torch.zeros(shape))
        with pytest.raises(DivergedError, match="non-finite"):
            writer.add(torch.full((1, 3, 8, 10), float("nan")))
        writer.add(torch.ones(1, 3, 8, 10))
    assert len(read(path)) == writer.frames == 2
    with pytest.raises(UsageError, match="inside the writer's `with` block"):
        writer.add(torch.zeros(1, 3, 8, 10))


def test_an_animation_without_frames_is_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="there is no frame"), AnimationWriter(path):
        pass
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "fps", "message"),
    [
        ("a.gif", 60, ".gif takes 0.1 to 50 frames a second, got 60"),
        ("a.webp", 0, ".webp takes 0.1 to 240"),
        ("a.png", float("nan"), "got nan"),
        ("a.png", float("inf"), "got inf"),
    ],
)
def test_rates_out_of_range(name: str, fps: float, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        AnimationWriter(tmp_path / name, fps=fps)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("a.mov", "cannot write '.mov' files", "use one of .mp4, .gif, .webp, .png"),
        ("a", "no extension", "use one of .mp4"),
        ("there.gif", "already exists", "--overwrite"),
        ("nowhere/a.gif", "nowhere does not exist", "create it"),
        ("folder.gif", "is a folder", "another name"),
    ],
)
def test_faults_are_told_before_the_work(
    name: str, message: str, hint: str, tmp_path: Path
) -> None:
    (tmp_path / "there.gif").write_bytes(b"")
    (tmp_path / "folder.gif").mkdir()
    for attempt in (check_animation, AnimationWriter):
        with pytest.raises(OutputError, match=message) as caught:
            attempt(tmp_path / name)
        assert hint in str(caught.value.hint)
    check_animation(tmp_path / "there.gif", overwrite=True)
    check_animation(tmp_path / "New.GIF")


def test_without_ffmpeg_there_is_no_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, FFMPEG, None)
    for attempt in (check_animation, AnimationWriter):
        with pytest.raises(OutputError, match="written by ffmpeg, which is not there") as caught:
            attempt(tmp_path / "a.mp4")
        assert "pip install 'styler[video]'" in str(caught.value.hint)
    write(tmp_path / "a.gif", colours(2))


def test_a_package_without_the_program_counts_as_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_ffmpeg()
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "ffmpeg"))
    with pytest.raises(OutputError, match="which is not there"):
        check_animation(tmp_path / "a.mp4")
