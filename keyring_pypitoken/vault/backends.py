"""Which stores there are for masters, and in which order: keyring's backends, and the age file.

Backends are called directly and never through keyring's own functions, which would call this package again. Master
text passes through here only in the `Store` methods that others implement.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Protocol

from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from keyring_pypitoken import files, paths, rest
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyring_pypitoken.policy.model import StoreSettings, WithOrigin
    from keyring_pypitoken.vault.age import AgeFile

AGE = "age"  # named in a policy instead of a keyring backend
_SECRET_SERVICE = "keyring.backends.SecretService.Keyring"  # noqa: S105 - a class
WINDOWS = "keyring.backends.Windows.WinVaultKeyring"
# keyring's own backends for desktops: what people call them, and how they are unlocked. Only these take a new master
# unasked, because any plugin can claim a priority.
DESKTOPS = {
    _SECRET_SERVICE: ("Secret Service, such as GNOME Keyring", "unlock it in its own program, such as `seahorse`"),
    "keyring.backends.libsecret.Keyring": ("libsecret", "unlock it in its own program, such as `seahorse`"),
    "keyring.backends.kwallet.DBusKeyring": ("KWallet", "unlock it with `kwalletmanager5`"),
    "keyring.backends.kwallet.DBusKeyringKWallet4": ("KWallet 4", "unlock it with `kwalletmanager`"),
    "keyring.backends.macOS.Keyring": ("macOS Keychain", "unlock it with `security unlock-keychain`"),
    WINDOWS: ("Windows Credential Manager", "log in to the desktop"),
}
# Windows' ERROR_NO_SUCH_LOGON_SESSION and macOS' errSecInteractionNotAllowed: no desktop session, as over ssh.
_NO_DESKTOP = ((1312,), (-25308,))


class Store(Protocol):
    """What keeps masters: a keyring backend, or the age file, which keyring must not find by itself."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """Return a password, or None."""

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Store a password."""

    def delete_password(self, service: str, username: str, /) -> None:
        """Delete a password."""


class KnownStore(Record):
    """A store, described for people."""

    name: str  # the backend's `module.Class`, the age file's path, or the program
    kind: str  # what it is, and what protects the masters in it
    keeps: bool  # whether a new master would be stored there


def list_stores(settings: StoreSettings) -> list[KnownStore]:
    """List the stores in the order in which a master is looked for; unlock none, ask for nothing.

    At most one of them `keeps`. The age file is in the list if it is there, or would be made.

    Raises:
        Refusal: the backend that a policy names cannot be used, or the system reports an error.
    """
    program = [KnownStore(settings.command.value[0], "a program", keeps=False)] if settings.command else []
    readers, keeper = readable(settings), writable(settings)
    stores = readers if keeper is None or keeper in readers else [*readers, keeper]
    return [*program, *(KnownStore(name_of(store), kind_of(store), store == keeper) for store in stores)]


def refuse_unusable(settings: StoreSettings, *, to_store: bool) -> None:
    """Refuse what cannot work, as far as can be seen without opening or starting anything.

    Raises:
        Refusal: the program or the age file's identity or library is missing, or, `to_store`, every store is.
    """
    if settings.command is not None:
        from keyring_pypitoken.vault.command import CommandStore  # few have one

        CommandStore(settings.command.value, "", "").find()
    keeper = writable(settings)
    if has_age_file() or (keeper is not None and not isinstance(keeper, KeyringBackend)):
        _age_file(settings).refuse_unusable()
    if to_store and keeper is None and settings.command is None:
        raise no_store(settings)


def no_store(settings: StoreSettings) -> Refusal:
    """Return the refusal of a machine on which no store takes a master unasked."""
    others = [name_of(backend) for backend in keyring_backends(settings)]
    choose = f", or choose {others[0]} with {lines_for(others[0])}" if others else ""
    return Refusal(
        "no keyring of a desktop (Secret Service, KWallet, macOS, Windows) can keep the master here: unlock or start "
        f"it, or install `keyring-pypitoken[age]` for an encrypted file{choose}."
    )


def lines_for(backend: str) -> str:
    """Return, for a sentence, the lines of a policy that let a backend keep masters."""
    return f'the lines `[store]` and `backend = "{backend}"` in {paths.user_policy()}'


def has_age_file() -> bool:
    """Return True if there is an age file, whatever it holds.

    Raises:
        Refusal: the system reports an error.
    """
    return files.status(paths.age_file(), paths.age_file()) is not None


def has_master() -> bool:
    """Return True if a master is stored or noted, or a policy names its store, as far as the files show."""
    from keyring_pypitoken.policy.discovery import load_config

    if files.any_present([paths.age_file(), paths.accounts_directory()]):
        return True
    config = load_config()
    return config.problem is not None or any(config.store._asdict().values())


def has_pyrage() -> bool:
    """Return True if the extra `age` is installed."""
    import importlib.util

    return importlib.util.find_spec("pyrage") is not None


def name_of(store: Store) -> str:
    """Return what messages call a store."""
    if isinstance(store, KeyringBackend):
        return f"{type(store).__module__}.{type(store).__qualname__}"
    return paths.age_file()


def kind_of(store: Store) -> str:
    """Return what people call a store, and what protects it."""
    if not isinstance(store, KeyringBackend):
        return str(store)
    is_plaintext = "plaintext" in name_of(store).lower()
    return "plaintext" if is_plaintext else DESKTOPS.get(name_of(store), ("another keyring backend",))[0]


def failure(store: Store, what: str, error: Exception) -> str:
    """Return why a store could not do something; its own words are left out, since they may hold what was stored."""
    if isinstance(error, Refusal):
        return str(error)  # the age file's own sentence
    name = name_of(store)
    cause = error.__cause__ or error  # keyring's macOS backend raises its own exception from the system's
    if cause.args[:1] in _NO_DESKTOP:
        return (
            f"the keyring backend {name} could not {what} without a desktop session (error {cause.args[0]}, as over "
            "ssh): use it from the desktop; or keep the master in an encrypted file: install `keyring-pypitoken[age]`, "
            f"and choose it with {lines_for(AGE)}."
        )
    remedy = DESKTOPS.get(name, ("", "unlock or repair it"))[1]
    return f"the keyring backend {name} could not {what} ({type(error).__name__}): {remedy}, and try again."


def session_hint() -> str:
    """Return the start of a remedy if tox or sudo keeps the desktop's session from this process; else nothing."""
    is_inside = any(name in os.environ for name in ("TOX_ENV_NAME", "TOX_WORK_DIR", "SUDO_USER"))
    if sys.platform != "linux" or "DBUS_SESSION_BUS_ADDRESS" in os.environ or not is_inside:
        return ""
    return "pass the variable DBUS_SESSION_BUS_ADDRESS on (in tox: `pass_env = DBUS_SESSION_BUS_ADDRESS`), or "


def is_locked(store: Store) -> bool | None:
    """Return True if a store surely needs a person first; None if only opening it would show that. No dialog opens."""
    if name_of(store) != _SECRET_SERVICE:
        return None
    try:
        import secretstorage  # keyring's backend uses it

        with contextlib.closing(secretstorage.dbus_init()) as bus:
            path = getattr(store, "preferred_collection", secretstorage.collection.DEFAULT_COLLECTION)
            return bool(secretstorage.Collection(bus, path).is_locked())
    except Exception:  # noqa: BLE001 - the service is away, or there is no collection yet: making one asks, too
        return True


def readable(settings: StoreSettings) -> Sequence[Store]:
    """Return the stores that may hold a master: the one that is named, then keyring's backends, then the age file."""
    backends = keyring_backends(settings)
    if settings.backend is None:  # a new master is found before one that is in a store that takes none
        backends.sort(key=lambda backend: name_of(backend) not in DESKTOPS)
    if not has_age_file():
        return backends
    age = _age_file(settings)
    return [age, *backends] if _is_age(settings) else [*backends, age]


def writable(settings: StoreSettings) -> Store | None:
    """Return the store that a new master is stored in; None if there is none, or a program prints the master.

    It is the one that is named, else the best of keyring's own, else the age file.
    """
    if settings.command is not None:
        return None
    if not _is_age(settings):
        backends = keyring_backends(settings)
        if settings.backend is not None:
            return backends[0]
        for backend in backends:
            if name_of(backend) in DESKTOPS:
                return backend
        if not has_age_file() and not has_pyrage():
            return None
    return _age_file(settings)


def keyring_backends(settings: StoreSettings) -> list[KeyringBackend]:
    """Return the keyring backends that may hold a master: the one that is named, then the others in keyring's order."""
    try:
        # keyring asks each for its priority every time, and one whose service stopped answers with its own exception.
        members = rest.members()
    except Exception as error:  # noqa: BLE001 - backends raise what their services raise
        problem = f"a keyring backend stopped responding ({type(error).__name__}): start its keyring, and try again."
    else:
        if settings.backend is None or _is_age(settings):
            return members
        first = _load_named(settings.backend, members)
        return [first, *(backend for backend in members if backend is not first)]
    raise Refusal(problem)


def _is_age(settings: StoreSettings) -> bool:
    return settings.backend is not None and settings.backend.value == AGE


def _age_file(settings: StoreSettings) -> AgeFile:
    from keyring_pypitoken.vault.age import AgeFile  # most machines have a keyring

    return AgeFile(settings.identity)


def _load_named(named: WithOrigin[str], members: list[KeyringBackend]) -> KeyringBackend:
    for backend in members:
        if name_of(backend) == named.value:
            return backend
    from keyring.core import load_keyring

    try:
        backend = load_keyring(named.value)
        is_ours = type(backend).__module__.partition(".")[0] == __package__.partition(".")[0]
        usable = isinstance(backend, KeyringBackend) and not is_ours
        usable = usable and not isinstance(backend, (chainer.ChainerBackend, null.Keyring, fail.Keyring))
        problem = None if usable else "which holds no passwords"
    except Exception as error:  # noqa: BLE001 - importing it, or looking at its priority, may raise anything
        problem = f"which cannot be loaded ({type(error).__name__})"
    if problem is not None:
        remedy = f"{session_hint()}correct or install it"
        raise Refusal(f"[store] names the backend {named.value!r}, {problem} ({named.origin}): {remedy}.")
    return backend
