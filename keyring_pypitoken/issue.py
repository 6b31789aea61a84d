"""From a request to a derived token: the one path that the backend and the command share.

    key -> repository -> evidence -> policies -> grant -> master -> derived token

One of the modules that decide over a master in clear. Every function here raises `Refusal`: a fresh one, chained to
nothing, so that no frame that held a secret can be looked into.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from keyring_pypitoken import memory
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import TOKEN_USERNAME, Key, Repository, check_kind, match, named_by
from keyring_pypitoken.names import LABEL_RULE, valid_label
from keyring_pypitoken.plan import Request, plan
from keyring_pypitoken.policy.discovery import load_config
from keyring_pypitoken.policy.model import Origin, WithOrigin
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import looks_like_token
from keyring_pypitoken.uploaders.process import this_process
from keyring_pypitoken.vault import accounts, masters
from keyring_pypitoken.vault.backends import has_age_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring_pypitoken.policy.model import Config, Grant
    from keyring_pypitoken.secret import DerivedToken, MasterToken

P = ParamSpec("P")
T = TypeVar("T")

_LOOKUP = Origin("the lookup")


class Issued(Record):
    """A derived token, its grant, the Unix second it ends at, and whether it is new or remembered by this process."""

    token: DerivedToken
    grant: Grant
    not_after: int
    is_new: bool = True


class Saved(Record):
    """Where a master was stored, and whether it replaced another one."""

    repository: Repository
    account: str
    store: str
    replaced: bool


def sealed(step: Callable[P, T]) -> Callable[P, T]:
    """Let a step raise what it refuses or fails with anew, without a trace of the frames that it ran in."""

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return step(*args, **kwargs)
        except Refusal as refusal:
            problem: BaseException = Refusal(str(refusal))
        except Exception as error:  # noqa: BLE001 - whatever fails in here, nothing may be handed out
            problem = Refusal(f"internal error ({type(error).__name__}), and nothing was handed out: please report it.")
        except BaseException as signal:  # noqa: BLE001 - Ctrl-C and the like go on, without the frames they stopped
            signal.__cause__ = signal.__context__ = None
            problem = signal.with_traceback(None)
        raise problem

    return run


@sealed
def answer(key: Key) -> Issued | None:
    """Answer a lookup that may be ours; None if it is not, or if no master is stored."""
    config = load_config()
    found = match(key, config.repositories)
    if found is None:
        # Nobody knows which repositories a broken policy would have named: a token under this very key may be its.
        if config.problem is not None and masters.peek(key, config.store) is not None:
            raise config.problem
        return None
    repository = found.repository
    if found.kind in ("kept", "host", "look-alike"):
        token = masters.peek(key, config.store)
        repository = None if token is None else repository or _repository_of(token, key, config)
        if repository is None:
            if token is not None and config.problem is not None:
                raise config.problem
            return None
    check_kind(found)
    assert repository is not None  # noqa: S101 - for the type checker: only kept keys have none
    account, project = _read_label(key, repository, config)
    try:
        process = this_process()
    except Refusal:
        if _has_no_master(repository, key, account, config):
            return None
        raise
    return issue(Request(repository, process, config, key, account, project))


@sealed
def issue(request: Request) -> Issued | None:
    """Derive the token that a request is granted; None if no master is stored for it anywhere."""
    repository, key, config = request.repository, request.key, request.config
    try:
        grant = plan(request)
    except Refusal:
        # A broken policy is nobody's problem if there is nothing to protect.
        if request.master is None and _has_no_master(repository, key, request.account, config):
            return None
        raise
    remembered = ("issued", key and key.service, repository.url, grant.key)
    known = None if request.master else memory.recall(remembered, lambda: None)
    if known is not None and time.time() < known[1]:
        return Issued(known[0].token, known[0].grant, known[0].not_after, is_new=False)
    memory.forget(remembered)
    master = request.master or _find_master(repository, key, grant.account, config)
    if master is None:
        _refuse_if_others(repository, key, grant.account, config)
        return None
    from keyring_pypitoken.derive import derive  # only if there is a master: most processes that ask have none

    now = int(time.time())  # read after the master is: a prompt or a touch costs nothing of the window
    issued = Issued(*derive(master, grant, now=now))
    if request.master is None:
        memory.recall(remembered, lambda: (issued, (now + issued.not_after) / 2))
    return issued


def _find_master(
    repository: Repository, key: Key | None, account: WithOrigin[str], config: Config
) -> MasterToken | None:
    """Find an account's master; a raw one, which has no label, serves the default account."""
    command = config.store.command
    if command is not None:
        is_own = account.origin == "--account" or account.origin.startswith(
            tuple(own.origin for own in config.configured)
        )
        if account.value != masters.DEFAULT_ACCOUNT and not is_own:
            raise Refusal(
                f"the account {account.value!r} is named by {account.origin} only, and is not passed to the program "
                "that [store] names: set it in your own policy.toml, or with --account."
            )
        return masters.run_command(command.value, repository, account.value)
    master = masters.find_master(repository, account.value, config.store)
    if master is None and account.value == masters.DEFAULT_ACCOUNT:
        master = masters.find_raw_master(repository, key, config.store)
    return master


def _has_no_master(repository: Repository, key: Key | None, account: WithOrigin[str] | None, config: Config) -> bool:
    """Return True if no master can be meant. Notes are asked first: they cost no prompt for what will be refused."""
    if accounts.noted_accounts(repository) or config.store.command is not None:
        return False
    if config.problem is not None and has_age_file():
        return False  # the policy that cannot be followed may say what opens it
    label = account.value if account else masters.DEFAULT_ACCOUNT
    return (
        masters.find_master(repository, label, config.store) is None
        and masters.find_raw_master(repository, key, config.store) is None
        and not masters.other_accounts(repository, label, config.store)
    )


def _refuse_if_others(repository: Repository, key: Key | None, account: WithOrigin[str], config: Config) -> None:
    """Refuse if the account has no master and others have, or had: declining could let one of them out raw."""
    others = masters.other_accounts(repository, account.value, config.store)
    if others or masters.find_raw_master(repository, key, config.store) is not None:
        suffix = "" if account.value == masters.DEFAULT_ACCOUNT else f" --account {account.value}"
        raise Refusal(
            f"no master is stored for the account {account.value!r} of {repository.name} ({account.origin}): run "
            f"`keyring-pypitoken login -r {repository.name}{suffix}`, or name another account."
        )
    # keyring leaves out a backend whose service is not running, with everything in it.
    for label in sorted(accounts.noted_accounts(repository)):
        raise Refusal(
            f"no keyring that can be asked now holds the master that was stored for {repository.name} "
            f"(account {label!r}): start or unlock the keyring that does, or, if it is gone for good, "
            f'forget it with `keyring del "{repository.url}?{label}" {TOKEN_USERNAME}`.'
        )


def _read_label(key: Key, repository: Repository, config: Config) -> tuple[WithOrigin[str] | None, str | None]:
    """Return the account and the project that the lookup names: a label is an account if one is stored as that."""
    if key.label is None:
        return None, key.project
    _refuse_token(key.label)
    noted = {label.casefold(): label for label in accounts.noted_accounts(repository)}
    label = noted.get(key.label.casefold(), key.label)
    is_account = label in noted.values() or (
        valid_label(label) and masters.find_master(repository, label, config.store) is not None
    )
    return (WithOrigin(label, _LOOKUP), key.project) if is_account else (None, key.project or key.label)


def _refuse_token(label: str) -> None:
    if looks_like_token(label):
        raise Refusal(
            "a token follows the question mark of the URL, where a label belongs: revoke that token, because "
            "it is in your shell's history now, and store a new one with `keyring-pypitoken login`."
        )


def _repository_of(token: MasterToken, key: Key, config: Config) -> Repository | None:
    from keyring_pypitoken.derive import domain_of

    domain, named = domain_of(token), named_by(key, config.repositories)
    possible = (*([named] if named else []), *config.repositories)
    return next((repository for repository in possible if repository.domain == domain), None)


@sealed
def save(key: Key, text: MasterToken) -> Saved | None:
    """Store a master under a key that may be ours; None if it is not."""
    config = load_config()
    found = match(key, config.repositories)
    is_token = text.is_token()
    if found is None or (found.kind in ("kept", "host", "look-alike") and not is_token):
        # Passed on, a token for a repository that a broken policy would have named could be stored where it is raw.
        if config.problem is not None and is_token:
            raise config.problem
        return None
    check_kind(found)
    repository = found.repository or _repository_of(text, key, config)
    if config.problem is not None:
        raise config.problem
    if repository is None:
        return None
    from keyring_pypitoken.derive import check_master
    from keyring_pypitoken.vault import changes  # few processes store or delete anything

    account = _label_or_default(key)
    store, replaced = changes.save_master(repository, account, check_master(text, repository), config.store)
    memory.forget()
    return Saved(repository, account, store, replaced)


@sealed
def delete(key: Key) -> bool | None:
    """Delete the master under a key that may be ours, and return whether there was one; None if it is not ours."""
    config = load_config()
    found = match(key, config.repositories)
    repository = found.repository if found else None
    if found is not None and found.kind == "kept":
        repository = named_by(key, config.repositories)
    if found is None or repository is None or found.kind in ("look-alike", "host"):
        return None
    check_kind(found)
    if config.problem is not None:
        raise config.problem
    from keyring_pypitoken.vault import changes

    account = _label_or_default(key)
    memory.forget()
    return changes.delete_master(repository, account, key, config.store)


def _label_or_default(key: Key) -> str:
    if key.label is None:
        return masters.DEFAULT_ACCOUNT
    _refuse_token(key.label)
    if not valid_label(key.label):
        raise Refusal(f"invalid account label after '?': use {LABEL_RULE}")
    return key.label
