"""What was derived, when and for what: one bounded file of lines that every process appends to, never with a token.

An upload must neither fail nor wait for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

from keyring_pypitoken import files, paths
from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.record import Record

if TYPE_CHECKING:
    from keyring_pypitoken.policy.model import Grant, NamedFile

_MAX_BYTES = files.MAX_BYTES  # some four thousand lines; a full file loses the older half
_LOCK_SECONDS = 1
# Whatever a policy lists and however a program is called, a line is far smaller than a file.
_MAX_PROJECTS, _MAX_FILES = 500, 500
_MAX_CHARACTERS = 400
_LAST_SECOND = 253_402_300_799  # the end of the year 9999, the last that Python can write as a date


class Entry(Record):
    """A token that was derived; times are in Unix seconds."""

    time: int  # when
    projects: tuple[str, ...] | None  # normalized names; None for any. Of very many the last one says how many more
    repository: str  # the name of the endpoint, such as `pypi`
    account: str  # the label of the master
    not_before: int  # first second at which the token works
    not_after: int  # first second at which it no longer works
    program: str  # that asked
    policy: str | None  # the path of the nearest project policy that was followed
    note: str | None = None  # what its user noted
    files: tuple[tuple[str, int], ...] | None = None  # their names and sizes in bytes; None if not known, or very many


def entry_of(grant: Grant, not_after: int, program: str, note: str | None = None) -> Entry:
    """Return the entry of a token that was derived now."""
    now = int(time.time())
    return Entry(
        time=now,
        projects=grant.projects.value if grant.projects else None,
        repository=grant.repository.name,
        account=grant.account.value,
        not_before=max(now - grant.clock_skew.value, grant.start.value if grant.start else 0),
        not_after=not_after,
        program=program,
        policy=grant.policies[0] if grant.policies else None,
        note=note,
        files=_names_and_sizes(grant.files),
    )


def _names_and_sizes(uploaded: tuple[NamedFile, ...] | None) -> tuple[tuple[str, int], ...] | None:
    if uploaded is None or len(uploaded) > _MAX_FILES:
        return None
    return tuple((file.path.name, file.size) for file in uploaded)


def record(entry: Entry) -> None:
    """Add an entry. What fails is not reported: the token is derived, and an upload is worth more than its entry."""
    with contextlib.suppress(Exception):
        where = None if entry.policy is None else os.path.abspath(entry.policy)
        fields = {name: _plain(value) for name, value in entry._replace(policy=where)._asdict().items()}
        # The line break comes first: a line that a full disk cut short does not spoil the next one.
        line = f"\n{json.dumps(fields)}".encode("ascii")
        path = paths.history()
        with files.locked(path, _LOCK_SECONDS):
            status = files.status(path, path)
            if status is not None and status.st_size + len(line) > _MAX_BYTES:
                newest = (files.read_bytes(path, path) or b"")[-_MAX_BYTES // 2 :]
                files.replace(path, newest[newest.find(b"\n") + 1 :])  # without a line that was cut
            with open(path, "ab", opener=_open_to_append) as file:
                file.write(line)


def read_history() -> list[Entry]:
    """Return all entries, the oldest first; other lines are skipped, and a file that cannot be read is a Refusal."""
    path = paths.history()
    try:
        data = files.read_bytes(path, path, max_bytes=2 * _MAX_BYTES) or b""
    except PolicyError as error:
        raise Refusal(f"the history cannot be read: {error}") from None
    entries = [entry for entry in map(_parse, data.split(b"\n")) if entry is not None]
    return sorted(entries, key=lambda entry: entry.time)


def _plain(value: object) -> object:
    """Replace characters that a terminal would obey, and cut what is too long."""
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return [[_plain(part) for part in pair] for pair in value]
    if isinstance(value, tuple):
        names = [_plain(name) for name in value[:_MAX_PROJECTS]]
        return names if len(value) <= _MAX_PROJECTS else [*names, f"and {len(value) - _MAX_PROJECTS} more"]
    if not isinstance(value, str):
        return value
    return "".join(character if character.isprintable() else "?" for character in value[:_MAX_CHARACTERS])


def _open_to_append(path: str, flags: int) -> int:
    """Open a file for its user only; follow no link, and do not wait for a pipe's reader."""
    further = sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK"))
    return os.open(path, flags | further, 0o600)


def _parse(line: bytes) -> Entry | None:
    """Read a line; None if it is not an entry, whoever wrote it."""
    try:
        return _entry(json.loads(str(line, "utf-8")))
    except (ValueError, RecursionError):
        return None


def _entry(fields: Any) -> Entry | None:
    """Return the entry with these fields; None if it cannot be one."""
    try:
        optional = {name: fields.get(name) for name in ("note", "files")}
        entry = Entry(**{name: fields[name] for name in Entry._fields if name not in optional}, **optional)
        projects = None if entry.projects is None else tuple(entry.projects)
        uploaded = None if entry.files is None else tuple((name, size) for name, size in entry.files)
        entry = entry._replace(projects=projects, files=uploaded)
    except (TypeError, ValueError, LookupError, AttributeError):
        return None
    sizes = [size for _, size in entry.files or ()]
    texts: list[object] = [entry.repository, entry.account, entry.program, *(entry.projects or ())]
    texts += [name for name, _ in entry.files or ()]
    texts += [text for text in (entry.policy, entry.note) if text is not None]
    times = (entry.time, entry.not_before, entry.not_after)
    sound = all(type(moment) is int and 0 <= moment <= _LAST_SECOND for moment in times)
    sound = sound and all(type(size) is int and size >= 0 for size in sizes)
    return entry if sound and all(isinstance(text, str) and text.isprintable() for text in texts) else None
