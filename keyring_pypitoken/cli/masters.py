"""login, logout, rekey: masters in their stores."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from keyring_pypitoken import issue
from keyring_pypitoken.cli.grants import find_repository
from keyring_pypitoken.cli.output import read_secret, say
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TESTPYPI, Key
from keyring_pypitoken.names import LABEL_RULE, valid_label
from keyring_pypitoken.policy.discovery import load_config
from keyring_pypitoken.policy.model import Origin, WithOrigin
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.text import quoted
from keyring_pypitoken.vault import masters

if TYPE_CHECKING:
    import argparse

    from keyring_pypitoken.lookup import Repository


def login(options: argparse.Namespace) -> int:
    """Store a master."""
    repository, key = _parse(options)
    text = MasterToken(read_secret(f"API token for {repository.name}, as {repository.domain} shows it"))
    saved = issue.save(key, text)
    if saved is None:
        raise Refusal(f"no master can be stored for {repository.name}: see `keyring-pypitoken status`.")
    where = saved.repository.name + ("" if saved.account == masters.DEFAULT_ACCOUNT else f" (account {saved.account})")
    replaced = f" It replaces the previous one; if you no longer need that, revoke it on {repository.domain}."
    # twine knows the names of PyPI's two indexes; others only by their URL, unless .pypirc names them.
    names = {PYPI: "", TESTPYPI: " -r testpypi"}
    option = names.get(repository, f" --repository-url {repository.url}")
    say(f"Stored for {where}.{replaced if saved.replaced else ''} Next: twine upload{option} dist/*", "good")
    return 0


def logout(options: argparse.Namespace) -> int:
    """Delete a master."""
    repository, key = _parse(options)
    where = f"{repository.name} (account {options.account or masters.DEFAULT_ACCOUNT!r})"
    if not issue.delete(key):
        raise Refusal(f"no master is stored for {where}, so there is nothing to delete.")
    say(f"Deleted the master for {where}.")
    return 0


def _parse(options: argparse.Namespace) -> tuple[Repository, Key]:
    repository, account = find_repository(options.repository, load_config()), options.account
    if account is not None and not valid_label(account):
        raise Refusal(f"{quoted(account)} is not a valid account label: use {LABEL_RULE}.")
    return repository, Key.of(repository, account)


def rekey(options: argparse.Namespace) -> int:
    """Encrypt the age file anew."""
    from keyring_pypitoken.vault import age  # needs the extra

    config = load_config()
    if config.problem is not None:
        raise config.problem
    path = options.identity and os.path.abspath(os.path.expanduser(options.identity))
    say(age.rekey(config.store.identity, WithOrigin(path, Origin("--identity")) if path else None), "good")
    return 0
