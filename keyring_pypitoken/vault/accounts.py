"""Which accounts have a master stored: noted beside the stores, since keyrings cannot be listed.

A file for each account tells its repository, label and date, and nothing secret. Files of their own need no lock: two
processes that store two accounts at once cannot undo each other's.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from typing import TYPE_CHECKING

from keyring_pypitoken import paths

if TYPE_CHECKING:
    from keyring_pypitoken.lookup import Repository


def _label_file(repository: Repository, account: str) -> str:
    digest = hashlib.sha256(f"{repository.url}\n{account}".encode()).hexdigest()
    return os.path.join(paths.accounts_directory(), f"{digest[:32]}.json")


def note_account(repository: Repository, account: str) -> None:
    """Note a stored account; the master is safe in its store already, so a failure here is none."""
    import tempfile

    stored = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    text = json.dumps({"repository": repository.url, "account": account, "stored": stored})
    directory = paths.accounts_directory()
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=directory, suffix=".tmp")  # 0600 from the start
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path, _label_file(repository, account))
    except OSError:
        return


def forget_account(repository: Repository, account: str) -> None:
    """Forget the note of an account."""
    try:
        os.remove(_label_file(repository, account))
    except OSError:
        return


def noted_accounts(repository: Repository) -> list[str]:
    """List the accounts of which a master was stored and not deleted, as far as the notes tell."""
    try:
        with os.scandir(paths.accounts_directory()) as entries:
            files = [entry.path for entry in entries if entry.name.endswith(".json")]
    except OSError:
        return []
    found: list[str] = []
    for path in files:
        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(content, dict) and content.get("repository") == repository.url:
            label = content.get("account")
            found.extend([label] if isinstance(label, str) else [])
    return found
