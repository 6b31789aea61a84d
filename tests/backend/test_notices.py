"""What a person is told, once in a process."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import keyring
import pytest

from keyring_pypitoken import memory, notices, paths
from keyring_pypitoken.secret import DerivedToken
from keyring_pypitoken.uploaders.uploader import Process

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import WritePolicy

LINE = "keyring-pypitoken: a line\n"


@pytest.fixture
def started_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that lets this process be a keyring command which a program started."""

    def start(name: str) -> None:
        monkeypatch.setattr(notices, "parent_process", lambda: Process(name, (), Path.cwd(), {}))
        memory.forget("printed lines")
        memory.forget("parent")

    return start


@pytest.mark.parametrize(
    ("not_after", "until"),
    [
        (32_535_215_998, "3000-12-31 23:59:58"),
        (32_535_216_000, "3001-01-01 00:00:00 UTC"),
        (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        (253_402_300_800, "the Unix second 253402300800"),
        (10**30, "the Unix second 1000000000000000000000000000000"),
    ],
)
def test_an_end_beyond_the_years_that_windows_converts_is_written_too(
    not_after: int, until: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(seconds: float) -> time.struct_time:
        if seconds >= 32_535_216_000:
            raise OSError(22, "Invalid argument")
        return time.gmtime(seconds)

    monkeypatch.setattr(time, "localtime", convert)
    line = notices.derived_line(("demo",), "pypi", "default", not_after, "")
    assert line == f"derived a token for demo on pypi, valid until {until} (policy: none for this project)"


def test_an_end_today_is_written_as_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "localtime", time.gmtime)
    monkeypatch.setattr(time, "time", lambda: 1_790_000_000.5)
    assert "valid until 14:28:20 (" in notices.derived_line(None, "pypi", "default", 1_790_000_900, "")
    assert "valid until 2026-09-22 00:00:00 (" in notices.derived_line(None, "pypi", "default", 1_790_035_200, "")


def test_a_line_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("a line", "another", "a line"):
        notices.notify(line)
    assert capsys.readouterr() == ("", f"{LINE}keyring-pypitoken: another\n")


@pytest.mark.parametrize("name", ["uv", "pdm"])
def test_an_uploader_that_asks_again_has_it_once(
    name: str, started_by: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    note = Path(paths.last_notice())
    for seen in (1, 0, 0):
        started_by(name)
        notices.notify("a line")
        assert capsys.readouterr().err == LINE * seen
    os.utime(note, (0, time.time() - 601))  # another one may have the same number by now
    started_by(name)
    notices.notify("a line")
    note.unlink()
    note.mkdir()  # nothing can be noted
    for program in (name, "bash"):
        started_by(program)
        notices.notify("a line")
    assert capsys.readouterr().err == LINE * 3


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "cp1252", "utf-8"])
def test_letters_that_stderr_cannot_encode_are_escaped(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding=encoding, errors="strict", newline="\n"))
    notices.notify("łódź/pypitoken.toml")
    shown = "łódź" if encoding == "utf-8" else r"\u0142\xf3d\u017a"
    assert raw.getvalue().decode(encoding) == f"keyring-pypitoken: {shown}/pypitoken.toml\n"
    assert sys.stderr.errors == "strict", "the stream is the uploader's"


@pytest.mark.parametrize("stderr", [None, object()], ids=["none", "strange"])
def test_without_stderr_nothing_fails(
    stderr: object, started_by: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    started_by("pdm")
    monkeypatch.setattr(notices, "open", lambda *_, **_settings: io.StringIO(), raising=False)
    monkeypatch.setattr(sys, "stderr", stderr)
    notices.notify("a line")
    notices.mask(DerivedToken("pypi-token"))


@pytest.mark.parametrize("name", [("/dev/tty", "locale"), ("CONOUT$", "utf-8")])
def test_what_pdm_would_swallow_goes_to_the_terminal(
    name: tuple[str, str], started_by: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert notices._TERMINAL[0] == ("CONOUT$" if os.name == "nt" else "/dev/tty")
    monkeypatch.setattr(notices, "_TERMINAL", name)
    terminal = tmp_path / "tty"
    opened: list[object] = []

    def open_terminal(name: str, mode: str, *, encoding: str, errors: str) -> object:
        opened.append((name, mode, encoding))
        return terminal.open(mode, encoding="ascii", errors=errors)

    monkeypatch.setattr(notices, "open", open_terminal, raising=False)
    started_by("pdm")
    notices.notify("an übung")
    assert opened == [(name[0], "w", name[1])]
    assert terminal.read_text() == "keyring-pypitoken: an \\xfcbung\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    notices.notify("another")
    assert len(opened) == 1


def test_without_a_terminal_nothing_fails(
    started_by: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_terminal(*_arguments: object, **_named: object) -> object:
        raise OSError

    monkeypatch.setattr(notices, "open", no_terminal, raising=False)
    started_by("pdm")
    notices.notify("a line")
    assert capsys.readouterr().err == LINE


def test_an_upload_without_a_master_is_told_what_is_sent(
    work: Path, user_policy: WritePolicy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (work / "demo-1.0.tar.gz").touch()
    monkeypatch.setattr(sys, "argv", ["twine", "upload", "demo-1.0.tar.gz"])
    monkeypatch.setitem(sys.modules, "twine", ModuleType("twine"))
    for url, option in (("https://upload.pypi.org/legacy/", ""), ("https://test.pypi.org/legacy/", " -r testpypi")):
        for _ in range(2):
            assert keyring.get_password(url, "__token__") is None
        name = "testpypi" if option else "pypi"
        assert capsys.readouterr().err == (
            f"keyring-pypitoken: no master is stored for {name}: run `keyring-pypitoken login{option}`; a token that "
            "you type now is sent as it is\n"
        )
    user_policy('[store]\ncommand = "pass show pypi"\n')  # `login` would not help
    assert keyring.get_password("https://upload.pypi.org/legacy/", "__token__") is None
    assert ":2: store.command is 'pass show pypi', expected a list" in (line := capsys.readouterr().err)
    assert line.endswith("; a token that you type now is sent as it is\n")
    monkeypatch.setattr(sys, "argv", ["a-script"])
    monkeypatch.delitem(sys.modules, "twine")
    assert keyring.get_password("https://upload.pypi.org/legacy/", "__token__") is None
    assert capsys.readouterr().err == ""
