"""Programs in processes of their own that stay alive and are asked for one thing after another."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Any, Self

from measure import restart_peak, wait

_IMPORTED = re.compile(r"Imported (\d+) MB")


class Session:
    """One such program, which lives as long as the context.

    Args:
        command: what to run. It says `Imported N MB`, and then answers each line of JSON with
            another, until there are no more.
        environment: variables beside our own.

    Attributes:
        imported: megabytes resident when the libraries were imported.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._stack = ExitStack()
        self._errors: IO[str]
        self._process: subprocess.Popen[str]
        self.imported = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._errors = stack.enter_context(tempfile.TemporaryFile("w+"))
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env=self._environment,
            )
            stack.callback(self._close)
            self.imported = float(self._read(_IMPORTED)[1])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        answer: dict[str, Any] = json.loads(self._read(re.compile(r"\{.*"))[0])
        return answer

    def restart_peak(self) -> float:
        """The resident peak in megabytes since the last time; 0.0 where the system cannot tell."""
        return restart_peak(self._process.pid)

    def end(self) -> float:
        """Let it come to its end; its resident peak in megabytes."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        peak = wait(self._process)
        if self._process.returncode:
            raise self._failure()
        return peak

    def _close(self) -> None:
        """End the program in whatever state it is."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _read(self, wanted: re.Pattern[str]) -> re.Match[str]:
        """The next line of that kind."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = wanted.match(line)
            if found:
                return found
        raise self._failure()

    def _failure(self) -> SystemExit:
        self._errors.seek(0)
        return SystemExit(f"{' '.join(self._command)}\nfailed:\n{self._errors.read()[-2000:]}")
