"""Help, completion, and a start that does not keep anybody waiting."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cli_desk import Desk

from styler.cli import completion
from styler.config import CONFIGS, KINDS, keys

Python = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]
COMMANDS = [
    [],
    ["transfer"],
    ["sweep"],
    ["texture"],
    ["explain"],
    ["style", "save"],
    ["style", "info"],
    ["dream"],
    ["visualize"],
    ["patches"],
    ["attribute"],
    ["microscope"],
    ["invert"],
    ["caricature"],
    ["show"],
    ["rerun"],
    ["layers"],
    ["doctor"],
    ["presets", "list"],
    ["presets", "show"],
    ["weights", "list"],
    ["weights", "fetch"],
    ["weights", "import"],
    ["weights", "verify"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_examples(desk: Desk, command: list[str]) -> None:
    ran = desk(*command, "--help")
    assert ran.code == 0
    _, examples = re.split(r"^ *Examples:", ran.out, flags=re.MULTILINE)
    assert f"styler {' '.join(command)}".rstrip() in examples
    assert desk(*command, "-h").out == ran.out


@pytest.mark.parametrize(
    "command", ["transfer", "sweep", "texture", "explain", "show", "rerun", "layers"]
)
def test_a_command_without_arguments_shows_its_help(desk: Desk, command: str) -> None:
    ran = desk(command)
    assert ran.code == 2
    assert "Examples:" in ran.out
    assert ran.err == ""


def test_the_program_alone_shows_its_help(desk: Desk) -> None:
    ran = desk()
    assert (ran.code, ran.err) == (2, "")
    assert "Exit codes: 0 success, 1 bug, 2 usage" in ran.out


def test_options_come_in_groups(desk: Desk) -> None:
    groups = re.findall(r"─ ([A-Z][a-z ]+) ─", desk("transfer", "--help").out)
    assert groups == [
        "Arguments", "Options", "Look", "Regions", "Size and effort", "Network and machine",
        "Output",
    ]  # fmt: skip
    groups = re.findall(r"─ ([A-Z][a-z ]+) ─", desk("dream", "--help").out)
    assert groups == [
        "Arguments", "Options", "Look", "Film", "Size and effort", "Network and machine", "Output",
    ]  # fmt: skip


def test_the_command_line_starts_without_torch(
    python: Python,
) -> None:
    slow = "{'torch', 'numpy', 'PIL', 'torchvision', 'scipy'} & set(sys.modules)"
    for module in ("styler.cli", "styler.cli.main"):
        done = python(["-c", f"import sys, {module}; sys.exit(str({slow}) if {slow} else 0)"])
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("entry", [["-m", "styler"], ["cli.py"]])
def test_entries(python: Python, entry: list[str]) -> None:
    done = python([*entry, "--version"])
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"styler \d+\.\d+\.\d+\n", done.stdout)


def complete(desk: Desk, words: str) -> list[str]:
    """What bash would offer."""
    environment = {
        "_STYLER_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    process = Desk(desk.folder, {**desk.environment, **environment}).start()
    out, err = process.communicate()
    assert err == b""
    return out.decode().split()


def test_the_shell_completes_commands_and_values(desk: Desk) -> None:
    assert complete(desk, "styler tr") == ["transfer"]
    assert complete(desk, "styler transfer a b --preset gat") == ["gatys-ref", "gatys2015"]
    assert complete(desk, "styler transfer a b --backbone vgg1") == [
        "vgg16",
        "vgg19",
        "vgg19-caffe",
    ]


def test_completion_knows_what_there_is() -> None:
    from styler.features import BACKBONES
    from styler.presets import list_presets

    assert set(completion.backbones("")) == set(BACKBONES)
    vgg = {n for n, s in BACKBONES.items() if s.architecture == "vgg"}
    assert set(completion.painters("")) == {"auto", *vgg}
    for kind in KINDS:
        assert [name for name, _ in completion.presets(kind)("")] == [
            preset.name for preset in list_presets(kind)
        ]
        assert len(list(completion.settings(kind)(""))) == len(keys(CONFIGS[kind]))
    assert list(completion.settings("transfer")("style.sc")) == ["style.scale="]
    assert {name for name, _ in completion.all_presets("gatys")} == {
        "gatys2015", "gatys-ref", "gatys-texture",
    }  # fmt: skip


@pytest.mark.parametrize("option", ["style_loss", "optimizer", "pooling", "precision", "init"])
def test_completed_values_are_those_that_are_accepted(option: str) -> None:
    from typing import get_args, get_type_hints

    from typer.main import get_command

    from styler import config
    from styler.cli.main import app
    from styler.cli.usage import Group

    home, name = {
        "style_loss": (config.StyleConfig, "loss"),
        "optimizer": (config.OptimizerConfig, "name"),
        "pooling": (config.BackboneConfig, "pooling"),
        "precision": (config.RuntimeConfig, "precision"),
        "init": (config.InitConfig, "kind"),
    }[option]
    accepted = set(get_args(get_type_hints(home)[name])) - {"image"}
    program = get_command(app)
    assert isinstance(program, Group)
    command = program.commands["transfer"]
    parameter = next(p for p in command.params if p.name == option)
    context = command.make_context("transfer", [], resilient_parsing=True)
    assert {item.value for item in parameter.shell_complete(context, "")} == accepted


def test_the_shim_and_the_package_are_the_same_program() -> None:
    assert "styler.cli.main" in (Path(__file__).parents[2] / "cli.py").read_text()
