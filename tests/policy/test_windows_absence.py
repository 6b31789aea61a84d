"""A name that Windows cannot have (`dist/*`) is absent there, and says so with an error of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from distributions import make_wheel

from keyring_pypitoken import files
from keyring_pypitoken.uploaders.evidence import find_evidence
from keyring_pypitoken.uploaders.uploader import Process

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Command


class WindowsError(OSError):
    """What Python raises on Windows: an OSError of no kind of its own, with Windows' number."""

    def __init__(self, number: int) -> None:
        super().__init__(22, "The filename, directory name, or volume label syntax is incorrect")
        self.winerror = number


@pytest.fixture(params=[123, 161])
def windows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system take no name with a wildcard."""

    def strict(function: Any) -> Any:
        def call(path: Any, *arguments: Any, **named: Any) -> Any:
            if isinstance(path, (str, os.PathLike)) and any(mark in os.fspath(path) for mark in '*?"<>|'):
                raise WindowsError(request.param)
            return function(path, *arguments, **named)

        return call

    for name in ("stat", "lstat", "scandir", "listdir"):
        monkeypatch.setattr(os, name, strict(getattr(os, name)))


@pytest.mark.usefixtures("windows")
def test_a_name_with_a_wildcard_is_absent(work: Path) -> None:
    assert files.status("dist/*", "dist/*") is None
    assert not files.is_present(str(work / "*"))
    assert files.read_bytes("a?b", "a?b") is None
    assert files.list_directory("dist/*", "dist/*") == []


@pytest.mark.usefixtures("windows", "project")
def test_patterns_name_files_there_as_everywhere(work: Path, command: Command, stored: str) -> None:
    (work / "dist").mkdir()
    make_wheel(work / "dist", "demo", "1.0")
    evidence = find_evidence(Process("twine", ("upload", "dist/*"), work, {}))
    assert evidence.projects is not None
    assert evidence.projects.value == ("demo",)
    assert command("explain", "dist/*")[0] == 0
    assert command("token", "dist/*")[1].startswith("pypi-")
    assert "cannot be read" not in command("status")[1]
    assert stored
