"""Where masters are kept: other keyring backends, under names that no uploader asks for, or else the age file.

Backends are called directly and never through keyring's own functions, which would call this package again.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import logging
import os
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from . import locations
from .exceptions import Refusal
from .policy import AGE
from .repository import TOKEN_USERNAME, Lookup, raw_keys
from .secret import MasterToken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .age_file import AgeFile
    from .grant import Sourced
    from .policy import StoreSettings
    from .repository import Repository

_RECOMMENDED_PRIORITY = 1  # what keyring itself calls a recommended backend
_KINDS = {
    "keyring.backends.SecretService": "the desktop's keyring (Secret Service)",
    "keyring.backends.libsecret": "the desktop's keyring (libsecret)",
    "keyring.backends.kwallet": "the desktop's keyring (KWallet)",
    "keyring.backends.macOS": "the desktop's keyring (macOS Keychain)",
    "keyring.backends.Windows": "the desktop's keyring (Windows Credential Manager)",
}

S = TypeVar("S", bound="Store")
_log = logging.getLogger(__name__)


class Store(Protocol):
    """What keeps masters: a keyring backend, or the age file, which keyring must not take for one."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """Return a password, or None."""

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Keep a password."""

    def delete_password(self, service: str, username: str, /) -> None:
        """Forget a password."""


class KnownStore(NamedTuple):
    """A store, as told to people.

    Attributes:
        name: the backend's `module.Class`, or the age file's path.
        kind: what it is, and what protects the masters in it.
        keeps: whether `keyring set` would store a master there.
    """

    name: str
    kind: str
    keeps: bool


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
    return _search(_readers(settings), lambda store: store.get_password(repository.private_service, account))


def find_raw_master(lookup: Lookup, settings: StoreSettings | None) -> MasterToken | None:
    """Find a master that another program stored raw, in the backends and in the order of keyring's chain.

    Raises:
        Refusal: a backend cannot be asked, so that nobody knows.
    """
    return _search(_backends(settings), lambda backend: _raw_password(backend, lookup))


def find_kept(service: str, username: str | None, settings: StoreSettings | None) -> MasterToken | None:
    """Find what the chain would hand out for a look-up if we declined it.

    Raises:
        Refusal: a backend cannot be asked, so that nobody knows.
    """
    return _search(_backends(settings), lambda backend: _password_asked_for(backend, service, username))


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
        RawMaster(_name(backend), service, username, master, functools.partial(_delete, backend, service, username))
        for backend in _backends(settings)
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
    for store in _keepers(settings):
        old = _read(store, service, account)
        if not _write(store, service, account, master):
            continue
        kept = _read(store, service, account)
        if kept is None or not same(kept, master):
            msg = (
                f"the keyring backend {_name(store)} did not keep the master: "
                f"name another one as `backend` in [store] of {locations.user_policy()}."
            )
            raise Refusal(msg)
        _note_label(repository, account)
        return _name(store), old is not None and not same(old, master)
    msg = (
        "no keyring backend on this machine can keep the master (`keyring --list-backends` shows what there is): "
        "install or unlock one, install `keyring-pypitoken[age]` for an encrypted file, "
        f"or name one as `backend` in [store] of {locations.user_policy()}."
    )
    raise Refusal(msg)


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
    for store in _readers(settings):
        for service, username in keys:
            if _read(store, service, username) is not None:
                _delete(store, service, username)
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


def list_stores(settings: StoreSettings | None) -> list[KnownStore]:
    """List the stores in the order in which a master is looked for, without unlocking any or asking for a secret.

    At most one of them `keeps`: where none does, `keyring set` refuses and tells what to install or set.

    Args:
        settings: what `[store]` says; None where the policies cannot be followed.

    Returns:
        The stores that are there, then the age file where it is none of them and would be made.

    Raises:
        Refusal: the backend that a policy names cannot be used.
    """
    readers, keepers = _readers(settings), _keepers(settings)
    stores = [*readers, *(store for store in keepers if store not in readers)]
    return [KnownStore(_name(store), _kind(store), store in keepers[:1]) for store in stores]


def has_store(settings: StoreSettings | None) -> bool:
    """Say whether there is a store that may hold a master.

    Raises:
        Refusal: the backend that a policy names cannot be used.
    """
    return bool(_readers(settings))


def has_age_file() -> bool:
    """Say whether there is an age file, whatever it holds."""
    return os.path.lexists(locations.age_file())


def _search(stores: Sequence[S], read: Callable[[S], str | None]) -> MasterToken | None:
    """Return the first master that a store holds; refuse where none holds one and one could not be asked."""
    problem: str | None = None
    for store in stores:
        try:
            text = read(store)
        except Exception as error:  # noqa: BLE001 - backends raise what their services raise
            _log.debug("skipped %s, which raised %s", _name(store), type(error).__name__)
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
        f"the keyring backend {_name(store)} could not {what} ({type(error).__name__}): "
        "unlock or repair it, and try again."
    )


def same(one: MasterToken, other: MasterToken) -> bool:
    """Say whether two masters are one."""
    return one.reveal_to_derive_or_store() == other.reveal_to_derive_or_store()


def _name(store: Store) -> str:
    if isinstance(store, KeyringBackend):
        return f"{type(store).__module__}.{type(store).__qualname__}"
    return locations.age_file()


def _kind(store: Store) -> str:
    if isinstance(store, KeyringBackend):
        if not _takes_passwords(store):
            return "a plugin that stores nothing"
        return "plaintext" if _is_plaintext(store) else _KINDS.get(type(store).__module__, "another keyring backend")
    return str(store)


def _readers(settings: StoreSettings | None) -> list[Store]:
    """Return the stores that may hold a master: the one that is named, then keyring's chain, then the age file."""
    backends = _backends(settings)
    if settings is None or not has_age_file():
        return [*backends]
    age = _age_file(settings)
    named = settings.backend is not None and settings.backend.value == AGE
    return [age, *backends] if named else [*backends, age]


def _keepers(settings: StoreSettings | None) -> list[Store]:
    """Return the stores that a master may be stored in, the best first.

    The age file is one of them where a policy names it, or else the last where it can be used: who installed the
    extra `age` wants it, and is told if its passphrase is all that lacks.
    """
    named = settings.backend if settings else None
    if settings and named and named.value == AGE:
        return [_age_file(settings)]
    backends = _backends(settings)
    if named is not None:
        return [backend for backend in backends[:1] if _takes_passwords(backend)]
    best = [
        backend
        for backend in backends
        if type(backend).priority >= _RECOMMENDED_PRIORITY and not _is_plaintext(backend) and _takes_passwords(backend)
    ]
    return [*best, _age_file(settings)] if settings and (has_age_file() or _has_pyrage()) else [*best]


def _backends(settings: StoreSettings | None) -> list[KeyringBackend]:
    """Return the keyring backends that may hold a master: the one that is named, then keyring's chain in its order."""
    chain = _chain()
    if settings is None or settings.backend is None or settings.backend.value == AGE:
        return chain
    first = _load_named(settings.backend, chain)
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


def _age_file(settings: StoreSettings) -> AgeFile:
    from .age_file import AgeFile  # only where there is one, or shall be: most machines have a keyring

    return AgeFile(settings.identity)


def _has_pyrage() -> bool:
    import importlib.util

    return importlib.util.find_spec("pyrage") is not None


def _is_plaintext(backend: KeyringBackend) -> bool:
    return "plaintext" in _name(backend).lower()


def _takes_passwords(backend: KeyringBackend) -> bool:
    """Say whether a backend stores anything: plugins that answer for URLs of their own only raise NotImplementedError.

    Their code is looked at, since trying would store something.
    """
    method = type(backend).set_password
    while hasattr(method, "__wrapped__"):  # by keyring, once for each class
        method = method.__wrapped__
    code = getattr(method, "__code__", None)
    return code is None or not set(code.co_names) <= {"NotImplementedError"}


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
