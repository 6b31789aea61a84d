"""The passphrase: from the variable or a real terminal, asked for once, without echo; never from a pipe."""

from __future__ import annotations

import getpass
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.secret import Passphrase
from keyring_pypitoken.vault import terminal
from keyring_pypitoken.vault.keys import VARIABLE, new_passphrase, passphrase_to_store, passphrases, remember

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "masters.age"
SECRET = "correct horse"
QUESTION = "Passphrase of masters.age: "
REAL_HAS_TERMINAL = terminal.has_terminal
POSIX = pytest.mark.skipif(os.name != "posix", reason="only POSIX has pseudo-terminals to test with")

ASK = """
import sys
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.vault.keys import *
from keyring_pypitoken.vault.keys import passphrases, remember, passphrase_to_store, new_passphrase
def first(path):
    passphrase = next(passphrases(path))
    remember(passphrase)
    return passphrase
def each(path):
    return list(passphrases(path))[-1]
{before}
try:
    for ask in {asks}:
        print("got", ask("masters.age").reveal_to_age().upper())
except Refusal as refusal:
    print("refused:", refusal)
"""


def in_terminal(asks: str, *typed: str, stdin: int | None = None, before: str = "") -> str:
    """Run a program that asks, in a terminal of its own; type a line at each question; return what is on the screen."""
    import pty

    if sys.platform == "win32":
        pytest.skip("only POSIX has pseudo-terminals to test with")
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - another process
        if stdin is not None:
            os.dup2(stdin, 0)
        os.execv(sys.executable, [sys.executable, "-c", ASK.format(asks=asks, before=before)])  # noqa: S606 - the forked one
    screen = b""
    rest = list(typed)
    try:
        while data := os.read(terminal, 1000):
            screen += data
            if rest and screen.endswith(b": ") and b"refused" not in screen:  # whose sentence may arrive in parts
                os.write(terminal, rest.pop(0).encode())
    except OSError:  # how Linux tells that the program has ended
        pass
    os.close(terminal)
    os.waitpid(pid, 0)
    return screen.decode()


def refused(ask: Callable[[str], Passphrase]) -> str:
    """Return why there is no passphrase."""
    with pytest.raises(Refusal) as error:
        ask(PATH)
    return str(error.value)


def first(path: str) -> Passphrase:
    return next(passphrases(path))


NO_TERMINAL = (
    "the masters in masters.age need a passphrase, which cannot be asked for without a terminal: "
    "set KEYRING_PYPITOKEN_PASSPHRASE, or run this in a terminal."
)
IN_CI = (
    "the masters in masters.age need a passphrase, which is not asked for if the variable CI is set: "
    "set KEYRING_PYPITOKEN_PASSPHRASE, or run this in a terminal without CI."
)
NOTHING_GIVEN = "no passphrase given for the masters in masters.age: try again, or set KEYRING_PYPITOKEN_PASSPHRASE."


def test_the_variable_answers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    assert [one.reveal_to_age() for one in passphrases(PATH)] == [SECRET]
    assert passphrase_to_store(PATH).reveal_to_age() == SECRET
    assert refused(new_passphrase) == NO_TERMINAL, "a new one is typed"


@pytest.mark.parametrize("ask", [first, passphrase_to_store, new_passphrase])
@pytest.mark.parametrize("given", [None, ""])
def test_without_terminal_and_variable_both_ways_are_named(
    ask: Callable[[str], Passphrase], given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given is not None:
        monkeypatch.setenv(VARIABLE, given)
    assert refused(ask) == NO_TERMINAL


def test_without_a_terminal_what_was_typed_before_is_tried_once() -> None:
    remember(Passphrase(SECRET))
    assert [one.reveal_to_age() for one in passphrases(PATH)] == [SECRET]


@POSIX
def test_a_terminal_is_asked_once_per_process_and_shows_nothing() -> None:
    screen = in_terminal("(first, first, passphrase_to_store)", "opens\n")
    assert screen.splitlines() == [QUESTION, *["got OPENS"] * 3]


@POSIX
def test_a_wrong_passphrase_is_asked_for_three_times() -> None:
    again = "This passphrase does not open it. Try again: "
    assert in_terminal("(each,)", "a\n", "b\n", "c\n", "d\n").splitlines() == [QUESTION, again, again, "got C"]


@POSIX
def test_a_new_passphrase_is_confirmed_and_asked_for_again_after_a_slip() -> None:
    new, repeat, differ = "New passphrase for masters.age: ", "Repeat passphrase: ", "The two differ. New passphrase: "
    screen = in_terminal("(passphrase_to_store, first)", "opens\n", "open\n", "opens\n", "opens\n")
    assert screen.splitlines() == [new, repeat, differ, repeat, *["got OPENS"] * 2]
    assert in_terminal("(new_passphrase,)", *[f"{letter}\n" for letter in "abcdef"]).splitlines() == [
        *[new, repeat, differ, repeat, differ, repeat],
        "refused: the two passphrases differed each time, so nothing was stored: try again.",
    ]


@POSIX
@pytest.mark.parametrize("typed", ["\n", "\4"], ids=["nothing", "Ctrl-D"])
def test_no_passphrase_is_refused(typed: str) -> None:
    screen = in_terminal("(first,)", typed)
    assert screen.splitlines()[-1].removeprefix(QUESTION) == f"refused: {NOTHING_GIVEN}"


@POSIX
@pytest.mark.parametrize(
    "before", ["sys.stdin = None", "sys.stderr = None", "sys.stdin.close()", "import os; os.close(0)"]
)
def test_closed_streams_do_not_keep_the_terminal_from_being_asked(before: str) -> None:
    assert in_terminal("(first,)", "opens\n", before=before).splitlines() == [QUESTION, "got OPENS"]


@POSIX
def test_a_pipe_is_never_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"pypi-token\n")
    os.close(writer)
    screen = in_terminal("(first,)", "opens\n", stdin=reader)
    assert screen.splitlines()[-1] == "got OPENS"
    assert os.read(reader, 100) == b"pypi-token\n"
    os.close(reader)


@POSIX
def test_in_the_background_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty

    if sys.platform == "win32":
        pytest.skip("only POSIX has pseudo-terminals to test with")
    master, slave = pty.openpty()
    monkeypatch.setattr(terminal, "_TERMINAL", os.ttyname(slave))
    try:
        assert not REAL_HAS_TERMINAL(), "not our terminal"
        monkeypatch.setattr(os, "tcgetpgrp", lambda _handle: os.getpgrp() + 1)
        assert not REAL_HAS_TERMINAL(), "another group is in front"
        monkeypatch.setattr(os, "tcgetpgrp", lambda _handle: os.getpgrp())
        assert REAL_HAS_TERMINAL()
        monkeypatch.setattr(terminal, "_TERMINAL", "no such terminal")
        assert not REAL_HAS_TERMINAL()
    finally:
        os.close(master)
        os.close(slave)


@POSIX
@pytest.mark.parametrize(("ci", "asked"), [("true", False), ("1", False), ("", True), ("false", True)])
def test_in_ci_nobody_is_asked_on_the_terminal_that_some_services_give(ci: str, asked: bool) -> None:
    screen = in_terminal("(first,)", "opens\n", before=f"import os; os.environ['CI'] = {ci!r}").splitlines()
    assert screen == ([QUESTION, "got OPENS"] if asked else [f"refused: {IN_CI}"])


def test_in_ci_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert refused(first) == IN_CI


class Windows:
    """The libraries of a Windows on which a process has a console of some kind, or none."""

    def __init__(self, window: str, *, visible: bool, desktop: bool) -> None:
        """Take the class of the console's window (empty if it has none), and whether it and its desktop can be seen."""
        self.kernel32 = self.user32 = self
        self._window, self._visible, self._desktop = window, visible, desktop

    def GetConsoleWindow(self) -> int:  # noqa: N802 - Windows' own names
        return 7 if self._window else 0

    def GetClassNameW(self, window: int, name: Any, length: int) -> int:  # noqa: N802
        assert (window, length) == (7, len(name))
        name.value = self._window
        return len(self._window)

    def IsWindowVisible(self, window: int) -> int:  # noqa: N802
        assert window == 7
        return int(self._visible)

    def GetProcessWindowStation(self) -> int:  # noqa: N802
        return 8

    def GetUserObjectInformationW(self, station: int, index: int, info: Any, size: int, needed: None) -> int:  # noqa: N802
        assert (station, index, size, needed) == (8, 1, 12, None)
        info[2] = int(self._desktop)
        return 1


@pytest.mark.parametrize(
    ("window", "visible", "desktop", "asked"),
    [
        pytest.param("", False, True, False, id="without a console (pythonw), or with CREATE_NO_WINDOW"),
        pytest.param("ConsoleWindowClass", True, True, True, id="console"),
        pytest.param("ConsoleWindowClass", False, True, False, id="hidden console"),
        pytest.param("ConsoleWindowClass", True, False, False, id="service"),
        pytest.param("PseudoConsoleWindow", False, True, True, id="Windows Terminal"),
        pytest.param("PseudoConsoleWindow", False, False, True, id="ssh"),
    ],
)
def test_on_windows_a_console_that_nobody_sees_is_not_asked(
    window: str, visible: bool, desktop: bool, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ctypes

    monkeypatch.setattr(ctypes, "windll", Windows(window, visible=visible, desktop=desktop), raising=False)
    assert REAL_HAS_TERMINAL("win32") is asked
    monkeypatch.setenv("CI", "true")
    assert not REAL_HAS_TERMINAL("win32")


def typing(monkeypatch: pytest.MonkeyPatch, *typed: str) -> None:
    rest = iter(typed)
    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda _question: next(rest))


def test_a_new_passphrase_is_remembered_once_it_is_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, "a", "b", "c", "c")
    assert [ask(PATH).reveal_to_age() for ask in (passphrase_to_store, first, passphrase_to_store)] == ["c"] * 3


def test_what_is_typed_comes_after_what_was_typed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    remember(Passphrase("old"))
    typing(monkeypatch, "a", "b", "c")
    assert [one.reveal_to_age() for one in passphrases(PATH)] == ["old", "a", "b", "c"]


def test_slips_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, *"abcdef")
    assert refused(passphrase_to_store) == "the two passphrases differed each time, so nothing was stored: try again."


def test_what_would_be_seen_is_not_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "has_terminal", lambda: True)
    monkeypatch.setattr(getpass, "getpass", vars(getpass)["fallback_getpass"])
    assert refused(first) == NOTHING_GIVEN


def test_without_a_terminal_a_pin_is_not_asked_for() -> None:
    assert terminal.ask_terminal("PIN: ") == ""
