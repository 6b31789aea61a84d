"""Where the passphrase of the age file comes from: a variable, or the terminal; never an argument or a pipe."""

from __future__ import annotations

import os
import sys
import warnings

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.secret import Passphrase

VARIABLE = "KEYRING_PYPITOKEN_PASSPHRASE"
_TERMINAL = "CONIN$" if sys.platform == "win32" else "/dev/tty"

# What this process was told, so that nobody is asked twice.
_known: list[Passphrase] = []


def known_passphrase(path: str) -> Passphrase:
    """Return the passphrase of a file that is there.

    Args:
        path: the file, for the question.

    Raises:
        Refusal: nobody tells it.
    """
    return _from_variable() or _remembered() or _remember(_ask(f"Passphrase of {path}: ", path))


def new_passphrase(path: str) -> Passphrase:
    """Return the passphrase for a file that shall be made; on a terminal it is asked for twice.

    Args:
        path: the file, for the question.

    Raises:
        Refusal: nobody tells it, or not the same twice.
    """
    given = _from_variable() or _remembered()
    if given is not None:
        return given
    first = _ask(f"New passphrase for {path}: ", path)
    again = _ask("The same once more: ", path)
    if first.reveal_to_age() != again.reveal_to_age():
        raise Refusal("the two passphrases differ, and nothing was stored: try again.")
    return _remember(first)


def ask_terminal(question: str) -> Passphrase | None:
    """Ask on the terminal, without showing what is typed; None where there is no terminal, or nothing is typed."""
    if not has_terminal():
        return None
    import getpass

    try:
        with warnings.catch_warnings():
            # Before it reads what would be seen, or reads from a pipe, getpass warns.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return Passphrase(getpass.getpass(question))
    except (OSError, EOFError, ValueError, getpass.GetPassWarning):
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


def _from_variable() -> Passphrase | None:
    text = os.environ.get(VARIABLE)
    return Passphrase(text) if text else None


def _remembered() -> Passphrase | None:
    return _known[0] if _known else None


def _remember(passphrase: Passphrase) -> Passphrase:
    _known.append(passphrase)
    return passphrase


def _ask(question: str, path: str) -> Passphrase:
    if not has_terminal():
        raise Refusal(
            f"the masters in {path} need a passphrase, and there is no terminal to ask for it: "
            f"set {VARIABLE}, or run this in a terminal."
        )
    passphrase = ask_terminal(question)
    if passphrase is None or not passphrase.reveal_to_age():
        raise Refusal(f"no passphrase was given for the masters in {path}: try again, or set {VARIABLE}.")
    return passphrase
