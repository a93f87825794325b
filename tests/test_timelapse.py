"""Films of how a picture came about: even visual change, bounded memory, nothing lost."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from torch import Tensor

from styler.config import ScheduleConfig, TransferConfig
from styler.engine import StepEvent
from styler.errors import OutputError, UsageError
from styler.features import load_extractor
from styler.images import resize
from styler.timelapse import HOLD, Film, Timelapse, evenly
from styler.transfer import Problem


def event(picture: Tensor) -> StepEvent:
    """A step after which the run has a picture."""
    return StepEvent(
        level=0, levels=1, step=1, steps=1, done=1, planned=1, evaluations=1, total=0.0,
        losses={}, size=(picture.shape[-2], picture.shape[-1]), seconds=0.0,
        _image=lambda: picture,
    )  # fmt: skip


def grey(level: float, height: int = 12, width: int = 16) -> Tensor:
    return torch.full((1, 3, height, width), level)


def shown(path: Path) -> list[tuple[float, float]]:
    """The levels of the first pixel, with the seconds that each lasts."""
    found = []
    with Image.open(path) as film:
        for frame in ImageSequence.Iterator(film):
            frame.load()
            level = float(np.asarray(frame.convert("RGB"))[0, 0, 0]) / 255
            found.append((level, frame.info["duration"] / 1000))
    return found


def lasting(found: Sequence[tuple[float, float]], fps: float) -> list[float]:
    """The level of each frame: Pillow keeps equal ones that follow each other as one."""
    return [level for level, seconds in found for _ in range(round(seconds * fps))]


def film(path: Path, levels: Sequence[float], frames: int = 11) -> Film:
    """Of plain pictures, the last of which is the result."""
    made = Timelapse(path, frames=frames, fps=20)
    for level in levels:
        made(event(grey(level)))
    return made.write(grey(levels[-1]))


def test_frames_are_at_even_visual_change(tmp_path: Path) -> None:
    fading = [1 - 0.9**step for step in range(60)]  # fast first, then slow
    done = film(tmp_path / "x.png", fading)
    levels = lasting(shown(done.path), 20)
    assert (done.frames, done.size) == (11 + 20 * HOLD, (12, 16))
    assert done.seconds == pytest.approx(31 / 20)
    assert len(levels) == 31
    assert levels[0] == 0
    assert levels[10:] == [levels[10]] * 21, "the end is held"
    assert levels[10] == pytest.approx(fading[-1], abs=1 / 255)
    even = fading[-1] / 10
    for place, level in enumerate(levels[:11]):
        assert level == pytest.approx(place * even, abs=even / 2 + 1 / 255)
    late = film(tmp_path / "y.png", [*fading, *[fading[-1]] * 300])
    assert shown(late.path) == shown(done.path), "standing still takes no time"


def test_a_jump_is_a_dissolve(tmp_path: Path) -> None:
    done = film(tmp_path / "x.png", [0.0, 0.8, 1.0])
    assert lasting(shown(done.path), 20)[:11] == pytest.approx(
        [place / 10 for place in range(11)], abs=1 / 255
    )
    assert done.different == 11


def test_the_way_is_counted_not_the_distance(tmp_path: Path) -> None:
    there_and_back = [0.0, 0.5, 1.0, 0.5, 0.0]
    levels = lasting(shown(film(tmp_path / "x.png", there_and_back, frames=5).path), 20)
    assert levels[:5] == pytest.approx(there_and_back, abs=1 / 255)


def test_a_run_that_changes_nothing_is_a_still(tmp_path: Path) -> None:
    done = film(tmp_path / "x.png", [0.4] * 30)
    assert (done.frames, done.different) == (31, 2)
    with Image.open(done.path) as written:
        assert written.convert("RGB").getcolors() == [(12 * 16, (102, 102, 102))]


def test_the_first_frame_is_the_start_and_the_last_the_result(tmp_path: Path) -> None:
    made = Timelapse(tmp_path / "x.png", frames=4, fps=10)
    made.start(grey(0.2, 3, 4))
    made(event(grey(0.4)))
    made.write(grey(1.0, 24, 32))
    levels = lasting(shown(tmp_path / "x.png"), 10)
    assert (levels[0], levels[3]) == (pytest.approx(0.2, abs=1 / 255), 1.0)


def test_pictures_are_finished_before_they_are_shown(tmp_path: Path) -> None:
    made = Timelapse(tmp_path / "x.png", frames=3, fps=10, finish=lambda picture: 1 - picture)
    for level in (0.0, 0.5):
        made(event(grey(level)))
    made.write(grey(0.0))
    assert lasting(shown(tmp_path / "x.png"), 10)[:3] == pytest.approx([1, 0.5, 0], abs=1 / 255)


@pytest.mark.parametrize(
    ("size", "side", "frame"),
    [
        ((30, 40), 720, (30, 40)),
        ((31, 41), 720, (30, 40)),
        ((300, 400), 100, (74, 100)),
        ((400, 7), 64, (64, 2)),
    ],
)
def test_frames_have_the_shape_of_the_result_and_even_sides(
    size: tuple[int, int], side: int, frame: tuple[int, int], tmp_path: Path
) -> None:
    made = Timelapse(tmp_path / "x.webp", frames=4, side=side)
    for scale in ((16, 20), size):
        made(event(torch.rand(1, 3, *scale)))
    assert made.write(torch.rand(1, 3, *size)).size == frame
    with Image.open(tmp_path / "x.webp") as written:
        assert written.size == frame[::-1]


def test_scales_of_a_run_are_of_one_film(tmp_path: Path) -> None:
    fine = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    fine = resize(resize(fine, (6, 8)), (48, 64))
    made = Timelapse(tmp_path / "x.png", frames=5)
    made(event(torch.zeros(1, 3, 12, 16)))
    made(event(resize(fine, (12, 16))))
    before = made._position
    made(event(fine))
    assert made._position - before < 0.1 * before, "larger is hardly otherwise"


def test_memory_is_bounded_and_the_way_stays_covered(tmp_path: Path) -> None:
    made = Timelapse(tmp_path / "x.gif", frames=10)
    for step in range(500):
        made(event(grey(1 - 0.97**step)))
        assert len(made._kept) <= 20
    positions = [kept.position for kept in made._kept]
    assert positions == sorted(positions)
    assert positions[0] == 0
    assert positions[-1] == pytest.approx(1, abs=0.01)
    gaps = [after - before for before, after in itertools.pairwise(positions)]
    assert max(gaps) < 1.1 * 1 / 9, "no gap wider than from frame to frame"


def test_pictures_are_kept_no_larger_than_frames(tmp_path: Path) -> None:
    made = Timelapse(tmp_path / "x.gif", frames=2, side=32)
    made(event(torch.rand(1, 3, 96, 128)))
    assert (made._kept[0].picture.shape, made._kept[0].picture.dtype) == ((3, 24, 32), torch.uint8)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=40), st.integers(min_value=2, max_value=30))
def test_places_are_even(steps: list[float], count: int) -> None:
    positions = [float(way) for way in np.cumsum(steps)]
    places = evenly(positions, count)
    assert len(places) == count
    assert (places[0], places[-1]) == (0, len(positions) - 1)
    assert places == sorted(places)
    even = (positions[-1] - positions[0]) / (count - 1)
    ways = np.interp(places, range(len(positions)), positions)
    wanted = np.linspace(positions[0], positions[-1], count)
    assert np.abs(ways - wanted).max() <= even / 2 + 1e-9


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("x.avi", "cannot write '.avi' files", "use one of .mp4"),
        ("none/x.gif", "the folder .*none does not exist", "create"),
        ("old.gif", "already exists", "--overwrite"),
        ("cat.webp", "would replace the content", "a name of its own"),
        ("link.webp", "would replace the content", "a name of its own"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    name: str, message: str, hint: str, tmp_path: Path
) -> None:
    for there in ("old.gif", "cat.webp"):
        (tmp_path / there).write_bytes(b"mine")
    (tmp_path / "link.webp").symlink_to("cat.webp")
    taken = {"content": tmp_path / "cat.webp", "start": None}
    with pytest.raises(OutputError, match=message) as caught:
        Timelapse(tmp_path / name, overwrite=name.endswith("webp"), taken=taken)
    assert hint in str(caught.value.hint)
    assert (tmp_path / "cat.webp").read_bytes() == (tmp_path / "old.gif").read_bytes() == b"mine"


def test_video_needs_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_: None)
    with pytest.raises(OutputError, match="written by ffmpeg, which is not there") as caught:
        Timelapse(tmp_path / "x.mp4")
    assert "styler[video]" in str(caught.value.hint)


@pytest.mark.skipif(not importlib.util.find_spec("imageio_ffmpeg"), reason="no ffmpeg")
def test_video_is_written(tmp_path: Path) -> None:
    done = film(tmp_path / "x.mp4", [0.1, 0.5, 0.9])
    assert done.path.read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize(
    "options", [{"frames": 1}, {"side": 1}, {"fps": 0}, {"fps": 60}, {"frames": -5}]
)
def test_films_that_cannot_be(options: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Timelapse(tmp_path / "x.gif", **options)


@pytest.mark.parametrize("stop", [None, 3])
def test_of_a_transfer(stop: int | None, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    content, style = (torch.rand(1, 3, 36, 48, generator=generator) for _ in range(2))
    config = TransferConfig(
        schedule=ScheduleConfig(size=48, min_side=24, steps=(3, 3)),
    )
    extractor = load_extractor("vgg-lite", dtype=torch.float32)
    problem = Problem(content, style, config, extractor)
    made = Timelapse(tmp_path / "x.gif", frames=8)
    made.start(problem.initial())
    result = problem.solve(callbacks=[made], should_stop=lambda done: done == stop)
    assert made.write(result.image).frames == 8 + 24
    with Image.open(tmp_path / "x.gif") as written:
        assert written.size == (48, 36)


def test_nothing_is_written_until_the_end(tmp_path: Path) -> None:
    made = Timelapse(tmp_path / "x.gif")
    made(event(grey(0.5)))
    assert list(tmp_path.iterdir()) == []
