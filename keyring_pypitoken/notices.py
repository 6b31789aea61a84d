"""Lines for the person who uploads: each is written to stderr, once.

An uploader that starts the `keyring` command asks several times for one upload, so the last line is noted for its next
process; and if it keeps to itself what the command writes, lines go to the terminal as well.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from keyring_pypitoken import files, paths
from keyring_pypitoken.memory import recall
from keyring_pypitoken.text import join_names, local_time, printable, wrapped
from keyring_pypitoken.uploaders.process import parent_number, parent_process

if TYPE_CHECKING:
    from keyring_pypitoken.secret import DerivedToken

DOCS = "https://github.com/keyring-pypitoken/keyring-pypitoken/blob/main/.github/docs/"
_TERMINAL = ("CONOUT$", "utf-8") if os.name == "nt" else ("/dev/tty", "locale")  # its name, and its encoding
_SECONDS = 600  # for which a note counts: longer than an uploader takes between its questions


def notify(line: str) -> None:
    """Write a line to stderr, unless this process, or the uploader that started it, has had it already."""
    line = printable(line)
    printed: set[str] = recall("printed lines", set)
    if line in printed:
        return
    printed.add(line)
    parent = parent_process()
    uploader = parent.uploader if parent else None
    if uploader is not None and not _is_new(line):
        return
    write(f"keyring-pypitoken: {line}")
    if uploader is not None and uploader.hides_stderr:
        _write_to_terminal(f"keyring-pypitoken: {line}\n")


def name_page() -> None:
    """Write the address of the page that helps with a refusal, if a person reads it on a terminal."""
    with contextlib.suppress(Exception):  # no stderr, or a closed one: a line that cannot be printed changes nothing
        if sys.stderr.isatty():
            notify(f"see {DOCS}troubleshooting.md")


def write(line: str) -> None:
    """Write a line to stderr, escaped if its encoding lacks a letter; do nothing if it is closed."""
    if sys.stderr is None:  # as without a console (pythonw); print would write to stdout
        return
    # The stream may be an uploader's own: it is never reconfigured, and may have any fault.
    for text in (line, line.encode("ascii", "backslashreplace").decode()):
        with contextlib.suppress(Exception):
            print(wrapped(text, sys.stderr), file=sys.stderr, flush=True)
            return


def mask(token: DerivedToken) -> None:
    """Tell GitHub's runner to hide a token in its logs; the line is the one place where a token's text is printed."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"::add-mask::{token.unwrap()}\n")
        sys.stderr.flush()


def derived_line(projects: tuple[str, ...] | None, repository: str, account: str, not_after: int, policy: str) -> str:
    """Return the line about a derivation; its end is written in local time."""
    today = local_time(int(time.time()), "%Y-%m-%d ")
    until = local_time(not_after, "%Y-%m-%d %H:%M:%S").removeprefix(today)
    where = repository if account == "default" else f"{repository} (account {account})"
    policy = policy or "none for this project"
    return f"derived a token for {join_names(projects)} on {where}, valid until {until} (policy: {policy})"


def _is_new(line: str) -> bool:
    """Note a line for the process that started this one; return False if it is what was noted last."""
    path, note = paths.last_notice(), f"{parent_number()} {line}".encode()
    with contextlib.suppress(Exception):  # better printed twice than never
        status = files.status(path, path)
        if status and time.time() - status.st_mtime < _SECONDS and files.read_bytes(path, path) == note:
            return False
        files.replace(path, note)
    return True


def _write_to_terminal(text: str) -> None:
    """Write to the terminal of this session, or to the console on Windows, if stderr does not lead there."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # there is none, as in a pipeline
        if not (sys.stderr and sys.stderr.isatty()):
            name, encoding = _TERMINAL
            with open(name, "w", encoding=encoding, errors="backslashreplace") as terminal:
                terminal.write(text)
