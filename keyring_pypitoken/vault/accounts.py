"""Which accounts have a stored master: noted in files, since keyrings cannot be listed.

A note has a repository, a label, a date and the projects whose uploads use the account; nothing secret.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import time
from typing import TYPE_CHECKING

from keyring_pypitoken import files, paths
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import Repository
from keyring_pypitoken.names import normalize
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from keyring_pypitoken.policy.model import WithOrigin

_MAX_BYTES = 10_000  # a note has about a hundred


class Noted(Record):
    """When an account's master was stored (Unix seconds), and the normalized projects that it is noted for."""

    stored: int
    projects: tuple[str, ...] = ()


def noted_accounts(repository: Repository) -> dict[str, Noted]:
    """Return what is noted about each account of a repository, sorted by label.

    Raises:
        Refusal: a note cannot be read.
    """
    return dict(sorted((label, noted) for url, label, noted in _notes() if url == repository.url))


def noted_repositories() -> tuple[Repository, ...]:
    """Return the repositories of all accounts, whether or not a policy still has them; only their URLs are known.

    Raises:
        Refusal: a note cannot be read.
    """
    return tuple(Repository("", url, "") for url, _, _ in _notes())


def last_change() -> int:
    """Return a number that changes whenever any process stores or deletes a master; 0 if none was ever noted."""
    directory = paths.accounts_directory()
    status = files.status(directory, directory)
    return status.st_mtime_ns if status else 0


def _notes() -> Iterator[tuple[str, str, Noted]]:
    directory = paths.accounts_directory()
    for name in files.list_directory(directory, directory):
        path = os.path.join(directory, name)
        data = files.read_bytes(path, path, max_bytes=_MAX_BYTES) if name.endswith(".json") else None
        if data is not None:
            yield _parse(data, path)


def account_of_project(repository: Repository, project: str) -> str | None:
    """Return the account that is noted as a project's, the one that was stored last; None if there is none."""
    labels = [(noted.stored, label) for label, noted in noted_accounts(repository).items() if project in noted.projects]
    return max(labels)[1] if labels else None


def account_for(repository: Repository, projects: Sequence[str]) -> str | None:
    """Return the account for the token of exactly one project: the one that is noted as its, else one of its name."""
    if len(projects) != 1:
        return None
    return account_of_project(repository, projects[0]) or projects[0][:64]


def warn_of_age(repository: Repository, account: str, limit: WithOrigin[int]) -> str:
    """Return a sentence if an account's master was stored longer ago than a limit (seconds); else an empty text."""
    now = int(time.time())
    noted = noted_accounts(repository).get(account)
    age = now - noted.stored if noted else 0
    if age <= limit.value:
        return ""
    return (
        f"the master for {repository.name} (account {account!r}) was stored {in_words(age)} ago, and max-master-age is "
        f"{in_words(limit.value)} ({limit.origin}): create a new token on {repository.domain}, store it with "
        f"`keyring-pypitoken login -r {repository.name} --account {account}`, and revoke the old one"
    )


def refuse_similar(repository: Repository, account: str) -> None:
    """Refuse a label that differs from a stored one in case only: Windows' keyring takes them for the same."""
    for label in noted_accounts(repository):
        if label != account and label.casefold() == account.casefold():
            raise Refusal(
                f"a master for {repository.name} is stored for the account {label!r}, which differs from {account!r} "
                "in case only: use that label or quite another one."
            )


def note_account(repository: Repository, account: str, projects: Iterable[str] = ()) -> None:
    """Note a stored account with the current time, and as that of projects; those noted before stay if none is given.

    Raises:
        Refusal: a label that differs in case only is noted, or the note cannot be written.
    """
    refuse_similar(repository, account)
    earlier = noted_accounts(repository).get(account)
    names = sorted({normalize(project) for project in projects}) or list(earlier.projects if earlier else ())
    stored = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    note = {"repository": repository.url, "account": account, "stored": stored, "projects": names}
    try:
        files.replace(_note_file(repository, account), json.dumps(note).encode())
    except Refusal as refusal:
        problem = f"the account {account!r} of {repository.name} is stored, and cannot be noted: {refusal}"
    else:
        return
    raise Refusal(problem)


def forget_account(repository: Repository, account: str) -> None:
    """Delete the note of an account; if it cannot be deleted that is a Refusal."""
    files.remove(_note_file(repository, account))


def touch_notes() -> None:
    """Let it seem that a master was changed, so that no process goes on with what it remembers of one."""
    with contextlib.suppress(OSError):
        os.utime(paths.accounts_directory())


def _note_file(repository: Repository, account: str) -> str:
    import hashlib  # loads OpenSSL

    digest = hashlib.sha256(f"{repository.url}\n{account}".encode()).hexdigest()
    return os.path.join(paths.accounts_directory(), f"{digest[:32]}.json")


def _parse(data: bytes, path: str) -> tuple[str, str, Noted]:
    try:
        note = json.loads(data)
        url, label, stored = (note[key] for key in ("repository", "account", "stored"))
        moment, projects = datetime.datetime.fromisoformat(stored), tuple(note.get("projects", ()))
        if all(isinstance(name, str) for name in (url, label, *projects)) and moment.tzinfo is not None:
            return url, label, Noted(int(moment.timestamp()), projects)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        pass
    raise Refusal(
        f"{path} is not a note of a stored account: delete it, and store the masters whose accounts are missing in "
        "`keyring-pypitoken status` again."
    )
