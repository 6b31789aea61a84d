"""Move raw masters, which other programs stored under keys that uploaders ask for, to names that only we ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from keyring_pypitoken.derive import read_master
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.vault import masters

if TYPE_CHECKING:
    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import Config
    from keyring_pypitoken.vault.masters import RawMaster

_ACCOUNT = "default"  # raw masters have no label


class Adopted(NamedTuple):
    """What became of one raw master; never its text.

    Attributes:
        repository: the name of the endpoint.
        service: keyring's service, under which it lay.
        username: keyring's user name.
        store: the name of the backend that held it.
        outcome: what was, or would be, done.
        problem: why it was left, empty where it was not.
    """

    repository: str
    service: str
    username: str
    store: str
    outcome: str
    problem: str = ""


def adopt(own: Config, *, dry_run: bool) -> list[Adopted]:
    """Move all raw masters.

    Args:
        own: the policies of the user and of the machine.
        dry_run: only find out what would be done.

    Returns:
        What became of each.

    Raises:
        Refusal: a store cannot be asked, or does not do what it is told.
    """
    return [
        _adopt(raw, repository, own, dry_run=dry_run)
        for repository in own.repositories
        for raw in masters.raw_masters(repository, own.store)
    ]


def _adopt(raw: RawMaster, repository: Repository, own: Config, *, dry_run: bool) -> Adopted:
    adopted = Adopted(repository.name, raw.service, raw.username, raw.store, "")
    try:
        master = read_master(raw.master.reveal_to_derive_or_store(), repository)
    except Refusal as refusal:
        return adopted._replace(problem=str(refusal))
    kept = masters.find_master(repository, _ACCOUNT, own.store)
    if kept is not None and not masters.same(kept, master):
        return adopted._replace(
            problem=(
                f"another master is stored for {repository.name}: store this one with `keyring-pypitoken login -r "
                f"{repository.name} --account LABEL`, or forget it with `keyring del {raw.service} {raw.username}`."
            )
        )
    if kept is None and not dry_run:
        masters.save_master(repository, _ACCOUNT, master, own.store)
    if not dry_run:
        raw.delete()
    does = "would be" if dry_run else "was"
    if kept is not None:
        return adopted._replace(outcome=f"it is stored already, and the copy there {does} deleted")
    return adopted._replace(outcome=f"it {does} moved to the master of the account {_ACCOUNT!r}")
