"""Which accounts have a stored master: noted in files, since keyrings cannot be listed.

A note names a repository, a label and a date, nothing secret. Each is a file of its own, so that no lock is needed.
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
from keyring_pypitoken.policy.model import duration_text
from keyring_pypitoken.text import in_words

if TYPE_CHECKING:
    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import WithOrigin

_MAX_BYTES = 10_000  # a note has about a hundred


def noted_accounts(repository: Repository) -> dict[str, int]:
    """Return the sorted labels of a repository's accounts, and when (Unix seconds) each was stored, or refuse."""
    directory = paths.accounts_directory()
    found: dict[str, int] = {}
    for name in files.list_directory(directory, directory):
        path = os.path.join(directory, name)
        data = files.read_bytes(path, path, max_bytes=_MAX_BYTES) if name.endswith(".json") else None
        if data is not None:
            url, label, stored = _parse(data, path)
            if url == repository.url:
                found[label] = stored
    return dict(sorted(found.items()))


def warn_of_age(repository: Repository, account: str, limit: WithOrigin[int]) -> str:
    """Return a sentence if an account's master was stored longer ago than a limit (seconds); else an empty text."""
    now = int(time.time())
    age = now - noted_accounts(repository).get(account, now)
    if age <= limit.value:
        return ""
    return (
        f"the master for {repository.name} (account {account!r}) was stored {in_words(age)} ago, and max-master-age is "
        f"{duration_text(limit)} ({limit.origin}): create a new token on {repository.domain}, store it with "
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


def note_account(repository: Repository, account: str) -> None:
    """Note a stored account with the current time; a similar label, or no place for the note, is a Refusal."""
    import tempfile

    refuse_similar(repository, account)
    stored = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    note = _note_file(repository, account)
    directory = os.path.dirname(note)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=directory, suffix=".tmp")  # 0600 from the start
        with open(handle, "w", encoding="utf-8") as file:
            json.dump({"repository": repository.url, "account": account, "stored": stored}, file)
        os.replace(path, note)
    except OSError as error:
        raise Refusal(
            f"the account {account!r} of {repository.name} cannot be noted ({error.strerror}), so its master may not "
            f"be found: make {directory} a directory that you can write, and store the master again."
        ) from None


def forget_account(repository: Repository, account: str) -> None:
    """Delete the note of an account; if it cannot be deleted that is a Refusal."""
    note = _note_file(repository, account)
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.remove(note)
    except OSError as error:
        raise Refusal(f"the note {note} cannot be deleted ({error.strerror}): delete it by hand.") from None


def _note_file(repository: Repository, account: str) -> str:
    import hashlib  # loads OpenSSL

    digest = hashlib.sha256(f"{repository.url}\n{account}".encode()).hexdigest()
    return os.path.join(paths.accounts_directory(), f"{digest[:32]}.json")


def _parse(data: bytes, path: str) -> tuple[str, str, int]:
    try:
        note = json.loads(data)
        url, label, stored = (note[key] for key in ("repository", "account", "stored"))
        moment = datetime.datetime.fromisoformat(stored)
        if isinstance(url, str) and isinstance(label, str) and moment.tzinfo is not None:
            return url, label, int(moment.timestamp())
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        pass
    raise Refusal(
        f"{path} is not a note of a stored account: delete it, and store the masters whose accounts are missing in "
        "`keyring-pypitoken status` again."
    )
