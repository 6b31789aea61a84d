"""Store and delete masters, one process at a time, so that none is lost and no replaced one stays.

keyring's own backends need that care. macOS' deletes the old password before it adds the new one. Windows' keeps one
account under the service itself and moves the one before it to `account@service`, step by step and without a lock.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from keyring_pypitoken import notices, paths
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import TOKEN_USERNAME
from keyring_pypitoken.text import join_quoted
from keyring_pypitoken.vault.accounts import forget_account, note_account, noted_accounts, refuse_similar
from keyring_pypitoken.vault.backends import moves_accounts, name_of, no_store, readable, writable
from keyring_pypitoken.vault.lock import locked
from keyring_pypitoken.vault.masters import delete, read, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyring_pypitoken.lookup import Key, Repository
    from keyring_pypitoken.policy.model import StoreSettings
    from keyring_pypitoken.secret import MasterToken
    from keyring_pypitoken.vault.backends import Store

    Masters = dict[str, MasterToken]


def save_master(repository: Repository, account: str, master: MasterToken, settings: StoreSettings) -> tuple[str, bool]:
    """Keep a master under its private name; return the name of the store, and whether another master was replaced.

    Raises:
        Refusal: no store takes it, or the one that does failed; a master that may be lost by that is named.
    """
    service = repository.private_service(account)
    with locked(paths.accounts_directory()):
        refuse_similar(repository, account)
        for store in writable(settings):
            # Only accounts that the store may move are read: macOS may ask for each that another program stored.
            others: tuple[str, ...] = ()  # each account has a service of its own
            found = {label: read(store, service, label) for label in (account, *others)}
            held = {label: kept for label, kept in found.items() if kept is not None}
            with _nothing_lost(store, repository, held):
                if not _save(store, service, account, master):
                    continue
                note_account(repository, account)
            return name_of(store), account in held and not held[account].equals(master)
    if settings.command is not None:
        raise Refusal(
            f"masters are read from the program {settings.command.value[0]!r} ({settings.command.origin}), and cannot "
            "be stored through it: store the token with that program."
        )
    raise no_store()


def delete_master(repository: Repository, account: str, key: Key, settings: StoreSettings) -> bool:
    """Delete an account's master and any raw token under the key itself; return True if there was one."""
    with locked(paths.accounts_directory()):
        noted = account in noted_accounts(repository)
        if not noted:  # of two similar ones that an earlier version stored, either can be deleted
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


@contextlib.contextmanager
def _nothing_lost(store: Store, repository: Repository, held: Masters) -> Iterator[None]:
    """Put back what a store held and no longer has, however the step ends; a master that may be lost is a Refusal."""
    from keyring_pypitoken.vault.command import interrupt_held  # few store anything

    outcome = "the master was stored"
    try:
        yield
    except BaseException as error:  # Ctrl-C between macOS' two steps loses one, too
        outcome = str(error).removesuffix(".") if isinstance(error, Refusal) else "storing the master was stopped"
        raise
    finally:
        with interrupt_held():  # whoever stopped it may press Ctrl-C again
            if lost := _put_back(store, repository.private_service(next(iter(held), "default")), held):
                for label in lost:  # a lookup of what is noted is refused, and not declined
                    with contextlib.suppress(Refusal):
                        if label not in noted_accounts(repository):
                            note_account(repository, label)
                raise Refusal(
                    f"{outcome}; what was stored for {repository.name} (account {join_quoted(lost)}) before cannot be "
                    "read now, and may be lost: store it again."
                )


def _save(store: Store, service: str, account: str, master: MasterToken) -> bool:
    """Store a master, and leave nothing of the one it replaces; return False if the store takes none."""
    if not write(store, service, account, master):
        return False
    _delete_replaced(store, service, account)
    _put_back(store, service, {account: master})
    kept = read(store, service, account)
    if kept is None or not kept.equals(master):
        raise Refusal(
            f"the keyring backend {name_of(store)} did not keep the master: "
            f"name another one as `backend` in [store] of {paths.user_policy()}."
        )
    return True


def _delete_replaced(store: Store, service: str, account: str) -> None:
    """Delete the copy of the replaced master that keyring's Windows backend made of the account's own entry."""
    copy = f"{account}@{service}"
    try:
        if moves_accounts(store) and read(store, copy, account) is not None:
            delete(store, copy, account)
    except Refusal:
        notices.notify(f"the replaced master is still in {name_of(store)} as {copy!r}: delete it there.")


def _put_back(store: Store, service: str, masters: Masters) -> list[str]:
    """Store lost masters again; return the accounts whose masters are still lost, or cannot be read."""
    for label, master in masters.items():
        with contextlib.suppress(Refusal):
            if read(store, service, label) is None:
                write(store, service, label, master)
    return [label for label in masters if not _is_there(store, service, label)]


def _is_there(store: Store, service: str, account: str) -> bool:
    try:
        return read(store, service, account) is not None
    except Refusal:
        return False
