"""Masters that other programs stored under the names that uploaders ask for: found, to be moved or reported.

A backend that cannot be asked is a Refusal.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.vault.backends import keyring_backends, name_of
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
        for backend in keyring_backends(settings)
        for service, username in pairs
        if read(backend, service, username) is not None
    ]


def find_in_keyrings(repository: Repository, account: str, settings: StoreSettings) -> MasterToken | None:
    """Return the master of an account, without opening the age file or starting a program; None if there is none."""
    service = repository.private_service(account)
    return search(keyring_backends(settings), lambda backend: backend.get_password(service, account))
