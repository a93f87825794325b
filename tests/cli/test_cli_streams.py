"""Nobody listening is no reason to lose a picture."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from cli_desk import TINY, Desk

from styler.cli.streams import FILE_NAMES, Stream, prepare_streams
from styler.images import read_picture


class Pipe(io.StringIO):
    """A stream without a reader."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_stream_drops_what_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Pipe())
    stream = Stream("stdout")
    assert stream.write("lost") == 4
    assert isinstance(stream.fault, BrokenPipeError)
    other = io.StringIO()
    monkeypatch.setattr(sys, "stdout", other)
    stream.write("late")
    stream.flush()
    assert other.getvalue() == "", "half a text helps nobody"


def test_a_stream_follows_the_one_it_is_named_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream("stderr")
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    stream.write("one")
    monkeypatch.setattr(sys, "stderr", second)
    stream.write("two")
    assert (first.getvalue(), second.getvalue()) == ("one", "two")
    assert not stream.isatty()


def test_a_stream_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    stream = Stream("stdout")
    assert stream.write("nothing") == 7
    stream.flush()
    assert not stream.isatty()
    assert stream.encoding == "utf-8"
    with pytest.raises(OSError, match="stdout is closed"):
        stream.fileno()


def test_names_are_written_as_their_own_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    prepare_streams()
    sys.stdout.write("caf\udce9 64×48\n")
    sys.stdout.flush()
    assert raw.getvalue() == b"caf\xe9 64?48\n"
    assert sys.stderr.errors == FILE_NAMES


@pytest.mark.parametrize("words", [["--json"], ["-o", "x.png"]])
def test_a_reader_who_leaves_does_not_stop_the_work(desk: Desk, words: list[str]) -> None:
    reading, writing = os.pipe()
    process = desk.start(
        "transfer", "cat.png", "waves.png", *TINY, *words, stdout=writing, stderr=writing
    )
    os.close(reading)
    os.close(writing)
    assert process.wait(timeout=60) == 0
    assert read_picture("x.png" if words[0] == "-o" else "cat+waves.png").size == (36, 48)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_an_output_error(desk: Desk) -> None:
    with Path("/dev/full").open("wb") as full:
        saved = desk.start("transfer", "cat.png", "waves.png", *TINY, "--json", stdout=full)
        listed = desk.start("presets", "list", stdout=full)
        helped = desk.start("--help", stdout=full)
        for process in (saved, listed, helped):
            _, err = process.communicate(timeout=60)
            assert process.returncode == 8
            error, hint = err.decode().splitlines()
            assert error == "error: cannot write to standard output: No space left on device"
            assert hint.startswith("hint: ")
    assert read_picture("cat+waves.png").size == (36, 48)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_names_that_are_no_text_go_through_everything(desk: Desk) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    Path("cat.png").rename(name)
    for words in (
        ["transfer", name, "waves.png", *TINY, "-q"],
        ["rerun", f"{name[:-4]}+waves.png"],
    ):
        process = desk.start(*words)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert out == b"caf\xe9+waves-rerun.png\n"
    assert b"all of them" in err


def test_a_terminal_of_ascii_alone(desk: Desk) -> None:
    plain = Desk(
        desk.folder,
        {**desk.environment, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )
    process = plain.start("layers", "vgg-lite", "--size", "32")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert b"32?32?32" in out
