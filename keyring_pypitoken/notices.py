"""Lines for the person who uploads: each is written to stderr, once.

uv and pdm start the `keyring` command several times for one upload, so what was told is noted for them in a directory;
and pdm keeps to itself what the command writes, so that its lines go to the terminal as well.
"""

from __future__ import annotations

import os
import sys
import time

from keyring_pypitoken import paths
from keyring_pypitoken.uploaders.process import started_by

_REPEATING = ("uv", "pdm")
_CAPTURING = ("pdm",)
_SECONDS = 600  # for which a note counts: longer than an uploader takes between its questions
_told: set[str] = set()


def notify(line: str) -> None:
    """Write a line to stderr, unless this process, or the uploader behind it, was told it already."""
    if line in _told:
        return
    _told.add(line)
    uploader = started_by()
    if uploader in _REPEATING and not _is_new(line):
        return
    write(f"keyring-pypitoken: {line}")
    if uploader in _CAPTURING:
        _write_to_terminal(f"keyring-pypitoken: {line}\n")


def write(line: str) -> None:
    """Write a line to stderr as it is; where that is closed, there is nobody to tell."""
    if sys.stderr is None:  # without a console (pythonw); print would take stdout instead
        return
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return


def _is_new(line: str) -> bool:
    """Note a line for the process that started this one; say whether it was not noted yet."""
    import hashlib  # loads OpenSSL: only for a refusal or a notice that another process may repeat

    directory = paths.notices_directory()
    note = os.path.join(directory, hashlib.sha256(f"{os.getppid()}\n{line}".encode()).hexdigest())
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        oldest = time.time() - _SECONDS
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.stat().st_mtime < oldest:
                    os.remove(entry)
        os.close(os.open(note, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError:  # it is there already, or nothing can be noted: better told twice than never
        return not os.path.exists(note)
    return True


def _write_to_terminal(text: str) -> None:
    """Write to the terminal of this session, where stderr does not lead there and the system knows one by name."""
    try:
        if os.name == "posix" and not sys.stderr.isatty():
            with open("/dev/tty", "w", encoding="utf-8") as terminal:
                terminal.write(text)
    except (OSError, ValueError):
        return  # there is none, as in a pipeline
