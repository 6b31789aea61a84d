"""adopt: move unprotected tokens out of uploaders' reach, each to an account of its own."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.cli import pypirc
from keyring_pypitoken.cli.output import dump, items, say
from keyring_pypitoken.derive import check_master, domain_of, visible_projects
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import current_directory
from keyring_pypitoken.history import read_history
from keyring_pypitoken.lookup import DEFAULT_ACCOUNT, TOKEN_USERNAME, Key, match, raw_keys
from keyring_pypitoken.names import InvalidNameError, normalize_valid, valid_label
from keyring_pypitoken.policy.discovery import find_search_path, load_config
from keyring_pypitoken.text import printable
from keyring_pypitoken.uploaders.evidence import find_workspace
from keyring_pypitoken.vault import accounts, changes, masters, unprotected

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import Config
    from keyring_pypitoken.secret import MasterToken

_MAX_NAMES = 200  # each is two questions to a keyring
# Sections that name no project: an index, the defaults, and what flit and twine read before there were sections.
_GENERAL = ("pypi", "testpypi", "server-login", "default", "distutils")
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9._@+-]+")
_LEFT = (
    "a token can be read in it ({}): store it with `keyring-pypitoken login`, delete it there, and revoke it if others "
    "can read that file."
)


class _Raw(NamedTuple):
    """A raw token, where it is, and where it goes."""

    repository: Repository
    account: str
    projects: tuple[str, ...]
    master: MasterToken
    place: tuple[str, str, str]  # the service or the section, the user, the store
    remove: Callable[[], None]


class Adopted(NamedTuple):
    """What happened to one raw token, or would; never its text."""

    repository: str  # the name of the endpoint
    service: str  # what keyring found it by, or the section of a file
    username: str
    store: str  # the name of the backend or of the file that held it
    outcome: str = ""  # what was done, or would be
    problem: str = ""  # why it was left there


def adopt(options: argparse.Namespace) -> int:
    """Move unprotected tokens out of uploaders' reach."""
    config, adopted = load_config(), []
    if config.problem is not None:
        raise config.problem
    tokens: list[pypirc.PypircToken] = []
    planned: dict[tuple[str, str], MasterToken] = {}
    left = ""
    try:
        tokens, left = pypirc.read_home()
    except Refusal as refusal:
        adopted.append(Adopted("", pypirc.NAME, "", pypirc.NAME, problem=str(refusal)))
    raws = [*_in_keyrings(options.entry, tokens, config)]
    raws = raws if options.entry else [*raws, *_in_pypirc(tokens, config)]
    adopted += [_adopt(raw, config, planned, dry_run=options.dry_run) for raw in raws]
    if not options.dry_run and not any(entry.problem for entry in adopted):
        left = pypirc.read_home()[1]
    for name, lines in ((pypirc.NAME, left), *pypirc.find_in_checkout(current_directory())):
        if lines:
            adopted.append(Adopted("", name, "", name, problem=_LEFT.format(lines)))
    if options.json:
        dump({"moved": not options.dry_run, "found": [entry._asdict() for entry in adopted]})
    elif not adopted:
        say("No unprotected tokens found in your keyrings, nor in .pypirc files.", "good")
    else:
        items(
            f"{f'{entry.service!r} (user {entry.username!r}) in ' if entry.username else ''}{printable(entry.store)}: "
            f"{f'not moved, because {entry.problem}' if entry.problem else entry.outcome}"
            for entry in adopted
        )
    return 1 if any(entry.problem for entry in adopted) else 0


def _in_keyrings(entry: list[str], tokens: list[pypirc.PypircToken], config: Config) -> Iterator[_Raw]:
    """Yield what is stored under the names that uploaders ask for, or under the one that a person gives."""
    pairs = [(entry[0], entry[1] if entry[1:] else TOKEN_USERNAME)] if entry else []
    names = [] if entry else sorted(_known_names(tokens, config))[:_MAX_NAMES]
    for repository in () if entry else config.repositories:
        pairs += raw_keys(repository)
        pairs += [(repository.url, f"pypi_token:project:{name}") for name in names]
        pairs += [(f"{repository.url}?{name}", TOKEN_USERNAME) for name in names]
    for raw in unprotected.raw_masters([*dict.fromkeys(pairs)], config.store):
        key = Key.parse(raw.service, raw.username)
        repository = _repository_of(key, raw.master, config)
        account, projects = _account_of(raw.master, repository, (key and key.project) or "")
        if key is not None and key.label and not projects and valid_label(key.label):
            account = key.label  # an account, or a project: only a token can show which
        yield _Raw(repository, account, projects, raw.master, (raw.service, raw.username, raw.store), raw.delete)


def _in_pypirc(tokens: list[pypirc.PypircToken], config: Config) -> Iterator[_Raw]:
    for token in tokens:
        repository = _repository_of(Key.parse(token.url, TOKEN_USERNAME), token.master, config)
        section = "" if token.section.lower() in _GENERAL else token.section
        account, projects = _account_of(token.master, repository, section)
        place = f"[{token.section}]", token.username, pypirc.NAME
        yield _Raw(
            repository, account, projects, token.master, place, functools.partial(pypirc.remove_password, token.section)
        )


def _known_names(tokens: list[pypirc.PypircToken], config: Config) -> set[str]:
    """Return the names of projects and accounts that a token may be stored under."""
    here, names = current_directory(), {token.section for token in tokens}
    for repository in config.repositories:
        for label, noted in accounts.noted_accounts(repository).items():
            names.update({label, *noted.projects})
    with contextlib.suppress(Refusal):  # a mistake in this project is no reason to leave a token where it is
        for policy in (*config.configured, *find_search_path(here, here, os.environ).policies):
            names.update(policy.settings.projects.value if policy.settings.projects else ())
        names.update(find_workspace(here, here)[1], *(entry.projects or () for entry in read_history()))
    return {name for name in names if valid_label(name)}


def _repository_of(key: Key | None, master: MasterToken, config: Config) -> Repository:
    """Return the repository that a key names, if the token can be for that, else the one of the token's location."""
    fit = match(key, config.repositories) if key else None
    named = fit.repository if fit else None
    domain = domain_of(master)
    possible = (known for known in (named, *config.repositories) if known is not None and known.domain == domain)
    return next(possible, named or config.repositories[0])


def _account_of(master: MasterToken, repository: Repository, name: str) -> tuple[str, tuple[str, ...]]:
    """Return the account that a token goes to and its projects: those that it shows, else what its name says."""
    label, projects = _NOT_IN_LABELS.sub("-", name).strip("._@+-")[:64], visible_projects(master)
    if not projects and name:
        with contextlib.suppress(InvalidNameError):
            projects = (normalize_valid(name),)
    return accounts.account_for(repository, projects) or label or DEFAULT_ACCOUNT, projects


def _adopt(raw: _Raw, config: Config, planned: dict[tuple[str, str], MasterToken], *, dry_run: bool) -> Adopted:
    """Move a raw token, or say what would be done; `planned` has what is stored, and would be."""
    repository, account, adopted = raw.repository, raw.account, Adopted(raw.repository.name, *raw.place)
    try:
        master = check_master(raw.master, repository)
    except Refusal as refusal:
        return adopted._replace(problem=str(refusal))
    does = "would be" if dry_run else "was"
    for label in (account, DEFAULT_ACCOUNT, *accounts.noted_accounts(repository)):
        if (repository.url, label) not in planned:
            stored = masters.find_master(repository, label, config.store)
            planned |= {(repository.url, label): stored} if stored is not None else {}
    if any(url == repository.url and known.equals(master) for (url, _), known in planned.items()):
        if not dry_run:
            raw.remove()
        return adopted._replace(outcome=f"it is stored already, and the copy there {does} deleted")
    if (repository.url, account) in planned:
        return adopted._replace(
            problem=(
                f"another master is stored for {repository.name} (account {account!r}): store this one with "
                f"`keyring-pypitoken login -r {repository.name} --account LABEL`, and run this again."
            )
        )
    planned[repository.url, account] = master
    if not dry_run:
        changes.save_master(repository, account, master, config.store, raw.projects)
        raw.remove()
    return adopted._replace(outcome=f"it {does} moved to the master of the account {account!r}")
