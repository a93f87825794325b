"""Mistakes on the command line, told like all others: one line and a hint."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from styler.cli import console
from styler.errors import OutputError, UsageError, did_you_mean

# Click's own class of them, which typer brings along under a private name.
_Misuse = cast(type[Exception], typer.BadParameter.__mro__[1])


class _Mannered:
    """Tells mistakes as all others are told, whatever it is mixed into."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and end with its exit code."""
        try:
            run = cast(Any, super()).main
            code = run(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except _Misuse as misuse:
            if not standalone_mode:
                raise
            fault = _explained(misuse)
            if fault is not None:
                console.error(fault)
            code = UsageError.exit_code
        except OSError as failure:  # commands explain theirs: this was a help text
            console.error(console.undelivered(failure))
            code = OutputError.exit_code
        if standalone_mode:
            sys.exit(int(code or 0))
        return code


class Group(_Mannered, TyperGroup):
    """The program's commands."""


class Command(_Mannered, TyperCommand):
    """A program of one command."""


def _explained(misuse: Any) -> UsageError | None:
    """The error to show; None for a command without arguments, whose help is on the screen."""
    if type(misuse).__name__ == "NoArgsIsHelpError":
        return None
    possible = getattr(misuse, "possibilities", None)
    text = misuse.message if possible else misuse.format_message()
    hint = did_you_mean(misuse.option_name, possible) if possible else None
    # "No such command 'lits'. Did you mean 'list'?"
    fact, _, advice = text.rstrip(".").partition(". ")
    command = misuse.ctx.command_path if misuse.ctx is not None else "styler"
    return UsageError(_lower(fact), hint or _lower(advice) or f"see {command} --help")


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
