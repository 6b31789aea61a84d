"""Which stores there are for masters, and in which order: keyring's backends, and the age file.

Backends are called directly and never through keyring's own functions, which would call this package again. Master
text passes through here only in the `Store` methods that others implement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from keyring_pypitoken import files, paths
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyring_pypitoken.policy.model import StoreSettings, WithOrigin
    from keyring_pypitoken.vault.age import AgeFile

AGE = "age"  # named in a policy instead of a keyring backend
# Windows' ERROR_NO_SUCH_LOGON_SESSION and macOS' errSecInteractionNotAllowed: no desktop session, as over ssh.
_NO_DESKTOP = ((1312,), (-25308,))
_RECOMMENDED_PRIORITY = 1  # what keyring itself calls a recommended backend
_KINDS = {
    "keyring.backends.SecretService": "the desktop's keyring (Secret Service)",
    "keyring.backends.libsecret": "the desktop's keyring (libsecret)",
    "keyring.backends.kwallet": "the desktop's keyring (KWallet)",
    "keyring.backends.macOS": "the desktop's keyring (macOS Keychain)",
    "keyring.backends.Windows": "the desktop's keyring (Windows Credential Manager)",
}


class Store(Protocol):
    """What keeps masters: a keyring backend, or the age file, which keyring must not find by itself."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """Return a password, or None."""

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Keep a password."""

    def delete_password(self, service: str, username: str, /) -> None:
        """Forget a password."""


class KnownStore(Record):
    """A store, described for people.

    Attributes:
        name: the backend's `module.Class`, the age file's path, or the program.
        kind: what it is, and what protects the masters in it.
        keeps: whether `keyring set` would store a master there.
    """

    name: str
    kind: str
    keeps: bool


def list_stores(settings: StoreSettings) -> list[KnownStore]:
    """List the stores in the order in which a master is looked for; unlock none, ask for nothing.

    At most one of them `keeps`. The age file is in the list if it is there, or would be made.

    Raises:
        Refusal: the backend that a policy names cannot be used, or the system reports an error.
    """
    program = [KnownStore(settings.command.value[0], "a program", keeps=False)] if settings.command else []
    readers, keepers = readable(settings), writable(settings)
    stores = [*readers, *(store for store in keepers if store not in readers)]
    return [*program, *(KnownStore(name_of(store), _kind(store), store in keepers[:1]) for store in stores)]


def refuse_unusable(settings: StoreSettings, *, to_store: bool) -> None:
    """Refuse what cannot work, as far as can be seen without opening or starting anything.

    Raises:
        Refusal: the program or the age file's identity or library is missing, or, `to_store`, every store is.
    """
    if settings.command is not None:
        from keyring_pypitoken.vault.command import CommandStore  # few have one

        CommandStore(settings.command.value, "", "").find()
    keepers = writable(settings)
    if has_age_file() or (keepers and not isinstance(keepers[0], KeyringBackend)):
        _age_file(settings).refuse_unusable()
    if to_store and not keepers and settings.command is None:
        raise no_store()


def no_store() -> Refusal:
    """Return the refusal of a machine on which nothing can keep a master."""
    return Refusal(
        "no keyring backend on this machine can keep the master (`keyring --list-backends` shows what there is): "
        "install or unlock one, install `keyring-pypitoken[age]` for an encrypted file, "
        f"or name one as `backend` in [store] of {paths.user_policy()}."
    )


def has_age_file() -> bool:
    """Return True if there is an age file, whatever it holds.

    Raises:
        Refusal: the system reports an error.
    """
    return files.status(paths.age_file(), paths.age_file()) is not None


def has_master() -> bool:
    """Return True if a master is stored, noted, or printed by a program, as far as the files show."""
    from keyring_pypitoken.policy.discovery import load_config

    return has_age_file() or files.any_present([paths.accounts_directory()]) or load_config().store.command is not None


def name_of(store: Store) -> str:
    """Return what messages call a store."""
    if isinstance(store, KeyringBackend):
        return f"{type(store).__module__}.{type(store).__qualname__}"
    return paths.age_file()


def failure(store: Store, what: str, error: Exception) -> str:
    """Return why a store could not do something; its own words are left out, since they may hold what was stored."""
    if isinstance(error, Refusal):
        return str(error)  # the age file's own sentence
    cause = error.__cause__ or error  # keyring's macOS backend raises its own exception from the system's
    if cause.args[:1] in _NO_DESKTOP:
        return (
            f"the keyring backend {name_of(store)} could not {what} without a desktop session (error {cause.args[0]}, "
            f"as over ssh): use it from the desktop, or keep the master in the age file {paths.age_file()} (install "
            f'`keyring-pypitoken[age]`, and set `backend = "age"` in [store] of {paths.user_policy()}).'
        )
    return (
        f"the keyring backend {name_of(store)} could not {what} ({type(error).__name__}): "
        "unlock or repair it, and try again."
    )


def moves_accounts(store: Store) -> bool:
    """Return True for keyring's Windows backend, which moves an account's entry if another account is stored."""
    return name_of(store).startswith("keyring.backends.Windows.")


def readable(settings: StoreSettings) -> Sequence[Store]:
    """Return the stores that may hold a master: the one that is named, then keyring's chain, then the age file."""
    backends = keyring_backends(settings)
    if not has_age_file():
        return backends
    age = _age_file(settings)
    named = settings.backend is not None and settings.backend.value == AGE
    return [age, *backends] if named else [*backends, age]


def writable(settings: StoreSettings) -> Sequence[Store]:
    """Return the stores that a master may be stored in, the best first.

    The age file comes last if no policy names it and its extra is installed: a keyring is unlocked with the session.
    """
    if settings.command is not None:
        return []
    named = settings.backend
    if named is not None and named.value == AGE:
        return [_age_file(settings)]
    backends = keyring_backends(settings)
    if named is not None:
        return [backend for backend in backends[:1] if _takes_passwords(backend)]
    best = [
        backend
        for backend in backends
        if type(backend).priority >= _RECOMMENDED_PRIORITY and not _is_plaintext(backend) and _takes_passwords(backend)
    ]
    return [*best, _age_file(settings)] if has_age_file() or has_pyrage() else best


def keyring_backends(settings: StoreSettings) -> list[KeyringBackend]:
    """Return the keyring backends that may hold a master: the one that is named, then keyring's chain in its order."""
    chain = _chain()
    if settings.backend is None or settings.backend.value == AGE:
        return chain
    first = _load_named(settings.backend, chain)
    return [first, *(backend for backend in chain if backend is not first)]


def _kind(store: Store) -> str:
    if isinstance(store, KeyringBackend):
        if not _takes_passwords(store):
            return "a plugin that stores nothing"
        return "plaintext" if _is_plaintext(store) else _KINDS.get(type(store).__module__, "another keyring backend")
    return str(store)


def _chain() -> list[KeyringBackend]:
    """Return the backends of keyring's chain that hold passwords.

    keyring asks each for its priority every time, and one whose service stopped answers with its own exception.
    """
    try:
        return [backend for backend in chainer.ChainerBackend.backends if _holds_passwords(backend)]
    except Exception as error:  # noqa: BLE001 - backends raise what their services raise
        problem = f"a keyring backend stopped responding ({type(error).__name__}): start its keyring, and try again."
    raise Refusal(problem)


def _age_file(settings: StoreSettings) -> AgeFile:
    from keyring_pypitoken.vault.age import AgeFile  # most machines have a keyring

    return AgeFile(settings.identity)


def has_pyrage() -> bool:
    """Return True if the extra `age` is installed."""
    import importlib.util

    return importlib.util.find_spec("pyrage") is not None


def _is_plaintext(backend: KeyringBackend) -> bool:
    return "plaintext" in name_of(backend).lower()


def _takes_passwords(backend: KeyringBackend) -> bool:
    """Return True if a backend stores anything: plugins that answer for their own URLs only raise NotImplementedError.

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


def _load_named(named: WithOrigin[str], chain: list[KeyringBackend]) -> KeyringBackend:
    for backend in chain:
        if name_of(backend) == named.value:
            return backend
    from keyring.core import load_keyring

    try:
        backend = load_keyring(named.value)
        usable = isinstance(backend, KeyringBackend) and _holds_passwords(backend)
        problem = None if usable else "which holds no passwords"
    except Exception as error:  # noqa: BLE001 - importing it, or looking at its priority, may raise anything
        problem = f"which cannot be loaded ({type(error).__name__})"
    if problem is not None:
        raise Refusal(f"[store] names the backend {named.value!r}, {problem} ({named.origin}): correct or install it.")
    return backend
