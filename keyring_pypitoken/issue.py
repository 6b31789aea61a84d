"""From a lookup to a derived token: the one path that the backend and the command share.

    key -> repository -> evidence -> policies -> grant -> master -> derived token

One of the modules that handle a plaintext master. Who calls a function here seals it (`exceptions.sealed`), so that no
frame that held a secret can be looked into.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from keyring_pypitoken import labels, memory
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import (
    BUILT_IN,
    DEFAULT_ACCOUNT,
    PYPI,
    TOKEN_USERNAME,
    Key,
    match,
    misspelling,
    repository_at,
)
from keyring_pypitoken.notices import notify
from keyring_pypitoken.plan import Request, plan
from keyring_pypitoken.policy.discovery import load_config
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import nearest, quoted
from keyring_pypitoken.uploaders.process import asker
from keyring_pypitoken.vault import accounts, masters
from keyring_pypitoken.vault.backends import has_age_file, session_hint

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring_pypitoken.lookup import Match, Repository
    from keyring_pypitoken.policy.model import Config, Grant, WithOrigin
    from keyring_pypitoken.secret import DerivedToken, MasterToken
    from keyring_pypitoken.uploaders.uploader import Process

    # What the rest answers to the very lookup, if a token is in it.
    AskRest = Callable[[], "MasterToken | None"]

_MAX_REMEMBERED = 60  # seconds
_BUILT_IN_NAMES = tuple(repository.name for repository in BUILT_IN)


class Issued(Record):
    """A derived token, its grant, the Unix second it ends at, and whether it is new or remembered by this process."""

    token: DerivedToken
    grant: Grant
    not_after: int
    is_new: bool = True


def answer(key: Key, ask_rest: AskRest) -> Issued | None:
    """Answer a lookup; None if it is not ours, or if no master is stored: then the rest answers."""
    config = load_config()
    named = match(key, config.repositories)
    if named is None:
        _refuse_if_noted(key, config)
        return None
    try:
        who = asker()
    except Refusal:
        if named.repository is None or not _is_nothing_stored(named.repository, DEFAULT_ACCOUNT, config, ask_rest):
            raise
        return None
    if who.state == "other":  # an upload token is for uploads
        return None
    repository = _repository(key, named, who, config, ask_rest)
    if repository is None:
        return None
    account, project = labels.read_label(key, repository, config, masters.find_master)
    issued = issue(Request(repository, who, config, key, account, project), ask_rest)
    if issued is None and who.state == "uploading":
        option = "" if repository.name == PYPI.name else f" -r {repository.name}"
        missing = f"no master is stored for {repository.name}: run `keyring-pypitoken login{option}`"
        notify(f"{str(config.problem or missing).removesuffix('.')}; a token that you type now is sent as it is")
    return issued


def issue(request: Request, ask_rest: AskRest = lambda: None) -> Issued | None:
    """Derive the token that a request is granted; None if no master is stored for it anywhere."""
    repository, config = request.repository, request.config
    try:
        grant = plan(request)
    except Refusal:
        # A policy that cannot be followed matters only if there is something to protect.
        label = request.account.value if request.account else DEFAULT_ACCOUNT
        if request.master is not None or not _is_nothing_stored(repository, label, config, ask_rest):
            raise
        return None
    remembered = ("issued", request.key and request.key.service, repository.url, grant.key)
    stamp = accounts.last_change()  # another process may replace or delete it meanwhile
    known = None if request.master else memory.recall(remembered, lambda: None)
    if known is not None and time.time() < known[1] and known[2] == stamp:
        return Issued(known[0].token, known[0].grant, known[0].not_after, is_new=False)
    memory.forget(remembered)
    if grant.confirm is not None and (
        request.master or not _is_nothing_stored(repository, grant.account.value, config, ask_rest)
    ):
        from keyring_pypitoken.vault import consent  # few demand it

        consent.ask(grant, grant.confirm, request.process.program)
    master = request.master or _find_master(grant, config, ask_rest)
    if master is None:
        _refuse_if_others(repository, grant.account, config, ask_rest)
        return None
    from keyring_pypitoken.derive import derive  # only if there is a master: most processes that ask have none

    now = int(time.time())  # read after the master is: a prompt or a touch costs nothing of the window
    issued = Issued(*derive(master, grant, now=now))
    if request.master is None and (stamp or config.store.command):
        until = min((now + issued.not_after) / 2, now + _MAX_REMEMBERED)
        memory.recall(remembered, lambda: (issued, until, stamp))
    return issued


def refuse_raw(key: Key | None, service: str, token: MasterToken) -> None:
    """Refuse an answer of the rest that holds a PyPI token, which is handed out raw under no name."""
    config = load_config()
    if not _is_ours(token, config):
        return
    if config.problem is not None and not token.is_token():  # a policy that can be followed may not have its index
        raise config.problem
    named = match(key, config.repositories) if key else None
    if key is not None and named is not None and named.repository is not None:
        if named.kind == "misspelled":
            raise misspelling(key, named.repository)
        raise Refusal(
            f"this is a PyPI token for uploads to {named.repository.name}, and what asks for it does not upload: run "
            "`keyring-pypitoken adopt`, so that uploads get restricted tokens."
        )
    raise Refusal(
        f"this is a PyPI token, stored as {quoted(service)}, which names no upload address here: run "
        "`keyring-pypitoken adopt`, then use `$(keyring-pypitoken token)` instead."
    )


def refuse_loss(token: MasterToken) -> None:
    """Refuse to overwrite or delete what is stored as a master, too: a store may have both in one entry."""
    config = load_config()
    if not _is_ours(token, config):
        return
    for repository in config.repositories:
        for label in (DEFAULT_ACCOUNT, *accounts.noted_accounts(repository)):
            master = masters.find_master(repository, label, config.store)
            if master is not None and token.holds(master):
                raise Refusal(
                    f"this store has the master for {repository.name} (account {label!r}) under this name, too: delete "
                    f"it with `keyring-pypitoken logout -r {repository.name} --account {label}`."
                )


def _is_ours(token: MasterToken | None, config: Config) -> bool:
    """Return True for a token of PyPI's or a configured repository's; a broken policy may configure any."""
    domains = None if config.problem else {repository.domain for repository in config.repositories}
    return token is not None and token.is_token(domains)


def _repository(key: Key, named: Match, who: Process, config: Config, ask_rest: AskRest) -> Repository | None:
    """Return the repository whose token a lookup gets; None if the rest answers.

    Raises:
        Refusal: the key is misspelt, or the uploader asks for one repository and uploads to another.
    """
    repository, uploader = named.repository, who.uploader
    is_uploading = who.state == "uploading" and uploader is not None
    # uv asks for the URL by which it checks what is uploaded, too, and a checkout may say where that is.
    if named.kind == "url" and not (is_uploading and who.is_parent):
        return repository
    if is_uploading and uploader is not None:
        if repository is not None and named.kind == "misspelled":
            raise misspelling(key, repository)
        address = who.target.address
        at = repository_at(address.url, config.repositories)
        if repository in (at, None):
            return at  # None: it uploads to an index that is not ours
        raise Refusal(
            f"{uploader.name} would upload to {quoted(address.shown)} with the token for {repository.name}, which it "
            "asked for: correct the URL in its settings, or give that repository a token of its own."
        )
    if named.kind in ("misspelled", "generic"):
        return None
    if repository is not None and (named.kind == "name" or key.has_username or repository.name in _BUILT_IN_NAMES):
        return repository
    try:
        token = ask_rest()
    except Refusal:
        return None  # the rest's own exception goes on
    if token is None or not _is_ours(token, config):
        return None
    return repository or _repository_of(token, config)


def _find_master(grant: Grant, config: Config, ask_rest: AskRest) -> MasterToken | None:
    """Find an account's master; else what another program stored raw under the very key."""
    repository, account, command = grant.repository, grant.account, config.store.command
    if command is not None:
        labels.check_account(account, repository, config)
        from keyring_pypitoken.vault.command import CommandStore  # few name a program

        projects = grant.projects.value if grant.projects else ()
        return CommandStore(command.value, repository.name, account.value, projects, repository.domain).read_master()
    master = masters.find_master(repository, account.value, config.store)
    if master is None and (account.value == DEFAULT_ACCOUNT or account.origin == labels.LOOKUP):
        raw = ask_rest()
        master = raw if _is_ours(raw, config) else None
    return master


def _is_nothing_stored(repository: Repository, account: str, config: Config, ask_rest: AskRest) -> bool:
    """Return True if no master can be meant. Notes are asked first: they cost no prompt for what will be refused."""
    if accounts.noted_accounts(repository) or config.store.command is not None:
        return False
    if config.problem is not None and has_age_file():
        return False  # the policy that cannot be followed may say what opens it
    return (
        masters.find_master(repository, account, config.store) is None
        and not masters.other_accounts(repository, account, config.store)
        and not _is_ours(ask_rest(), config)
    )


def _refuse_if_others(repository: Repository, account: WithOrigin[str], config: Config, ask_rest: AskRest) -> None:
    """Refuse if the account has no master and others have, or had: declining could let one of them out raw."""
    others = masters.other_accounts(repository, account.value, config.store)
    if others or _is_ours(ask_rest(), config):
        suffix = "" if account.value == DEFAULT_ACCOUNT else f" --account {account.value}"
        likely = nearest(account.value, others)
        raise Refusal(
            f"no master is stored for the account {account.value!r} of {repository.name} ({account.origin}): "
            + (f"did you mean {likely!r}? If not, " if likely else "")
            + f"run `keyring-pypitoken login -r {repository.name}{suffix}`, or name another account."
        )
    # keyring leaves out a backend whose service is not running, with everything in it.
    for label in accounts.noted_accounts(repository):
        hint = session_hint()
        options = f" -r {repository.name}" + ("" if label == DEFAULT_ACCOUNT else f" --account {label}")
        forget = f"or, if it is gone for good, forget it with `keyring-pypitoken logout{options}`"
        raise Refusal(
            f"no keyring that can be asked now holds the master that was stored for {repository.name} (account "
            f"{label!r}): {hint}start or unlock the keyring that does{'' if hint else f', {forget}'}."
        )


def _refuse_if_noted(key: Key, config: Config) -> None:
    """Refuse a lookup by the URL of a repository that no policy has any more, as long as an account of it is noted."""
    if key.is_url and key.username == TOKEN_USERNAME and repository_at(key.service, accounts.noted_repositories()):
        raise config.problem or Refusal(
            f"a master is stored for {quoted(key.service)}, and no policy has this repository any more: add its "
            "[repository.NAME] with the url to your own policy.toml again."
        )


def _repository_of(token: MasterToken, config: Config) -> Repository | None:
    """Return the repository that a token is for, by the location in it."""
    from keyring_pypitoken.derive import domain_of

    domain = domain_of(token)
    return next((repository for repository in config.repositories if repository.domain == domain), None)


def save(key: Key | None, service: str, text: MasterToken) -> bool:
    """Store a master; return False if the text is not a PyPI token, and the rest may have it.

    Raises:
        Refusal: it is a PyPI token, and the key names no repository; or it cannot be stored.
    """
    config = load_config()
    named = match(key, config.repositories) if key else None
    is_token = _is_ours(text, config)
    repository = named.repository if named is not None and named.kind != "misspelled" else None
    if repository is None and named is not None and is_token and (named.kind == "name" or _is_saving(named)):
        repository = _repository_of(text, config)
    is_meant = key is not None and key.has_username and named is not None and repository is named.repository
    if not is_token and not (is_meant and repository is not None):
        return False
    if config.problem is not None:
        raise config.problem
    if key is None or repository is None:
        if key is not None and named is not None and named.repository is not None:
            raise misspelling(key, named.repository)
        raise Refusal(
            f"{quoted(service)} names no upload address, and a PyPI token is stored for one only, so that nothing "
            "hands it out as it is: run `keyring-pypitoken login`."
        )
    from keyring_pypitoken.derive import check_master
    from keyring_pypitoken.vault import changes  # few processes store or delete anything

    account = labels.account_to_store(key, repository)
    master, projects = check_master(text, repository), (key.project,) if key.project else ()
    store, replaced = changes.save_master(repository, account, master, config.store, projects)
    memory.forget()
    if replaced:
        with contextlib.suppress(Exception):  # it is stored
            notify(
                f"replaced the master for {repository.name} (account {account!r}) in {store}; if you no longer need "
                f"the previous one, revoke it on {repository.domain}"
            )
    return True


def _is_saving(named: Match) -> bool:
    """Return True if hatch stores a token that was typed under one of its two names, which could be anybody's."""
    uploader = asker().uploader
    return named.kind == "generic" and uploader is not None and uploader.is_saving(asker())


def delete(key: Key) -> bool | None:
    """Delete the master under a key, and return whether there was one; None if the key names no repository."""
    config = load_config()
    named = match(key, config.repositories)
    repository = named.repository if named is not None and named.kind != "misspelled" else None
    if repository is None:
        return None
    if config.problem is not None:
        raise config.problem
    from keyring_pypitoken.vault import changes

    account = labels.account_to_store(key, repository)
    memory.forget()
    return changes.delete_master(repository, account, key, config.store)
