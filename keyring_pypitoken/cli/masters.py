"""login, logout, adopt: where masters are kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from keyring_pypitoken import issue
from keyring_pypitoken.cli import adopt as adoption
from keyring_pypitoken.cli.output import dump, items, read_secret, say
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import TOKEN_USERNAME
from keyring_pypitoken.text import in_words
from keyring_pypitoken.tokens.describe import HIDDEN_RESTRICTIONS, describe

if TYPE_CHECKING:
    import argparse

    from keyring_pypitoken.lookup import Repository


def login(options: argparse.Namespace) -> int:
    """Store a master, and say what it is and how it will be used."""
    repository, service = _asked(options)
    text = read_secret(f"API token for {repository.name}, as {repository.domain} shows it")
    saved = issue.save(service, TOKEN_USERNAME, text)
    if isinstance(saved, issue.Saved):
        _tell_saved(saved, text)
        return 0
    del text
    raise saved or Refusal(f"{repository.name} is no repository that a master can be stored for.")


def logout(options: argparse.Namespace) -> int:
    """Delete a master."""
    repository, service = _asked(options)
    deleted = issue.delete(service, TOKEN_USERNAME)
    if isinstance(deleted, Refusal):
        raise deleted
    account = options.account or "default"
    if deleted is None or not deleted.found:
        raise Refusal(
            f"no master is stored for {repository.name} (account {account!r}), so there is nothing to delete."
        )
    say(f"Deleted the master for {repository.name} (account {account!r}).")
    return 0


def adopt(options: argparse.Namespace) -> int:
    """Move raw masters to where only this package looks."""
    found = adoption.adopt(issue.read_config(), dry_run=options.dry_run)
    if options.json:
        dump({"moved": not options.dry_run, "found": [adopted._asdict() for adopted in found]})
    elif not found:
        say("No token lies where an uploader would find it raw.", "good")
    else:
        items(
            f"{entry.service!r} (user {entry.username!r}) in {entry.store}: "
            f"{f'left there, since {entry.problem}' if entry.problem else entry.outcome}"
            for entry in found
        )
    return 1 if any(entry.problem for entry in found) else 0


def _asked(options: argparse.Namespace) -> tuple[Repository, str]:
    """Return the repository that the options name, and keyring's service for the account."""
    repository = issue.find_repository(options.repository or "pypi", issue.read_config())
    return repository, repository.url if options.account is None else f"{repository.url}?{quote(options.account)}"


def _tell_saved(saved: issue.Saved, text: str) -> None:
    name = saved.repository.name
    replacing = ", in the place of another one" if saved.replaced else ""
    say(f"Stored the master for {name} (account {saved.account!r}) in {saved.store}{replacing}.", "good")
    description = describe(text.strip(), int(time.time()))
    if description.caveats:
        say("Restrictions that can be seen in it:")
        items(caveat.meaning for caveat in description.caveats)
    else:
        say(f"No restriction can be seen in it. {HIDDEN_RESTRICTIONS}")
    account = "" if saved.account == "default" else f" of repositories whose policy says account = {saved.account!r}"
    from keyring_pypitoken.policy.decision import DEFAULT_VALID_FOR

    say(
        f"Uploads to {saved.repository.url}{account} are given a token derived from it: for the projects of that "
        f"upload alone, and for {in_words(DEFAULT_VALID_FOR)} where no policy says otherwise. "
        "See `keyring-pypitoken explain`."
    )
