"""Where masters are kept: other keyring backends, under names that no uploader asks for.

Backends are called directly and never through keyring's own functions, which would call this package again.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import os
from typing import TYPE_CHECKING, NamedTuple

from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from . import locations
from .exceptions import Refusal
from .repository import TOKEN_USERNAME, Lookup, raw_keys
from .secret import MasterToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from .grant import Sourced
    from .repository import Repository

_RECOMMENDED_PRIORITY = 1  # what keyring itself calls a recommended backend


def find_master(repository: Repository, account: str, named: Sourced[str] | None) -> MasterToken | None:
    """Find the master of an account under its private name.

    Args:
        repository: the endpoint that it is for.
        account: the label of the account.
        named: the `module.Class` of the backend that the user's policy names, if it names one.

    Returns:
        The master, or None where none is stored.

    Raises:
        Refusal: a backend cannot be asked, so that nobody knows.
    """
    return _search(
        _readers(named),
        lambda backend: backend.get_password(repository.private_service, account),
    )


def find_raw_master(lookup: Lookup, named: Sourced[str] | None) -> MasterToken | None:
    """Find a master that another program stored raw, in the backends and in the order of keyring's chain.

    Raises:
        Refusal: a backend cannot be asked, so that nobody knows.
    """
    return _search(_readers(named), lambda backend: _raw_password(backend, lookup))


def find_kept(service: str, username: str | None, named: Sourced[str] | None) -> MasterToken | None:
    """Find what the chain would hand out for a look-up if we declined it.

    Raises:
        Refusal: a backend cannot be asked, so that nobody knows.
    """
    return _search(_readers(named), lambda backend: _password_asked_for(backend, service, username))


class KnownStore(NamedTuple):
    """A store, as told to people.

    Attributes:
        name: the backend's `module.Class`.
        kind: what it is.
        keeps: whether `keyring set` would store a master there.
    """

    name: str
    kind: str
    keeps: bool


def list_stores(named: Sourced[str] | None) -> list[KnownStore]:
    """List the stores in the order in which a master is looked for, without unlocking any.

    Raises:
        Refusal: the backend that a policy names cannot be used.
    """
    keepers = _keepers(named)
    return [KnownStore(_name(store), store.name, store in keepers[:1]) for store in _readers(named)]


class RawMaster(NamedTuple):
    """A master that lies where uploaders find it raw."""

    store: str
    service: str
    username: str
    master: MasterToken
    delete: Callable[[], None]


def raw_masters(repository: Repository, named: Sourced[str] | None) -> list[RawMaster]:
    """List what lies under the keys that uploaders ask for, but for those that hold a name of the user's choice.

    Raises:
        Refusal: a backend cannot be asked, so that nobody knows.
    """
    return [
        RawMaster(_name(backend), service, username, master, functools.partial(_delete, backend, service, username))
        for backend in _readers(named)
        for service, username in raw_keys(Lookup(repository, repository.url, TOKEN_USERNAME))
        if (master := _read(backend, service, username)) is not None
    ]


def other_accounts(repository: Repository, account: str, named: Sourced[str] | None) -> list[str]:
    """List the further accounts of which a master is stored.

    Raises:
        Refusal: a backend cannot be asked, so that nobody knows.
    """
    labels = sorted({"default", *noted_accounts(repository)} - {account})
    return [label for label in labels if find_master(repository, label, named) is not None]


def save_master(
    repository: Repository,
    account: str,
    master: MasterToken,
    named: Sourced[str] | None,
) -> tuple[str, bool]:
    """Keep a master under its private name, in the first suitable backend that takes it.

    Returns:
        The name of the backend, and whether another master was replaced.

    Raises:
        Refusal: no backend takes it, or one does not keep what it took.
    """
    service = repository.private_service
    for backend in _keepers(named):
        old = _read(backend, service, account)
        if not _write(backend, service, account, master):
            continue
        kept = _read(backend, service, account)
        if kept is None or not same(kept, master):
            msg = (
                f"the keyring backend {_name(backend)} did not keep the master: "
                f"name another one as `backend` in [store] of {locations.user_policy()}."
            )
            raise Refusal(msg)
        _note_label(repository, account)
        return _name(backend), old is not None and not same(old, master)
    msg = (
        "no keyring backend on this machine can keep the master (`keyring --list-backends` shows what there is): "
        f"install or unlock one, or name one as `backend` in [store] of {locations.user_policy()}."
    )
    raise Refusal(msg)


def delete_master(lookup: Lookup, account: str, named: Sourced[str] | None) -> bool:
    """Delete the master of an account, and what is stored raw under the very key that was asked.

    Returns:
        Whether there was anything to delete.

    Raises:
        Refusal: a backend cannot delete it, or none that can be asked now holds what was stored.
    """
    deleted = False
    keys = [
        (lookup.repository.private_service, account),
        (lookup.service, lookup.username or TOKEN_USERNAME),
    ]
    for backend in _readers(named):
        for service, username in keys:
            if _read(backend, service, username) is not None:
                _delete(backend, service, username)
                deleted = True
    noted = account in noted_accounts(lookup.repository)
    _forget_label(lookup.repository, account)
    if noted and not deleted:
        msg = (
            "no keyring that can be asked now holds this master, so only the note of it was deleted: "
            "if the keyring that holds it comes back, delete it again."
        )
        raise Refusal(msg)
    return deleted


def _search(backends: list[KeyringBackend], read: Callable[[KeyringBackend], str | None]) -> MasterToken | None:
    """Return the first master that a backend holds; refuse where none holds one and one could not be asked."""
    problem: str | None = None
    for backend in backends:
        try:
            text = read(backend)
        except Exception as error:  # noqa: BLE001 - backends raise what their services raise
            problem = problem or _failure(backend, "be read", error)
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


def _read(backend: KeyringBackend, service: str, username: str) -> MasterToken | None:
    return _search([backend], lambda backend: backend.get_password(service, username))


def _write(backend: KeyringBackend, service: str, username: str, master: MasterToken) -> bool:
    """Store a master; say whether the backend takes any."""
    try:
        backend.set_password(service, username, master.reveal_to_derive_or_store())
    except NotImplementedError:
        return False  # it answers for names of its own, and stores nothing
    except Exception as error:  # noqa: BLE001 - backends raise what their services raise
        problem = _failure(backend, "store the master", error)
    else:
        return True
    raise Refusal(problem)


def _delete(backend: KeyringBackend, service: str, username: str) -> None:
    try:
        backend.delete_password(service, username)
    except Exception as error:  # noqa: BLE001 - backends raise what their services raise
        problem = _failure(backend, "delete the master", error)
    else:
        return
    raise Refusal(problem)


def _failure(backend: KeyringBackend, what: str, error: Exception) -> str:
    """Say what a backend could not do; its own message is left out, since it may hold what was stored."""
    return (
        f"the keyring backend {_name(backend)} could not {what} ({type(error).__name__}): "
        "unlock or repair it, and try again."
    )


def same(one: MasterToken, other: MasterToken) -> bool:
    """Say whether two masters are one."""
    return one.reveal_to_derive_or_store() == other.reveal_to_derive_or_store()


def _name(backend: KeyringBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def _readers(named: Sourced[str] | None) -> list[KeyringBackend]:
    """Return the backends that may hold a master: the one that is named, then keyring's chain in its order."""
    chain = _chain()
    if named is None:
        return chain
    first = _load_named(named, chain)
    return [first, *(backend for backend in chain if backend is not first)]


def _chain() -> list[KeyringBackend]:
    """Return the backends of keyring's chain that hold passwords.

    keyring asks each for its priority every time, and one whose service stopped since it was found answers with
    an exception of its own.
    """
    try:
        return [backend for backend in chainer.ChainerBackend.backends if _holds_passwords(backend)]
    except Exception as error:  # noqa: BLE001 - backends raise what their services raise
        problem = f"a keyring backend is gone ({type(error).__name__}): start its keyring again, and try again."
    raise Refusal(problem)


def _keepers(named: Sourced[str] | None) -> list[KeyringBackend]:
    """Return the backends that a master may be stored in, the best first."""
    readers = _readers(named)
    if named is not None:
        return readers[:1]
    return [
        backend
        for backend in readers
        if type(backend).priority >= _RECOMMENDED_PRIORITY and "plaintext" not in _name(backend).lower()
    ]


def _holds_passwords(backend: KeyringBackend) -> bool:
    ours = type(backend).__module__.partition(".")[0] == __package__.partition(".")[0]
    return not ours and not isinstance(backend, (chainer.ChainerBackend, null.Keyring, fail.Keyring))


def _load_named(named: Sourced[str], chain: list[KeyringBackend]) -> KeyringBackend:
    for backend in chain:
        if _name(backend) == named.value:
            return backend
    from keyring.core import load_keyring

    try:
        backend = load_keyring(named.value)
        usable = isinstance(backend, KeyringBackend) and _holds_passwords(backend)
        problem = None if usable else "which holds no passwords"
    except Exception as error:  # noqa: BLE001 - importing it, or looking at its priority, may raise anything
        problem = f"which cannot be loaded ({type(error).__name__})"
    if problem is not None:
        msg = f"[store] names the backend {named.value!r}, {problem} ({named.origin}): correct or install it."
        raise Refusal(msg)
    return backend


# Keyrings cannot be listed, so a file for each stored account tells its repository, label and date. Files of
# their own need no lock: two processes that store two accounts at once cannot undo each other's.


def _label_file(repository: Repository, account: str) -> str:
    digest = hashlib.sha256(f"{repository.url}\n{account}".encode()).hexdigest()
    return os.path.join(locations.accounts_folder(), f"{digest[:32]}.json")


def _note_label(repository: Repository, account: str) -> None:
    """Note a stored account; the master is safe in its store already, so a failure here is none."""
    import tempfile

    stored = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    text = json.dumps({"repository": repository.url, "account": account, "stored": stored})
    folder = locations.accounts_folder()
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=folder, suffix=".tmp")  # 0600 from the start
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path, _label_file(repository, account))
    except OSError:
        return


def _forget_label(repository: Repository, account: str) -> None:
    try:
        os.remove(_label_file(repository, account))
    except OSError:
        return


def noted_accounts(repository: Repository) -> list[str]:
    """List the accounts of which a master was stored and not deleted, as far as the notes tell."""
    try:
        with os.scandir(locations.accounts_folder()) as entries:
            paths = [entry.path for entry in entries if entry.name.endswith(".json")]
    except OSError:
        return []
    found: list[str] = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(content, dict) and content.get("repository") == repository.url:
            label = content.get("account")
            found.extend([label] if isinstance(label, str) else [])
    return found
