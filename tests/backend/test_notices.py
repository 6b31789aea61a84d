"""What a person is told, once: by this process, or by several that one uploader starts."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keyring_pypitoken import notices, paths

if TYPE_CHECKING:
    from collections.abc import Callable

LINE = "keyring-pypitoken: a line\n"


@pytest.fixture
def started_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that lets this process be a keyring command which a program started."""

    def start(name: str) -> None:
        monkeypatch.setattr(notices, "started_by", lambda: name)
        notices._told.clear()

    return start


def test_a_line_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Another line is told too."""
    for line in ("a line", "another", "a line"):
        notices.notify(line)
    assert capsys.readouterr() == ("", f"{LINE}keyring-pypitoken: another\n")


@pytest.mark.parametrize("name", ["uv", "pdm"])
def test_an_uploader_that_asks_again_is_told_once(
    name: str, started_by: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of its questions is a process of its own, with the same parent."""
    for _ in range(3):
        started_by(name)
        notices.notify("a line")
    assert capsys.readouterr().err == LINE
    (note,) = Path(paths.notices_directory()).iterdir()
    assert note.read_bytes() == b""
    if os.name == "posix":
        assert note.stat().st_mode & 0o777 == 0o600


def test_a_person_is_told_each_time(started_by: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    """A shell is the same parent for days."""
    for _ in range(2):
        started_by("bash")
        notices.notify("a line")
    assert capsys.readouterr().err == LINE * 2
    assert not os.path.exists(paths.notices_directory())


def test_another_uploader_is_told_again(
    started_by: Callable[[str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process has another number."""
    for parent in (1000, 1001):
        started_by("uv")
        monkeypatch.setattr(os, "getppid", lambda parent=parent: parent)
        notices.notify("a line")
    assert capsys.readouterr().err == LINE * 2


def test_old_notes_do_not_count(started_by: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers of processes come again; notes of another day are removed."""
    started_by("uv")
    notices.notify("a line")
    (note,) = Path(paths.notices_directory()).iterdir()
    os.utime(note, (0, time.time() - 601))
    started_by("uv")
    notices.notify("a line")
    assert capsys.readouterr().err == LINE * 2
    assert len(list(Path(paths.notices_directory()).iterdir())) == 1


def test_where_nothing_can_be_noted_it_is_told(
    started_by: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Better twice than never."""
    Path(paths.notices_directory()).parent.mkdir(parents=True)
    Path(paths.notices_directory()).write_text("no directory")
    for _ in range(2):
        started_by("uv")
        notices.notify("a line")
    assert capsys.readouterr().err == LINE * 2


@pytest.mark.skipif(os.name != "posix", reason="a terminal has a name on POSIX systems only")
def test_what_pdm_would_swallow_goes_to_the_terminal(
    started_by: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The terminal is found by its name, since stderr is a pipe to pdm."""
    terminal = tmp_path / "tty"
    opened: list[object] = []

    def open_terminal(name: str, mode: str, encoding: str) -> object:
        opened.append((name, mode))
        return terminal.open(mode, encoding=encoding)

    monkeypatch.setattr(notices, "open", open_terminal, raising=False)
    started_by("pdm")
    notices.notify("a line")
    assert opened == [("/dev/tty", "w")]
    assert terminal.read_text() == LINE
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    notices.notify("another")
    assert len(opened) == 1


def test_without_a_terminal_nothing_fails(
    started_by: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a pipeline, where stderr is all there is."""

    def no_terminal(*_arguments: object, **_named: object) -> object:
        raise OSError

    monkeypatch.setattr(notices, "open", no_terminal, raising=False)
    started_by("pdm")
    notices.notify("a line")
    assert capsys.readouterr().err == LINE
