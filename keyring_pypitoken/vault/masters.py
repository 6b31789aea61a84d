"""Find masters: under our private names, or raw where another program stored them.

One of the modules that handle a plaintext master. Every function raises `Refusal` if a store cannot be asked and no
other one answered. A backend's own error message never leaves this module, because it may hold what was stored.
"""

from __future__ import annotations

import contextlib
import copy
import threading
from typing import TYPE_CHECKING

from keyring.backend import KeyringBackend

from keyring_pypitoken import notices
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import DEFAULT_ACCOUNT
from keyring_pypitoken.secret import MasterToken
from keyring_pypitoken.vault import backends
from keyring_pypitoken.vault.accounts import noted_accounts
from keyring_pypitoken.vault.backends import failure, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import StoreSettings
    from keyring_pypitoken.vault.backends import Store

_NOTHING = MasterToken("")
_PATIENCE = 3  # seconds
_ENTERPRISE = 3  # CRED_PERSIST_ENTERPRISE of wincred.h: such credentials roam to other machines


def find_master(repository: Repository, account: str, settings: StoreSettings) -> MasterToken | None:
    """Return the master of an account under its private name; None if none is stored."""
    service = repository.private_service(account)
    return search(readable(settings), lambda store: store.get_password(service, account))


def why_unreachable(repository: Repository, account: str, settings: StoreSettings) -> str:
    """Return why a noted master cannot be read now; empty if it can, or if only asking a person would show it."""
    for store in () if settings.command else readable(settings):
        locked = backends.is_locked(store)
        if locked:
            name, remedy = backends.DESKTOPS[backends.name_of(store)]
            return f"the keyring is locked or not running ({name}): {remedy}"
        if locked is None or read(store, repository.private_service(account), account) is not None:
            return ""
    lost = f"no keyring that can be asked now holds it: {backends.session_hint()}start or unlock the keyring that does"
    return "" if settings.command else lost


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
        with _waiting_noticed(store):
            master = MasterToken(read(store) or "")  # never in a local of ours
    except Exception as error:  # noqa: BLE001 - backends raise what their services raise
        return None, error.with_traceback(None)
    return (None if master.equals(_NOTHING) else master), None


@contextlib.contextmanager
def _waiting_noticed(store: Store) -> Iterator[None]:
    """Print a line if a keyring backend takes long; its thread never holds a secret."""
    name, remedy = backends.DESKTOPS.get(backends.name_of(store), ("", "see what it waits for"))
    line = f"waiting for the keyring backend {backends.name_of(store)}{name and f' ({name})'}: {remedy}"
    timer = threading.Timer(_PATIENCE, _notify, [line])
    timer.daemon = True
    with contextlib.suppress(RuntimeError):  # no thread can be started
        if isinstance(store, KeyringBackend):  # the age file asks by itself
            timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _notify(line: str) -> None:
    with contextlib.suppress(Exception):  # a line that cannot be printed changes no answer
        notices.notify(line)


def read(store: Store, service: str, username: str) -> MasterToken | None:
    """Return what one store holds under a name; None if nothing."""
    return search([store], lambda store: store.get_password(service, username))


def write(store: Store, service: str, username: str, master: MasterToken) -> None:
    """Store a master under a name."""
    if backends.name_of(store) == backends.WINDOWS and getattr(store, "persist", None) == _ENTERPRISE:
        store = copy.copy(store)  # other programs of this process store as before
        store.persist = "local machine"  # type: ignore[attr-defined]  # of keyring's backend
    _change(store, "store the master", lambda: store.set_password(service, username, master.reveal()))


def delete(store: Store, service: str, username: str) -> None:
    """Delete what one store holds under a name."""
    _change(store, "delete the master", lambda: store.delete_password(service, username))


def _change(store: Store, what: str, step: Callable[[], None]) -> None:
    try:
        with _waiting_noticed(store):
            step()
    except Exception as error:  # noqa: BLE001 - backends raise what their services raise
        problem = failure(store, what, error)
    else:
        return
    raise Refusal(problem)
