"""Ask a person on the terminal, if somebody is there to answer."""

from __future__ import annotations

import os
import sys
from typing import Any

_TERMINAL = "/dev/tty"


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
    if is_ci():
        return False
    if platform == "win32":
        import ctypes

        return _is_console_seen(vars(ctypes)["windll"])
    return _is_in_front()


def is_ci() -> bool:
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
