"""Where the passphrase of the age file comes from: a variable or the terminal, never an argument or a pipe."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.memory import forget, recall
from keyring_pypitoken.secret import Passphrase

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "KEYRING_PYPITOKEN_PASSPHRASE"
_TERMINAL = "CONIN$" if sys.platform == "win32" else "/dev/tty"
_TRIES = 3


def passphrases(path: str) -> Iterator[Passphrase]:
    """Yield what may open a file: the variable's value; else what was typed before, then up to three answers."""
    given = _given()
    if given is not None:
        yield given
        if os.environ.get(VARIABLE) or not has_terminal():
            return
    question = f"Passphrase of {path}: "
    for _ in range(_TRIES):
        yield _ask(question, path)
        question = "This passphrase does not open it. Try again: "


def passphrase_to_store(path: str) -> Passphrase:
    """Return the passphrase for a file that may not exist yet; if it is not known, ask as `new_passphrase` does."""
    given = _given()
    if given is None:
        remember(given := new_passphrase(path))
    return given


def new_passphrase(path: str) -> Passphrase:
    """Ask on the terminal for a passphrase, and again to be sure; three slips, or no answer, are a Refusal."""
    question = f"New passphrase for {path}: "
    for _ in range(_TRIES):
        first = _ask(question, path)
        if first.reveal_to_age() == _ask("Repeat passphrase: ", path).reveal_to_age():
            return first
        question = "The two differ. New passphrase: "
    raise Refusal("the two passphrases differed each time, so nothing was stored: try again.")


def remember(passphrase: Passphrase) -> None:
    """Remember what opened or will open the file, so that this process asks once."""
    forget("passphrase")
    recall("passphrase", lambda: passphrase)


def ask_terminal(question: str) -> Passphrase | None:
    """Ask on the terminal without showing what is typed; None without a terminal or an answer."""
    if not has_terminal():
        return None
    import getpass
    import warnings

    try:
        with warnings.catch_warnings():
            # getpass warns before it reads from a pipe, or what everybody would see.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return Passphrase(getpass.getpass(question))
    except (OSError, EOFError, ValueError, AttributeError, getpass.GetPassWarning):
        return None


def has_terminal() -> bool:
    """Return True if somebody can be asked: not in a service, a pipeline of CI, or the background of a shell."""
    try:
        handle = os.open(_TERMINAL, os.O_RDWR | getattr(os, "O_NOCTTY", 0))
    except OSError:
        return False
    try:
        if sys.platform == "win32":
            return sys.stdin is sys.__stdin__  # pragma: no cover - else getpass would ask who took stdin's place
        return os.tcgetpgrp(handle) == os.getpgrp()  # from the background, asking would stop the process
    except OSError:
        return False
    finally:
        os.close(handle)


def _given() -> Passphrase | None:
    text = os.environ.get(VARIABLE)
    return Passphrase(text) if text else recall("passphrase", lambda: None)


def _ask(question: str, path: str) -> Passphrase:
    """Ask on the terminal; if nobody can be asked, or nothing is typed, that is a Refusal."""
    if not has_terminal():
        raise Refusal(
            f"the masters in {path} need a passphrase, which cannot be asked for without a terminal: "
            f"set {VARIABLE}, or run this in a terminal."
        )
    passphrase = ask_terminal(question)
    if passphrase is None or not passphrase.reveal_to_age():
        raise Refusal(f"no passphrase given for the masters in {path}: try again, or set {VARIABLE}.")
    return passphrase
