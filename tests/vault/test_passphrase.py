"""The passphrase: from the variable or a real terminal, asked for once, without echo; never from a pipe."""

from __future__ import annotations

import getpass
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.vault import passphrase
from keyring_pypitoken.vault.passphrase import VARIABLE, known_passphrase, new_passphrase

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring_pypitoken.secret import Passphrase

PATH = "masters.age"
SECRET = "correct horse"
QUESTION = "Passphrase of masters.age: "
REAL_HAS_TERMINAL = passphrase.has_terminal
POSIX = pytest.mark.skipif(os.name != "posix", reason="only POSIX has pseudo-terminals to test with")

ASK = """
import sys
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.vault.passphrase import known_passphrase, new_passphrase
try:
    for ask in {asks}:
        print("got", ask("masters.age").reveal_to_age().upper())
except Refusal as refusal:
    print("refused:", refusal)
"""


def in_terminal(asks: str, *typed: str, stdin: int | None = None) -> str:
    """Run a program that asks, in a terminal of its own; type a line at each question; return what is on the screen."""
    import pty

    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - another process
        if stdin is not None:
            os.dup2(stdin, 0)
        os.execv(sys.executable, [sys.executable, "-c", ASK.format(asks=asks)])  # noqa: S606 - the forked one
    screen = b""
    rest = list(typed)
    try:
        while data := os.read(terminal, 1000):
            screen += data
            if rest and data.endswith(b": "):
                time.sleep(0.05)  # getpass drops what was typed before it asked
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
    assert error.value.__cause__ is error.value.__context__ is None
    return str(error.value)


@pytest.mark.parametrize("ask", [known_passphrase, new_passphrase])
def test_the_variable_tells_it(ask: Callable[[str], Passphrase], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked then, not even twice for a new file."""
    monkeypatch.setenv(VARIABLE, SECRET)
    assert ask(PATH).reveal_to_age() == SECRET


@pytest.mark.parametrize("ask", [known_passphrase, new_passphrase])
@pytest.mark.parametrize("given", [None, ""])
def test_without_terminal_and_variable_both_ways_are_told(
    ask: Callable[[str], Passphrase], given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable is none."""
    if given is not None:
        monkeypatch.setenv(VARIABLE, given)
    assert refused(ask) == (
        "the masters in masters.age need a passphrase, and there is no terminal to ask for it: "
        "set KEYRING_PYPITOKEN_PASSPHRASE, or run this in a terminal."
    )


@POSIX
def test_a_terminal_is_asked_once_per_process_and_shows_nothing() -> None:
    """What is typed does not appear, and the second question is answered from memory."""
    screen = in_terminal("(known_passphrase, known_passphrase, new_passphrase)", "opens\n")
    assert screen.splitlines() == [QUESTION, *["got OPENS"] * 3]


@POSIX
def test_a_new_passphrase_is_confirmed() -> None:
    """A slip of the keyboard would lock the masters away."""
    screen = in_terminal("(new_passphrase, known_passphrase)", "opens\n", "opens\n")
    assert screen.splitlines() == [
        "New passphrase for masters.age: ",
        "The same once more: ",
        *["got OPENS"] * 2,
    ]
    assert in_terminal("(new_passphrase,)", "opens\n", "open\n").splitlines()[-1] == (
        "refused: the two passphrases differ, and nothing was stored: try again."
    )


@POSIX
@pytest.mark.parametrize("typed", ["\n", "\4"], ids=["nothing", "end of file"])
def test_no_passphrase_is_refused(typed: str) -> None:
    """An empty one would protect nothing."""
    assert (in_terminal("(known_passphrase,)", typed).splitlines()[-1]).removeprefix(QUESTION) == (
        "refused: no passphrase was given for the masters in masters.age: try again, or set "
        "KEYRING_PYPITOKEN_PASSPHRASE."
    )


@POSIX
def test_a_pipe_is_never_read() -> None:
    """`keyring set` takes the token from stdin: the passphrase comes from the terminal all the same."""
    reader, writer = os.pipe()
    os.write(writer, b"pypi-token\n")
    os.close(writer)
    screen = in_terminal("(known_passphrase,)", "opens\n", stdin=reader)
    assert screen.splitlines()[-1] == "got OPENS"
    assert os.read(reader, 100) == b"pypi-token\n"
    os.close(reader)


@POSIX
def test_in_the_background_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell would stop a process that reads from its terminal there, and it would hang."""
    import pty

    master, slave = pty.openpty()
    monkeypatch.setattr(passphrase, "_TERMINAL", os.ttyname(slave))
    try:
        assert not REAL_HAS_TERMINAL(), "not our terminal"
        monkeypatch.setattr(os, "tcgetpgrp", lambda _handle: os.getpgrp() + 1)
        assert not REAL_HAS_TERMINAL(), "another group is in front"
        monkeypatch.setattr(os, "tcgetpgrp", lambda _handle: os.getpgrp())
        assert REAL_HAS_TERMINAL()
        monkeypatch.setattr(passphrase, "_TERMINAL", "no such terminal")
        assert not REAL_HAS_TERMINAL()
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("typed", [["a", "a"], ["a", "b"]], ids=["the same", "another"])
def test_what_is_typed_is_remembered_once_it_is_sure(typed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the process itself, as above in one of its own: a slip is not remembered."""
    answers = iter(typed)
    monkeypatch.setattr(passphrase, "has_terminal", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda _question: next(answers))
    if typed == ["a", "b"]:
        assert refused(new_passphrase) == "the two passphrases differ, and nothing was stored: try again."
        assert passphrase._known == []
    else:
        assert [ask(PATH).reveal_to_age() for ask in (new_passphrase, known_passphrase, new_passphrase)] == ["a"] * 3


def test_what_would_be_seen_is_not_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where echo cannot be turned off, getpass warns and reads; here it does not come to that."""
    monkeypatch.setattr(passphrase, "has_terminal", lambda: True)
    monkeypatch.setattr(getpass, "getpass", vars(getpass)["fallback_getpass"])
    assert refused(known_passphrase) == (
        "no passphrase was given for the masters in masters.age: try again, or set KEYRING_PYPITOKEN_PASSPHRASE."
    )


def test_without_a_terminal_a_pin_is_not_asked_for() -> None:
    """Plugins ask for those."""
    assert passphrase.ask_terminal("PIN: ") is None
