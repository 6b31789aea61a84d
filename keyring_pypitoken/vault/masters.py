"""Masters in their stores, under names that no uploader asks for; and raw ones, under the names that they do."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import TOKEN_USERNAME, Lookup, raw_keys
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.vault.accounts import forget_account, note_account, noted_accounts
from keyring_pypitoken.vault.backends import Store, keyring_backends, name_of, readable, writable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyring.backend import KeyringBackend

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import StoreSettings

S = TypeVar("S", bound=Store)
_log = logging.getLogger(__name__)


def find_master(repository: Repository, account: str, settings: StoreSettings | None) -> MasterToken | None:
    """Find the master of an account under its private name.

    Args:
        repository: the endpoint that it is for.
        account: the label of the account.
        settings: what `[store]` says; None where the policies cannot be followed: then neither the backend that they
            may name nor the age file, whose identity they may name, is asked.

    Returns:
        The master, or None where none is stored.

    Raises:
        Refusal: a backend cannot be asked, so that nobody knows.
    """
    return _search(readable(settings), lambda store: store.get_password(repository.private_service, account))


def find_raw_master(lookup: Lookup, settings: StoreSettings | None) -> MasterToken | None:
    """Find a master that another program stored raw, in the backends and in the order of keyring's chain.

    Raises:
        Refusal: a backend cannot be asked, so that nobody knows.
    """
    return _search(keyring_backends(settings), lambda backend: _raw_password(backend, lookup))


def find_kept(service: str, username: str | None, settings: StoreSettings | None) -> MasterToken | None:
    """Find what the chain would hand out for a lookup if we declined it.

    Raises:
        Refusal: a backend cannot be asked, so that nobody knows.
    """
    return _search(keyring_backends(settings), lambda backend: _password_asked_for(backend, service, username))


class RawMaster(NamedTuple):
    """A master that lies where uploaders find it raw."""

    store: str
    service: str
    username: str
    master: MasterToken
    delete: Callable[[], None]


def raw_masters(repository: Repository, settings: StoreSettings | None) -> list[RawMaster]:
    """List what lies under the keys that uploaders ask for, but for those that hold a name of the user's choice.

    Raises:
        Refusal: a backend cannot be asked, so that nobody knows.
    """
    return [
        RawMaster(name_of(backend), service, username, master, functools.partial(_delete, backend, service, username))
        for backend in keyring_backends(settings)
        for service, username in raw_keys(Lookup(repository, repository.url, TOKEN_USERNAME))
        if (master := _read(backend, service, username)) is not None
    ]


def other_accounts(repository: Repository, account: str, settings: StoreSettings | None) -> list[str]:
    """List the further accounts of which a master is stored.

    Raises:
        Refusal: a backend cannot be asked, so that nobody knows.
    """
    labels = sorted({"default", *noted_accounts(repository)} - {account})
    return [label for label in labels if find_master(repository, label, settings) is not None]


def save_master(
    repository: Repository,
    account: str,
    master: MasterToken,
    settings: StoreSettings | None,
) -> tuple[str, bool]:
    """Keep a master under its private name, in the first suitable store that takes it.

    Returns:
        The name of the store, and whether another master was replaced.

    Raises:
        Refusal: no store takes it, or one does not keep what it took.
    """
    service = repository.private_service
    for store in writable(settings):
        old = _read(store, service, account)
        if not _write(store, service, account, master):
            continue
        kept = _read(store, service, account)
        if kept is None or not same(kept, master):
            raise Refusal(
                f"the keyring backend {name_of(store)} did not keep the master: "
                f"name another one as `backend` in [store] of {paths.user_policy()}."
            )
        note_account(repository, account)
        return name_of(store), old is not None and not same(old, master)
    raise Refusal(
        "no keyring backend on this machine can keep the master (`keyring --list-backends` shows what there is): "
        "install or unlock one, install `keyring-pypitoken[age]` for an encrypted file, "
        f"or name one as `backend` in [store] of {paths.user_policy()}."
    )


def delete_master(lookup: Lookup, account: str, settings: StoreSettings | None) -> bool:
    """Delete the master of an account, and what is stored raw under the very key that was asked.

    Returns:
        Whether there was anything to delete.

    Raises:
        Refusal: a store cannot delete it, or none that can be asked now holds what was stored.
    """
    deleted = False
    keys = [
        (lookup.repository.private_service, account),
        (lookup.service, lookup.username or TOKEN_USERNAME),
    ]
    for store in readable(settings):
        for service, username in keys:
            if _read(store, service, username) is not None:
                _delete(store, service, username)
                deleted = True
    noted = account in noted_accounts(lookup.repository)
    forget_account(lookup.repository, account)
    if noted and not deleted:
        raise Refusal(
            "no keyring that can be asked now holds this master, so only the note of it was deleted: "
            "if the keyring that holds it comes back, delete it again."
        )
    return deleted


def _search(stores: Sequence[S], read: Callable[[S], str | None]) -> MasterToken | None:
    """Return the first master that a store holds; refuse where none holds one and one could not be asked."""
    problem: str | None = None
    for store in stores:
        try:
            text = read(store)
        except Exception as error:  # noqa: BLE001 - backends raise what their services raise
            _log.debug("skipped %s, which raised %s", name_of(store), type(error).__name__)
            problem = problem or _failure(store, "be read", error)
            continue
        if text:
            return MasterToken(text)
    if problem is not None:
        raise Refusal(problem)
    return None


def _raw_password(backend: KeyringBackend, lookup: Lookup) -> str | None:
    for service, username in raw_keys(lookup):
        if password := backend.get_password(service, username):
            return password
    return _password_asked_for(backend, lookup.service, lookup.username)


def _password_asked_for(backend: KeyringBackend, service: str, username: str | None) -> str | None:
    if username:
        return backend.get_password(service, username)
    credential = backend.get_credential(service, username)
    if credential is None:
        return None
    # What the chain would hand out for any user name: only a token, and no other user's password, is ours.
    ours = credential.username == TOKEN_USERNAME or credential.password.startswith("pypi-")
    return credential.password if ours else None


def _read(store: Store, service: str, username: str) -> MasterToken | None:
    return _search([store], lambda store: store.get_password(service, username))


def _write(store: Store, service: str, username: str, master: MasterToken) -> bool:
    """Store a master; say whether the store takes any."""
    try:
        store.set_password(service, username, master.reveal_to_derive_or_store())
    except NotImplementedError:
        return False  # it answers for names of its own, and stores nothing
    except Exception as error:  # noqa: BLE001 - backends raise what their services raise
        problem = _failure(store, "store the master", error)
    else:
        return True
    raise Refusal(problem)


def _delete(store: Store, service: str, username: str) -> None:
    try:
        store.delete_password(service, username)
    except Exception as error:  # noqa: BLE001 - backends raise what their services raise
        problem = _failure(store, "delete the master", error)
    else:
        return
    raise Refusal(problem)


def _failure(store: Store, what: str, error: Exception) -> str:
    """Say what a store could not do; a backend's own message is left out, since it may hold what was stored."""
    if isinstance(error, Refusal):
        return str(error)  # the age file's own sentence
    return (
        f"the keyring backend {name_of(store)} could not {what} ({type(error).__name__}): "
        "unlock or repair it, and try again."
    )


def same(one: MasterToken, other: MasterToken) -> bool:
    """Return True if two masters are one."""
    return one.reveal_to_derive_or_store() == other.reveal_to_derive_or_store()
