"""A request for a token, and what it would be granted: everything before a master is touched."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from keyring_pypitoken.policy.decision import check_repository_names, decide
from keyring_pypitoken.policy.discovery import find_search_paths
from keyring_pypitoken.policy.model import DEFAULT, Origin, WithOrigin
from keyring_pypitoken.record import Record
from keyring_pypitoken.uploaders.evidence import find_evidence, read_override
from keyring_pypitoken.uploaders.uploader import check_checkout
from keyring_pypitoken.vault.accounts import account_of_project

if TYPE_CHECKING:
    from pathlib import Path

    from keyring_pypitoken.lookup import Key, Repository
    from keyring_pypitoken.policy.model import Config, Grant
    from keyring_pypitoken.secret import MasterToken
    from keyring_pypitoken.uploaders.uploader import Process


class Request(Record):
    """A request for a token."""

    repository: Repository  # where it is to be used
    process: Process  # the upload: what shows the projects, and where their policies are
    config: Config  # the policies of the user and of the machine
    key: Key | None = None  # what keyring was asked for; None if a person asks with the command
    account: WithOrigin[str] | None = None  # the account that the lookup or a person names
    project: str | None = None  # the project that the lookup names, not yet normalized
    projects: WithOrigin[tuple[str, ...]] | None = None  # those that a person names count before everything else
    files: tuple[str, ...] = ()  # patterns of the files that a person names, instead of those of the process
    valid_for: WithOrigin[int] | None = None  # the length that a person types, in seconds
    master: MasterToken | None = None  # a master that a person gives, instead of a stored one


def plan(request: Request) -> Grant:
    """Return what a request would be granted, without touching the stores.

    Raises:
        Refusal: the policies do not allow the upload, or one cannot be followed.
    """
    process, repository = request.process, request.repository
    if request.key is not None and process.uploader is not None and process.uploader.is_uploading(process):
        check_checkout(process.target)
    evidence = find_evidence(process, request.project, request.projects, request.files)
    starts: dict[Path, set[str]] = {}
    for file in evidence.files or ():
        starts.setdefault(file.path.parent, set()).add(file.project)
    here, environ = process.directory, process.environ
    first, *others = find_search_paths((evidence.directory, *starts), here, environ)
    projects = (frozenset(names) for names in starts.values())
    policies = request.config.policies(first, tuple(zip(others, projects, strict=True)))
    check_repository_names(policies, request.config.repositories)
    shorter = read_override(environ)
    grant = decide(
        repository, policies, evidence, account=request.account, shorter=shorter, typed_valid_for=request.valid_for
    )
    grant.window(int(time.time()))
    if grant.account.origin == DEFAULT and request.config.store.command is None:
        grant = _choose_account(grant)
    if request.master is None and request.config.store.command is None:
        return grant
    return grant._replace(max_master_age=None)  # the age of this master is unknown


def _choose_account(grant: Grant) -> Grant:
    """Let the upload of one project use the account that is noted as that project's."""
    names = grant.projects.value if grant.projects else ()
    label = account_of_project(grant.repository, names[0]) if len(names) == 1 else None
    if label is None:
        return grant
    return grant._replace(account=WithOrigin(label, Origin(f"the account of {names[0]}")))
