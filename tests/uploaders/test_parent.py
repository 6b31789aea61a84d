"""The processes above this one, read from each system."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import psutil  # type: ignore[import-untyped]  # it has no types
import pytest

from keyring_pypitoken.uploaders.process import ancestors

WORDS = ["uv", "publish", "my dist/*", "", "a\nb", "-"]
PRINT = "import sys, keyring_pypitoken.uploaders.process as p; {} print(list(p.ancestors()))"


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "by psutil"])
def test_reads_the_arguments_of_what_started_this_process(elsewhere: bool) -> None:
    start = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    code = PRINT.format("import psutil; sys.platform = 'darwin';" if elsewhere else "")
    words = [sys.executable, "-c", start, code, *WORDS]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    first, *others = eval(done.stdout)  # noqa: S307 - what our own code printed
    assert first[1] == words
    assert bool(others) is (elsewhere or sys.platform != "linux")


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Let the system be one that psutil reads, with these command lines above this process; errors are raised."""
    lines: list[object] = []

    class Process(SimpleNamespace):
        def parent(self) -> Process | None:
            return Process(pid=self.pid + 1) if self.pid < len(lines) else None

        def cmdline(self) -> object:
            line = lines[self.pid - 1]
            if isinstance(line, Exception):
                raise line
            return line

    monkeypatch.setattr(psutil, "Process", lambda: Process(pid=0))
    monkeypatch.setattr(sys, "platform", "win32")
    return lines


def test_launchers_are_processes_of_their_own(system: list[object]) -> None:
    system += [["python.exe", "keyring.exe"], ["keyring.exe"], ["uv.exe", "publish"]]
    assert list(ancestors()) == [(1, system[0]), (2, system[1]), (3, system[2])]


@pytest.mark.parametrize("problem", [psutil.AccessDenied(1), psutil.NoSuchProcess(1), [], [""]])
def test_what_cannot_be_read_is_an_error(problem: object, system: list[object]) -> None:
    system += [["cmd.exe"], problem]
    above = ancestors()
    assert next(above) == (1, ["cmd.exe"])
    with pytest.raises(OSError):  # noqa: PT011 - of any kind
        next(above)


def test_without_psutil_nothing_can_be_read(system: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    system += [["uv", "publish"]]
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(OSError):  # noqa: PT011 - of any kind
        next(ancestors())


@pytest.mark.skipif(sys.platform != "linux", reason="only there the kernel's files are read")
def test_what_was_started_from_outside_of_a_container_has_no_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [pid for pid, _ in ancestors()] == [os.getppid()]
    monkeypatch.setattr(os, "getppid", lambda: 0)
    assert list(ancestors()) == []
    monkeypatch.setattr(os, "getppid", lambda: 2**30)
    with pytest.raises(FileNotFoundError):
        next(ancestors())
