"""login, logout, adopt: where masters are kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken import issue
from keyring_pypitoken.cli import pypirc
from keyring_pypitoken.cli.grants import find_repository
from keyring_pypitoken.cli.output import dump, items, read_secret, say
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TESTPYPI, Key
from keyring_pypitoken.names import valid_label
from keyring_pypitoken.policy.discovery import load_config
from keyring_pypitoken.policy.model import Origin, WithOrigin
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.text import quoted
from keyring_pypitoken.vault import changes, masters, unprotected

if TYPE_CHECKING:
    import argparse

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import Config
    from keyring_pypitoken.vault.unprotected import RawMaster


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
        raise Refusal(
            f"{quoted(account)} is not a valid account label: use up to 64 letters, digits or any of . _ @ + -."
        )
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


class Adopted(NamedTuple):
    """What happened to one raw master; never its text."""

    repository: str  # the name of the endpoint
    service: str  # what keyring knew it by
    username: str
    store: str  # the name of the backend that held it
    outcome: str  # what was done, or would be
    problem: str = ""  # why it was left there


def adopt(options: argparse.Namespace) -> int:
    """Move unprotected tokens out of uploaders' reach."""
    config = load_config()
    if config.problem is not None:
        raise config.problem
    found = [
        _adopt(raw, repository, config, dry_run=options.dry_run)
        for repository in config.repositories
        for raw in (*unprotected.raw_masters(repository, config.store), *pypirc.raw_masters(repository))
    ]
    if options.json:
        dump({"moved": not options.dry_run, "found": [adopted._asdict() for adopted in found]})
    elif not found:
        say("No unprotected tokens found in your keyrings, nor in ~/.pypirc.", "good")
    else:
        items(
            f"{entry.service!r} (user {entry.username!r}) in {entry.store}: "
            f"{f'not moved, because {entry.problem}' if entry.problem else entry.outcome}"
            for entry in found
        )
    return 1 if any(entry.problem for entry in found) else 0


def _adopt(raw: RawMaster, repository: Repository, config: Config, *, dry_run: bool) -> Adopted:
    from keyring_pypitoken.derive import check_master

    adopted = Adopted(repository.name, raw.service, raw.username, raw.store, "")
    try:
        master = check_master(raw.master, repository)
    except Refusal as refusal:
        return adopted._replace(problem=str(refusal))
    kept = masters.find_master(repository, masters.DEFAULT_ACCOUNT, config.store)
    if kept is not None and not kept.equals(master):
        there = (
            f"from {raw.store}" if raw.service.startswith("[") else f'with `keyring del "{raw.service}" {raw.username}`'
        )
        return adopted._replace(
            problem=(
                f"another master is stored for {repository.name}: store this one with `keyring-pypitoken login -r "
                f"{repository.name} --account LABEL`, or delete it {there}."
            )
        )
    if kept is None and not dry_run:
        changes.save_master(repository, masters.DEFAULT_ACCOUNT, master, config.store)
    if not dry_run:
        raw.delete()
    does = "would be" if dry_run else "was"
    if kept is not None:
        return adopted._replace(outcome=f"it is stored already, and the copy there {does} deleted")
    return adopted._replace(outcome=f"it {does} moved to the master of the account {masters.DEFAULT_ACCOUNT!r}")
