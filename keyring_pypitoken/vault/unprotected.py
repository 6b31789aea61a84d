"""Find masters that are stored under other names than ours, to move or report them.

A backend that cannot be asked is a Refusal. What `status` calls passes over a keyring that would have to be unlocked.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.lookup import DEFAULT_ACCOUNT
from keyring_pypitoken.vault.accounts import noted_accounts
from keyring_pypitoken.vault.backends import is_locked, keyring_backends, name_of
from keyring_pypitoken.vault.masters import delete, read, search

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import StoreSettings
    from keyring_pypitoken.secret import MasterToken
    from keyring_pypitoken.vault.backends import Store


class RawMaster(NamedTuple):
    """A master that another program stored under a name that uploaders ask for."""

    store: str
    service: str
    username: str
    master: MasterToken
    delete: Callable[[], None]


def raw_masters(pairs: Sequence[tuple[str, str]], settings: StoreSettings) -> list[RawMaster]:
    """List what is stored in keyrings under pairs of service and user name."""
    return [
        RawMaster(name_of(backend), service, username, master, functools.partial(_delete, backend, service, username))
        for backend in keyring_backends(settings)
        for service, username in pairs
        if (master := read(backend, service, username)) is not None
    ]


def _delete(backend: Store, service: str, username: str) -> None:
    if read(backend, service, username) is not None:  # some backends show one entry under two names
        delete(backend, service, username)


def find_unprotected(pairs: Sequence[tuple[str, str]], settings: StoreSettings) -> list[tuple[str, str]]:
    """Return the (backend, service) of each pair of service and user name that something is stored under."""
    return [
        (name_of(backend), service)
        for backend in _unlocked_backends(settings)
        for service, username in pairs
        if read(backend, service, username) is not None
    ]


def find_in_keyrings(repository: Repository, account: str, settings: StoreSettings) -> MasterToken | None:
    """Return the master of an account, without opening the age file or starting a program; None if there is none."""
    service = repository.private_service(account)
    return search(_unlocked_backends(settings), lambda backend: backend.get_password(service, account))


def find_left(repository: Repository, settings: StoreSettings) -> list[tuple[str, str]]:
    """Return the (backend, service) of masters under private names that earlier versions used: nothing reads them."""
    service = repository.private_service(DEFAULT_ACCOUNT)
    labels = noted_accounts(repository)
    pairs = [(service, label) for label in labels if label != DEFAULT_ACCOUNT]
    # keyring's Windows backend keeps a replaced entry under such a name.
    pairs += [(f"{label}@{service}", label) for label in labels]
    return find_unprotected(pairs, settings)


def _unlocked_backends(settings: StoreSettings) -> Sequence[Store]:
    return [backend for backend in keyring_backends(settings) if not is_locked(backend)]
