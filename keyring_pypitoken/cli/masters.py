"""login, logout, rekey: masters in their stores."""

from __future__ import annotations

import argparse
import contextlib
import os
from typing import TYPE_CHECKING

from keyring_pypitoken import issue
from keyring_pypitoken.cli import adopt, pypirc, setup
from keyring_pypitoken.cli.grants import find_repository
from keyring_pypitoken.cli.output import can_ask, confirm, read_secret, say
from keyring_pypitoken.cli.surroundings import find_installed
from keyring_pypitoken.derive import check_master, is_same_token, visible_projects
from keyring_pypitoken.exceptions import Refusal, sealed
from keyring_pypitoken.lookup import DEFAULT_ACCOUNT, PYPI, Key
from keyring_pypitoken.names import LABEL_RULE, InvalidNameError, normalize_valid, valid_label
from keyring_pypitoken.policy.discovery import load_config
from keyring_pypitoken.policy.model import Origin, WithOrigin
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.text import join_quoted, printable, quoted
from keyring_pypitoken.vault import accounts, changes, masters

if TYPE_CHECKING:
    from keyring_pypitoken.cli.surroundings import Installed
    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import Config


@sealed
def login(options: argparse.Namespace) -> int:
    """Store a master."""
    config = load_config()
    repository, account, project = _parse(options, config)
    if config.problem is not None:
        raise config.problem
    changes.find_store(config.store)  # before a token is asked for
    installed = find_installed(os.environ)
    for problem in dict.fromkeys(one.problem for one in installed if one.problem is not None):
        say(f"{problem.problem}: {problem.remedy}.", "bad")
    if can_ask() and _adopts():
        return adopt.adopt(argparse.Namespace(entry=[], dry_run=False, json=False))
    prompt = f"Paste your {'PyPI' if repository == PYPI else repository.name} API token"
    master = MasterToken(read_secret(f"{prompt} (create one: https://{repository.domain}/manage/account/token/)"))
    master, projects = check_master(master, repository), visible_projects(master)
    if project and projects and project not in projects:
        raise Refusal(f"this token is for {join_quoted(projects)} only: leave --project out.")
    projects = projects or ((project,) if project else ())
    if account is None:
        account = accounts.account_for(repository, (project,) if project else projects) or DEFAULT_ACCOUNT
    stored = masters.find_master(repository, account, config.store)
    is_other = stored is not None and not is_same_token(stored, master)
    if is_other and not options.replace:
        question = f"The account {account!r} of {repository.name} holds another token. Replace it?"
        advice = (
            f"the account {account!r} of {repository.name} holds another token: store this one beside it with "
            "`--project NAME` or `--account LABEL`, or replace that one with --replace."
        )
        if not confirm(question, advice):
            raise Refusal(f"nothing was stored, and {advice}")
    store, _ = changes.save_master(repository, account, master, config.store, projects)
    where = repository.name + ("" if account == DEFAULT_ACCOUNT else f" (account {account})")
    replaced = f" It replaces another one; if you no longer need that, revoke it on {repository.domain}."
    say(f"Stored for {where} in {store}.{replaced if is_other else ''}", "good")
    _say_next(repository, installed)
    return 0


def _adopts() -> bool:
    """Offer the tokens that are in ~/.pypirc; return True if they are wanted."""
    with contextlib.suppress(Refusal):  # `adopt` names what is wrong with the file
        sections = ", ".join(printable(f"[{token.section}]") for token in pypirc.read_home()[0])
        return bool(sections) and confirm(f"~/.pypirc holds a token in {sections}. Move what is there instead?", "")
    return False


def _say_next(repository: Repository, installed: list[Installed]) -> None:
    """Name the next command for the uploaders here that ask this package."""
    commands = []
    for one in installed:
        setup.offer(one.uploader.name)
        if one.problem is None and one.uploader.asks_keyring:
            commands.append(" ".join((one.uploader.name, *one.uploader.typical)))
    known = f"keyring-pypitoken explain -r {repository.name}"
    say(f"Next: {', or '.join(commands) or 'keyring-pypitoken status'}" if repository == PYPI else f"Next: {known}")


@sealed
def logout(options: argparse.Namespace) -> int:
    """Delete a master."""
    config = load_config()
    repository, account, project = _parse(options, config)
    account = account or accounts.account_for(repository, (project,) if project else ()) or DEFAULT_ACCOUNT
    where = f"{repository.name} (account {account!r})"
    if not issue.delete(Key.of(repository, None if account == DEFAULT_ACCOUNT else account)):
        others = sorted(accounts.noted_accounts(repository))
        hint = f"name one of {join_quoted(others)} with --account" if others else "there is nothing to delete"
        raise Refusal(f"no master is stored for {where}: {hint}.")
    say(f"Deleted the master for {where}.")
    return 0


def _parse(options: argparse.Namespace, config: Config) -> tuple[Repository, str | None, str | None]:
    """Return the repository, and the account and the normalized project if they are named."""
    repository, account, project = find_repository(options.repository, config), options.account, options.project
    if account is not None and not valid_label(account):
        raise Refusal(f"{quoted(account)} is not a valid account label: use {LABEL_RULE}.")
    try:
        return repository, account, normalize_valid(project) if project is not None else None
    except InvalidNameError:
        raise Refusal(f"{quoted(project)} is not a valid project name: correct it.") from None


def rekey(options: argparse.Namespace) -> int:
    """Encrypt the age file anew."""
    from keyring_pypitoken.vault import age  # needs the extra

    config = load_config()
    if config.problem is not None:
        raise config.problem
    path = options.identity and os.path.abspath(os.path.expanduser(options.identity))
    say(age.rekey(config.store.identity, WithOrigin(path, Origin("--identity")) if path else None), "good")
    return 0
