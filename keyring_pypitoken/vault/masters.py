"""Masters in their stores: under names that no uploader asks for, and raw ones under the names that they do ask for.

One of the modules that decide over a master in clear. Every function raises `Refusal` if a store cannot be asked and no
other one answered. A backend's own error message never leaves this module, because it may hold what was stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.vault.accounts import noted_accounts
from keyring_pypitoken.vault.backends import failure, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import StoreSettings
    from keyring_pypitoken.vault.backends import Store

DEFAULT_ACCOUNT = "default"


def find_master(repository: Repository, account: str, settings: StoreSettings) -> MasterToken | None:
    """Return the master of an account under its private name; None if none is stored."""
    service = repository.private_service(account)
    return search(readable(settings), lambda store: store.get_password(service, account))


def run_command(
    command: tuple[str, ...], repository: Repository, account: str, _projects: Sequence[str] = ()
) -> MasterToken:
    """Return the master that the program of [store] prints; it runs once per process and account."""
    from keyring_pypitoken.vault.command import CommandStore  # few name a program

    return CommandStore(command, repository.name, account).read_master()


def other_accounts(repository: Repository, account: str, settings: StoreSettings) -> list[str]:
    """List the further accounts that a master is stored for."""
    labels = sorted({DEFAULT_ACCOUNT, *noted_accounts(repository)} - {account})
    return [label for label in labels if find_master(repository, label, settings) is not None]


def search(stores: Sequence[Store], read: Callable[..., str | None]) -> MasterToken | None:
    """Return the first master that a store holds; refuse if none holds one and one could not be asked."""
    problem: str | None = None
    for store in stores:
        text, error = _ask(read, store)
        if error is not None:
            problem = problem or failure(store, "be read", error)
        elif text is not None:
            return text
    if problem is not None:
        raise Refusal(problem)
    return None


def _ask(read: Callable[..., str | None], store: Store) -> tuple[MasterToken | None, Exception | None]:
    try:
        text = read(store)
    except Exception as error:  # noqa: BLE001 - backends raise what their services raise
        return None, error.with_traceback(None)
    return (MasterToken(text) if text else None), None


def read(store: Store, service: str, username: str) -> MasterToken | None:
    """Return what one store holds under a name; None if nothing."""
    return search([store], lambda store: store.get_password(service, username))


def write(store: Store, service: str, username: str, master: MasterToken) -> bool:
    """Store a master under a name; return False if the store takes none."""
    try:
        store.set_password(service, username, master.reveal())
    except NotImplementedError:
        return False  # it answers for names of its own, and stores nothing
    except Exception as error:  # noqa: BLE001 - backends raise what their services raise
        problem = failure(store, "store the master", error)
    else:
        return True
    raise Refusal(problem)


def delete(store: Store, service: str, username: str) -> None:
    """Delete what one store holds under a name."""
    try:
        store.delete_password(service, username)
    except Exception as error:  # noqa: BLE001 - backends raise what their services raise
        problem = failure(store, "delete the master", error)
    else:
        return
    raise Refusal(problem)
