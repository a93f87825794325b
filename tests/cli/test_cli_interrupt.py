"""Ctrl-C, kill and a closed terminal: what there is is saved."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_desk import Desk, Ran

from styler.cli.interrupt import Stop, stop_on_signal
from styler.images import read_picture

ENDLESS = ("transfer", "cat.png", "waves.png", "--size", "48", "--steps", "100000", "--json")


def until(process: subprocess.Popen[bytes], name: str) -> None:
    """Wait for an event."""
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == name:
            return
    raise AssertionError(f"no event {name}")


def end(process: subprocess.Popen[bytes]) -> Ran:
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return Ran(process.returncode, out.decode(), err.decode())


@pytest.mark.parametrize("gap", [None, 0.0, 0.02])
def test_ctrl_c_saves_what_there_is(desk: Desk, gap: float | None) -> None:
    process = desk.start(*ENDLESS)
    until(process, "step")
    process.send_signal(signal.SIGINT)
    if gap is not None:
        time.sleep(gap)
        process.send_signal(signal.SIGINT)
    ran = end(process)
    assert (ran.code, ran.err) == (130, "")
    done = json.loads(ran.out.splitlines()[-1])
    assert (done["event"], done["interrupted"]) == ("done", True)
    assert read_picture("cat+waves.png").size == (36, 48)
    assert desk.files() == {"cat.png", "waves.png", "cat+waves.png"}


def test_an_interrupted_picture_can_be_made_again(desk: Desk) -> None:
    process = desk.start(*ENDLESS)
    until(process, "step")
    process.send_signal(signal.SIGTERM)
    assert end(process).code == 130
    ran = desk("rerun", "cat+waves.png")
    assert ran.code == 0
    assert "all of them" in ran.err
    assert "of 100000" in desk("show", "cat+waves-rerun.png").out


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN, reason="run where Ctrl-C is ignored"
)
def test_ctrl_c_before_the_first_step(desk: Desk) -> None:
    process = desk.start(*ENDLESS)
    until(process, "start")
    process.send_signal(signal.SIGINT)
    ran = end(process)
    assert ran.code == 130
    assert "Traceback" not in ran.err
    assert Path("cat+waves.png").exists() == ('"event": "done"' in ran.out)


def test_a_killed_run_leaves_nothing_half_done(desk: Desk) -> None:
    process = desk.start(*ENDLESS)
    until(process, "step")
    process.kill()
    assert end(process).code == -signal.SIGKILL
    assert desk.files() == {"cat.png", "waves.png"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_bar_is_shown_on_a_terminal_and_its_end_saves_the_picture(desk: Desk) -> None:
    import pty

    ours, theirs = pty.openpty()
    process = desk.start(
        "transfer", "cat.png", "waves.png", "--size", "48", "--steps", "100000",
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"/100000" not in shown:
        shown += os.read(ours, 4096)
    os.close(ours)  # as when its window is closed
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 130
    assert "━" in shown.decode(errors="ignore")
    assert "loss" in shown.decode(errors="ignore")
    assert "of 100000" in desk("show", "cat+waves.png").out


def test_a_stop_ends_after_its_steps_or_when_asked() -> None:
    stop = Stop(3)
    assert [stop(done) for done in (1, 2, 3)] == [False, False, True]
    asked = Stop(3)
    asked.handle(signal.SIGINT, None)
    assert asked(1)


def test_the_second_signal_interrupts_but_never_the_saving() -> None:
    stop = Stop(10)
    stop.handle(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        stop.handle(signal.SIGINT, None)
    stop.handle(signal.SIGINT, None)

    done = Stop(10)
    assert done(10)
    done.handle(signal.SIGINT, None)
    assert not done.asked, "all steps are taken: it is a success"


def test_handlers_are_put_back_and_nohup_is_respected() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    kept = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signal(10) as stop:
            assert signal.getsignal(signal.SIGINT) == stop.handle
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.asked
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop(1)
    finally:
        signal.signal(signal.SIGHUP, kept)
    assert {number: signal.getsignal(number) for number in before} == before
