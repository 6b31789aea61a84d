"""Where the passphrase of the age file comes from: a variable or the terminal, never an argument or a pipe."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.memory import forget, recall
from keyring_pypitoken.secret import Passphrase

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "KEYRING_PYPITOKEN_PASSPHRASE"
_TERMINAL = "/dev/tty"
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


def ask_terminal(question: str) -> str:
    """Ask on the terminal without showing what is typed; an empty text without a terminal or an answer."""
    if not has_terminal():
        return ""
    import getpass
    import warnings

    try:
        with warnings.catch_warnings():
            # getpass warns before it reads from a pipe, or what everybody would see.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(question)
    except (OSError, EOFError, ValueError, AttributeError, getpass.GetPassWarning):
        return ""


def has_terminal(platform: str = sys.platform) -> bool:
    """Return True if somebody can be asked: not in a service, a pipeline of CI, or the background of a shell."""
    if _is_ci():
        return False
    if platform == "win32":
        import ctypes

        return _is_console_seen(vars(ctypes)["windll"])
    return _is_in_front()


def _is_ci() -> bool:
    """Return True in CI, where some services (Buildkite, CircleCI) give a terminal that nobody watches."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def _is_console_seen(windll: Any) -> bool:
    """Return True if the console has a window on a desktop, or belongs to a terminal program or ssh (ConPTY)."""
    import ctypes

    window = windll.kernel32.GetConsoleWindow()
    if not window:  # no console (pythonw), or one without a window (CREATE_NO_WINDOW)
        return False
    name = ctypes.create_unicode_buffer(64)
    windll.user32.GetClassNameW(window, name, len(name))
    if name.value == "PseudoConsoleWindow":  # which is never visible itself
        return True
    flags = (ctypes.c_uint32 * 3)()  # USEROBJECTFLAGS
    station = windll.user32.GetProcessWindowStation()  # a service's cannot be seen
    windll.user32.GetUserObjectInformationW(station, 1, flags, ctypes.sizeof(flags), None)  # UOI_FLAGS
    return bool(windll.user32.IsWindowVisible(window) and flags[2] & 1)  # WSF_VISIBLE


def _is_in_front() -> bool:
    """Return True if this process may read from its terminal: from the background, asking would stop it."""
    if sys.platform == "win32":  # pragma: no cover - it is not called there
        return False
    try:
        handle = os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(handle) == os.getpgrp()
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
        without, place = "cannot be asked for without a terminal", "a terminal"
        if _is_ci():
            without, place = "is not asked for if the variable CI is set", "a terminal without CI"
        raise Refusal(
            f"the masters in {path} need a passphrase, which {without}: set {VARIABLE}, or run this in {place}."
        )
    passphrase = Passphrase(ask_terminal(question))
    if not passphrase.reveal_to_age():
        raise Refusal(f"no passphrase given for the masters in {path}: try again, or set {VARIABLE}.")
    return passphrase
