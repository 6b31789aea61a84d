"""What was derived, when and for what: a bounded file of lines that every process appends to, never with a token.

An upload must neither fail nor wait for it, so nothing is locked. The system appends each line as a whole. A file that
is full is renamed, by which nothing is lost whoever else does so at once, and the oldest renamed ones are removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any, NamedTuple

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import Refusal

_CURRENT = "current.jsonl"
# 256 KiB are about a thousand lines. With the current file it is 1 MiB in all, of which at least half is always kept.
_MAX_IN_FILE = 256 * 1024
_MAX_SET_ASIDE = 3 * _MAX_IN_FILE
# Whatever a policy lists and however a program is called, a line is far smaller than a file.
_MAX_PROJECTS = 500
_MAX_CHARACTERS = 400
_LAST_SECOND = 253_402_300_799  # the end of the year 9999, the last that Python can write as a date


# No dataclass: making one would cost each `keyring get` most of a millisecond.
class Entry(NamedTuple):
    """A token that was derived.

    Attributes:
        time: when, in Unix seconds.
        projects: normalized names; None for a token for any project. Of very many the last one says how many more.
        repository: the name of the endpoint, such as `pypi`.
        account: the label of the master.
        not_before: first Unix second at which the token works.
        not_after: first Unix second at which it no longer works.
        program: the program that asked.
        policy: the path of the project policy that was followed; None without one.
    """

    time: int
    projects: tuple[str, ...] | None
    repository: str
    account: str
    not_before: int
    not_after: int
    program: str
    policy: str | None


def record(entry: Entry) -> None:
    """Add an entry. What fails is not told: the token is derived, and the upload goes on.

    Args:
        entry: what was derived. Its policy may be told by a relative path; characters that a terminal would obey
            are replaced, and what is too long is cut.
    """
    # An upload is worth more than its entry, whatever fails.
    with contextlib.suppress(Exception):
        where = None if entry.policy is None else os.path.abspath(entry.policy)
        fields = {name: _plain(value) for name, value in entry._replace(policy=where)._asdict().items()}
        # The line break comes first: a line that a full disk cut short does not spoil the next one.
        _append(f"\n{json.dumps(fields)}".encode("ascii"))


def read_history() -> list[Entry]:
    """Read all entries, the oldest first. Lines that are none are skipped.

    Raises:
        Refusal: a file is there and cannot be read.
    """
    try:
        lines = [line for text in _contents() for line in text.split(b"\n")]
    except OSError as error:
        raise Refusal(
            f"the history in {paths.history_directory()} cannot be read ({type(error).__name__}): "
            "make its files readable, or remove them."
        ) from None
    found = [entry for entry in map(_parse, lines) if entry is not None]
    return sorted(found, key=lambda entry: entry.time)


def _plain(value: object) -> object:
    """Make a field safe and short."""
    if isinstance(value, tuple):
        names = [_plain(name) for name in value[:_MAX_PROJECTS]]
        return names if len(value) <= _MAX_PROJECTS else [*names, f"and {len(value) - _MAX_PROJECTS} more"]
    if not isinstance(value, str):
        return value
    return "".join(character if character.isprintable() else "?" for character in value[:_MAX_CHARACTERS])


def _append(line: bytes) -> None:
    directory = paths.history_directory()
    if _write(directory, line, _MAX_IN_FILE):
        return
    _set_aside(directory)
    # Where it could not be renamed the file grows on, but not for ever.
    _write(directory, line, 2 * _MAX_IN_FILE)


def _write(directory: str, line: bytes, most: int) -> bool:
    """Append a line to the current file; say whether it had room for it."""
    path = os.path.join(directory, _CURRENT)
    try:
        handle = _open_to_append(path)
    except FileNotFoundError:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        handle = _open_to_append(path)
    try:
        if os.fstat(handle).st_size + len(line) > most:
            return False
        os.write(handle, line)
    finally:
        os.close(handle)
    return True


def _open_to_append(path: str) -> int:
    """Open a file, or make it, so that the system itself puts whatever is written to its end."""
    if sys.platform == "win32":  # pragma: no cover - one system takes this branch
        import _winapi
        import msvcrt

        # The C library would look for the end first and write then, and another process may come between. Without
        # the right to write elsewhere the system appends: https://learn.microsoft.com/windows/win32/fileio/file-access-rights-constants
        file_append_data, file_read_attributes, synchronize = 0x4, 0x80, 0x100000
        share_all, open_always, normal = 0x7, 4, 0x80
        access = file_append_data | file_read_attributes | synchronize
        opened = _winapi.CreateFile(path, access, share_all, 0, open_always, normal, 0)
        return msvcrt.open_osfhandle(opened, os.O_APPEND)
    else:  # pragma: no cover - and the others this one  # noqa: RET505 - mypy reads one branch for each system
        # Neither through somebody's link, nor waiting for whoever reads from a pipe.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.open(path, flags, 0o600)


def _set_aside(directory: str) -> None:
    """Rename the current file, and remove the oldest that were, so that the others are within the limit."""
    current = os.path.join(directory, _CURRENT)
    # Another process may rename or remove the same file first; what is small now was begun after that.
    with contextlib.suppress(OSError):
        if os.path.getsize(current) > _MAX_IN_FILE // 2:
            os.rename(current, os.path.join(directory, f"{time.time_ns():020}-{os.getpid()}.jsonl"))
    size = 0
    for path in reversed(_files_set_aside(directory)):
        with contextlib.suppress(OSError):
            size += os.path.getsize(path)
            if size > _MAX_SET_ASIDE:
                os.remove(path)


def _files_set_aside(directory: str) -> list[str]:
    """List the renamed files, the oldest first; their names begin with the time.

    A process that is held up between its look at the clock and the renaming, for as long as others need to fill a
    file, gives too early a name: then that file goes before an older one.
    """
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return [os.path.join(directory, name) for name in sorted(names) if name.endswith(".jsonl") and name != _CURRENT]


def _contents() -> list[bytes]:
    """Read all files, the oldest first."""
    directory = paths.history_directory()
    # The current one comes first, since it may be renamed now: then it is found again, and read once nevertheless.
    current = _read(os.path.join(directory, _CURRENT))
    found = dict(_read(path) for path in _files_set_aside(directory))
    found.setdefault(*current)
    return list(found.values())


def _read(path: str) -> tuple[tuple[int, int], bytes]:
    """Read a file; return what makes it this one whatever its name is, and its content."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            return (status.st_dev, status.st_ino), file.read()
    except FileNotFoundError:
        return (0, 0), b""


def _parse(line: bytes) -> Entry | None:
    """Read a line; None where it is no entry, whoever wrote it."""
    try:
        fields: Any = json.loads(str(line, "utf-8"))
        entry = Entry(*(fields[name] for name in Entry._fields))
        entry = entry._replace(projects=None if entry.projects is None else tuple(entry.projects))
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    texts: list[object] = [entry.repository, entry.account, entry.program, *(entry.projects or ())]
    texts += [] if entry.policy is None else [entry.policy]
    sound = all(isinstance(text, str) and text.isprintable() for text in texts) and all(
        type(moment) is int and 0 <= moment <= _LAST_SECOND
        for moment in (entry.time, entry.not_before, entry.not_after)
    )
    return entry if sound else None
