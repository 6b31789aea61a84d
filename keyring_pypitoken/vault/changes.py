"""Store and delete masters, one process at a time, so that none is lost and no replaced one stays.

keyring's macOS backend deletes the old password before it adds the new one, and so do we for its Windows backend, which
would keep the old one under a second name.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

from keyring_pypitoken import paths
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.files import locked
from keyring_pypitoken.lookup import TOKEN_USERNAME
from keyring_pypitoken.vault.accounts import forget_account, note_account, noted_accounts, refuse_similar
from keyring_pypitoken.vault.backends import (
    AGE,
    WINDOWS,
    keyring_backends,
    lines_for,
    name_of,
    no_store,
    readable,
    writable,
)
from keyring_pypitoken.vault.masters import delete, read, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

    from keyring_pypitoken.lookup import Key, Repository
    from keyring_pypitoken.policy.model import StoreSettings
    from keyring_pypitoken.secret import MasterToken
    from keyring_pypitoken.vault.backends import Store


def save_master(
    repository: Repository, account: str, master: MasterToken, settings: StoreSettings, projects: Iterable[str] = ()
) -> tuple[str, bool]:
    """Store a master under its private name, and note its account as that of projects.

    Returns:
        The name of the store, and whether another master was replaced.

    Raises:
        Refusal: no store takes it, or the one that does failed; a master that may be lost by that is named.
    """
    store, service = find_store(settings), repository.private_service(account)
    with locked(paths.accounts_directory()):
        refuse_similar(repository, account)
        with _another_named(store, settings):
            before = read(store, service, account)
            with _nothing_lost(store, repository, account, before):
                _save(store, service, account, master, replaces=before is not None)
                note_account(repository, account, projects)
    return name_of(store), before is not None and not before.equals(master)


def find_store(settings: StoreSettings) -> Store:
    """Return the store that a new master is stored in.

    Raises:
        Refusal: there is none.
    """
    if settings.command is not None:
        raise Refusal(
            f"masters are read from the program {settings.command.value[0]!r} ({settings.command.origin}), and cannot "
            "be stored through it: store the token with that program."
        )
    if (store := writable(settings)) is None:
        raise no_store(settings)
    return store


@contextlib.contextmanager
def _another_named(store: Store, settings: StoreSettings) -> Iterator[None]:
    """Name a backend of the user's beside the refusal of an age file that nobody chose."""
    try:
        yield
    except Refusal as refusal:
        problem = str(refusal)
    else:
        return
    is_unasked = settings.backend is None and name_of(store) == paths.age_file()
    others = keyring_backends(settings) if is_unasked else []
    if others:
        problem += f" Or choose another store with {lines_for(name_of(others[0]))}."
    raise Refusal(problem)


def delete_master(repository: Repository, account: str, key: Key, settings: StoreSettings) -> bool:
    """Delete an account's master and any raw token under the key itself; return True if there was one."""
    with locked(paths.accounts_directory()):
        noted = account in noted_accounts(repository)
        if not noted:  # of two similar ones that were noted by hand, either can be deleted
            refuse_similar(repository, account)
        deleted = False
        pairs = [(repository.private_service(account), account), (key.service, key.username or TOKEN_USERNAME)]
        for store in readable(settings):
            for service, username in pairs:
                if read(store, service, username) is not None:
                    delete(store, service, username)
                    deleted = True
        forget_account(repository, account)
    if noted and not deleted:
        raise Refusal(
            "no keyring that can be asked now holds this master, so only the note of it was deleted: "
            "if the keyring that holds it comes back, delete it again."
        )
    return deleted


def _save(store: Store, service: str, account: str, master: MasterToken, *, replaces: bool) -> None:
    """Store a master where only its exact name finds it."""
    name = name_of(store)
    if replaces and name == WINDOWS:
        delete(store, service, account)
    write(store, service, account, master)
    if not _returns(store, service, account, master):
        raise Refusal(f"the keyring backend {name} did not store the master: choose another with {lines_for(AGE)}.")
    names = set(_neighbours(service, account, has_case=name != WINDOWS)) - {(service, account)}
    try:
        other = next((known for known in sorted(names) if _returns(store, *known, master)), None)
    except BaseException:
        delete(store, service, account)
        raise
    if other is not None:
        delete(store, service, account)
        raise Refusal(
            f"the keyring backend {name} returns the master for another name, too (service {other[0]!r}, user "
            f"{other[1]!r}), by which other programs could read it, so it was taken out again: choose another backend "
            f"with {lines_for(AGE)}."
        )


def _returns(store: Store, service: str, username: str, master: MasterToken) -> bool:
    answer = read(store, service, username)
    return answer is not None and answer.equals(master)


def _neighbours(service: str, account: str, *, has_case: bool) -> Iterator[tuple[str, str]]:
    """Yield names that a store takes for the private one if it folds, cuts, joins, searches or rewrites names."""
    if has_case:  # Windows' names have none, which our own check of the private name allows for
        yield service.swapcase(), account
        yield service, account.swapcase()
    yield from ((f"{service}x", account), (service, f"{account}x"), (service[:-1], account), (service[1:], account))
    yield from ((service.replace("//", "/"), account), (quote(service, safe=""), account))
    for at, letter in enumerate(service):
        if not letter.isalnum():  # joined by it, the two can be split here, too
            yield service[:at], f"{service[at + 1 :]}{letter}{account}"
            yield service[at + 1 :], f"{account}{letter}{service[:at]}"
    yield service[:-1], service[-1] + account
    yield service[1:], account + service[0]
    for letter in sorted({letter for letter in service if not letter.isalnum()}):
        yield from ((service.replace(letter, other), account) for other in "_-:/" if other != letter)
        yield service.replace(letter, ""), account


@contextlib.contextmanager
def _nothing_lost(store: Store, repository: Repository, account: str, before: MasterToken | None) -> Iterator[None]:
    """Put back what a store held and no longer has, however the step ends; a master that may be lost is a Refusal."""
    outcome = "the master was stored"
    try:
        yield
    except BaseException as error:  # Ctrl-C between two steps loses one, too
        outcome = str(error).removesuffix(".") if isinstance(error, Refusal) else "storing the master was stopped"
        raise
    finally:
        with _interrupt_held():  # whoever stopped it may press Ctrl-C again
            if before is not None and not _put_back(store, repository.private_service(account), account, before):
                with contextlib.suppress(Refusal):  # a lookup of what is noted is refused, and not declined
                    if account not in noted_accounts(repository):
                        note_account(repository, account)
                raise Refusal(
                    f"{outcome}; what was stored for {repository.name} (account {account!r}) before cannot be read "
                    "now, and may be lost: store it again."
                )


def _put_back(store: Store, service: str, account: str, master: MasterToken) -> bool:
    """Store a master again if the store lost it; return True if the store holds one."""
    for _ in range(2):
        with contextlib.suppress(Refusal):
            if read(store, service, account) is not None:
                return True
            write(store, service, account, master)
    return False


@contextlib.contextmanager
def _interrupt_held() -> Iterator[None]:
    """Hold a Ctrl-C back until the end of a step that must not be stopped halfway."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield  # nothing is raised here
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *received: held.append(received))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            before(*held[0])
