"""Every mistake ends with its code, one line and a hint, and leaves nothing behind."""

from __future__ import annotations

import os
import pickle
import zlib
from pathlib import Path

import pytest
import torch
import typer
from cli_desk import Desk
from typer.testing import CliRunner

from styler.cli import console


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds a few black pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + check

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(64))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_success(desk: Desk) -> None:
    ran = desk.transfer()
    assert (ran.code, ran.out) == (0, "cat+waves.png\n")
    assert desk.files() == {"cat.png", "waves.png", "cat+waves.png"}


def test_a_bug_is_called_one(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.command()
    @console.guarded
    def broken() -> None:
        raise LookupError("[red]lost")

    ran = CliRunner().invoke(app, [])
    assert ran.exit_code == 1
    error, hint = ran.stderr.splitlines()
    assert error == "error: this is a bug: LookupError: [red]lost"
    assert "styler --debug" in hint

    monkeypatch.setattr(console.mode, "debug", True)
    assert "Traceback" in CliRunner().invoke(app, []).stderr


def test_debug_shows_the_traceback_of_a_mistake(desk: Desk) -> None:
    ran = desk("--debug", "show", "nowhere.png")
    assert ran.code == 4
    assert "Traceback" in ran.err
    assert "Traceback" not in desk("show", "nowhere.png").err


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["transfer", "cat.png"], "missing argument 'STYLE...'", "styler transfer --help"),
        (["transfre"], "no such command 'transfre'", "did you mean 'transfer'?"),
        (["presets", "lits"], "no such command 'lits'", "did you mean 'list'?"),
        (["transfer", "a", "b", "--stepps", "3"], "no such option: --stepps", "--steps"),
        (["transfer", "a", "b", "--size", "big"], "--size", "styler transfer --help"),
        (["show", "a", "b"], "unexpected extra argument", "styler show --help"),
        (["transfer", "cat.png", "waves.png", "--bit-depth", "12"], "bit depth of 12", "8 or 16"),
    ],
)
def test_usage(desk: Desk, words: list[str], error: str, hint: str) -> None:
    ran = desk(*words)
    assert (ran.code, ran.out) == (2, "")
    assert error in ran.error
    assert hint in ran.hint


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        ("--size 0", "schedule.size = 0 (--size)", "16"),
        ("--size -5", "schedule.size = -5 (--size)", "16"),
        ("--steps -1", "schedule.steps = [-1] (--steps)", "0"),
        ("--steps 1,,2", "--steps 1,,2", "150,120,80"),
        ("--strength 1.5", "strength = 1.5 (--strength)", "1.0"),
        ("--lr 0", "optimizer.lr = 0.0 (--lr)", "0.0"),
        ("--seed -1", "runtime.seed = -1 (--seed)", "0"),
        ("--precision fp16", "runtime.precision = 'fp16'", "bf16"),
        ("--pooling avg", "backbone.pooling = 'avg'", "average"),
        ("--optimizer sgd", "optimizer.name = 'sgd'", "adam, nadam, descent, lbfgs"),
        ("--style-loss grm", "style.loss = 'grm'", "gram"),
        ("--style-layers relu9_9", "unknown layer 'relu9_9'", "relu5_1"),
        ("--style-layers relu1_1=x", "'x' is not a number", "relu1_1=1"),
        ("--content-layers 21", "a layer is given by name", "conv1_1"),
        ("--init nois", "--init nois", "noise"),
        ("--set style.weigth=2", "unknown setting 'style.weigth' (--set)", "style.weight"),
        ("--set style=2", "unknown setting 'style' (--set)", "style.loss"),
        ("--set size", "'size' is not key=value", "--set style.scale=2"),
        ("--preset gatys15", "unknown preset 'gatys15'", "gatys2015"),
        ("--strength 1 --style-weight 0 --smoothness 0", "nothing to optimise", "weight"),
    ],
)
def test_configuration(desk: Desk, words: str, error: str, hint: str) -> None:
    ran = desk("transfer", "cat.png", "waves.png", "-q", *words.split())
    assert (ran.code, ran.out) == (3, "")
    assert error in ran.error
    assert hint in ran.hint
    assert desk.files() == {"cat.png", "waves.png"}


@pytest.mark.parametrize(
    "words", ["--content-weight nan", "--style-weight inf", "--set style.weight=-inf"]
)
def test_weights_that_are_no_numbers(desk: Desk, words: str) -> None:
    ran = desk.transfer("-q", *words.split())
    assert ran.code == 3
    assert "is not a finite number" in ran.error


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        ('[style]\nweight = "big"', "style.weight = 'big' (preset mine)", "`float`, got `str`"),
        ("[style]\nwieght = 1", "unknown setting 'style.wieght' (preset mine)", "style.weight"),
        ("strength = true", "strength = True (preset mine)", "got `bool`"),
        ('schedule.steps = [1, "a"]', "schedule.steps", "got `str`"),
        ("[style", "mine.toml is not TOML", "toml"),
    ],
)
def test_a_wrong_preset(desk: Desk, text: str, error: str, hint: str) -> None:
    Path("mine.toml").write_text(f'schema = 1\nkind = "transfer"\n{text}\n')
    ran = desk("transfer", "cat.png", "waves.png", "-p", "mine.toml", "-o", "x.png")
    assert ran.code == 3
    assert error in ran.error
    assert hint in ran.hint


FILES = {
    "empty.jpg": (b"", "the file is empty"),
    "words.png": (b"hello\n", "looks like a text file"),
    "noise.png": (bytes(range(1, 256)) * 9, "not a readable picture"),
    "none.png": (png(0, 0), "without pixels"),
    "bomb.png": (png(60_000, 60_000), "60000×60000"),
    "half.png": (png(64, 64), "half.png"),
}


@pytest.mark.parametrize("place", ["content", "style", "init"])
@pytest.mark.parametrize("name", FILES)
def test_input_pictures(desk: Desk, name: str, place: str) -> None:
    data, expected = FILES[name]
    Path(name).write_bytes(data)
    roles = {"content": "cat.png", "style": "waves.png", "init": "cat.png", place: name}
    ran = desk("transfer", roles["content"], roles["style"], "--init", roles["init"], "-o", "x.png")
    assert (ran.code, ran.out) == (4, "")
    assert expected in ran.error
    assert ran.hint
    assert desk.files() == {"cat.png", "waves.png", name}


def test_a_missing_picture_has_neighbours(desk: Desk) -> None:
    ran = desk("transfer", "cta.png", "waves.png")
    assert ran.code == 4
    assert ran.error == "no such file: cta.png"
    assert ran.hint == "did you mean cat.png?"


def test_no_picture_but_a_folder_or_a_pipe(desk: Desk) -> None:
    Path("folder.png").mkdir()
    os.mkfifo("pipe.png")
    for name, noun in (("folder.png", "a folder"), ("pipe.png", "a pipe")):
        for words in (["transfer", name, "waves.png"], ["show", name], ["rerun", name]):
            ran = desk(*words)
            assert ran.code == 4
            assert noun in ran.error
            assert ran.hint


@pytest.mark.parametrize("size", [(1, 64), (64, 1), (1, 1), (600, 3)])
def test_pictures_without_room_for_the_deepest_layer(desk: Desk, size: tuple[int, int]) -> None:
    from PIL import Image

    Image.new("RGB", size).save("thin.png")
    for content, style in (("thin.png", "waves.png"), ("cat.png", "thin.png")):
        ran = desk("transfer", content, style, "-q", "--steps", "1", "-o", "x.png")
        assert ran.code == 4
        assert "too small for relu5_1" in ran.error
        assert ran.hint


class Evil:
    """Makes a file when it is unpickled carelessly."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("pwned"),)


def test_a_hostile_weights_file_is_refused_and_not_run(desk: Desk) -> None:
    torch.save({"features.0.weight": Evil()}, "evil.pth")
    Path("plain.pth").write_bytes(pickle.dumps(Evil()))
    for name in ("evil.pth", "plain.pth"):
        for words in (
            ["transfer", "cat.png", "waves.png", "--weights", name],
            ["weights", "import", name],
        ):
            ran = desk(*words)
            assert ran.code == 5
            assert name in ran.error
            assert ran.hint
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        ("--backbone vgg18", "unknown backbone 'vgg18'", "vgg19"),
        ("--weights nowhere.pth", "nowhere.pth", "path"),
        ("--weights cat.png", "cat.png", ".safetensors"),
        ("--backbone vgg19-caffe", "no weights for vgg19-caffe", "styler weights import"),
    ],
)
def test_backbone(desk: Desk, words: str, error: str, hint: str) -> None:
    ran = desk.transfer(*words.split())
    assert (ran.code, ran.out) == (5, "")
    assert error in ran.error
    assert hint in ran.hint


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        ("--device cuda:99", "no device cuda:99", "styler doctor"),
        ("--device abacus", "unknown device 'abacus'", "cpu"),
        ("--size 1000000000", "memory", "--size"),
    ],
)
def test_device(desk: Desk, words: str, error: str, hint: str) -> None:
    ran = desk.transfer(*words.split())
    assert (ran.code, ran.out) == (6, "")
    assert error in ran.error
    assert hint in ran.hint


def test_diverged(desk: Desk) -> None:
    ran = desk.transfer("-q", "--style-weight", "1e308")
    assert (ran.code, ran.out) == (7, "")
    assert "not finite" in ran.error
    assert ran.hint
    assert desk.files() == {"cat.png", "waves.png"}


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("none/x.png", "the folder none does not exist"),
        ("cat.png/x.png", "not a"),
        ("folder.png", "is a folder"),
        ("x.gif", "cannot write '.gif' files"),
        ("x", "x"),
        ("", ""),
        (".", ""),
        ("y" * 300 + ".png", "too long"),
        ("loop.png", "symbolic links"),
        ("waves.png", "the output is the style picture itself"),
        ("./cat.png", "the output is the content picture itself"),
    ],
)
def test_output(desk: Desk, output: str, error: str) -> None:
    Path("folder.png").mkdir()
    Path("loop.png").symlink_to("loop.png")
    before = {name: Path(name).read_bytes() for name in ("cat.png", "waves.png")}
    ran = desk.transfer("--overwrite", "-o", output)
    assert (ran.code, ran.out) == (8, "")
    assert error in ran.error
    assert ran.hint
    assert {name: Path(name).read_bytes() for name in before} == before
    assert desk.files() == {"cat.png", "waves.png", "folder.png", "loop.png"}
