"""The steps between keyring's call and its answer, in their order; the backend and the command share them.

    lookup -> repository -> evidence -> policies -> grant -> master -> derived token

What fails on the way ends as a `Refusal` that is returned and not raised: it carries no traceback, so that no
frame that held a secret can be looked into.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import (
    BUILT_IN,
    TOKEN_USERNAME,
    Lookup,
    Repository,
    find_kept,
    find_lookup,
    is_kept_by_uploader,
)
from keyring_pypitoken.policy import discovery
from keyring_pypitoken.policy.decision import check_repository_names, decide
from keyring_pypitoken.policy.model import Config, Evidence, Grant, Origin, StoreSettings, WithOrigin
from keyring_pypitoken.policy.values import WrongValueError, parse_duration, valid_label
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.text import join_quoted, quoted
from keyring_pypitoken.uploaders.command_line import project_directory
from keyring_pypitoken.uploaders.process import this_process
from keyring_pypitoken.uploaders.projects import find_evidence
from keyring_pypitoken.vault import accounts, backends, masters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyring_pypitoken.secret import DerivedToken
    from keyring_pypitoken.uploaders.process import Process

T = TypeVar("T")

VALID_FOR_VARIABLE = "KEYRING_PYPITOKEN_VALID_FOR"
_DEFAULT_ACCOUNT = "default"
_LOOKUP = Origin("the lookup")


class Answer(NamedTuple):
    """A derived token, and the lines that tell of it: none where it was told before, or shall not be.

    The token is None where the lookup is ours and no master is stored anywhere.
    """

    token: DerivedToken | None
    notice: tuple[str, ...]


class _Remembered(NamedTuple):
    token: DerivedToken
    half_time: float


_NO_MASTER = Answer(None, ())

# What this process derived: uploaders may ask twice, and a second look into the store may cost a touch or a prompt.
_memory: dict[tuple[object, ...], _Remembered] = {}


def read_config() -> Config:
    """Read the policies of the user and of the machine.

    Raises:
        Refusal: one of them cannot be followed or trusted.
    """
    found = discovery.load_config()
    if found.problem is not None:
        raise found.problem
    return found


def plan(
    lookup: Lookup,
    own: Config,
    process: Process,
    *,
    now: int,
    account: WithOrigin[str] | None = None,
    hint: str | None = None,
) -> Grant:
    """Find out what a lookup would be granted, without touching the store.

    Args:
        lookup: what keyring was asked for.
        own: the policies of the user and of the machine.
        process: what tells the projects, and where the project's policy is.
        now: Unix seconds.
        account: the account that the lookup names.
        hint: the project that the lookup names.

    Returns:
        The grant.

    Raises:
        Refusal: the policies do not allow the upload, or one cannot be followed.
    """
    project = project_directory(process)
    policies = own.policies(discovery.find_way(project, process.directory, process.environ))
    check_repository_names(policies, own.repositories)
    evidence = Evidence(find_evidence(process, hint, project), project)
    shorter = _valid_for_override(process.environ)
    grant = decide(lookup.repository, policies, evidence, shorter=shorter, account=account)
    grant.window(now)
    return grant


class Saved(NamedTuple):
    """Where a master was stored: the endpoint, its account, the store's name; and whether it replaced another."""

    repository: Repository
    account: str
    store: str
    replaced: bool


class Deleted(NamedTuple):
    """What was asked to be deleted, and whether there was anything."""

    repository: Repository
    account: str
    found: bool


def find_repository(name: str, own: Config) -> Repository:
    """Return the endpoint of a name or a URL.

    Raises:
        Refusal: none is known by it.
    """
    lookup = find_lookup(name, TOKEN_USERNAME, own.repositories)
    found = lookup.repository if lookup else next((r for r in own.repositories if r.name == name), None)
    if found is None:
        raise Refusal(
            f"{quoted(name)} is no known repository, known are {join_quoted([r.name for r in own.repositories])}: "
            f"correct the name, or add a [repository.NAME] with its url to {paths.user_policy()}."
        )
    return found


def answer(
    service: str, username: str | None, process: Process | None = None, account: WithOrigin[str] | None = None
) -> Answer | Refusal | None:
    """Answer a lookup that may be ours.

    Args:
        service: keyring's service.
        username: keyring's user name: `__token__`, or one that stands for it.
        process: what tells the projects; this process where it is left out.
        account: which master; what the lookup and the policies say where it is left out.

    Returns:
        A derived token, or that there is no master; a refusal; or None where the lookup is not ours.
    """
    return _settle(lambda: _answer(service, username, process, account, int(time.time())))


def save(service: str, username: str, text: str) -> Saved | Refusal | None:
    """Store a master under a key that may be ours.

    Args:
        service: keyring's service.
        username: keyring's user name.
        text: what shall be stored.

    Returns:
        Where it was stored; a refusal; or None where the key is not ours.
    """
    return _settle(lambda: _save(service, username, text))


def has_store() -> bool:
    """Return True if there is a store that may hold masters; where nobody can tell, there may be one."""
    found = _settle(lambda: backends.has_store(read_config().store))
    return isinstance(found, Refusal) or found


def delete(service: str, username: str) -> Deleted | Refusal | None:
    """Delete the master under a key that may be ours.

    Args:
        service: keyring's service.
        username: keyring's user name.

    Returns:
        What was deleted; a refusal; or None where the key is not ours.
    """
    return _settle(lambda: _delete(service, username))


def _settle(step: Callable[[], T]) -> T | Refusal:
    """Run a step; return what it refuses, or fails with, as a fresh refusal."""
    try:
        return step()
    except Refusal as refusal:
        message = str(refusal)
    except Exception as error:  # noqa: BLE001 - whatever fails in here, nothing may be handed out
        message = f"something unexpected failed ({type(error).__name__}), and nothing was handed out: please report it."
    return Refusal(message)


def _answer(
    service: str, username: str | None, process: Process | None, stated: WithOrigin[str] | None, now: int
) -> Answer | None:
    own = _settle(read_config)
    known = _find(service, username, own) or _find_kept(service, username, own)
    if known is None and not isinstance(own, Refusal):
        return None
    # Whose key an unknown one is cannot be told then: it is refused if the chain holds something for it, else declined.
    lookup = known or Lookup(Repository("this index", service, "", ()), service, username)
    settings = None if isinstance(own, Refusal) else own.store
    account, hint = _read_label(lookup, settings)
    account = stated or account
    asking = _settle(this_process) if process is None else process
    planned: Grant | Refusal
    if isinstance(own, Refusal):
        planned = own
    elif isinstance(asking, Refusal):
        planned = asking
    else:
        planned = _settle(lambda: plan(lookup, own, asking, now=now, account=account, hint=hint))
    if isinstance(planned, Refusal):
        # Nobody's problem where no master is stored. The notes of what was stored are asked first: they cost no prompt
        # for what ends as a refusal, and count where a store cannot be asked, as its policy cannot be followed or its
        # service is not running. So counts that there is an age file.
        wanted = account.value if account else _DEFAULT_ACCOUNT
        if (
            not accounts.noted_accounts(lookup.repository)
            and not (isinstance(own, Refusal) and known and backends.has_age_file())
            and _find_master(lookup, wanted, settings) is None
            and not masters.other_accounts(lookup.repository, wanted, settings)
        ):
            return known and _NO_MASTER
        raise planned
    key = (lookup.service, *planned.key)
    remembered = _memory.get(key)
    if remembered is not None and now < remembered.half_time:
        return Answer(remembered.token, ())
    master = _find_master(lookup, planned.account.value, settings)
    if master is None:
        _refuse_if_others(lookup, planned, settings)
        return _NO_MASTER
    from keyring_pypitoken.derive import derive  # only where there is a master: most processes that ask have none

    token, not_after = derive(master, planned, now=now)
    _memory[key] = _Remembered(token, (now + not_after) / 2)
    if planned.history and not isinstance(asking, Refusal):
        _record(planned, asking, not_after, now)
    return Answer(token, _notice(planned, not_after))


def _find(service: str, username: str | None, own: Config | Refusal) -> Lookup | None:
    return find_lookup(service, username, _repositories(own))


def _repositories(own: Config | Refusal) -> tuple[Repository, ...]:
    return BUILT_IN if isinstance(own, Refusal) else own.repositories


def _find_kept(
    service: str, username: str | None, own: Config | Refusal, given: MasterToken | None = None
) -> Lookup | None:
    """Match what an uploader keeps, or is about to, under a name of its own: declining would let a master out."""
    if not is_kept_by_uploader(service):
        return None
    token = given or masters.find_kept(service, username, None if isinstance(own, Refusal) else own.store)
    if token is None:
        return None
    from keyring_pypitoken.derive import domain_of

    return find_kept(service, username, domain_of(token), _repositories(own))


def _read_label(lookup: Lookup, settings: StoreSettings | None) -> tuple[WithOrigin[str] | None, str | None]:
    """Tell the account and the project that the lookup names: a label is an account if one is stored so."""
    if lookup.label is None:
        return None, lookup.project
    if valid_label(lookup.label) and masters.find_master(lookup.repository, lookup.label, settings) is not None:
        return WithOrigin(lookup.label, _LOOKUP), lookup.project
    return None, lookup.project or lookup.label


def _find_master(lookup: Lookup, account: str, settings: StoreSettings | None) -> MasterToken | None:
    """Find the account's master; a raw one, which has no label, serves the default account."""
    master = masters.find_master(lookup.repository, account, settings)
    if master is None and account == _DEFAULT_ACCOUNT:
        master = masters.find_raw_master(lookup, settings)
    return master


def _refuse_if_others(lookup: Lookup, grant: Grant, settings: StoreSettings | None) -> None:
    """Refuse where the account has no master and others have, or had: declining could let one of them out raw."""
    repository, account = lookup.repository, grant.account
    others = masters.other_accounts(repository, account.value, settings)
    if not others and masters.find_raw_master(lookup, settings) is None:
        # keyring leaves out a backend whose service is not running, and what lies there with it.
        for label in sorted(accounts.noted_accounts(repository)):
            raise Refusal(
                f"no keyring that can be asked now holds the master that was stored for {repository.name} "
                f"(account {label!r}): start or unlock the keyring that does, or, if it is gone for good, "
                f"forget it with `keyring del '{repository.url}?{label}' {TOKEN_USERNAME}`."
            )
        return
    raise Refusal(
        f"no master is stored for the account {account.value!r} of {repository.name} ({account.origin}): "
        f"store it with `keyring set '{repository.url}?{account.value}' {TOKEN_USERNAME}`, or name another account."
    )


def _save(service: str, username: str, text: str) -> Saved | None:
    own = _settle(read_config)
    lookup = _find(service, username, own) or _find_kept(service, username, own, MasterToken(text))
    if isinstance(own, Refusal):
        # Passed on, a token for a repository that the policy would have named might be stored where it is handed out.
        if lookup is not None or text.strip().startswith("pypi-"):
            raise own
        return None
    if lookup is None:
        return None
    from keyring_pypitoken.derive import read_master

    account = _label_or_default(lookup)
    name, replaced = masters.save_master(lookup.repository, account, read_master(text, lookup.repository), own.store)
    _memory.clear()
    return Saved(lookup.repository, account, name, replaced)


def _delete(service: str, username: str) -> Deleted | None:
    own = _settle(read_config)
    lookup = _find(service, username, own) or find_kept(service, username, None, _repositories(own))
    if lookup is None:
        return None
    if isinstance(own, Refusal):
        raise own
    _memory.clear()
    account = _label_or_default(lookup)
    return Deleted(lookup.repository, account, masters.delete_master(lookup, account, own.store))


def _label_or_default(lookup: Lookup) -> str:
    if lookup.label is None:
        return _DEFAULT_ACCOUNT
    if not valid_label(lookup.label):
        raise Refusal(
            "what follows the question mark is no name for an account: use up to 64 letters, digits or any of . _ @ + -"
        )
    return lookup.label


def _valid_for_override(environ: Mapping[str, str]) -> WithOrigin[int] | None:
    text = environ.get(VALID_FOR_VARIABLE)
    if not text:
        return None
    try:
        # Nine digits are thirty years; Python makes no integer of thousands of them.
        seconds = parse_duration(int(text) if re.fullmatch("[0-9]{1,9}", text) else text)
    except WrongValueError as error:
        raise Refusal(f"{VALID_FOR_VARIABLE} {error}.") from None
    if not seconds:
        raise Refusal(f"{VALID_FOR_VARIABLE} is 0, expected at least one second.")
    return WithOrigin(seconds, Origin(VALID_FOR_VARIABLE))


def _record(grant: Grant, process: Process, not_after: int, now: int) -> None:
    from keyring_pypitoken.history import Entry, record  # as late as `derive`

    record(
        Entry(
            time=now,
            projects=grant.projects.value if grant.projects else None,
            repository=grant.repository.name,
            account=grant.account.value,
            not_before=grant.window(now)[0],
            not_after=not_after,
            program=f"keyring for {process.program}" if process.is_parent else process.program,
            policy=", ".join(grant.policies) or None,
        )
    )


def _notice(grant: Grant, not_after: int) -> tuple[str, ...]:
    """Tell of a derivation: projects, repository, until when (local time), which policy."""
    if not grant.notice:
        return ()
    end, today = time.localtime(not_after), time.localtime()
    until = time.strftime("%H:%M:%S" if end[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", end)
    projects = ", ".join(grant.projects.value) if grant.projects else "any project"
    policy = ", ".join(grant.policies) or "none, the defaults"
    line = f"derived a token for {projects} on {grant.repository.name}, valid until {until} (policy: {policy})"
    if "ACTIONS_ID_TOKEN_REQUEST_URL" not in os.environ:
        return (line,)
    return (
        line,
        "this run could use Trusted Publishing, with no stored token: https://docs.pypi.org/trusted-publishers/",
    )
