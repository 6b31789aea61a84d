"""The command line that started `keyring get`, read from each system's own form of it."""

from __future__ import annotations

import ctypes
import io
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import keyring
import keyring.cli
import pytest
from distributions import make_sdist
from hypothesis import given
from hypothesis import strategies as st
from sandbox import forget

from keyring_pypitoken import notices
from keyring_pypitoken.backend import REFUSED
from keyring_pypitoken.uploaders import parent, windows
from keyring_pypitoken.uploaders.evidence import find_evidence
from keyring_pypitoken.uploaders.parent import split_procargs
from keyring_pypitoken.uploaders.process import this_process
from keyring_pypitoken.uploaders.windows import Running, ancestors, look, split

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HTTP, TOKEN = "http://upload.pypi.org/legacy/", "__token__"
GET = ["get", HTTP, TOKEN]
ENVIRONMENT = ["SHELL=/bin/zsh", "UV_PUBLISH_PASSWORD=hunter2"]
OWN, REDIRECTOR, LAUNCHER, STARTER = 4_000, 300, 20_000, 7
SCRIPTS = r"C:\my env\Scripts"
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
WORDS = st.lists(TEXT | st.text('a \t\\"', max_size=8), min_size=1, max_size=6)


def procargs(words: list[str], path: str = "/opt/my tools/uv") -> bytes:
    """Return what macOS keeps of a process: texts begin at a multiple of eight bytes behind the number."""
    name = os.fsencode(path)
    arguments = b"".join(os.fsencode(word) + b"\0" for word in [*words, *ENVIRONMENT])
    return len(words).to_bytes(4, "little") + name + b"\0" * (8 - len(name) % 8) + arguments


class Windows:
    """Windows' processes, as its two libraries show them."""

    def __init__(self, *processes: tuple[int, Running]) -> None:
        self.processes = dict(processes)
        self.failing = ""
        self.open = 0
        self.OpenProcess: Any = lambda access, _, pid: self._open(access, pid)
        self._texts: list[object] = []

    def __call__(self, name: str) -> Windows:
        assert name in ("kernel32", "ntdll")
        return self

    def _open(self, access: int, pid: int) -> int | None:
        assert access == 0x1000
        if pid not in self.processes or self.failing == "OpenProcess":
            return None
        self.open += 1
        return pid

    def CloseHandle(self, _handle: object) -> int:  # noqa: N802 - Windows' name
        self.open -= 1
        return 1

    def GetProcessTimes(self, handle: Any, started: Any, *_others: object) -> int:  # noqa: N802
        started._obj.value = self.processes[handle.value].started
        return self.failing != "GetProcessTimes"

    def NtQueryInformationProcess(self, handle: Any, kind: int, buffer: Any, size: int, _: None) -> int:  # noqa: N802
        found = self.processes[handle.value]
        if kind == 0:
            buffer[5] = found.parent
        else:
            assert kind == 60
            data = found.line.encode("utf-16-le", "surrogatepass")
            word = ctypes.sizeof(ctypes.c_void_p)
            assert len(data) + 2 * word <= size
            start = {"before": -8, "at": 0, "beyond": size - 2}.get(self.failing, 2 * word)
            address = ctypes.addressof(buffer) + start
            buffer[0:2] = len(data).to_bytes(2, "little")
            buffer[word : 2 * word] = address.to_bytes(word, "little")
            buffer[2 * word : 2 * word + len(data)] = data
        return 0 if self.failing != f"information {kind}" else -1_073_741_790  # STATUS_ACCESS_DENIED


def launched_by(words: list[str]) -> Windows:
    """Return the processes of `keyring get` in an environment: two launchers are between it and its starter."""
    keyring_exe, python = rf"{SCRIPTS}\keyring.exe", rf"{SCRIPTS}\python.exe"
    return Windows(
        (STARTER, Running(subprocess.list2cmdline(words), 1, 10)),
        (LAUNCHER, Running(subprocess.list2cmdline(["keyring", *GET]), STARTER, 20)),
        (REDIRECTOR, Running(subprocess.list2cmdline([python, keyring_exe, *GET]), LAUNCHER, 30)),
        (OWN, Running(subprocess.list2cmdline([r"C:\Python 3\python.exe", keyring_exe, *GET]), REDIRECTOR, 30)),
    )


@pytest.fixture(params=["linux", "darwin", "win32"])
def started_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str] | None], None]:
    """Let this process be `keyring get` on a system, started by a command line, or by one that cannot be read."""

    def start(words: list[str] | None) -> None:
        def opened(path: str, mode: str) -> io.BytesIO:
            if words is None:
                raise PermissionError(path, mode)
            return io.BytesIO(b"".join(os.fsencode(word) + b"\0" for word in words))

        def sysctl(names: Any, length: int, buffer: Any, size: Any, *_new: object) -> int:
            assert list(names)[:length] == [1, 49, STARTER]
            data = procargs(words or [])
            buffer[: len(data)] = data
            size._obj.value = len(data)
            return 0 if words is not None else -1

        system = launched_by(words or [])
        if words is None:
            del system.processes[STARTER]
        monkeypatch.setattr(parent, "open", opened, raising=False)
        monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(sysctl=sysctl))
        monkeypatch.setattr(ctypes, "WinDLL", system, raising=False)

    keyring.get_keyring()  # its backends are imported while the system is as it really is
    forget()
    monkeypatch.setattr(sys, "argv", ["keyring", *GET])
    monkeypatch.setattr(os, "getpid", lambda: OWN)
    monkeypatch.setattr(os, "getppid", lambda: STARTER)
    monkeypatch.setattr(sys, "platform", request.param)
    return start


@pytest.mark.parametrize(
    ("words", "projects"),
    [
        (["/opt/my tools/uv", "publish", "my dist/demo-1.0.tar.gz"], ("demo",)),
        (["uv.exe", "publish", "my dist/*"], ("demo", "other")),
        (["uv", "publish", "--project", "my packages/a b", "my packages/*/dist/*"], ("in-a-workspace",)),
        (["python", "/v/bin/pdm", "publish", "-p", "my packages/a b"], ("a-b",)),
        (["python", "-m", "pdm", "publish", "-p", "my packages/a b", "--no-build"], ("in-a-workspace",)),
        (["pdm", "publish", "--no-build", "--dest", "my dist", "--comment", ""], ("demo", "other")),
        (["bash", "-c", "uv publish 'my dist/demo-1.0.tar.gz'"], None),
    ],
    ids=lambda value: " ".join(value[:5]) if isinstance(value, list) else "",
)
def test_files_and_projects_with_spaces_are_found_on_every_system(
    words: list[str], projects: tuple[str, ...] | None, started_by: Callable[[list[str] | None], None], work: Path
) -> None:
    package = work / "my packages" / "a b"
    for directory, *names in ((work / "my dist", "demo", "other"), (package / "dist", "in-a-workspace")):
        directory.mkdir(parents=True)
        for name in names:
            make_sdist(directory, name, "1.0")
    (package / "pyproject.toml").write_text('[project]\nname = "a-b"\n', "utf-8")
    started_by(words)
    found = find_evidence(this_process()).projects
    assert (found and found.value) == projects


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["/my tools/uv", "publish"], True),
        (["/v/bin/python3", "/v/bin/pdm", "publish"], True),
        (["uv", "pip", "install", "publish"], False),
        (["uv publish"], False),
        (None, False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_refusal_is_final_for_uploaders_that_go_on_and_fails_for_all_others_on_every_system(
    words: list[str] | None,
    printed: bool,
    started_by: Callable[[list[str] | None], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    started_by(words)
    if printed:
        assert keyring.get_password(HTTP, TOKEN) == REFUSED
        return
    with pytest.raises(SystemExit) as ended:
        keyring.get_password(HTTP, TOKEN)
    assert ended.value.code == 1
    assert capsys.readouterr().out == ""


def test_a_line_is_printed_once_for_all_lookups_of_an_uploader_on_every_system(
    started_by: Callable[[list[str] | None], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows' launchers have other numbers for each lookup."""
    for number in range(3):
        if sys.platform == "win32":
            monkeypatch.setattr(os, "getppid", lambda number=number: 90 + number)
        forget()
        started_by(["uv", "publish"])
        notices.notify("a line")
    assert capsys.readouterr().err == "keyring-pypitoken: a line\n"


# macOS


@given(WORDS, TEXT)
def test_arguments_on_macos_are_read_as_they_were_given(words: list[str], path: str) -> None:
    words[0] += "x"  # an empty first one cannot be told from what is between it and the path
    assert split_procargs(procargs(words, path)) == words


@given(WORDS, st.integers(min_value=0))
def test_what_is_cut_short_on_macos_is_not_read(words: list[str], end: int) -> None:
    words[0] += "x"
    data = procargs(words)
    assert split_procargs(data[: end % len(data)]) in ([], words)


@given(st.binary())
def test_whatever_macos_answers_is_read(data: bytes) -> None:
    assert len(split_procargs(data)) <= len(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", []),
        (b"\1\0", []),
        (b"\0\0\0\0/bin/uv\0uv\0", []),
        (b"\1\0\0\0/bin/uv", []),
        (b"\1\0\0\0/bin/uv\0\0\0", []),
        (b"\1\0\0\0/bin/uv\0uv", []),
        (b"\1\0\0\0/bin/uv\0uv\0", ["uv"]),
        (b"\1\0\0\0/bin/uv\0uv\0A=1\0", ["uv"]),
        (b"\3\0\0\0/bin/uv\0uv\0\0\0", ["uv", "", ""]),
        (b"\2\0\0\0/bin/uv\0uv\0\xff\0", ["uv", "\udcff"]),
        (b"\xff\xff\xff\xff/bin/uv\0uv\0publish\0", []),
        (b"\xff\xff\xff\x7f/bin/uv\0uv\0publish\0", []),
    ],
)
def test_arguments_on_macos_are_counted(data: bytes, words: list[str]) -> None:
    assert split_procargs(data) == words


# Windows


@given(WORDS)
def test_command_lines_on_windows_are_read_as_python_writes_them(words: list[str]) -> None:
    words[0] = words[0].replace('"', "").rstrip("\\") + "x"  # a program's name has no quotes, nor such an end
    assert split(subprocess.list2cmdline(words)) == words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", [""]),
        ("  a", ["", "a"]),
        (r'"a b c" d e', ["a b c", "d", "e"]),
        (r'x "ab\"c" "\\" d', ["x", 'ab"c', "\\", "d"]),
        (r'x a\\\b d"e f"g h', ["x", r"a\\\b", "de fg", "h"]),
        (r"x a\\\"b c d", ["x", 'a\\"b', "c", "d"]),
        (r'x a\\\\"b c" d e', ["x", r"a\\b c", "d", "e"]),
        ('x a"b"" c d', ["x", 'ab" c d']),
        ('x """a b"""', ["x", '"a b"']),
        ('x "" "', ["x", "", ""]),
        (r'"C:\my tools"\uv.exe publish', [r"C:\my tools\uv.exe", "publish"]),
        (r"C:\"my tools\"uv.exe publish", [r"C:\my tools\uv.exe", "publish"]),
        ('"uv', ["uv"]),
        ("x\t a \t", ["x", "a"]),
        ("x a\nb", ["x", "a\nb"]),
    ],
)
def test_command_lines_on_windows_are_read_as_microsoft_documents_it(line: str, words: list[str]) -> None:
    assert split(line) == words


@given(st.text('a \t\\"'))
def test_every_command_line_on_windows_is_read(line: str) -> None:
    assert len(split(line)) <= len(line) + 1


def behind_launchers(*processes: tuple[int, Running]) -> list[str]:
    from keyring_pypitoken.uploaders.process import _behind_launchers

    return _behind_launchers(ancestors(OWN, dict(processes).__getitem__))[1]


def own(parent: int, words: str = "keyring get URL USER", started: int = 50) -> tuple[int, Running]:
    return OWN, Running(words, parent, started)


UV = Running("uv publish", 1, 10)


@pytest.mark.parametrize(
    ("processes", "words"),
    [
        ((own(1), (1, UV)), ["uv", "publish"]),
        ((own(1, "python -I -m keyring get URL USER"), (1, UV)), ["uv", "publish"]),
        ((own(2), (2, Running(r"D:\P\PYTHON.EXE keyring-script.py get URL USER", 1, 50)), (1, UV)), ["uv", "publish"]),
        # Another question than this one: a program between
        ((own(2), (2, Running("keyring get OTHER USER", 1, 20)), (1, UV)), ["keyring", "get", "OTHER", "USER"]),
        (
            (own(2), (2, Running("cmd /c keyring get URL USER", 1, 20)), (1, UV)),
            ["cmd", "/c", "keyring", "get", "URL", "USER"],
        ),
        # The parent has ended, and a younger process has its number
        ((own(1, started=9), (1, UV)), []),
        ((own(2), (2, Running("keyring get URL USER", 1, 9)), (1, UV)), []),
        # This one is not what it should be
        ((own(1, "python -c code"), (1, UV)), []),
        ((own(1, ""), (1, UV)), []),
        # A circle
        ((own(OWN),), []),
    ],
)
def test_what_started_keyring_on_windows_is_behind_its_launchers(
    processes: tuple[tuple[int, Running], ...], words: list[str]
) -> None:
    assert behind_launchers(*processes) == words


def test_a_chain_that_cannot_be_followed_on_windows_ends_the_search() -> None:
    with pytest.raises(KeyError):
        behind_launchers(own(1))


@pytest.mark.parametrize(
    "failing", ["OpenProcess", "GetProcessTimes", "information 0", "information 60", "before", "at", "beyond"]
)
def test_a_process_that_may_not_be_looked_at_on_windows_is_an_error(
    failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = launched_by(["uv", "publish"])
    monkeypatch.setattr(ctypes, "WinDLL", system, raising=False)
    assert look(STARTER) == Running("uv publish", 1, 10)
    assert system.open == 0
    system.failing = failing
    with pytest.raises(ProcessLookupError):
        look(STARTER)
    assert system.open == 0


def test_any_text_of_windows_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "uv publish \ud800 \U0001f40d " + "x" * 32_000
    monkeypatch.setattr(ctypes, "WinDLL", Windows((1, Running(line, 0, 0))), raising=False)
    assert look(1).line == line


@pytest.mark.skipif(sys.platform != "win32", reason="asks Windows itself")
def test_reads_the_chain_of_real_processes() -> None:
    words = [sys.executable, "-c", "print(flush=True);input()", "my dist/demo-1.0.zip", "", 'a"b\\']
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        chain = ancestors(waiting.pid, windows.look)
        assert next(chain) == (waiting.pid, words)
        assert next(chain)[1][1:] == sys.orig_argv[1:]
        waiting.communicate(b"\n")
