"""What every test works with: the places of its files, masters, and results of programs and of the command."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import keyring
import keyring.backend
import keyring.core
import pytest

from keyring_pypitoken import Token, memory
from keyring_pypitoken.cli.main import main

ROOT = Path(__file__).parent.parent.parent
DATA = Path(__file__).parent.parent / "data"
STORES = Path(__file__).parent / "stores"
# Variables of the developer's that would reach uploaders, keyring or this package.
FOREIGN = (
    *("KEYRING_", "PYTHON_KEYRING", "CI", "GITHUB_", "ACTIONS_", "DBUS_", "XDG_", "PIP_"),
    *("PSModulePath", "PSMODULEPATH"),
    *("TWINE_", "UV_PUBLISH_", "UV_KEYRING_", "FLIT_", "HATCH_", "POETRY_", "PDM_"),
)


def new_master(domain: str = "pypi.org", identifier: str = "0fd630f1-f29d-4da9-953f-48f1a09f76b5") -> str:
    """Make a master as PyPI does; no server knows its key."""
    return Token.create(domain, identifier, b"a key of thirty-two bytes, no more").dump()


EXE = ".exe" if os.name == "nt" else ""


def write_program(path: Path, *command: str) -> None:
    """Write a program that becomes a command, which Windows finds only; unlike a `#!` line, it may have spaces."""
    path = Path(f"{path}{EXE}")
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    path.chmod(0o755)


def make_pipe(path: Path | str) -> None:
    """Make a named pipe, which blocks whoever opens it; skip the test on Windows."""
    if sys.platform == "win32":
        pytest.skip("Windows has no named pipes in directories")
    os.mkfifo(path)


def make_link(path: Path, target: Path | str) -> None:
    """Make a symbolic link; skip the test if Windows does not let this user make any."""
    try:
        path.symlink_to(target)
    except OSError:
        if sys.platform != "win32":
            raise
        pytest.skip("Windows lets only some users make links")


def change_owner(path: Path, owner: int, *, follow_symlinks: bool = True) -> None:
    """Give a file to a user by number; skip the test on Windows."""
    if sys.platform == "win32":
        pytest.skip("Windows' users have no numbers")
    os.chown(path, owner, -1, follow_symlinks=follow_symlinks)


def forget() -> None:
    """Forget what the package and keyring remember in this process."""
    memory.forget()
    vars(keyring.backend.get_all_keyring).pop("saved_result", None)
    keyring.core._keyring_backend = None


class Terminal(io.StringIO):
    """A standard input or output that is a terminal."""

    def isatty(self) -> bool:
        """Be one."""
        return True


class WritePolicy(Protocol):
    """Writes a policy file and returns its path."""

    def __call__(self, text: str, mode: int = 0o600) -> Path: ...


class Run(Protocol):
    """Runs a program in a process of its own."""

    def __call__(self, *arguments: str, stdin: str = "", cwd: Path | None = None, **environ: str) -> Result: ...


class Result(subprocess.CompletedProcess[str]):
    """What a program printed, and its exit code."""


class Command:
    """Runs the command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Run with pytest's own means."""
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Return the exit code, and what was printed on stdout and stderr."""
        forget()
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        self._monkeypatch.setattr(sys, "argv", ["keyring-pypitoken", *arguments])
        try:
            code = main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = self._capsys.readouterr()
        return code, out, err

    def json(self, *arguments: str, stdin: str = "", code: int = 0) -> Any:
        """Return the JSON that is printed."""
        ended, out, err = self(*arguments, "--json", stdin=stdin)
        assert (ended, err) == (code, "")
        return json.loads(out)

    def refused(self, *arguments: str, stdin: str = "") -> str:
        """Return the one sentence of a refusal."""
        code, out, err = self(*arguments, stdin=stdin)
        assert (code, out) == (1, "")
        assert err.startswith("keyring-pypitoken: ")
        assert err.endswith(".\n")
        assert err.count("\n") == 1
        return err.removeprefix("keyring-pypitoken: ").strip()
